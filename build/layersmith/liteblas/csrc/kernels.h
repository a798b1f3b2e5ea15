/* Matrix kernels for one element type. kernels.c defines REAL (float or double), COMPLEX (0 or 1)
 * and includes this file.
 *
 * Every matrix is seen through strides, so that transposition, row-major order and the right-hand
 * variants are exchanges of strides and need no code of their own. Strides count REALs; a complex
 * element is two REALs, the real part first. No product is skipped because a factor is zero, so
 * NaN and infinity reach the result, as they do with OpenBLAS.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef ptrdiff_t dim;
typedef struct { REAL re, im; } scalar;              /* im is 0 for real types */
typedef struct { REAL *at; dim rs, cs; int conj; } matrix;

#define PLANES (1 + COMPLEX)

/* The micro-kernel's tile: MV vectors down, NR columns across. aarch64 has 32 registers of 16
 * bytes: 24 hold the tile. x86-64's baseline has 16 of them: 8 hold the tile. */
#if defined(__aarch64__)
enum { VECTOR_BYTES = 16, MV = 4, NR = 6 };
#elif defined(__AVX2__)
enum { VECTOR_BYTES = 32, MV = 2, NR = 6 };
#else
enum { VECTOR_BYTES = 16, MV = 2, NR = 4 };
#endif
enum {
    VL = VECTOR_BYTES / sizeof(REAL),
    MR = MV * VL,
    KC = 256,               /* depth of a packed block: its columns stay in the first cache */
    MC = 8 * MR,            /* rows of a packed block of A: stays in the second cache */
    NC = 170 * NR,          /* columns of a packed block of B */
    SMALL = 12 * 12 * 12,   /* multiplications below which packing costs more than it saves */
    NB = 32,                /* order of the triangles that trsm and syrk handle directly */
    WIDTH = 16,             /* right-hand sides that the triangular solve takes at once */
};
typedef REAL vector __attribute__((vector_size(VECTOR_BYTES), aligned(VECTOR_BYTES)));

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define UNROLL _Pragma("clang loop unroll(full)")
/* Sums may be taken in any order, and a product and a sum may be fused: that is what lets the
 * compiler use vectors. NaN, infinity and signed zero keep their meaning. */
#define FREE_ORDER _Pragma("clang fp contract(fast) reassociate(on)")
#define FUSED _Pragma("clang fp contract(fast)")

static inline scalar load(const REAL *at, int conj)
{
#if COMPLEX
    return (scalar){at[0], conj ? -at[1] : at[1]};
#else
    (void)conj;
    return (scalar){at[0], 0};
#endif
}

static inline scalar multiply(scalar x, scalar y)
{
#if COMPLEX
    return (scalar){x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
#else
    return (scalar){x.re * y.re, 0};
#endif
}

/* at += alpha * x; a real alpha leaves the parts apart, so that Inf * 0 cannot make a NaN. */
static inline void accumulate(REAL *at, scalar alpha, scalar x)
{
#if COMPLEX
    if (alpha.im != 0)
        x = multiply(alpha, x), alpha.re = 1;
    at[1] += alpha.re * x.im;
#endif
    at[0] += alpha.re * x.re;
}

static inline matrix transposed(matrix a)
{
    return (matrix){a.at, a.cs, a.rs, a.conj};
}

static inline matrix part(matrix a, dim i, dim j)
{
    a.at += i * a.rs + j * a.cs;
    return a;
}

/* C = beta * C. A beta of zero overwrites: C may be uninitialised. */
static void scale(dim m, dim n, scalar beta, matrix c)
{
    if (beta.re == 1 && beta.im == 0)
        return;
    for (dim j = 0; j < n; j++)
        for (dim i = 0; i < m; i++) {
            REAL *at = part(c, i, j).at;
            scalar old = load(at, 0), new = {0, 0};
            if (beta.im != 0)
                new = multiply(beta, old);
            else if (beta.re != 0)
                new = (scalar){beta.re * old.re, beta.re * old.im};
            at[0] = new.re;
            if (COMPLEX)
                at[PLANES - 1] = new.im;
        }
}

/* Copy one plane of a block into panels of `width` rows, each panel depth after depth, padded
 * with zeros. */
static void pack(REAL *out, matrix a, int plane, dim rows, dim depth, dim width)
{
    const REAL sign = plane && a.conj ? -1 : 1;
    const REAL *in = a.at + plane;
    for (dim top = 0; top < rows; top += width, in += width * a.rs, out += width * depth) {
        dim height = MIN(width, rows - top);
        if (height < width)
            memset(out, 0, sizeof(REAL) * (size_t)(width * depth));
        if (a.rs <= a.cs)
            for (dim p = 0; p < depth; p++)
                for (dim i = 0; i < height; i++)
                    out[p * width + i] = sign * in[i * a.rs + p * a.cs];
        else
            for (dim i = 0; i < height; i++)
                for (dim p = 0; p < depth; p++)
                    out[p * width + i] = sign * in[i * a.rs + p * a.cs];
    }
}

/* tile[NR][MR] = a panel times a panel. */
static void micro(dim depth, const REAL *restrict a, const REAL *restrict b, REAL *restrict tile)
{
    FUSED
    vector sum[NR][MV] = {{{0}}};
    for (dim p = 0; p < depth; p++, a += MR, b += NR) {
        const vector *column = (const vector *)a;
        UNROLL for (int j = 0; j < NR; j++)
            UNROLL for (int v = 0; v < MV; v++)
                sum[j][v] += column[v] * b[j];
    }
    memcpy(tile, sum, sizeof sum);
}

/* C += alpha * (one tile of the packed product). Panels of the imaginary plane lie one block on.
 * A complex tile takes four real products. */
static void add_tile(dim depth, const REAL *a, dim a_plane, const REAL *b, dim b_plane,
                     scalar alpha, matrix c, dim m, dim n)
{
    _Alignas(VECTOR_BYTES) REAL re[NR][MR];
    micro(depth, a, b, re[0]);
#if COMPLEX
    _Alignas(VECTOR_BYTES) REAL ii[NR][MR], ri[NR][MR], ir[NR][MR];
    micro(depth, a + a_plane, b + b_plane, ii[0]);
    micro(depth, a, b + b_plane, ri[0]);
    micro(depth, a + a_plane, b, ir[0]);
#else
    (void)a_plane, (void)b_plane;
#endif
    for (dim j = 0; j < n; j++)
        for (dim i = 0; i < m; i++) {
#if COMPLEX
            scalar sum = {re[j][i] - ii[j][i], ri[j][i] + ir[j][i]};
#else
            scalar sum = {re[j][i], 0};
#endif
            accumulate(part(c, i, j).at, alpha, sum);
        }
}

/* C += alpha * A * B without any memory of its own. */
static void gemm_plain(dim m, dim n, dim k, scalar alpha, matrix a, matrix b, matrix c)
{
    for (dim j = 0; j < n; j++)
        for (dim i = 0; i < m; i++) {
            scalar sum = {0, 0};
            for (dim p = 0; p < k; p++) {
                scalar product = multiply(load(part(a, i, p).at, a.conj),
                                          load(part(b, p, j).at, b.conj));
                sum.re += product.re;
                sum.im += product.im;
            }
            accumulate(part(c, i, j).at, alpha, sum);
        }
}

static inline dim round_up(dim n, dim step)
{
    return (n + step - 1) / step * step;
}

/* C += alpha * A * B over one block of packed B. */
static void gemm_block(dim m, dim n, dim k, scalar alpha, matrix a, matrix c, REAL *packed_a,
                       const REAL *packed_b, dim b_plane)
{
    for (dim top = 0; top < m; top += MC) {
        dim rows = MIN(MC, m - top), a_plane = round_up(rows, MR) * k;
        for (int plane = 0; plane < PLANES; plane++)
            pack(packed_a + plane * a_plane, part(a, top, 0), plane, rows, k, MR);
        for (dim j = 0; j < n; j += NR)
            for (dim i = 0; i < rows; i += MR)
                add_tile(k, packed_a + i * k, a_plane, packed_b + j * k, b_plane, alpha,
                         part(c, top + i, j), MIN(MR, rows - i), MIN(NR, n - j));
    }
}

/* C += alpha * A * B, with A m by k, B k by n and C m by n; C must overlap neither. */
static void multiply_add(dim m, dim n, dim k, scalar alpha, matrix a, matrix b, matrix c)
{
    if (m <= 0 || n <= 0 || k <= 0 || (alpha.re == 0 && alpha.im == 0))
        return;
    if (c.rs > c.cs) {                          /* row-major C: its transpose is column-major */
        matrix swapped = transposed(a);
        dim count = m;
        a = transposed(b), b = swapped, c = transposed(c), m = n, n = count;
    }
    dim depth = MIN(k, KC), rows = MIN(m, MC), columns = MIN(n, NC);
    size_t a_size = (size_t)(PLANES * round_up(rows, MR) * depth);
    size_t b_size = (size_t)(PLANES * round_up(columns, NR) * depth);
    size_t bytes = (a_size + b_size) * sizeof(REAL);
    REAL *memory = (double)m * (double)n * (double)k <= SMALL
                       ? NULL
                       : aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) {
        gemm_plain(m, n, k, alpha, a, b, c);
        return;
    }
    for (dim left = 0; left < n; left += NC)
        for (dim front = 0; front < k; front += KC) {
            dim width = MIN(NC, n - left), length = MIN(KC, k - front);
            dim b_plane = round_up(width, NR) * length;
            for (int plane = 0; plane < PLANES; plane++)
                pack(memory + a_size + plane * b_plane, transposed(part(b, front, left)), plane,
                     width, length, NR);
            gemm_block(m, width, length, alpha, part(a, 0, front), part(c, 0, left), memory,
                       memory + a_size, b_plane);
        }
    free(memory);
}

/* One triangle of C = alpha * A * A' + beta * C; A is n by k. `other` is A', or its conjugate for
 * a Hermitian product, whose diagonal is real by definition. */
static void rank_k(int upper, dim n, dim k, scalar alpha, matrix a, matrix other, scalar beta,
                   matrix c, int hermitian)
{
    REAL block[NB * NB * PLANES];
    for (dim top = 0; top < n; top += NB) {
        dim order = MIN(NB, n - top), below = n - top - order;
        matrix corner = part(c, top, top), square = {block, PLANES, PLANES * NB, 0};
        memset(block, 0, sizeof block);
        multiply_add(order, order, k, alpha, part(a, top, 0), part(other, 0, top), square);
        for (dim j = 0; j < order; j++)
            for (dim i = upper ? 0 : j; i < (upper ? j + 1 : order); i++) {
                REAL *at = part(corner, i, j).at;
                scale(1, 1, beta, part(corner, i, j));
                accumulate(at, (scalar){1, 0}, load(part(square, i, j).at, 0));
                if (hermitian && i == j)
                    at[PLANES - 1] = 0;
            }
        matrix strip = upper ? part(c, top, top + order) : part(c, top + order, top);
        scale(upper ? order : below, upper ? below : order, beta, strip);
        if (upper)
            multiply_add(order, below, k, alpha, part(a, top, 0), part(other, 0, top + order),
                         strip);
        else
            multiply_add(below, order, k, alpha, part(a, top + order, 0), part(other, 0, top),
                         strip);
    }
}

/* x / y without overflow in between (Smith, 1962). */
static inline scalar divide(scalar x, scalar y)
{
#if COMPLEX
    REAL size_re = y.re < 0 ? -y.re : y.re, size_im = y.im < 0 ? -y.im : y.im;
    if (size_re >= size_im) {
        REAL ratio = y.im / y.re, below = y.re + y.im * ratio;
        return (scalar){(x.re + x.im * ratio) / below, (x.im - x.re * ratio) / below};
    }
    REAL ratio = y.re / y.im, below = y.im + y.re * ratio;
    return (scalar){(x.re * ratio + x.im) / below, (x.im * ratio - x.re) / below};
#else
    return (scalar){x.re / y.re, 0};
#endif
}

/* Solve T * X = B in place for a triangle of at most NB rows and at most WIDTH columns of B, both
 * copied to where vectors can take them. */
static void solve_block(int upper, int unit, dim order, dim columns, matrix t, matrix b)
{
    REAL x[NB][PLANES][WIDTH] = {{{0}}};
    for (dim i = 0; i < order; i++)
        for (dim j = 0; j < columns; j++)
            for (int plane = 0; plane < PLANES; plane++)
                x[i][plane][j] = part(b, i, j).at[plane];
    for (dim step = 0; step < order; step++) {
        dim i = upper ? order - 1 - step : step;
        scalar pivot = load(part(t, i, i).at, t.conj);
        for (dim j = 0; j < WIDTH && !unit; j++) {
            scalar value = divide((scalar){x[i][0][j], x[i][PLANES - 1][j]}, pivot);
            x[i][0][j] = value.re;
            if (COMPLEX)
                x[i][PLANES - 1][j] = value.im;
        }
        for (dim r = upper ? 0 : i + 1; r < (upper ? i : order); r++) {
            FUSED
            scalar factor = load(part(t, r, i).at, t.conj);
            for (dim j = 0; j < WIDTH; j++) {
                x[r][0][j] -= factor.re * x[i][0][j];
#if COMPLEX
                x[r][0][j] += factor.im * x[i][1][j];
                x[r][1][j] -= factor.re * x[i][1][j];
                x[r][1][j] -= factor.im * x[i][0][j];
#endif
            }
        }
    }
    for (dim i = 0; i < order; i++)
        for (dim j = 0; j < columns; j++)
            for (int plane = 0; plane < PLANES; plane++)
                part(b, i, j).at[plane] = x[i][plane][j];
}

/* Solve T * X = B in place; T is a triangle of m rows, B is m by n. */
static void solve(int upper, int unit, dim m, dim n, matrix t, matrix b)
{
    const scalar minus = {-1, 0};
    dim blocks = (m + NB - 1) / NB;
    for (dim step = 0; step < blocks; step++) {
        dim top = (upper ? blocks - 1 - step : step) * NB, order = MIN(NB, m - top);
        for (dim left = 0; left < n; left += WIDTH)
            solve_block(upper, unit, order, MIN(WIDTH, n - left), part(t, top, top),
                        part(b, top, left));
        if (upper)
            multiply_add(top, n, order, minus, part(t, 0, top), part(b, top, 0), b);
        else
            multiply_add(m - top - order, n, order, minus, part(t, top + order, top),
                         part(b, top, 0), part(b, top + order, 0));
    }
}

/* The sum of x[i] * y[i]; strides count REALs. */
static scalar dot(dim n, const REAL *x, dim x_step, int conj, const REAL *y, dim y_step)
{
    FREE_ORDER
#if COMPLEX
    REAL rr = 0, ii = 0, ri = 0, ir = 0;
    for (dim i = 0; i < n; i++, x += x_step, y += y_step) {
        rr += x[0] * y[0];
        ii += x[1] * y[1];
        ri += x[0] * y[1];
        ir += x[1] * y[0];
    }
    return conj ? (scalar){rr + ii, ri - ir} : (scalar){rr - ii, ri + ir};
#else
    REAL sum = 0;
    (void)conj;
    if (x_step == 1 && y_step == 1)
        for (dim i = 0; i < n; i++)
            sum += x[i] * y[i];
    else
        for (dim i = 0; i < n; i++)
            sum += x[i * x_step] * y[i * y_step];
    return (scalar){sum, 0};
#endif
}

/* y += alpha * x, element by element. */
static void axpy(dim n, scalar alpha, const REAL *x, dim x_step, int conj, REAL *y, dim y_step)
{
    FUSED
    if (!COMPLEX && x_step == 1 && y_step == 1)
        for (dim i = 0; i < n; i++)
            y[i] += alpha.re * x[i];
    else
        for (dim i = 0; i < n; i++)
            accumulate(y + i * y_step, alpha, load(x + i * x_step, conj));
}

/* y += alpha * A * x; A is m by n. */
static void matrix_vector(dim m, dim n, scalar alpha, matrix a, const REAL *x, dim x_step, REAL *y,
                          dim y_step)
{
    if (a.rs < a.cs)
        for (dim j = 0; j < n; j++)
            axpy(m, multiply(alpha, load(x + j * x_step, 0)), part(a, 0, j).at, a.rs, a.conj, y,
                 y_step);
    else
        for (dim i = 0; i < m; i++)
            accumulate(y + i * y_step, alpha,
                       dot(n, part(a, i, 0).at, a.cs, a.conj, x, x_step));
}
