// One vector of the instruction set that this file is compiled for, through the compiler's vector extensions.
//
// Everything that depends on the instruction set lies in a namespace of its own, PELLUCID_ISA, and uses nothing of the
// standard library: an inline function of std compiled here for AVX-512 could be linked in for a lesser processor.

#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#define PELLUCID_UNROLL _Pragma("unroll")
#else
#define PELLUCID_UNROLL _Pragma("GCC unroll 16")
#endif

namespace PELLUCID_ISA {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

template <class T>
struct Types;

template <>
struct Types<float> {
    using Integer = std::int32_t;
    typedef float Vector __attribute__((vector_size(vector_bytes)));
    typedef std::int32_t Mask __attribute__((vector_size(vector_bytes)));
    static constexpr int lanes = vector_bytes / 4;
};

template <>
struct Types<double> {
    using Integer = std::int64_t;
    typedef double Vector __attribute__((vector_size(vector_bytes)));
    typedef std::int64_t Mask __attribute__((vector_size(vector_bytes)));
    static constexpr int lanes = vector_bytes / 8;
};

template <class T>
using Vec = typename Types<T>::Vector;
template <class T>
using Mask = typename Types<T>::Mask;
template <class T>
inline constexpr int lanes = Types<T>::lanes;

template <int... I>
struct Indices {};
template <int Count, int... I>
struct IndicesUpTo : IndicesUpTo<Count - 1, Count - 1, I...> {};
template <int... I>
struct IndicesUpTo<0, I...> {
    using All = Indices<I...>;
};
template <int Count>
using FirstIndices = typename IndicesUpTo<Count>::All;      // 0 ... Count - 1

template <class T>
inline Vec<T> broadcast(T value) {
    return value - Vec<T>{};
}

template <class T>
inline Vec<T> load(const T* from) {
    Vec<T> v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <class T>
inline void store(T* to, Vec<T> v) {
    __builtin_memcpy(to, &v, sizeof v);
}

// The same place, of which the compiler knows nothing. Places that follow from each other in a loop that is written out it would find
// all beforehand, and keep those that it has no register for in memory.
template <class T>
inline const T* found_anew(const T* place) {
    asm("" : "+r"(place));
    return place;
}

// The first `count` lanes, 0 < count < lanes; the others are 0, and nothing past them is read or written.
template <class T>
inline Vec<T> load(const T* from, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
    else return (Vec<T>)_mm512_maskz_loadu_pd((__mmask8)((1u << count) - 1), from);
#else
    Vec<T> v{};
    for (int i = 0; i < count; ++i) v[i] = from[i];
    return v;
#endif
}

template <class T>
inline void store(T* to, Vec<T> v, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)v);
    else _mm512_mask_storeu_pd(to, (__mmask8)((1u << count) - 1), (__m512d)v);
#else
    for (int i = 0; i < count; ++i) to[i] = v[i];
#endif
}

// A number's line of memory, into the second cache. Some twenty lines may be under way at a time, and what is asked for beyond them is
// forgotten: between some work.
template <class T>
inline void ask(const T* at) { __builtin_prefetch(at, 0, 2); }
template <class T>
inline void ask_to_write(T* at) { __builtin_prefetch(at, 1, 2); }

// The first `count` numbers, of which there may be none or more than a vector has.
template <class T>
inline Vec<T> some(const T* from, long count) {
    return count >= lanes<T> ? load(from) : count > 0 ? load(from, (int)count) : Vec<T>{};
}

template <class T>
inline void store_some(T* to, Vec<T> v, long count) {
    if (count >= lanes<T>) store(to, v);
    else if (count > 0) store(to, v, (int)count);
}

// Integers in vectors as wide as the numbers': the same of these.
inline void store(std::int32_t* to, Mask<float> v) { __builtin_memcpy(to, &v, sizeof v); }
inline void store(std::int64_t* to, Mask<double> v) { __builtin_memcpy(to, &v, sizeof v); }

inline void store(std::int32_t* to, Mask<float> v, int count) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_epi32(to, (__mmask16)((1u << count) - 1), (__m512i)v);
#else
    for (int i = 0; i < count; ++i) to[i] = v[i];
#endif
}

inline void store(std::int64_t* to, Mask<double> v, int count) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_epi64(to, (__mmask8)((1u << count) - 1), (__m512i)v);
#else
    for (int i = 0; i < count; ++i) to[i] = v[i];
#endif
}

// The larger, or the smaller, of each number and a bound; NaN stays NaN, which these instructions give for NaN second.
inline Vec<float> at_least(Vec<float> v, float bound) {
#if defined(__AVX512F__)
    return (Vec<float>)_mm512_maskz_max_ps((__mmask16)-1, _mm512_set1_ps(bound), (__m512)v);
#elif defined(__AVX2__)
    return (Vec<float>)_mm256_max_ps(_mm256_set1_ps(bound), (__m256)v);
#else
    return v < bound ? broadcast(bound) : v;
#endif
}

inline Vec<float> at_most(Vec<float> v, float bound) {
#if defined(__AVX512F__)
    return (Vec<float>)_mm512_maskz_min_ps((__mmask16)-1, _mm512_set1_ps(bound), (__m512)v);
#elif defined(__AVX2__)
    return (Vec<float>)_mm256_min_ps(_mm256_set1_ps(bound), (__m256)v);
#else
    return v > bound ? broadcast(bound) : v;
#endif
}

}  // namespace PELLUCID_ISA
