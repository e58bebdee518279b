// How images are dealt out in the backward pass: in pieces that do not depend on the threads, with the sums over each piece's
// images of the gradients of weights and biases; and one image among threads.

#pragma once

#include <algorithm>

#include "convolution.h"

namespace pellucid {

template <class T>
class Pieces {
public:
    // `blank`: the weight's gradients begin as 0; otherwise whoever makes them writes all.
    Pieces(const ConvolutionBlock<T>& b, const ConvolutionGradients<T>& gradients, bool blank)
        : b_(b), g_(gradients), memory_(true), weights_(b.groups * b.filters * b.taps()), filters_(b.groups * b.filters) {
        count_ = count_of(b);
        weight_ = memory_.take<T>(g_.weight ? count_ * weights_ : 0);
        bias_ = memory_.take<T>(g_.bias ? count_ * filters_ : 0);
        if (g_.weight && blank) std::fill_n(weight_, count_ * weights_, T(0));
        if (g_.bias) std::fill_n(bias_, count_ * filters_, T(0));
    }

    static long count_of(const ConvolutionBlock<T>& b) {
        const long most = std::max<long>(1, (8l << 20) / (long)sizeof(T) / std::max<long>(b.groups * b.filters * b.taps(), 1));
        // What a piece costs for every weight, for so few results of each.
        const long numbers = b.batch * b.axis[0].out * b.axis[1].out * b.axis[2].out;
        return std::min({b.batch, most, std::max(numbers / 256, 1l), numbers < 32768 ? 8l : 16l});
    }
    long count() const { return count_; }
    Range images(long piece) const { return {b_.batch * piece / count_, b_.batch * (piece + 1) / count_}; }

    // A group's; null: not wanted.
    T* weight(long piece, long group) const { return g_.weight ? weight_ + piece * weights_ + group * b_.filters * b_.taps() : nullptr; }
    T* bias(long piece, long group) const { return g_.bias ? bias_ + piece * filters_ + group * b_.filters : nullptr; }

    void give() const {
        if (g_.weight) add_up(weight_, weights_, g_.weight);
        if (g_.bias) add_up(bias_, filters_, g_.bias);
    }

private:
    const ConvolutionBlock<T>& b_;
    const ConvolutionGradients<T>& g_;
    Arena memory_;      // not the memory that a thread keeps: its share of the work wants that
    long weights_, filters_, count_;
    T *weight_, *bias_;

    // Some numbers at a time, which stay in the nearest cache.
    void add_up(const T* pieces, long size, T* to) const {
        constexpr long some = 2048;
        for (long first = 0; first < size; first += some) {
            const long last = std::min(first + some, size);
            std::fill(to + first, to + last, T(0));
            for (long p = 0; p < count_; ++p)
                for (long i = first; i < last; ++i) to[i] += pieces[p * size + i];
        }
    }
};

// Where there are more threads than images or groups, several work on one: each has the map's gradient for itself, and its share
// of the numbers of the input's gradient and of the filters.
struct ImageShare {
    int index, of;

    Range part(Range whole) const {
        return {whole.begin + whole.count() * index / of, whole.begin + whole.count() * (index + 1) / of};
    }
};

}  // namespace pellucid
