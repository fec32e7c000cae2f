// Packing of block-quantised weights into panels (layout: quantized.h).
#include "quantized.h"

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

/// Packs a block of each of the columns, which are `stride` bytes apart.
static inline __attribute__((always_inline)) void pack_blocks(
    vlm_element type, int64_t columns, const uint8_t *w, int64_t stride, uint8_t *out) {
    const int groups = (int)vlm_block_elements(type) / 32, minimum = vlm_has_minimum(type);
    if (vlm_has_groups(type)) {
        for (int64_t j = 0; j < columns; j++) {
            const uint8_t *p = w + j * stride;
            memcpy(out + 2 * j, type == VLM_Q6_K ? p + 208 : p, 2);
            if (minimum) memcpy(out + 32 + 2 * j, p + 2, 2);
        }
        out += vlm_head_bytes(type);
    }
    for (int g = 0; g < groups; g++, out += vlm_group_bytes(type)) {
        uint8_t *scales = out + vlm_codes_bytes(type);
        for (int64_t j = 0; j < columns; j++) {
            const uint8_t *p = w + j * stride;
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

static inline __attribute__((always_inline)) void pack_panel(
    vlm_element type, int64_t columns, int64_t depth, const uint8_t *w, int64_t stride, uint8_t *panel) {
    for (int64_t b = depth / vlm_block_elements(type); b > 0; b--) {
        pack_blocks(type, columns, w, stride, panel);
        w += vlm_block_bytes(type);
        panel += vlm_panel_block_bytes(type);
    }
}

void vlm_quantized_pack(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t stride, uint8_t *panel) {
    if (columns < VLM_PANEL_COLUMNS) memset(panel, 0, (size_t)vlm_quantized_panel_bytes(type, depth));
    VLM_BLOCK_TYPES(pack_panel, columns, depth, w, stride, panel)
}
