// Block-quantised weights, widened to float32.
//
// The layouts are those of ggml (github.com/ggml-org/llama.cpp, ggml/src/ggml-common.h): blocks of 32 elements with a
// float16 scale d and, in the _1 forms, a float16 offset m; super-blocks of 256 ("K") whose groups of 32 or 16 have
// small integer scales of their own. Q8_0: d, 32 signed bytes. Q4 and Q5: d, m, in Q5 the 32 fifth bits, then 16 bytes
// whose low nibbles are elements 0...15 and whose high nibbles are elements 16...31.
//
// Each version multiplies and adds with a rounding after each, as the definition does: all give the same bits.
#include "quantized.h"
#include "simd.h"

#pragma STDC FP_CONTRACT OFF

static inline float half_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return vlm_half_float(h);
}

// ---- portable ----------------------------------------------------------------------------------------------------

static void q8_0(const uint8_t *p, float *y) {
    float d = half_at(p);
    for (int i = 0; i < 32; i++) y[i] = (float)(int8_t)p[2 + i] * d;
}

/// Q4_0, Q4_1, Q5_0 and Q5_1.
static void q4_q5(vlm_element type, const uint8_t *p, float *y) {
    int has_minimum = type == VLM_Q4_1 || type == VLM_Q5_1, has_fifth = type == VLM_Q5_0 || type == VLM_Q5_1;
    const uint8_t *fifth = p + (has_minimum ? 4 : 2), *nibbles = fifth + (has_fifth ? 4 : 0);
    float d = half_at(p), m = has_minimum ? half_at(p + 2) : 0;
    int center = has_minimum ? 0 : has_fifth ? 16 : 8;
    for (int i = 0; i < 32; i++) {
        int q = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
        if (has_fifth) q |= (fifth[i / 8] >> i % 8 & 1) << 4;
        float product = (float)(q - center) * d;
        y[i] = has_minimum ? product + m : product;
    }
}

/// Q4_K: d, dmin, 12 bytes of scales, 128 of nibbles. Q5_K has 32 bytes of fifth bits before the nibbles.
static void q4_k_q5_k(vlm_element type, const uint8_t *p, float *y) {
    const uint8_t *fifth = p + 16, *nibbles = p + (type == VLM_Q5_K ? 48 : 16);
    float d = half_at(p), dmin = half_at(p + 2);
    for (int g = 0; g < 8; g++) {
        int scale, minimum;
        vlm_scale_and_minimum(p + 4, g, &scale, &minimum);
        float s = d * (float)scale, m = dmin * (float)minimum;
        for (int i = 0; i < 32; i++) {
            int q = g % 2 ? nibbles[g / 2 * 32 + i] >> 4 : nibbles[g / 2 * 32 + i] & 15;
            if (type == VLM_Q5_K) q |= (fifth[i] >> g & 1) << 4;
            y[32 * g + i] = s * (float)q - m;
        }
    }
}

/// Q6_K: 128 bytes of low nibbles, 64 of high bits, 16 signed scales, d. Group g of 32 is at nibbles
/// [64 (g/4) + 32 (g%2)], the low ones for g%4 < 2, and at bits 2 (g%4) of [32 (g/4)].
static void q6_k(const uint8_t *p, float *y) {
    const int8_t *scales = (const int8_t *)p + 192;
    float d = half_at(p + 208);
    for (int g = 0; g < 8; g++)
        for (int i = 0; i < 32; i++) {
            int nibble = p[64 * (g / 4) + 32 * (g % 2) + i];
            int low = g % 4 < 2 ? nibble & 15 : nibble >> 4;
            int high = p[128 + 32 * (g / 4) + i] >> 2 * (g % 4) & 3;
            y[32 * g + i] = d * (float)scales[2 * g + i / 16] * (float)((low | high << 4) - 32);
        }
}

void vlm_dequantize_portable(vlm_element type, int64_t n, const void *x, float *y) {
    int64_t step = vlm_block_elements(type);
    for (int64_t i = 0; i < n; i += step) {
        const uint8_t *p = vlm_at(type, x, i);
        switch (type) {
        case VLM_Q8_0: q8_0(p, y + i); break;
        case VLM_Q4_K:
        case VLM_Q5_K: q4_k_q5_k(type, p, y + i); break;
        case VLM_Q6_K: q6_k(p, y + i); break;
        default: q4_q5(type, p, y + i); break;
        }
    }
}

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

/// 32 elements: q * s + m with signed bytes q; the first and the last 16 have scales of their own.
typedef struct group32 {
    __m256i q;
    float s[2], m;
} group32;

VLM_INLINE VLM_AVX2 __m256i bytes32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

/// The low nibbles of 16 bytes, then the high ones.
VLM_INLINE VLM_AVX2 __m256i nibbles16(const uint8_t *p) {
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

/// The low (or high) nibbles of 32 bytes.
VLM_INLINE VLM_AVX2 __m256i nibbles32(const uint8_t *p, int is_high) {
    __m256i v = bytes32(p);
    return _mm256_and_si256(is_high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
}

/// 16 in the bytes whose bit of the 32 at p is set.
VLM_INLINE VLM_AVX2 __m256i fifth_bits(const uint8_t *p) {
    int32_t bits;
    memcpy(&bits, p, 4);
    const __m256i source = _mm256_setr_epi64x(
        0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i mask = _mm256_set1_epi64x((long long)0x8040201008040201u);
    __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), source);
    __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, mask), mask);
    return _mm256_and_si256(is_set, _mm256_set1_epi8(16));
}

VLM_INLINE VLM_AVX2 float half_f16c(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}

/// Group g of the block at p.
VLM_INLINE VLM_AVX2 group32 unpack(vlm_element type, const uint8_t *p, int g) {
    group32 out = {.m = 0};
    if (type == VLM_Q8_0) {
        out.q = bytes32(p + 2);
        out.s[0] = out.s[1] = half_f16c(p);
    } else if (type == VLM_Q4_0 || type == VLM_Q4_1 || type == VLM_Q5_0 || type == VLM_Q5_1) {
        const int has_minimum = vlm_has_minimum(type), has_fifth = type == VLM_Q5_0 || type == VLM_Q5_1;
        const uint8_t *fifth = p + (has_minimum ? 4 : 2);
        out.q = nibbles16(fifth + (has_fifth ? 4 : 0));
        if (has_fifth) out.q = _mm256_or_si256(out.q, fifth_bits(fifth));
        if (!has_minimum) out.q = _mm256_sub_epi8(out.q, _mm256_set1_epi8(has_fifth ? 16 : 8));
        out.s[0] = out.s[1] = half_f16c(p);
        if (has_minimum) out.m = half_f16c(p + 2);
    } else if (type == VLM_Q4_K || type == VLM_Q5_K) {
        int scale, minimum;
        vlm_scale_and_minimum(p + 4, g, &scale, &minimum);
        out.q = nibbles32(p + (type == VLM_Q5_K ? 48 : 16) + g / 2 * 32, g % 2);
        if (type == VLM_Q5_K) {
            __m256i bit = _mm256_set1_epi8((char)(1 << g));
            __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes32(p + 16), bit), bit);
            out.q = _mm256_or_si256(out.q, _mm256_and_si256(is_set, _mm256_set1_epi8(16)));
        }
        out.s[0] = out.s[1] = half_f16c(p) * (float)scale;
        out.m = -(half_f16c(p + 2) * (float)minimum);
    } else {
        const int8_t *scales = (const int8_t *)p + 192 + 2 * g;
        __m256i high = _mm256_srli_epi16(bytes32(p + 128 + 32 * (g / 4)), 2 * (g % 4));
        high = _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4);
        out.q = _mm256_or_si256(nibbles32(p + 64 * (g / 4) + 32 * (g % 2), g % 4 >= 2), high);
        out.q = _mm256_sub_epi8(out.q, _mm256_set1_epi8(32));
        float d = half_f16c(p + 208);
        out.s[0] = d * (float)scales[0];
        out.s[1] = d * (float)scales[1];
    }
    return out;
}

VLM_INLINE VLM_AVX2 void dequantize_avx2(vlm_element type, int64_t n, const uint8_t *p, float *y) {
    const int groups = (int)vlm_block_elements(type) / 32;
    for (int64_t i = 0; i < n; i += 32 * groups, p += vlm_block_bytes(type))
        VLM_UNROLL for (int g = 0; g < groups; g++) {
            group32 group = unpack(type, p, g);
            __m128i q[2] = {_mm256_castsi256_si128(group.q), _mm256_extracti128_si256(group.q, 1)};
            VLM_UNROLL for (int v = 0; v < 4; v++) {
                __m128i eight = v % 2 ? _mm_unpackhi_epi64(q[v / 2], q[v / 2]) : q[v / 2];
                __m256 value = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
                value = _mm256_mul_ps(value, _mm256_set1_ps(group.s[v / 2]));
                if (vlm_has_minimum(type)) value = _mm256_add_ps(value, _mm256_set1_ps(group.m));
                _mm256_storeu_ps(y + i + 32 * g + 8 * v, value);
            }
        }
}

#define RUN(isa, t)                                                                                                  \
    case t: dequantize_##isa(t, n, x, y); break;
#define RUN_ALL(isa)                                                                                                 \
    switch (type) {                                                                                                  \
        RUN(isa, VLM_Q8_0) RUN(isa, VLM_Q4_0) RUN(isa, VLM_Q4_1) RUN(isa, VLM_Q5_0) RUN(isa, VLM_Q5_1)               \
        RUN(isa, VLM_Q4_K) RUN(isa, VLM_Q5_K) RUN(isa, VLM_Q6_K)                                                     \
    default: break;                                                                                                  \
    }

VLM_AVX2 void vlm_dequantize_avx2(vlm_element type, int64_t n, const void *x, float *y) { RUN_ALL(avx2) }

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX512 void dequantize_avx512(vlm_element type, int64_t n, const uint8_t *p, float *y) {
    const int groups = (int)vlm_block_elements(type) / 32;
    for (int64_t i = 0; i < n; i += 32 * groups, p += vlm_block_bytes(type))
        VLM_UNROLL for (int g = 0; g < groups; g++) {
            group32 group = unpack(type, p, g);
            __m128i q[2] = {_mm256_castsi256_si128(group.q), _mm256_extracti128_si256(group.q, 1)};
            VLM_UNROLL for (int v = 0; v < 2; v++) {
                __m512 value = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q[v]));
                value = _mm512_mul_ps(value, _mm512_set1_ps(group.s[v]));
                if (vlm_has_minimum(type)) value = _mm512_add_ps(value, _mm512_set1_ps(group.m));
                _mm512_storeu_ps(y + i + 32 * g + 16 * v, value);
            }
        }
}

VLM_AVX512 void vlm_dequantize_avx512(vlm_element type, int64_t n, const void *x, float *y) { RUN_ALL(avx512) }

#endif
