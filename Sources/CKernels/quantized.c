// Rows quantised to 8 bits, packing of block-quantised weights, and the driver of their product.
#include "quantized.h"

#include <math.h>

#include "simd.h"

#pragma STDC FP_CONTRACT OFF

// ---- rows --------------------------------------------------------------------------------------------------------

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

// ---- weights -----------------------------------------------------------------------------------------------------

/// Codes of a group as a panel has them: one a byte, or in types of nibbles element i with element i + 16. `type` is a constant
/// where this is called, and loops are of 16 or 32 bytes: compilers make vectors of them.
static inline __attribute__((always_inline)) void panel_codes(vlm_element type, const uint8_t *p, int g, uint8_t *code) {
    switch (type) {
    case VLM_Q8_0:
        for (int i = 0; i < 32; i++) code[i] = p[2 + i] ^ 128;
        break;
    case VLM_Q4_0:
    case VLM_Q4_1: memcpy(code, p + (type == VLM_Q4_1 ? 4 : 2), 16); break;
    case VLM_Q5_0:
    case VLM_Q5_1: {
        const uint8_t *fifth = p + (type == VLM_Q5_1 ? 4 : 2), *nibbles = fifth + 4;
        // A word is eight codes: nibbles, and 16 where a bit says so. Of that byte's copies each keeps another bit.
        for (int i = 0; i < 4; i++) {
            uint64_t word, bits = fifth[i] * 0x0101010101010101u & 0x8040201008040201u;
            memcpy(&word, nibbles + 8 * (i % 2), 8);
            word = (word >> 4 * (i / 2) & 0x0F0F0F0F0F0F0F0Fu) | ((bits + 0x7F7F7F7F7F7F7F7Fu) >> 3 & 0x1010101010101010u);
            memcpy(code + 8 * i, &word, 8);
        }
        break;
    }
    case VLM_Q4_K: {
        const uint8_t *nibbles = p + 16 + g / 2 * 32;
        const int shift = g % 2 * 4;
        for (int i = 0; i < 16; i++)
            code[i] = (uint8_t)((nibbles[i] >> shift & 15) | (nibbles[i + 16] >> shift & 15) << 4);
        break;
    }
    case VLM_Q5_K: {
        const uint8_t *nibbles = p + 48 + g / 2 * 32;
        for (int i = 0; i < 32; i++)
            code[i] = (uint8_t)((nibbles[i] >> g % 2 * 4 & 15) | (p[16 + i] >> g & 1) << 4);
        break;
    }
    default: {  // Q6_K
        const uint8_t *nibbles = p + 64 * (g / 4) + 32 * (g % 2), *high = p + 128 + 32 * (g / 4);
        const int shift = g % 4 < 2 ? 0 : 4, high_shift = 2 * (g % 4);
        for (int i = 0; i < 32; i++)
            code[i] = (uint8_t)((nibbles[i] >> shift & 15) | (high[i] >> high_shift & 3) << 4);
    }
    }
}

/// Packs a block of each of the columns, which are `row_bytes` apart.
static inline __attribute__((always_inline)) void pack_blocks(
    vlm_element type, int64_t columns, const uint8_t *w, int64_t row_bytes, uint8_t *out) {
    const int groups = (int)vlm_block_elements(type) / 32, minimum = vlm_has_minimum(type);
    if (vlm_has_groups(type)) {
        for (int64_t j = 0; j < columns; j++) {
            const uint8_t *p = w + j * row_bytes;
            memcpy(out + 2 * j, type == VLM_Q6_K ? p + 208 : p, 2);
            if (minimum) memcpy(out + 32 + 2 * j, p + 2, 2);
        }
        out += vlm_head_bytes(type);
    }
    for (int g = 0; g < groups; g++, out += vlm_group_bytes(type)) {
        uint8_t *scales = out + vlm_codes_bytes(type);
        for (int64_t j = 0; j < columns; j++) {
            const uint8_t *p = w + j * row_bytes;
            uint8_t code[32];
            panel_codes(type, p, g, code);
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
}

int64_t vlm_quantized_panel_columns(void) { return VLM_PANEL_COLUMNS; }

int64_t vlm_quantized_panel_bytes(vlm_element type, int64_t depth) {
    return depth / vlm_block_elements(type) * vlm_panel_block_bytes(type);
}

void vlm_quantized_pack(vlm_element type, int64_t columns, int64_t depth, const void *w, uint8_t *panel) {
    const int64_t blocks = depth / vlm_block_elements(type), block_bytes = (int64_t)vlm_block_bytes(type);
    if (columns < VLM_PANEL_COLUMNS) memset(panel, 0, (size_t)vlm_quantized_panel_bytes(type, depth));
    const uint8_t *p = w;
#define VLM_PACK(t)                                                                                                  \
    case t:                                                                                                          \
        for (int64_t b = 0; b < blocks; b++)                                                                         \
            pack_blocks(t, columns, p + b * block_bytes, blocks * block_bytes, panel + b * vlm_panel_block_bytes(t)); \
        break;
    switch (type) {
        VLM_PACK(VLM_Q8_0) VLM_PACK(VLM_Q4_0) VLM_PACK(VLM_Q4_1) VLM_PACK(VLM_Q5_0) VLM_PACK(VLM_Q5_1)
        VLM_PACK(VLM_Q4_K) VLM_PACK(VLM_Q5_K) VLM_PACK(VLM_Q6_K)
    default: break;
    }
#undef VLM_PACK
}

// ---- the product -------------------------------------------------------------------------------------------------

enum {
    PIECE = 64,       // groups between which rows continue with their outliers, in every form: whole blocks of every type
    FEW_GROUPS = 16,  // those that are opened for few rows: they stay in the first cache
};

/// The next run of whole `unit`s of groups (1 or 8), at or after *group, in which a row has a rest. Moves *group to its first, and
/// returns how many groups it has; 0 if there is none before `end`.
static int64_t next_outliers(
    const vlm_quantized_product *p, int64_t row, int64_t unit, int64_t *group, int64_t end) {
    const uint64_t *words = p->outliers + row * vlm_outlier_words(p->depth), whole = unit == 8 ? 0xff : 1;
    while (*group < end) {
        int64_t word = *group / 64, at = *group % 64;
        uint64_t bits = words[word] >> at << at;
        if (!bits) {
            *group = 64 * (word + 1);
            continue;
        }
        int64_t first = __builtin_ctzll(bits) / unit * unit, last = first;
        while (last < 64 && bits >> last & whole) last += unit;
        *group = 64 * word + first;
        return last - first;
    }
    return 0;
}

/// Where a panel keeps the groups from `group` on.
static const uint8_t *stored_groups(const vlm_quantized_product *p, int64_t column, int64_t group) {
    return p->panels + column / VLM_PANEL_COLUMNS * vlm_quantized_panel_bytes(p->w_type, p->depth)
        + 32 * group / vlm_block_elements(p->w_type) * vlm_panel_block_bytes(p->w_type);
}

/// Bytes of a row of blocks, and of so many groups of it.
static int64_t group_bytes(const vlm_quantized_product *p, int64_t groups) {
    return 32 * groups / vlm_block_elements(p->w_type) * (int64_t)vlm_block_bytes(p->w_type);
}

/// The row of the weight that a column is, and bytes from it to the next column's.
static const uint8_t *row_of(const vlm_quantized_product *p, int64_t column) {
    const int64_t half = p->run / 2, place = half ? column % p->run : 0;
    return p->weight + (half ? column - place + 2 * (place % half) + place / half : column) * group_bytes(p, p->depth / 32);
}
static int64_t row_step(const vlm_quantized_product *p) { return group_bytes(p, p->depth / 32) * (p->run ? 2 : 1); }

enum { LONGEST_GROUP = 34 };  // bytes, of Q8_0

/// Rows of blocks where they lie.
typedef struct stored_rows {
    const uint8_t *first;
    int64_t stride, left;  // bytes to the next row, and to the end
} stored_rows;

/// `count` groups, at most a piece, of the 16 rows of the weight from `column` on. Where these are fewer, a copy that has zeros as
/// the others.
static stored_rows rows_at(
    const vlm_quantized_product *p, int64_t column, int64_t group, int64_t count,
    uint8_t copy[VLM_PANEL_COLUMNS * PIECE * LONGEST_GROUP]) {
    const int64_t stride = row_step(p), at = group_bytes(p, group), there = p->columns - column;
    const uint8_t *first = row_of(p, column) + at;
    if (there >= VLM_PANEL_COLUMNS) return (stored_rows){first, stride, group_bytes(p, p->depth / 32) - at};
    const int64_t bytes = group_bytes(p, count);
    for (int64_t j = 0; j < there; j++) memcpy(copy + j * bytes, first + j * stride, (size_t)bytes);
    memset(copy + there * bytes, 0, (size_t)((VLM_PANEL_COLUMNS - there) * bytes));
    return (stored_rows){copy, bytes, bytes};
}

/// Opens `count` groups, at most a piece, of the 16 columns from `column` on, from their panel or from the rows of the weight.
static void open_groups(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t column, int64_t group, int64_t count, uint8_t *opened) {
    if (p->panels) {
        k->open_panel(p->w_type, 32 * count, stored_groups(p, column, group), opened);
        return;
    }
    uint8_t copy[VLM_PANEL_COLUMNS * PIECE * LONGEST_GROUP];
    const stored_rows rows = rows_at(p, column, group, count, copy);
    k->open_rows(p->w_type, 32 * count, rows.first, rows.stride, rows.left, opened);
}

/// The product of few rows with `count` groups of up to 16 columns.
static void few_rows(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t rows, int64_t column, int64_t columns, int64_t group,
    int64_t count, const int8_t *q, const vlm_row_block *blocks, float *c, int accumulate, uint8_t *opened) {
    const int64_t ldb = p->depth / 32;
    if (p->panels) {
        k->quantized_tile(
            p->w_type, rows, columns, 32 * count, q, p->ldq, blocks, ldb, stored_groups(p, column, group), c, p->ldc,
            accumulate);
        return;
    }
    if (rows == 1 && k->row_product) {
        uint8_t copy[VLM_PANEL_COLUMNS * PIECE * LONGEST_GROUP];
        const stored_rows w = rows_at(p, column, group, count, copy);
        k->row_product(p->w_type, columns, 32 * count, q, blocks, w.first, w.stride, w.left, c, accumulate);
        return;
    }
    for (int64_t start = 0, n; start < count; start += n) {
        n = vlm_min(FEW_GROUPS, count - start);
        open_groups(k, p, column, group + start, n, opened);
        for (int64_t r = 0, some; r < rows; r += some) {
            some = vlm_next_rows(rows - r, VLM_OPENED_ROWS);
            k->opened_tile(
                p->w_type, some, columns, n, NULL, q + r * p->ldq + 32 * start, p->ldq, blocks + r * ldb + start, ldb,
                opened, 0, c + r * p->ldc, p->ldc, accumulate || start > 0);
        }
    }
}

/// Bytes of rows that are multiplied with one panel after another while they stay in the L2 cache.
enum { ROW_BLOCK_BYTES = 1 << 19 };

/// Columns [j, j + columns) of rows [first, end).
static void quantized_panel(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t j, int64_t columns, int64_t first, int64_t end,
    float *scratch) {
    uint8_t *opened = (uint8_t *)scratch;
    const int64_t groups = p->depth / 32, unit = vlm_block_elements(p->w_type) / 32;
    for (int64_t row = first, rows; row < end; row += rows) {
        rows = vlm_next_rows(end - row, k->quantized_rows);
        float *c = p->c + row * p->ldc + j;
        const int8_t *q = p->q + row * p->ldq;
        if (p->w_type == VLM_I8) {
            _Alignas(64) float sums[VLM_MAX_TILE_ROWS * 2 * VLM_PANEL_COLUMNS];
            int ends = !vlm_has_epilogue(&p->epilogue);
            float *tile = ends ? c : sums;
            int64_t ldt = ends ? p->ldc : columns;
            const uint8_t *panel = p->panels + j / VLM_PANEL_COLUMNS * vlm_int8_panel_bytes(p->depth);
            vlm_expect_tile(&p->epilogue, row, rows, j, columns, p->c, p->ldc);
            k->int8_tile(rows, columns, p->depth, q, p->ldq, p->blocks + row, panel, tile, ldt);
            vlm_finish(k, &p->epilogue, row, rows, j, columns, tile, ldt, p->c, p->ldc);
            continue;
        }
        for (int64_t start = 0; start < groups; start += PIECE) {
            int64_t count = vlm_min(PIECE, groups - start);
            few_rows(
                k, p, rows, j, columns, start, count, q + 32 * start, p->blocks + row * groups + start, c, start > 0, opened);
            for (int64_t r = 0; p->outliers && r < rows; r++) {
                int64_t at = p->rows + row + r;
                for (int64_t g = start, n; (n = next_outliers(p, row + r, unit, &g, start + count)); g += n)
                    few_rows(
                        k, p, 1, j, columns, g, n, p->q + at * p->ldq + 32 * g, p->blocks + at * groups + g, c + r * p->ldc, 1,
                        opened);
            }
        }
        vlm_finish(k, &p->epilogue, row, rows, j, columns, c, p->ldc, p->c, p->ldc);
    }
}

// Many rows: panels are opened piece by piece along the depth, two beside each other, and stay in the L2 cache.
enum {
    FEW_ROWS = 16,        // up to this many, opening a panel costs more than it saves
    OPENED_BLOCK = 516,   // rows that share an opened panel at most
    OPENED_COLUMNS = 2 * VLM_PANEL_COLUMNS,
};

static int is_opened(const vlm_kernels *k, const vlm_quantized_product *p) {
    return k->opened_tile && p->w_type != VLM_I8 && p->rows > FEW_ROWS;
}

/// Rows of a block: as few blocks as there must be, of equal numbers of whole tiles.
static int64_t opened_block(int64_t rows) {
    int64_t blocks = (rows + OPENED_BLOCK - 1) / OPENED_BLOCK, block = (rows + blocks - 1) / blocks;
    return (block + VLM_OPENED_ROWS - 1) / VLM_OPENED_ROWS * VLM_OPENED_ROWS;
}

static int64_t opened_panel_bytes(const vlm_quantized_product *p) {
    return vlm_min(p->depth / 32, PIECE) * vlm_opened_group_bytes(p->w_type);
}

size_t vlm_quantized_scratch(const vlm_kernels *k, const vlm_quantized_product *p) {
    if (is_opened(k, p)) return (size_t)(2 * opened_panel_bytes(p) / 4);
    return p->panels ? 0 : (size_t)(FEW_GROUPS * vlm_opened_group_bytes(p->w_type) / 4);
}

/// Adds products of one group with what rounding left of it in those of rows [first, end) that have a rest there.
static void opened_outliers(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t group, int64_t j, int64_t columns, int64_t first,
    int64_t end, const uint8_t *opened, int64_t panel_bytes) {
    const int64_t groups = p->depth / 32;
    const int32_t *list = p->outlier_rows + p->outlier_starts[group], *last = p->outlier_rows + p->outlier_starts[group + 1];
    while (list < last && *list < first) list++;
    while (list < last && last[-1] >= end) last--;
    for (int64_t rows; list < last; list += rows) {
        rows = vlm_next_rows(last - list, VLM_OPENED_ROWS);
        k->opened_tile(
            p->w_type, rows, columns, 1, list, p->q + p->rows * p->ldq + 32 * group, p->ldq, p->blocks + p->rows * groups + group,
            groups, opened, panel_bytes, p->c + j, p->ldc, 1);
    }
}

enum { LINE = 64 };

/// What memory is asked for before it is opened: `runs` of so many lines, `step` bytes apart.
typedef struct next_piece {
    const uint8_t *first;
    int64_t runs, lines, step;
} next_piece;

/// The groups from `group` on of two panels: a run for each, or for each of their rows.
static next_piece piece_at(const vlm_quantized_product *p, int64_t column, int64_t group) {
    int64_t count = vlm_min(PIECE, p->depth / 32 - group);
    if (p->panels) {
        int64_t bytes = 32 * count / vlm_block_elements(p->w_type) * vlm_panel_block_bytes(p->w_type);
        return (next_piece){
            stored_groups(p, column, group), 2, (bytes + LINE - 1) / LINE, vlm_quantized_panel_bytes(p->w_type, p->depth)};
    }
    return (next_piece){
        row_of(p, column) + group_bytes(p, group), OPENED_COLUMNS, group_bytes(p, count) / LINE + 1, row_step(p)};
}

/// Columns [j, j + columns), at most two panels, of rows [first, end). The two panels after them are asked for meanwhile, if
/// `is_last` is not set: opening would wait for memory.
static void opened_columns(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t j, int64_t columns, int64_t first, int64_t end,
    int is_last, float *scratch) {
    const int64_t groups = p->depth / 32, panel_bytes = opened_panel_bytes(p);
    const int64_t tiles = (end - first + VLM_OPENED_ROWS - 1) / VLM_OPENED_ROWS;
    uint8_t *opened = (uint8_t *)scratch;
    for (int64_t start = 0; start < groups; start += PIECE) {
        int64_t count = vlm_min(PIECE, groups - start);
        for (int64_t i = 0; i < columns; i += VLM_PANEL_COLUMNS)
            open_groups(k, p, j + i, start, count, opened + i / VLM_PANEL_COLUMNS * panel_bytes);
        // What is opened next, a part of it with every tile.
        int is_more = start + count < groups;
        const next_piece next = is_more ? piece_at(p, j, start + count) : piece_at(p, j + OPENED_COLUMNS, 0);
        const int64_t share = next.runs * next.lines / tiles + 1;
        int64_t run = is_more || !is_last ? 0 : next.runs, line = 0;
        for (int64_t row = first, rows; row < end; row += rows) {
            rows = vlm_next_rows(end - row, VLM_OPENED_ROWS);
            for (int64_t n = 0; n < share && run < next.runs; n++) {
                __builtin_prefetch(next.first + run * next.step + line * LINE, 0, 2);
                if (++line == next.lines) {
                    line = 0;
                    run++;
                }
            }
            k->opened_tile(
                p->w_type, rows, columns, count, NULL, p->q + row * p->ldq + 32 * start, p->ldq, p->blocks + row * groups + start,
                groups, opened, panel_bytes, p->c + row * p->ldc + j, p->ldc, start > 0);
        }
        for (int64_t g = start; p->outliers && g < start + count; g++)
            opened_outliers(
                k, p, g, j, columns, first, end, opened + (g - start) * vlm_opened_group_bytes(p->w_type), panel_bytes);
    }
    vlm_finish(k, &p->epilogue, first, end - first, j, columns, p->c + first * p->ldc + j, p->ldc, p->c, p->ldc);
}

void vlm_quantized_columns(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t first, int64_t end, float *scratch) {
    if (is_opened(k, p)) {
        int64_t block = opened_block(p->rows);
        for (int64_t row = 0; row < p->rows; row += block)
            for (int64_t j = first; j < end; j += OPENED_COLUMNS)
                opened_columns(
                    k, p, j, vlm_min(OPENED_COLUMNS, end - j), row, vlm_min(p->rows, row + block), j + OPENED_COLUMNS >= end, scratch);
        return;
    }
    int64_t columns = p->w_type == VLM_I8 ? 2 * VLM_PANEL_COLUMNS : VLM_PANEL_COLUMNS;
    // Whole tiles, so that blocks split rows where the tiles would.
    int64_t block = vlm_max(1, ROW_BLOCK_BYTES / (p->depth * k->quantized_rows)) * k->quantized_rows;
    for (int64_t row = 0; row < p->rows; row += block)
        for (int64_t j = first; j < end; j += columns)
            quantized_panel(k, p, j, vlm_min(columns, end - j), row, vlm_min(p->rows, row + block), scratch);
}
