// Vectors of 8 (AVX2) and 16 (AVX-512) lanes: partial loads and stores, widening of stored types, sums.
//
// `count` is how many lanes are wanted; a constant 8 or 16 folds to the plain instruction. Lanes beyond it are zero
// when loaded and untouched when stored, and their memory is never accessed.
#ifndef VLM_SIMD_H
#define VLM_SIMD_H

#include "families.h"

#ifdef VLM_X86
#include <immintrin.h>

#define VLM_INLINE static inline __attribute__((always_inline))

/// Runs the statements for i = 0, LANES, 2 LANES ... below n, with `count` = LANES or, once, what is left.
#define VLM_EACH(LANES, i, n, ...)                                                                                   \
    do {                                                                                                             \
        int64_t i = 0;                                                                                               \
        for (; i + (LANES) <= (n); i += (LANES)) {                                                                   \
            const int64_t count = (LANES);                                                                           \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
        if (i < (n)) {                                                                                               \
            const int64_t count = (n) - i;                                                                           \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
    } while (0)

// ---- AVX2 --------------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX2 __m256i lanes8(int64_t count) {
    return _mm256_cmpgt_epi32(
        _mm256_set1_epi32((int)vlm_min(count, 8)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

VLM_INLINE VLM_AVX2 __m256 load8(const float *p, int64_t count) {
    return count >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, lanes8(count));
}

VLM_INLINE VLM_AVX2 void store8(float *p, int64_t count, __m256 v) {
    if (count >= 8)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, lanes8(count), v);
}

/// Elements [i, i + count) of a stored array as float32.
VLM_INLINE VLM_AVX2 __m256 widen8(vlm_element type, const void *base, int64_t i, int64_t count) {
    if (type == VLM_F32) return load8((const float *)base + i, count);
    const uint16_t *p = (const uint16_t *)base + i;
    __m128i h;
    if (count >= 8)
        h = _mm_loadu_si128((const __m128i *)p);
    else {  // AVX2 has no masked 16-bit load
        uint16_t part[8] = {0};
        for (int64_t lane = 0; lane < count; lane++) memcpy(part + lane, p + lane, 2);
        h = _mm_loadu_si128((const __m128i *)part);
    }
    if (type == VLM_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/// The four sums of the lanes of a, b, c, d. Every sum adds in the same order.
VLM_INLINE VLM_AVX2 __m128 sums8(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

VLM_INLINE VLM_AVX2 float sum8(__m256 v) { return _mm_cvtss_f32(sums8(v, v, v, v)); }

VLM_INLINE VLM_AVX2 float max8(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

/// Sixteen float16, bytes or signed bytes as float32.
VLM_INLINE VLM_AVX512 __m512 half16(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
VLM_INLINE VLM_AVX512 __m512 byte16(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
VLM_INLINE VLM_AVX512 __m512 signed16(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

VLM_INLINE VLM_AVX512 __mmask16 lanes16(int64_t count) {
    return (__mmask16)(count >= 16 ? 0xffffu : (1u << vlm_max(count, 0)) - 1);
}

VLM_INLINE VLM_AVX512 __m512 load16(const float *p, int64_t count) {
    return count >= 16 ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(lanes16(count), p);
}

VLM_INLINE VLM_AVX512 void store16(float *p, int64_t count, __m512 v) {
    if (count >= 16)
        _mm512_storeu_ps(p, v);
    else
        _mm512_mask_storeu_ps(p, lanes16(count), v);
}

/// Elements [i, i + count) of a stored array as float32.
VLM_INLINE VLM_AVX512 __m512 widen16(vlm_element type, const void *base, int64_t i, int64_t count) {
    if (type == VLM_F32) return load16((const float *)base + i, count);
    const uint16_t *p = (const uint16_t *)base + i;
    __m256i h = count >= 16 ? _mm256_loadu_si256((const __m256i *)p) : _mm256_maskz_loadu_epi16(lanes16(count), p);
    if (type == VLM_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

// Register tiles multiply a value of a row, in all lanes, with two vectors of columns. Loaded first, it takes three instructions;
// as an operand in memory of both multiplications two, but two loads. Three rows of four do the latter: fewer instructions to
// issue, which is what limits a tile where another thread has the other half of the core, and no more than two loads a cycle.

/// Whether row r of a tile of so many vectors of columns reads its values as operands.
VLM_INLINE int is_operand(int r, int vectors) { return vectors == 1 || r % 4 != 3; }

/// sum + x b for the value at x.
VLM_INLINE VLM_AVX512 __m512 fmadd_at(const float *x, __m512 b, __m512 sum) {
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(b), "m"(*x));
    return sum;
}

/// Four bytes, at any address.
typedef int32_t __attribute__((may_alias, aligned(1))) word_at;

/// The word at x in all lanes.
VLM_INLINE VLM_AVX512 __m512i four16(const void *x) { return _mm512_set1_epi32(*(const word_at *)x); }

/// sum + the products of the four signed bytes at x with unsigned ones of b.
VLM_INLINE VLM_VNNI __m512i dot_bytes_at(const void *x, __m512i b, __m512i sum) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(b), "m"(*(const word_at *)x));
    return sum;
}

/// sum + the products of pairs of 16-bit integers of x and b. (Of the intrinsic, compilers make two instructions in a long chain.)
VLM_INLINE VLM_VNNI __m512i dot_pairs(__m512i x, __m512i b, __m512i sum) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(b), "v"(x));
    return sum;
}

/// The same with the pair at x.
VLM_INLINE VLM_VNNI __m512i dot_pairs_at(const void *x, __m512i b, __m512i sum) {
    __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(b), "m"(*(const word_at *)x));
    return sum;
}

/// Moves the pointers of a tile's rows. They stay what they are: an operand with an index would be two instructions again.
#define VLM_ADVANCE(rows, pointers, by)                                                                              \
    VLM_UNROLL for (int r = 0; r < (rows); r++) {                                                                    \
        (pointers)[r] += (by);                                                                                       \
        __asm__("" : "+r"((pointers)[r]));                                                                           \
    }

/// The halves of a vector added.
VLM_INLINE VLM_AVX512 __m256 fold16(__m512 v) {
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

#endif
#endif
