// The large matrix product, and the right-hand matrix in the order in which the kernel reads it.

#pragma once

#include <algorithm>

#include "isa.h"
#include "memory.h"

namespace pellucid {

// c (+)= a b, where a is m x k, b is k x n.
template <class T>
struct Gemm {
    long m = 0, n = 0, k = 0;
    const T* a = nullptr;
    long a_row = 0, a_column = 0;       // one of them is 1
    const T* b = nullptr;
    long b_row = 0, b_column = 0;
    T* c = nullptr;
    long c_row = 0;
    bool add = false;
    const T* bias = nullptr;            // of n numbers, added to each row of c
};

// What part of the result one thread makes: rows and panels, never a part of a sum, whose order stays the same.
struct Share {
    long row0, row1, panel0, panel1;
};

// b is cut into panels of some vectors' width, and these into slices of k, so that a slice stays in the nearest cache.
template <class T>
struct Panels {
    static constexpr long slice_words = 256, row_block = 16;
    long slice, pair, vectors, wide, count;

    Panels(const Kernels<T>& kernels, long n)
        : slice(slice_words * kernels.pair), pair(kernels.pair), vectors(vectors_for(kernels, n)),
          wide(vectors * kernels.lanes), count((n + wide - 1) / wide) {}

    // As wide as the registers allow with eight or so rows, but not with lanes that compute nothing.
    static long vectors_for(const Kernels<T>& kernels, long n) {
        const long most = kernels.vectors == 4 ? 3 : 2, needed = (n + kernels.lanes - 1) / kernels.lanes;
        long best = most;
        for (long v = most - 1; v >= 1; --v)
            if ((needed + v - 1) / v * v * 16 < (needed + best - 1) / best * best * 15) best = v;
        return best;
    }

    // Words of one panel over the first k.
    long size(long k) const { return (k + pair - 1) / pair * wide; }

    // One panel's rows k0 ... k0 + depth - 1. Of pairs, one of b's axes has to be contiguous.
    void pack(const Gemm<T>& g, long panel, long k0, long depth, T* to, const Kernels<T>& kernels) const {
        const long width = std::min(wide, g.n - panel * wide);
        const T* from = g.b + k0 * g.b_row + panel * wide * g.b_column;
        if (g.b_row == 1 && g.b_column != 1) {
            for (long i = 0; i < wide; i += kernels.lanes) {
                const int rows = (int)std::clamp<long>(width - i, 0, kernels.lanes);
                kernels.turn({from + i * g.b_column, g.b_column, rows, depth, to + i, wide});
            }
            return;
        }
        for (long k = 0; k < depth; k += pair, to += wide, from += pair * g.b_row) {
            if (pair == 2) kernels.across(from, k + 1 < depth ? from + g.b_row : nullptr, width, to);
            else if (g.b_column == 1) std::copy_n(from, width, to);
            else for (long i = 0; i < width; ++i) to[i] = from[i * g.b_column];
            std::fill(to + width, to + wide, T(0));
        }
    }

    Share share(const Gemm<T>& g, int index, int threads) const {
        if (g.m >= g.n) return {g.m * index / threads, g.m * (index + 1) / threads, 0, count};
        return {0, g.m, count * index / threads, count * (index + 1) / threads};
    }
};

// Rows of a left operand as a kernel reads them: where they lie; or, for kernels of pairs, as words in memory that is given,
// with the same axis contiguous and some space between rows, which so lie in different sets of the cache.
template <class T>
struct Left {
    static constexpr long space = 16;
    const T* a;
    long row, step;

    Left(const T* a, long row, long step, long rows, long depth, T* words, const Kernels<T>& kernels) : a(a), row(row), step(step) {
        if (kernels.pair == 1) return;
        this->a = words;
        if (step == 1) {
            this->row = kernels.words(depth) + space;
            for (long r = 0; r < rows; ++r) kernels.along(a + r * row, depth, words + r * this->row);
        } else {
            this->row = 1, this->step = rows;
            for (long k = 0; k < depth; k += 2, words += rows)
                kernels.across(a + k * step, k + 1 < depth ? a + (k + 1) * step : nullptr, rows, words);
        }
    }

    // Words that they take.
    static long size(long rows, long depth, const Kernels<T>& kernels) {
        return kernels.pair == 1 ? 0 : rows * (kernels.words(depth) + space);
    }
};

// One thread's share. `packed` holds all panels of b, one after the other; where it is null, b is packed into `scratch`
// (numbers: scratch_size) piece by piece. `left` is for the left operand's words (left_size).
template <class T>
void multiply_share(const Gemm<T>& g, const Share& share, const T* packed, T* scratch, T* left, const Kernels<T>& kernels) {
    const Panels<T> panels(kernels, g.n);
    const long slice = panels.slice, wide = panels.wide, best = kernels.rows[panels.vectors - 1], row_block = panels.row_block;
    const long piece = panels.size(slice), together = packed ? panels.count : std::max<long>(1, (256 * 1024 / (long)sizeof(T)) / piece);
    for (long first = share.panel0; first < share.panel1; first += together) {
        const long last = std::min(first + together, share.panel1);
        for (long k0 = 0; k0 < std::max<long>(g.k, 1); k0 += slice) {
            const long depth = std::min(slice, g.k - k0);
            if (!packed)
                for (long p = first; p < last; ++p) panels.pack(g, p, k0, depth, scratch + (p - first) * piece, kernels);
            // A panel's slice is read by all rows of a block while it is in the nearest cache, and the block by all panels.
            for (long block = share.row0; block < share.row1; block += best * row_block) {
                const long upto = std::min(block + best * row_block, share.row1);
                const Left<T> a(g.a + block * g.a_row + k0 * g.a_column, g.a_row, g.a_column, upto - block, depth, left, kernels);
                const auto call_of = [&](long p) {
                    ProductCall<T> call{};
                    call.a = a.a;
                    call.a_row = a.row;
                    call.a_step = a.step;
                    call.w = packed ? packed + p * panels.size(g.k) + panels.size(k0) : scratch + (p - first) * piece;
                    call.depth = kernels.words(depth);
                    const bool add = k0 > 0 || g.add;
                    for (long j = 0; j < panels.vectors; ++j) {
                        const long column = p * wide + j * kernels.lanes;
                        call.out[j] = g.c + block * g.c_row + column;
                        call.out_row[j] = g.c_row;
                        call.valid[j] = (int)std::max<long>(0, std::min<long>(kernels.lanes, g.n - column));
                        if (add) call.start[0][j] = call.out[j], call.start_row[0][j] = g.c_row;
                        if (g.bias && k0 == 0) call.start[1][j] = g.bias + column;
                    }
                    return call;
                };
                long p = first;
                if (upto - block == 1)
                    for (const int count = beside(panels.vectors); p + count <= last; p += count) {
                        ProductCall<T> calls[most_beside];
                        for (int i = 0; i < count; ++i) calls[i] = call_of(p + i);
                        kernels.row_products[panels.vectors - 1](calls);
                    }
                for (; p < last; ++p) {
                    ProductCall<T> call = call_of(p);
                    for (long m = block; m < upto; m += best) {
                        kernels.product[std::min(best, upto - m) - 1][panels.vectors - 1](call);
                        call.forward(best, (int)panels.vectors);
                    }
                }
            }
        }
    }
}

// All panels of a product's right-hand side, for many products with it: the numbers they take, and one thread's share of
// bringing them there.
template <class T>
size_t panels_size(const Kernels<T>& kernels, const Gemm<T>& g) {
    const Panels<T> panels(kernels, g.n);
    return (size_t)panels.count * panels.size(g.k);
}

template <class T>
void pack_panels(const Gemm<T>& g, T* to, const Kernels<T>& kernels, int index, int count) {
    const Panels<T> panels(kernels, g.n);
    for (long p = panels.count * index / count; p < panels.count * (index + 1) / count; ++p)
        panels.pack(g, p, 0, g.k, to + p * panels.size(g.k), kernels);
}

// Numbers of scratch that a thread needs where b is not packed beforehand.
template <class T>
long scratch_size(const Kernels<T>& kernels) {
    return std::max<long>(Panels<T>::slice_words * most_vectors * kernels.lanes, 256 * 1024 / (long)sizeof(T));
}

// And for the left operand's words.
template <class T>
long left_size(const Kernels<T>& kernels) {
    return Left<T>::size(most_rows * Panels<T>::row_block, Panels<T>::slice_words * kernels.pair, kernels);
}

template <class T>
void multiply(const Gemm<T>& gemm, const Isa& isa, int threads);

}  // namespace pellucid
