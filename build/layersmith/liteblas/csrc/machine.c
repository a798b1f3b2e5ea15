/* Machine parameters, argument errors and the two helpers that f2c_config.c would bring along.
 *
 * f2c_config.c finds the parameters by experiments that depend on rounding and keeps them in
 * static variables; here they are the constants of IEEE 754, which newer LAPACKs use too.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "npy_cblas.h"

/* f2c returns Fortran's REAL as double. */
#define LAMCH(name, digits, epsilon, minimum, maximum, min_exp, max_exp) \
    double BLAS_FUNC(name)(const char *what) \
    { \
        switch (*what | 0x20) { \
        case 'e': return epsilon * 0.5; \
        case 's': return minimum; \
        case 'b': return 2; \
        case 'p': return epsilon; \
        case 'n': return digits; \
        case 'r': return 1; \
        case 'm': return min_exp; \
        case 'u': return minimum; \
        case 'l': return max_exp; \
        case 'o': return maximum; \
        default: return 0; \
        } \
    }

LAMCH(dlamch, DBL_MANT_DIG, DBL_EPSILON, DBL_MIN, DBL_MAX, DBL_MIN_EXP, DBL_MAX_EXP)
LAMCH(slamch, FLT_MANT_DIG, FLT_EPSILON, FLT_MIN, FLT_MAX, FLT_MIN_EXP, FLT_MAX_EXP)

/* LAPACK adds through these where a compiler must not keep extra precision. */
double BLAS_FUNC(dlamc3)(const double *a, const double *b)
{
    volatile double sum = *a + *b;
    return sum;
}

double BLAS_FUNC(slamc3)(const float *a, const float *b)
{
    volatile float sum = *a + *b;
    return sum;
}

CBLAS_INT BLAS_FUNC(lsame)(const char *a, const char *b)
{
    return (*a | 0x20) == (*b | 0x20);
}

/* sqrt(x*x + y*y + z*z) of numbers that are not negative, without overflow. LAPACK 3.2's lose a NaN in their
 * comparisons, and with it in the norms of qr and svd; newer LAPACKs do not. */
static double length(double x, double y, double z)
{
    double sum = x + y + z, largest = x > y ? x : y;
    if (sum != sum)
        return sum;
    largest = z > largest ? z : largest;
    if (largest == 0 || largest > DBL_MAX)
        return largest;
    x /= largest, y /= largest, z /= largest;
    return largest * sqrt(x * x + y * y + z * z);
}

#define LAPY(letter, real) \
    double BLAS_FUNC(letter##lapy2)(const real *x, const real *y) \
    { \
        return (real)length(fabs(*x), fabs(*y), 0); \
    } \
    double BLAS_FUNC(letter##lapy3)(const real *x, const real *y, const real *z) \
    { \
        return (real)length(fabs(*x), fabs(*y), fabs(*z)); \
    }

LAPY(s, float)
LAPY(d, double)

/* CPython's stable API. Weak: the library also loads into a process without Python. */
extern int PyGILState_Ensure(void) __attribute__((weak));
extern void PyGILState_Release(int) __attribute__((weak));
extern void PyErr_SetString(void *, const char *) __attribute__((weak));
extern void *PyExc_ValueError __attribute__((weak));

/* Called where an argument is illegal. Fortran's own XERBLA stops the process; numpy expects a
 * ValueError, in the words of its python_xerbla.c. */
int BLAS_FUNC(xerbla)(const char *routine, const CBLAS_INT *info)
{
    char name[7] = "", message[80];

    for (int i = 0; i < 6 && routine[i] != '\0' && routine[i] != ' '; i++)
        name[i] = routine[i] >= 'a' && routine[i] <= 'z' ? routine[i] - 32 : routine[i];
    snprintf(message, sizeof message, "On entry to %s parameter number %d had an illegal value",
             name, (int)*info);
    if (PyGILState_Ensure && PyGILState_Release && PyErr_SetString && &PyExc_ValueError) {
        int state = PyGILState_Ensure();
        PyErr_SetString(PyExc_ValueError, message);
        PyGILState_Release(state);
    } else {
        fprintf(stderr, "%s\n", message);
    }
    return 0;
}
