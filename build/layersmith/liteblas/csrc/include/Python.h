/* numpy's f2c sources include Python.h for a few C headers only; none of its API is used there. */
#ifndef LITEBLAS_PYTHON_H
#define LITEBLAS_PYTHON_H
#include <stddef.h>
#include <stdint.h>
#endif
