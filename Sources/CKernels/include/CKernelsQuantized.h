// Products of rows rounded to integers of 8 bits with weights of integers.
//
// Legend: see CKernels.h.
#ifndef CKERNELS_QUANTIZED_H
#define CKERNELS_QUANTIZED_H

#include "CKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/// The product of rows quantised to 8 bits with a weight of blocks, or one that was packed with one scale a row (VLM_I8):
/// c = activation(a w^T + bias).
typedef struct vlm_quantized_product {
    int64_t rows, columns, depth;  // M, N, K
    const int8_t *q;               // [M][ldq], then the rest of rows that have one, [M][ldq]
    int64_t ldq;                   // at least K
    const vlm_row_block *blocks;   // [M][K / 32] and those of the rest, or [M] of VLM_I8, which has no rest
    const uint64_t *outliers;      // [M][vlm_outlier_words(K)]: blocks of rows that have a rest; NULL if none do
    const int32_t *outlier_starts; // [K / 32 + 1]: where the rows that have one in a block begin in outlier_rows, as
    const int32_t *outlier_rows;   // `vlm_list_outliers` writes them
    vlm_element w_type;
    const uint8_t *panels;         // [ceil(N / panel columns)] panels; NULL if blocks are read where they lie:
    const uint8_t *weight;         // [N] rows of K elements in blocks
    int64_t run;                   // if not 0, of every so many rows (a multiple of two panels' columns) the even ones are the
                                   // first columns and the odd ones those after them
    float *c;                      // [M][N]
    int64_t ldc;
    vlm_epilogue epilogue;
} vlm_quantized_product;

/// Columns of a panel of packed weights.
int64_t vlm_quantized_panel_columns(void);
/// Bytes of a panel of packed weights.
int64_t vlm_quantized_panel_bytes(vlm_element type, int64_t depth);
/// Packs `columns` rows of `depth` elements in blocks, `stride` bytes apart, into a panel; missing ones become zero.
void vlm_quantized_pack(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t stride, uint8_t *panel);
/// Bytes of a panel of a weight whose rows are rounded to 8 bits with one scale each.
int64_t vlm_int8_panel_bytes(int64_t depth);
/// Rotates, rounds and packs `columns` rows of a weight, [columns][depth], into a panel; missing ones become zero. `scratch`
/// holds `depth` floats, `q` as many bytes.
void vlm_int8_pack(
    const vlm_kernels *k, int64_t columns, int64_t depth, const float *w, float *scratch, int8_t *q, uint8_t *panel);
/// Words of 64 blocks, a bit each.
static inline int64_t vlm_outlier_words(int64_t depth) { return (depth + 2047) / 2048; }
/// Quantises what quantising left of the blocks of a row that stand out, whose scales are above twice the mean: of these
/// both parts together are within 1 / 64516 of the largest magnitude. Other blocks get no bit, and have no rest that may be read.
void vlm_quantize_rest(
    const vlm_kernels *k, int64_t depth, const float *x, const int8_t *q, const vlm_row_block *blocks, int8_t *rest,
    vlm_row_block *rest_blocks, uint64_t *outliers);
/// Lists the rows of every block that have a rest, ascending: of block b those from starts[b] to starts[b + 1]. There are as
/// many as bits in `outliers`.
void vlm_list_outliers(int64_t rows, int64_t depth, const uint64_t *outliers, int32_t *starts, int32_t *list);
/// Floats of scratch that `vlm_quantized_columns` needs.
size_t vlm_quantized_scratch(const vlm_kernels *k, const vlm_quantized_product *p);
/// Computes columns [first, end) of the product. `first` is a multiple of a panel's columns. A row's bytes do not depend
/// on how many rows there are, nor on the kernels.
void vlm_quantized_columns(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t first, int64_t end, float *scratch);

/// Stores n values, whole blocks of them, as float16 or any type of blocks. Returns the index of the first value that
/// cannot be stored, or of the first of the block whose scale cannot; -1 if there is none.
int64_t vlm_narrow(vlm_element type, int64_t n, const float *x, void *y);

#ifdef __cplusplus
}
#endif
#endif
