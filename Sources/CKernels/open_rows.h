// One set's version of opening rows of blocks where they lie (open_rows.c), for vectors of VLM_LANES columns.
//
// Of each of as many rows 16 bytes are loaded, transposed to four vectors of four bytes a column; the rest is the same
// arithmetic on the bytes of all columns.

#define VLM_WORDS VLM_SET_NAME(words)
#define VLM_FLOATS VLM_SET_NAME(floats)
#define VLM_FUNCTION VLM_INLINE VLM_SET

/// 32 bits of each column.
typedef uint32_t VLM_WORDS __attribute__((vector_size(4 * VLM_LANES), aligned(4), may_alias));
typedef int32_t VLM_SET_NAME(integers) __attribute__((vector_size(4 * VLM_LANES)));
typedef float VLM_FLOATS __attribute__((vector_size(4 * VLM_LANES), aligned(4), may_alias));

/// As many rows as there are lanes: the first of every four, and the bytes from a row to the next and to the third after it. (Held
/// like this they take few registers; compilers would hold a pointer for each, in memory.)
typedef struct VLM_SET_NAME(rows) {
    const uint8_t *fours[VLM_LANES / 4];
    int64_t one, three;
#if VLM_LANES == 16
    __m512i index;
#endif
} VLM_SET_NAME(rows);

VLM_FUNCTION VLM_SET_NAME(rows) VLM_SET_NAME(rows_at)(const uint8_t *first, int64_t stride) {
    VLM_SET_NAME(rows) rows = {.one = stride, .three = 3 * stride};
#if VLM_LANES == 16
    rows.index = _mm512_mullo_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), _mm512_set1_epi32((int)stride));
#endif
    VLM_UNROLL for (int lane = 0; lane < VLM_LANES / 4; lane++) {
        rows.fours[lane] = first + 4 * lane * stride;
        __asm__("" : "+r"(rows.fours[lane]));
    }
    __asm__("" : "+r"(rows.one), "+r"(rows.three));
    return rows;
}

/// out[t] = bytes 4t ... 4t + 3 of the 16 at `at` of every row.
VLM_FUNCTION void VLM_SET_NAME(transposed)(const VLM_SET_NAME(rows) *rows, int64_t at, VLM_WORDS out[4]) {
#define VLM_ROW(r, lane)                                                                                             \
    ((const __m128i_u *)(rows->fours[lane] + ((r) == 3 ? rows->three : (r) * rows->one) + at))
#if VLM_LANES == 16
    __m512i v[4], pair[4];  // lanes: rows r, r + 4, r + 8 and r + 12
    VLM_UNROLL for (int r = 0; r < 4; r++) {
        // (Of intrinsics, compilers make halves that they insert with the port that is busiest here.)
#define VLM_INSERT(lane) __asm__("vinserti32x4 $" #lane ", %1, %0, %0" : "+v"(v[r]) : "m"(*VLM_ROW(r, lane)))
        v[r] = _mm512_zextsi128_si512(_mm_loadu_si128(VLM_ROW(r, 0)));
        VLM_INSERT(1);
        VLM_INSERT(2);
        VLM_INSERT(3);
#undef VLM_INSERT
    }
    VLM_UNROLL for (int i = 0; i < 4; i += 2) {
        pair[i / 2] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        pair[2 + i / 2] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    VLM_UNROLL for (int i = 0; i < 4; i += 2) {
        out[i] = (VLM_WORDS)_mm512_unpacklo_epi64(pair[i], pair[i + 1]);
        out[i + 1] = (VLM_WORDS)_mm512_unpackhi_epi64(pair[i], pair[i + 1]);
    }
#else
    __m256i v[4], pair[4];  // lanes: rows r and r + 4
    VLM_UNROLL for (int r = 0; r < 4; r++)
        v[r] = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128(VLM_ROW(r, 0))), _mm_loadu_si128(VLM_ROW(r, 1)), 1);
    VLM_UNROLL for (int i = 0; i < 4; i += 2) {
        pair[i / 2] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        pair[2 + i / 2] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    VLM_UNROLL for (int i = 0; i < 4; i += 2) {
        out[i] = (VLM_WORDS)_mm256_unpacklo_epi64(pair[i], pair[i + 1]);
        out[i + 1] = (VLM_WORDS)_mm256_unpackhi_epi64(pair[i], pair[i + 1]);
    }
#endif
#undef VLM_ROW
}

/// float16 in the low halves of words.
VLM_FUNCTION VLM_FLOATS VLM_SET_NAME(halves)(VLM_WORDS words) {
#if VLM_LANES == 16
    return (VLM_FLOATS)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)words));
#else
    __m256i low = _mm256_and_si256((__m256i)words, _mm256_set1_epi32(0xffff));
    low = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    return (VLM_FLOATS)_mm256_cvtph_ps(_mm256_castsi256_si128(low));
#endif
}

/// Word t of the 16 bytes at `at` of every row.
VLM_FUNCTION VLM_WORDS VLM_SET_NAME(words_at)(const VLM_SET_NAME(rows) *rows, int64_t at, int t) {
#if VLM_LANES == 16
    return (VLM_WORDS)_mm512_i32gather_epi32(rows->index, rows->fours[0] + at + 4 * t, 1);
#else
    VLM_WORDS all[4];
    VLM_SET_NAME(transposed)(rows, at, all);
    return all[t];
#endif
}

/// Byte i of each word, and the same as a signed one.
VLM_FUNCTION VLM_FLOATS VLM_SET_NAME(byte)(VLM_WORDS words, int i) {
    return __builtin_convertvector((VLM_SET_NAME(integers))(words >> (uint32_t)(8 * i) & 255), VLM_FLOATS);
}
VLM_FUNCTION VLM_FLOATS VLM_SET_NAME(signed_byte)(VLM_WORDS words, int i) {
    return __builtin_convertvector((VLM_SET_NAME(integers))(words << (uint32_t)(24 - 8 * i)) >> 24, VLM_FLOATS);
}

/// What becomes of a block of some rows: products of the halves of each group with the integers of a row; or, without one,
/// groups of an opened panel from column `first` on.
typedef struct VLM_SET_NAME(taken) {
#if VLM_LANES == 16
    int has_row;
    const int8_t *row;
    VLM_FLOATS scales[8][2];
    __m512i dots[8][2];
#endif
    uint8_t *opened;
    int64_t first;
} VLM_SET_NAME(taken);

VLM_FUNCTION void VLM_SET_NAME(take_scales)(
    VLM_SET_NAME(taken) *to, vlm_element type, int g, int i, VLM_FLOATS scales) {
#if VLM_LANES == 16
    if (to->has_row) {
        to->scales[g][i] = scales;
        return;
    }
#endif
    *(VLM_FLOATS *)(to->opened + g * vlm_opened_group_bytes(type) + 64 * i + 4 * to->first) = scales;
}

VLM_FUNCTION void VLM_SET_NAME(take_codes)(VLM_SET_NAME(taken) *to, vlm_element type, int g, int t, VLM_WORDS codes) {
#if VLM_LANES == 16
    if (to->has_row) {
        to->dots[g][t / 4] = dot_bytes_at(to->row + 32 * g + 4 * t, (__m512i)codes, to->dots[g][t / 4]);
        return;
    }
#endif
    uint8_t *group = to->opened + g * vlm_opened_group_bytes(type) + vlm_opened_scale_bytes(type);
    *(VLM_WORDS *)(group + 64 * t + 4 * to->first) = codes;
}

/// Takes the block at which the rows are.
VLM_FUNCTION void VLM_SET_NAME(take_block)(vlm_element type, const VLM_SET_NAME(rows) *rows, VLM_SET_NAME(taken) *to) {
    enum { NIBBLES = 0x0f0f0f0f };
#define VLM_SCALES(g, i, scales) VLM_SET_NAME(take_scales)(to, type, g, i, scales)
#define VLM_CODES(g, t, codes) VLM_SET_NAME(take_codes)(to, type, g, t, codes)
    VLM_WORDS b[4];
    if (!vlm_has_groups(type)) {
        int64_t begin = vlm_has_minimum(type) ? 4 : 2;
        const VLM_WORDS scales = VLM_SET_NAME(words_at)(rows, 0, 0);
        VLM_SCALES(0, 0, VLM_SET_NAME(halves)(scales));
        if (vlm_has_minimum(type)) VLM_SCALES(0, 1, VLM_SET_NAME(halves)(scales >> 16));
        if (type == VLM_Q8_0) {
            // AVX2 has them centred and signed (group_avx2.h).
            const uint32_t flip = VLM_LANES == 16 ? 0x80808080u : 0;
            VLM_UNROLL for (int half = 0; half < 2; half++) {
                VLM_SET_NAME(transposed)(rows, begin + 16 * half, b);
                VLM_UNROLL for (int t = 0; t < 4; t++) VLM_CODES(0, 4 * half + t, b[t] ^ flip);
            }
            return;
        }
        const int has_fifth = type == VLM_Q5_0 || type == VLM_Q5_1;
        VLM_WORDS fifth = {0};
        if (has_fifth) {
            fifth = VLM_SET_NAME(words_at)(rows, begin, 0);
            begin += 4;
        }
        VLM_SET_NAME(transposed)(rows, begin, b);
        VLM_UNROLL for (int t = 0; t < 8; t++) {
            VLM_WORDS code = (t < 4 ? b[t] : b[t - 4] >> 4) & NIBBLES;
            // Bit i of four goes to bit 4 of byte i: copies 7 bits apart have it at bit 8i.
            if (has_fifth) code |= ((fifth >> (uint32_t)(4 * t) & 15) * 0x00204081 & 0x01010101) << 4;
            VLM_CODES(0, t, code);
        }
        return;
    }
    if (type == VLM_Q6_K) {
        VLM_WORDS scales[4], low[4], last[4], high[4];
        // d is the last of the block's 210 bytes, which may be the last of the file.
        const VLM_FLOATS d = VLM_SET_NAME(halves)(VLM_SET_NAME(words_at)(rows, 194, 3) >> 16);
        VLM_SET_NAME(transposed)(rows, 192, scales);
        VLM_UNROLL for (int g = 0; g < 8; g++)
            VLM_UNROLL for (int i = 0; i < 2; i++)
                VLM_SCALES(g, i, d * VLM_SET_NAME(signed_byte)(scales[g / 2], g % 2 * 2 + i));
        VLM_UNROLL for (int part = 0; part < 4; part++) {  // half of four groups
            const int g = part / 2 * 4, u = part % 2;
            VLM_SET_NAME(transposed)(rows, 16 * g + 16 * u, low);
            VLM_SET_NAME(transposed)(rows, 16 * g + 16 * u + 32, last);
            VLM_SET_NAME(transposed)(rows, 128 + 8 * g + 16 * u, high);
            VLM_UNROLL for (int t = 0; t < 4; t++)
                VLM_UNROLL for (int i = 0; i < 4; i++) {
                    const VLM_WORDS nibble = (i % 2 ? last[t] : low[t]) >> (i / 2 * 4) & NIBBLES;
                    VLM_CODES(g + i, 4 * u + t, nibble | (high[t] >> (uint32_t)(2 * i) & 0x03030303) << 4);
                }
        }
        return;
    }
    // Q4_K and Q5_K: scales and minima of 6 bits, of the last four groups the upper two beside those of the first.
    VLM_SET_NAME(transposed)(rows, 0, b);
    const VLM_FLOATS d = VLM_SET_NAME(halves)(b[0]), least = VLM_SET_NAME(halves)(b[0] >> 16);
    const VLM_WORDS scales[2] = {b[1] & 0x3f3f3f3f, (b[3] & NIBBLES) | (b[1] >> 6 & 0x03030303) << 4};
    const VLM_WORDS minima[2] = {b[2] & 0x3f3f3f3f, (b[3] >> 4 & NIBBLES) | (b[2] >> 6 & 0x03030303) << 4};
    VLM_UNROLL for (int g = 0; g < 8; g++) {
        VLM_SCALES(g, 0, d * VLM_SET_NAME(byte)(scales[g / 4], g % 4));
        const VLM_FLOATS m = least * VLM_SET_NAME(byte)(minima[g / 4], g % 4);
        VLM_SCALES(g, 1, -0.0f - m);
    }
    VLM_UNROLL for (int u = 0; u < 2; u++) {
        VLM_WORDS fifth[4];
        if (type == VLM_Q5_K) VLM_SET_NAME(transposed)(rows, 16 + 16 * u, fifth);
        VLM_UNROLL for (int g = 0; g < 8; g += 2) {
            VLM_SET_NAME(transposed)(rows, (type == VLM_Q5_K ? 48 : 16) + 16 * g + 16 * u, b);
            VLM_UNROLL for (int t = 0; t < 4; t++)
                VLM_UNROLL for (int i = 0; i < 2; i++) {
                    VLM_WORDS code = b[t] >> (uint32_t)(4 * i) & NIBBLES;
                    if (type == VLM_Q5_K) code |= (fifth[t] >> (uint32_t)(g + i) & 0x01010101) << 4;
                    VLM_CODES(g + i, 4 * u + t, code);
                }
        }
    }
#undef VLM_CODES
#undef VLM_SCALES
}

/// Asks for what is read later: of these rows, or behind their end of the next. Of blocks smaller than a line every call asks for
/// another row of so many.
VLM_FUNCTION void VLM_SET_NAME(ask_ahead)(vlm_element type, const vlm_stored_rows *rows, int64_t *turn) {
    enum { LINE = 64, AHEAD = 768 };
    const int64_t bytes = (int64_t)vlm_block_bytes(type), period = bytes < LINE ? LINE / bytes : 1;
    const int64_t stride = rows->stride;
    const char *p = (const char *)rows->first + *turn + AHEAD + (rows->left > AHEAD ? 0 : rows->next);
    VLM_UNROLL for (int64_t j = 0; j < VLM_PANEL_COLUMNS; j += period) {
        VLM_UNROLL for (int64_t n = 0; n < bytes; n += LINE) _mm_prefetch(p + n, _MM_HINT_T0);
        p += period * stride;
        __asm__("" : "+r"(p));
    }
    *turn = *turn == (period - 1) * stride ? 0 : *turn + stride;
}

/// The rows behind a block.
VLM_FUNCTION void VLM_SET_NAME(pass_block)(vlm_element type, vlm_stored_rows *rows) {
    rows->first += vlm_block_bytes(type);
    rows->left -= (int64_t)vlm_block_bytes(type);
}

VLM_FUNCTION void VLM_SET_NAME(open_rows)(
    vlm_element type, int64_t depth, vlm_stored_rows rows, uint8_t *opened) {
    int64_t turn = 0;
    VLM_NO_UNROLL for (int64_t b = depth / vlm_block_elements(type); b > 0; b--) {
        VLM_SET_NAME(ask_ahead)(type, &rows, &turn);
        VLM_UNROLL for (int first = 0; first < VLM_PANEL_COLUMNS; first += VLM_LANES) {
            const VLM_SET_NAME(rows) some = VLM_SET_NAME(rows_at)(rows.first + first * rows.stride, rows.stride);
            VLM_SET_NAME(taken) to = {.opened = opened, .first = first};
            VLM_SET_NAME(take_block)(type, &some, &to);
        }
        VLM_SET_NAME(pass_block)(type, &rows);
        opened += vlm_block_elements(type) / 32 * vlm_opened_group_bytes(type);
    }
}

#undef VLM_FUNCTION
#undef VLM_FLOATS
#undef VLM_WORDS
