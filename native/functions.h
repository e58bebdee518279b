// Elementary functions on vectors. In float32 they are polynomials, within 2 units in the last place over all numbers
// (docs/log.md); in float64 each lane goes through the C library, since float64 is for checking, not for speed.

#pragma once

#include "simd.h"

namespace PELLUCID_ISA {

inline Vec<float> from_bits(Mask<float> bits) { return (Vec<float>)bits; }
inline Mask<float> to_bits(Vec<float> v) { return (Mask<float>)v; }

// 2^n for whole n in [-126, 127].
inline Vec<float> power_of_two(Mask<float> n) { return from_bits((n + 127) << 23); }

// exp(x) = 2^n (1 + p), where p = exp(r) - 1 and |r| <= ln(2)/2.
struct ExpParts {
    Mask<float> n;
    Vec<float> p;
};

// ln 2 is subtracted in two parts, and what rounding r took away is added to p, if it is to be exact. exp(r) = 1 + r + r^2 q(r), where q is
// the polynomial of degree 4 whose largest relative error is least (3e-9, found by linear programming).
template <bool Exact = true>
inline ExpParts exp_parts(Vec<float> x) {
    const Vec<float> rounder = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
    const Vec<float> shifted = x * 1.44269504f + rounder;
    const Vec<float> n = shifted - rounder;
    const Vec<float> rough = x - n * 0.693359375f;      // exact
    const Vec<float> r = rough - n * -2.12194440e-4f;
    Vec<float> q = r * 1.3814540580e-3f + 8.3687454462e-3f;
    q = q * r + 4.1668388993e-2f;
    q = q * r + 1.6666521132e-1f;
    q = q * r + 4.9999994040e-1f;
    Vec<float> p = q * (r * r);
    if constexpr (Exact) p += (rough - r) - n * -2.12194440e-4f;
    return {to_bits(shifted) - to_bits(rounder), p + r};
}

inline Vec<float> exp(Vec<float> x) {
    const Vec<float> top = broadcast(88.72284f), bottom = broadcast(-104.0f);
    Vec<float> inside = x < bottom ? bottom : x;
    inside = inside > broadcast(89.0f) ? broadcast(89.0f) : inside;
    const ExpParts e = exp_parts(inside);
    // Two factors, since 2^n alone leaves the range of float32 where exp(x) does not.
    const Mask<float> half = e.n >> 1;
    Vec<float> y = (e.p + 1.0f) * power_of_two(half) * power_of_two(e.n - half);
    y = x > top ? broadcast(__builtin_inff()) : y;
    y = x < bottom ? Vec<float>{} : y;
    return x == x ? y : x;
}

// 1 / (1 + exp(-x)); subnormal results are 0.
inline Vec<float> sigmoid(Vec<float> x) {
    const Vec<float> bottom = broadcast(-87.33654f);
    const ExpParts e = exp_parts(-at_most(at_least(x, -87.33654f), 87.33654f));     // where 2^n is a float
    const Vec<float> power = power_of_two(e.n);
    const Vec<float> y = 1.0f / ((e.p * power + 1.0f) + power);
    return x < bottom ? Vec<float>{} : y;
}

// An odd polynomial near 0 (Cephes, S. Moshier); elsewhere 1 - 2 / (exp(2|x|) + 1), where what exp's error does is small.
inline Vec<float> tanh(Vec<float> x) {
    const Vec<float> size = from_bits(to_bits(x) & 0x7fffffff);
    const Mask<float> sign = to_bits(x) & (Mask<float>{} + (std::int32_t)0x80000000);
    const ExpParts e = exp_parts<false>(at_most(size + size, 20.0f));       // tanh(10) rounds to 1
    const Vec<float> power = power_of_two(e.n);
    const Vec<float> far = 1.0f - 2.0f / (e.p * power + (power + 1.0f)), s = x * x;
    Vec<float> p = s * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * s + -5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s + -3.33332819422e-1f;
    const Vec<float> near = p * s * size + size;
    return from_bits(to_bits(size < 0.625f ? near : far) | sign);
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
