#include "sweep.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <optional>

#include "kept.h"
#include "memory.h"
#include "multiply.h"
#include "packing.h"
#include "threads.h"

namespace pellucid {

namespace {

constexpr int accumulate_op = op_named("accumulate"), copy_op = op_named("copy");

// Where a register's numbers are: `row` is the distance between rows, and 0 where all rows share them.
template <class T>
struct Spot {
    T* at = nullptr;
    long row = 0;
    bool in_tile = false;   // it holds a tile, whichever that is
};

// Blocks of steps: long enough for the large products, short enough that windows stay in the cache and Ctrl-C is heard.
template <class T>
long block_steps(const Sweep<T>& w) {
    long width = 0;
    for (const Window<T>& window : w.windows)
        if (!window.base) width += window.width;
    const long rows = w.weight_gradients.empty() ? 96 : 384;     // the sums of a gradient are read and written for every block
    const long cached = width ? (1 << 18) / (width * w.batch * (long)sizeof(T)) : 128;
    return std::clamp<long>(std::max(cached, rows / w.batch), 1, std::min<long>(128, w.steps));
}

// A matrix, or its transpose, as the right-hand side of a large product.
template <class T>
Gemm<T> as_right(const Matrix<T>& m, bool transposed) {
    Gemm<T> g;
    g.b = m.data;
    if (transposed) g.k = m.columns, g.n = m.rows, g.b_row = 1, g.b_column = m.row;
    else g.k = m.rows, g.n = m.columns, g.b_row = m.row, g.b_column = 1;
    return g;
}

// A distance between rows of so many numbers at which a dozen of them do not compete for the same few lines of the cache, as
// they do where it is a multiple of a large power of two.
template <class T>
long apart(long numbers) {
    const long line = 64 / (long)sizeof(T), page = 1024 / (long)sizeof(T);
    return numbers >= page && numbers % page == 0 ? numbers + line : numbers;
}

// Rows for each thread so that all have as many steps to do.
template <class T>
std::vector<long> even_shares(const Sweep<T>& w, int threads) {
    std::vector<long> shares{0};
    if (w.starts.empty()) {
        const long share = (w.batch + threads - 1) / threads;
        while ((int)shares.size() <= threads) shares.push_back(std::min(w.batch, shares.back() + share));
        return shares;
    }
    std::vector<long> ends(w.batch + 1, 0);     // steps of the sequences up to each
    for (long t = 0; t < w.steps; ++t) ++ends[w.rows_at(t)];
    for (long r = w.batch; r > 0; --r) ends[r - 1] += ends[r];      // ends[r]: times with at least r rows, the length of the r-th
    ends[0] = 0;
    for (long r = 1; r <= w.batch; ++r) ends[r] += ends[r - 1];
    for (int i = 1; i < threads; ++i)
        shares.push_back(std::lower_bound(ends.begin(), ends.end(), ends.back() * i / threads) - ends.begin());
    shares.push_back(w.batch);
    return shares;
}

// All panels of a large product's right-hand side.
template <class T>
struct Panel {
    T* data;
    bool packed;    // by an earlier call
};

// What all threads of a sweep work on.
template <class T>
struct Common {
    const Sweep<T>& sweep;
    const Kernels<T>& kernels;
    std::vector<std::vector<Packed<T>>> packed;     // of each stage's products
    std::vector<Panel<T>> projection_panels, input_gradient_panels;
    std::vector<Window<T>> windows;                 // all with a base
    std::vector<size_t> full_offset;                // of registers that live outside of tiles
    long block;                                     // steps
    int threads;
    std::vector<long> shares;                       // the rows of thread i begin at shares[i], where threads share rows; or
                                                    // nothing, where they share units
    Barrier barrier;
    std::atomic<long> last_block{LONG_MAX};         // the sweep ends after it
    bool by_rows() const { return !shares.empty(); }
};

// A sweep on one thread's share: some rows for all units, without a word to the others until a block ends; or, where there
// are too few rows to share, some units for all rows, with a barrier after every stage.
template <class T>
class Worker {
public:
    Worker(Common<T>& common, Arena& arena, T* full, int index)
        : c_(common), w_(common.sweep), k_(common.kernels), p_(*w_.plan), index_(index), count_(common.threads) {
        first_row_ = c_.by_rows() ? c_.shares[index] : 0;
        share_ = rows_ = c_.by_rows() ? c_.shares[index + 1] - first_row_ : w_.batch;
        choose_tile();
        const long slot_size = most_tile_rows_ * tile_width_;
        T* scratch = arena.take<T>((size_t)std::max(p_.slots, 1) * slot_size + 16);
        T* ones = arena.take<T>(p_.program.sizes.size() * (size_t)std::max<long>(rows_, 1));
        spots_.resize(p_.program.sizes.size());
        for (size_t reg = 0; reg < spots_.size(); ++reg) {
            if (p_.home[reg] == Home::scratch) spots_[reg] = {scratch + (size_t)p_.slot[reg] * slot_size, tile_width_, true};
            else if (p_.home[reg] == Home::given) continue;
            else if (p_.program.sizes[reg] <= one) spots_[reg] = {ones + reg * rows_ - first_row_, 1};
            else spots_[reg] = {full + c_.full_offset[reg] - (c_.by_rows() ? first_row_ * size_of((int)reg) : 0), size_of((int)reg)};
        }
        moving_ = moving();
        gathers_ = !w_.input_gradients.empty() || !w_.weight_gradients.empty() || !w_.bias_gradients.empty();
        if (!w_.weight_gradients.empty()) multiply_scratch_ = arena.take<T>(scratch_size(k_));
        if (k_.pair == 2) {
            long size = left_size(k_);
            for (const std::vector<Packed<T>>& stage : c_.packed)
                for (const Packed<T>& q : stage) size = std::max(size, q.segments * Left<T>::size(most_tile_rows_, q.depth, k_));
            left_ = arena.take<T>(size);
        }
    }

    void step(long done) {
        step_ = done;
        first_time_ = time_ = 0;
        project(1);
        run_step();
    }

    void run() {
        pack();
        auto checked = std::chrono::steady_clock::now();
        long number = 0;
        for (long done = 0; done < w_.steps; done += c_.block, ++number) {
            const long count = std::min(c_.block, w_.steps - done);
            first_time_ = w_.reverse ? w_.steps - done - count : done;
            project(count);
            for (step_ = done; step_ < done + count; ++step_) {
                time_ = w_.reverse ? w_.steps - 1 - step_ : step_;
                run_step();
            }
            if (w_.interrupted && index_ == 0) {
                const auto now = std::chrono::steady_clock::now();
                if (now - checked > std::chrono::milliseconds(50)) {
                    checked = now;
                    if (w_.interrupted()) c_.last_block.store(number);
                }
            }
            // Where threads ever wait for each other they all leave after the same block: the word is given before they meet
            // here, and one that lags may already see that a later block is to be the last.
            if (gathers_ || !c_.by_rows()) c_.barrier.wait();
            if (gathers_) gather(count);
            if (c_.last_block.load() <= number) return;
        }
    }

    void pack() {
        for (size_t s = 0; s < p_.stages.size(); ++s)
            for (size_t i = 0; i < p_.stages[s].products.size(); ++i) {
                const Product& q = p_.stages[s].products[i];
                if (!c_.packed[s][i].packed) pack_share(c_.packed[s][i], q, w_.matrices[q.matrix], k_, index_, count_);
            }
        const auto panels = [&](const Matrix<T>& m, bool transposed, const Panel<T>& to) {
            if (!to.packed) pack_panels(as_right(m, transposed), to.data, k_, index_, count_);
        };
        for (size_t i = 0; i < w_.projections.size(); ++i) panels(w_.projections[i].matrix, true, c_.projection_panels[i]);
        for (size_t i = 0; i < w_.input_gradients.size(); ++i) panels(w_.input_gradients[i].matrix, false, c_.input_gradient_panels[i]);
        c_.barrier.wait();
    }

private:
    // Registers that lie elsewhere in every step.
    struct Moving {
        int reg;
        const Port* port;
        bool written;
    };

    Common<T>& c_;
    const Sweep<T>& w_;
    const Kernels<T>& k_;
    const Plan& p_;
    const int index_, count_;
    long first_row_ = 0, share_ = 0, rows_ = 0;         // rows from the first on: this thread's, and those of them in this step
    long most_tile_rows_ = 0, tile_width_ = 0;
    long first_time_ = 0, step_ = 0, time_ = 0;
    std::vector<Spot<T>> spots_;    // of each register, in this step: from row 0 and unit 0 on, or from the tile's beginning
    std::vector<Moving> moving_;
    T *multiply_scratch_ = nullptr, *left_ = nullptr;   // left_: words of left operands
    std::vector<Left<T>> left_of_;      // of each segment, in this tile
    bool gathers_ = false;

    // A tile's registers stay in the nearest cache. Its weights are read again for every tile of rows: where they are many,
    // tiles are tall and narrow, so that those of a tile stay near, too.
    void choose_tile() {
        constexpr long numbers = 768, rows = 12, near_bytes = 384 * 1024;    // rows: of one kernel call
        const long word_bytes = sizeof(T) / k_.pair;
        long longest = 1, unit = k_.lanes, weights = 0;
        for (long size : w_.sizes) longest = std::max(longest, size);
        for (const std::vector<Packed<T>>& stage : c_.packed) {
            long of_unit = 0;
            for (const Packed<T>& q : stage) unit = std::max(unit, q.units_per_step), of_unit += q.depth * q.parts * q.segments;
            weights = std::max(weights, of_unit);
        }
        const auto whole_units = [&](long width) { return std::max(unit, width / unit * unit); };
        most_tile_rows_ = rows * std::max(1L, numbers / longest / rows);
        if (rows_ > 24 && whole_units(numbers / most_tile_rows_) * weights * word_bytes > near_bytes)
            most_tile_rows_ = numbers / whole_units(near_bytes / (weights * word_bytes));
        else if (rows_ <= 24) most_tile_rows_ = std::max(most_tile_rows_, rows_);
        most_tile_rows_ = std::clamp<long>(rows_, 1, most_tile_rows_);
        const long tiles = (rows_ + most_tile_rows_ - 1) / most_tile_rows_;
        if (tiles > 0) most_tile_rows_ = (rows_ + tiles - 1) / tiles;
        tile_width_ = std::min(whole_units(numbers / most_tile_rows_), longest);
    }

    // A block's rows follow each other where threads meet after it. Where they do not, one may be a block ahead, and every
    // time has as many rows, so that no two threads' rows ever share a place.
    bool meets() const { return gathers_ || !c_.by_rows() || count_ == 1; }
    T* window_rows(int window, long time) const {
        const Window<T>& v = c_.windows[window];
        long row = w_.first_row(time);
        if (!w_.windows[window].base) row = meets() ? row - w_.first_row(first_time_) : (time - first_time_) * w_.batch;
        return v.base + row * v.row;
    }

    void project(long count) {
        for (size_t i = 0; i < w_.projections.size(); ++i) {
            const Projection<T>& q = w_.projections[i];
            const long panels = Panels<T>(k_, q.matrix.rows).count;
            const auto multiply = [&](long time, long m, const Share& share) {
                Gemm<T> g;
                g.m = m, g.n = q.matrix.rows, g.k = q.matrix.columns;
                g.a = q.x.base + w_.first_row(time) * q.x.row, g.a_row = q.x.row, g.a_column = 1;
                g.c = window_rows(q.window, time), g.c_row = c_.windows[q.window].row;
                g.bias = q.bias;
                multiply_share<T>(g, share, c_.projection_panels[i].data, nullptr, left_, k_);
            };
            if (!c_.by_rows() || count_ == 1) {
                const long m = w_.first_row(first_time_ + count) - w_.first_row(first_time_);
                if (m < 8 * count_) multiply(first_time_, m, {0, m, panels * index_ / count_, panels * (index_ + 1) / count_});
                else multiply(first_time_, m, {m * index_ / count_, m * (index_ + 1) / count_, 0, panels});
                continue;
            }
            for (long t = first_time_; t < first_time_ + count; ++t)
                if (const long here = rows_of(t); here > 0) multiply(t, w_.rows_at(t), {first_row_, first_row_ + here, 0, panels});
        }
        if (!c_.by_rows() && !w_.projections.empty()) c_.barrier.wait();
    }

    // This thread's rows at a time.
    long rows_of(long time) const { return std::clamp<long>(w_.rows_at(time) - first_row_, 0, share_); }

    void gather(long count) {
        const long first = w_.first_row(first_time_), rows = w_.first_row(first_time_ + count) - first;
        for (size_t i = 0; i < w_.input_gradients.size(); ++i) {
            const InputGradient<T>& q = w_.input_gradients[i];
            Gemm<T> g;
            g.m = rows, g.n = q.matrix.columns, g.k = q.matrix.rows;
            g.a = window_rows(q.window, first_time_), g.a_row = c_.windows[q.window].row, g.a_column = 1;
            g.c = q.dx.base + first * q.dx.row, g.c_row = q.dx.row;
            multiply_share<T>(g, Panels<T>(k_, g.n).share(g, index_, count_), c_.input_gradient_panels[i].data, nullptr, left_, k_);
        }
        for (const WeightGradient<T>& q : w_.weight_gradients) {
            const T* adjoint = window_rows(q.window, first_time_) + q.column;
            if (q.operand_window >= 0) {
                add_outer(q, adjoint, window_rows(q.operand_window, first_time_) + q.operand_column, c_.windows[q.operand_window].row, rows);
            } else if (!q.initial) {
                add_outer(q, adjoint, q.operand.base + first * q.operand.row + q.operand_column, q.operand.row, rows);
            } else {
                add_before(q, adjoint, count);
            }
        }
        for (const BiasGradient<T>& q : w_.bias_gradients) {
            const long from = q.count * index_ / count_, upto = q.count * (index_ + 1) / count_, row = c_.windows[q.window].row;
            const T* adjoint = window_rows(q.window, first_time_) + q.column;
            const Call<T> call{q.sum + from, 0, {adjoint + from}, {row}, (int)rows, (int)(upto - from)};
            k_.pointwise[accumulate_op][0](call);
        }
        c_.barrier.wait();
    }

    // The operand is that of the time before: all rows at once while as many of them follow each other there as here.
    void add_before(const WeightGradient<T>& q, const T* adjoint, long count) {
        const long first = w_.first_row(first_time_), end = first_time_ + count;
        long t = first_time_;
        if (t == 0) add_outer(q, adjoint, q.initial + q.operand_column, q.initial_row, w_.rows_at(t)), ++t;
        while (t < end) {
            const long from = t;
            while (++t < end && w_.rows_at(t - 1) == w_.rows_at(from - 1)) {}
            add_outer(q, adjoint + (w_.first_row(from) - first) * c_.windows[q.window].row,
                      q.operand.base + w_.first_row(from - 1) * q.operand.row + q.operand_column, q.operand.row,
                      w_.first_row(t) - w_.first_row(from));
        }
    }

    void add_outer(const WeightGradient<T>& q, const T* adjoint, const T* operand, long operand_row, long rows) {
        Gemm<T> g;
        g.m = q.rows, g.n = q.columns, g.k = rows;
        g.a = adjoint, g.a_row = 1, g.a_column = c_.windows[q.window].row;
        g.b = operand, g.b_row = operand_row, g.b_column = 1;
        g.c = q.sum, g.c_row = q.row, g.add = true;
        multiply_share<T>(g, Panels<T>(k_, g.n).share(g, index_, count_), nullptr, multiply_scratch_, left_, k_);
    }

    long size_of(int reg) const { return w_.sizes[p_.program.sizes[reg]]; }

    Spot<T> at_port(const Port& port, bool writes, long row, long unit) const {
        const Place<T>& place = w_.buffers[port.buffer];
        switch (port.kind) {
            case Kind::shifted:
                if (time_ == 0) return {const_cast<T*>(place.initial) + row * place.initial_row + unit, place.initial_row};
                return {place.base + w_.offset(place, time_ - 1) + row * place.row + unit, place.row};
            case Kind::swing: {
                const long plane = (step_ + (writes ? 1 : 0)) & 1;
                return {place.base + plane * place.plane + row * place.row + unit, place.row};
            }
            default:
                if (place.window >= 0) {
                    const long apart = c_.windows[place.window].row;
                    return {window_rows(place.window, time_) + row * apart + place.column + unit, apart};
                }
                return {place.base + w_.offset(place, time_) + row * place.row + unit, place.row};
        }
    }

    std::vector<Moving> moving() const {
        std::vector<Moving> found;
        for (int reg = 0; reg < (int)spots_.size(); ++reg) {
            if (p_.home[reg] == Home::given) found.push_back({reg, &p_.program.inputs[p_.input_of[reg]], false});
            else if (p_.direct[reg] >= 0) found.push_back({reg, &p_.program.outputs[p_.direct[reg]], true});
        }
        return found;
    }

    void find_spots() {
        for (const auto& [reg, port, written] : moving_) spots_[reg] = at_port(*port, written, 0, 0);
    }

    // A vector register from a row and unit on.
    [[gnu::always_inline]] inline Spot<T> at(int reg, long row, long unit) const {
        const Spot<T>& spot = spots_[reg];
        return {spot.in_tile ? spot.at : spot.at + row * spot.row + unit, spot.row};
    }

    // A register of one number a row (or for all rows).
    Spot<T> one_at(int reg, long row) const {
        const Spot<T>& spot = spots_[reg];
        return {spot.at + row * spot.row, spot.row};
    }

    void run_step() {
        rows_ = rows_of(time_);
        find_spots();
        for (size_t s = 0; s < p_.stages.size(); ++s) {
            if (rows_ > 0) run_stage(p_.stages[s], c_.packed[s]);
            if (!c_.by_rows()) c_.barrier.wait();
        }
    }

    void run_stage(const Stage& stage, const std::vector<Packed<T>>& packed) {
        for (const Reduce& q : stage.reduces) {
            for (long r = 0; r < rows_; ++r) {
                const Spot<T> from = at(q.in, first_row_ + r, 0);
                one_at(q.out, first_row_ + r).at[0] = k_.sum(from.at, size_of(q.in));
            }
            emit_ones(q.out);
        }
        for (const Group& group : stage.groups) {
            if (group.size == one) run_ones(group);
            else run_vectors(stage, group, packed);
        }
    }

    // One number a row: the rows themselves are the vector.
    void run_ones(const Group& group) {
        for (const Instruction& q : group.instructions) {
            Call<T> call{one_at(q.out, first_row_).at, 0, {}, {}, 1, (int)rows_};
            int ones = 0;
            for (size_t i = 0; i < q.in.size(); ++i) {
                const Spot<T> from = one_at(q.in[i], first_row_);
                call.in[i] = from.at;
                if (from.row == 0) ones |= 1 << i;
            }
            k_.pointwise[q.op][ones](call);
            emit_ones(q.out);
        }
    }

    void emit_ones(int reg) {
        if (!c_.by_rows() && index_ != 0) return;
        for (int o : p_.emitted[reg]) {
            const Port& port = p_.program.outputs[o];
            for (long r = 0; r < rows_; ++r) {
                T* to = at_port(port, true, first_row_ + r, 0).at;
                const T value = one_at(reg, first_row_ + r).at[0];
                *to = port.kind == Kind::total ? *to + value : value;
            }
        }
    }

    void run_vectors(const Stage& stage, const Group& group, const std::vector<Packed<T>>& packed) {
        const long size = w_.sizes[group.size];
        const int heads = group.products.empty() ? 1 : stage.heads;
        const long per_head = size / heads;
        long unit_step = k_.lanes;      // tiles begin at multiples of it
        for (int q : group.products) unit_step = std::max(unit_step, packed[q].units_per_step);
        const long steps_per_head = (per_head + unit_step - 1) / unit_step;
        long first = 0, last = heads * steps_per_head;
        if (!c_.by_rows()) last = heads * steps_per_head * (index_ + 1) / count_, first = heads * steps_per_head * index_ / count_;
        const long wide = (tile_width_ + unit_step - 1) / unit_step;
        for (long next = first, upto; next < last; next = upto) {
            const int head = (int)(next / steps_per_head);
            upto = std::min({next + wide, last, (head + 1) * steps_per_head});
            const long within = next % steps_per_head * unit_step;
            const long width = std::min((upto - next) * unit_step, per_head - within), unit = head * per_head + within;
            for (long r = 0; r < rows_; r += most_tile_rows_) {
                const long row = first_row_ + r, rows = std::min(most_tile_rows_, rows_ - r);
                fetch(group, row, rows, unit, width);
                for (int q : group.products) {
                    run_product(stage.products[q], packed[q], head, within, row, rows, width, unit);
                    for (int reg : stage.products[q].destinations) emit(reg, row, rows, unit, width);
                }
                for (const Instruction& q : group.instructions) {
                    const Spot<T> out = at(q.out, row, unit);
                    Call<T> call{out.at, out.row, {}, {}, (int)rows, (int)width};
                    int ones = 0;
                    bool dense = out.row == width;
                    for (size_t i = 0; i < q.in.size(); ++i) {
                        const bool vector = p_.program.sizes[q.in[i]] > one;
                        const Spot<T> from = vector ? at(q.in[i], row, unit) : one_at(q.in[i], row);
                        call.in[i] = from.at;
                        call.in_row[i] = from.row;
                        if (!vector) ones |= 1 << i;
                        dense = dense && (vector ? from.row == width : from.row == 0);
                    }
                    if (dense) call.width *= call.rows, call.rows = 1;
                    k_.pointwise[q.op][ones](call);
                    if (!p_.emitted[q.out].empty()) emit(q.out, row, rows, unit, width);
                }
            }
        }
    }

    // What a tile reads and writes in buffers of all steps is far away, in short pieces that the processor does not foresee:
    // it begins to come all at once, and while the products are computed.
    void fetch(const Group& group, long row, long rows, long unit, long width) const {
        for (int reg : group.far) {
            const Spot<T> from = at(reg, row, unit);
            for (long r = 0; r < rows; ++r)
                for (long i = 0; i < width; i += 64 / (long)sizeof(T)) __builtin_prefetch(from.at + r * from.row + i, 1);
        }
    }

    // Leave an output register's tile wherever it is wanted besides where it was written.
    void emit(int reg, long row, long rows, long unit, long width) {
        for (int o : p_.emitted[reg]) {
            const Port& port = p_.program.outputs[o];
            const Spot<T> from = at(reg, row, unit), to = at_port(port, true, row, unit);
            const Call<T> call{to.at, to.row, {from.at}, {from.row}, (int)rows, (int)width};
            k_.pointwise[port.kind == Kind::total ? accumulate_op : copy_op][0](call);
        }
    }

    void run_product(const Product& product, const Packed<T>& packed, int head, long within, long row, long rows, long width, long unit) {
        const size_t first = (size_t)(within / packed.units_per_step * packed.per_block);
        left_of_.clear();
        for (int segment = 0; segment < packed.segments; ++segment) {
            const Spot<T> a = at(product.sources[segment], row, head * packed.depth);
            left_of_.emplace_back(a.at, a.row, 1, rows, packed.depth, left_ + segment * Left<T>::size(rows, packed.depth, k_), k_);
        }
        for (size_t g = first; g < packed.groups.size() && packed.groups[g].lane[0].unit < within + width; ++g) {
            const PackedGroup& group = packed.groups[g];
            ProductCall<T> call{};
            call.depth = packed.words;
            call.a_step = 1;
            for (int j = 0; j < group.count; ++j) {
                const Lane& lane = group.lane[j];
                const long apart = lane.unit - within;
                const Spot<T> out = at(product.destinations[lane.part], row, unit);
                call.out[j] = out.at + apart;
                call.out_row[j] = out.row;
                call.valid[j] = (int)std::min<long>(k_.lanes, width - apart);
                const std::vector<int>& starts = product.starts[lane.part];
                for (size_t i = 0; i < starts.size(); ++i) {
                    const Spot<T> start = at(starts[i], row, unit + apart);
                    call.start[i][j] = start.at, call.start_row[i][j] = start.row;
                }
            }
            for (int segment = 0; segment < packed.segments; ++segment) {
                call.a = left_of_[segment].a;
                call.a_row = left_of_[segment].row;
                call.w = packed.panel(head, group, segment, k_.lanes);
                if (segment == 1)
                    for (int j = 0; j < group.count; ++j) {
                        call.start[0][j] = call.out[j], call.start_row[0][j] = call.out_row[j];
                        call.start[1][j] = nullptr;
                    }
                run_rows(call, rows, group.count);
            }
        }
    }

    // In even pieces of at most as many rows as the registers hold.
    void run_rows(const ProductCall<T>& first, long rows, int vectors) const {
        const long best = k_.rows[vectors - 1];
        if (rows <= best) return k_.product[rows - 1][vectors - 1](first);
        ProductCall<T> call = first;
        for (long chunks = (rows + best - 1) / best; chunks > 0; --chunks) {
            const long now = rows / chunks;
            k_.product[now - 1][vectors - 1](call);
            call.forward(now, vectors);
            rows -= now;
        }
    }
};

// A sweep with all that its threads need.
template <class T>
class Prepared {
public:
    // `packs`: of this and earlier calls; null for matrices packed for this one alone.
    Prepared(const Sweep<T>& sweep, const Kernels<T>& kernels, int threads, bool by_rows, Arena& arena, Packs* packs)
        : packs_(packs), common_{sweep, kernels, {}, {}, {}, sweep.windows, {}, block_steps(sweep), threads, {}, Barrier(threads)} {
        const Plan& plan = *sweep.plan;
        if (by_rows) common_.shares = even_shares(sweep, threads);
        long share = by_rows ? 0 : sweep.batch;
        for (size_t i = 1; i < common_.shares.size(); ++i) share = std::max(share, common_.shares[i] - common_.shares[i - 1]);
        for (const Stage& stage : plan.stages) {
            common_.packed.emplace_back();
            for (const Product& q : stage.products) {
                const Matrix<T>& m = sweep.matrices[q.matrix];
                Packed<T> packed = lay_out(q, m, share, kernels);
                const Panel<T> place = room(m, q.transposed, q.parts, q.heads, packed.vectors, packed.size, arena);
                packed.data = place.data, packed.packed = place.packed;
                common_.packed.back().push_back(packed);
            }
        }
        const auto panels = [&](const Matrix<T>& m, bool transposed) {
            return room(m, transposed, 0, 0, 0, panels_size(kernels, as_right(m, transposed)), arena);
        };
        for (const Projection<T>& q : sweep.projections) common_.projection_panels.push_back(panels(q.matrix, true));
        for (const InputGradient<T>& q : sweep.input_gradients) common_.input_gradient_panels.push_back(panels(q.matrix, false));
        for (Window<T>& window : common_.windows)
            if (!window.base) {
                window.row = apart<T>(window.width);
                const size_t count = (size_t)common_.block * sweep.batch * window.row;
                window.base = arena.take<T>(count);
                std::fill_n(window.base, count, T(0));
            }
        common_.full_offset.assign(plan.program.sizes.size(), 0);
        size_t total = 0;
        for (size_t r = 0; r < plan.program.sizes.size(); ++r)
            if (plan.home[r] == Home::full && plan.program.sizes[r] > one) {
                common_.full_offset[r] = total;
                total += (size_t)share * sweep.sizes[plan.program.sizes[r]] + 32;
            }
        T* full = arena.take<T>(by_rows ? total * threads : total);
        workers_.reserve(threads);
        for (int i = 0; i < threads; ++i) workers_.emplace_back(common_, arena, full + (by_rows ? i * total : 0), i);
    }
    Prepared(const Prepared&) = delete;     // workers know where it lies

    // False, and nothing was done, where the threads were not to be had.
    template <class F>
    bool each(const F& work) {
        return on_team(common_.threads, [&](int i) { work(workers_[i]); });
    }

    bool ran_to_the_end() const { return common_.last_block.load() == LONG_MAX; }

private:
    Packs* packs_;
    Common<T> common_;
    std::vector<Worker<T>> workers_;

    // Where a matrix is packed already, or room to pack it.
    Panel<T> room(const Matrix<T>& m, bool transposed, int parts, int heads, int vectors, size_t count, Arena& arena) const {
        if (packs_) {
            const PackedAs as{m.data, m.rows, m.columns, m.row, &common_.kernels, transposed, parts, heads, vectors};
            if (const auto place = packs_->find(as, fingerprint(m, common_.kernels), count * sizeof(T)))
                return {static_cast<T*>(place->data), place->packed};
        }
        return {arena.take<T>(count), false};
    }
};

// Nothing where the threads were not to be had; otherwise whether it ran to the end.
template <class T>
std::optional<bool> run_on(const Sweep<T>& sweep, const Kernels<T>& kernels, int threads, bool by_rows) {
    Arena arena;
    Packs packs;
    Prepared<T> prepared(sweep, kernels, threads, by_rows, arena, &packs);
    if (!prepared.each([](Worker<T>& worker) { worker.run(); })) return std::nullopt;
    packs.keep();
    return prepared.ran_to_the_end();
}

// Multiply-adds of a step and row, in products and in projections.
template <class T>
std::pair<double, double> work_of(const Sweep<T>& sweep) {
    double products = 0, projections = 0;
    for (const Stage& stage : sweep.plan->stages)
        for (const Product& q : stage.products) products += (double)sweep.matrices[q.matrix].rows * sweep.matrices[q.matrix].columns;
    for (const Projection<T>& q : sweep.projections) projections += (double)q.matrix.rows * q.matrix.columns;
    return {products, projections};
}

}  // namespace

template <class T>
bool run(const Sweep<T>& sweep, const Isa& isa) {
    if (sweep.steps == 0 || sweep.batch == 0) return true;
    const auto [products, projections] = work_of(sweep);
    const Kernels<T>& kernels = isa.kernels<T>(sweep.half);
    const double work = products + projections, bytes = products * sizeof(T) / kernels.pair;    // bytes: what a thread with rows of its own reads in a step
    int threads = sweep.threads;
    // Rows of its own spare a thread the waiting, but each thread then reads all weights in every step: from its own cache if
    // they fit, or from the shared one if each is used for rows enough to hide it.
    const bool near = bytes <= 768 * 1024 && sweep.batch >= 4 * threads, shared = bytes <= (8 << 20) && sweep.batch >= 16 * threads;
    const bool by_rows = near || shared;
    if (!by_rows && work * sweep.batch < 100e3) threads = 1;            // not worth a barrier
    if (by_rows && work * sweep.batch * sweep.steps < 100e3) threads = 1;
    threads = team_size(threads);
    const auto on = [&](int count) { return run_on(sweep, kernels, count, by_rows || count == 1); };
    std::optional<bool> ended = on(threads);
    if (!ended) ended = on(1);
    return *ended;
}

template <class T>
struct Stepper<T>::Parts {
    Sweep<T> sweep;
    const Isa& isa;
    long done = 0;
    std::unique_ptr<Arena> arena = {};
    std::unique_ptr<Prepared<T>> prepared = {};

    void prepare(int threads) {
        prepared.reset();
        arena = std::make_unique<Arena>(true);
        prepared = std::make_unique<Prepared<T>>(sweep, isa.kernels<T>(sweep.half), threads, threads == 1, *arena, nullptr);
    }

    // On the threads there are; after a fork they are fewer than before.
    template <class F>
    void each(const F& work) {
        if (prepared->each(work)) return;
        prepare(1);
        prepared->each([](Worker<T>& worker) { worker.pack(); });
        prepared->each(work);
    }
};

template <class T>
Stepper<T>::Stepper(const Sweep<T>& sweep, const Isa& isa) : parts_(new Parts{sweep, isa}) {
    const auto [products, projections] = work_of(sweep);
    parts_->prepare((products + projections) * sweep.batch < 1e6 ? 1 : team_size(sweep.threads));
    parts_->each([](Worker<T>& worker) { worker.pack(); });
}

template <class T>
Stepper<T>::~Stepper() = default;

template <class T>
void Stepper<T>::step(Rows<const T> x) {
    parts_->sweep.projections[0].x = x;
    parts_->each([done = parts_->done](Worker<T>& worker) { worker.step(done); });
    ++parts_->done;
}

template <class T>
long Stepper<T>::done() const {
    return parts_->done;
}

template class Stepper<float>;
template class Stepper<double>;
template bool run<float>(const Sweep<float>&, const Isa&);
template bool run<double>(const Sweep<double>&, const Isa&);

}  // namespace pellucid
