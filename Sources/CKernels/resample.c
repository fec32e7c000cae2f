// The two passes of Pillow 10's 8-bit resampling: 22-bit fixed-point weights, rounded to a byte after each pass.
//
// All arithmetic is on integers modulo 2^32 and every true sum fits, so the versions agree to the byte.
#include "families.h"

enum { PRECISION = 22, HALF = 1 << (PRECISION - 1) };

static inline uint8_t clip8(int32_t sum) {
    int32_t value = sum >> PRECISION;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/// Adds taps [i, count) of one output pixel to its sums.
static inline void add_taps(const int32_t *weights, const uint8_t *pixels, int64_t i, int64_t count, int32_t *sums) {
    for (; i < count; i++)
        for (int c = 0; c < 3; c++) sums[c] += weights[i] * pixels[3 * i + c];
}

void vlm_resample_horizontal_portable(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output) {
    for (int64_t y = first; y < end; y++)
        for (int64_t x = 0; x < taps->outputs; x++) {
            int32_t sums[3] = {HALF, HALF, HALF};
            add_taps(
                taps->weights + x * taps->stride, input + (y * width + taps->first[x]) * 3, 0, taps->count[x], sums);
            uint8_t *out = output + (y * taps->outputs + x) * 3;
            for (int c = 0; c < 3; c++) out[c] = clip8(sums[c]);
        }
}

/// A block of columns at a time, so that the inner loop runs along memory.
static inline __attribute__((always_inline)) void vertical(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t row, int64_t first, int64_t end, uint8_t *output) {
    enum { BLOCK = 64 };
    for (int64_t y = first; y < end; y++) {
        const int32_t *weights = taps->weights + y * taps->stride;
        const uint8_t *top = input + taps->first[y] * row;
        for (int64_t x = 0; x < row; x += BLOCK) {
            int32_t sums[BLOCK];
            int64_t columns = vlm_min(BLOCK, row - x);
            for (int64_t j = 0; j < columns; j++) sums[j] = HALF;
            for (int64_t i = 0; i < taps->count[y]; i++) {
                const uint8_t *samples = top + i * row + x;
                int32_t weight = weights[i];
                if (columns == BLOCK)
                    for (int64_t j = 0; j < BLOCK; j++) sums[j] += weight * samples[j];
                else
                    for (int64_t j = 0; j < columns; j++) sums[j] += weight * samples[j];
            }
            for (int64_t j = 0; j < columns; j++) output[y * row + x + j] = clip8(sums[j]);
        }
    }
}

void vlm_resample_vertical_portable(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output) {
    vertical(taps, input, width * 3, first, end, output);
}

#if defined(VLM_X86)
#include <immintrin.h>

/// Four taps of four rows at a time. A weight w is split into w >> 15 and w & 32767, both of which fit the 16-bit
/// multiply-add: it sums two taps of each channel, and the halves of a register hold taps 0, 1 and 2, 3.
VLM_AVX2 static void horizontal_avx2(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output) {
    enum { ROWS = 4, TAPS = 4, LOADED = 16 };
    const __m256i pairs = _mm256_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
        6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    // From four 32-bit weights, the 16 low bits of two beside each other, four times over.
    const __m256i spread = _mm256_setr_epi8(
        0, 1, 4, 5, 0, 1, 4, 5, 0, 1, 4, 5, 0, 1, 4, 5, 8, 9, 12, 13, 8, 9, 12, 13, 8, 9, 12, 13, 8, 9, 12, 13);
    for (int64_t y = first; y < end; y += ROWS) {
        int64_t rows = vlm_min(ROWS, end - y);
        for (int64_t x = 0; x < taps->outputs; x++) {
            const int32_t *weights = taps->weights + x * taps->stride;
            const uint8_t *pixels[ROWS];
            // Rows that are not there repeat the last one.
            for (int64_t r = 0; r < ROWS; r++)
                pixels[r] = input + ((y + vlm_min(r, rows - 1)) * width + taps->first[x]) * 3;
            __m256i high[ROWS], low[ROWS];
            for (int r = 0; r < ROWS; r++) high[r] = low[r] = _mm256_setzero_si256();
            int64_t i = 0, within = (width - taps->first[x]) * 3 - LOADED;
            // Weights beyond the last tap are 0, so the last group may be incomplete.
            for (; i < taps->count[x] && i + TAPS <= taps->stride && 3 * i <= within; i += TAPS) {
                __m256i w = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(weights + i)));
                __m256i w_high = _mm256_shuffle_epi8(_mm256_srai_epi32(w, 15), spread);
                __m256i w_low = _mm256_shuffle_epi8(_mm256_and_si256(w, _mm256_set1_epi32(32767)), spread);
                VLM_UNROLL
                for (int r = 0; r < ROWS; r++) {
                    __m256i samples = _mm256_shuffle_epi8(
                        _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(pixels[r] + 3 * i))), pairs);
                    high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(samples, w_high));
                    low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(samples, w_low));
                }
            }
            VLM_UNROLL
            for (int r = 0; r < ROWS; r++) {
                if (r >= rows) break;
                __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high[r], 15), low[r]);
                __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
                int32_t sums[4];
                _mm_storeu_si128((void *)sums, _mm_add_epi32(sum, _mm_set1_epi32(HALF)));
                add_taps(weights, pixels[r], i, taps->count[x], sums);
                uint8_t *out = output + ((y + r) * taps->outputs + x) * 3;
                for (int c = 0; c < 3; c++) out[c] = clip8(sums[c]);
            }
        }
    }
}

VLM_AVX2 static void vertical_avx2(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t row, int64_t first, int64_t end, uint8_t *output) {
    vertical(taps, input, row, first, end, output);
}
#endif

void vlm_resample_horizontal(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output) {
#if defined(VLM_X86)
    if (__builtin_cpu_supports("avx2")) {
        horizontal_avx2(taps, input, width, first, end, output);
        return;
    }
#endif
    vlm_resample_horizontal_portable(taps, input, width, first, end, output);
}

void vlm_resample_vertical(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output) {
#if defined(VLM_X86)
    if (__builtin_cpu_supports("avx2")) {
        vertical_avx2(taps, input, width * 3, first, end, output);
        return;
    }
#endif
    vlm_resample_vertical_portable(taps, input, width, first, end, output);
}
