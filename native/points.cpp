#include "points.h"

#include <algorithm>

namespace pellucid {
namespace {

// Bytes of the sums at all points that are made at a time: they are read again from the second cache.
constexpr long sum_bytes = 256 * 1024;

}  // namespace

template <class T>
bool by_points(const ConvolutionBlock<T>& b, const Kernels<T>& kernels) {
    const auto &z = b.axis[0], &y = b.axis[1], &x = b.axis[2];
    const Cuts cuts(y, x);
    // Of one tap in the last cut, points would take in numbers beyond what the results see.
    const auto fits = [](const Axis& a) { return a.kernel >= 3 && a.kernel % 3 != 1 && a.stride == 1; };
    const auto trivial = [](const Axis& a) { return a.kernel == 1 && a.in == 1 && a.out == 1; };
    if (!trivial(z) || !fits(x) || x.out < 2 * x.dilation || b.channels < 16 || b.filters < 16) return false;
    if (cuts.in_row ? !trivial(y) : !fits(y) || y.dilation > 1 || x.dilation > 1 || y.out < 2) return false;
    // Of what is computed only so much is wanted: vectors of channels and filters may be emptier, tiles lie beyond the map.
    const auto products = [](const Axis& a, int points) { return (double)(a.kernel / 3 * points + (a.kernel % 3 ? points - 1 : 0)); };
    const double channels = (double)rounded_up(b.channels, kernels.lanes), filters = (double)rounded_up(b.filters, kernels.lanes);
    const double depth = (double)(cuts.all() == 1 ? b.channels : rounded_up(b.channels, kernels.lanes));
    const double tiles = (double)PointGrid::of(cuts, y.out, x.out).count(), transforms = (cuts.in_row ? 12 : 44) * (channels * cuts.all() + filters);
    const double direct = (double)(y.kernel * x.kernel * b.channels * b.filters * y.out * x.out);
    return 1.2 * tiles * ((cuts.in_row ? 1 : products(y, down_points)) * products(x, cuts.across_points) * depth * filters + transforms) < direct;
}

template <class T>
PointFilters<T>::PointFilters(const ConvolutionBlock<T>& b, bool backward, const Kernels<T>& kernels, Arena& arena)
    : cuts(b.axis[1], b.axis[2]), inner(backward ? b.filters : b.channels), outer(backward ? b.channels : b.filters),
      step(cuts.all() == 1 ? inner : rounded_up(inner, kernels.lanes)), wide(rounded_up(outer, kernels.lanes)) {
    Gemm<T> side;
    side.n = wide, side.b_row = wide, side.b_column = 1;
    for (int p = 0; p < cuts.points(); ++p) {
        const long lines = cuts.lines_at(p), columns = cuts.columns_at(p), line = cuts.count[1] * step;
        if (columns == cuts.count[1]) parts_[p].push_back({0, lines * line, 0});
        else for (long a = 0; a < lines; ++a) parts_[p].push_back({a * line, columns * step, 0});
        for (Part& part : parts_[p]) part.offset = size_, side.k = part.depth, size_ += (long)panels_size(kernels, side);
    }
    values_ = arena.take<T>(b.groups * size_);

    const long lanes = kernels.lanes, taps = cuts.kernel[0] * cuts.kernel[1], depth = cuts.all() * step;
    T* at_points = arena.take<T>(cuts.points() * depth * wide);     // [point][row][wide]
    T* turned = arena.take<T>(inner * taps * lanes);            // [row][tap][lane]
    T* cut = arena.take<T>(9 * lanes);
    const auto& to_points = cuts.in_row ? kernels.spatial.row_filters_to_points : kernels.spatial.filters_to_points;
    if (step > inner) std::fill_n(at_points, cuts.points() * depth * wide, T(0));
    for (long g = 0; g < b.groups; ++g) {
        const T* weight = b.weight + g * b.filters * b.channels * taps;
        for (long o = 0; o < outer; o += lanes) {
            const int rows = (int)std::min(lanes, outer - o);
            if (!backward) kernels.turn({weight + o * inner * taps, inner * taps, rows, inner * taps, turned, lanes});
            for (long i = 0; backward && i < inner; ++i) kernels.turn({weight + (i * outer + o) * taps, taps, rows, taps, turned + i * taps * lanes, lanes});
            for (long c = 0; c < cuts.all(); ++c)
                for (long i = 0; i < inner; ++i) {
                    for (long k = 0; k < 9; ++k) {
                        const long y = c / cuts.count[1] * 3 + k / 3, x = c % cuts.count[1] * 3 + k % 3, tap = y * cuts.kernel[1] + x;
                        if (y >= cuts.kernel[0] || x >= cuts.kernel[1]) std::fill_n(cut + k * lanes, lanes, T(0));
                        else std::copy_n(turned + (i * taps + (backward ? taps - 1 - tap : tap)) * lanes, lanes, cut + k * lanes);
                    }
                    to_points({cut, at_points + (c * step + i) * wide + o, 0, depth * wide, 1});
                }
        }
        for (int p = 0; p < cuts.points(); ++p)
            for (const Part& part : parts_[p]) {
                side.b = at_points + (p * depth + part.first) * wide, side.k = part.depth;
                pack_panels(side, values_ + g * size_ + part.offset, kernels, 0, 1);
            }
    }
    if (!b.bias || backward) return;
    bias_ = arena.take<T>(b.groups * wide);
    std::fill_n(bias_, b.groups * wide, T(0));
    for (long g = 0; g < b.groups; ++g) std::copy_n(b.bias + g * b.filters, b.filters, bias_ + g * wide);
}

namespace {

// Neighbouring numbers of some channels.
template <class T>
void bring_run(const T* from, const Maps<const T>& in, int channels, long count, T* to, const Kernels<T>& kernels) {
    const long lanes = kernels.lanes;
    if (in.x == 1) return kernels.turn({from, in.channel, channels, count, to, lanes});
    for (long i = 0; i < count; ++i, from += in.x, to += lanes) {
        if (in.channel == 1) std::copy_n(from, channels, to);
        else for (int c = 0; c < channels; ++c) to[c] = from[c * in.channel];
        std::fill(to + channels, to + lanes, T(0));
    }
}

}  // namespace

template <class T>
void bring(const Tile& t, const ConvolutionBlock<T>& b, const Maps<const T>& in, long image, long group, const Pixels<T>& to, const Kernels<T>& kernels) {
    const TileAxis &y = t.axis[1], &x = t.axis[2];
    const TileAxis::Run run = x.runs[0];
    const long lanes = kernels.lanes;
    for (long c = 0; c < b.channels; c += lanes) {
        const int channels = (int)std::min(lanes, b.channels - c);
        const T* from = in.at(image, group * b.channels + c);
        for (long iy = 0; iy < y.count; ++iy) {
            if (y.source[iy] < 0) continue;
            const T* row = from + y.source[iy] * in.y;
            T* place = to.data + c / lanes * to.plane + iy * to.row;
            if (run.begin < run.end) bring_run(row + x.source[run.begin] * in.x, in, channels, run.end - run.begin, place + run.begin * lanes, kernels);
            for (long ix = 0; ix < x.count; ++ix) {
                if (ix == run.begin) ix = run.end;
                if (ix < x.count && x.source[ix] >= 0) bring_run(row + x.source[ix] * in.x, in, channels, 1, place + ix * lanes, kernels);
            }
        }
    }
}

template <class T>
void to_rows(const T* from, long line, long lines, long width, int channels, T* to, long y_step, long channel_step, T* scratch, const Kernels<T>& kernels) {
    const long lanes = kernels.lanes;
    for (long y = 0; y < lines; ++y, from += line, to += y_step) {
        // The last vector of a row begins where it ends with the row, and numbers before it come again.
        for (long x = 0; x < width && width >= lanes; x += lanes) {
            const long at = std::min(x, width - lanes);
            kernels.turn({from + at * lanes, lanes, (int)lanes, channels, to + at, channel_step});
        }
        if (width >= lanes) continue;
        kernels.turn({from, lanes, (int)width, channels, scratch, lanes});
        for (int c = 0; c < channels; ++c) std::copy_n(scratch + c * lanes, width, to + c * channel_step);
    }
}

template <class T>
PointSums<T>::PointSums(const PointFilters<T>& filters, PointGrid most, const Kernels<T>& kernels, Arena& arena) : filters_(filters), kernels_(kernels) {
    const Panels<T> cut(kernels, filters.wide);
    const long a_panel = filters.cuts.points() * most.count() * cut.wide;
    depth_ = rounded_up(filters.cuts.all() * filters.step, kernels.lanes);
    wide_ = std::clamp<long>(sum_bytes / (long)sizeof(T) / a_panel, 1, cut.count) * cut.wide;
    tiles_ = arena.take<T>(filters.cuts.points() * apart(most, depth_, kernels));
    sums_ = arena.take<T>(filters.cuts.points() * apart(most, wide_, kernels));
}

template <class T>
void PointSums<T>::begin(PointGrid grid, long group, const Pixels<T>& numbers) {
    grid_ = grid, group_ = group, made_ = -1;
    const Cuts& cuts = filters_.cuts;
    const long lanes = kernels_.lanes, columns = cuts.count[1], column = cuts.dilation * lanes;
    for (long c = 0; c < cuts.all(); ++c)
        for (long i = 0; i < filters_.inner; i += lanes) {
            T* from = numbers.data + i / lanes * numbers.plane + 3 * (c / columns * numbers.row + c % columns * column);
            T* to = tiles_ + c * filters_.step + i;
            const long point = apart(grid, depth_, kernels_);
            if (cuts.in_row) kernels_.spatial.row_to_points[cuts.across == 4]({from, lanes, column, to, point, depth_, grid.lines, grid.columns});
            else kernels_.spatial.to_points({from, numbers.row, lanes, to, point, depth_, grid.lines, grid.columns});
        }
}

template <class T>
T* PointSums<T>::sums(long filter) {
    if (made_ < 0 || filter < made_ || filter >= made_ + wide_) {
        const Panels<T> cut(kernels_, filters_.wide);
        made_ = filter / wide_ * wide_;
        const long first = made_ / cut.wide, last = std::min(cut.count, first + wide_ / cut.wide);
        for (int p = 0; p < filters_.cuts.points(); ++p) {
            Gemm<T> g;
            g.m = grid_.count(), g.n = filters_.wide, g.a_row = depth_, g.a_column = 1;
            g.c = sums_ + p * apart(grid_, wide_, kernels_) - made_, g.c_row = wide_;
            for (const auto& part : filters_.parts(p)) {
                g.k = part.depth, g.a = tiles_ + p * apart(grid_, depth_, kernels_) + part.first;
                multiply_share(g, {0, g.m, first, last}, filters_.values(group_, part), (T*)nullptr, (T*)nullptr, kernels_);
                g.add = true;
            }
        }
    }
    return sums_ + (filter - made_);
}

template <class T>
bool PointSums<T>::results(long filter, T* to, long row) {
    const long lanes = kernels_.lanes;
    const T* bias = filters_.bias(group_, filter);
    if (filters_.cuts.in_row)
        return kernels_.spatial.row_from_points({to, lanes, filters_.cuts.dilation * lanes, sums(filter), apart(grid_, wide_, kernels_), wide_, grid_.lines, grid_.columns, bias});
    return kernels_.spatial.from_points({to, row, lanes, sums(filter), apart(grid_, wide_, kernels_), wide_, grid_.lines, grid_.columns, bias});
}

template <class T>
bool PointSums<T>::largest(long filter, T* to, Spot<T>* places, Spot<T> spot, Spot<T> width) {
    const auto& kernel = filters_.cuts.in_row ? kernels_.spatial.row_largest_from_points : kernels_.spatial.largest_from_points;
    return kernel[places != nullptr](
        {sums(filter), apart(grid_, wide_, kernels_), wide_, grid_.lines, grid_.columns, to, places, spot, width, filters_.bias(group_, filter)});
}

#define PELLUCID_FOR(T)                                                                  \
    template bool by_points<T>(const ConvolutionBlock<T>&, const Kernels<T>&);           \
    template class PointFilters<T>;                                                      \
    template void bring<T>(const Tile&, const ConvolutionBlock<T>&, const Maps<const T>&, long, long, const Pixels<T>&, const Kernels<T>&);  \
    template void to_rows<T>(const T*, long, long, long, int, T*, long, long, T*, const Kernels<T>&);  \
    template class PointSums<T>;
PELLUCID_FOR(float)
PELLUCID_FOR(double)
#undef PELLUCID_FOR

}  // namespace pellucid
