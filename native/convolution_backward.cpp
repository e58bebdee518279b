#include <cstdint>
#include <optional>
#include <vector>

#include "convolution.h"
#include "map_gradient.h"
#include "phases.h"
#include "pieces.h"
#include "plans.h"
#include "points.h"
#include "threads.h"
#include "tile.h"

namespace pellucid {
namespace {

// One thread's images, backward.
template <class T>
class Backward {
public:
    static constexpr long bytes = 1024 * 1024;       // of the images that are in work at a time

    // `weights`: of the plan's phases.
    Backward(const ConvolutionBlock<T>& block, const ConvolutionGradients<T>& gradients, const Tile& tile, const DirectPlan& plan, const T* weights,
             const Kernels<T>& kernels, Arena& arena)
        : b_(block), g_(gradients), t_(tile), layout_(plan.layout), target_(plan.target), phases_(plan.phases), weights_(weights), kernels_(kernels),
          gradient_(block, gradients, kernels, arena) {
        const long past = 2 * kernels.lanes;
        input_size_ = block.channels * tile.channel_step + past;
        map_size_ = block.filters * layout_.filter_step + past;
        together_ = block.by_plane() ? 1 : std::clamp<long>(bytes / (long)sizeof(T) / (input_size_ + map_size_), 1, block.batch);
        input_ = arena.take<T>(input_size_ * together_);
        maps_ = arena.take<T>(map_size_ * together_);
        if (gradients.weight)
            for (long i = 0; i < together_; ++i) frame(tile, block, input_ + i * input_size_, kernels);
        for (long i = 0; i < together_; ++i) blank(maps_ + i * map_size_);
        const long grid = tile.phase_step + kernels.lanes;
        found_ = arena.take<T>(grid * most_channels);
        if (by_tap(block)) {
            size_t most = 0;
            for (const InputPhase& phase : phases_) most = std::max(most, phase.taps.size() / block.filters);
            added_ = arena.take<T>(most * layout_.filter_step);
            ones_.assign(most, T(1));
        }
        padded_ = arena.take<T>(gradients.in && target_.lent() ? block.channels * target_.volume() : 0);
    }

    // Images of a group: their input's gradient, and what they add to the weight's and the bias's.
    void images(long begin, long end, long group, ImageShare share, const Maps<const T>& in, T* weight, T* bias) {
        const long at_once = kernels_.spatial.filters;
        const Range blocks = share.part({0, (b_.filters + at_once - 1) / at_once});
        const Range filters{blocks.begin * at_once, std::min(blocks.end * at_once, b_.filters)};
        for (long first = begin; first < end; first += together_) {
            const long count = std::min(together_, end - first);
            for (long i = 0; i < count; ++i) {
                T* map = maps_ + i * map_size_ + layout_.margin;
                for (long f = 0; f < b_.filters; ++f) {
                    const auto same = gradient_.run(first + i, group * b_.filters + f, map + f * layout_.filter_step, t_.z_step, t_.y_step);
                    if (bias && filters.has(f)) bias[f] += kernels_.sum(same.data, same.count);
                }
                if (g_.in) input_gradient(first + i, group, share, map);
                if (weight) bring(t_, b_, in, first + i, group, input_ + i * input_size_, kernels_, b_.by_plane() ? in.channel : 0);
            }
            if (weight) weight_gradient(count, filters, weight);
        }
    }

private:
    const ConvolutionBlock<T>& b_;
    const ConvolutionGradients<T>& g_;
    const Tile& t_;
    const Gradient& layout_;
    const Target& target_;
    const std::vector<InputPhase>& phases_;
    const T* weights_;
    const Kernels<T>& kernels_;
    MapGradient<T> gradient_;
    long input_size_, map_size_, together_;
    T *input_, *maps_, *found_, *padded_, *added_ = nullptr;
    std::vector<T> ones_;
    std::vector<long> vectors_;
    std::vector<std::int32_t> added_taps_;

    // What lies around the numbers of an image's map gradient is 0.
    void blank(T* map) const {
        const long rows = t_.out(1).count(), width = t_.out(2).count(), reach = t_.y_step - width;
        for (long f = 0; f < b_.filters; ++f, map += layout_.filter_step) {
            T* plane = std::fill_n(map, layout_.margin, T(0));
            for (long z = 0; z < t_.out(0).count(); ++z, plane += t_.z_step) {
                for (long y = 0; y < rows; ++y) std::fill_n(plane + y * t_.y_step + width, reach, T(0));
                std::fill_n(plane + rows * t_.y_step, t_.z_step - rows * t_.y_step, T(0));
            }
            std::fill(plane, map + layout_.filter_step, T(0));
        }
        std::fill_n(map, 2 * kernels_.lanes, T(0));
    }

    void input_gradient(long image, long group, ImageShare share, const T* map) {
        const long size = b_.axis[0].in * b_.axis[1].in * b_.axis[2].in, volume = target_.volume();
        T* in = g_.in + (image * b_.groups + group) * b_.channels * size;
        T* to = target_.lent() ? padded_ : in;
        if (target_.lent() && !target_.met(t_)) std::fill_n(to, b_.channels * volume, T(0));
        if (b_.by_plane()) planes_gradient(group, share, map, to);
        else if (by_tap(b_)) taps_gradient(group, share, map, to);
        else channels_gradient(group, share, map, to);
        if (!target_.lent()) return;
        std::fill_n(in, b_.channels * size, T(0));
        for (long c = 0; c < b_.channels; ++c) give_back(padded_ + c * volume, in + c * size);
    }

    void channels_gradient(long group, ImageShare share, const T* map, T* to) {
        const long row = t_.phase_step + kernels_.lanes;
        for (const InputPhase& phase : phases_) {
            const auto& part = phase.parts[share.index];
            if (part.starts.empty()) continue;
            const long depth = (long)phase.taps.size();
            const T* weights = weights_ + phase.weights + group * b_.channels * depth;
            for (long c = 0; c < b_.channels; c += most_channels) {
                const long channels = std::min<long>(most_channels, b_.channels - c);
                sums({weights + c * depth, depth, phase.taps.data(), depth, nullptr}, channels, part.starts, first_seen(phase, part, map), found_, row);
                for (long i = 0; i < channels; ++i) deal(phase, part, found_ + i * row, to + (c + i) * target_.volume());
            }
        }
    }

    // Of one channel: what each tap adds, of all filters, and then the sums of these.
    void taps_gradient(long group, ImageShare share, const T* map, T* to) {
        const long row = layout_.filter_step, filters = b_.filters;
        for (const InputPhase& phase : phases_) {
            const auto& part = phase.parts[share.index];
            if (part.starts.empty()) continue;
            const long count = (long)phase.taps.size() / filters, seen = part.starts.back() + phase.taps[(count - 1) * filters] + kernels_.lanes;
            const T* weights = weights_ + phase.weights + group * (long)phase.taps.size();
            vectors_.clear(), added_taps_.clear();
            for (long at = 0; at < seen; at += kernels_.lanes) vectors_.push_back(at);
            for (long k = 0; k < count; ++k) added_taps_.push_back((std::int32_t)(k * row + phase.taps[k * filters]));
            sums({weights, filters, phase.taps.data(), filters, nullptr}, count, vectors_, first_seen(phase, part, map), added_, row);
            sums({ones_.data(), count, added_taps_.data(), count, nullptr}, 1, part.starts, added_, found_, row);
            deal(phase, part, found_, to);
        }
    }

    // So many rows of sums, of vectors of neighbouring numbers that begin there.
    void sums(const FilterSums<T>& of, long rows, const std::vector<long>& starts, const T* pixels, T* to, long row) const {
        const long all = (long)starts.size();
        const Shape shape = Shape::of(kernels_.spatial, rows, all);
        for (long r = 0; r < rows; r += shape.filters) {
            const int some = (int)std::min<long>(shape.filters, rows - r);
            TapsCall<T> call{{of.weights + r * of.weight_row, of.weight_row, of.taps, of.depth, nullptr}, {}, {}, row};
            for (long s = 0; s < all; s += shape.vectors) {
                const int count = (int)std::min<long>(shape.vectors, all - s);
                for (int j = 0; j < count; ++j) call.pixels[j] = pixels + starts[s + j], call.out[j] = to + r * row + starts[s + j];
                kernels_.spatial.taps[some - 1][count - 1](call);
            }
        }
    }

    // Of one channel with one filter.
    void planes_gradient(long group, ImageShare share, const T* map, T* to) {
        for (size_t i = 0; i < phases_.size(); ++i) {
            if (phases_[i].parts[share.index].starts.empty()) continue;
            if (i + 1 < phases_.size() && alternate(phases_[i], phases_[i + 1], share)) weave(phases_[i], phases_[i + 1], share, group, map, to), ++i;
            else plane_gradient(phases_[i], share, group, map, to);
        }
    }

    // Whether the numbers of two phases together are whole rows.
    bool alternate(const InputPhase& one, const InputPhase& other, ImageShare share) const {
        const auto &a = one.parts[share.index].range, &b = other.parts[share.index].range;
        const auto same = [&](int axis) { return one.at[axis] == other.at[axis] && a[axis].begin == b[axis].begin && a[axis].end == b[axis].end; };
        return target_.axis[2].stride == 2 && same(0) && same(1) && a[2].count() + b[2].count() == target_.axis[2].in;
    }

    void weave(const InputPhase& one, const InputPhase& other, ImageShare share, long group, const T* map, T* to) {
        const Axis(&a)[3] = target_.axis;
        const auto& part = one.parts[share.index];
        for (long z = 0; z < part.range[0].count(); ++z) {
            const long first = place(one, part, z), second = place(other, other.parts[share.index], z);
            const auto &even = first < second ? one : other, &odd = first < second ? other : one;
            kernels_.spatial.woven_plane({plane_sums(even, share, group, z, map), plane_sums(odd, share, group, z, map), to + std::min(first, second),
                                          a[1].stride * a[2].in, part.range[1].count(), a[2].in, target_.volume()});
        }
    }

    // Rows without a stride straight to their places.
    void plane_gradient(const InputPhase& phase, ImageShare share, long group, const T* map, T* to) {
        const Axis(&a)[3] = target_.axis;
        const auto& part = phase.parts[share.index];
        const bool whole = a[2].stride == 1;
        const PlaneSize size = PlaneSize::of({1, 1, phase.rows}, {1, 1, phase.columns});
        for (long z = 0; z < part.range[0].count(); ++z)
            kernels_.spatial.plane[size.size][size.stride](
                {plane_sums(phase, share, group, z, map), whole ? to + place(phase, part, z) : found_ + z * t_.z_step,
                 whole ? a[1].stride * a[2].in : t_.y_step, part.range[1].count(), part.range[2].count(), whole ? target_.volume() : 0});
        if (!whole) deal(phase, part, found_, to);
    }

    // A phase's, in a plane of its numbers.
    PlaneSums<T> plane_sums(const InputPhase& phase, ImageShare share, long group, long z, const T* map) const {
        const T* weights = weights_ + phase.weights + group * (long)phase.taps.size();
        const T* pixels = first_seen(phase, phase.parts[share.index], map) + z * t_.z_step;
        return {weights, nullptr, phase.taps.data(), phase.rows, phase.columns, 1, pixels, t_.y_step};
    }

    // One channel's gradient, from the padded input to the input.
    void give_back(const T* from, T* to) const {
        for (long z : target_.lender[0])
            for (long y : target_.lender[1]) {
                T* row = to + (z * b_.axis[1].in + y) * b_.axis[2].in;
                for (long x : target_.lender[2]) row[x] += *from++;
            }
    }

    // What the first number of a phase's first plane sees of the map's gradient.
    const T* first_seen(const InputPhase& phase, const InputPhase::Part& part, const T* map) const {
        return map + phase.first + part.range[0].begin * t_.z_step + part.range[1].begin * t_.y_step + part.range[2].begin;
    }

    // Where the first number of a phase's plane is in the target.
    long place(const InputPhase& phase, const InputPhase::Part& part, long z) const {
        const Axis(&a)[3] = target_.axis;
        const auto on = [&](int i, long q) { return (part.range[i].begin + q) * a[i].stride + phase.at[i] - a[i].before; };
        return (on(0, z) * a[1].in + on(1, 0)) * a[2].in + on(2, 0);
    }

    // A phase's numbers to their places.
    void deal(const InputPhase& phase, const InputPhase::Part& part, const T* from, T* to) const {
        const Axis(&a)[3] = target_.axis;
        for (long z = 0; z < part.range[0].count(); ++z)
            copy_rows(from + z * t_.z_step, t_.y_step, part.range[1].count(), part.range[2].count(), to + place(phase, part, z),
                      a[1].stride * a[2].in, a[2].stride, kernels_);
    }

    void weight_gradient(long images, Range of, T* weight) {
        const Spatial<T>& s = kernels_.spatial;
        const long depth = (long)t_.taps.size();
        const PlaneSize size = PlaneSize::of(b_.axis[1], b_.axis[2]);
        if (b_.by_plane()) {
            if (of.count() == 0) return;
            for (long z = 0; z < t_.out(0).count(); ++z)
                s.plane_correlate[size.size][size.stride]({maps_ + layout_.margin + z * t_.z_step, input_ + z * t_.z_step, map_size_, input_size_, images,
                                                           t_.out(1).count(), t_.out(2).count(), t_.y_step, t_.taps.data(), (int)depth, weight});
            return;
        }
        for (long f = of.begin; f < of.end; f += s.filters) {
            const int filters = (int)std::min<long>(s.filters, of.end - f);
            const int at_once = evenly(depth, s.taps_at_once);
            for (long k = 0; k < depth; k += at_once) {
                const int taps = (int)std::min<long>(at_once, depth - k);
                const CorrelateCall<T> call{maps_ + layout_.margin + f * layout_.filter_step, layout_.filter_step, map_size_, input_, input_size_,
                                            t_.taps.data() + k, images, layout_.starts.data(), (long)layout_.starts.size(), weight + f * depth + k, depth};
                s.correlate[filters - 1][taps - 1](call);
            }
        }
    }
};

template <class T>
DirectPlan direct_plan(const ConvolutionBlock<T>& block, const Tile& tile, bool input, int team, int lanes) {
    const Gradient layout(tile, lanes);
    const Target target(block);
    const long units = std::max<long>(Pieces<T>::count_of(block) * block.groups, 1);
    const int shares = target.lent() ? 1 : (int)std::max<long>(team / units, 1);        // what is lent is given back by one
    return {layout, target, shares, input ? phases_of(block, target.axis, tile, layout, shares, lanes) : std::vector<InputPhase>()};
}

}  // namespace

template <class T>
BackwardPlan backward_plan(const ConvolutionBlock<T>& block, bool input, const Isa& isa, int team) {
    const Kernels<T>& kernels = isa.kernels<T>();
    Range windows[3], out[3];
    for (int a = 0; a < 3; ++a) windows[a] = {0, block.pool.axis[a].out}, out[a] = {0, block.axis[a].out};
    BackwardPlan plan{team, by_points(block, kernels), tile_of(block.axis, block.border, windows, out, block.channels, kernels.lanes), {}};
    if (!plan.minimal) plan.direct = direct_plan(block, plan.tile, input, team, kernels.lanes);
    return plan;
}

template <class T>
void convolve_backward(const ConvolutionBlock<T>& block, const BackwardPlan& plan, const Maps<const T>& in, const ConvolutionGradients<T>& gradients, const Isa& isa) {
    const Kernels<T>& kernels = isa.kernels<T>();
    if (plan.minimal && backward_by_points(block, plan.tile, in, gradients, kernels, plan.team)) return;
    const Pieces<T> pieces(block, gradients, true);
    if (block.batch == 0) return pieces.give();
    std::optional<DirectPlan> made;
    if (!plan.direct) made = direct_plan(block, plan.tile, gradients.in != nullptr, plan.team, kernels.lanes);
    const DirectPlan& direct = made ? *made : *plan.direct;
    const Target& target = direct.target;
    if (gradients.in && !target.lent() && !target.met(plan.tile)) std::fill_n(gradients.in, block.batch * block.groups * block.channels * target.volume(), T(0));

    Arena shared(true);     // not the memory that this thread keeps: its share of the work wants that
    const T* weights = gradients.in ? weights_of(direct.phases, block, shared) : nullptr;
    const int shares = direct.shares;
    const long units = pieces.count() * block.groups;
    const long jobs = units * shares;
    const int count = (int)std::min<long>(plan.team, jobs);
    const auto work = [&](int index, int of) {
        Arena arena;
        Backward<T> backward(block, gradients, plan.tile, direct, weights, kernels, arena);
        const auto images = [&](long begin, long end, long unit, int share) {
            const long piece = unit / block.groups, group = unit % block.groups;
            backward.images(begin, end, group, {share, shares}, in, pieces.weight(piece, group), pieces.bias(piece, group));
        };
        const long last = jobs * (index + 1) / of;
        for (long job = jobs * index / of; job < last;) {
            const long unit = job / shares, piece = unit / block.groups;
            const auto [begin, end] = pieces.images(piece);
            if (!block.by_plane() || shares > 1) {
                images(begin, end, unit, (int)(job++ % shares));
                continue;
            }
            // Planes in the order in which they lie in memory: there is little to do for each.
            const long next = std::min(last, (piece + 1) * block.groups);
            for (long image = begin; image < end; ++image)
                for (long u = unit; u < next; ++u) images(image, image + 1, u, 0);
            job = next;
        }
    };
    if (!on_team(count, [&](int index) { work(index, count); })) work(0, 1);
    pieces.give();
}

#define PELLUCID_FOR(T)                                                                       \
    template BackwardPlan backward_plan<T>(const ConvolutionBlock<T>&, bool, const Isa&, int); \
    template void convolve_backward<T>(const ConvolutionBlock<T>&, const BackwardPlan&, const Maps<const T>&, const ConvolutionGradients<T>&, const Isa&);
PELLUCID_FOR(float)
PELLUCID_FOR(double)
#undef PELLUCID_FOR

}  // namespace pellucid
