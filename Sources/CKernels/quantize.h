// What the files that narrow weights share.
#ifndef VLM_QUANTIZE_H
#define VLM_QUANTIZE_H

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

static inline float float_of_half(uint16_t h) {
    // A normal half is a float32 of another bias; a subnormal one counts in units of 2^-24.
    uint32_t magnitude = h & 0x7FFF, sign = (uint32_t)(h & 0x8000) << 16;
    float value = magnitude < 0x400 ? (float)magnitude * 0x1p-24f : float_of((magnitude << 13) + (112u << 23));
    return float_of(bits_of(value) | sign);
}

/// Narrow one block of 256 values to Q4_K, Q5_K or Q6_K. Nonzero if a scale is no float16.
int vlm_narrow_k(vlm_element type, const float *x, uint8_t *y);

#endif
