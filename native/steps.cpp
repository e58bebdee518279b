#include "steps.h"

#include <algorithm>

namespace pellucid {

namespace {

constexpr int accumulate_op = op_named("accumulate"), copy_op = op_named("copy");

}  // namespace

template <class T>
Steps<T>::Steps(const ThreadShare<T>& share, Arena& arena, T* full)
    : s_(share), c_(share.common), w_(c_.sweep), k_(c_.kernels), p_(*w_.plan), index_(share.index), count_(share.count()), rows_(share.rows) {
    choose_tile();
    const long slot_size = most_tile_rows_ * tile_width_;
    T* scratch = arena.take<T>((size_t)std::max(p_.slots, 1) * slot_size + 16);
    T* ones = arena.take<T>(p_.program.sizes.size() * (size_t)std::max<long>(rows_, 1));
    spots_.resize(p_.program.sizes.size());
    for (size_t reg = 0; reg < spots_.size(); ++reg) {
        if (p_.home[reg] == Home::scratch) spots_[reg] = {scratch + (size_t)p_.slot[reg] * slot_size, tile_width_, true};
        else if (p_.home[reg] == Home::given) continue;
        else if (p_.program.sizes[reg] <= one) spots_[reg] = {ones + reg * rows_ - s_.first_row, 1};
        else spots_[reg] = {full + c_.full_offset[reg] - (c_.by_rows() ? s_.first_row * size_of((int)reg) : 0), size_of((int)reg)};
    }
    moving_ = moving();
    if (k_.pair == 2) {
        long size = 0;
        for (const std::vector<Packed<T>>& stage : c_.packed)
            for (const Packed<T>& q : stage) size = std::max(size, q.segments * Left<T>::size(most_tile_rows_, q.depth, k_));
        left_ = arena.take<T>(size);
    }
}

// A tile's registers stay in the nearest cache. Its weights are read again for every tile of rows: where they are many,
// tiles are tall and narrow, so that those of a tile stay near, too.
template <class T>
void Steps<T>::choose_tile() {
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

template <class T>
RegisterSpot<T> Steps<T>::at_port(const Port& port, bool writes, long row, long unit) const {
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
                return {s_.window_rows(place.window, time_) + row * apart + place.column + unit, apart};
            }
            return {place.base + w_.offset(place, time_) + row * place.row + unit, place.row};
    }
}

template <class T>
std::vector<typename Steps<T>::Moving> Steps<T>::moving() const {
    std::vector<Moving> found;
    for (int reg = 0; reg < (int)spots_.size(); ++reg) {
        if (p_.home[reg] == Home::given) found.push_back({reg, &p_.program.inputs[p_.input_of[reg]], false});
        else if (p_.direct[reg] >= 0) found.push_back({reg, &p_.program.outputs[p_.direct[reg]], true});
    }
    return found;
}

template <class T>
void Steps<T>::find_spots() {
    for (const auto& [reg, port, written] : moving_) spots_[reg] = at_port(*port, written, 0, 0);
}

// A register of one number a row (or for all rows).
template <class T>
RegisterSpot<T> Steps<T>::one_at(int reg, long row) const {
    const RegisterSpot<T>& spot = spots_[reg];
    return {spot.at + row * spot.row, spot.row};
}

template <class T>
void Steps<T>::run(long step, long time) {
    step_ = step, time_ = time;
    rows_ = s_.rows_of(time_);
    find_spots();
    for (size_t s = 0; s < p_.stages.size(); ++s) {
        if (rows_ > 0) run_stage(p_.stages[s], c_.packed[s]);
        if (!c_.by_rows()) c_.barrier.wait();
    }
}

template <class T>
void Steps<T>::run_stage(const Stage& stage, const std::vector<Packed<T>>& packed) {
    for (const Reduce& q : stage.reduces) {
        for (long r = 0; r < rows_; ++r) {
            const RegisterSpot<T> from = at(q.in, s_.first_row + r, 0);
            one_at(q.out, s_.first_row + r).at[0] = k_.sum(from.at, size_of(q.in));
        }
        emit_ones(q.out);
    }
    for (const Group& group : stage.groups) {
        if (group.size == one) run_ones(group);
        else run_vectors(stage, group, packed);
    }
}

// One number a row: the rows themselves are the vector.
template <class T>
void Steps<T>::run_ones(const Group& group) {
    for (const Instruction& q : group.instructions) {
        Call<T> call{one_at(q.out, s_.first_row).at, 0, {}, {}, 1, (int)rows_};
        int ones = 0;
        for (size_t i = 0; i < q.in.size(); ++i) {
            const RegisterSpot<T> from = one_at(q.in[i], s_.first_row);
            call.in[i] = from.at;
            if (from.row == 0) ones |= 1 << i;
        }
        k_.pointwise[q.op][ones](call);
        emit_ones(q.out);
    }
}

template <class T>
void Steps<T>::emit_ones(int reg) {
    if (!c_.by_rows() && index_ != 0) return;
    for (int o : p_.emitted[reg]) {
        const Port& port = p_.program.outputs[o];
        for (long r = 0; r < rows_; ++r) {
            T* to = at_port(port, true, s_.first_row + r, 0).at;
            const T value = one_at(reg, s_.first_row + r).at[0];
            *to = port.kind == Kind::total ? *to + value : value;
        }
    }
}

template <class T>
void Steps<T>::run_vectors(const Stage& stage, const Group& group, const std::vector<Packed<T>>& packed) {
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
            const long row = s_.first_row + r, rows = std::min(most_tile_rows_, rows_ - r);
            fetch(group, row, rows, unit, width);
            for (int q : group.products) {
                run_product(stage.products[q], packed[q], head, within, row, rows, width, unit);
                for (int reg : stage.products[q].destinations) emit(reg, row, rows, unit, width);
            }
            for (const Instruction& q : group.instructions) {
                const RegisterSpot<T> out = at(q.out, row, unit);
                Call<T> call{out.at, out.row, {}, {}, (int)rows, (int)width};
                int ones = 0;
                bool dense = out.row == width;
                for (size_t i = 0; i < q.in.size(); ++i) {
                    const bool vector = p_.program.sizes[q.in[i]] > one;
                    const RegisterSpot<T> from = vector ? at(q.in[i], row, unit) : one_at(q.in[i], row);
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
template <class T>
void Steps<T>::fetch(const Group& group, long row, long rows, long unit, long width) const {
    for (int reg : group.far) {
        const RegisterSpot<T> from = at(reg, row, unit);
        for (long r = 0; r < rows; ++r)
            for (long i = 0; i < width; i += 64 / (long)sizeof(T)) __builtin_prefetch(from.at + r * from.row + i, 1);
    }
}

// Leave an output register's tile wherever it is wanted besides where it was written.
template <class T>
void Steps<T>::emit(int reg, long row, long rows, long unit, long width) {
    for (int o : p_.emitted[reg]) {
        const Port& port = p_.program.outputs[o];
        const RegisterSpot<T> from = at(reg, row, unit), to = at_port(port, true, row, unit);
        const Call<T> call{to.at, to.row, {from.at}, {from.row}, (int)rows, (int)width};
        k_.pointwise[port.kind == Kind::total ? accumulate_op : copy_op][0](call);
    }
}

template <class T>
void Steps<T>::run_product(const Product& product, const Packed<T>& packed, int head, long within, long row, long rows, long width, long unit) {
    const size_t first = (size_t)(within / packed.units_per_step * packed.per_block);
    left_of_.clear();
    for (int segment = 0; segment < packed.segments; ++segment) {
        const RegisterSpot<T> a = at(product.sources[segment], row, head * packed.depth);
        left_of_.emplace_back(a.at, a.row, 1, rows, packed.depth, left_ + segment * Left<T>::size(rows, packed.depth, k_), k_);
    }
    size_t last = first;
    while (last < packed.groups.size() && packed.groups[last].lane[0].unit < within + width) ++last;
    for (size_t i = first; i < last; ++i) {
        // Weights beyond the size of a cache that are read from the first to the last have left it once they are read again. There and
        // back, what was read last is still there.
        const PackedGroup& group = packed.groups[step_ % 2 == 0 ? i : first + last - 1 - i];
        ProductCall<T> call{};
        call.depth = packed.words;
        call.a_step = 1;
        for (int j = 0; j < group.count; ++j) {
            const Lane& lane = group.lane[j];
            const long apart = lane.unit - within;
            const RegisterSpot<T> out = at(product.destinations[lane.part], row, unit);
            call.out[j] = out.at + apart;
            call.out_row[j] = out.row;
            call.valid[j] = (int)std::min<long>(k_.lanes, width - apart);
            const std::vector<int>& starts = product.starts[lane.part];
            for (size_t k = 0; k < starts.size(); ++k) {
                const RegisterSpot<T> start = at(starts[k], row, unit + apart);
                call.start[k][j] = start.at, call.start_row[k][j] = start.row;
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
template <class T>
void Steps<T>::run_rows(const ProductCall<T>& first, long rows, int vectors) const {
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

template class Steps<float>;
template class Steps<double>;

}  // namespace pellucid
