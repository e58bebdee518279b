// A tile of a feature map: which part of the input it sees, and the order in which that lies in the processor's cache.

#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "convolution.h"

namespace pellucid {

// Where the padding at a place beside an axis of that size has its number from; -1: nowhere, it is the border's value.
long borrowed(long at, long size, Border border);

// One axis of a tile: which numbers of the input it takes, and in which order. With a stride the input is dealt out to phases, the
// remainders of its coordinates, so that neighbouring results read neighbouring numbers whatever the stride.
struct TileAxis {
    Range out;                              // of the results
    long count;                             // numbers of one phase
    std::vector<long> phases;               // those that taps need
    std::vector<int> phase;                 // of each tap, which one
    std::vector<long> shift;                // of each tap, how far in its phase
    std::vector<std::int32_t> source;       // [phase][number]: its coordinate in the input; -1: the border's value
    long reach = 0;                         // the longest shift
    struct Run { long begin, end; };        // numbers of a phase whose coordinates are a stride apart
    std::vector<Run> runs;

    TileAxis() = default;
    TileAxis(const Axis& a, Range out, Border border);
};

// Half a vector of windows two by two, or less.
struct Half {
    long start;                             // of the first result that they see
    int count;
    long line, column;                      // of the first window
};

// Where everything of a tile lies. A result and the first number that it sees have the same place.
struct Tile {
    Range windows[3];                       // of what the block gives on
    TileAxis axis[3];
    long y_step, z_step, phase_step, channel_step;
    std::vector<std::int32_t> taps;         // of all channels
    std::vector<long> starts;               // of vectors of results
    long length;                            // of a filter's map, with what the last vector has too much
    std::vector<Half> halves = {};          // of vectors of windows, where the map is pooled before it is written

    Range out(int a) const { return axis[a].out; }
    long window_count() const { return windows[0].count() * windows[1].count() * windows[2].count(); }
};

// Where vectors of a block of numbers begin: rows one by one, or all of a plane as one with the numbers between them, whatever
// takes fewer.
std::vector<long> starts_of(const long (&count)[3], long z_step, long y_step, int lanes);

// Of a tile whose windows are two by two.
std::vector<Half> halves_of(const Tile& t, int lanes);

Tile tile_of(const Axis (&axes)[3], Border border, const Range (&windows)[3], const Range (&out)[3], long channels, int lanes);

// How many at a time of a number of which at most so many go together.
inline int evenly(long count, int most) {
    const long times = (count + most - 1) / most;
    return (int)((count + times - 1) / times);
}

// How the filters and the vectors of results are dealt out to kernel calls.
struct Shape {
    int filters, vectors;

    template <class T>
    static Shape of(const Spatial<T>& s, long filters, long starts) {
        Shape best{1, 1};
        double least = 0;
        for (int v = 1; v <= most_pixels; ++v) {
            const long f = evenly(filters, s.channels[v - 1]), blocks = (filters + f - 1) / f;
            // Multiply-adds, or loads of which two go at a time; and the way in and out of a call.
            const double a_tap = std::max<double>(f * v, (f + 1.5 * v) / 2) + 1;
            const double cost = blocks * (double)((starts + v - 1) / v) * a_tap;
            if (least == 0 || cost < least) best = {(int)f, v}, least = cost;
        }
        return best;
    }
};

// Which of the kernels of one plane.
struct PlaneSize {
    int size = 0, stride = 0;

    static PlaneSize of(const Axis& y, const Axis& x) {
        const bool square = y.kernel == x.kernel && y.stride == x.stride && y.stride <= 2;
        const int size = !square ? 0 : x.kernel == 3 ? 1 : x.kernel == 5 ? 2 : 0;
        return {size, size ? (int)x.stride - 1 : 0};
    }
};

// One row of one channel, as far as the tile wants it of one phase.
template <class T>
void bring_row(const TileAxis& x, size_t phase, const T* row, long apart, long stride, T border, T* to, const Kernels<T>& kernels) {
    const std::int32_t* source = x.source.data() + phase * x.count;
    const TileAxis::Run run = x.runs[phase];
    for (long i = 0; i < run.begin; ++i) to[i] = source[i] < 0 ? border : row[source[i] * apart];
    if (run.end > run.begin) {
        const T* first = row + source[run.begin] * apart;
        const long count = run.end - run.begin, step = stride * apart;
        T* begin = to + run.begin;
        if (step == 1) std::copy_n(first, count, begin);
        else if (step == 2) kernels.spatial.deal({first, 0, {begin, begin}, 0, 1, {count, 0}});
        else for (long i = 0; i < count; ++i) begin[i] = first[i * step];
    }
    for (long i = run.end; i < x.count; ++i) to[i] = source[i] < 0 ? border : row[source[i] * apart];
}

// Rows of one channel whose numbers lie side by side, with a stride of 1 or 2, as far as they are inside the input.
template <class T>
void bring_rows(const TileAxis& x, long stride, const T* from, long from_step, long rows, T* to, long to_step, long phase_step, long ahead,
                const Kernels<T>& kernels) {
    const auto first = [&](size_t p) { return x.source[p * x.count + x.runs[p].begin]; };
    const auto width = [&](size_t p) { return x.runs[p].end - x.runs[p].begin; };
    if (stride == 1) {
        if (width(0) > 0) kernels.spatial.copy({from + first(0), from_step, to + x.runs[0].begin, to_step, rows, width(0), ahead});
        return;
    }
    size_t even = 0, odd = x.phases.size() - 1;         // the second phase begins beside the first one, before or after
    if (odd == 1 && width(1) > 0 && (width(0) == 0 || first(1) < first(0))) std::swap(even, odd);
    if (width(even) == 0) return;
    kernels.spatial.deal({from + first(even), from_step, {to + even * phase_step + x.runs[even].begin, to + odd * phase_step + x.runs[odd].begin},
                          to_step, rows, {width(even), even == odd ? 0 : width(odd)}, ahead});
}

// The same of all channels, which lie side by side: squares of pixels and channels are turned.
template <class T>
void bring_pixels(const TileAxis& x, const T* row, long apart, long channels, T border, T* to, long channel_step, const Kernels<T>& kernels) {
    const TileAxis::Run run = x.runs[0];
    const int lanes = kernels.lanes;
    long i = run.begin;
    for (; i + lanes <= run.end; i += lanes) kernels.turn({row + x.source[i] * apart, apart, lanes, channels, to + i, channel_step});
    for (long c = 0; c < channels; ++c) {
        T* one = to + c * channel_step;
        for (long k = i; k < run.end; ++k) one[k] = row[x.source[k] * apart + c];
        for (long k = 0; k < run.begin; ++k) one[k] = x.source[k] < 0 ? border : row[x.source[k] * apart + c];
        for (long k = run.end; k < x.count; ++k) one[k] = x.source[k] < 0 ? border : row[x.source[k] * apart + c];
    }
}

// Where `bring` will bring the channels of a group: what it leaves as it is, the border's values and what a vector reads beyond.
template <class T>
void frame(const Tile& t, const ConvolutionBlock<T>& b, T* to, const Kernels<T>& kernels) {
    const long size = b.channels * t.channel_step;
    std::fill_n(to, size, b.border_value);
    std::fill_n(to + size, 2 * kernels.lanes, T(0));
}

// One image's channels of a group, in the tile's order, into a frame of this tile. What lies `ahead` is asked for meanwhile, where rows
// are as they lie.
template <class T>
void bring(const Tile& t, const ConvolutionBlock<T>& b, const Maps<const T>& in, long image, long group, T* to, const Kernels<T>& kernels, long ahead = 0) {
    const TileAxis &z = t.axis[0], &y = t.axis[1], &x = t.axis[2];
    const T* from = in.at(image, group * b.channels);
    const T border = b.border_value;
    if (b.border == Border::value && in.x == 1 && b.axis[2].stride <= 2) {        // rows as they lie, within the border
        for (long c = 0; c < b.channels; ++c, from += in.channel)
            for (size_t pz = 0; pz < z.phases.size(); ++pz)
                for (size_t py = 0; py < y.phases.size(); ++py, to += (long)x.phases.size() * t.phase_step) {
                    const TileAxis::Run &planes = z.runs[pz], &rows = y.runs[py];
                    if (rows.begin == rows.end) continue;
                    for (long iz = planes.begin; iz < planes.end; ++iz) {
                        const T* row = from + z.source[pz * z.count + iz] * in.z + y.source[py * y.count + rows.begin] * in.y;
                        T* place = to + iz * t.z_step + rows.begin * t.y_step;
                        bring_rows(x, b.axis[2].stride, row, b.axis[1].stride * in.y, rows.end - rows.begin, place, t.y_step, t.phase_step, ahead, kernels);
                    }
                }
        return;
    }
    // Every row: where it comes from, null beside the input, and where its phases go.
    const auto each_row = [&](const auto& visit) {
        for (size_t pz = 0; pz < z.phases.size(); ++pz)
            for (size_t py = 0; py < y.phases.size(); ++py)
                for (long iz = 0; iz < z.count; ++iz)
                    for (long iy = 0; iy < y.count; ++iy) {
                        const long at_z = z.source[pz * z.count + iz], at_y = y.source[py * y.count + iy];
                        visit(at_z < 0 || at_y < 0 ? nullptr : from + at_z * in.z + at_y * in.y,
                              to + (long)((pz * y.phases.size() + py) * x.phases.size()) * t.phase_step + iz * t.z_step + iy * t.y_step);
                    }
    };
    if (in.channel == 1 && in.x != 1 && b.axis[2].stride == 1) {       // channels last
        each_row([&](const T* row, T* first) {
            if (row) bring_pixels(x, row, in.x, b.channels, border, first, t.channel_step, kernels);
        });
        return;
    }
    for (long c = 0; c < b.channels; ++c, from += in.channel, to += t.channel_step)
        each_row([&](const T* row, T* first) {
            if (!row) return;
            for (size_t px = 0; px < x.phases.size(); ++px, first += t.phase_step) bring_row(x, px, row, in.x, b.axis[2].stride, border, first, kernels);
        });
}

// Rows of numbers side by side, to numbers `step` apart.
template <class T, class N>
void copy_rows(const N* from, long from_step, long rows, long width, N* to, long to_step, long step, const Kernels<T>& kernels) {
    if constexpr (std::is_same_v<T, N>) {
        if (step == 1) return kernels.spatial.copy({from, from_step, to, to_step, rows, width});
        if (step == 2) return kernels.spatial.copy_to_second({from, from_step, to, to_step, rows, width});
    }
    for (long y = 0; y < rows; ++y, from += from_step, to += to_step)
        for (long i = 0; i < width; ++i) to[i * step] = from[i];
}

}  // namespace pellucid
