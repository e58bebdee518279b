#include "sweep.h"

#include <atomic>
#include <chrono>
#include <functional>

#include "packing.h"
#include "threads.h"

namespace pellucid {

namespace {

constexpr int accumulate_op = op_count - 1, copy_op = op_count - 2;

// Where a register's numbers for a tile are: `row` is the distance between rows, and 0 where all rows share them.
template <class T>
struct Spot {
    T* at;
    long row;
};

// A sweep on one thread's share: some rows for all units, without a word to the others; or, where there are too few rows
// to share, some units for all rows, with a barrier after every stage.
template <class T>
class Worker {
public:
    Worker(const Sweep<T>& sweep, const Kernels<T>& kernels, const std::vector<std::vector<Packed<T>>>& packed,
           T* shared, const std::vector<size_t>& full_offset, Barrier* barrier, std::atomic<bool>& stop, int index, int count)
        : w_(sweep), k_(kernels), p_(*sweep.plan), packed_(packed), barrier_(barrier), stop_(stop), index_(index),
          count_(count), offset_(full_offset) {
        const long share = (w_.batch + count - 1) / count;
        first_row_ = barrier ? 0 : std::min<long>(index * share, w_.batch);
        rows_ = barrier ? w_.batch : std::min(share, w_.batch - first_row_);
        full_ = shared;
        most_tile_rows_ = std::min<long>(rows_, 12);
        tile_width_ = tile_width();
        slot_size_ = most_tile_rows_ * tile_width_;
        scratch_ = Aligned<T>((size_t)std::max(p_.slots, 1) * slot_size_ + 16);
        ones_ = Aligned<T>(p_.program.sizes.size() * (size_t)std::max<long>(rows_, 1));
    }

    void run() {
        if (rows_ == 0) return;
        auto checked = std::chrono::steady_clock::now();
        for (step_ = 0; step_ < w_.steps; ++step_) {
            time_ = w_.reverse ? w_.steps - 1 - step_ : step_;
            for (size_t s = 0; s < p_.stages.size(); ++s) {
                run_stage(p_.stages[s], packed_[s]);
                if (barrier_) barrier_->wait();
            }
            if (w_.interrupted && index_ == 0 && step_ % 16 == 15) {
                const auto now = std::chrono::steady_clock::now();
                if (now - checked > std::chrono::milliseconds(50)) {
                    checked = now;
                    if (w_.interrupted()) stop_.store(true);
                }
                // With barriers every thread must leave at the same step.
            }
            if (barrier_ && step_ % 16 == 15) barrier_->wait();
            if (step_ % 16 == 15 && stop_.load()) return;
        }
    }

private:
    const Sweep<T>& w_;
    const Kernels<T>& k_;
    const Plan& p_;
    const std::vector<std::vector<Packed<T>>>& packed_;
    Barrier* barrier_;
    std::atomic<bool>& stop_;
    const int index_, count_;
    const std::vector<size_t>& offset_;
    long first_row_ = 0, rows_ = 0, most_tile_rows_ = 0, tile_width_ = 0, slot_size_ = 0, step_ = 0, time_ = 0;
    T* full_ = nullptr;
    Aligned<T> scratch_, ones_;

    // Units of a tile: few rows are wide, many are narrow, so that a tile's registers stay in the nearest cache.
    long tile_width() const {
        const long unit = (long)most_vectors * k_.lanes;
        long longest = unit;
        for (long size : w_.sizes) longest = std::max(longest, size);
        long width = std::max(unit, 768 / std::max<long>(most_tile_rows_, 1) / unit * unit);
        if (barrier_) width = std::min(width, std::max(unit, (longest / count_ + unit - 1) / unit * unit));
        return std::min(width, (longest + unit - 1) / unit * unit);
    }

    long size_of(int reg) const { return w_.sizes[p_.program.sizes[reg]]; }

    Spot<T> at_port(const Port& port, bool writes, long row, long unit) const {
        const Place<T>& place = w_.buffers[port.buffer];
        switch (port.kind) {
            case Kind::shifted: {
                const long t = time_ + w_.before;
                if (t < 0 || t >= w_.steps) return {const_cast<T*>(place.initial) + row * place.initial_row + unit, place.initial_row};
                return {place.base + t * place.time + row * place.row + unit, place.row};
            }
            case Kind::swing: {
                const long plane = (step_ + (writes ? 1 : 0)) & 1;
                return {place.base + plane * place.plane + row * place.row + unit, place.row};
            }
            default:
                return {place.base + time_ * place.time + row * place.row + unit, place.row};
        }
    }

    // The port that a computed register is written to directly, or -1.
    int direct(int reg) const {
        for (int o : p_.outputs_of[reg])
            if (p_.program.outputs[o].kind != Kind::total) return o;
        return -1;
    }

    // A vector register from a row and unit on; within a tile, scratch begins at the tile.
    Spot<T> at(int reg, long row, long unit) const {
        switch (p_.home[reg]) {
            case Home::given:
                return at_port(p_.program.inputs[p_.input_of[reg]], false, row, unit);
            case Home::scratch:
                return {scratch_.get() + (size_t)p_.slot[reg] * slot_size_, tile_width_};
            case Home::full:
                if (const int o = direct(reg); o >= 0) return at_port(p_.program.outputs[o], true, row, unit);
                const long own = barrier_ ? row : row - first_row_;
                return {full_ + offset_[reg] + own * size_of(reg) + unit, size_of(reg)};
        }
        return {nullptr, 0};
    }

    // A register of one number a row (or for all rows).
    Spot<T> one_at(int reg, long row) const {
        if (p_.home[reg] == Home::given) return at_port(p_.program.inputs[p_.input_of[reg]], false, row, 0);
        return {ones_.get() + (size_t)reg * rows_ + (row - first_row_), 1};
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
        if (barrier_ && index_ != 0) return;
        for (int o : p_.outputs_of[reg]) {
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
        const long per_head = size / heads, tiles_per_head = (per_head + tile_width_ - 1) / tile_width_;
        const long tiles = heads * tiles_per_head;
        long first = 0, last = tiles;
        if (barrier_) {
            first = tiles * index_ / count_;
            last = tiles * (index_ + 1) / count_;
        }
        for (long tile = first; tile < last; ++tile) {
            const int head = (int)(tile / tiles_per_head);
            const long within = tile % tiles_per_head * tile_width_;
            const long width = std::min(tile_width_, per_head - within), unit = head * per_head + within;
            for (long r = 0; r < rows_; r += most_tile_rows_) {
                const long row = first_row_ + r, rows = std::min(most_tile_rows_, rows_ - r);
                for (int q : group.products) {
                    run_product(stage.products[q], packed[q], head, within, row, rows, width, unit);
                    for (int reg : stage.products[q].destinations) emit(reg, row, rows, unit, width);
                }
                for (const Instruction& q : group.instructions) {
                    const Spot<T> out = at(q.out, row, unit);
                    Call<T> call{out.at, out.row, {}, {}, (int)rows, (int)width};
                    int ones = 0;
                    for (size_t i = 0; i < q.in.size(); ++i) {
                        const bool vector = p_.program.sizes[q.in[i]] > one;
                        const Spot<T> from = vector ? at(q.in[i], row, unit) : one_at(q.in[i], row);
                        call.in[i] = from.at;
                        call.in_row[i] = from.row;
                        if (!vector) ones |= 1 << i;
                    }
                    k_.pointwise[q.op][ones](call);
                    if (!p_.outputs_of[q.out].empty()) emit(q.out, row, rows, unit, width);
                }
            }
        }
    }

    // Leave an output register's tile wherever it is wanted besides where it was written.
    void emit(int reg, long row, long rows, long unit, long width) {
        const int written = direct(reg);
        for (int o : p_.outputs_of[reg]) {
            if (o == written) continue;
            const Port& port = p_.program.outputs[o];
            const Spot<T> from = at(reg, row, unit), to = at_port(port, true, row, unit);
            const Call<T> call{to.at, to.row, {from.at}, {from.row}, (int)rows, (int)width};
            k_.pointwise[port.kind == Kind::total ? accumulate_op : copy_op][0](call);
        }
    }

    void run_product(const Product& product, const Packed<T>& packed, int head, long within, long row, long rows, long width, long unit) {
        const size_t first = (size_t)(within / packed.units_per_step * packed.per_block);
        for (size_t g = first; g < packed.groups.size() && packed.groups[g].lane[0].unit < within + width; ++g) {
            const PackedGroup& group = packed.groups[g];
            const long best = k_.rows[group.count - 1], chunks = (rows + best - 1) / best;
            for (long c = 0; c < chunks; ++c) {
                const long from = rows * c / chunks, upto = rows * (c + 1) / chunks;
                ProductCall<T> call{};
                call.depth = packed.depth;
                call.a_step = 1;
                for (int j = 0; j < group.count; ++j) {
                    const Lane& lane = group.lane[j];
                    const Spot<T> out = at(product.destinations[lane.part], row, unit);
                    call.out[j] = out.at + from * out.row + (lane.unit - within);
                    call.out_row[j] = out.row;
                    call.valid[j] = (int)std::min<long>(k_.lanes, within + width - lane.unit);
                }
                for (int segment = 0; segment < packed.segments; ++segment) {
                    const Spot<T> a = at(product.sources[segment], row + from, head * packed.depth);
                    call.a = a.at;
                    call.a_row = a.row;
                    call.w = packed.panel(head, group, segment, k_.lanes);
                    call.add = segment > 0;
                    k_.product[upto - from - 1][group.count - 1](call);
                }
            }
        }
    }
};

}  // namespace

template <class T>
bool run(const Sweep<T>& sweep, const Isa& isa) {
    if (sweep.steps == 0 || sweep.batch == 0) return true;
    const Kernels<T>& kernels = isa.kernels<T>();
    const Plan& plan = *sweep.plan;
    std::vector<std::vector<Packed<T>>> packed;
    double work = 0;  // multiply-adds of a step and row
    for (const Stage& stage : plan.stages) {
        packed.emplace_back();
        for (const Product& q : stage.products) {
            packed.back().push_back(pack(q, sweep.matrices[q.matrix], kernels));
            work += (double)sweep.matrices[q.matrix].rows * sweep.matrices[q.matrix].columns;
        }
    }
    int threads = sweep.threads;
    bool by_rows = sweep.batch >= 4 * threads;
    if (!by_rows && work * sweep.batch < 100e3) threads = 1;        // not worth a barrier
    if (by_rows && work * sweep.batch * sweep.steps < 100e3) threads = 1;
    Lease lease(threads);
    threads = lease.count();
    if (threads == 1) by_rows = true;
    const long share = by_rows ? (sweep.batch + threads - 1) / threads : sweep.batch;
    std::vector<size_t> offset(plan.program.sizes.size(), 0);
    size_t total = 0;
    for (size_t r = 0; r < plan.program.sizes.size(); ++r)
        if (plan.home[r] == Home::full && plan.program.sizes[r] > one) {
            offset[r] = total;
            total += (size_t)share * sweep.sizes[plan.program.sizes[r]] + 32;
        }
    Aligned<T> full(by_rows ? total * threads : total);
    Barrier barrier(threads);
    std::atomic<bool> stop{false};
    lease.run([&](int index) {
        T* own = full.get() + (by_rows ? index * total : 0);
        Worker<T>(sweep, kernels, packed, own, offset, by_rows ? nullptr : &barrier, stop, index, threads).run();
    });
    return !stop.load();
}

template bool run<float>(const Sweep<float>&, const Isa&);
template bool run<double>(const Sweep<double>&, const Isa&);

// The large product: panels of b in the kernel's order, a slice of k at a time, so that a panel stays in the second cache;
// the sums of one slice are where the next one starts, so every output still adds its terms in order of k.
template <class T>
void multiply(const Gemm<T>& g, const Isa& isa) {
    const Kernels<T>& kernels = isa.kernels<T>();
    if (g.m == 0 || g.n == 0) return;
    const long lanes = kernels.lanes, vectors = kernels.vectors == 4 ? 3 : 2, wide = vectors * lanes;
    const long slice = 256, panels = (g.n + wide - 1) / wide;
    const double work = (double)g.m * g.n * g.k;
    Lease lease(work < 200e3 ? 1 : g.threads);
    const int threads = lease.count();
    const bool rows_first = g.m >= g.n;
    lease.run([&](int index) {
        // Threads share rows or panels, never k: the order of every sum stays the same.
        long m0 = 0, m1 = g.m, p0 = 0, p1 = panels;
        if (rows_first) m0 = g.m * index / threads, m1 = g.m * (index + 1) / threads;
        else p0 = panels * index / threads, p1 = panels * (index + 1) / threads;
        const long best = kernels.rows[vectors - 1];
        const long most_panels = std::max<long>(1, (512 * 1024 / (long)sizeof(T)) / (slice * wide));
        Aligned<T> packed((size_t)std::min(most_panels, p1 - p0 > 0 ? p1 - p0 : 1) * slice * wide);
        for (long first = p0; first < p1; first += most_panels) {
            const long last = std::min(first + most_panels, p1);
            for (long k0 = 0; k0 < std::max<long>(g.k, 1); k0 += slice) {
                const long depth = std::min(slice, g.k - k0);
                for (long p = first; p < last; ++p)
                    for (long k = 0; k < depth; ++k) {
                        T* to = packed.get() + ((p - first) * slice + k) * wide;
                        const T* from = g.b + (k0 + k) * g.b_row + p * wide * g.b_column;
                        const long count = std::min(wide, g.n - p * wide);
                        if (g.b_column == 1) std::copy_n(from, count, to);
                        else for (long i = 0; i < count; ++i) to[i] = from[i * g.b_column];
                        std::fill(to + count, to + wide, T(0));
                    }
                for (long m = m0; m < m1; m += best) {
                    const long rows = std::min(best, m1 - m);
                    for (long p = first; p < last; ++p) {
                        ProductCall<T> call{};
                        call.a = g.a + m * g.a_row + k0 * g.a_column;
                        call.a_row = g.a_row;
                        call.a_step = g.a_column;
                        call.w = packed.get() + (p - first) * slice * wide;
                        call.depth = depth;
                        call.add = k0 > 0 || g.add || g.bias;
                        for (long j = 0; j < vectors; ++j) {
                            const long column = p * wide + j * lanes;
                            call.out[j] = g.c + m * g.c_row + column;
                            call.out_row[j] = g.c_row;
                            call.valid[j] = (int)std::max<long>(0, std::min(lanes, g.n - column));
                        }
                        if (g.bias && k0 == 0)
                            for (long r = 0; r < rows; ++r)
                                std::copy_n(g.bias + p * wide, std::min(wide, g.n - p * wide), g.c + (m + r) * g.c_row + p * wide);
                        kernels.product[rows - 1][vectors - 1](call);
                    }
                }
            }
        }
    });
}

template void multiply<float>(const Gemm<float>&, const Isa&);
template void multiply<double>(const Gemm<double>&, const Isa&);

}  // namespace pellucid
