// float32 narrowed to the other types that weights are written in (layouts in dequantize.c): float16 and blocks of 32;
// those of 256 are in quantize_k.c.
//
// Blocks of 32 are those of ggml's reference, to the byte. Loops hold no branches, so that compilers make vectors of
// them for whatever machine they build for.
#include "quantize.h"

/// The first of n values that is not finite; -1 if all are.
static int64_t first_not_finite(int64_t n, const float *x) {
    for (int64_t i = 0; i < n; i++)
        if ((bits_of(x[i]) & 0x7F800000) == 0x7F800000) return i;
    return -1;
}

static int64_t to_float16(int64_t n, const float *x, uint16_t *y) {
    enum { CHUNK = 1024 };
    for (int64_t start = 0; start < n; start += CHUNK) {
        int64_t end = vlm_min(n, start + CHUNK);
        int outside = 0;
        for (int64_t i = start; i < end; i++) {
            y[i] = half_of(x[i]);
            outside |= !is_finite_half(y[i]);
        }
        for (int64_t i = start; outside && i < end; i++)
            if (!is_finite_half(y[i])) return i;
    }
    return -1;
}

/// 0 for 0, and for scales so small that the inverse overflows (where the reference is undefined): their float16 is 0.
static float inverse_of(float scale) { return isfinite(1 / scale) ? 1 / scale : 0; }

/// The scale that makes the largest magnitude 127, then the elements in units of it, halves away from zero.
/// Nonzero if the scale is no float16.
static int to_q8_0(const float *x, uint8_t *y) {
    float largest = 0;
    for (int i = 0; i < 32; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    float scale = largest / 127, inverse = inverse_of(scale);
    uint16_t half = half_of(scale);
    memcpy(y, &half, 2);
    for (int i = 0; i < 32; i++) {
        float value = x[i] * inverse;
        // The largest float32 below a half, so that what lies just below one is not rounded up by the addition.
        y[2 + i] = (uint8_t)(int8_t)(int)(value + copysignf(0.49999997f, value));
    }
    return !is_finite_half(half);
}

/// Stores codes of 4 bits, two a byte, and the fifth bits before them if there are any.
static void put_codes(const uint8_t *codes, int has_fifth, uint8_t *y) {
    if (has_fifth) {
        uint32_t fifth = 0;
        for (int i = 0; i < 32; i++) fifth |= (uint32_t)(codes[i] >> 4) << i;
        memcpy(y, &fifth, 4);
        y += 4;
    }
    for (int i = 0; i < 16; i++) y[i] = (uint8_t)((codes[i] & 15) | codes[i + 16] << 4);
}

/// Q4_0 and Q5_0: the scale that makes the element of largest magnitude -8 (-16), then the elements in units of it plus
/// 8 (16). Nonzero if the scale is no float16.
static int to_centered(int bits, const float *x, uint8_t *y) {
    const int center = 1 << (bits - 1), last = 2 * center - 1;
    float extreme = 0;  // the first of several equal magnitudes decides the sign
    for (int i = 0; i < 32; i++) extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    float scale = extreme / (float)-center, inverse = inverse_of(scale);
    uint16_t half = half_of(scale);
    memcpy(y, &half, 2);
    uint8_t codes[32];
    for (int i = 0; i < 32; i++) {
        int code = (int)(x[i] * inverse + ((float)center + 0.5f));
        codes[i] = (uint8_t)(code < last ? code : last);
    }
    put_codes(codes, bits == 5, y + 2);
    return !is_finite_half(half);
}

/// Q4_1 and Q5_1: the least element and the scale that makes the largest one 15 (31) steps above it. Nonzero if one of
/// them is no float16.
static int to_offset(int bits, const float *x, uint8_t *y) {
    const int last = (1 << bits) - 1;
    float least = x[0], largest = x[0];
    for (int i = 1; i < 32; i++) {
        least = x[i] < least ? x[i] : least;
        largest = x[i] > largest ? x[i] : largest;
    }
    float scale = (largest - least) / (float)last, inverse = inverse_of(scale);
    uint16_t halves[2] = {half_of(scale), half_of(least)};
    if (!is_finite_half(halves[0]) || !is_finite_half(halves[1])) return 1;
    memcpy(y, halves, 4);
    uint8_t codes[32];
    for (int i = 0; i < 32; i++) {
        int code = (int)((x[i] - least) * inverse + 0.5f);
        codes[i] = (uint8_t)(code < last ? code : last);
    }
    put_codes(codes, bits == 5, y + 4);
    return 0;
}

/// Nonzero if a scale is no float16.
static int to_block(vlm_element type, const float *x, uint8_t *y) {
    switch (type) {
    case VLM_Q8_0: return to_q8_0(x, y);
    case VLM_Q4_0: return to_centered(4, x, y);
    case VLM_Q5_0: return to_centered(5, x, y);
    case VLM_Q4_1: return to_offset(4, x, y);
    case VLM_Q5_1: return to_offset(5, x, y);
    default: return vlm_narrow_k(type, x, y);
    }
}

int64_t vlm_narrow(vlm_element type, int64_t n, const float *x, void *y) {
    if (type == VLM_F16) return to_float16(n, x, y);
    const int64_t step = vlm_block_elements(type);
    uint8_t *block = y;
    for (int64_t i = 0; i < n; i += step, block += vlm_block_bytes(type)) {
        int64_t damaged = first_not_finite(step, x + i);
        if (damaged >= 0) return i + damaged;
        if (to_block(type, x + i, block)) return i;
    }
    return -1;
}
