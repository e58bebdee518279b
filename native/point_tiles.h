// Minimal filtering of tiles, forward: the input goes in, and maps or windows come out, as they do where sums are made directly.

#pragma once

#include <algorithm>
#include <vector>

#include "points.h"

namespace pellucid {

// One thread's tiles.
template <class T>
class PointTiles {
public:
    PointTiles(const ConvolutionBlock<T>& block, const std::vector<Tile>& tiles, const PointFilters<T>& filters, const Kernels<T>& kernels, Arena& arena)
        : block_(block), kernels_(kernels), filters_(filters), sums_(filters, most(filters.cuts, tiles), kernels, arena) {
        const PointGrid grid = most(filters.cuts, tiles);
        numbers_ = arena.take<T>(rounded_up(block.channels, kernels.lanes) * grid.height(filters.cuts) * grid.width(filters.cuts));
        made_ = arena.take<T>(grid.made(filters.cuts) * kernels.lanes);
        const long windows = grid.windows(filters.cuts);
        places_ = arena.take<Spot<T>>(windows * kernels.lanes);
        turned_ = arena.take<T>(rounded_up(std::max<long>(windows, 1), kernels.lanes) * kernels.lanes);
    }

    void bring(const Tile& t, const Maps<const T>& in, long image, long group) {
        const PointGrid grid = PointGrid::of(filters_.cuts, t);
        const Pixels<T> numbers = Pixels<T>::of(numbers_, grid.height(filters_.cuts), grid.width(filters_.cuts), kernels_.lanes);
        if (framed_ != &t) std::fill_n(numbers_, rounded_up(block_.channels, kernels_.lanes) / kernels_.lanes * numbers.plane, block_.border_value);
        framed_ = &t;
        pellucid::bring(t, block_, in, image, group, numbers, kernels_);
        sums_.begin(grid, group, numbers);
    }

    // Filters of the group from `first` on, at most a vector of them: their maps as the tile has them. Whether all numbers are finite.
    bool map(const Tile& t, long first, int filters, T* to) {
        const PointGrid grid = PointGrid::of(filters_.cuts, t);
        const long lanes = kernels_.lanes, row = grid.wide(filters_.cuts) * lanes;
        if (!sums_.results(first, made_, row)) return false;
        for (long y = 0; y < t.out(1).count(); ++y)
            for (long x = 0; x < t.out(2).count(); x += lanes)
                kernels_.turn({made_ + y * row + x * lanes, lanes, (int)std::min(lanes, t.out(2).count() - x), filters, to + y * t.y_step + x, t.length});
        return true;
    }

    // The same straight to rows of a tensor, beyond whose ends nothing may be written.
    bool rows(const Tile& t, long first, int filters, T* to, long y_step, long channel_step) {
        const PointGrid grid = PointGrid::of(filters_.cuts, t);
        const long row = grid.wide(filters_.cuts) * kernels_.lanes;
        if (!sums_.results(first, made_, row)) return false;
        to_rows(made_, row, t.out(1).count(), t.out(2).count(), filters, to, y_step, channel_step, turned_, kernels_);
        return true;
    }

    // The largest of windows that tiles consist of, and where they are in a map of that width.
    bool largest(const Tile& t, long first, int filters, T* to, Spot<T>* places, Spot<T> width) {
        const PointGrid grid = PointGrid::of(filters_.cuts, t);
        const Spot<T> spot = (Spot<T>)(t.out(1).begin * width + t.out(2).begin);
        if (!sums_.largest(first, made_, places ? places_ : nullptr, spot, width)) return false;
        turn(t, grid, made_, filters, to);
        if (places) turn(t, grid, (const T*)places_, filters, (T*)places);
        return true;
    }

private:
    const ConvolutionBlock<T>& block_;
    const Kernels<T>& kernels_;
    const PointFilters<T>& filters_;
    PointSums<T> sums_;
    T *numbers_, *made_, *turned_;
    Spot<T>* places_;
    const Tile* framed_ = nullptr;      // whose border is in the numbers

    static PointGrid most(const Cuts& cuts, const std::vector<Tile>& tiles) {
        PointGrid found{0, 0};
        for (const Tile& t : tiles) found = {std::max(found.lines, PointGrid::of(cuts, t).lines), std::max(found.columns, PointGrid::of(cuts, t).columns)};
        return found;
    }

    // Vectors of filters to the filters' windows; those of the last tiles may lie beyond the map.
    void turn(const Tile& t, PointGrid grid, const T* from, int filters, T* to) {
        const long lanes = kernels_.lanes, count = grid.windows(filters_.cuts), padded = rounded_up(count, lanes), windows = t.window_count();
        T* place = padded == windows ? to : turned_;
        for (long i = 0; i < count; i += lanes)
            kernels_.turn({from + i * lanes, lanes, (int)std::min(lanes, count - i), filters, place + i, padded});
        if (place == to) return;
        const long columns = t.windows[2].count(), row = count / grid.lines;
        for (int f = 0; f < filters; ++f)
            for (long y = 0; y < t.windows[1].count(); ++y) std::copy_n(turned_ + f * padded + y * row, columns, to + f * windows + y * columns);
    }
};

}  // namespace pellucid
