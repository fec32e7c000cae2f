// Packing of weights into panels of the register tile's width, widened to float32.
//
// A weight stored [N][K] has to be transposed on the way. Blocks of 8 x 4 (AVX2) or 16 x 4 (AVX-512) words are gathered
// by 128-bit loads straight into the lane they belong to, which costs no shuffle port; two rounds of unpacking then
// finish the transpose. bfloat16 goes through the same transpose two values to a word, and is split afterwards.
#include "simd.h"

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_pack_out_in_portable(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < VLM_TILE_COLUMNS_PORTABLE; j++)
            panel[k * VLM_TILE_COLUMNS_PORTABLE + j] = j < columns ? vlm_load(type, w, j * ldw + k) : 0;
}

void vlm_pack_in_out_portable(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < VLM_TILE_COLUMNS_PORTABLE; j++)
            panel[k * VLM_TILE_COLUMNS_PORTABLE + j] = j < columns ? vlm_load(type, w, k * ldw + j) : 0;
}

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

/// out[i] = words i of 8 rows of 8 words, `stride` bytes apart.
VLM_INLINE VLM_AVX2 void transpose8(const char *base, int64_t stride, __m256 out[8]) {
    VLM_UNROLL for (int g = 0; g < 2; g++) {
        __m256 v[4];  // lanes: words 4g ... 4g + 3 of rows r and r + 4
        VLM_UNROLL for (int r = 0; r < 4; r++) {
            __m256 low = _mm256_castps128_ps256(_mm_loadu_ps((const float *)(base + r * stride) + 4 * g));
            v[r] = _mm256_insertf128_ps(low, _mm_loadu_ps((const float *)(base + (r + 4) * stride) + 4 * g), 1);
        }
        __m256d t0 = _mm256_castps_pd(_mm256_unpacklo_ps(v[0], v[1]));
        __m256d t1 = _mm256_castps_pd(_mm256_unpackhi_ps(v[0], v[1]));
        __m256d t2 = _mm256_castps_pd(_mm256_unpacklo_ps(v[2], v[3]));
        __m256d t3 = _mm256_castps_pd(_mm256_unpackhi_ps(v[2], v[3]));
        out[4 * g] = _mm256_castpd_ps(_mm256_unpacklo_pd(t0, t2));
        out[4 * g + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(t0, t2));
        out[4 * g + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(t1, t3));
        out[4 * g + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(t1, t3));
    }
}

/// 8 columns of a panel from up to 8 rows of w.
VLM_INLINE VLM_AVX2 void pack8_avx2(
    vlm_element type, int64_t rows, int64_t depth, const void *w, int64_t ldw, float *panel) {
    const int64_t step = type == VLM_BF16 ? 16 : 8;
    __m256 word[8];
    for (int64_t k = 0; k < depth; k += step) {
        int64_t left = vlm_min(step, depth - k);
        if (type != VLM_F16 && rows == 8 && left == step)
            transpose8(vlm_at(type, w, k), ldw * (int64_t)vlm_element_bytes(type), word);
        else {  // what is there, on a background of zeros; float16 is widened on the way
            float part[8][8];
            memset(part, 0, sizeof part);
            for (int64_t r = 0; r < rows; r++)
                if (type == VLM_F16)
                    _mm256_storeu_ps(part[r], widen8(VLM_F16, w, r * ldw + k, left));
                else
                    memcpy(part[r], vlm_at(type, w, r * ldw + k), (size_t)left * vlm_element_bytes(type));
            transpose8((const char *)part, sizeof part[0], word);
        }
        float *out = panel + k * VLM_TILE_COLUMNS_AVX2;
        if (type != VLM_BF16) {
            if (left == 8)
                VLM_UNROLL for (int i = 0; i < 8; i++) _mm256_storeu_ps(out + i * VLM_TILE_COLUMNS_AVX2, word[i]);
            else
                VLM_UNROLL for (int i = 0; i < 8; i++)
                    if (i < left) _mm256_storeu_ps(out + i * VLM_TILE_COLUMNS_AVX2, word[i]);
        } else
            VLM_UNROLL for (int i = 0; i < 8; i++) {
                __m256i pair = _mm256_castps_si256(word[i]), high = _mm256_set1_epi32((int)0xffff0000u);
                __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16));
                __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(pair, high));
                if (2 * i < left) _mm256_storeu_ps(out + 2 * i * VLM_TILE_COLUMNS_AVX2, even);
                if (2 * i + 1 < left) _mm256_storeu_ps(out + (2 * i + 1) * VLM_TILE_COLUMNS_AVX2, odd);
            }
    }
}

VLM_INLINE VLM_AVX2 void pack_out_in_avx2(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    for (int64_t j = 0; j < VLM_TILE_COLUMNS_AVX2; j += 8)
        pack8_avx2(
            type, vlm_max(0, vlm_min(8, columns - j)), depth, vlm_at(type, w, j < columns ? j * ldw : 0), ldw,
            panel + j);
}

VLM_AVX2 void vlm_pack_out_in_avx2(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    switch (type) {
    case VLM_F32: pack_out_in_avx2(VLM_F32, columns, depth, w, ldw, panel); break;
    case VLM_BF16: pack_out_in_avx2(VLM_BF16, columns, depth, w, ldw, panel); break;
    case VLM_F16: pack_out_in_avx2(VLM_F16, columns, depth, w, ldw, panel); break;
    default: break;  // blocks are dequantised before they are packed or multiplied
    }
}

VLM_INLINE VLM_AVX2 void pack_in_out_avx2(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    for (int64_t k = 0; k < depth; k++)
        VLM_UNROLL for (int v = 0; v < VLM_TILE_COLUMNS_AVX2; v += 8)
            _mm256_storeu_ps(panel + k * VLM_TILE_COLUMNS_AVX2 + v, widen8(type, w, k * ldw + v, columns - v));
}

VLM_AVX2 void vlm_pack_in_out_avx2(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    switch (type) {
    case VLM_F32: pack_in_out_avx2(VLM_F32, columns, depth, w, ldw, panel); break;
    case VLM_BF16: pack_in_out_avx2(VLM_BF16, columns, depth, w, ldw, panel); break;
    case VLM_F16: pack_in_out_avx2(VLM_F16, columns, depth, w, ldw, panel); break;
    default: break;  // blocks are dequantised before they are packed or multiplied
    }
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

/// out[i] = words i of 16 rows of 16 words, `stride` bytes apart.
VLM_INLINE VLM_AVX512 void transpose16(const char *base, int64_t stride, __m512 out[16]) {
    VLM_UNROLL for (int g = 0; g < 4; g++) {
        __m512 v[4];  // lanes: words 4g ... 4g + 3 of rows r, r + 4, r + 8 and r + 12
        VLM_UNROLL for (int r = 0; r < 4; r++) {
#define ROW(i) _mm_loadu_ps((const float *)(base + (i) * stride) + 4 * g)
            v[r] = _mm512_castps128_ps512(ROW(r));
            v[r] = _mm512_insertf32x4(v[r], ROW(r + 4), 1);
            v[r] = _mm512_insertf32x4(v[r], ROW(r + 8), 2);
            v[r] = _mm512_insertf32x4(v[r], ROW(r + 12), 3);
#undef ROW
        }
        __m512d t0 = _mm512_castps_pd(_mm512_unpacklo_ps(v[0], v[1]));
        __m512d t1 = _mm512_castps_pd(_mm512_unpackhi_ps(v[0], v[1]));
        __m512d t2 = _mm512_castps_pd(_mm512_unpacklo_ps(v[2], v[3]));
        __m512d t3 = _mm512_castps_pd(_mm512_unpackhi_ps(v[2], v[3]));
        out[4 * g] = _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2));
        out[4 * g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2));
        out[4 * g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3));
        out[4 * g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3));
    }
}

/// 16 columns of a panel from up to 16 rows of w.
VLM_INLINE VLM_AVX512 void pack16_avx512(
    vlm_element type, int64_t rows, int64_t depth, const void *w, int64_t ldw, float *panel) {
    const int64_t step = type == VLM_BF16 ? 32 : 16;
    __m512 word[16];
    for (int64_t k = 0; k < depth; k += step) {
        int64_t left = vlm_min(step, depth - k);
        if (type != VLM_F16 && rows == 16 && left == step)
            transpose16(vlm_at(type, w, k), ldw * (int64_t)vlm_element_bytes(type), word);
        else {  // what is there, on a background of zeros; float16 is widened on the way
            __m512 part[16];
            VLM_UNROLL for (int r = 0; r < 16; r++) {
                part[r] = _mm512_setzero_ps();
                if (r >= rows) continue;
                if (type == VLM_BF16) {
                    const void *p = vlm_at(VLM_BF16, w, r * ldw + k);
                    __mmask32 lanes = (__mmask32)((1ull << left) - 1);
                    part[r] = _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(lanes, p));
                } else
                    part[r] = widen16(type, w, r * ldw + k, left);
            }
            transpose16((const char *)part, sizeof part[0], word);
        }
        float *out = panel + k * VLM_TILE_COLUMNS_AVX512;
        if (type != VLM_BF16) {
            VLM_UNROLL for (int i = 0; i < 16; i++)
                if (i < left) _mm512_storeu_ps(out + i * VLM_TILE_COLUMNS_AVX512, word[i]);
        } else
            VLM_UNROLL for (int i = 0; i < 16; i++) {
                __m512i pair = _mm512_castps_si512(word[i]), high = _mm512_set1_epi32((int)0xffff0000u);
                __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16));
                __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(pair, high));
                if (2 * i < left) _mm512_storeu_ps(out + 2 * i * VLM_TILE_COLUMNS_AVX512, even);
                if (2 * i + 1 < left) _mm512_storeu_ps(out + (2 * i + 1) * VLM_TILE_COLUMNS_AVX512, odd);
            }
    }
}

VLM_INLINE VLM_AVX512 void pack_out_in_avx512(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    for (int64_t j = 0; j < VLM_TILE_COLUMNS_AVX512; j += 16)
        pack16_avx512(
            type, vlm_max(0, vlm_min(16, columns - j)), depth, vlm_at(type, w, j < columns ? j * ldw : 0), ldw,
            panel + j);
}

VLM_AVX512 void vlm_pack_out_in_avx512(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    switch (type) {
    case VLM_F32: pack_out_in_avx512(VLM_F32, columns, depth, w, ldw, panel); break;
    case VLM_BF16: pack_out_in_avx512(VLM_BF16, columns, depth, w, ldw, panel); break;
    case VLM_F16: pack_out_in_avx512(VLM_F16, columns, depth, w, ldw, panel); break;
    default: break;  // blocks are dequantised before they are packed or multiplied
    }
}

VLM_INLINE VLM_AVX512 void pack_in_out_avx512(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    for (int64_t k = 0; k < depth; k++)
        VLM_UNROLL for (int v = 0; v < VLM_TILE_COLUMNS_AVX512; v += 16)
            _mm512_storeu_ps(panel + k * VLM_TILE_COLUMNS_AVX512 + v, widen16(type, w, k * ldw + v, columns - v));
}

VLM_AVX512 void vlm_pack_in_out_avx512(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    switch (type) {
    case VLM_F32: pack_in_out_avx512(VLM_F32, columns, depth, w, ldw, panel); break;
    case VLM_BF16: pack_in_out_avx512(VLM_BF16, columns, depth, w, ldw, panel); break;
    case VLM_F16: pack_in_out_avx512(VLM_F16, columns, depth, w, ldw, panel); break;
    default: break;  // blocks are dequantised before they are packed or multiplied
    }
}

#endif
