#include "COneDNN.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>

#if DNNL_VERSION_MAJOR != 2
#error "oneDNN 2 is wanted, as libdnnl-dev of Debian 12 has it"
#endif

struct onednn_convolution {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    dnnl_memory_t input, weights, output;
};

/// Copies `weights`, [Co][C][Hf][Wf], into the order of `c->description`.
static int reorder(onednn_convolution *c, const dnnl_dims_t dims, const float *weights) {
    dnnl_memory_desc_t plain;
    const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(c->description, dnnl_query_weights_md, 0);
    dnnl_memory_t source = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    int failed = dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_f32, dnnl_oihw)
        || dnnl_memory_create(&source, &plain, c->engine, (void *)weights)
        || dnnl_memory_create(&c->weights, wanted, c->engine, DNNL_MEMORY_ALLOCATE)
        || dnnl_reorder_primitive_desc_create(&description, &plain, c->engine, wanted, c->engine, NULL)
        || dnnl_primitive_create(&primitive, description);
    if (!failed) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, c->weights}};
        failed = dnnl_primitive_execute(primitive, c->stream, 2, arguments) || dnnl_stream_wait(c->stream);
    }
    if (primitive) dnnl_primitive_destroy(primitive);
    if (description) dnnl_primitive_desc_destroy(description);
    if (source) dnnl_memory_destroy(source);
    return failed;
}

onednn_convolution *onednn_convolution_create(
    int64_t channels, int64_t height, int64_t width, int64_t filters, int64_t extent, int64_t stride,
    const float *weights) {
    dnnl_dims_t input = {1, channels, height, width}, filter = {filters, channels, extent, extent};
    dnnl_dims_t output = {1, filters, (height - extent) / stride + 1, (width - extent) / stride + 1};
    dnnl_dims_t strides = {stride, stride}, padding = {0, 0};
    dnnl_memory_desc_t in, any, out;
    dnnl_convolution_desc_t description;
    onednn_convolution *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    int failed = dnnl_engine_create(&c->engine, dnnl_cpu, 0)
        || dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags)
        || dnnl_memory_desc_init_by_tag(&in, 4, input, dnnl_f32, dnnl_nhwc)
        || dnnl_memory_desc_init_by_tag(&any, 4, filter, dnnl_f32, dnnl_format_tag_any)
        || dnnl_memory_desc_init_by_tag(&out, 4, output, dnnl_f32, dnnl_nhwc)
        || dnnl_convolution_forward_desc_init(
               &description, dnnl_forward_inference, dnnl_convolution_direct, &in, &any, NULL, &out, strides, padding,
               padding)
        || dnnl_primitive_desc_create(&c->description, &description, NULL, c->engine, NULL)
        || dnnl_primitive_create(&c->primitive, c->description)
        || dnnl_memory_create(&c->input, &in, c->engine, DNNL_MEMORY_NONE)
        || dnnl_memory_create(&c->output, &out, c->engine, DNNL_MEMORY_NONE) || reorder(c, filter, weights);
    if (!failed) return c;
    onednn_convolution_destroy(c);
    return NULL;
}

int onednn_convolution_run(onednn_convolution *c, float *input, float *output) {
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, c->input}, {DNNL_ARG_WEIGHTS, c->weights}, {DNNL_ARG_DST, c->output}};
    return dnnl_memory_set_data_handle(c->input, input) || dnnl_memory_set_data_handle(c->output, output)
        || dnnl_primitive_execute(c->primitive, c->stream, 3, arguments) || dnnl_stream_wait(c->stream);
}

const char *onednn_convolution_name(const onednn_convolution *c) {
    const char *name = NULL;
    dnnl_primitive_desc_query(c->description, dnnl_query_impl_info_str, 0, &name);
    return name ? name : "";
}

void onednn_convolution_destroy(onednn_convolution *c) {
    if (c->output) dnnl_memory_destroy(c->output);
    if (c->weights) dnnl_memory_destroy(c->weights);
    if (c->input) dnnl_memory_destroy(c->input);
    if (c->primitive) dnnl_primitive_destroy(c->primitive);
    if (c->description) dnnl_primitive_desc_destroy(c->description);
    if (c->stream) dnnl_stream_destroy(c->stream);
    if (c->engine) dnnl_engine_destroy(c->engine);
    free(c);
}

int onednn_product(int64_t rows, int64_t columns, int64_t depth, const float *a, const float *w, float *c) {
    return dnnl_sgemm('N', 'T', rows, columns, depth, 1, a, depth, w, depth, 0, c, columns);
}
