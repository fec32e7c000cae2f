// float32 narrowed to the other types that weights are written in: float16, Q8_0 and Q4_0 (layouts in dequantize.c).
//
// Loops hold no branches, so that compilers make vectors of them for whatever machine they build for.
#include <math.h>

#include "families.h"

#pragma STDC FP_CONTRACT OFF

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/// The bits of the nearest float16, halves to even; those of infinity from 65520 on and for what is not a number.
static inline uint16_t half_of(float x) {
    uint32_t magnitude = bits_of(x) & 0x7FFFFFFF, sign = bits_of(x) >> 16 & 0x8000;
    // The exponent's bias changes from 127 to 15, and the last 13 of 23 bits are rounded away.
    uint32_t normal = (magnitude - (112u << 23) + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    // Beside 0.5 a float32 counts in units of 2^-24, the least subnormal.
    uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
    uint32_t finite = magnitude < 0x38800000 ? subnormal : normal;
    return (uint16_t)(sign | (magnitude >= 0x477FF000 ? 0x7C00 : finite));
}

static inline int is_finite_half(uint16_t h) { return (h & 0x7C00) != 0x7C00; }

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

/// The scale that makes the element of largest magnitude -8, then the elements in units of it plus 8, two a byte.
/// Nonzero if the scale is no float16.
static int to_q4_0(const float *x, uint8_t *y) {
    float extreme = 0;  // the first of several equal magnitudes decides the sign
    for (int i = 0; i < 32; i++) extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    float scale = extreme / -8, inverse = inverse_of(scale);
    uint16_t half = half_of(scale);
    memcpy(y, &half, 2);
    uint8_t codes[32];
    for (int i = 0; i < 32; i++) {
        int code = (int)(x[i] * inverse + 8.5f);
        codes[i] = (uint8_t)(code < 15 ? code : 15);
    }
    for (int i = 0; i < 16; i++) y[2 + i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
    return !is_finite_half(half);
}

int64_t vlm_narrow(vlm_element type, int64_t n, const float *x, void *y) {
    if (type == VLM_F16) return to_float16(n, x, y);
    uint8_t *block = y;
    for (int64_t i = 0; i < n; i += 32, block += type == VLM_Q8_0 ? 34 : 18) {
        int64_t damaged = first_not_finite(32, x + i);
        if (damaged >= 0) return i + damaged;
        if (type == VLM_Q8_0 ? to_q8_0(x + i, block) : to_q4_0(x + i, block)) return i;
    }
    return -1;
}
