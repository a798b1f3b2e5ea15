/* Stands in for numpy's header: the f2c sources use nothing of it but CBLAS_INT's type. */
#ifndef LITEBLAS_NPY_COMMON_H
#define LITEBLAS_NPY_COMMON_H
#include <stdint.h>
#endif
