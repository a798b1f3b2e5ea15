/* Machine constants of IEEE 754 binary64 in LAPACK's meaning (LAPACK 3.3 and later, dlamch.f):
 * epsilon is half the distance from 1 to the next number, because rounding is to nearest. */
#ifndef LITEBLAS_CONFIG_H
#define LITEBLAS_CONFIG_H
#include <float.h>
#define EPSILON (DBL_EPSILON * 0.5)
#define SAFEMINIMUM DBL_MIN
#define PRECISION DBL_EPSILON
#define BASE 2.
#endif
