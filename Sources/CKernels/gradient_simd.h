// The vector forms of gradient.c, included once for each instruction set with its vocabulary defined; undefines it.

ISA void NAME(vlm_layer_norm_backward)(
    int64_t n, const float *x, const float *weight, float epsilon, const float *dy, float *dx, int accumulate,
    float *dweight, float *dbias) {
    V total = SET(0), squares = SET(0), sum = SET(0), dot = SET(0);
    EACH(i, n, total = ADD(total, LOAD(x + i, count)););
    V mean = SET(SUM(total) / (float)n);
    EACH(i, n, {
        V d = SUB(LOAD(x + i, count), mean);
        d = KEEP(d, count);
        squares = FMA(d, d, squares);
    });
    V scale = SET(1 / sqrtf(SUM(squares) / (float)n + epsilon));
    EACH(i, n, {
        V normal = MUL(SUB(LOAD(x + i, count), mean), scale);
        V d = LOAD(dy + i, count);
        V g = MUL(d, LOAD(weight + i, count));  // 0 beyond the tail
        sum = ADD(sum, g);
        dot = FMA(g, normal, dot);
        if (dweight) STORE(dweight + i, count, FMA(d, normal, LOAD(dweight + i, count)));
        if (dbias) STORE(dbias + i, count, ADD(d, LOAD(dbias + i, count)));
    });
    if (!dx) return;
    V mean_g = SET(SUM(sum) / (float)n), mean_dot = SET(SUM(dot) / (float)n);
    EACH(i, n, {
        V normal = MUL(SUB(LOAD(x + i, count), mean), scale);
        V g = MUL(LOAD(dy + i, count), LOAD(weight + i, count));
        V d = MUL(scale, FNMA(normal, mean_dot, SUB(g, mean_g)));
        STORE(dx + i, count, accumulate ? ADD(d, LOAD(dx + i, count)) : d);
    });
}

ISA void NAME(vlm_rms_norm_backward)(
    int64_t n, const float *x, const float *weight, float epsilon, const float *dy, float *dx, int accumulate,
    float *dweight) {
    V squares = SET(0), dot = SET(0);
    EACH(i, n, {
        V v = LOAD(x + i, count);
        squares = FMA(v, v, squares);
        dot = FMA(MUL(LOAD(dy + i, count), LOAD(weight + i, count)), v, dot);
    });
    float s = 1 / sqrtf(SUM(squares) / (float)n + epsilon);
    V scale = SET(s), slope = SET(s * s * SUM(dot) / (float)n);
    EACH(i, n, {
        V v = LOAD(x + i, count);
        V d = LOAD(dy + i, count);
        if (dx) {
            V g = MUL(scale, FNMA(v, slope, MUL(d, LOAD(weight + i, count))));
            STORE(dx + i, count, accumulate ? ADD(g, LOAD(dx + i, count)) : g);
        }
        if (dweight) STORE(dweight + i, count, FMA(d, MUL(v, scale), LOAD(dweight + i, count)));
    });
}

VLM_INLINE ISA V NAME(logistic)(V x, float slope) {
    return DIV(SET(1), ADD(SET(1), EXP(MUL(x, SET(-slope)))));
}

VLM_INLINE ISA V NAME(derivative)(vlm_activation activation, V x) {
    V one = SET(1);
    switch (activation) {
    case VLM_IDENTITY: return one;
    case VLM_GELU: {
        V tail = NORMAL_TAIL(ABS(x));
        V density = MUL(SET(0.39894228f), EXP(MUL(MUL(x, x), SET(-0.5f))));
        return FMA(x, density, IF_POSITIVE(x, SUB(one, tail), tail));
    }
    case VLM_QUICK_GELU: {
        V s = NAME(logistic)(x, 1.702f);
        return FMA(MUL(MUL(x, SET(1.702f)), s), SUB(one, s), s);
    }
    case VLM_SILU: {
        V s = NAME(logistic)(x, 1);
        return FMA(MUL(x, s), SUB(one, s), s);
    }
    case VLM_RELU: return IF_POSITIVE(x, one, SET(0));
    }
    return one;
}

ISA void NAME(vlm_activate_backward)(
    vlm_activation activation, int64_t n, const float *x, const float *dy, float *dx) {
#define RUN(f)                                                                                                       \
    EACH(i, n, STORE(dx + i, count, MUL(LOAD(dy + i, count), NAME(derivative)(f, LOAD(x + i, count))));)
    switch (activation) {
    case VLM_IDENTITY: RUN(VLM_IDENTITY); break;
    case VLM_GELU: RUN(VLM_GELU); break;
    case VLM_QUICK_GELU: RUN(VLM_QUICK_GELU); break;
    case VLM_SILU: RUN(VLM_SILU); break;
    case VLM_RELU: RUN(VLM_RELU); break;
    }
#undef RUN
}

ISA void NAME(vlm_silu_gate_backward)(
    int64_t n, const float *gate, const float *up, const float *dy, float *dgate, float *dup) {
    EACH(i, n, {
        V x = LOAD(gate + i, count);
        V d = LOAD(dy + i, count);
        V s = NAME(logistic)(x, 1);
        V silu = MUL(x, s);
        V slope = FMA(silu, SUB(SET(1), s), s);
        STORE(dgate + i, count, MUL(MUL(d, LOAD(up + i, count)), slope));
        STORE(dup + i, count, MUL(d, silu));
    });
}

ISA void NAME(vlm_softmax_backward)(int64_t n, const float *y, const float *dy, float *dx) {
    V dot = SET(0);
    EACH(i, n, dot = FMA(LOAD(y + i, count), LOAD(dy + i, count), dot););
    V sum = SET(SUM(dot));
    EACH(i, n, STORE(dx + i, count, MUL(LOAD(y + i, count), SUB(LOAD(dy + i, count), sum))););
}

ISA void NAME(vlm_attention_gradient)(int64_t n, float *s, float *dp, float log_sum, float delta) {
    V l = SET(log_sum), e = SET(delta);
    EACH(i, n, {
        V p = EXP2(SUB(LOAD(s + i, count), l));
        STORE(s + i, count, p);
        STORE(dp + i, count, MUL(p, SUB(LOAD(dp + i, count), e)));
    });
}

ISA void NAME(vlm_add_product)(int64_t n, const float *a, const float *b, float *y) {
    EACH(i, n, STORE(y + i, count, FMA(LOAD(a + i, count), LOAD(b + i, count), LOAD(y + i, count))););
}

ISA void NAME(vlm_adamw)(const vlm_adamw_step *step, int64_t n, const float *g, float *m, float *v, float *x) {
    V b1 = SET(step->beta1), c1 = SET(1 - step->beta1), b2 = SET(step->beta2), c2 = SET(1 - step->beta2);
    V gradient_scale = SET(step->gradient_scale), decay = SET(step->decay), rate = SET(step->rate);
    V root_scale = SET(step->root_scale), epsilon = SET(step->epsilon);
    EACH(i, n, {
        V d = MUL(LOAD(g + i, count), gradient_scale);
        V first = FMA(b1, LOAD(m + i, count), MUL(c1, d));
        V second = FMA(b2, LOAD(v + i, count), MUL(MUL(c2, d), d));
        V root = FMA(SQRT(second), root_scale, epsilon);
        STORE(m + i, count, first);
        STORE(v + i, count, second);
        STORE(x + i, count, FNMA(rate, DIV(first, root), MUL(LOAD(x + i, count), decay)));
    });
}

#undef ISA
#undef NAME
#undef V
#undef EACH
#undef LOAD
#undef STORE
#undef SET
#undef ADD
#undef SUB
#undef MUL
#undef DIV
#undef SQRT
#undef FMA
#undef FNMA
#undef KEEP
#undef SUM
#undef ABS
#undef IF_POSITIVE
#undef EXP
#undef EXP2
#undef NORMAL_TAIL
