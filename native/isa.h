// What a build for one instruction set offers to the rest: plain functions on plain pointers.

#pragma once

#include <cstdint>

#include "spatial.h"

namespace pellucid {

// The pointwise operations, in the order of every table of them.
inline constexpr const char* op_names[] = {
    "add", "sub", "mul", "div",  "neg",  "abs",     "sign",     "maximum", "minimum", "exp",     "log",           "sqrt",
    "tanh", "sigmoid", "relu", "softplus", "erf", "sin", "cos", "select", "greater", "greater_equal",
    "muladd", "submul", "difmul", "mulmul", "positive", "copy", "accumulate",
};
inline constexpr int op_arity[] = {2, 2, 2, 2, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 2, 2, 3, 3, 3, 3, 3, 1, 1};
inline constexpr int op_count = sizeof op_arity / sizeof *op_arity;

constexpr int op_named(const char* name) {
    for (int op = 0; op < op_count; ++op) {
        const char *a = op_names[op], *b = name;
        while (*a && *a == *b) ++a, ++b;
        if (*a == *b) return op;
    }
    return -1;
}

// One operation on a tile of rows x width. An operand is a row of `width` numbers for each row, or one number for it.
template <class T>
struct Call {
    T* out;
    long out_row;       // distance between rows
    const T* in[3];
    long in_row[3];     // 0: the same for all rows
    int rows;
    int width;
};

// `groups` vectors of outputs, for `rows` rows: out[j][r] = start[0][j][r] + start[1][j][r] + sum over k of a[r][k] * w[k][j].
template <class T>
struct ProductCall {
    const T* a;
    long a_row, a_step;     // distance between rows, and between steps of k; one of them is 1
    const T* w;             // [k][vector][lane]
    long depth;             // how many k
    T* out[4];              // for each vector
    long out_row[4];
    int valid[4];           // lanes that are written
    const T* start[2][4];   // what sums begin with; null: 0
    long start_row[2][4];

    // The same for the rows that come `rows` later.
    void forward(long rows, int vectors) {
        a += rows * a_row;
        for (int j = 0; j < vectors; ++j) {
            out[j] += rows * out_row[j];
            for (int i = 0; i < 2; ++i)
                if (start[i][j]) start[i][j] += rows * start_row[i][j];
        }
    }
};

// A square of a matrix turned: to[k][i] = from[i][k] for k < depth and i < rows, and 0 for the other lanes of to[k]. In
// kernels of pairs to[k][i] is the word of from[i][2k] and from[i][2k + 1].
template <class T>
struct TurnCall {
    const T* from;
    long from_row;
    int rows;               // at most the lanes
    long depth;
    T* to;
    long to_row;
};

inline constexpr int most_rows = 12;
inline constexpr int most_vectors = 4;

// How many groups of so many vectors one row goes through side by side: the sums of one alone would wait for each other.
inline constexpr int most_beside = 4;
constexpr int beside(long vectors) { return vectors <= 2 ? most_beside : 2; }

// Kernels of pairs multiply bfloat16: in both operands of a product, two numbers that follow each other in k, rounded to
// the nearest (even) one, lie in one word of the size of a float, and `depth` counts words; an odd last number goes with 0.
// Sums, and all that is not an operand, stay float.
template <class T>
struct Kernels {
    int pair;                                           // numbers of k in one word of an operand: 1, or 2 in kernels of pairs
    int lanes;
    int vectors;                                        // of a group, at most; few rows have most_vectors, see packing.h
    int rows[most_vectors];                             // of one kernel call, at most, for 1, 2, ... vectors
    void (*pointwise[op_count][8])(const Call<T>&);     // bit i: operand i is one number a row
    void (*product[most_rows][most_vectors])(const ProductCall<T>&);
    void (*row_products[most_vectors])(const ProductCall<T>*);      // of one row, beside() of them
    void (*turn)(const TurnCall<T>&);
    Spatial<T> spatial;
    T (*sum)(const T*, long);
    std::uint64_t (*fingerprint)(const T*, long);       // of so many numbers' bits
    // Of pairs only: words of `count` numbers of a row; of two rows, the second of which may be null, number by number.
    void (*along)(const T* row, long count, T* to);
    void (*across)(const T* row, const T* next, long count, T* to);

    long words(long depth) const { return (depth + pair - 1) / pair; }
};

struct Isa {
    const char* name;
    Kernels<float> single;
    Kernels<double> twice;
    Kernels<float> pairs;       // where the processor multiplies bfloat16; otherwise its `pair` is 0

    // `half`: with products of bfloat16.
    template <class T>
    const Kernels<T>& kernels(bool half = false) const;
};

template <>
inline const Kernels<float>& Isa::kernels<float>(bool half) const { return half ? pairs : single; }
template <>
inline const Kernels<double>& Isa::kernels<double>(bool) const { return twice; }

}  // namespace pellucid
