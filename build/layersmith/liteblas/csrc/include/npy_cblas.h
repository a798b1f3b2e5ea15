/* Names and integer width, as the wheel expects them.
 *
 * The build defines BLAS_PREFIX and BLAS_SUFFIX from the names that the wheel imports, such as
 * scipy_ and 64_ for scipy_dgesv_64_ and scipy_cblas_dgemm64_, and BLAS_INT from the suffix.
 */
#ifndef LITEBLAS_NPY_CBLAS_H
#define LITEBLAS_NPY_CBLAS_H

#include <stdint.h>

typedef BLAS_INT CBLAS_INT;

#define LB_PASTE(prefix, name, suffix) prefix##name##suffix
#define LB_EXPAND(prefix, name, suffix) LB_PASTE(prefix, name, suffix)
#define BLAS_FUNC(name) LB_EXPAND(BLAS_PREFIX, name, LB_EXPAND(_, BLAS_SUFFIX, ))
#define CBLAS_FUNC(name) LB_EXPAND(BLAS_PREFIX, name, BLAS_SUFFIX)

/* Compiling f2c's output: its versions of what kernels.c and machine.c have are weak, so that the
 * linker takes ours and drops them. */
#ifdef LITEBLAS_WEAK_REFERENCE
#define LB_PRAGMA(text) _Pragma(#text)
#define LB_WEAK(name) LB_PRAGMA(weak name)
#define LB_WEAK4(name) \
    LB_WEAK(BLAS_FUNC(s##name)) LB_WEAK(BLAS_FUNC(d##name)) \
    LB_WEAK(BLAS_FUNC(c##name)) LB_WEAK(BLAS_FUNC(z##name))
LB_WEAK(BLAS_FUNC(slapy2))
LB_WEAK(BLAS_FUNC(slapy3))
LB_WEAK(BLAS_FUNC(dlapy2))
LB_WEAK(BLAS_FUNC(dlapy3))
LB_WEAK4(gemm)
LB_WEAK4(gemv)
LB_WEAK4(trsm)
LB_WEAK(BLAS_FUNC(isamax))
LB_WEAK(BLAS_FUNC(idamax))
LB_WEAK(BLAS_FUNC(icamax))
LB_WEAK(BLAS_FUNC(izamax))
LB_WEAK(BLAS_FUNC(ssyrk))
LB_WEAK(BLAS_FUNC(dsyrk))
LB_WEAK(BLAS_FUNC(cherk))
LB_WEAK(BLAS_FUNC(zherk))
#endif

#endif
