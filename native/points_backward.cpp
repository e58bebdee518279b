#include <atomic>
#include <cmath>
#include <optional>

#include "map_gradient.h"
#include "pieces.h"
#include "points.h"
#include "threads.h"

namespace pellucid {
namespace {

// Bytes of what a strip of tiles becomes at the points.
constexpr long strip_bytes = 512 * 1024;

// Lines of tiles that are worked on at a time, or columns.
long strip_of(const Cuts& cuts, PointGrid grid, long wide, long size) {
    return evenly(grid.units(cuts), (int)std::clamp<long>(strip_bytes / (cuts.points() * grid.part(cuts, 1).count() * wide * size), 1, grid.units(cuts)));
}

// Of a filter's gradient along one axis: tiles of four, unless more of them would lie beyond the map than they spare.
Cuts cuts_of_weights(const Axis& y, const Axis& x) {
    const Cuts two(y, x), four(y, x, 4);
    const auto products = [&](const Cuts& cuts) { return PointGrid::of(cuts, y.out, x.out).count() * cuts.points(); };
    return products(four) < products(two) ? four : two;
}

// One thread's images, backward. The map's gradient is brought into vectors of filters once; from it come the input's gradient,
// which is a convolution with the filters turned upside down, and the filters' at the points, products of what tiles of the map's
// gradient become there with what the input does.
template <class T>
class PointsBackward {
public:
    PointsBackward(const ConvolutionBlock<T>& block, const ConvolutionGradients<T>& gradients, const Tile& tile, const PointFilters<T>* filters,
                   const Kernels<T>& kernels, Arena& arena)
        : b_(block), g_(gradients), t_(tile), kernels_(kernels), cuts_(block.axis[1], block.axis[2]),
          weight_cuts_(cuts_of_weights(block.axis[1], block.axis[2])), gradient_(block, gradients, kernels, arena), lanes_(kernels.lanes),
          channels_(rounded_up(block.channels, kernels.lanes)), filters_(rounded_up(block.filters, kernels.lanes)), map_wide_(odd(filters_, lanes_)),
          panels_of_input_(kernels, channels_), in_(PointGrid::of(cuts_, block.axis[1].in, block.axis[2].in)), out_(PointGrid::of(weight_cuts_, tile)),
          in_strip_(strip_of(cuts_, in_, cuts_.all() * filters_, sizeof(T))), out_strip_(strip_of(weight_cuts_, out_, std::max(cuts_.all() * channels_, filters_), sizeof(T))) {
        const Axis &y = block.axis[1], &x = block.axis[2];
        // The map's gradient with zeros around it, as the input's tiles see it, and with those of its own tiles.
        const long height = std::max(in_.height(cuts_), cuts_.lines() * (cuts_.in_row ? 1 : out_.lines) + y.span() - 1 - y.before);
        const long width = std::max(in_.width(cuts_), out_.wide(weight_cuts_) + x.span() - 1 - x.before);
        map_ = Pixels<T>::of(arena.take<T>(height * width * filters_), height, width, (int)lanes_);
        std::fill_n(map_.data, height * width * filters_, T(0));
        area_ = y.out * x.out;
        plane_ = rounded_up(area_, lanes_) + lanes_;        // planes in different sets of the cache
        planes_ = arena.take<T>(plane_ * lanes_);
        if (filters) {
            const PointGrid strip = in_.part(cuts_, in_strip_);
            sums_.emplace(*filters, strip, kernels, arena);
            found_ = arena.take<T>(strip.made(cuts_) * lanes_);
            turned_ = arena.take<T>(lanes_ * lanes_);
        }
        if (!gradients.weight) return;
        input_ = Pixels<T>::of(arena.take<T>(channels_ * out_.height(weight_cuts_) * out_.width(weight_cuts_)), out_.height(weight_cuts_), out_.width(weight_cuts_), (int)lanes_);
        std::fill_n(input_.data, channels_ / lanes_ * input_.plane, block.border_value);
        const PointGrid strip = out_.part(weight_cuts_, out_strip_);
        input_points_ = arena.take<T>(weight_cuts_.points() * input_apart(strip));
        map_points_ = arena.take<T>(weight_cuts_.points() * apart(strip, map_wide_, kernels));
        filter_points_ = arena.take<T>(weight_cuts_.points() * block.filters * cuts_.all() * channels_);
        tap_step_ = rounded_up(9, lanes_);
        found_taps_ = arena.take<T>(9 * channels_);
        taps_ = arena.take<T>(tap_step_ * channels_);
    }

    // Images of a group: their input's gradient, and the weight's and the bias's. False: a gradient of the input is not finite.
    bool images(long begin, long end, long group, ImageShare share, const Maps<const T>& in, T* weight, T* bias) {
        const Range vectors = share.part({0, filters_ / lanes_}), filters{vectors.begin * lanes_, std::min(vectors.end * lanes_, b_.filters)};
        bool finite = true;
        for (long image = begin; image < end; ++image) {
            for (long f = 0; f < b_.filters; f += lanes_) map_gradient(image, group, f, filters, bias);
            if (g_.in) finite = input_gradient(image, group, share.part({0, in_.units(cuts_)})) && finite;
            if (!weight || filters.count() <= 0) continue;
            bring(t_, b_, in, image, group, input_, kernels_);
            const long units = out_.units(weight_cuts_);
            for (long unit = 0; unit < units; unit += out_strip_) weight_gradient({unit, std::min(unit + out_strip_, units)}, filters, image > begin || unit > 0);
        }
        if (weight) give_weight(filters, weight);
        return finite;
    }

private:
    const ConvolutionBlock<T>& b_;
    const ConvolutionGradients<T>& g_;
    const Tile& t_;
    const Kernels<T>& kernels_;
    const Cuts cuts_, weight_cuts_;     // of the gradients of the input and of the filters
    MapGradient<T> gradient_;
    const long lanes_, channels_, filters_, map_wide_;      // rounded up to vectors; the last: from a tile's numbers to the next's
    const Panels<T> panels_of_input_;
    const PointGrid in_, out_;
    const long in_strip_, out_strip_;
    std::optional<PointSums<T>> sums_;
    Pixels<T> map_, input_;
    long area_, plane_;
    T *planes_, *found_ = nullptr, *turned_ = nullptr, *input_points_ = nullptr, *map_points_ = nullptr, *filter_points_ = nullptr, *found_taps_ = nullptr, *taps_ = nullptr;
    long tap_step_ = 0;

    // Where the map's gradient begins.
    T* map_at(long y, long x) const {
        const auto first = [&](int a) { return b_.axis[a].span() - 1 - b_.axis[a].before; };
        return map_.data + (y + first(1)) * map_.row + (x + first(2)) * lanes_;
    }

    // A vector of filters from one on.
    void map_gradient(long image, long group, long first, Range wanted, T* bias) {
        const long height = b_.axis[1].out, width = b_.axis[2].out;
        const int filters = (int)std::min(lanes_, b_.filters - first);
        for (int i = 0; i < filters; ++i) {
            const auto same = gradient_.run(image, group * b_.filters + first + i, planes_ + i * plane_, area_, width);
            if (bias && wanted.has(first + i)) bias[first + i] += kernels_.sum(same.data, same.count);
        }
        for (long y = 0; y < height; ++y)
            kernels_.turn({planes_ + y * width, plane_, filters, width, map_at(y, 0) + first / lanes_ * map_.plane, lanes_});
    }

    // Where the numbers of a unit of tiles begin.
    struct First {
        long y, x;
    };
    static First first_of(const Cuts& cuts, long unit) { return cuts.in_row ? First{0, cuts.columns() * unit} : First{cuts.lines() * unit, 0}; }

    bool input_gradient(long image, long group, Range units) {
        bool finite = true;
        const long height = b_.axis[1].in, width = b_.axis[2].in;
        T* to = g_.in + (image * b_.groups + group) * b_.channels * height * width;
        for (long unit = units.begin; unit < units.end; unit += in_strip_) {
            const PointGrid strip = in_.part(cuts_, std::min(in_strip_, units.end - unit));
            const First first = first_of(cuts_, unit);
            const long rows = std::min(cuts_.in_row ? 1 : down * strip.lines, height - first.y), columns = std::min(strip.wide(cuts_), width - first.x);
            const long row = strip.wide(cuts_) * lanes_;
            sums_->begin(strip, group, {map_.data + first.y * map_.row + first.x * lanes_, map_.row, map_.plane});
            for (long c = 0; c < b_.channels; c += lanes_) {
                finite = sums_->results(c, found_, row) && finite;
                const int channels = (int)std::min(lanes_, b_.channels - c);
                to_rows(found_, row, rows, columns, channels, to + c * height * width + first.y * width + first.x, width, height * width, turned_, kernels_);
            }
        }
        return finite;
    }

    // From one point of the input's panels to the next; see apart().
    long input_apart(PointGrid grid) const { return panels_of_input_.count * panels_of_input_.size(grid.count()) + lanes_; }

    // What some units of tiles add to the filters' gradient at the points, or make of it if they are the first.
    void weight_gradient(Range units, Range filters, bool add) {
        const Cuts& cuts = weight_cuts_;
        const PointGrid grid = out_.part(cuts, units.count());
        const First begin = first_of(cuts, units.begin);
        const Spatial<T>& s = kernels_.spatial;
        const long row = cuts.in_row ? lanes_ : map_.row, input_row = cuts.in_row ? lanes_ : input_.row, step = cuts.dilation * lanes_;
        const long tiles = grid.count(), panel = panels_of_input_.size(tiles), wide = panels_of_input_.wide;
        const long point = input_apart(grid), map_point = apart(grid, map_wide_, kernels_);
        for (long f = filters.begin; f < filters.end; f += lanes_)
            (cuts.in_row ? s.row_results_to_points[cuts.across == 4] : s.results_to_points)(
                {map_at(begin.y, begin.x) + f / lanes_ * map_.plane, row, step, map_points_ + f, map_point, map_wide_, grid.lines, grid.columns});
        for (long cut = 0; cut < cuts.all(); ++cut) {
            const long line = cut / cuts.count[1], column = cut % cuts.count[1];
            T* first = input_.data + (begin.y + 3 * line) * input_.row + begin.x * lanes_ + 3 * column * step;
            for (long c = 0; c < channels_; c += lanes_)
                (cuts.in_row ? s.row_to_points[cuts.across == 4] : s.to_points)({first + c / lanes_ * input_.plane, input_row, step, input_points_ + c / wide * panel + c % wide, point, wide, grid.lines, grid.columns});
            for (int p = 0; p < cuts.points(); ++p) {
                // What is not made here goes into nothing but the third tap along an axis, which the cut does not have.
                if (line >= cuts.lines_at(p) || column >= cuts.columns_at(p)) continue;
                Gemm<T> g;
                g.m = filters.count(), g.n = channels_, g.k = tiles, g.add = add;
                g.a = map_points_ + p * map_point + filters.begin, g.a_row = 1, g.a_column = map_wide_;
                g.c = filter_points(p, filters.begin, cut), g.c_row = cuts.all() * channels_;
                multiply_share(g, {0, g.m, 0, panels_of_input_.count}, input_points_ + p * point, (T*)nullptr, (T*)nullptr, kernels_);
            }
        }
    }

    T* filter_points(int point, long filter, long cut) const {
        return filter_points_ + ((point * b_.filters + filter) * cuts_.all() + cut) * channels_;
    }

    void give_weight(Range filters, T* weight) {
        const long taps = cuts_.kernel[0] * cuts_.kernel[1], found = cuts_.in_row ? 3 : 9;
        for (long f = filters.begin; f < filters.end; ++f)
            for (long cut = 0; cut < cuts_.all(); ++cut) {
                const auto& from_points = cuts_.in_row ? kernels_.spatial.row_filters_from_points[weight_cuts_.across == 4] : kernels_.spatial.filters_from_points;
                from_points({found_taps_, filter_points(0, f, cut), lanes_, b_.filters * cuts_.all() * channels_, channels_ / lanes_});
                for (long c = 0; c < channels_; c += lanes_)
                    for (long k = 0; k < found; k += lanes_)
                        kernels_.turn({found_taps_ + 9 * c + k * lanes_, lanes_, (int)std::min(lanes_, found - k), lanes_, taps_ + c * tap_step_ + k, tap_step_});
                const long y = cut / cuts_.count[1] * 3, x = cut % cuts_.count[1] * 3;
                const long lines = std::min(3l, cuts_.kernel[0] - y), columns = std::min(3l, cuts_.kernel[1] - x);
                for (long c = 0; c < b_.channels; ++c)
                    for (long i = 0; i < lines; ++i) {
                        const T* row = taps_ + c * tap_step_ + 3 * i;
                        T* to = weight + (f * b_.channels + c) * taps + (y + i) * cuts_.kernel[1] + x;
                        to[0] = row[0], to[1] = row[1];         // a cut has two columns or three
                        if (columns == 3) to[2] = row[2];
                    }
            }
    }
};

}  // namespace

template <class T>
bool backward_by_points(const ConvolutionBlock<T>& block, const Tile& tile, const Maps<const T>& in, const ConvolutionGradients<T>& gradients,
                        const Kernels<T>& kernels, int team) {
    const auto narrow = [](const Axis& a) { return a.before < a.span() && a.out <= a.in + a.before; };       // padding as wide as the kernel or less
    if (block.border != Border::value || !narrow(block.axis[1]) || !narrow(block.axis[2]) || block.batch == 0) return false;
    Arena shared(true);     // not the memory that this thread keeps: its share of the work wants that
    std::optional<PointFilters<T>> filters;
    if (gradients.in) filters.emplace(block, true, kernels, shared);
    const Pieces<T> pieces(block, gradients, false);
    const long units = pieces.count() * block.groups;
    const int shares = (int)std::max<long>(team / units, 1);
    const long jobs = units * shares;
    const int count = (int)std::min<long>(team, jobs);
    std::atomic<bool> finite = true;
    const auto work = [&](int index, int of) {
        Arena arena;
        PointsBackward<T> backward(block, gradients, tile, filters ? &*filters : nullptr, kernels, arena);
        for (long job = jobs * index / of; job < jobs * (index + 1) / of; ++job) {
            const long unit = job / shares, piece = unit / block.groups, group = unit % block.groups;
            const auto [begin, end] = pieces.images(piece);
            const ImageShare share{(int)(job % shares), shares};
            if (!backward.images(begin, end, group, share, in, pieces.weight(piece, group), pieces.bias(piece, group))) finite = false;
        }
    };
    if (!on_team(count, [&](int index) { work(index, count); })) work(0, 1);
    pieces.give();
    const long weights = block.groups * block.filters * block.taps();
    return finite && (!gradients.weight || std::isfinite(kernels.sum(gradients.weight, weights)));
}

#define PELLUCID_FOR(T)             \
    template bool backward_by_points<T>(const ConvolutionBlock<T>&, const Tile&, const Maps<const T>&, const ConvolutionGradients<T>&, const Kernels<T>&, int);
PELLUCID_FOR(float)
PELLUCID_FOR(double)
#undef PELLUCID_FOR

}  // namespace pellucid
