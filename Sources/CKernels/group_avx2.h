// What a group of 32 elements adds to the sums of a tile with AVX2, for panels as they are packed (quantized_tile.c) and as they
// are opened (opened_tile.c): two vectors of eight columns for each row.
//
// `vpmaddubsw` multiplies unsigned with signed bytes and adds two products in 16 bits that saturate. Small codes leave room for
// more of them there, before `vpmaddwd` widens: for a whole group of nibbles. Codes of 8 bits are centred first, and give their
// sign to the row: 2 · 128 · 127 < 2^15.
#ifndef VLM_GROUP_AVX2_H
#define VLM_GROUP_AVX2_H

#include "quantized.h"
#include "simd.h"

#ifdef VLM_X86

#pragma STDC FP_CONTRACT OFF

/// Rows of the tiles.
enum { VLM_GROUP_ROWS = VLM_OPENED_ROWS };

/// Keeps a sum in its register, and the additions to it in their order: compilers would take row after row instead, and find no
/// registers for all the codes.
#define VLM_PIN(sum) __asm__ volatile("" : "+x"(sum))

/// Scales and offsets of a group's columns; those of its last half in Q6_K.
typedef struct vlm_group_scales {
    __m256 d[2], last_d[2], m[2];
} vlm_group_scales;

/// Steps of four elements whose sums fit 16 bits: times 2 · 127 the greatest code stays below 2^15.
static inline int chained_steps(vlm_element type) {
    return vlm_has_nibbles(type) ? 8 : type == VLM_Q8_0 ? 1 : type == VLM_Q6_K ? 2 : 4;
}

/// Step t of the codes of eight columns. `is_open`: they have a byte each, and are centred already in Q8_0.
VLM_INLINE VLM_AVX2 __m256i codes8(vlm_element type, int is_open, const uint8_t *codes, int t, int v) {
    const int shares = vlm_has_nibbles(type) && !is_open;
    __m256i b = _mm256_loadu_si256((const __m256i *)(codes + 64 * (shares ? t % 4 : t) + 32 * v));
    if (shares) return _mm256_and_si256(t < 4 ? b : _mm256_srli_epi16(b, 4), _mm256_set1_epi8(15));
    return type == VLM_Q8_0 && !is_open ? _mm256_sub_epi8(b, _mm256_set1_epi8((char)vlm_code_center(type))) : b;
}

/// Sums over steps [begin, end) of codes times the integers of rows [first, last).
VLM_INLINE VLM_AVX2 void dots8(
    vlm_element type, int is_open, const uint8_t *codes, const int8_t *const *q, int64_t at, int first, int last, int begin,
    int end, __m256i dot[VLM_GROUP_ROWS][2]) {
    const int chain = chained_steps(type);
    VLM_UNROLL for (int start = begin; start < end; start += chain) {
        __m256i pairs[VLM_GROUP_ROWS][2];
        VLM_UNROLL for (int t = start; t < start + chain; t++) {
            __m256i b[2];
            VLM_UNROLL for (int v = 0; v < 2; v++) b[v] = codes8(type, is_open, codes, t, v);
            VLM_UNROLL for (int r = first; r < last; r++) {
                int32_t word;
                memcpy(&word, q[r] + at + 4 * t, 4);
                const __m256i a = _mm256_set1_epi32(word);
                VLM_UNROLL for (int v = 0; v < 2; v++) {
                    __m256i sum = type == VLM_Q8_0
                        ? _mm256_maddubs_epi16(_mm256_abs_epi8(b[v]), _mm256_sign_epi8(a, b[v]))
                        : _mm256_maddubs_epi16(b[v], a);
                    pairs[r][v] = t == start ? sum : _mm256_add_epi16(pairs[r][v], sum);
                    VLM_PIN(pairs[r][v]);
                }
            }
        }
        VLM_UNROLL for (int r = first; r < last; r++)
            VLM_UNROLL for (int v = 0; v < 2; v++) {
                __m256i sum = _mm256_madd_epi16(pairs[r][v], _mm256_set1_epi16(1));
                dot[r][v] = start == begin ? sum : _mm256_add_epi32(dot[r][v], sum);
            }
    }
}

/// Adds group g to the sums of the rows, [rows][16].
VLM_INLINE VLM_AVX2 void add_group8(
    vlm_element type, int is_open, int rows, const uint8_t *codes, const vlm_group_scales *scales, const int8_t *const *q,
    const vlm_row_block *const *blocks, int64_t g, float *sums) {
    const int center = type == VLM_Q8_0 ? 0 : vlm_code_center(type);
    const unsigned bits = center ? (unsigned)__builtin_ctz((unsigned)center) : 0;
    // So many rows at a time as find registers: where sums of 16 bits are not all there is, three.
    const int together = vlm_has_nibbles(type) ? VLM_GROUP_ROWS : 3;
    VLM_UNROLL for (int first = 0; first < rows; first += together) {
        const int end = rows - first < together ? rows : first + together;
        __m256i dot[VLM_GROUP_ROWS][2], last[VLM_GROUP_ROWS][2];
        dots8(type, is_open, codes, q, 32 * g, first, end, 0, type == VLM_Q6_K ? 4 : 8, dot);
        if (type == VLM_Q6_K) dots8(type, is_open, codes, q, 32 * g, first, end, 4, 8, last);
        VLM_UNROLL for (int r = first; r < end; r++) {
            const vlm_row_block *block = blocks[r] + g;
            // Codes are not centred: the sum of the row's integers says how much too large the sums are.
            const __m256i correction =
                _mm256_slli_epi32(_mm256_set1_epi32(type == VLM_Q6_K ? block->minus_half_sum[0] : block->minus_sum), bits);
            const __m256i last_correction = _mm256_slli_epi32(_mm256_set1_epi32(block->minus_half_sum[1]), bits);
            const __m256 scale = _mm256_set1_ps(block->scale);
            VLM_UNROLL for (int v = 0; v < 2; v++) {
                if (center) dot[r][v] = _mm256_add_epi32(dot[r][v], correction);
                __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[r][v]), scales->d[v]);
                if (type == VLM_Q6_K)
                    value = _mm256_fmadd_ps(
                        _mm256_cvtepi32_ps(_mm256_add_epi32(last[r][v], last_correction)), scales->last_d[v], value);
                __m256 sum = _mm256_fmadd_ps(value, scale, _mm256_load_ps(sums + 16 * r + 8 * v));
                if (vlm_has_minimum(type)) sum = _mm256_fmadd_ps(scales->m[v], _mm256_set1_ps(block->scaled_sum), sum);
                _mm256_store_ps(sums + 16 * r + 8 * v, sum);
            }
        }
    }
    // The sums of many rows stay in memory, or those of pairs would lose their registers.
    if (rows > 2) __asm__ volatile("" ::: "memory");
}

/// Eight float16, bytes or signed bytes as float32.
VLM_INLINE VLM_AVX2 __m256 half8(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
VLM_INLINE VLM_AVX2 __m256 byte8(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
VLM_INLINE VLM_AVX2 __m256 signed8(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

/// Scales of a packed group, from those before its block and those behind its codes.
VLM_INLINE VLM_AVX2 vlm_group_scales packed_scales8(vlm_element type, const uint8_t *head, const uint8_t *scales) {
    vlm_group_scales s;
    VLM_UNROLL for (int v = 0; v < 2; v++) {
        if (type == VLM_Q6_K) {
            __m256 d = half8(head + 16 * v);
            s.d[v] = _mm256_mul_ps(d, signed8(scales + 8 * v));
            s.last_d[v] = _mm256_mul_ps(d, signed8(scales + 16 + 8 * v));
        } else if (vlm_has_groups(type)) {
            __m256 m = _mm256_mul_ps(half8(head + 32 + 16 * v), byte8(scales + 16 + 8 * v));
            s.d[v] = _mm256_mul_ps(half8(head + 16 * v), byte8(scales + 8 * v));
            s.m[v] = _mm256_sub_ps(_mm256_set1_ps(-0.0f), m);
        } else {
            s.d[v] = half8(scales + 16 * v);
            if (vlm_has_minimum(type)) s.m[v] = half8(scales + 32 + 16 * v);
        }
    }
    return s;
}

#endif
#endif
