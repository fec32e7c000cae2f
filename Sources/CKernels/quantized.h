// The shape of packed block-quantised weights, shared by the code that packs and the code that multiplies.
//
// A panel holds 16 rows of the weight (columns of the product), block after block:
//   K types:  the blocks' d and, in Q4_K and Q5_K, dmin, float16 [16] each
//   for each group of 32 elements:
//     codes, unsigned: nibble types [4][16][4] bytes, whose low nibbles are elements 0...15 and high ones 16...31;
//     others [8][16][4] bytes. Byte [t][j][i] belongs to column j and element 4t + i: what `vpdpbusd` wants.
//     scales: d and, in Q4_1 and Q5_1, m, float16 [16] each; of Q4_K and Q5_K the group's scale and minimum, byte
//     [16] each; of Q6_K the scales of the first and the last 16 elements, signed byte [16] each
// An element is (code - center) d, plus m: exactly what is stored, in as many bytes (Q5 and Q6 take a byte a code).
#ifndef VLM_QUANTIZED_H
#define VLM_QUANTIZED_H

#include "families.h"

enum { VLM_PANEL_COLUMNS = 16 };

/// Calls `run` with the type of blocks as a constant, so that it is compiled for every one.
#define VLM_BLOCK_TYPES(run, ...)                                                                                    \
    switch (type) {                                                                                                  \
    case VLM_Q8_0: run(VLM_Q8_0, __VA_ARGS__); break;                                                                \
    case VLM_Q4_0: run(VLM_Q4_0, __VA_ARGS__); break;                                                                \
    case VLM_Q4_1: run(VLM_Q4_1, __VA_ARGS__); break;                                                                \
    case VLM_Q5_0: run(VLM_Q5_0, __VA_ARGS__); break;                                                                \
    case VLM_Q5_1: run(VLM_Q5_1, __VA_ARGS__); break;                                                                \
    case VLM_Q4_K: run(VLM_Q4_K, __VA_ARGS__); break;                                                                \
    case VLM_Q5_K: run(VLM_Q5_K, __VA_ARGS__); break;                                                                \
    case VLM_Q6_K: run(VLM_Q6_K, __VA_ARGS__); break;                                                                \
    default: break;                                                                                                  \
    }

/// Whether two codes share a byte.
static inline int vlm_has_nibbles(vlm_element type) { return type == VLM_Q4_0 || type == VLM_Q4_1 || type == VLM_Q4_K; }
/// Whether groups have an offset beside their scale.
static inline int vlm_has_minimum(vlm_element type) {
    return type == VLM_Q4_1 || type == VLM_Q5_1 || type == VLM_Q4_K || type == VLM_Q5_K;
}
/// The code of zero in types without an offset.
static inline int vlm_code_center(vlm_element type) {
    return type == VLM_Q8_0 ? 128 : type == VLM_Q4_0 ? 8 : type == VLM_Q5_0 ? 16 : type == VLM_Q6_K ? 32 : 0;
}
static inline int vlm_has_groups(vlm_element type) { return type >= VLM_Q4_K; }
/// Bytes of a group's codes.
static inline int64_t vlm_codes_bytes(vlm_element type) { return vlm_has_nibbles(type) ? 256 : 512; }
/// Bytes of a group.
static inline int64_t vlm_group_bytes(vlm_element type) {
    return vlm_codes_bytes(type) + (vlm_has_groups(type) || !vlm_has_minimum(type) ? 32 : 64);
}
/// Bytes before the groups of a block.
static inline int64_t vlm_head_bytes(vlm_element type) {
    return !vlm_has_groups(type) ? 0 : vlm_has_minimum(type) ? 64 : 32;
}
/// Bytes of a block of all columns.
static inline int64_t vlm_panel_block_bytes(vlm_element type) {
    return vlm_head_bytes(type) + vlm_block_elements(type) / 32 * vlm_group_bytes(type);
}

/// Bytes of an opened group's scales and offsets, and of all of it (opened_tile.c).
static inline int64_t vlm_opened_scale_bytes(vlm_element type) {
    return vlm_has_minimum(type) || type == VLM_Q6_K ? 128 : 64;
}
static inline int64_t vlm_opened_group_bytes(vlm_element type) { return vlm_opened_scale_bytes(type) + 512; }

/// Scale and minimum, six bits each, of group g < 8 of a Q4_K or Q5_K block, packed into 12 bytes.
static inline void vlm_scale_and_minimum(const uint8_t *p, int g, int *scale, int *minimum) {
    if (g < 4) {
        *scale = p[g] & 63;
        *minimum = p[g + 4] & 63;
    } else {
        *scale = (p[g + 4] & 15) | (p[g - 4] >> 6) << 4;
        *minimum = (p[g + 4] >> 4) | (p[g] >> 6) << 4;
    }
}

/// The scale of values whose largest magnitude has these bits, and what they are multiplied by so that it becomes `limit`.
/// Magnitudes below 2^-100 count as 0: the inverse would overflow. What is not finite stays so in the scale.
static inline float vlm_scale_of(uint32_t bits, float limit, float *inverse) {
    float largest = vlm_bits_float(bits);
    *inverse = 0;
    if (bits >= 0x7f800000u) return largest;
    if (largest < 0x1p-100f) return 0;
    *inverse = limit / largest;
    return largest / limit;
}

#endif
