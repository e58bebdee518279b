// Elementary functions on vectors. In float32 they are polynomials, within 2 units in the last place over all numbers
// (docs/log.md); in float64 each lane goes through the C library, since float64 is for checking, not for speed.

#pragma once

#include "simd.h"

namespace PELLUCID_ISA {

inline Vec<float> from_bits(Mask<float> bits) { return (Vec<float>)bits; }
inline Mask<float> to_bits(Vec<float> v) { return (Mask<float>)v; }

// 2^n for whole n in [-126, 127].
inline Vec<float> power_of_two(Mask<float> n) { return from_bits((n + 127) << 23); }

// exp(x) = 2^n exp(r) with |r| <= ln(2)/2; ln 2 is subtracted in two parts so that r is exact to the last place, and
// exp(r) is its Taylor polynomial to r^7 (remainder below 6e-9).
inline Vec<float> exp(Vec<float> x) {
    const Vec<float> top = broadcast(88.72284f), bottom = broadcast(-104.0f);
    Vec<float> inside = x < bottom ? bottom : x;
    inside = inside > broadcast(89.0f) ? broadcast(89.0f) : inside;
    const Vec<float> rounder = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
    const Vec<float> shifted = inside * 1.44269504f + rounder;
    const Vec<float> n = shifted - rounder;
    const Mask<float> whole = to_bits(shifted) - to_bits(rounder);
    const Vec<float> rough = inside - n * 0.693359375f;      // exact
    const Vec<float> r = rough - n * -2.12194440e-4f;
    const Vec<float> lost = (rough - r) - n * -2.12194440e-4f;  // what rounding r took away
    Vec<float> p = r * (1.0f / 5040.0f) + (1.0f / 720.0f);
    p = p * r + (1.0f / 120.0f);
    p = p * r + (1.0f / 24.0f);
    p = p * r + (1.0f / 6.0f);
    p = p * r + 0.5f;
    p = p * (r * r) + lost;
    p = (p + r) + 1.0f;
    // Two factors, since 2^n alone leaves the range of float32 where exp(x) does not.
    const Mask<float> half = whole >> 1;
    Vec<float> y = p * power_of_two(half) * power_of_two(whole - half);
    y = x > top ? broadcast(__builtin_inff()) : y;
    y = x < bottom ? Vec<float>{} : y;
    return x == x ? y : x;
}

// 1 / (1 + exp(-x)) from the exp that is at most 1, so that its error counts least: 1 / (1 + e) above 0, e / (1 + e)
// below. What rounding took from 1 + e comes back as a correction of the quotient.
inline Vec<float> sigmoid(Vec<float> x) {
    const Mask<float> sign = Mask<float>{} + (std::int32_t)0x80000000;
    const Vec<float> e = exp(from_bits(to_bits(x) | sign));
    const Vec<float> sum = 1.0f + e, lost = e - (sum - 1.0f);
    const Vec<float> y = (x < 0.0f ? e : broadcast(1.0f)) / sum;
    return y - y * lost;
}

// An odd polynomial near 0 (Cephes, S. Moshier), 1 - 2 / (exp(2|x|) + 1) elsewhere.
inline Vec<float> tanh(Vec<float> x) {
    const Vec<float> size = from_bits(to_bits(x) & 0x7fffffff);
    const Mask<float> sign = to_bits(x) & (Mask<float>{} + (std::int32_t)0x80000000);
    const Vec<float> far = 1.0f - 2.0f / (exp(size + size) + 1.0f);
    const Vec<float> s = x * x;
    Vec<float> p = s * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * s + -5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s + -3.33332819422e-1f;
    const Vec<float> near = p * s * x + x;
    const Vec<float> y = size < 0.625f ? near : from_bits(to_bits(far) | sign);
    return x == x ? y : x;
}

// What has no polynomial here goes through the C library, lane by lane.
#define PELLUCID_BY_LANE(name, type, expression)        \
    inline Vec<type> name(Vec<type> v) {                \
        for (int i = 0; i < lanes<type>; ++i) {         \
            const type x = v[i];                        \
            v[i] = (expression);                        \
        }                                               \
        return v;                                       \
    }

PELLUCID_BY_LANE(exp, double, __builtin_exp(x))
PELLUCID_BY_LANE(sigmoid, double, 1.0 / (1.0 + __builtin_exp(-x)))
PELLUCID_BY_LANE(tanh, double, __builtin_tanh(x))
PELLUCID_BY_LANE(log, float, __builtin_logf(x))
PELLUCID_BY_LANE(log, double, __builtin_log(x))
PELLUCID_BY_LANE(sqrt, float, __builtin_sqrtf(x))
PELLUCID_BY_LANE(sqrt, double, __builtin_sqrt(x))
PELLUCID_BY_LANE(erf, float, __builtin_erff(x))
PELLUCID_BY_LANE(erf, double, __builtin_erf(x))
PELLUCID_BY_LANE(sin, float, __builtin_sinf(x))
PELLUCID_BY_LANE(sin, double, __builtin_sin(x))
PELLUCID_BY_LANE(cos, float, __builtin_cosf(x))
PELLUCID_BY_LANE(cos, double, __builtin_cos(x))
// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which neither overflows nor loses small values.
PELLUCID_BY_LANE(softplus, float, (x > 0 ? x : 0) + __builtin_log1pf(__builtin_expf(x > 0 ? -x : x)))
PELLUCID_BY_LANE(softplus, double, (x > 0 ? x : 0) + __builtin_log1p(__builtin_exp(x > 0 ? -x : x)))

#undef PELLUCID_BY_LANE

}  // namespace PELLUCID_ISA
