#include "points.h"

#include <algorithm>

namespace pellucid {
namespace {

constexpr int middle = 5;       // the point whose sum goes into all four results of a tile, with nothing to multiply it

// Bytes of the sums at all points that are made at a time: they are read again from the second cache.
constexpr long sum_bytes = 256 * 1024;

}  // namespace

template <class T>
bool by_points(const ConvolutionBlock<T>& b, const Kernels<T>& kernels) {
    const auto fits = [](const Axis& a) { return a.kernel == 3 && a.stride == 1 && a.dilation == 1 && a.out >= 2; };
    const auto &z = b.axis[0], &y = b.axis[1], &x = b.axis[2];
    if (z.kernel != 1 || z.in != 1 || z.out != 1 || !fits(y) || !fits(x)) return false;
    // Of what is computed only so much is wanted: vectors of channels and filters may be emptier, tiles lie beyond the map.
    const long channels = rounded_up(b.channels, kernels.lanes), filters = rounded_up(b.filters, kernels.lanes);
    const double direct = 9.0 * b.channels * b.filters * y.out * x.out;
    const double tiles = 4.0 * (double)(rounded_up(y.out, 2) * rounded_up(x.out, 2));
    const double transforms = 24.0 * (channels + filters) * tiles / 4;       // as multiply-adds
    return b.channels >= 16 && b.filters >= 16 && 1.2 * (tiles * b.channels * filters + transforms) < direct;
}

template <class T>
FilterPoints<T>::FilterPoints(const ConvolutionBlock<T>& b, const Kernels<T>& kernels, Arena& arena)
    : channels(b.channels), filters(b.filters), wide(rounded_up(b.filters, kernels.lanes)), groups(b.groups) {
    const long lanes = kernels.lanes, depth = 9 * channels;
    values = arena.take<T>(groups * points * channels * wide);
    T* turned = arena.take<T>(depth * lanes);
    for (long g = 0; g < groups; ++g)
        for (long f = 0; f < filters; f += lanes) {
            const int rows = (int)std::min(lanes, filters - f);
            kernels.turn({b.weight + (g * filters + f) * depth, depth, rows, depth, turned, lanes});
            kernels.spatial.filters_to_points({turned, at(g, 0) + f, wide, channels * wide, channels});
        }
}

template <class T>
Gemm<T> FilterPoints<T>::forward(long group, int point) const {
    Gemm<T> g;
    g.n = wide, g.k = channels, g.b = at(group, point), g.b_row = wide, g.b_column = 1;
    return g;
}

template <class T>
Gemm<T> FilterPoints<T>::backward(long group, int point) const {
    // Upside down a filter has its first and last points in each other's place.
    constexpr int turned[] = {3, 1, 2, 0};
    Gemm<T> g;
    g.n = channels, g.k = filters, g.b = at(group, 4 * turned[point / 4] + turned[point % 4]), g.b_row = 1, g.b_column = wide;
    return g;
}

template <class T>
PointPanels<T>::PointPanels(const FilterPoints<T>& filters, bool backward, const T* given, const Kernels<T>& kernels, Arena& arena) {
    const auto side = [&](long group, int point) { return backward ? filters.backward(group, point) : filters.forward(group, point); };
    const Gemm<T> first = side(0, 0);
    columns = rounded_up(first.n, kernels.lanes), depth = first.k, size = (long)panels_size(kernels, first);
    values = arena.take<T>(filters.groups * points * size);
    for (long g = 0; g < filters.groups; ++g)
        for (int p = 0; p < points; ++p) pack_panels(side(g, p), values + (g * points + p) * size, kernels, 0, 1);
    bias = given ? arena.take<T>(filters.groups * columns) : nullptr;
    for (long g = 0; given && g < filters.groups; ++g) {
        std::copy_n(given + g * filters.filters, filters.filters, bias + g * columns);
        std::fill(bias + g * columns + filters.filters, bias + (g + 1) * columns, T(0));
    }
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
PointSums<T>::PointSums(const PointPanels<T>& panels, PointGrid most, const Kernels<T>& kernels, Arena& arena)
    : panels_(panels), kernels_(kernels) {
    const Panels<T> cut(kernels, panels.columns);
    const long a_panel = points * most.count() * cut.wide;
    depth_ = rounded_up(panels.depth, kernels.lanes);
    wide_ = std::clamp<long>(sum_bytes / (long)sizeof(T) / a_panel, 1, cut.count) * cut.wide;
    tiles_ = arena.take<T>(points * most.count() * depth_);
    sums_ = arena.take<T>(points * most.count() * wide_);
}

template <class T>
void PointSums<T>::begin(PointGrid grid, long group, const Pixels<T>& numbers) {
    grid_ = grid, group_ = group, made_ = -1;
    const long lanes = kernels_.lanes, vectors = depth_ / lanes;
    for (long v = 0; v < vectors; ++v)
        kernels_.spatial.to_points({numbers.data + v * numbers.plane, numbers.row, tiles_ + v * lanes, grid.count() * depth_, depth_, grid.lines, grid.columns});
}

template <class T>
T* PointSums<T>::sums(long filter) {
    if (made_ < 0 || filter < made_ || filter >= made_ + wide_) {
        const Panels<T> cut(kernels_, panels_.columns);
        made_ = filter / wide_ * wide_;
        const long first = made_ / cut.wide, last = std::min(cut.count, first + wide_ / cut.wide);
        for (int p = 0; p < points; ++p) {
            Gemm<T> g;
            g.m = grid_.count(), g.n = panels_.columns, g.k = panels_.depth;
            g.a = tiles_ + p * g.m * depth_, g.a_row = depth_, g.a_column = 1;
            g.c = sums_ + p * g.m * wide_ - made_, g.c_row = wide_;
            if (p == middle && panels_.bias) g.bias = panels_.bias + group_ * panels_.columns;
            multiply_share(g, {0, g.m, first, last}, panels_.at(group_, p), (T*)nullptr, (T*)nullptr, kernels_);
        }
    }
    return sums_ + (filter - made_);
}

template <class T>
bool PointSums<T>::results(long filter, T* to, long row) {
    return kernels_.spatial.from_points({to, row, sums(filter), grid_.count() * wide_, wide_, grid_.lines, grid_.columns});
}

template <class T>
bool PointSums<T>::largest(long filter, T* to, Spot<T>* places, Spot<T> spot, Spot<T> width) {
    return kernels_.spatial.largest_from_points[places != nullptr](
        {sums(filter), grid_.count() * wide_, wide_, grid_.lines, grid_.columns, to, places, spot, width});
}

#define PELLUCID_FOR(T)                                                                  \
    template bool by_points<T>(const ConvolutionBlock<T>&, const Kernels<T>&);           \
    template struct FilterPoints<T>;                                                     \
    template struct PointPanels<T>;                                                      \
    template void bring<T>(const Tile&, const ConvolutionBlock<T>&, const Maps<const T>&, long, long, const Pixels<T>&, const Kernels<T>&);  \
    template class PointSums<T>;
PELLUCID_FOR(float)
PELLUCID_FOR(double)
#undef PELLUCID_FOR

}  // namespace pellucid
