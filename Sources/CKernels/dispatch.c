// The kernel tables, and the choice among them by what the processor has.
#include "families.h"

/// What opens weights of blocks and multiplies opened ones.
#define VLM_OPENING(isa)                                                                                             \
    .open_panel = vlm_open_panel_##isa, .open_rows = vlm_open_rows_##isa, .opened_tile = vlm_opened_tile_##isa

/// One set: `q` names its versions of what rounds rows to integers and multiplies them, Q_ROWS that one's tile; then what only
/// some sets have.
#define VLM_TABLE(isa, ROWS, COLUMNS, q, Q_ROWS, ...)                                                                \
    {                                                                                                                \
        .name = #isa, .tile_rows = ROWS, .tile_columns = COLUMNS, .product_tile = vlm_product_tile_##isa,            \
        .pack_out_in = vlm_pack_out_in_##isa, .pack_in_out = vlm_pack_in_out_##isa,                                  \
        .product_dots = vlm_product_dots_##isa, .weighted_sum = vlm_weighted_sum_##isa,                              \
        .finish_tile = vlm_finish_tile_##isa, .softmax = vlm_softmax_##isa,                                          \
        .online_softmax = vlm_online_softmax_##isa, .layer_norm = vlm_layer_norm_##isa,                              \
        .rms_norm = vlm_rms_norm_##isa, .activate = vlm_activate_##isa, .silu_gate = vlm_silu_gate_##isa,            \
        .add_scaled = vlm_add_scaled_##isa, .scale = vlm_scale_##isa, .multiply = vlm_multiply_##isa,                \
        .rotate_half = vlm_rotate_half_##isa, .widen = vlm_widen_##isa, .outer_tile = vlm_outer_tile_##isa,          \
        .window_tile = vlm_window_tile_##isa,                                                                        \
        .layer_norm_backward = vlm_layer_norm_backward_##isa,                                                        \
        .rms_norm_backward = vlm_rms_norm_backward_##isa, .activate_backward = vlm_activate_backward_##isa,          \
        .silu_gate_backward = vlm_silu_gate_backward_##isa, .softmax_backward = vlm_softmax_backward_##isa,          \
        .attention_gradient = vlm_attention_gradient_##isa, .add_product = vlm_add_product_##isa,                    \
        .adamw = vlm_adamw_##isa, .quantize_row = vlm_quantize_row_##q,                                              \
        .quantized_tile = vlm_quantized_tile_##q, .quantized_rows = Q_ROWS, .int8_row = vlm_int8_row_##q,            \
        .int8_tile = vlm_int8_tile_##q, __VA_ARGS__                                                                  \
    }

static const vlm_kernels portable = VLM_TABLE(
    portable, VLM_TILE_ROWS_PORTABLE, VLM_TILE_COLUMNS_PORTABLE, portable, VLM_QUANTIZED_ROWS_PORTABLE);

const vlm_kernels *vlm_kernels_portable(void) { return &portable; }

#ifdef VLM_X86
static const vlm_kernels avx2 = VLM_TABLE(
    avx2, VLM_TILE_ROWS_AVX2, VLM_TILE_COLUMNS_AVX2, avx2, VLM_QUANTIZED_ROWS_AVX2, VLM_OPENING(avx2));
static const vlm_kernels avx512 = VLM_TABLE(
    avx512, VLM_TILE_ROWS_AVX512, VLM_TILE_COLUMNS_AVX512, avx2, VLM_QUANTIZED_ROWS_AVX2, VLM_OPENING(avx2));
static const vlm_kernels avx512_vnni = VLM_TABLE(
    avx512, VLM_TILE_ROWS_AVX512, VLM_TILE_COLUMNS_AVX512, avx512, VLM_QUANTIZED_ROWS_AVX512, VLM_OPENING(avx512),
    .row_product = vlm_row_product, .pair_tile = vlm_pair_tile, .pair_scale = vlm_pair_scale, .round_pairs = vlm_round_pairs,
    .pack_pairs_out_in = vlm_pack_pairs_out_in, .pack_pairs_in_out = vlm_pack_pairs_in_out);

const vlm_kernels *vlm_kernels_avx2(void) {
    __builtin_cpu_init();
    int has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    return has ? &avx2 : NULL;
}

const vlm_kernels *vlm_kernels_avx512(void) {
    __builtin_cpu_init();
    int has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (!has || !vlm_kernels_avx2()) return NULL;
    return __builtin_cpu_supports("avx512vnni") ? &avx512_vnni : &avx512;
}
#else
const vlm_kernels *vlm_kernels_avx2(void) { return NULL; }
const vlm_kernels *vlm_kernels_avx512(void) { return NULL; }
#endif
