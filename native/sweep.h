// The sweep: a plan executed for every time step, on tiles of rows (sequences) and units; and, a block of steps at a
// time, the large products before and after the steps, whose other side is the window.

#pragma once

#include <memory>
#include <vector>

#include "isa.h"
#include "program.h"

namespace pellucid {

// Where a port's numbers lie. At the s-th step that is computed, at time t, row r of the register is at
//   step, total, held:  base + t * time + r * row     (time is 0 for what does not change with it)
//   shifted:            the same at t - 1, or initial + r * initial_row at time 0
//   swing:              base + plane * (s mod 2) for reading, the other plane for writing
// A place in a window has no base of its own: it is `column` of the window on. In a ragged sweep starts[t] stands for t.
template <class T>
struct Place {
    T* base = nullptr;
    long time = 0, row = 0, plane = 0;
    const T* initial = nullptr;
    long initial_row = 0;
    int window = -1;
    long column = 0;
};

template <class T>
struct Matrix {
    const T* data = nullptr;
    long rows = 0, columns = 0, row = 0;
};

// What lies between the steps and the large products, (steps, batch, width): a tensor, all of whose rows are `row` apart;
// or, without a base, the engine's own, which holds one block of steps at a time.
template <class T>
struct Window {
    T* base = nullptr;
    long width = 0, row = 0;
};

// All rows of a tensor (steps, batch, ...), `row` apart.
template <class T>
struct Rows {
    T* base = nullptr;
    long row = 0;
};

// Before a block: window = x matrix^T + bias.
template <class T>
struct Projection {
    int window;
    Rows<const T> x;
    Matrix<T> matrix;
    const T* bias;
};

// After a block: dx = window matrix.
template <class T>
struct InputGradient {
    int window;
    Rows<T> dx;
    Matrix<T> matrix;
};

// After a block: sum += columns of the window, transposed, times the operand, of which it is `operand_column` on: a tensor's
// rows, those of the time before (and `initial` before the first), or a window's.
template <class T>
struct WeightGradient {
    int window;
    long column;
    T* sum;
    long rows, columns, row;
    Rows<const T> operand;
    const T* initial;
    long initial_row;
    int operand_window;
    long operand_column;
};

// After a block: sum += columns of the window, added up.
template <class T>
struct BiasGradient {
    int window;
    long column;
    T* sum;
    long count;
};

template <class T>
struct Sweep {
    const Plan* plan = nullptr;
    long steps = 0, batch = 0;
    std::vector<long> starts;           // (steps + 1) of a ragged sweep: the rows of time t are starts[t] to starts[t + 1] of a tensor
                                        // of all rows, the first sequences' of the batch, and never more than at the time before
    std::vector<long> sizes;            // by size index; sizes[one] is 1
    bool reverse = false;               // from the last time to the first
    std::vector<Place<T>> buffers;
    std::vector<Matrix<T>> matrices;
    std::vector<Window<T>> windows;
    std::vector<Projection<T>> projections;
    std::vector<InputGradient<T>> input_gradients;
    std::vector<WeightGradient<T>> weight_gradients;
    std::vector<BiasGradient<T>> bias_gradients;
    bool half = false;                  // of float: products multiply bfloat16, to which both their operands are rounded; sums
                                        // and all else stay float
    int threads = 1;
    bool (*interrupted)() = nullptr;    // asked now and then; true ends the sweep early

    long first_row(long time) const { return starts.empty() ? time * batch : starts[time]; }
    long rows_at(long time) const { return starts.empty() ? batch : starts[time + 1] - starts[time]; }
    long offset(const Place<T>& place, long time) const { return (starts.empty() ? time : starts[time]) * place.time; }
};

// The same, one step at a time: matrices stay packed from step to step. What it reads and writes must outlive it. The sweep
// is of one step, with one projection and without gradients; its states swing.
template <class T>
class Stepper {
public:
    Stepper(const Sweep<T>& sweep, const Isa& isa);
    ~Stepper();
    void step(Rows<const T> x);     // the projection's input, (batch, columns)
    long done() const;

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

// Returns false where it was interrupted.
template <class T>
bool run(const Sweep<T>& sweep, const Isa& isa);

}  // namespace pellucid
