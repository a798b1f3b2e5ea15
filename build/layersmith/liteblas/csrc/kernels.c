/* The BLAS routines of one element type that numpy or its LAPACK call often: built four times,
 * with LETTER as s, d, c or z, REAL as float or double and COMPLEX as 0 or 1.
 *
 * Fortran routines take pointers and column-major matrices; the CBLAS ones take values and an
 * order. Argument numbers in the checks are those of the reference BLAS (Fortran) and of the
 * CBLAS signature, where the order is argument 1.
 */
#include "npy_cblas.h"
#include "kernels.h"

typedef CBLAS_INT integer;

#define ROUTINE(name) LB_EXPAND(LETTER, name, )
#define FORTRAN(name) BLAS_FUNC_OF(ROUTINE(name))
#define FORTRAN_INDEX(name) BLAS_FUNC_OF(LB_EXPAND(i, ROUTINE(name), ))
#define BLAS_FUNC_OF(name) BLAS_FUNC(name)
#define CBLAS(name) CBLAS_FUNC_OF(LB_EXPAND(cblas_, ROUTINE(name), ))
#define CBLAS_FUNC_OF(name) CBLAS_FUNC(name)
#define TEXT(token) #token
#define TEXT_OF(token) TEXT(token)

extern int BLAS_FUNC(xerbla)(const char *, const integer *);

enum { ROW_MAJOR = 101, COLUMN_MAJOR = 102, NO_TRANS = 111, CONJ_TRANS = 113, UPPER = 121 };

static int illegal(const char *name, integer argument)
{
    if (argument)
        BLAS_FUNC(xerbla)(name, &argument);
    return argument != 0;
}

/* The real interface passes numbers, the complex one pointers to them. */
#if COMPLEX
#define SCALAR_ARGUMENT(name) const REAL *name
#define SCALAR(name) ((scalar){name[0], name[1]})
#else
#define SCALAR_ARGUMENT(name) REAL name
#define SCALAR(name) ((scalar){name, 0})
#endif

static inline char lower(const char *letter)
{
    return (char)(*letter | 0x20);
}

/* Which of n, t, c a CBLAS number means; 0 for none of them. */
static inline char trans_letter(int trans)
{
    return trans >= NO_TRANS && trans <= CONJ_TRANS ? "ntc"[trans - NO_TRANS] : 0;
}

static inline int known_trans(char trans)
{
    return trans == 'n' || trans == 't' || trans == 'c';
}

static inline integer at_least_1(integer n)
{
    return n > 1 ? n : 1;
}

/* A column-major matrix under op(): as it is, transposed, or transposed and conjugated. */
static inline matrix operand(const REAL *a, integer lda, char trans)
{
    matrix plain = {(REAL *)a, PLANES, (dim)lda * PLANES, 0};
    if (trans == 'n')
        return plain;
    plain = transposed(plain);
    plain.conj = trans == 'c';
    return plain;
}

/* BLAS walks a vector with a negative step from its far end. */
static inline const REAL *start(const REAL *x, integer n, integer step)
{
    return step < 0 ? x - (dim)(n - 1) * step * PLANES : x;
}

static void gemm(char ta, char tb, integer m, integer n, integer k, scalar alpha, const REAL *a,
                 integer lda, const REAL *b, integer ldb, scalar beta, REAL *c, integer ldc)
{
    matrix result = operand(c, ldc, 'n');
    scale(m, n, beta, result);
    multiply_add(m, n, k, alpha, operand(a, lda, ta), operand(b, ldb, tb), result);
}

int FORTRAN(gemm)(const char *transa, const char *transb, const integer *m, const integer *n,
                  const integer *k, const REAL *alpha, const REAL *a, const integer *lda,
                  const REAL *b, const integer *ldb, const REAL *beta, REAL *c, const integer *ldc)
{
    char ta = lower(transa), tb = lower(transb);
    integer bad = !known_trans(ta)                              ? 1
                  : !known_trans(tb)                            ? 2
                  : *m < 0                                      ? 3
                  : *n < 0                                      ? 4
                  : *k < 0                                      ? 5
                  : *lda < at_least_1(ta == 'n' ? *m : *k)      ? 8
                  : *ldb < at_least_1(tb == 'n' ? *k : *n)      ? 10
                  : *ldc < at_least_1(*m)                       ? 13
                                                                : 0;
    if (!illegal(TEXT_OF(LETTER) "gemm ", bad))
        gemm(ta, tb, *m, *n, *k, load(alpha, 0), a, *lda, b, *ldb, load(beta, 0), c, *ldc);
    return 0;
}

void CBLAS(gemm)(int order, int transa, int transb, integer m, integer n, integer k,
                        SCALAR_ARGUMENT(alpha), const REAL *a, integer lda, const REAL *b,
                        integer ldb, SCALAR_ARGUMENT(beta), REAL *c, integer ldc)
{
    char ta = trans_letter(transa), tb = trans_letter(transb);
    int rows = order == ROW_MAJOR;
    integer bad = !rows && order != COLUMN_MAJOR                        ? 1
                  : !ta                                                 ? 2
                  : !tb                                                 ? 3
                  : m < 0                                               ? 4
                  : n < 0                                               ? 5
                  : k < 0                                               ? 6
                  : lda < at_least_1((ta == 'n') != rows ? m : k)       ? 9
                  : ldb < at_least_1((tb == 'n') != rows ? k : n)       ? 11
                  : ldc < at_least_1(rows ? n : m)                      ? 14
                                                                        : 0;
    if (illegal(TEXT_OF(LETTER) "gemm ", bad))
        return;
    if (rows)
        gemm(tb, ta, n, m, k, SCALAR(alpha), b, ldb, a, lda, SCALAR(beta), c, ldc);
    else
        gemm(ta, tb, m, n, k, SCALAR(alpha), a, lda, b, ldb, SCALAR(beta), c, ldc);
}

/* y = alpha * A * x + beta * y, for a matrix already under op(). */
static void gemv(integer m, integer n, scalar alpha, matrix a, const REAL *x, integer incx,
                 scalar beta, REAL *y, integer incy)
{
    if (m == 0 || n == 0)
        return;
    x = start(x, n, incx);
    y = (REAL *)start(y, m, incy);
    scale(m, 1, beta, (matrix){y, (dim)incy * PLANES, 0, 0});
    if (alpha.re != 0 || alpha.im != 0)
        matrix_vector(m, n, alpha, a, x, (dim)incx * PLANES, y, (dim)incy * PLANES);
}

int FORTRAN(gemv)(const char *trans, const integer *m, const integer *n, const REAL *alpha,
                  const REAL *a, const integer *lda, const REAL *x, const integer *incx,
                  const REAL *beta, REAL *y, const integer *incy)
{
    char t = lower(trans);
    integer bad = !known_trans(t)               ? 1
                  : *m < 0                      ? 2
                  : *n < 0                      ? 3
                  : *lda < at_least_1(*m)       ? 6
                  : *incx == 0                  ? 8
                  : *incy == 0                  ? 11
                                                : 0;
    if (!illegal(TEXT_OF(LETTER) "gemv ", bad))
        gemv(t == 'n' ? *m : *n, t == 'n' ? *n : *m, load(alpha, 0), operand(a, *lda, t), x, *incx,
             load(beta, 0), y, *incy);
    return 0;
}

void CBLAS(gemv)(int order, int trans, integer m, integer n, SCALAR_ARGUMENT(alpha),
                        const REAL *a, integer lda, const REAL *x, integer incx,
                        SCALAR_ARGUMENT(beta), REAL *y, integer incy)
{
    char t = trans_letter(trans);
    int rows = order == ROW_MAJOR;
    integer bad = !rows && order != COLUMN_MAJOR        ? 1
                  : !t                                  ? 2
                  : m < 0                               ? 3
                  : n < 0                               ? 4
                  : lda < at_least_1(rows ? n : m)      ? 7
                  : incx == 0                           ? 9
                  : incy == 0                           ? 12
                                                        : 0;
    if (illegal(TEXT_OF(LETTER) "gemv ", bad))
        return;
    matrix whole = operand(a, lda, 'n');
    if (rows != (t != 'n'))
        whole = transposed(whole);
    whole.conj = t == 'c';
    gemv(t == 'n' ? m : n, t == 'n' ? n : m, SCALAR(alpha), whole, x, incx, SCALAR(beta), y, incy);
}

/* One triangle of alpha * op(A) * op(A)' + beta * C; op(A) is n by k. */
static void rank_k_update(int upper, int hermitian, integer n, integer k, scalar alpha, matrix a,
                          scalar beta, matrix c)
{
    matrix other = transposed(a);
    other.conj = hermitian && !a.conj;
    rank_k(upper, n, k, alpha, a, other, beta, c, hermitian);
}

/* LAPACK calls the symmetric one for real types, and the Hermitian one, with real factors, for
 * complex types. */
#define RANK_K_NAME TEXT_OF(LETTER) RANK_K_TEXT
#if COMPLEX
#define RANK_K herk
#define RANK_K_TEXT "herk "
#define RANK_K_TRANS 'c'
#else
#define RANK_K syrk
#define RANK_K_TEXT "syrk "
#define RANK_K_TRANS 't'
#endif

int FORTRAN(RANK_K)(const char *uplo, const char *trans, const integer *n, const integer *k,
                    const REAL *alpha, const REAL *a, const integer *lda, const REAL *beta, REAL *c,
                    const integer *ldc)
{
    char u = lower(uplo), t = lower(trans);
    if (!COMPLEX && t == 'c')
        t = 't';
    integer bad = u != 'u' && u != 'l'                          ? 1
                  : t != 'n' && t != RANK_K_TRANS               ? 2
                  : *n < 0                                      ? 3
                  : *k < 0                                      ? 4
                  : *lda < at_least_1(t == 'n' ? *n : *k)       ? 7
                  : *ldc < at_least_1(*n)                       ? 10
                                                                : 0;
    if (!illegal(RANK_K_NAME, bad))
        rank_k_update(u == 'u', COMPLEX, *n, *k, (scalar){*alpha, 0}, operand(a, *lda, t),
                      (scalar){*beta, 0}, operand(c, *ldc, 'n'));
    return 0;
}

void CBLAS(syrk)(int order, int uplo, int trans, integer n, integer k,
                        SCALAR_ARGUMENT(alpha), const REAL *a, integer lda, SCALAR_ARGUMENT(beta),
                        REAL *c, integer ldc)
{
    char t = trans_letter(trans);
    int rows = order == ROW_MAJOR, upper = uplo == UPPER;
    integer bad = !rows && order != COLUMN_MAJOR                        ? 1
                  : !upper && uplo != UPPER + 1                         ? 2
                  : !t || (COMPLEX && t == 'c')                         ? 3
                  : n < 0                                               ? 4
                  : k < 0                                               ? 5
                  : lda < at_least_1((t == 'n') != rows ? n : k)        ? 8
                  : ldc < at_least_1(n)                                 ? 11
                                                                        : 0;
    if (illegal(TEXT_OF(LETTER) "syrk ", bad))
        return;
    matrix factor = operand(a, lda, (t == 'n') != rows ? 'n' : 't');
    rank_k_update(rows ? !upper : upper, 0, n, k, SCALAR(alpha), factor, SCALAR(beta),
                  operand(c, ldc, 'n'));
}

int FORTRAN(trsm)(const char *side, const char *uplo, const char *transa, const char *diag,
                  const integer *m, const integer *n, const REAL *alpha, const REAL *a,
                  const integer *lda, REAL *b, const integer *ldb)
{
    char s = lower(side), u = lower(uplo), t = lower(transa), d = lower(diag);
    integer order = s == 'l' ? *m : *n, columns = s == 'l' ? *n : *m;
    integer bad = s != 'l' && s != 'r'          ? 1
                  : u != 'u' && u != 'l'        ? 2
                  : !known_trans(t)             ? 3
                  : d != 'u' && d != 'n'        ? 4
                  : *m < 0                      ? 5
                  : *n < 0                      ? 6
                  : *lda < at_least_1(order)    ? 9
                  : *ldb < at_least_1(*m)       ? 11
                                                : 0;
    if (illegal(TEXT_OF(LETTER) "trsm ", bad))
        return 0;
    matrix triangle = operand(a, *lda, t), right = operand(b, *ldb, 'n');
    int upper = (u == 'u') == (t == 'n');
    scale(*m, *n, load(alpha, 0), right);
    if (s == 'r') {                             /* X * T = B is T' * X' = B' */
        triangle = transposed(triangle);
        right = transposed(right);
        upper = !upper;
    }
    if (alpha[0] != 0 || alpha[PLANES - 1] != 0)
        solve(upper, d == 'u', order, columns, triangle, right);
    return 0;
}

/* The place, from 1, of the element of largest |re| + |im|: LAPACK's pivots. The first NaN counts
 * as the largest, so that it spreads; the reference BLAS passes it over for a zero behind it. */
integer FORTRAN_INDEX(amax)(const integer *n, const REAL *x, const integer *incx)
{
    integer place = 1;
    REAL largest = -1;
    if (*n < 1 || *incx <= 0)
        return 0;
    for (integer i = 1; i <= *n; i++, x += (dim)*incx * PLANES) {
        scalar value = load(x, 0);
        REAL size = (value.re < 0 ? -value.re : value.re) + (value.im < 0 ? -value.im : value.im);
        if (size != size)
            return i;
        if (size > largest) {
            largest = size;
            place = i;
        }
    }
    return place;
}

void CBLAS(axpy)(integer n, SCALAR_ARGUMENT(alpha), const REAL *x, integer incx, REAL *y,
                        integer incy)
{
    if (n > 0)
        axpy(n, SCALAR(alpha), start(x, n, incx), (dim)incx * PLANES, 0,
             (REAL *)start(y, n, incy), (dim)incy * PLANES);
}

#if COMPLEX
#define DOT_SUB(name, conj) \
    void CBLAS(name)(integer n, const REAL *x, integer incx, const REAL *y, integer incy, \
                            REAL *result) \
    { \
        scalar sum = {0, 0}; \
        if (n > 0) \
            sum = dot(n, start(x, n, incx), (dim)incx * PLANES, conj, start(y, n, incy), \
                      (dim)incy * PLANES); \
        result[0] = sum.re; \
        result[1] = sum.im; \
    }
DOT_SUB(dotu_sub, 0)
DOT_SUB(dotc_sub, 1)
#else
REAL CBLAS(dot)(integer n, const REAL *x, integer incx, const REAL *y, integer incy)
{
    return n > 0 ? dot(n, start(x, n, incx), incx, 0, start(y, n, incy), incy).re : 0;
}
#endif
