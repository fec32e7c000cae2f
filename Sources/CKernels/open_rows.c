// Opening of weights where they lie: 16 rows of blocks, in the order of their file, become what the register tile of
// opened_tile.c loads. To do so again for every product takes longer than to open a packed panel (quantized.h), but nothing has to
// be packed first: a first answer neither waits for that nor needs the memory.
#include "quantized.h"
#include "simd.h"

#pragma STDC FP_CONTRACT OFF

#ifdef VLM_X86

#define VLM_LANES 8
#define VLM_SET VLM_AVX2
#define VLM_SET_NAME(name) name##_avx2
#include "open_rows.h"
#undef VLM_LANES
#undef VLM_SET
#undef VLM_SET_NAME

#define VLM_LANES 16
#define VLM_SET VLM_VNNI
#define VLM_SET_NAME(name) name##_avx512
#include "open_rows.h"

/// A row times the rows of the blocks: the sums of opened_tile.c, in the same order.
VLM_INLINE VLM_VNNI void row_product(
    vlm_element type, int64_t columns, int64_t depth, const int8_t *q, const vlm_row_block *blocks, vlm_stored_rows rows,
    float *c, int accumulate) {
    const int groups = (int)vlm_block_elements(type) / 32, center = vlm_code_center(type);
    const unsigned bits = center ? (unsigned)__builtin_ctz((unsigned)center) : 0;
    __m512 sum = accumulate ? load16(c, columns) : _mm512_setzero_ps();
    int64_t turn = 0;
    VLM_NO_UNROLL for (int64_t b = depth / vlm_block_elements(type); b > 0; b--) {
        ask_ahead_avx512(type, &rows, &turn);
        const rows_avx512 some = rows_at_avx512(rows.first, rows.stride);
        taken_avx512 to = {.has_row = 1, .row = q};
        VLM_UNROLL for (int g = 0; g < groups; g++)
            VLM_UNROLL for (int half = 0; half < 2; half++)
                to.dots[g][half] = !center ? _mm512_setzero_si512()
                                           : _mm512_slli_epi32(_mm512_set1_epi32(blocks[g].minus_half_sum[half]), bits);
        take_block_avx512(type, &some, &to);
        VLM_UNROLL for (int g = 0; g < groups; g++) {
            const __m512 scale = _mm512_set1_ps(blocks[g].scale);
            __m512 value;
            if (type == VLM_Q6_K) {
                value = _mm512_mul_ps(_mm512_cvtepi32_ps(to.dots[g][0]), (__m512)to.scales[g][0]);
                value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(to.dots[g][1]), (__m512)to.scales[g][1], value);
            } else
                value = _mm512_mul_ps(
                    _mm512_cvtepi32_ps(_mm512_add_epi32(to.dots[g][0], to.dots[g][1])), (__m512)to.scales[g][0]);
            sum = _mm512_fmadd_ps(value, scale, sum);
            if (vlm_has_minimum(type))
                sum = _mm512_fmadd_ps((__m512)to.scales[g][1], _mm512_set1_ps(blocks[g].scaled_sum), sum);
        }
        pass_block_avx512(type, &rows);
        q += 32 * groups;
        blocks += groups;
    }
    store16(c, columns, sum);
}

VLM_AVX2 void vlm_open_rows_avx2(vlm_element type, int64_t depth, const vlm_stored_rows *rows, uint8_t *opened) {
    VLM_BLOCK_TYPES(open_rows_avx2, depth, *rows, opened)
}

VLM_VNNI void vlm_open_rows_avx512(vlm_element type, int64_t depth, const vlm_stored_rows *rows, uint8_t *opened) {
    VLM_BLOCK_TYPES(open_rows_avx512, depth, *rows, opened)
}

VLM_VNNI void vlm_row_product(
    vlm_element type, int64_t columns, int64_t depth, const int8_t *q, const vlm_row_block *blocks,
    const vlm_stored_rows *rows, float *c, int accumulate) {
    VLM_BLOCK_TYPES(row_product, columns, depth, q, blocks, *rows, c, accumulate)
}

#endif
