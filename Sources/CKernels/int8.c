// Products in which a row and a row of the weight have one scale each: rows and weights of 8-bit integers, 32-bit sums.
//
//     c = (sum (code - 128) a) d s        codes and their scale d of a column, integers a and their scale s of a row
//
// One scale suits a row badly of which a few values are far larger than the rest, as transformers have them. So rows and
// weights are rotated before they are rounded: runs of up to 128 values are multiplied by a Hadamard matrix, after signs
// that look random (QuaRot, arXiv 2404.00456). Products stay what they are, because a Hadamard matrix times its transpose is
// a multiple of the identity, but every value is now a sum over its run: large ones are spread, and all are about normal.
//
// A panel holds 16 rows of the weight (columns of the product): their scales, float [16], then the codes, unsigned,
// [depth / 4][16][4] bytes: what `vpdpbusd` wants. Sums are exact up to a depth of 2^16, so every version gives the same
// bits, however the product is split.
#include <math.h>

#include "quantized.h"
#include "simd.h"

#pragma STDC FP_CONTRACT OFF

enum { PANEL_COLUMNS = 16, CENTER = 128, HEAD_BYTES = 64, LONGEST_RUN = 128 };

// ---- rotation ----------------------------------------------------------------------------------------------------

/// Values that are rotated together: the largest power of 2 that divides the depth, up to 128.
static inline int64_t run_of(int64_t depth) { return vlm_min(depth & -depth, LONGEST_RUN); }

/// Sign bits of a run, one a value.
static const uint32_t signs[LONGEST_RUN / 32] = {0x9A6F1C35, 0x3BD80E57, 0x64E92DA3, 0xC5173B8E};

static inline float with_sign(float x, int64_t i) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return vlm_bits_float(bits ^ (signs[i / 32] >> i % 32 & 1) << 31);
}

/// Rotates every run of x; the length of a run grows by its square root. All versions add in the same order.
static void rotate_portable(int64_t depth, const float *x, float *y) {
    const int64_t run = run_of(depth);
    for (int64_t start = 0; start < depth; start += run, y += run) {
        for (int64_t i = 0; i < run; i++) y[i] = with_sign(x[start + i], i);
        for (int64_t half = 1; half < run; half *= 2)
            for (int64_t first = 0; first < run; first += 2 * half)
                for (int64_t i = first; i < first + half; i++) {
                    float sum = y[i] + y[i + half], difference = y[i] - y[i + half];
                    y[i] = sum;
                    y[i + half] = difference;
                }
    }
}

// ---- rounding ----------------------------------------------------------------------------------------------------

/// Rounds a rotated row, halves to even.
VLM_INLINE void describe_row(int64_t depth, const float *rotated, int8_t *q, vlm_row_block *row) {
    uint32_t top = 0;
    for (int64_t i = 0; i < depth; i++) {
        uint32_t bits;
        memcpy(&bits, rotated + i, 4);
        bits &= 0x7FFFFFFF;  // as integers, magnitudes order as they should
        top = bits > top ? bits : top;
    }
    float inverse, scale = vlm_scale_of(top, 127, &inverse);
    int32_t sum = 0;
    if (inverse == 0) memset(q, 0, (size_t)depth);
    // Beside 1.5 2^23 a float counts in units of 1: an addition rounds, and leaves the integer in the last bits.
    for (int64_t i = 0; i < (inverse == 0 ? 0 : depth); i++) {
        float shifted = rotated[i] * inverse + 12582912.0f;
        int32_t code;
        memcpy(&code, &shifted, 4);
        code -= 0x4B400000;
        q[i] = (int8_t)code;
        sum += code;
    }
    *row = (vlm_row_block){.scale = scale, .scaled_sum = scale * (float)sum, .minus_sum = -sum};
}

void vlm_int8_row_portable(int64_t depth, const float *x, float *scratch, int8_t *q, vlm_row_block *row) {
    rotate_portable(depth, x, scratch);
    describe_row(depth, scratch, q, row);
}

int64_t vlm_int8_panel_bytes(int64_t depth) { return HEAD_BYTES + PANEL_COLUMNS * depth; }

void vlm_int8_pack(
    const vlm_kernels *k, int64_t columns, int64_t depth, const float *w, float *scratch, int8_t *q, uint8_t *panel) {
    memset(panel, 0, HEAD_BYTES);
    memset(panel + HEAD_BYTES, CENTER, (size_t)(PANEL_COLUMNS * depth));
    for (int64_t j = 0; j < columns; j++) {
        vlm_row_block row;
        k->int8_row(depth, w + j * depth, scratch, q, &row);
        // Rotating both factors makes the product longer by the run, a power of 2.
        float scale = row.scale / (float)run_of(depth);
        memcpy(panel + 4 * j, &scale, 4);
        uint8_t *codes = panel + HEAD_BYTES + 4 * j;
        for (int64_t i = 0; i < depth; i += 4) {
            uint32_t four;
            memcpy(&four, q + i, 4);
            four ^= 0x80808080;  // plus CENTER
            memcpy(codes + 16 * i, &four, 4);
        }
    }
}

// ---- portable ----------------------------------------------------------------------------------------------------

static inline float scale_at(const uint8_t *panel, int64_t j) {
    float scale;
    memcpy(&scale, panel + 4 * j, 4);
    return scale;
}

void vlm_int8_tile_portable(
    int64_t rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *scales,
    const uint8_t *panel, float *c, int64_t ldc) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            const uint8_t *own = panel + j / PANEL_COLUMNS * vlm_int8_panel_bytes(depth);
            const uint8_t *codes = own + HEAD_BYTES + j % PANEL_COLUMNS * 4;
            int32_t sum = 0;
            for (int64_t k = 0; k < depth; k++) sum += (codes[k / 4 * 64 + k % 4] - CENTER) * q[r * ldq + k];
            c[r * ldc + j] = (float)sum * scale_at(own, j % PANEL_COLUMNS) * scales[r].scale;
        }
}

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

/// Rotates a run of 8 `vectors` values. Products with 1 and -1 are exact: fused or not, sums are rounded once.
VLM_INLINE VLM_AVX2 void rotate_run(int vectors, const float *x, float *y) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), top = _mm256_set1_epi32(INT32_MIN);
    const __m256 odd = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
    const __m256 upper = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
    const __m256 high = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
    __m256 v[LONGEST_RUN / 8];
    VLM_UNROLL for (int i = 0; i < vectors; i++) {
        // Bit 8 i + lane of the signs, moved to the top.
        __m256i left = _mm256_sub_epi32(_mm256_set1_epi32(31 - 8 * (i % 4)), lanes);
        __m256i sign = _mm256_and_si256(top, _mm256_sllv_epi32(_mm256_set1_epi32((int)signs[i / 4]), left));
        __m256 a = _mm256_xor_ps(_mm256_loadu_ps(x + 8 * i), _mm256_castsi256_ps(sign));
        // Within a vector: the partner of each lane, plus the lane or, in the second of a pair, minus it.
        a = _mm256_fmadd_ps(a, odd, _mm256_permute_ps(a, 0xB1));
        a = _mm256_fmadd_ps(a, upper, _mm256_permute_ps(a, 0x4E));
        v[i] = _mm256_fmadd_ps(a, high, _mm256_permute2f128_ps(a, a, 1));
    }
    VLM_UNROLL for (int half = 1; half < vectors; half *= 2)
        VLM_UNROLL for (int i = 0; i < vectors; i++) {
            if (i & half) continue;
            __m256 a = v[i], b = v[i + half];
            v[i] = _mm256_add_ps(a, b);
            v[i + half] = _mm256_sub_ps(a, b);
        }
    VLM_UNROLL for (int i = 0; i < vectors; i++) _mm256_storeu_ps(y + 8 * i, v[i]);
}

VLM_AVX2 void vlm_int8_row_avx2(int64_t depth, const float *x, float *scratch, int8_t *q, vlm_row_block *row) {
    const int64_t run = run_of(depth);
    for (int64_t k = 0; k < depth; k += run)
        switch (run) {
        case 128: rotate_run(16, x + k, scratch + k); break;
        case 64: rotate_run(8, x + k, scratch + k); break;
        case 32: rotate_run(4, x + k, scratch + k); break;
        default: rotate_run(2, x + k, scratch + k); break;
        }
    describe_row(depth, scratch, q, row);
}

/// Elements of rows that are widened at a time: of six rows they take 12 KB of the first cache.
enum { WIDE_DEPTH = 1024, WIDE_STRIDE = WIDE_DEPTH + 16 };

/// Goes on with the sums of eight columns, of which each has two: of even pairs of elements and of odd ones. Integers of 16 bits
/// are multiplied: `vpmaddubsw`, which takes bytes, would need their signs apart, and more instructions in all.
VLM_INLINE VLM_AVX2 void wide_dots(
    int rows, int64_t depth, const int16_t *wide, const uint8_t *codes, int32_t sums[VLM_QUANTIZED_ROWS_AVX2][16], int adds) {
    __m256i sum[VLM_QUANTIZED_ROWS_AVX2][2];
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < 2; v++)
            sum[r][v] = adds ? _mm256_loadu_si256((const __m256i *)(sums[r] + 8 * v)) : _mm256_setzero_si256();
    VLM_NO_UNROLL for (int64_t k = 0; k < depth; k += 4) {
        __m256i b[2];
        VLM_UNROLL for (int v = 0; v < 2; v++)
            b[v] = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(codes + 16 * k + 16 * v)));
        VLM_UNROLL for (int r = 0; r < rows; r++) {
            int64_t four;
            memcpy(&four, wide + r * WIDE_STRIDE + k, 8);
            const __m256i a = _mm256_set1_epi64x(four);
            VLM_UNROLL for (int v = 0; v < 2; v++) {
                sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(b[v], a));
                __asm__ volatile("" : "+x"(sum[r][v]));  // or compilers pair steps, and find no registers
            }
        }
    }
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < 2; v++) _mm256_storeu_si256((__m256i *)(sums[r] + 8 * v), sum[r][v]);
}

VLM_INLINE VLM_AVX2 void tile_avx2(
    int rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *scales,
    const uint8_t *panel, float *c, int64_t ldc) {
    enum { EIGHTS = 2 * PANEL_COLUMNS / 8 };
    int16_t wide[VLM_QUANTIZED_ROWS_AVX2 * WIDE_STRIDE];
    int32_t sums[EIGHTS][VLM_QUANTIZED_ROWS_AVX2][16];
    for (int64_t k = 0; k < depth; k += WIDE_DEPTH) {
        const int64_t count = vlm_min(WIDE_DEPTH, depth - k);
        VLM_UNROLL for (int r = 0; r < rows; r++)
            for (int64_t i = 0; i < count; i += 16)
                _mm256_storeu_si256(
                    (__m256i *)(wide + r * WIDE_STRIDE + i),
                    _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(q + r * ldq + k + i))));
        for (int64_t j = 0; j < columns; j += 8)
            wide_dots(
                rows, count, wide,
                panel + j / PANEL_COLUMNS * vlm_int8_panel_bytes(depth) + HEAD_BYTES + j % PANEL_COLUMNS * 4 + 16 * k,
                sums[j / 8], k > 0);
    }
    for (int64_t j = 0; j < columns; j += 8) {
        const uint8_t *own = panel + j / PANEL_COLUMNS * vlm_int8_panel_bytes(depth) + j % PANEL_COLUMNS * 4;
        const __m256 d = _mm256_loadu_ps((const float *)(const void *)own);
        VLM_UNROLL for (int r = 0; r < rows; r++) {
            const int32_t *both = sums[j / 8][r];
            __m256i sum = _mm256_hadd_epi32(
                _mm256_loadu_si256((const __m256i *)both), _mm256_loadu_si256((const __m256i *)(both + 8)));
            // Codes are not centred: the sum of the row's integers says how much too large the sums are.
            sum = _mm256_add_epi32(_mm256_permute4x64_epi64(sum, 0xD8), _mm256_set1_epi32(CENTER * scales[r].minus_sum));
            __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), d);
            store8(c + r * ldc + j, columns - j, _mm256_mul_ps(value, _mm256_set1_ps(scales[r].scale)));
        }
    }
}

#define VLM_CASE(r) case r: tile(r, columns, depth, q, ldq, scales, panel, c, ldc); break;

VLM_AVX2 void vlm_int8_tile_avx2(
    int64_t rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *scales,
    const uint8_t *panel, float *c, int64_t ldc) {
#define tile tile_avx2
    switch (rows) { VLM_CASE(1) VLM_CASE(2) VLM_CASE(3) VLM_CASE(4) VLM_CASE(5) VLM_CASE(6) }
#undef tile
}

// ---- AVX-512 with VNNI -------------------------------------------------------------------------------------------

/// Rotates a run of 16 `vectors` values and returns the largest magnitudes so far, as integers.
VLM_INLINE VLM_AVX512 __m512i rotate_run_avx512(int vectors, const float *x, float *y, __m512i top) {
    const __m512 one = _mm512_set1_ps(1), minus = _mm512_set1_ps(-1);
    const __m512 odd = _mm512_mask_mov_ps(one, 0xAAAA, minus), upper = _mm512_mask_mov_ps(one, 0xCCCC, minus);
    const __m512 high = _mm512_mask_mov_ps(one, 0xF0F0, minus), last = _mm512_mask_mov_ps(one, 0xFF00, minus);
    __m512 v[LONGEST_RUN / 16];
    VLM_UNROLL for (int i = 0; i < vectors; i++) {
        __m512 a = _mm512_loadu_ps(x + 16 * i);
        __mmask16 sign = (__mmask16)(signs[i / 2] >> 16 * (i % 2));
        a = _mm512_mask_xor_ps(a, sign, a, _mm512_set1_ps(-0.0f));
        // Within a vector: the partner of each lane, plus the lane or, in the second of a pair, minus it.
        a = _mm512_fmadd_ps(a, odd, _mm512_permute_ps(a, 0xB1));
        a = _mm512_fmadd_ps(a, upper, _mm512_permute_ps(a, 0x4E));
        a = _mm512_fmadd_ps(a, high, _mm512_shuffle_f32x4(a, a, 0xB1));
        v[i] = _mm512_fmadd_ps(a, last, _mm512_shuffle_f32x4(a, a, 0x4E));
    }
    VLM_UNROLL for (int half = 1; half < vectors; half *= 2)
        VLM_UNROLL for (int i = 0; i < vectors; i++) {
            if (i & half) continue;
            __m512 a = v[i], b = v[i + half];
            v[i] = _mm512_add_ps(a, b);
            v[i + half] = _mm512_sub_ps(a, b);
        }
    VLM_UNROLL for (int i = 0; i < vectors; i++) {
        _mm512_storeu_ps(y + 16 * i, v[i]);
        top = _mm512_max_epu32(top, _mm512_castps_si512(_mm512_abs_ps(v[i])));
    }
    return top;
}

VLM_VNNI void vlm_int8_row_avx512(int64_t depth, const float *x, float *scratch, int8_t *q, vlm_row_block *row) {
    const int64_t run = run_of(depth);
    __m512i top = _mm512_setzero_si512();
    for (int64_t k = 0; k < depth; k += run)
        switch (run) {
        case 128: top = rotate_run_avx512(8, x + k, scratch + k, top); break;
        case 64: top = rotate_run_avx512(4, x + k, scratch + k, top); break;
        case 32: top = rotate_run_avx512(2, x + k, scratch + k, top); break;
        default: top = rotate_run_avx512(1, x + k, scratch + k, top); break;
        }
    float inverse, scale = vlm_scale_of(_mm512_reduce_max_epu32(top), 127, &inverse);
    __m512i total = _mm512_setzero_si512();
    const __m512 factor = _mm512_set1_ps(inverse);
    const __mmask16 all = inverse == 0 ? 0 : 0xFFFF;  // what is not finite times 0 is no integer
#define CODES(at) _mm512_maskz_cvtps_epi32(all, _mm512_mul_ps(_mm512_loadu_ps(scratch + (at)), factor))
    int64_t k = 0;
    for (; k + 64 <= depth; k += 64) {
        // Packing works on 128-bit lanes: the order is restored at the end, when all 64 are bytes.
        __m512i low = _mm512_packs_epi32(CODES(k), CODES(k + 16)), high = _mm512_packs_epi32(CODES(k + 32), CODES(k + 48));
        __m512i bytes = _mm512_permutexvar_epi32(
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), _mm512_packs_epi16(low, high));
        _mm512_storeu_si512(q + k, bytes);
        total = _mm512_dpbusd_epi32(total, _mm512_set1_epi8(1), bytes);
    }
    for (; k < depth; k += 16) {
        __m512i code = CODES(k);
        _mm_storeu_si128((__m128i *)(q + k), _mm512_cvtepi32_epi8(code));
        total = _mm512_add_epi32(total, code);
    }
#undef CODES
    int32_t sum = _mm512_reduce_add_epi32(total);
    *row = (vlm_row_block){.scale = scale, .scaled_sum = scale * (float)sum, .minus_sum = -sum};
}

VLM_INLINE VLM_VNNI void tile_avx512(
    int rows, int panels, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *scales,
    const uint8_t *panel, float *c, int64_t ldc) {
    const int64_t panel_bytes = HEAD_BYTES + PANEL_COLUMNS * depth;
    __m512i sum[2][VLM_QUANTIZED_ROWS_AVX512];
    const int8_t *row[VLM_QUANTIZED_ROWS_AVX512];
    VLM_UNROLL for (int r = 0; r < rows; r++) row[r] = q + r * ldq;
    // The codes are not centred: -128 times the sum of the row's integers is where their sum begins.
    VLM_UNROLL for (int p = 0; p < panels; p++)
        VLM_UNROLL for (int r = 0; r < rows; r++) sum[p][r] = _mm512_set1_epi32(CENTER * scales[r].minus_sum);
    // Depths are multiples of 16.
    const uint8_t *codes = panel + HEAD_BYTES;
    VLM_NO_UNROLL for (int64_t k = 0; k < depth; k += 16, codes += 16 * PANEL_COLUMNS) {
        VLM_UNROLL for (int i = 0; i < 16; i += 4) {
            __m512i b[2];
            VLM_UNROLL for (int p = 0; p < panels; p++)
                b[p] = _mm512_loadu_si512(codes + p * panel_bytes + i * PANEL_COLUMNS);
            VLM_UNROLL for (int r = 0; r < rows; r++) {
                const __m512i a = is_operand(r, panels) ? b[0] : four16(row[r] + i);
                VLM_UNROLL for (int p = 0; p < panels; p++)
                    sum[p][r] = is_operand(r, panels) ? dot_bytes_at(row[r] + i, b[p], sum[p][r])
                                                      : _mm512_dpbusd_epi32(sum[p][r], b[p], a);
            }
        }
        VLM_ADVANCE(rows, row, 16)
    }
    VLM_UNROLL for (int p = 0; p < panels; p++) {
        __m512 d = _mm512_loadu_ps(panel + p * panel_bytes);
        VLM_UNROLL for (int r = 0; r < rows; r++) {
            __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[p][r]), d);
            store16(
                c + r * ldc + PANEL_COLUMNS * p, columns - PANEL_COLUMNS * p,
                _mm512_mul_ps(value, _mm512_set1_ps(scales[r].scale)));
        }
    }
}

VLM_VNNI void vlm_int8_tile_avx512(
    int64_t rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *scales,
    const uint8_t *panel, float *c, int64_t ldc) {
#define tile(r, ...) columns > PANEL_COLUMNS ? tile_avx512(r, 2, __VA_ARGS__) : tile_avx512(r, 1, __VA_ARGS__)
    switch (rows) {
        VLM_CASE(1) VLM_CASE(2) VLM_CASE(3) VLM_CASE(4) VLM_CASE(5) VLM_CASE(6)
        VLM_CASE(7) VLM_CASE(8) VLM_CASE(9) VLM_CASE(10) VLM_CASE(11) VLM_CASE(12)
    }
#undef tile
}

#endif
