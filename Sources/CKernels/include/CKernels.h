// SIMD kernels over plain pointers: no allocation, no threads, no state but the dispatch tables.
//
// Every micro-kernel exists as portable C (the oracle in tests and the fallback at run time) and as AVX2 and
// AVX-512 forms; a `vlm_kernels` table holds one complete set. Drivers at the end of this file (matrix product,
// im2win convolution, FlashAttention-2) and in CKernelsQuantized.h are written once and reach micro-kernels through the table
// they are given. CKernelsImages.h needs none.
//
// Legend: M rows, N columns, K depth; T positions; D width; H heads; d head size. Row-major throughout; `ld*` is
// the distance between rows in elements. Pointers need only the alignment of their element.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Element type of a weight as it is stored; arithmetic is float32 throughout.
///
/// From VLM_Q8_0 on, a row is a run of blocks in the layouts of ggml (dequantize.c). `widen` and `vlm_product_columns`
/// (VLM_OUT_IN) read them, with extents, offsets and row distances that are multiples of the block; the other kernels
/// are given plain types only.
typedef enum vlm_element {
    VLM_F32 = 0, VLM_BF16 = 1, VLM_F16 = 2,
    VLM_I8 = 3,  // of packed weights alone
    VLM_Q8_0 = 16, VLM_Q4_0, VLM_Q4_1, VLM_Q5_0, VLM_Q5_1, VLM_Q4_K, VLM_Q5_K, VLM_Q6_K,
} vlm_element;

typedef enum vlm_activation {
    VLM_IDENTITY = 0,
    VLM_GELU = 1,        // x/2 (1 + erf(x/sqrt 2))
    VLM_QUICK_GELU = 2,  // x sigmoid(1.702 x)
    VLM_SILU = 3,        // x sigmoid(x)
    VLM_RELU = 4,        // max(x, 0)
} vlm_activation;

/// How a weight lies in memory: `VLM_OUT_IN` is [N][K] as a linear layer stores it, `VLM_IN_OUT` is [K][N].
typedef enum vlm_layout { VLM_OUT_IN = 0, VLM_IN_OUT = 1 } vlm_layout;

enum { VLM_MAX_TILE_ROWS = 16, VLM_MAX_TILE_COLUMNS = 64 };

/// What is known about 32 values of a row beside their 8-bit integers: value = integer * scale, within scale / 2.
typedef struct vlm_row_block {
    float scale;                // largest magnitude / 127
    float scaled_sum;           // scale times the sum of the integers
    int32_t minus_sum;          // minus the sum of the integers
    int32_t minus_half_sum[2];  // minus the sums of the first and the last 16
} vlm_row_block;

/// The numbers of one step of AdamW (arXiv 1711.05101) that are the same for every element.
typedef struct vlm_adamw_step {
    float gradient_scale;  // what gradients are multiplied by first: clipping
    float beta1, beta2;
    float decay;           // 1 - rate * weight decay
    float rate;            // rate / (1 - beta1^t)
    float root_scale;      // 1 / sqrt(1 - beta2^t)
    float epsilon;
} vlm_adamw_step;

/// What follows the sums of a product: activation(sum + bias) factor + residual.
typedef struct vlm_epilogue {
    const float *bias;  // [N] or NULL
    vlm_activation activation;
    const float *factor, *residual;  // [M][ldr] or NULL
    int64_t ldr;
} vlm_epilogue;

/// 16 rows of blocks where they lie, from some block on.
typedef struct vlm_stored_rows {
    const uint8_t *first;
    int64_t stride;  // bytes from a row to the next
    int64_t left;    // bytes of each row from here on
    int64_t next;    // bytes from the end of a row to the beginning of what will be read after it
} vlm_stored_rows;

/// One complete set of micro-kernels for one instruction set.
typedef struct vlm_kernels {
    const char *name;  // "portable", "avx2", "avx512"

    /// Register tile of `product_tile`: rows x columns.
    int64_t tile_rows, tile_columns;

    /// c[r][j] = (accumulate ? c[r][j] : 0) + sum_k a[r][k] panel[k][j] for r < rows <= tile_rows,
    /// j < columns <= tile_columns. The panel is [depth][tile_columns]. Rows of A are given by pointer, so that they
    /// may overlap (im2win). Each element sums over k in ascending order by fused multiply-add where the instruction
    /// set has it, so the result does not depend on how rows and columns were split into tiles.
    void (*product_tile)(
        int64_t rows, int64_t columns, int64_t depth, const float *const *a, const float *panel, float *c, int64_t ldc,
        int accumulate);

    /// c[r][j] = sum_u sum_k a[r][u step + k] panel[u depth + k][j] for u < runs, k < depth: `product_tile` with rows of A
    /// that lie in several runs, as windows of a convolution do in its input. The sum ascends in (u, k).
    void (*window_tile)(
        int64_t rows, int64_t columns, int64_t runs, int64_t depth, const float *const *a, int64_t step,
        const float *panel, float *c, int64_t ldc);

    /// panel[k][j] = w[j][k] for j < columns, 0 for columns <= j < tile_columns; k < depth.
    void (*pack_out_in)(
        vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel);

    /// panel[k][j] = w[k][j] for j < columns, 0 for columns <= j < tile_columns; k < depth.
    void (*pack_in_out)(
        vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel);

    /// c[r][j] = sum_k a[r][k] w[j][k]: the form for few rows, which reads each weight once and packs nothing.
    void (*product_dots)(
        vlm_element type, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
        int64_t ldw, float *c, int64_t ldc);

    /// Quantises a row to integers within +-127, in blocks of 32 (`depth` is a multiple): x times 127 / the block's
    /// largest magnitude, halves to even. A block with a value that is not finite gets that as its scale and zeros, so
    /// that products with it are not numbers; one whose magnitudes are below 2^-100 is zero.
    void (*quantize_row)(int64_t depth, const float *x, int8_t *q, vlm_row_block *blocks);

    /// Rows of `quantized_tile`.
    int64_t quantized_rows;

    /// c[r][j] = (accumulate ? c[r][j] : 0) + sum_k row r [k] w[j][k] for r < rows <= quantized_rows, j < columns <= 16,
    /// with rows as `quantize_row` writes them, [rows][ldq] and [rows][ldb], and a panel that `vlm_quantized_pack` wrote.
    /// All sets give the same bits, whatever the tile (quantized_tile.c).
    void (*quantized_tile)(
        vlm_element type, int64_t rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq,
        const vlm_row_block *blocks, int64_t ldb, const uint8_t *panel, float *c, int64_t ldc, int accumulate);

    /// Opens a panel, or `depth` elements of it that begin a block, for products of many rows (opened_tile.c). NULL, as
    /// `opened_tile`, in sets that have no other form for them.
    void (*open_panel)(vlm_element type, int64_t depth, const uint8_t *panel, uint8_t *opened);

    /// The same for rows where they lie, some of whose memory is asked for ahead (open_rows.c). NULL as well where `opened_tile`
    /// is.
    void (*open_rows)(vlm_element type, int64_t depth, const vlm_stored_rows *rows, uint8_t *opened);

    /// The same as `quantized_tile` for one row, with rows of blocks where they lie. NULL in sets that open these.
    void (*row_product)(
        vlm_element type, int64_t columns, int64_t depth, const int8_t *q, const vlm_row_block *blocks,
        const vlm_stored_rows *rows, float *c, int accumulate);

    /// The same as `quantized_tile` for up to 6 rows and 32 columns of one or two opened panels, `panel_bytes` apart, and
    /// `groups` of 32 elements. Row r is that of q, blocks and c with the number list[r], or r where list is NULL.
    void (*opened_tile)(
        vlm_element type, int64_t rows, int64_t columns, int64_t groups, const int32_t *list, const int8_t *q, int64_t ldq,
        const vlm_row_block *blocks, int64_t ldb, const uint8_t *opened, int64_t panel_bytes, float *c, int64_t ldc,
        int accumulate);

    /// Rotates a row of `depth` values, a multiple of 16, into `scratch`, `depth` floats, and rounds that to 8 bits with one
    /// scale (int8.c); `row` has no half sums.
    void (*int8_row)(int64_t depth, const float *x, float *scratch, int8_t *q, vlm_row_block *row);

    /// The same as `quantized_tile` for rows as `int8_row` writes them, with one scale each, [rows], a depth that is a
    /// multiple of 16 and at most 2^16, and up to 32 columns of one or two panels that `vlm_int8_pack` wrote (int8.c).
    void (*int8_tile)(
        int64_t rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *scales,
        const uint8_t *panel, float *c, int64_t ldc);

    /// out[j] += sum_i weights[i] values[i][j], j < width.
    void (*weighted_sum)(
        int64_t count, int64_t width, const float *weights, const float *values, int64_t ldv, float *out);

    /// c[r][j] = activation(tile[r][j] + bias[j]) factor[r][j] + residual[r][j], where the epilogue's pointers are those of the
    /// tile. c may be the tile, and the residual c.
    void (*finish_tile)(
        int64_t rows, int64_t columns, const float *tile, int64_t ldt, const vlm_epilogue *epilogue, float *c, int64_t ldc);

    /// x = softmax(x) over n values, n > 0.
    void (*softmax)(int64_t n, float *x);

    /// One step of the online softmax on base-2 scores for each of up to VLM_MAX_TILE_ROWS rows, of which row r has
    /// n[r] scores at x[r]: with m' = max(maximum[r], max x), sets x = 2^(x - m'), correction[r] = 2^(m - m'),
    /// sum[r] = sum[r] 2^(m - m') + sum x and maximum[r] = m'. Without scores nothing changes and the correction is 1.
    void (*online_softmax)(
        int64_t rows, const int64_t *n, float *const *x, float *maximum, float *sum, float *correction);

    /// y = (x - mean) / sqrt(variance + epsilon) * weight + bias; y may be x.
    void (*layer_norm)(int64_t n, const float *x, const float *weight, const float *bias, float epsilon, float *y);

    /// y = x / sqrt(mean(x^2) + epsilon) * weight; y may be x.
    void (*rms_norm)(int64_t n, const float *x, const float *weight, float epsilon, float *y);

    /// y = activation(x); y may be x.
    void (*activate)(vlm_activation activation, int64_t n, const float *x, float *y);

    /// y = silu(gate) * up; y may be either.
    void (*silu_gate)(int64_t n, const float *gate, const float *up, float *y);

    /// y = a + scale * b; y may be either.
    void (*add_scaled)(int64_t n, const float *a, float scale, const float *b, float *y);

    /// y = scale * x; y may be x.
    void (*scale)(int64_t n, float scale, const float *x, float *y);

    /// y = a * b; y may be either.
    void (*multiply)(int64_t n, const float *a, const float *b, float *y);

    /// Rotary embedding of one head, half-split pairs (j, j + d/2): y_j = x_j cos_j - x_{j+d/2} sin_j,
    /// y_{j+d/2} = x_{j+d/2} cos_j + x_j sin_j, j < d/2. `cosine` and `sine` hold d/2 values; y may be x.
    void (*rotate_half)(int64_t head_size, const float *x, const float *cosine, const float *sine, float *y);

    /// Widens n stored values to float32; of blocks, n is a multiple of the block and the values are dequantised.
    void (*widen)(vlm_element type, int64_t n, const void *x, float *y);

    // Gradients (gradient.c). dy is that of the result; dx may be NULL where nobody asks, and is added to if
    // `accumulate`. dweight and dbias may be NULL, and are always added to.

    /// The same as `product_tile` with factors of 16-bit integers (pairs.c): rows of `depth` values, rounded up to even, with a
    /// scale each, and a panel of pairs with a scale for each column of the tile; NULL if that is 1. The integers must be so small
    /// that no sum leaves 32 bits. NULL, as what follows, in sets that have no faster form than float32.
    void (*pair_tile)(
        int64_t rows, int64_t columns, int64_t depth, const int16_t *const *a, const float *scales, const int16_t *panel,
        const float *column_scales, float *c, int64_t ldc, int accumulate);
    /// The scale of values as integers up to `limit` in magnitude, and what they are multiplied by before they are rounded: 0 if
    /// there is no such number. What is not finite stays so in the scale.
    float (*pair_scale)(int64_t n, const float *x, float limit, float *factor);
    /// y = x factor, or x (scales factor), to the nearest integer, halves to even; an odd `n` is followed by a zero.
    void (*round_pairs)(int64_t n, const float *x, const float *scales, float factor, int16_t *y);
    /// `pack_out_in` of float32 into a panel of pairs, each row of w times its factor.
    void (*pack_pairs_out_in)(
        int64_t columns, int64_t depth, const float *w, int64_t ldw, const float *factors, int16_t *panel);
    /// `pack_in_out` in the same way.
    void (*pack_pairs_in_out)(
        int64_t columns, int64_t depth, const float *w, int64_t ldw, const float *factors, int16_t *panel);

    /// c[r][j] = (accumulate ? c[r][j] : 0) + sum_k a[k lda + r] panel[k][j]: `product_tile` with A given by columns.
    void (*outer_tile)(
        int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const float *panel, float *c,
        int64_t ldc, int accumulate);

    void (*layer_norm_backward)(
        int64_t n, const float *x, const float *weight, float epsilon, const float *dy, float *dx, int accumulate,
        float *dweight, float *dbias);

    void (*rms_norm_backward)(
        int64_t n, const float *x, const float *weight, float epsilon, const float *dy, float *dx, int accumulate,
        float *dweight);

    /// dx = dy activation'(x); dx may be dy.
    void (*activate_backward)(vlm_activation activation, int64_t n, const float *x, const float *dy, float *dx);

    /// Both gradients of silu(gate) * up.
    void (*silu_gate_backward)(
        int64_t n, const float *gate, const float *up, const float *dy, float *dgate, float *dup);

    /// dx = y (dy - sum dy y), where y = softmax(x); dx may be dy.
    void (*softmax_backward)(int64_t n, const float *y, const float *dy, float *dx);

    /// Base-2 scores s become probabilities p = 2^(s - log_sum), and dp becomes p (dp - delta).
    void (*attention_gradient)(int64_t n, float *s, float *dp, float log_sum, float delta);

    /// y = y + a * b.
    void (*add_product)(int64_t n, const float *a, const float *b, float *y);

    /// One step of AdamW: gradient g, first and second moments m and v, values x.
    void (*adamw)(const vlm_adamw_step *step, int64_t n, const float *g, float *m, float *v, float *x);
} vlm_kernels;

/// The portable set: always there.
const vlm_kernels *vlm_kernels_portable(void);
/// The AVX2 + FMA + F16C set, or NULL where the processor lacks them.
const vlm_kernels *vlm_kernels_avx2(void);
/// The AVX-512 F/BW/DQ/VL set, or NULL where the processor lacks them.
const vlm_kernels *vlm_kernels_avx512(void);

/// Tells the processor that this thread is waiting in a loop.
static inline void vlm_spin_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// ---------------------------------------------------------------------------------------------------------------
// Matrix product

typedef struct vlm_product {
    int64_t rows, columns, depth;  // M, N, K
    const float *a;                // [M][K]
    int64_t lda;
    const void *w;
    vlm_element w_type;
    vlm_layout w_layout;
    int64_t ldw;
    float *c;  // [M][N]
    int64_t ldc;
    vlm_epilogue epilogue;
    /// Nonzero: a row's sums must not depend on how many rows there are, so few rows take the packed form too.
    int row_invariant;
    /// Nonzero: the product is added to what c holds.
    int accumulate;
} vlm_product;

/// Columns one task of `vlm_product_columns` should cover, so that a packed block of weights stays in the L2 cache.
int64_t vlm_product_task_columns(const vlm_kernels *k);
/// Floats of scratch that `vlm_product_columns` needs.
size_t vlm_product_scratch(const vlm_kernels *k);
/// Computes columns [first, end) of c = activation(a w + bias) factor + residual. `first` is a multiple of `tile_columns`.
void vlm_product_columns(
    const vlm_kernels *k, const vlm_product *p, int64_t first, int64_t end, float *scratch);

/// The gradient of a weight: c = a^T b, a sum of outer products over the depth.
typedef struct vlm_outer {
    int64_t rows, columns, depth;  // M, N, K
    const float *a;                // [K][M]
    int64_t lda;
    const float *b;                // [K][N]
    int64_t ldb;
    float *c;                      // [M][N]
    int64_t ldc;
    int accumulate;                // nonzero: the product is added to what c holds
} vlm_outer;

/// Rows and columns of c one task should cover; both are multiples of the tile's.
int64_t vlm_outer_task_rows(const vlm_kernels *k);
int64_t vlm_outer_task_columns(const vlm_kernels *k);
/// Floats of scratch that `vlm_outer_block` needs.
size_t vlm_outer_scratch(const vlm_kernels *k);
/// Computes rows [row, end_row) of columns [column, end_column), at most a task's. An element sums over k in ascending
/// order, whatever the block around it.
void vlm_outer_block(
    const vlm_kernels *k, const vlm_outer *p, int64_t row, int64_t end_row, int64_t column, int64_t end_column,
    float *scratch);

/// -log softmax(x)[target] over n > 0 logits; `gradient`, n floats, receives softmax(x) - onehot(target).
float vlm_cross_entropy(const vlm_kernels *k, int64_t n, const float *x, int64_t target, float *gradient);

// ---------------------------------------------------------------------------------------------------------------
// im2win convolution (arXiv 2306.14320), NHWC, one image at a time

typedef enum vlm_convolution_route {
    VLM_IM2WIN = 0,   // window strip, then the product with overlapping rows
    VLM_ROW_RUN = 1,  // no copy: one run per filter row straight from the input; needs padding 0
    VLM_IM2COL = 2,   // every window stored whole: the oracle
} vlm_convolution_route;

typedef struct vlm_convolution {
    int64_t channels, height, width;                // input, C, H, W
    int64_t filters, filter_height, filter_width;   // Co, Hf, Wf
    int64_t stride_height, stride_width;
    int64_t padding_top, padding_left;              // zero rows/columns before the image
    int64_t output_height, output_width;            // Ho, Wo; reads past the image are zero too
} vlm_convolution;

/// Floats of the window strip for `rows` output rows, rows x (W padded) x Hf x C with
/// W padded = (Wo - 1) stride + Wf at least, the input width plus padding otherwise.
int64_t vlm_im2win_row_floats(const vlm_convolution *c);
/// Writes the windows of output rows [first, end): window[m][k][u][c] = input[m s + u - top][k - left][c].
void vlm_im2win_rows(
    const vlm_convolution *c, const float *input, int64_t first, int64_t end, float *window);
/// Writes every window of output rows [first, end) whole: columns[m][x][u][v][c] = input[m s + u - top][x s + v - left][c].
void vlm_im2col_rows(
    const vlm_convolution *c, const float *input, int64_t first, int64_t end, float *columns);
/// Packs filters [Co][C][Hf][Wf] into panels [ceil(Co / tile_columns)][Hf Wf C][tile_columns] in the order the
/// route reads: (v, u, c) for im2win, (u, v, c) for row runs and im2col.
void vlm_convolution_pack(
    const vlm_kernels *k, const vlm_convolution *c, vlm_convolution_route route, vlm_element type,
    const void *filters, float *panels);
/// Floats of scratch per task for `rows` output rows.
size_t vlm_convolution_scratch(const vlm_convolution *c, vlm_convolution_route route, int64_t rows);
/// Output rows [first, end) of the convolution with filters [first_filter, end_filter), output [Ho][Wo][Co], bias [Co] or
/// NULL. `first_filter` is a multiple of `tile_columns`.
void vlm_convolution_rows(
    const vlm_kernels *k, const vlm_convolution *c, vlm_convolution_route route, const float *input,
    const float *panels, const float *bias, vlm_activation activation, int64_t first, int64_t end,
    int64_t first_filter, int64_t end_filter, float *scratch, float *output);

/// Floats of scratch that `vlm_convolution_filters_backward` needs for `rows` output rows.
size_t vlm_convolution_filters_scratch(const vlm_kernels *k, const vlm_convolution *c, int64_t rows);
/// Adds what output rows [first, end) of one image give to the gradient of the filters, [Co][Wf][Hf][C]; dy is
/// [Ho][Wo][Co].
void vlm_convolution_filters_backward(
    const vlm_kernels *k, const vlm_convolution *c, const float *input, const float *dy, int64_t first, int64_t end,
    float *scratch, float *dfilters);
/// Floats of scratch that `vlm_convolution_input_backward` needs.
size_t vlm_convolution_input_scratch(const vlm_convolution *c);
/// Adds to rows [first, end) of the gradient of one image, [H][W][C]. `panels` hold the filters [Co][Hf Wf C] packed
/// with Co along the depth.
void vlm_convolution_input_backward(
    const vlm_kernels *k, const vlm_convolution *c, const float *dy, const float *panels, int64_t first, int64_t end,
    float *scratch, float *dx);

// ---------------------------------------------------------------------------------------------------------------
// FlashAttention-2 (arXiv 2307.08691)

/// One key/value head and the query heads that share it (grouped queries).
typedef struct vlm_attention {
    int64_t head_size;     // d
    int64_t group;         // query heads per key/value head, G
    int64_t queries, keys; // Nq, Nk
    const float *q;        // query position i, head g of the group: q + i ldq + g d
    int64_t ldq;
    const float *k, *v;    // key j: k + j ldk
    int64_t ldk, ldv;
    float *output;         // as q
    int64_t ldo;
    float scale;           // usually 1/sqrt(d)
    int may_round;         // queries, keys, weights and values to integers of 16 bits, in sets that have `pair_tile`
    /// Visible keys of query i are [first_key[i], end_key[i]); NULL first_key means 0, NULL end_key means Nk.
    const int64_t *first_key, *end_key;
    /// A second range of visible keys, [own_first[i], own_end[i]), that begins at or after the end of the first; both
    /// NULL for none.
    const int64_t *own_first, *own_end;
    /// Log-sum-exp of the scaled scores, [G][Nq] with row distance `ldl`, or NULL. -infinity for a row without keys.
    float *log_sum_exp;
    int64_t ldl;
} vlm_attention;

/// Query positions one task should cover, where so many tasks at least would keep all threads busy.
int64_t vlm_attention_task_queries(const vlm_attention *a, int64_t least_tasks);
/// Floats of scratch that `vlm_attention_queries` needs for a task of `queries` positions.
size_t vlm_attention_scratch(const vlm_kernels *k, const vlm_attention *a, int64_t queries);
/// Attention output of query positions [first, end), where scratch is for so many. A query without keys gives 0.
void vlm_attention_queries(
    const vlm_kernels *k, const vlm_attention *a, int64_t first, int64_t end, float *scratch);

/// Whether an attention's products are those of 16-bit integers: few queries read keys and values in place, as float32.
int vlm_attention_rounds(const vlm_kernels *k, const vlm_attention *a);
/// Parts that the keys of few queries are split into (flash-decoding): tasks of their own, by the shape alone.
int64_t vlm_attention_parts(const vlm_attention *a);
/// Floats of the sums of a part.
int64_t vlm_attention_part_floats(const vlm_attention *a);
/// The sums of all queries over the keys of one part, written to sums + part vlm_attention_part_floats; scratch as above.
void vlm_attention_part(const vlm_kernels *k, const vlm_attention *a, int64_t part, float *sums, float *scratch);
/// Attention output from the sums of all parts, which are overwritten.
void vlm_attention_join(const vlm_kernels *k, const vlm_attention *a, int64_t parts, float *sums);

/// What the gradients of an attention are computed from, and where those of the queries go. Probabilities are computed
/// again from the log-sum-exp.
typedef struct vlm_attention_backward {
    vlm_attention forward;         // as it was run; its output and log_sum_exp are read
    const float *output_gradient;  // as output, row distance ldo
    float *q_gradient;             // as output, row distance ldo; overwritten
} vlm_attention_backward;

/// Floats of scratch that `vlm_attention_backward_queries` needs.
size_t vlm_attention_backward_scratch(const vlm_kernels *k, const vlm_attention_backward *b);
/// The hull [*first_key, *end_key) of the keys that query positions [first, end) see; 0 and 0 if they see none.
void vlm_attention_visible(
    const vlm_attention *a, int64_t first, int64_t end, int64_t *first_key, int64_t *end_key);
/// Writes the gradients of query positions [first, end), and adds what they give to the gradients of the keys and values
/// from `first_key` on, which is the beginning of the hull of what they see: dk and dv, [hull][d].
void vlm_attention_backward_queries(
    const vlm_kernels *k, const vlm_attention_backward *b, int64_t first, int64_t end, int64_t first_key, float *dk,
    float *dv, float *scratch);

#ifdef __cplusplus
}
#endif

#include "CKernelsImages.h"
#include "CKernelsQuantized.h"

#endif
