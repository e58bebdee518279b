#include "blocks.h"

namespace pellucid {

namespace {

constexpr int accumulate_op = op_named("accumulate");

}  // namespace

template <class T>
Blocks<T>::Blocks(const ThreadShare<T>& share, Arena& arena)
    : s_(share), c_(share.common), w_(c_.sweep), k_(c_.kernels), index_(share.index), count_(share.count()) {
    if (!w_.weight_gradients.empty()) multiply_scratch_ = arena.take<T>(scratch_size(k_));
    if (k_.pair == 2) left_ = arena.take<T>(left_size(k_));
}

template <class T>
void Blocks<T>::pack() {
    for (size_t s = 0; s < w_.plan->stages.size(); ++s)
        for (size_t i = 0; i < w_.plan->stages[s].products.size(); ++i) {
            const Product& q = w_.plan->stages[s].products[i];
            if (!c_.packed[s][i].packed) pack_share(c_.packed[s][i], q, w_.matrices[q.matrix], k_, index_, count_);
        }
    const auto panels = [&](const Matrix<T>& m, bool transposed, const Panel<T>& to) {
        if (!to.packed) pack_panels(as_right(m, transposed), to.data, k_, index_, count_);
    };
    for (size_t i = 0; i < w_.projections.size(); ++i) panels(w_.projections[i].matrix, true, c_.projection_panels[i]);
    for (size_t i = 0; i < w_.input_gradients.size(); ++i) panels(w_.input_gradients[i].matrix, false, c_.input_gradient_panels[i]);
    c_.barrier.wait();
}

template <class T>
void Blocks<T>::project(long steps) {
    for (size_t i = 0; i < w_.projections.size(); ++i) {
        const Projection<T>& q = w_.projections[i];
        const long panels = Panels<T>(k_, q.matrix.rows).count;
        const auto multiply = [&](long time, long m, const Share& share) {
            Gemm<T> g;
            g.m = m, g.n = q.matrix.rows, g.k = q.matrix.columns;
            g.a = q.x.base + w_.first_row(time) * q.x.row, g.a_row = q.x.row, g.a_column = 1;
            g.c = s_.window_rows(q.window, time), g.c_row = c_.windows[q.window].row;
            g.bias = q.bias;
            multiply_share<T>(g, share, c_.projection_panels[i].data, nullptr, left_, k_);
        };
        if (!c_.by_rows() || count_ == 1) {
            const long m = w_.first_row(s_.first_time + steps) - w_.first_row(s_.first_time);
            if (m < 8 * count_) multiply(s_.first_time, m, {0, m, panels * index_ / count_, panels * (index_ + 1) / count_});
            else multiply(s_.first_time, m, {m * index_ / count_, m * (index_ + 1) / count_, 0, panels});
            continue;
        }
        for (long t = s_.first_time; t < s_.first_time + steps; ++t)
            if (const long here = s_.rows_of(t); here > 0) multiply(t, w_.rows_at(t), {s_.first_row, s_.first_row + here, 0, panels});
    }
    if (!c_.by_rows() && !w_.projections.empty()) c_.barrier.wait();
}

template <class T>
void Blocks<T>::gather(long steps) {
    const long first = w_.first_row(s_.first_time), rows = w_.first_row(s_.first_time + steps) - first;
    for (size_t i = 0; i < w_.input_gradients.size(); ++i) {
        const InputGradient<T>& q = w_.input_gradients[i];
        Gemm<T> g;
        g.m = rows, g.n = q.matrix.columns, g.k = q.matrix.rows;
        g.a = s_.window_rows(q.window, s_.first_time), g.a_row = c_.windows[q.window].row, g.a_column = 1;
        g.c = q.dx.base + first * q.dx.row, g.c_row = q.dx.row;
        multiply_share<T>(g, Panels<T>(k_, g.n).share(g, index_, count_), c_.input_gradient_panels[i].data, nullptr, left_, k_);
    }
    for (const WeightGradient<T>& q : w_.weight_gradients) {
        const T* adjoint = s_.window_rows(q.window, s_.first_time) + q.column;
        if (q.operand_window >= 0) {
            add_outer(q, adjoint, s_.window_rows(q.operand_window, s_.first_time) + q.operand_column, c_.windows[q.operand_window].row, rows);
        } else if (!q.initial) {
            add_outer(q, adjoint, q.operand.base + first * q.operand.row + q.operand_column, q.operand.row, rows);
        } else {
            add_before(q, adjoint, steps);
        }
    }
    for (const BiasGradient<T>& q : w_.bias_gradients) {
        const long from = q.count * index_ / count_, upto = q.count * (index_ + 1) / count_, row = c_.windows[q.window].row;
        const T* adjoint = s_.window_rows(q.window, s_.first_time) + q.column;
        const Call<T> call{q.sum + from, 0, {adjoint + from}, {row}, (int)rows, (int)(upto - from)};
        k_.pointwise[accumulate_op][0](call);
    }
    c_.barrier.wait();
}

// The operand is that of the time before: all rows at once while as many of them follow each other there as here.
template <class T>
void Blocks<T>::add_before(const WeightGradient<T>& q, const T* adjoint, long steps) {
    const long first = w_.first_row(s_.first_time), end = s_.first_time + steps;
    long t = s_.first_time;
    if (t == 0) add_outer(q, adjoint, q.initial + q.operand_column, q.initial_row, w_.rows_at(t)), ++t;
    while (t < end) {
        const long from = t;
        while (++t < end && w_.rows_at(t - 1) == w_.rows_at(from - 1)) {}
        add_outer(q, adjoint + (w_.first_row(from) - first) * c_.windows[q.window].row,
                  q.operand.base + w_.first_row(from - 1) * q.operand.row + q.operand_column, q.operand.row,
                  w_.first_row(t) - w_.first_row(from));
    }
}

template <class T>
void Blocks<T>::add_outer(const WeightGradient<T>& q, const T* adjoint, const T* operand, long operand_row, long rows) {
    Gemm<T> g;
    g.m = q.rows, g.n = q.columns, g.k = rows;
    g.a = adjoint, g.a_row = 1, g.a_column = c_.windows[q.window].row;
    g.b = operand, g.b_row = operand_row, g.b_column = 1;
    g.c = q.sum, g.c_row = q.row, g.add = true;
    multiply_share<T>(g, Panels<T>(k_, g.n).share(g, index_, count_), nullptr, multiply_scratch_, left_, k_);
}

template class Blocks<float>;
template class Blocks<double>;

}  // namespace pellucid
