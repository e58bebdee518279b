// The sums that a convolution is made of, in registers, and what becomes of two neighbouring columns; see simd.h.

#pragma once

#include "simd.h"
#include "spatial.h"

namespace PELLUCID_ISA {

template <class T>
using Spots = Mask<T>;      // a vector of places

// Every output has one accumulator, which adds its terms in the order of the taps: its bits do not depend on how the map is cut.
template <class T, int Count, int Vectors>
inline void add_taps(const pellucid::FilterSums<T>& c, const T* const* from, Vec<T> (&sums)[Count][Vectors]) {
    PELLUCID_UNROLL
    for (int r = 0; r < Count; ++r) {
        const Vec<T> first = c.bias ? broadcast(c.bias[r]) : Vec<T>{};
        PELLUCID_UNROLL
        for (int j = 0; j < Vectors; ++j) sums[r][j] = first;
    }
    // A pointer for every fourth filter and multiples of the distance between them: a dozen pointers are more than there are.
    constexpr int apart = 4;
    const T* filters[(Count + apart - 1) / apart];
    const long once = c.weight_row, twice = 2 * once, thrice = 3 * once;
    PELLUCID_UNROLL
    for (int r = 0; r < Count; r += apart) filters[r / apart] = c.weights + r * once;
    const T* pixels[Vectors];
    PELLUCID_UNROLL
    for (int j = 0; j < Vectors; ++j) pixels[j] = from[j];
    for (long k = 0; k < c.depth; ++k) {
        const long tap = c.taps[k];
        Vec<T> x[Vectors];
        PELLUCID_UNROLL
        for (int j = 0; j < Vectors; ++j) x[j] = load(pixels[j] + tap);
        PELLUCID_UNROLL
        for (int r = 0; r < Count; ++r) {
            const T* first = filters[r / apart];
            const Vec<T> w = broadcast(r % apart == 0 ? first[0] : r % apart == 1 ? first[once] : r % apart == 2 ? first[twice] : first[thrice]);
            PELLUCID_UNROLL
            for (int j = 0; j < Vectors; ++j) sums[r][j] += w * x[j];
        }
        PELLUCID_UNROLL
        for (int r = 0; r < Count; r += apart) ++filters[r / apart];
    }
}

// Two vectors become one: pairs of numbers that lie `Apart` from each other are added up, the first vector's in the lanes
// without that bit, the second's in those with it.
template <class T, int Apart, int... I>
inline Vec<T> add_pairs_of(Vec<T> a, Vec<T> b, Indices<I...>) {
    return __builtin_shufflevector(a, b, ((I & Apart) ? lanes<T> + I - Apart : I)...) +
           __builtin_shufflevector(a, b, ((I & Apart) ? lanes<T> + I : I + Apart)...);
}

// The sums over the lanes of as many vectors as there are lanes, each in its lane; a fixed order.
template <class T, int Apart = 1>
inline Vec<T> sums_of(Vec<T>* v) {
    if constexpr (Apart == lanes<T>) return v[0];
    else {
        PELLUCID_UNROLL
        for (int i = 0; i < lanes<T> / Apart; i += 2) v[i / 2] = add_pairs_of<T, Apart>(v[i], v[i + 1], FirstIndices<lanes<T>>{});
        return sums_of<T, 2 * Apart>(v);
    }
}

// The larger of two: of equal numbers the first one, and NaN, the last of several, is larger than all numbers.
template <class T>
inline Mask<T> is_larger(Vec<T> v, Vec<T> best) { return (v > best) | (v != v); }

// The largest of neighbouring columns of two rows, and where it is.
template <class T, bool Places>
struct LargestOfFour {
    Vec<T> best;
    Spots<T> place;

    // Columns that are even, and those beside them; `upper` and `lower`: the places of the even ones.
    LargestOfFour(Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> d, Spots<T> upper, Spots<T> lower) : best(a), place(upper) {
#if defined(__AVX512F__)
        if constexpr (!Places && sizeof(T) == 4) {
            // The processor's own maximum is the second of equal numbers, and forgets NaN.
            const __mmask16 all = -1, nan = _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_UNORD_Q) | _mm512_cmp_ps_mask((__m512)c, (__m512)d, _CMP_UNORD_Q);
            const __m512 first = _mm512_maskz_max_ps(all, (__m512)b, (__m512)a), second = _mm512_maskz_max_ps(all, (__m512)d, (__m512)c);
            best = (Vec<T>)_mm512_mask_mov_ps(_mm512_maskz_max_ps(all, second, first), nan, _mm512_set1_ps(__builtin_nanf("")));
            return;
        }
#endif
        add(b, upper + 1);
        add(c, lower);
        add(d, lower + 1);
    }

private:
    void add(Vec<T> v, Spots<T> at) {
        const Mask<T> larger = is_larger<T>(v, best);
        best = larger ? v : best;
        if constexpr (Places) place = larger ? at : place;
    }
};

// Every second number of two vectors.
template <class V, int... I>
inline V evens(V a, V b, Indices<I...>) { return __builtin_shufflevector(a, b, (2 * I)...); }

template <class V, int... I>
inline V odds(V a, V b, Indices<I...>) { return __builtin_shufflevector(a, b, (2 * I + 1)...); }

// Two vectors woven into one twice as long, number by number: its first half, and its second.
template <class V, int... I>
inline V woven_first(V a, V b, Indices<I...>) { return __builtin_shufflevector(a, b, (I / 2 + I % 2 * (int)sizeof...(I))...); }
template <class V, int... I>
inline V woven_second(V a, V b, Indices<I...>) {
    return __builtin_shufflevector(a, b, ((int)sizeof...(I) / 2 + I / 2 + I % 2 * (int)sizeof...(I))...);
}

// The second half first.
template <class V, int... I>
inline V upper(V a, Indices<I...>) { return __builtin_shufflevector(a, a, ((I + (int)sizeof...(I) / 2) % (int)sizeof...(I))...); }

}  // namespace PELLUCID_ISA
