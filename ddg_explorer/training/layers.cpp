// Hidden tanh layers at both ends of a step, and the backward pass between their matrix products.
//
//   σ̄ = (t − τ)/d = k(d) g,   t = tanh a,   τ = tanh c,   d = a − c,   g = 1 − tτ,   k(d) = tanh(d)/d
//   ∂σ̄/∂a = k′g − kτ(1 − t²),   ∂σ̄/∂c = −k′g − kt(1 − τ²)
//
// Blocks whose ends are all closer than NEAR evaluate tanh once: with h = d·k from the series of k,
// g = (1 − t²)/(1 − th) and τ = t − hg. All to absolute accuracy, as `near_ends.py`. Arrays are
// contiguous, (n, width); those of both ends hold end a in the first n rows and end c in the next.
// Threads share columns, so that sums over rows are taken in one order whatever their number.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

using count = std::ptrdiff_t;
constexpr count BLOCK = 16;
constexpr double NEAR = 0.2;
constexpr double TANHC[] = {1.0, -0.333333333333332979, 0.133333333333147316, -0.0539682539310037393,
                            0.0218694848699580085, -0.0088630393187020344, 0.00358629526629732076,
                            -0.00136495893320922151};

/* Of each type: its bits, 2^f for |f| ≤ ½ (interpolated at Chebyshev points, to a tenth of its
   rounding), the constant that rounds to integers, where tanh is 1, and the terms of k it resolves. */
template <typename real>
struct Precision;

template <>
struct Precision<double> {
    using bits = std::int64_t;
    static constexpr int mantissa = 52, terms = 8;
    static constexpr double rounding = 6755399441055744.0, saturated = 20;
    static constexpr double power[] = {
        1.0, 0.693147180559945309, 0.240226506959101596, 0.055504108664821627,
        0.00961812910758725667, 0.00133335581464064707, 0.000154035304637243542,
        1.52527338415567726e-5, 1.32154325359123762e-6, 1.01780570877339411e-7,
        7.07419429728852101e-9, 4.45581790833606449e-10};
};

template <>
struct Precision<float> {
    using bits = std::int32_t;
    static constexpr int mantissa = 23, terms = 6;
    static constexpr float rounding = 12582912.0f, saturated = 10;
    static constexpr float power[] = {1.0f, 0.693147206702832596f, 0.240226509222887581f,
                                      0.0555032722667030206f, 0.00961805667852463808f,
                                      0.00134004281776158379f, 0.000154614446985691291f};
};

/* 1 − 2/(1 + e^2a), e^2a = 2^(n + f) */
template <typename real>
inline real tanh_of(real a)
{
    using P = Precision<real>;
    constexpr double octaves = 2.88539008177792681472;
    constexpr real high = real(octaves), low = real(octaves - double(high));
    a = a > P::saturated ? P::saturated : a;
    a = a < -P::saturated ? -P::saturated : a;
    const real shifted = a * high + P::rounding;
    const real f = a * low + (a * high - (shifted - P::rounding));
    constexpr int degree = sizeof P::power / sizeof(real) - 1;
    real power = P::power[degree];
    for (int i = degree; i > 0; i--)
        power = power * f + P::power[i - 1];
    typename P::bits n, bits;
    std::memcpy(&n, &shifted, sizeof n);
    std::memcpy(&bits, &power, sizeof bits);
    bits += n << P::mantissa;
    std::memcpy(&power, &bits, sizeof bits);
    return 1 - 2 / (1 + power);
}

/* k(d) and k′(d)/d from d² */
template <typename real>
inline void series(real d2, real &k, real &odd)
{
    constexpr int last = Precision<real>::terms - 1;
    k = d2 * real(TANHC[last]) + real(TANHC[last - 1]);
    odd = real(2 * last * TANHC[last]);
    for (int j = last - 1; j > 0; j--) {
        odd = odd * d2 + real(2 * j * TANHC[j]);
        k = k * d2 + real(TANHC[j - 1]);
    }
}

/* Up to BLOCK units of one site. */
template <typename real>
struct Block {
    const real *__restrict bias;
    real *__restrict a, *__restrict c, *__restrict slope, *__restrict slope_a, *__restrict slope_c;

    bool near(count width) const
    {
        int far = 0;
        for (count j = 0; j < width; j++)
            far |= !(std::fabs(a[j] - c[j]) < real(NEAR));
        return !far;
    }

    void near_ends(count width) const
    {
#pragma omp simd
        for (count j = 0; j < width; j++) {
            const real d = a[j] - c[j], t = tanh_of(a[j] + bias[j]);
            real k, odd;
            series(d * d, k, odd);
            const real h = k * d, dt = 1 - t * t, g = dt / (1 - t * h);
            const real tau = t - h * g, turn = odd * d * g;
            a[j] = t;
            c[j] = tau;
            slope[j] = k * g;
            slope_a[j] = turn - k * tau * dt;
            slope_c[j] = -turn - k * t * (1 - tau * tau);
        }
    }

    void far_ends(count width) const
    {
#pragma omp simd
        for (count j = 0; j < width; j++) {
            const real t = tanh_of(a[j] + bias[j]), tau = tanh_of(c[j] + bias[j]), d = a[j] - c[j];
            const bool close = std::fabs(d) < real(NEAR);
            const real short_d = close ? d : 0, inverse = 1 / (close ? real(1) : d);
            real k, odd;
            series(short_d * short_d, k, odd);
            const real g = 1 - t * tau, dt = 1 - t * t, dtau = 1 - tau * tau;
            const real turn = odd * short_d * g, quotient = (t - tau) * inverse;
            a[j] = t;
            c[j] = tau;
            slope[j] = close ? k * g : quotient;
            slope_a[j] = close ? turn - k * tau * dt : (dt - quotient) * inverse;
            slope_c[j] = close ? -turn - k * t * dtau : (quotient - dtau) * inverse;
        }
    }
};

/* work(from, to) on columns [from, to) of each thread */
template <typename Work>
void share_columns(count width, int threads, const Work &work)
{
    const count share = (width + threads * BLOCK - 1) / (threads * BLOCK) * BLOCK;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int t = 0; t < threads; t++)
        work(std::min(width, t * share), std::min(width, (t + 1) * share));
}

/* ends: pre-activations less the bias ↦ t, τ;  slope = σ̄;  bend = ∂σ̄/∂a, ∂σ̄/∂c */
template <typename real>
void layer(count n, count width, const real *bias, real *ends, real *slope, real *bend, int threads)
{
    share_columns(width, threads, [=](count from, count to) {
        for (count i = 0; i < n; i++)
            for (count j = from; j < to; j += BLOCK) {
                const count p = i * width + j, q = p + n * width;
                const Block<real> block{bias + j, ends + p, ends + q, slope + p, bend + p, bend + q};
                const count columns = std::min(BLOCK, to - j);
                if (!block.near(columns))
                    block.far_ends(columns);
                else if (columns == BLOCK)
                    block.near_ends(BLOCK);
                else
                    block.near_ends(columns);
            }
    });
}

/* Layer 2: bend ↦ m w bend at both ends;  bias = Σ of these;  row = Σ σ̄ m */
template <typename real>
void second_pull(count n, count width, const real *w, const real *m, const real *slope, real *bend,
                 real *bias, real *row, int threads)
{
    share_columns(width, threads, [=](count from, count to) {
        std::fill(bias + from, bias + to, real(0));
        std::fill(row + from, row + to, real(0));
        for (count i = 0; i < n; i++) {
            real *a = bend + i * width, *c = a + n * width;
#pragma omp simd
            for (count j = from; j < to; j++) {
                const real pull = m[i * width + j], e = pull * w[j];
                a[j] *= e;
                c[j] *= e;
                bias[j] += a[j] + c[j];
                row[j] += slope[i * width + j] * pull;
            }
        }
    });
}

/* Layer 1: pull ↦ q p bend + (1 − ends²) pull at both ends;  bias = Σ of these */
template <typename real>
void first_pull(count n, count width, const real *q, const real *p, const real *ends,
                const real *bend, real *pull, real *bias, int threads)
{
    share_columns(width, threads, [=](count from, count to) {
        std::fill(bias + from, bias + to, real(0));
        for (count i = 0; i < n; i++) {
            const count top = i * width, bottom = top + n * width;
#pragma omp simd
            for (count j = from; j < to; j++) {
                const real e = q[top + j] * p[top + j], t = ends[top + j], tau = ends[bottom + j];
                const real a = e * bend[top + j] + (1 - t * t) * pull[top + j];
                const real c = e * bend[bottom + j] + (1 - tau * tau) * pull[bottom + j];
                pull[top + j] = a;
                pull[bottom + j] = c;
                bias[j] += a + c;
            }
        }
    });
}

}  // namespace

#define EXPORT(type, real)                                                                          \
    extern "C" void layer_##type(count n, count width, const real *bias, real *ends, real *slope,   \
                                 real *bend, int threads)                                           \
    {                                                                                               \
        layer(n, width, bias, ends, slope, bend, threads);                                          \
    }                                                                                               \
    extern "C" void second_pull_##type(count n, count width, const real *w, const real *m,          \
                                       const real *slope, real *bend, real *bias, real *row,        \
                                       int threads)                                                 \
    {                                                                                               \
        second_pull(n, width, w, m, slope, bend, bias, row, threads);                               \
    }                                                                                               \
    extern "C" void first_pull_##type(count n, count width, const real *q, const real *p,           \
                                      const real *ends, const real *bend, real *pull, real *bias,   \
                                      int threads)                                                  \
    {                                                                                               \
        first_pull(n, width, q, p, ends, bend, pull, bias, threads);                                \
    }

EXPORT(float64, double)
EXPORT(float32, float)
