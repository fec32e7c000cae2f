// float32 narrowed to the blocks of 256 whose groups have scales of their own: Q4_K, Q5_K and Q6_K (layouts in
// dequantize.c).
//
// ggml fixes the layout of these types and leaves the choice of scales to whoever writes them. Here a group's scale is the
// best of several guesses, each improved by least squares over the codes it leads to; once scales are rounded to 6 or 8
// bits, their neighbours are tried as well. What is made least is the sum of squared errors.
#include "quantize.h"
#include "quantized.h"

/// Four values at once; every compiler has a form of these for every machine.
typedef float four __attribute__((vector_size(16)));

static inline four load(const float *x) {
    four v;
    memcpy(&v, x, sizeof v);
    return v;
}
static inline four all(float x) { return (four){x, x, x, x}; }
static inline float sum(four v) { return (v[0] + v[1]) + (v[2] + v[3]); }

/// The nearest whole numbers within [low, high], halves to even: beside 1.5 2^23 a float32 counts in ones.
static inline four rounded(four v, float low, float high) {
    const four ones = all(0x1.8p23f);
    for (int i = 0; i < 4; i++) v[i] = v[i] < low ? low : v[i] > high ? high : v[i];
    return (v + ones) - ones;
}

/// A scale and what lies below zero: x is about scale * code - minimum.
typedef struct fit {
    float scale, minimum, error;
} fit;

// ---- Q4_K and Q5_K -----------------------------------------------------------------------------------------------

/// The sum of squared errors of 32 values under a scale and a minimum that are fixed.
static float offset_error(const float *x, float scale, float minimum, float last) {
    float inverse = scale > 0 && isfinite(1 / scale) ? 1 / scale : 0;
    four error = all(0);
    for (int i = 0; i < 32; i += 4) {
        four v = load(x + i) + all(minimum), e = v - rounded(v * all(inverse), 0, last) * all(scale);
        error += e * e;
    }
    return sum(error);
}

/// The best scale and minimum, neither below zero, for the codes that a step of 1 / inverse above `least` leads to.
static fit offset_fit(const float *x, float least, float inverse, float last) {
    four q1 = all(0), q2 = all(0), qx = all(0), x1 = all(0), x2 = all(0);
    for (int i = 0; i < 32; i += 4) {
        four v = load(x + i), q = rounded((v - all(least)) * all(inverse), 0, last);
        q1 += q;
        q2 += q * q;
        qx += q * v;
        x1 += v;
        x2 += v * v;
    }
    float sq = sum(q1), sqq = sum(q2), sqx = sum(qx), sx = sum(x1), sxx = sum(x2);
    float determinant = 32 * sqq - sq * sq;
    fit best = {0, 0, INFINITY};
    if (determinant <= 0) return best;
    float scale = (32 * sqx - sq * sx) / determinant, offset = (sqq * sx - sq * sqx) / determinant;
    if (offset > 0) {
        offset = 0;
        scale = sqx / sqq;
    }
    if (!(scale > 0)) return best;
    float error = sxx - 2 * (scale * sqx + offset * sx) + scale * scale * sqq + 2 * scale * offset * sq
        + 32 * offset * offset;
    return (fit){scale, -offset, error};
}

/// The best scale and minimum of 32 values by themselves.
static fit offset_search(const float *x, float last) {
    float least = 0, largest = x[0];
    for (int i = 0; i < 32; i++) {
        least = x[i] < least ? x[i] : least;
        largest = x[i] > largest ? x[i] : largest;
    }
    float range = largest - least;
    fit best = {0, -least, INFINITY};
    if (!(range > 0) || !isfinite(last / range)) return best;
    best = (fit){range / last, -least, offset_error(x, range / last, -least, last)};
    for (int k = -10; k <= 10; k++) {
        fit next = offset_fit(x, least, (last + (float)k * 0.1f) / range, last);
        if (next.error < best.error) best = next;
    }
    for (int k = 0; k < 2; k++) {  // the codes of the best fit may have a better one
        fit next = offset_fit(x, -best.minimum, 1 / best.scale, last);
        if (next.error < best.error) best = next;
    }
    return best;
}

/// The nearest whole multiple of `unit`, at most `last`.
static int multiple_of(float unit, float value, int last) {
    float steps = unit > 0 ? value / unit : 0;
    return steps < (float)last ? (int)(steps + 0.5f) : last;
}

/// Scales and minima in 6 bits each, packed into 12 bytes: the counterpart of `vlm_scale_and_minimum`.
static void put_scales(const int *scales, const int *minima, uint8_t *p) {
    for (int g = 0; g < 4; g++) {
        p[g] = (uint8_t)(scales[g] | (scales[g + 4] >> 4) << 6);
        p[g + 4] = (uint8_t)(minima[g] | (minima[g + 4] >> 4) << 6);
        p[g + 8] = (uint8_t)((scales[g + 4] & 15) | (minima[g + 4] & 15) << 4);
    }
}

static int to_offset_k(int bits, const float *x, uint8_t *y) {
    const float last = (float)((1 << bits) - 1);
    fit fits[8];
    float scale = 0, minimum = 0;
    for (int g = 0; g < 8; g++) {
        fits[g] = offset_search(x + 32 * g, last);
        scale = fits[g].scale > scale ? fits[g].scale : scale;
        minimum = fits[g].minimum > minimum ? fits[g].minimum : minimum;
    }
    uint16_t halves[2] = {half_of(scale / 63), half_of(minimum / 63)};
    if (!is_finite_half(halves[0]) || !is_finite_half(halves[1])) return 1;
    memcpy(y, halves, 4);
    const float d = float_of_half(halves[0]), dmin = float_of_half(halves[1]);

    int scales[8] = {0}, minima[8] = {0};
    uint8_t codes[256];
    for (int g = 0; g < 8; g++) {
        const float *v = x + 32 * g;
        int s = multiple_of(d, fits[g].scale, 63), m = multiple_of(dmin, fits[g].minimum, 63);
        float least = INFINITY;
        for (int i = s - 1; i <= s + 1; i++)
            for (int j = m - 1; j <= m + 1; j++) {
                if (i < 0 || i > 63 || j < 0 || j > 63) continue;
                float error = offset_error(v, d * (float)i, dmin * (float)j, last);
                if (error < least) {
                    least = error;
                    scales[g] = i;
                    minima[g] = j;
                }
            }
        float step = d * (float)scales[g], offset = dmin * (float)minima[g];
        float inverse = step > 0 && isfinite(1 / step) ? 1 / step : 0;
        for (int i = 0; i < 32; i += 4) {
            four q = rounded((load(v + i) + all(offset)) * all(inverse), 0, last);
            for (int j = 0; j < 4; j++) codes[32 * g + i + j] = (uint8_t)q[j];
        }
    }
    put_scales(scales, minima, y + 4);
    uint8_t *fifth = y + 16, *nibbles = y + (bits == 5 ? 48 : 16);
    if (bits == 5) {
        for (int i = 0; i < 32; i++) {
            fifth[i] = 0;
            for (int g = 0; g < 8; g++) fifth[i] |= (uint8_t)(codes[32 * g + i] >> 4 << g);
        }
    }
    for (int g = 0; g < 8; g += 2)
        for (int i = 0; i < 32; i++)
            nibbles[16 * g + i] = (uint8_t)((codes[32 * g + i] & 15) | codes[32 * g + 32 + i] << 4);
    return 0;
}

// ---- Q6_K --------------------------------------------------------------------------------------------------------

/// The best scale of 16 values by themselves.
static float centered_search(const float *x) {
    float extreme = 0;
    for (int i = 0; i < 16; i++) extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    if (extreme == 0 || !isfinite(33 / extreme)) return 0;
    float best = extreme / -32, most = -1;
    for (int k = -9; k <= 9; k++) {
        float inverse = -(32 + (float)k * 0.1f) / extreme;
        four q2 = all(0), qx = all(0);
        for (int i = 0; i < 16; i += 4) {
            four v = load(x + i), q = rounded(v * all(inverse), -32, 31);
            q2 += q * q;
            qx += q * v;
        }
        // With the scale qx / q2 the squares of the errors sum to those of the values less qx^2 / q2.
        float sqq = sum(q2), sqx = sum(qx);
        if (sqq > 0 && sqx * sqx / sqq > most) {
            most = sqx * sqx / sqq;
            best = sqx / sqq;
        }
    }
    return best;
}

static float centered_error(const float *x, float scale) {
    float inverse = isfinite(1 / scale) ? 1 / scale : 0;
    four error = all(0);
    for (int i = 0; i < 16; i += 4) {
        four v = load(x + i), e = v - rounded(v * all(inverse), -32, 31) * all(scale);
        error += e * e;
    }
    return sum(error);
}

static int to_q6_k(const float *x, uint8_t *y) {
    float found[16], extreme = 0;
    for (int g = 0; g < 16; g++) {
        found[g] = centered_search(x + 16 * g);
        extreme = fabsf(found[g]) > fabsf(extreme) ? found[g] : extreme;
    }
    uint16_t half = half_of(extreme / -128);
    if (!is_finite_half(half)) return 1;
    memcpy(y + 208, &half, 2);
    const float d = float_of_half(half);

    int8_t *scales = (int8_t *)y + 192;
    uint8_t codes[256];
    for (int g = 0; g < 16; g++) {
        const float *v = x + 16 * g;
        float steps = d != 0 ? found[g] / d : 0, least = INFINITY;
        scales[g] = 0;
        int nearest = steps > 127 ? 127 : steps < -128 ? -128 : (int)(steps + copysignf(0.5f, steps));
        for (int s = nearest - 1; s <= nearest + 1; s++) {
            if (s < -128 || s > 127) continue;
            float error = centered_error(v, d * (float)s);
            if (error < least) {
                least = error;
                scales[g] = (int8_t)s;
            }
        }
        float step = d * (float)scales[g], inverse = isfinite(1 / step) ? 1 / step : 0;
        for (int i = 0; i < 16; i += 4) {
            four q = rounded(load(v + i) * all(inverse), -32, 31);
            for (int j = 0; j < 4; j++) codes[16 * g + i + j] = (uint8_t)((int)q[j] + 32);
        }
    }
    for (int h = 0; h < 2; h++)  // each half of the block: four groups of 32
        for (int i = 0; i < 32; i++) {
            const uint8_t *c = codes + 128 * h + i;
            y[64 * h + i] = (uint8_t)((c[0] & 15) | (c[64] & 15) << 4);
            y[64 * h + 32 + i] = (uint8_t)((c[32] & 15) | (c[96] & 15) << 4);
            y[128 + 32 * h + i] = (uint8_t)(c[0] >> 4 | (c[32] >> 4) << 2 | (c[64] >> 4) << 4 | (c[96] >> 4) << 6);
        }
    return 0;
}

int vlm_narrow_k(vlm_element type, const float *x, uint8_t *y) {
    switch (type) {
    case VLM_Q4_K: return to_offset_k(4, x, y);
    case VLM_Q5_K: return to_offset_k(5, x, y);
    default: return to_q6_k(x, y);
    }
}
