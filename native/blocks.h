// The large products of a sweep: packing, projections before a block of steps, and gradients gathered after it.

#pragma once

#include "memory.h"
#include "multiply.h"
#include "share.h"

namespace pellucid {

// A matrix, or its transpose, as the right-hand side of a large product.
template <class T>
Gemm<T> as_right(const Matrix<T>& m, bool transposed) {
    Gemm<T> g;
    g.b = m.data;
    if (transposed) g.k = m.columns, g.n = m.rows, g.b_row = 1, g.b_column = m.row;
    else g.k = m.rows, g.n = m.columns, g.b_row = m.row, g.b_column = 1;
    return g;
}

// One thread's part of them. After each call that the others' steps depend on, all threads meet.
template <class T>
class Blocks {
public:
    Blocks(const ThreadShare<T>& share, Arena& arena);
    void pack();
    void project(long steps);   // before the block
    void gather(long steps);    // after it

private:
    const ThreadShare<T>& s_;
    Common<T>& c_;
    const Sweep<T>& w_;
    const Kernels<T>& k_;
    const int index_, count_;
    T *multiply_scratch_ = nullptr, *left_ = nullptr;   // left_: words of left operands

    void add_before(const WeightGradient<T>& q, const T* adjoint, long steps);
    void add_outer(const WeightGradient<T>& q, const T* adjoint, const T* operand, long operand_row, long rows);
};

}  // namespace pellucid
