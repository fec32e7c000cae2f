// The register tiles of the float32 matrix product: with A by rows and, for the gradients of weights, by columns.
//
// The tile of C lives in registers over the whole depth; each step loads one row of the panel and broadcasts one value
// from each row of A. Every element is one chain of fused multiply-adds in ascending k, whatever the tile around it.
#include "simd.h"

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_product_tile_portable(
    int64_t rows, int64_t columns, int64_t depth, const float *const *a, const float *panel, float *c, int64_t ldc,
    int accumulate) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            float sum = accumulate ? c[r * ldc + j] : 0;
            for (int64_t k = 0; k < depth; k++) sum += a[r][k] * panel[k * VLM_TILE_COLUMNS_PORTABLE + j];
            c[r * ldc + j] = sum;
        }
}

void vlm_window_tile_portable(
    int64_t rows, int64_t columns, int64_t runs, int64_t depth, const float *const *a, int64_t step, const float *panel,
    float *c, int64_t ldc) {
    const float *row[VLM_TILE_ROWS_PORTABLE];
    for (int64_t r = 0; r < rows; r++) row[r] = a[r];
    for (int64_t u = 0; u < runs; u++, panel += depth * VLM_TILE_COLUMNS_PORTABLE) {
        vlm_product_tile_portable(rows, columns, depth, row, panel, c, ldc, u > 0);
        for (int64_t r = 0; r < rows; r++) row[r] += step;
    }
}

void vlm_outer_tile_portable(
    int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const float *panel, float *c,
    int64_t ldc, int accumulate) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            float sum = accumulate ? c[r * ldc + j] : 0;
            for (int64_t k = 0; k < depth; k++) sum += a[k * lda + r] * panel[k * VLM_TILE_COLUMNS_PORTABLE + j];
            c[r * ldc + j] = sum;
        }
}

#ifdef VLM_X86

/// Calls `run(rows, vectors)` with both arguments constant, so that each tile shape is compiled for itself.
#define VLM_CASE(run, r)                                                                                             \
    case r:                                                                                                          \
        if (wide)                                                                                                    \
            run(r, 2);                                                                                               \
        else                                                                                                         \
            run(r, 1);                                                                                               \
        break;

// ---- AVX2 --------------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX2 void tile_avx2(
    int rows, int vectors, int64_t columns, int64_t runs, int64_t depth, const float *const *a, int64_t step,
    const float *panel, float *c, int64_t ldc, int accumulate) {
    __m256 sum[VLM_TILE_ROWS_AVX2][2];
    const float *row[VLM_TILE_ROWS_AVX2];
    VLM_UNROLL for (int r = 0; r < rows; r++) {
        row[r] = a[r];
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = accumulate ? load8(c + r * ldc + 8 * v, columns - 8 * v) : _mm256_setzero_ps();
    }
    for (int64_t u = 0; u < runs; u++)
        for (int64_t k = u * step, end = k + depth; k < end; k++, panel += VLM_TILE_COLUMNS_AVX2) {
            __m256 b[2];
            VLM_UNROLL for (int v = 0; v < vectors; v++) b[v] = _mm256_loadu_ps(panel + 8 * v);
            VLM_UNROLL for (int r = 0; r < rows; r++) {
                __m256 x = _mm256_broadcast_ss(row[r] + k);
                VLM_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = _mm256_fmadd_ps(x, b[v], sum[r][v]);
            }
        }
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < vectors; v++) store8(c + r * ldc + 8 * v, columns - 8 * v, sum[r][v]);
}

VLM_AVX2 void vlm_product_tile_avx2(
    int64_t rows, int64_t columns, int64_t depth, const float *const *a, const float *panel, float *c, int64_t ldc,
    int accumulate) {
#define RUN(r, v) tile_avx2(r, v, columns, 1, depth, a, 0, panel, c, ldc, accumulate)
    int wide = columns > 8;
    switch (rows) {
        VLM_CASE(RUN, 1) VLM_CASE(RUN, 2) VLM_CASE(RUN, 3) VLM_CASE(RUN, 4) VLM_CASE(RUN, 5) VLM_CASE(RUN, 6)
    }
#undef RUN
}

VLM_AVX2 void vlm_window_tile_avx2(
    int64_t rows, int64_t columns, int64_t runs, int64_t depth, const float *const *a, int64_t step, const float *panel,
    float *c, int64_t ldc) {
#define RUN(r, v) tile_avx2(r, v, columns, runs, depth, a, step, panel, c, ldc, 0)
    int wide = columns > 8;
    switch (rows) {
        VLM_CASE(RUN, 1) VLM_CASE(RUN, 2) VLM_CASE(RUN, 3) VLM_CASE(RUN, 4) VLM_CASE(RUN, 5) VLM_CASE(RUN, 6)
    }
#undef RUN
}

VLM_INLINE VLM_AVX2 void outer_avx2(
    int rows, int vectors, int64_t columns, int64_t depth, const float *a, int64_t lda, const float *panel, float *c,
    int64_t ldc, int accumulate) {
    __m256 sum[VLM_TILE_ROWS_AVX2][2];
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = accumulate ? load8(c + r * ldc + 8 * v, columns - 8 * v) : _mm256_setzero_ps();
    for (int64_t k = 0; k < depth; k++, a += lda) {
        __m256 b[2];
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            b[v] = _mm256_loadu_ps(panel + k * VLM_TILE_COLUMNS_AVX2 + 8 * v);
        VLM_UNROLL for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(a + r);
            VLM_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = _mm256_fmadd_ps(x, b[v], sum[r][v]);
        }
    }
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < vectors; v++) store8(c + r * ldc + 8 * v, columns - 8 * v, sum[r][v]);
}

VLM_AVX2 void vlm_outer_tile_avx2(
    int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const float *panel, float *c,
    int64_t ldc, int accumulate) {
#define RUN(r, v) outer_avx2(r, v, columns, depth, a, lda, panel, c, ldc, accumulate)
    int wide = columns > 8;
    switch (rows) {
        VLM_CASE(RUN, 1) VLM_CASE(RUN, 2) VLM_CASE(RUN, 3) VLM_CASE(RUN, 4) VLM_CASE(RUN, 5) VLM_CASE(RUN, 6)
    }
#undef RUN
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX512 void tile_avx512(
    int rows, int vectors, int64_t columns, int64_t runs, int64_t depth, const float *const *a, int64_t step,
    const float *panel, float *c, int64_t ldc, int accumulate) {
    __m512 sum[VLM_TILE_ROWS_AVX512][2];
    const float *row[VLM_TILE_ROWS_AVX512];
    VLM_UNROLL for (int r = 0; r < rows; r++) {
        row[r] = a[r];
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = accumulate ? load16(c + r * ldc + 16 * v, columns - 16 * v) : _mm512_setzero_ps();
    }
#define VLM_STEPS(steps)                                                                                             \
    VLM_UNROLL for (int i = 0; i < (steps); i++, panel += VLM_TILE_COLUMNS_AVX512) {                                 \
        __m512 b[2];                                                                                                 \
        VLM_UNROLL for (int v = 0; v < vectors; v++) b[v] = _mm512_loadu_ps(panel + 16 * v);                         \
        VLM_UNROLL for (int r = 0; r < rows; r++) {                                                                  \
            const __m512 x = is_operand(r, vectors) ? b[0] : _mm512_set1_ps(row[r][i]);                              \
            VLM_UNROLL for (int v = 0; v < vectors; v++)                                                             \
                sum[r][v] = is_operand(r, vectors) ? fmadd_at(row[r] + i, b[v], sum[r][v])                           \
                                                   : _mm512_fmadd_ps(x, b[v], sum[r][v]);                            \
        }                                                                                                            \
    }                                                                                                                \
    VLM_ADVANCE(rows, row, steps)
    for (int64_t u = 0; u < runs; u++) {
        int64_t left = depth;
        VLM_NO_UNROLL for (; left >= 4; left -= 4) { VLM_STEPS(4) }
        VLM_NO_UNROLL for (; left > 0; left--) { VLM_STEPS(1) }
        VLM_ADVANCE(rows, row, step - depth)
    }
#undef VLM_STEPS
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < vectors; v++) store16(c + r * ldc + 16 * v, columns - 16 * v, sum[r][v]);
}

VLM_AVX512 void vlm_product_tile_avx512(
    int64_t rows, int64_t columns, int64_t depth, const float *const *a, const float *panel, float *c, int64_t ldc,
    int accumulate) {
#define RUN(r, v) tile_avx512(r, v, columns, 1, depth, a, 0, panel, c, ldc, accumulate)
    int wide = columns > 16;
    switch (rows) {
        VLM_CASE(RUN, 1) VLM_CASE(RUN, 2) VLM_CASE(RUN, 3) VLM_CASE(RUN, 4) VLM_CASE(RUN, 5) VLM_CASE(RUN, 6)
        VLM_CASE(RUN, 7) VLM_CASE(RUN, 8) VLM_CASE(RUN, 9) VLM_CASE(RUN, 10) VLM_CASE(RUN, 11) VLM_CASE(RUN, 12)
    }
#undef RUN
}

VLM_AVX512 void vlm_window_tile_avx512(
    int64_t rows, int64_t columns, int64_t runs, int64_t depth, const float *const *a, int64_t step, const float *panel,
    float *c, int64_t ldc) {
#define RUN(r, v) tile_avx512(r, v, columns, runs, depth, a, step, panel, c, ldc, 0)
    int wide = columns > 16;
    switch (rows) {
        VLM_CASE(RUN, 1) VLM_CASE(RUN, 2) VLM_CASE(RUN, 3) VLM_CASE(RUN, 4) VLM_CASE(RUN, 5) VLM_CASE(RUN, 6)
        VLM_CASE(RUN, 7) VLM_CASE(RUN, 8) VLM_CASE(RUN, 9) VLM_CASE(RUN, 10) VLM_CASE(RUN, 11) VLM_CASE(RUN, 12)
    }
#undef RUN
}

VLM_INLINE VLM_AVX512 void outer_avx512(
    int rows, int vectors, int64_t columns, int64_t depth, const float *a, int64_t lda, const float *panel, float *c,
    int64_t ldc, int accumulate) {
    __m512 sum[VLM_TILE_ROWS_AVX512][2];
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = accumulate ? load16(c + r * ldc + 16 * v, columns - 16 * v) : _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k++, a += lda) {
        __m512 b[2];
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            b[v] = _mm512_loadu_ps(panel + k * VLM_TILE_COLUMNS_AVX512 + 16 * v);
        VLM_UNROLL for (int r = 0; r < rows; r++) {
            __m512 x = _mm512_set1_ps(a[r]);
            VLM_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_fmadd_ps(x, b[v], sum[r][v]);
        }
    }
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < vectors; v++) store16(c + r * ldc + 16 * v, columns - 16 * v, sum[r][v]);
}

VLM_AVX512 void vlm_outer_tile_avx512(
    int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const float *panel, float *c,
    int64_t ldc, int accumulate) {
#define RUN(r, v) outer_avx512(r, v, columns, depth, a, lda, panel, c, ldc, accumulate)
    int wide = columns > 16;
    switch (rows) {
        VLM_CASE(RUN, 1) VLM_CASE(RUN, 2) VLM_CASE(RUN, 3) VLM_CASE(RUN, 4) VLM_CASE(RUN, 5) VLM_CASE(RUN, 6)
        VLM_CASE(RUN, 7) VLM_CASE(RUN, 8) VLM_CASE(RUN, 9) VLM_CASE(RUN, 10) VLM_CASE(RUN, 11) VLM_CASE(RUN, 12)
    }
#undef RUN
}

#endif
