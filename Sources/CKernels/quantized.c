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

/// A hundredth of the work of a product, or a tenth where it has few columns: maxima of 16 blocks first, so that their
/// scales are divided side by side.
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
        float scale[16], inverse[16];
        for (int b = 0; b < count; b++) scale[b] = scale_of(bits[b], inverse + b);
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

/// A block stands out whose scale is above this many times the mean of its row: rounded by itself it would be off by as much
/// as other blocks are long. Measured on SmolLM2's perplexity, where it is the largest that leaves nothing to be seen.
enum { OUTLIER_SCALES = 2 };

void vlm_quantize_rest(
    const vlm_kernels *k, int64_t depth, const float *x, const int8_t *q, const vlm_row_block *blocks, int8_t *rest,
    vlm_row_block *rest_blocks, uint64_t *outliers) {
    const int64_t groups = depth / 32;
    float mean = 0;
    for (int64_t g = 0; g < groups; g++) mean += blocks[g].scale;
    mean /= (float)groups;
    memset(rest, 0, (size_t)depth);
    memset(rest_blocks, 0, (size_t)groups * sizeof *rest_blocks);
    memset(outliers, 0, (size_t)vlm_outlier_words(depth) * sizeof *outliers);
    for (int64_t g = 0; g < groups; g++) {
        if (!(blocks[g].scale > OUTLIER_SCALES * mean)) continue;
        float left[32];
        for (int i = 0; i < 32; i++) left[i] = x[32 * g + i] - (float)q[32 * g + i] * blocks[g].scale;
        k->quantize_row(32, left, rest + 32 * g, rest_blocks + g);
        outliers[g / 64] |= (uint64_t)1 << g % 64;
    }
}

void vlm_list_outliers(int64_t rows, int64_t depth, const uint64_t *outliers, int32_t *starts, int32_t *list) {
    const int64_t words = vlm_outlier_words(depth);
    int32_t count = 0;
    for (int64_t g = 0; g < depth / 32; g++) {
        starts[g] = count;
        for (int64_t r = 0; r < rows; r++)
            if (outliers[r * words + g / 64] >> g % 64 & 1) list[count++] = (int32_t)r;
    }
    starts[depth / 32] = count;
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

/// The groups of rows [row, row + rows) at or after *group that have a rest: the next run of them, in whole `unit`s (1 or 8).
/// Moves *group to its first, and returns how many there are; 0 if there is none before `end`.
static int64_t next_outliers(
    const vlm_quantized_product *p, int64_t row, int64_t rows, int64_t unit, int64_t *group, int64_t end) {
    const int64_t words = vlm_outlier_words(p->depth);
    const uint64_t whole = unit == 8 ? 0xff : 1;
    while (*group < end) {
        int64_t word = *group / 64, at = *group % 64;
        uint64_t bits = 0;
        for (int64_t r = row; r < row + rows; r++) bits |= p->outliers[r * words + word];
        bits = bits >> at << at;
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

/// c = c + rest.
static void add_rest(int64_t rows, int64_t columns, const float *rest, int64_t ldr, float *c, int64_t ldc) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < columns; i++) c[r * ldc + i] += rest[r * ldr + i];
}

static void finish(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t row, int64_t rows, int64_t j, int64_t columns) {
    if (p->bias || p->activation != VLM_IDENTITY)
        k->finish_tile(rows, columns, p->c + row * p->ldc + j, p->ldc, p->bias ? p->bias + j : NULL, p->activation);
}

/// Bytes of rows that are multiplied with one panel after another while they stay in the L2 cache.
enum { ROW_BLOCK_BYTES = 1 << 19 };

/// Columns [j, j + columns) of rows [first, end).
static void quantized_panel(
    const vlm_kernels *k, const vlm_quantized_product *p, const uint8_t *panel, int64_t j, int64_t columns, int64_t first,
    int64_t end) {
    const int64_t groups = p->depth / 32, unit = vlm_block_elements(p->w_type) / 32;
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
        if (p->w_type == VLM_I8) {
            k->int8_tile(rows, columns, p->depth, q, p->ldq, p->blocks + row, panel, c, p->ldc);
            finish(k, p, row, rows, j, columns);
            continue;
        }
        k->quantized_tile(
            p->w_type, rows, columns, p->depth, q, p->ldq, p->blocks + row * groups, groups, panel, c, p->ldc, 0);
        float rest[VLM_MAX_TILE_ROWS * VLM_PANEL_COLUMNS] = {0};
        int has_rest = 0;
        for (int64_t g = 0, n; p->outliers && (n = next_outliers(p, row, rows, unit, &g, groups)); g += n, has_rest = 1)
            k->quantized_tile(
                p->w_type, rows, columns, 32 * n, q + p->rows * p->ldq + 32 * g, p->ldq,
                p->blocks + (p->rows + row) * groups + g, groups, panel + g / unit * vlm_panel_block_bytes(p->w_type), rest,
                VLM_PANEL_COLUMNS, 1);
        if (has_rest) add_rest(rows, columns, rest, VLM_PANEL_COLUMNS, c, p->ldc);
        finish(k, p, row, rows, j, columns);
    }
}

// Many rows: panels are opened piece by piece along the depth, two beside each other, and stay in the L2 cache.
enum {
    FEW_ROWS = 16,        // up to this many, opening a panel costs more than it saves
    OPENED_DEPTH = 2048,  // whole blocks of every type
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
    return vlm_min(p->depth, OPENED_DEPTH) / 32 * vlm_opened_group_bytes(p->w_type);
}

size_t vlm_quantized_scratch(const vlm_kernels *k, const vlm_quantized_product *p) {
    if (!is_opened(k, p)) return 0;
    return (size_t)(2 * opened_panel_bytes(p) / 4 + (p->outliers ? opened_block(p->rows) * OPENED_COLUMNS : 0));
}

/// Adds products of one group with what rounding left of it in rows of [first, end) that have a rest there, few of all:
/// they are brought together for the tile. `rest` holds OPENED_COLUMNS for each row from `first` on.
static void opened_outliers(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t group, int64_t columns, int64_t first, int64_t end,
    const uint8_t *opened, int64_t panel_bytes, float *rest) {
    const int64_t groups = p->depth / 32;
    const int32_t *list = p->outlier_rows + p->outlier_starts[group], *last = p->outlier_rows + p->outlier_starts[group + 1];
    while (list < last && *list < first) list++;
    while (list < last && last[-1] >= end) last--;
    for (int64_t rows; list < last; list += rows) {
        rows = vlm_next_rows(last - list, VLM_OPENED_ROWS);
        int8_t q[VLM_OPENED_ROWS][32];
        vlm_row_block blocks[VLM_OPENED_ROWS];
        float c[VLM_OPENED_ROWS][OPENED_COLUMNS];
        for (int64_t r = 0; r < rows; r++) {
            memcpy(q[r], p->q + (p->rows + list[r]) * p->ldq + 32 * group, 32);
            blocks[r] = p->blocks[(p->rows + list[r]) * groups + group];
            memcpy(c[r], rest + (list[r] - first) * OPENED_COLUMNS, sizeof c[r]);
        }
        k->opened_tile(
            p->w_type, rows, columns, 1, q[0], 32, blocks, 1, opened, panel_bytes, c[0], OPENED_COLUMNS, 1);
        for (int64_t r = 0; r < rows; r++)
            memcpy(rest + (list[r] - first) * OPENED_COLUMNS, c[r], sizeof c[r]);
    }
}

/// Where a panel keeps the groups from `group` on.
static const uint8_t *stored_groups(const vlm_quantized_product *p, int64_t column, int64_t group) {
    return p->panels + column / VLM_PANEL_COLUMNS * vlm_quantized_panel_bytes(p->w_type, p->depth)
        + 32 * group / vlm_block_elements(p->w_type) * vlm_panel_block_bytes(p->w_type);
}

/// Columns [j, j + columns), at most two panels, of rows [first, end). The two panels after them are asked for meanwhile, if
/// `is_last` is not set: opening would wait for memory.
static void opened_columns(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t j, int64_t columns, int64_t first, int64_t end,
    int is_last, float *scratch) {
    enum { PIECE = OPENED_DEPTH / 32, LINE = 64 };
    const int64_t groups = p->depth / 32, panel_bytes = opened_panel_bytes(p);
    const int64_t piece_bytes = OPENED_DEPTH / vlm_block_elements(p->w_type) * vlm_panel_block_bytes(p->w_type);
    const int64_t tiles = (end - first + VLM_OPENED_ROWS - 1) / VLM_OPENED_ROWS;
    uint8_t *opened = (uint8_t *)scratch;
    float *rest = scratch + 2 * panel_bytes / 4;
    if (p->outliers) memset(rest, 0, (size_t)((end - first) * OPENED_COLUMNS) * 4);
    for (int64_t start = 0; start < groups; start += PIECE) {
        int64_t count = vlm_min(PIECE, groups - start);
        for (int64_t i = 0; i < columns; i += VLM_PANEL_COLUMNS)
            k->open_panel(
                p->w_type, 32 * count, stored_groups(p, j + i, start), opened + i / VLM_PANEL_COLUMNS * panel_bytes);
        // What is opened next, a part of it with every tile.
        int is_more = start + count < groups;
        const uint8_t *next[2] = {
            is_more ? stored_groups(p, j, start + count) : stored_groups(p, j + OPENED_COLUMNS, 0),
            is_more ? stored_groups(p, j + VLM_PANEL_COLUMNS, start + count)
                    : stored_groups(p, j + OPENED_COLUMNS + VLM_PANEL_COLUMNS, 0),
        };
        int64_t share = (piece_bytes / tiles + LINE) / LINE * LINE, asked = 0;
        for (int64_t row = first, rows; row < end; row += rows) {
            rows = vlm_next_rows(end - row, VLM_OPENED_ROWS);
            if (is_more || !is_last)
                for (int64_t stop = vlm_min(piece_bytes, asked + share); asked < stop; asked += LINE) {
                    __builtin_prefetch(next[0] + asked, 0, 2);
                    __builtin_prefetch(next[1] + asked, 0, 2);
                }
            k->opened_tile(
                p->w_type, rows, columns, count, p->q + row * p->ldq + 32 * start, p->ldq, p->blocks + row * groups + start,
                groups, opened, panel_bytes, p->c + row * p->ldc + j, p->ldc, start > 0);
        }
        for (int64_t g = start; p->outliers && g < start + count; g++)
            opened_outliers(
                k, p, g, columns, first, end, opened + (g - start) * vlm_opened_group_bytes(p->w_type), panel_bytes, rest);
    }
    if (p->outliers)
        add_rest(end - first, columns, rest, OPENED_COLUMNS, p->c + first * p->ldc + j, p->ldc);
    finish(k, p, first, end - first, j, columns);
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
    int64_t panel_bytes =
        p->w_type == VLM_I8 ? vlm_int8_panel_bytes(p->depth) : vlm_quantized_panel_bytes(p->w_type, p->depth);
    int64_t columns = p->w_type == VLM_I8 ? 2 * VLM_PANEL_COLUMNS : VLM_PANEL_COLUMNS;
    // Whole tiles, so that blocks split rows where the tiles would.
    int64_t block = vlm_max(1, ROW_BLOCK_BYTES / (p->depth * k->quantized_rows)) * k->quantized_rows;
    for (int64_t row = 0; row < p->rows; row += block)
        for (int64_t j = first; j < end; j += columns)
            quantized_panel(
                k, p, p->panels + j / VLM_PANEL_COLUMNS * panel_bytes, j, vlm_min(columns, end - j), row,
                vlm_min(p->rows, row + block));
}
