/* f2c's support library (complex division, absolute values, powers) within every file that calls
 * it, so that it is inlined: eig of a complex matrix takes a third of the time. */
#ifndef LITEBLAS_HELPERS_H
#define LITEBLAS_HELPERS_H

/* What f2c.h and f2c.c include declares functions of others, and keeps its linkage. */
#include <Python.h>
#include <math.h>
#include <npy_cblas.h>
#include <numpy/npy_common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma clang attribute push(__attribute__((internal_linkage)), apply_to = function)
#include "f2c.h"
/* f2c.c ends with these macros undefined. */
#pragma push_macro("abs")
#pragma push_macro("max")
#pragma push_macro("min")
#include "f2c.c"
#pragma pop_macro("abs")
#pragma pop_macro("max")
#pragma pop_macro("min")
#pragma clang attribute pop

#endif
