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

#endif
