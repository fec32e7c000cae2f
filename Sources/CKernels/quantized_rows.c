// Rows rounded to integers of 8 bits in blocks of 32, and the rest of blocks that stand out.
#include <math.h>

#include "quantized.h"
#include "simd.h"

#pragma STDC FP_CONTRACT OFF

static inline void describe(vlm_row_block *block, float scale, int first_sum, int last_sum) {
    block->scale = scale;
    block->scaled_sum = scale * (float)(first_sum + last_sum);
    block->minus_sum = -(first_sum + last_sum);
    block->minus_half_sum[0] = -first_sum;
    block->minus_half_sum[1] = -last_sum;
}

void vlm_quantize_row_portable(int64_t depth, const float *x, int8_t *q, vlm_row_block *blocks) {
    for (int64_t k = 0; k < depth; k += 32) {
        uint32_t largest = 0;
        for (int i = 0; i < 32; i++) {
            uint32_t bits;
            memcpy(&bits, x + k + i, 4);
            bits &= 0x7fffffffu;  // as integers, magnitudes order as they should, and what is not finite comes last
            if (bits > largest) largest = bits;
        }
        float inverse, scale = vlm_scale_of(largest, 127, &inverse);
        int sum[2] = {0, 0};
        for (int i = 0; i < 32; i++) {
            int code = inverse == 0 ? 0 : (int)nearbyintf(x[k + i] * inverse);
            q[k + i] = (int8_t)code;
            sum[i / 16] += code;
        }
        describe(blocks + k / 32, scale, sum[0], sum[1]);
    }
}

#ifdef VLM_X86
VLM_AVX2 void vlm_quantize_row_avx2(int64_t depth, const float *x, int8_t *q, vlm_row_block *blocks) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), ones = _mm256_set1_epi16(1);
    for (int64_t k = 0; k < depth; k += 32) {
        __m256 v[4];
        __m256i largest = _mm256_setzero_si256();
        VLM_UNROLL for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + k + 8 * i);
            largest = _mm256_max_epu32(largest, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
        }
        __m128i top = _mm_max_epu32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
        top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0x4e));
        top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0xb1));
        float inverse, scale = vlm_scale_of((uint32_t)_mm_cvtsi128_si32(top), 127, &inverse);
        __m256i code[4];
        VLM_UNROLL for (int i = 0; i < 4; i++)
            code[i] = inverse == 0 ? _mm256_setzero_si256()
                                   : _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inverse)));
        // Packing works on 128-bit lanes: the order is restored at the end, when all 32 are bytes.
        __m256i low = _mm256_packs_epi32(code[0], code[1]), high = _mm256_packs_epi32(code[2], code[3]);
        __m256i bytes = _mm256_permutevar8x32_epi32(
            _mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)(q + k), bytes);
        __m256i first = _mm256_madd_epi16(low, ones), last = _mm256_madd_epi16(high, ones);
        __m128i both = _mm_hadd_epi32(
            _mm_add_epi32(_mm256_castsi256_si128(first), _mm256_extracti128_si256(first, 1)),
            _mm_add_epi32(_mm256_castsi256_si128(last), _mm256_extracti128_si256(last, 1)));
        both = _mm_hadd_epi32(both, both);
        describe(blocks + k / 32, scale, _mm_cvtsi128_si32(both), _mm_extract_epi32(both, 1));
    }
}

/// Maxima of 16 blocks first, so that their scales are divided side by side.
VLM_VNNI void vlm_quantize_row_avx512(int64_t depth, const float *x, int8_t *q, vlm_row_block *blocks) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m128i ones = _mm_set1_epi8(1);
    for (int64_t start = 0; start < depth / 32; start += 16) {
        const int count = (int)vlm_min(16, depth / 32 - start);
        uint32_t bits[16] = {0};
        for (int b = 0; b < count; b++) {
            const float *p = x + 32 * (start + b);
            __m512i v = _mm512_max_epu32(
                _mm512_and_si512(_mm512_loadu_si512(p), magnitude), _mm512_and_si512(_mm512_loadu_si512(p + 16), magnitude));
            __m256i half = _mm256_max_epu32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
            __m128i top = _mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
            top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0x4e));
            top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0xb1));
            bits[b] = (uint32_t)_mm_cvtsi128_si32(top);
        }
        // vlm_scale_of, for all of them.
        __m512i top = _mm512_loadu_si512(bits);
        __m512 largest = _mm512_castsi512_ps(top), steps = _mm512_set1_ps(127);
        __mmask16 finite = _mm512_cmplt_epu32_mask(top, _mm512_set1_epi32(0x7f800000));
        __mmask16 counts = _mm512_mask_cmp_ps_mask(finite, largest, _mm512_set1_ps(0x1p-100f), _CMP_GE_OQ);
        float scale[16], inverse[16];
        _mm512_storeu_ps(scale, _mm512_mask_mov_ps(_mm512_maskz_div_ps(counts, largest, steps), (__mmask16)~finite, largest));
        _mm512_storeu_ps(inverse, _mm512_maskz_div_ps(counts, steps, largest));
        for (int b = 0; b < count; b++) {
            const int64_t k = 32 * (start + b);
            __m512 factor = _mm512_set1_ps(inverse[b]);
            // Times 0 what is not finite would be no integer.
            __mmask16 lanes = inverse[b] == 0 ? 0 : 0xffff;
            __m128i first = _mm512_cvtepi32_epi8(
                _mm512_maskz_cvtps_epi32(lanes, _mm512_mul_ps(_mm512_loadu_ps(x + k), factor)));
            __m128i last = _mm512_cvtepi32_epi8(
                _mm512_maskz_cvtps_epi32(lanes, _mm512_mul_ps(_mm512_loadu_ps(x + k + 16), factor)));
            _mm_storeu_si128((__m128i *)(q + k), first);
            _mm_storeu_si128((__m128i *)(q + k + 16), last);
            const __m128i none = _mm_setzero_si128();
            __m128i sums = _mm_hadd_epi32(_mm_dpbusd_epi32(none, ones, first), _mm_dpbusd_epi32(none, ones, last));
            sums = _mm_hadd_epi32(sums, sums);
            describe(blocks + start + b, scale[b], _mm_cvtsi128_si32(sums), _mm_extract_epi32(sums, 1));
        }
    }
}
#endif

/// A block stands out whose scale is above this many times the mean of its row's. More times leave more of the error, fewer take
/// more multiply-adds (vlm bench quantization, kl_divergence).
enum { OUTLIER_SCALES = 2 };

void vlm_quantize_rest(
    const vlm_kernels *k, int64_t depth, const float *x, const int8_t *q, const vlm_row_block *blocks, int8_t *rest,
    vlm_row_block *rest_blocks, uint64_t *outliers) {
    const int64_t groups = depth / 32;
    float mean = 0;
    for (int64_t g = 0; g < groups; g++) mean += blocks[g].scale;
    mean /= (float)groups;
    memset(outliers, 0, (size_t)vlm_outlier_words(depth) * sizeof *outliers);
    // Groups that stand out are rounded together, and go to their places afterwards.
    enum { TOGETHER = 16 };
    float left[TOGETHER][32];
    int8_t integers[TOGETHER][32];
    vlm_row_block described[TOGETHER];
    int64_t found[TOGETHER], count = 0, cleared = 0;
    for (int64_t g = 0; g <= groups; g++) {
        if (count == TOGETHER || g == groups) {
            k->quantize_row(32 * count, left[0], integers[0], described);
            for (int64_t i = 0; i < count; i++) {
                memcpy(rest + 32 * found[i], integers[i], 32);
                rest_blocks[found[i]] = described[i];
            }
            count = 0;
        }
        if (g == groups || !(blocks[g].scale > OUTLIER_SCALES * mean)) continue;
        // Weights in blocks of 256 are multiplied with the neighbours as well.
        if (g >= cleared) {
            int64_t first = g / 8 * 8;
            cleared = vlm_min(groups, first + 8);
            memset(rest + 32 * first, 0, (size_t)(32 * (cleared - first)));
            memset(rest_blocks + first, 0, (size_t)(cleared - first) * sizeof *rest_blocks);
        }
        for (int i = 0; i < 32; i++) left[count][i] = x[32 * g + i] - (float)q[32 * g + i] * blocks[g].scale;
        outliers[g / 64] |= (uint64_t)1 << g % 64;
        found[count++] = g;
    }
}

void vlm_list_outliers(int64_t rows, int64_t depth, const uint64_t *outliers, int32_t *starts, int32_t *list) {
    const int64_t groups = depth / 32, words = vlm_outlier_words(depth);
    memset(starts, 0, (size_t)(groups + 1) * sizeof *starts);
    // First how many there are of every group, counted one place ahead; then where they go.
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t w = 0; w < words; w++)
                for (uint64_t bits = outliers[r * words + w]; bits; bits &= bits - 1) {
                    int64_t g = 64 * w + __builtin_ctzll(bits);
                    if (pass == 0)
                        starts[g + 1]++;
                    else
                        list[starts[g]++] = (int32_t)r;
                }
        if (pass == 0)
            for (int64_t g = 0; g < groups; g++) starts[g + 1] += starts[g];
    }
    // Each start has moved on to its end.
    memmove(starts + 1, starts, (size_t)groups * sizeof *starts);
    starts[0] = 0;
}
