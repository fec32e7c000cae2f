// Rows quantised to 8 bits, packing of block-quantised weights, and the driver of their product.
#include "quantized.h"

#include <math.h>

#include "simd.h"

#pragma STDC FP_CONTRACT OFF

// ---- rows --------------------------------------------------------------------------------------------------------

/// The scale of a block whose largest magnitude has these bits, and what its values are multiplied by. Magnitudes below
/// 2^-100 count as 0: the inverse would overflow. What is not finite stays so in the scale.
static inline float scale_of(uint32_t bits, float *inverse) {
    float largest = vlm_bits_float(bits);
    *inverse = 0;
    if (bits >= 0x7f800000u) return largest;
    if (largest < 0x1p-100f) return 0;
    *inverse = 127 / largest;
    return largest / 127;
}

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
        float inverse, scale = scale_of(largest, &inverse);
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
        float inverse, scale = scale_of((uint32_t)_mm_cvtsi128_si32(top), &inverse);
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
#endif

void vlm_quantize_rest(
    const vlm_kernels *k, int64_t depth, const float *x, const int8_t *q, const vlm_row_block *blocks, int8_t *rest,
    vlm_row_block *rest_blocks) {
    for (int64_t g = 0; g < depth / 32; g++) {
        float left[32];
        for (int i = 0; i < 32; i++) left[i] = x[32 * g + i] - (float)q[32 * g + i] * blocks[g].scale;
        k->quantize_row(32, left, rest + 32 * g, rest_blocks + g);
    }
}

// ---- weights -----------------------------------------------------------------------------------------------------

/// The codes of group g of the block at p, one a byte.
static void unpack_codes(vlm_element type, const uint8_t *p, int g, uint8_t *code) {
    switch (type) {
    case VLM_Q8_0:
        for (int i = 0; i < 32; i++) code[i] = p[2 + i] ^ 128;
        break;
    case VLM_Q4_0:
    case VLM_Q4_1:
    case VLM_Q5_0:
    case VLM_Q5_1: {
        const uint8_t *fifth = p + (vlm_has_minimum(type) ? 4 : 2);
        const uint8_t *nibbles = fifth + (vlm_has_nibbles(type) ? 0 : 4);
        for (int i = 0; i < 16; i++) {
            code[i] = nibbles[i] & 15;
            code[i + 16] = nibbles[i] >> 4;
        }
        if (!vlm_has_nibbles(type))
            for (int i = 0; i < 32; i++) code[i] |= (uint8_t)((fifth[i / 8] >> i % 8 & 1) << 4);
        break;
    }
    case VLM_Q4_K:
    case VLM_Q5_K: {
        const uint8_t *nibbles = p + (type == VLM_Q5_K ? 48 : 16) + g / 2 * 32;
        for (int i = 0; i < 32; i++) code[i] = nibbles[i] >> g % 2 * 4 & 15;
        if (type == VLM_Q5_K)
            for (int i = 0; i < 32; i++) code[i] |= (uint8_t)((p[16 + i] >> g & 1) << 4);
        break;
    }
    default: {  // Q6_K
        const uint8_t *nibbles = p + 64 * (g / 4) + 32 * (g % 2), *high = p + 128 + 32 * (g / 4);
        for (int i = 0; i < 32; i++)
            code[i] = (uint8_t)((nibbles[i] >> (g % 4 < 2 ? 0 : 4) & 15) | (high[i] >> 2 * (g % 4) & 3) << 4);
    }
    }
}

/// Writes what column j of a block keeps: p is its block, `out` the block of the panel.
static void pack_block(vlm_element type, const uint8_t *p, int64_t j, uint8_t *out) {
    const int groups = (int)vlm_block_elements(type) / 32, minimum = vlm_has_minimum(type);
    if (vlm_has_groups(type)) {
        memcpy(out + 2 * j, type == VLM_Q6_K ? p + 208 : p, 2);
        if (minimum) memcpy(out + 32 + 2 * j, p + 2, 2);
        out += vlm_head_bytes(type);
    }
    for (int g = 0; g < groups; g++, out += vlm_group_bytes(type)) {
        uint8_t code[32], *scales = out + vlm_codes_bytes(type);
        unpack_codes(type, p, g, code);
        if (vlm_has_nibbles(type))
            for (int i = 0; i < 16; i++) code[i] |= (uint8_t)(code[i + 16] << 4);
        for (int t = 0; t < vlm_codes_bytes(type) / 64; t++) memcpy(out + 64 * t + 4 * j, code + 4 * t, 4);
        if (type == VLM_Q6_K) {
            scales[j] = p[192 + 2 * g];
            scales[16 + j] = p[193 + 2 * g];
        } else if (vlm_has_groups(type)) {
            int scale, least;
            vlm_scale_and_minimum(p + 4, g, &scale, &least);
            scales[j] = (uint8_t)scale;
            scales[16 + j] = (uint8_t)least;
        } else {
            memcpy(scales + 2 * j, p, 2);
            if (minimum) memcpy(scales + 32 + 2 * j, p + 2, 2);
        }
    }
}

int64_t vlm_quantized_panel_columns(void) { return VLM_PANEL_COLUMNS; }

int64_t vlm_quantized_panel_bytes(vlm_element type, int64_t depth) {
    return depth / vlm_block_elements(type) * vlm_panel_block_bytes(type);
}

void vlm_quantized_pack(vlm_element type, int64_t columns, int64_t depth, const void *w, uint8_t *panel) {
    int64_t blocks = depth / vlm_block_elements(type), row_bytes = blocks * (int64_t)vlm_block_bytes(type);
    if (columns < VLM_PANEL_COLUMNS) memset(panel, 0, (size_t)vlm_quantized_panel_bytes(type, depth));
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t j = 0; j < columns; j++)
            pack_block(
                type, (const uint8_t *)w + j * row_bytes + b * (int64_t)vlm_block_bytes(type), j,
                panel + b * vlm_panel_block_bytes(type));
}

// ---- the product -------------------------------------------------------------------------------------------------

/// Bytes of rows that are multiplied with one panel after another while they stay in the L2 cache.
enum { ROW_BLOCK_BYTES = 1 << 19 };

/// Columns [j, j + columns) of rows [first, end).
static void quantized_panel(
    const vlm_kernels *k, const vlm_quantized_product *p, const uint8_t *panel, int64_t j, int64_t columns, int64_t first,
    int64_t end) {
    int64_t groups = p->depth / 32;
    for (int64_t row = first, rows; row < end; row += rows) {
        rows = vlm_next_rows(end - row, k->quantized_rows);
        float *c = p->c + row * p->ldc + j;
        const int8_t *q = p->q + row * p->ldq;
        if (p->w_type == VLM_I8 && (p->bias || p->activation != VLM_IDENTITY)) {
            _Alignas(64) float tile[VLM_MAX_TILE_ROWS * 2 * VLM_PANEL_COLUMNS];
            k->int8_tile(rows, columns, p->depth, q, p->ldq, p->blocks + row, panel, tile, columns);
            k->finish_tile(rows, columns, tile, columns, p->bias ? p->bias + j : NULL, p->activation);
            vlm_copy_tile(rows, columns, tile, columns, c, p->ldc);
            continue;
        }
        if (p->w_type == VLM_I8)
            k->int8_tile(rows, columns, p->depth, q, p->ldq, p->blocks + row, panel, c, p->ldc);
        else
            k->quantized_tile(
                p->w_type, rows, columns, p->depth, q, p->ldq, p->blocks + row * groups, panel, c, p->ldc);
        if (p->parts == 2) {  // the panel is in the cache by now
            float rest[VLM_MAX_TILE_ROWS * VLM_PANEL_COLUMNS];
            k->quantized_tile(
                p->w_type, rows, columns, p->depth, q + p->rows * p->ldq, p->ldq,
                p->blocks + (p->rows + row) * groups, panel, rest, VLM_PANEL_COLUMNS);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < columns; i++) c[r * p->ldc + i] += rest[r * VLM_PANEL_COLUMNS + i];
        }
        if (p->bias || p->activation != VLM_IDENTITY)
            k->finish_tile(rows, columns, c, p->ldc, p->bias ? p->bias + j : NULL, p->activation);
    }
}

void vlm_quantized_columns(const vlm_kernels *k, const vlm_quantized_product *p, int64_t first, int64_t end) {
    int64_t panel_bytes =
        p->w_type == VLM_I8 ? vlm_int8_panel_bytes(p->depth) : vlm_quantized_panel_bytes(p->w_type, p->depth);
    int64_t columns = p->w_type == VLM_I8 ? 2 * VLM_PANEL_COLUMNS : VLM_PANEL_COLUMNS;
    // Whole tiles, so that blocks split rows where the tiles would.
    int64_t block = vlm_max(1, ROW_BLOCK_BYTES / (p->depth * k->quantized_rows * p->parts)) * k->quantized_rows;
    for (int64_t row = 0; row < p->rows; row += block)
        for (int64_t j = first; j < end; j += columns)
            quantized_panel(
                k, p, p->panels + j / VLM_PANEL_COLUMNS * panel_bytes, j, vlm_min(columns, end - j), row,
                vlm_min(p->rows, row + block));
}
