// Products of few rows: dot products along the depth, and weighted sums of rows.
//
// These read each weight once and are bound by memory. Several rows of weights are read side by side: one stream of
// 4 KB pages reaches little more than half the bandwidth that eight interleaved ones do. Lane l of an element's one
// accumulator sums k = l, l + lanes, ...; the lanes are added in a fixed order at the end, so that an element does
// not depend on what is computed beside it.
#include "simd.h"

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_product_dots_portable(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
    int64_t ldw, float *c, int64_t ldc) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            float sum = 0;
            for (int64_t k = 0; k < depth; k++) sum += a[r * lda + k] * vlm_load(type, w, j * ldw + k);
            c[r * ldc + j] = sum;
        }
}

void vlm_weighted_sum_portable(
    int64_t count, int64_t width, const float *weights, const float *values, int64_t ldv, float *out) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < width; j++) out[j] += weights[i] * values[i * ldv + j];
}

#ifdef VLM_X86

// Rows of keys and values of one head are short and far apart, so that the processor does not find out what comes next.
enum { AHEAD_ROWS = 8, SHORT_BYTES = 1024, LINE = 64 };

VLM_INLINE void expect_row(const void *row, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += LINE) __builtin_prefetch((const char *)row + i);
}

VLM_INLINE void expect_rows(vlm_element type, int64_t rows, int64_t depth, const void *w, int64_t ldw) {
    const int64_t bytes = depth * (int64_t)vlm_element_bytes(type);
    for (int64_t i = 0; bytes <= SHORT_BYTES && i < rows; i++) expect_row(vlm_at(type, w, i * ldw), bytes);
}

// ---- AVX2 --------------------------------------------------------------------------------------------------------

/// `block` (4 or 8) columns, of which the first `columns` exist and are stored, for 1 or 2 rows.
VLM_INLINE VLM_AVX2 void dots_avx2(
    vlm_element type, int rows, int block, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
    int64_t ldw, float *c, int64_t ldc) {
    __m256 sum[2][8];
    const char *stream[8];
    VLM_UNROLL for (int j = 0; j < block; j++) {
        stream[j] = vlm_at(type, w, vlm_min(j, columns - 1) * ldw);
        VLM_UNROLL for (int r = 0; r < rows; r++) sum[r][j] = _mm256_setzero_ps();
    }
    VLM_EACH(8, k, depth, {
        __m256 x[2];
        VLM_UNROLL for (int r = 0; r < rows; r++) x[r] = load8(a + r * lda + k, count);
        VLM_UNROLL for (int j = 0; j < block; j++) {
            __m256 b = widen8(type, stream[j], k, count);
            VLM_UNROLL for (int r = 0; r < rows; r++) sum[r][j] = _mm256_fmadd_ps(x[r], b, sum[r][j]);
        }
    });
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int j = 0; j < block; j += 4) {
            __m128 four = sums8(sum[r][j], sum[r][j + 1], sum[r][j + 2], sum[r][j + 3]);
            if (columns >= j + 4)
                _mm_storeu_ps(c + r * ldc + j, four);
            else
                _mm_maskstore_ps(c + r * ldc + j, _mm256_castsi256_si128(lanes8(columns - j)), four);
        }
}

VLM_INLINE VLM_AVX2 void product_dots_avx2(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
    int64_t ldw, float *c, int64_t ldc) {
    for (int64_t j = 0; j < columns; j += 8) {
        expect_rows(type, vlm_min(8, columns - j - 8), depth, vlm_at(type, w, (j + 8) * ldw), ldw);
        for (int64_t r = 0; r < rows; r += 2)
            if (rows - r == 1)
                dots_avx2(
                    type, 1, 8, columns - j, depth, a + r * lda, lda, vlm_at(type, w, j * ldw), ldw, c + r * ldc + j,
                    ldc);
            else
                for (int64_t i = j; i < vlm_min(j + 8, columns); i += 4)
                    dots_avx2(
                        type, 2, 4, columns - i, depth, a + r * lda, lda, vlm_at(type, w, i * ldw), ldw,
                        c + r * ldc + i, ldc);
    }
}

VLM_AVX2 void vlm_product_dots_avx2(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
    int64_t ldw, float *c, int64_t ldc) {
    switch (type) {
    case VLM_F32: product_dots_avx2(VLM_F32, rows, columns, depth, a, lda, w, ldw, c, ldc); break;
    case VLM_BF16: product_dots_avx2(VLM_BF16, rows, columns, depth, a, lda, w, ldw, c, ldc); break;
    case VLM_F16: product_dots_avx2(VLM_F16, rows, columns, depth, a, lda, w, ldw, c, ldc); break;
    default: break;  // blocks are dequantised before they are packed or multiplied
    }
}

/// `vectors` vectors of the output, the last of which may be partial.
VLM_INLINE VLM_AVX2 void weighted_sum8(
    int vectors, int64_t count, int64_t width, const float *weights, const float *values, int64_t ldv, float *out) {
    __m256 sum[8];
    VLM_UNROLL for (int v = 0; v < vectors; v++) sum[v] = load8(out + 8 * v, width - 8 * v);
    for (int64_t i = 0; i < count; i++) {
        expect_row(values + (i + AHEAD_ROWS) * ldv, vectors * 32);
        __m256 x = _mm256_broadcast_ss(weights + i);
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            sum[v] = _mm256_fmadd_ps(x, load8(values + i * ldv + 8 * v, width - 8 * v), sum[v]);
    }
    VLM_UNROLL for (int v = 0; v < vectors; v++) store8(out + 8 * v, width - 8 * v, sum[v]);
}

VLM_AVX2 void vlm_weighted_sum_avx2(
    int64_t count, int64_t width, const float *weights, const float *values, int64_t ldv, float *out) {
    int64_t j = 0;
    for (; j + 64 <= width; j += 64) weighted_sum8(8, count, 64, weights, values + j, ldv, out + j);
    for (; j + 16 <= width; j += 16) weighted_sum8(2, count, 16, weights, values + j, ldv, out + j);
    for (; j + 8 <= width; j += 8) weighted_sum8(1, count, 8, weights, values + j, ldv, out + j);
    if (j < width) weighted_sum8(1, count, width - j, weights, values + j, ldv, out + j);
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

/// `block` (4 or 8) columns, of which the first `columns` exist and are stored, for 1 to 4 rows.
VLM_INLINE VLM_AVX512 void dots_avx512(
    vlm_element type, int rows, int block, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
    int64_t ldw, float *c, int64_t ldc) {
    __m512 sum[4][8];
    const char *stream[8];
    VLM_UNROLL for (int j = 0; j < block; j++) {
        stream[j] = vlm_at(type, w, vlm_min(j, columns - 1) * ldw);
        VLM_UNROLL for (int r = 0; r < rows; r++) sum[r][j] = _mm512_setzero_ps();
    }
    VLM_EACH(16, k, depth, {
        __m512 x[4];
        VLM_UNROLL for (int r = 0; r < rows; r++) x[r] = load16(a + r * lda + k, count);
        VLM_UNROLL for (int j = 0; j < block; j++) {
            __m512 b = widen16(type, stream[j], k, count);
            VLM_UNROLL for (int r = 0; r < rows; r++) sum[r][j] = _mm512_fmadd_ps(x[r], b, sum[r][j]);
        }
    });
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int j = 0; j < block; j += 4) {
            __m128 four = sums8(fold16(sum[r][j]), fold16(sum[r][j + 1]), fold16(sum[r][j + 2]), fold16(sum[r][j + 3]));
            if (columns >= j + 4)
                _mm_storeu_ps(c + r * ldc + j, four);
            else
                _mm_mask_storeu_ps(c + r * ldc + j, (__mmask8)lanes16(columns - j), four);
        }
}

VLM_INLINE VLM_AVX512 void product_dots_avx512(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
    int64_t ldw, float *c, int64_t ldc) {
#define RUN(r, block, i)                                                                                             \
    dots_avx512(                                                                                                     \
        type, r, block, columns - (i), depth, a + row * lda, lda, vlm_at(type, w, (i) * ldw), ldw,                   \
        c + row * ldc + (i), ldc)
    for (int64_t j = 0; j < columns; j += 8) {
        expect_rows(type, vlm_min(8, columns - j - 8), depth, vlm_at(type, w, (j + 8) * ldw), ldw);
        for (int64_t row = 0; row < rows; row += 4)
            switch (vlm_min(4, rows - row)) {
            case 1: RUN(1, 8, j); break;
            case 2: RUN(2, 8, j); break;
            case 3: RUN(3, 8, j); break;
            case 4:
                RUN(4, 4, j);
                if (j + 4 < columns) RUN(4, 4, j + 4);
                break;
            }
    }
#undef RUN
}

VLM_AVX512 void vlm_product_dots_avx512(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
    int64_t ldw, float *c, int64_t ldc) {
    switch (type) {
    case VLM_F32: product_dots_avx512(VLM_F32, rows, columns, depth, a, lda, w, ldw, c, ldc); break;
    case VLM_BF16: product_dots_avx512(VLM_BF16, rows, columns, depth, a, lda, w, ldw, c, ldc); break;
    case VLM_F16: product_dots_avx512(VLM_F16, rows, columns, depth, a, lda, w, ldw, c, ldc); break;
    default: break;  // blocks are dequantised before they are packed or multiplied
    }
}

/// `vectors` vectors of the output, the last of which may be partial.
VLM_INLINE VLM_AVX512 void weighted_sum16(
    int vectors, int64_t count, int64_t width, const float *weights, const float *values, int64_t ldv, float *out) {
    __m512 sum[8];
    VLM_UNROLL for (int v = 0; v < vectors; v++) sum[v] = load16(out + 16 * v, width - 16 * v);
    for (int64_t i = 0; i < count; i++) {
        expect_row(values + (i + AHEAD_ROWS) * ldv, vectors * 64);
        __m512 x = _mm512_set1_ps(weights[i]);
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            sum[v] = _mm512_fmadd_ps(x, load16(values + i * ldv + 16 * v, width - 16 * v), sum[v]);
    }
    VLM_UNROLL for (int v = 0; v < vectors; v++) store16(out + 16 * v, width - 16 * v, sum[v]);
}

VLM_AVX512 void vlm_weighted_sum_avx512(
    int64_t count, int64_t width, const float *weights, const float *values, int64_t ldv, float *out) {
    int64_t j = 0;
    for (; j + 128 <= width; j += 128) weighted_sum16(8, count, 128, weights, values + j, ldv, out + j);
    for (; j + 64 <= width; j += 64) weighted_sum16(4, count, 64, weights, values + j, ldv, out + j);
    for (; j + 16 <= width; j += 16) weighted_sum16(1, count, 16, weights, values + j, ldv, out + j);
    if (j < width) weighted_sum16(1, count, width - j, weights, values + j, ldv, out + j);
}

#endif
