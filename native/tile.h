// A tile of a feature map: which part of the input it sees, and the order in which that lies in the processor's cache.

#pragma once

#include <cstdint>
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

// Where everything of a tile lies. A result and the first number that it sees have the same place.
struct Tile {
    Range windows[3];                       // of what the block gives on
    TileAxis axis[3];
    long y_step, z_step, phase_step, channel_step;
    std::vector<std::int32_t> taps;         // of all channels
    std::vector<long> starts;               // of vectors of results
    long length;                            // of a filter's map, with what the last vector has too much

    Range out(int a) const { return axis[a].out; }
};

// Where vectors of a block of numbers begin: rows one by one, or all of a plane as one with the numbers between them, whatever
// takes fewer.
std::vector<long> starts_of(const long (&count)[3], long z_step, long y_step, int lanes);

Tile tile_of(const Axis (&axes)[3], Border border, const Range (&windows)[3], const Range (&out)[3], long channels, int lanes);

// How the filters and the vectors of results are dealt out to kernel calls.
struct Shape {
    int filters, vectors;

    template <class T>
    static Shape of(const Spatial<T>& s, long filters, long starts) {
        Shape best{1, 1};
        double least = 0;
        for (int v = 1; v <= most_pixels; ++v) {
            const long blocks = (filters + s.channels[v - 1] - 1) / s.channels[v - 1], f = (filters + blocks - 1) / blocks;
            // Multiply-adds, or loads of which two go at a time; and the way in and out of a call.
            const double a_tap = std::max<double>(f * v, (f + 1.5 * v) / 2) + 1;
            const double cost = blocks * (double)((starts + v - 1) / v) * a_tap;
            if (least == 0 || cost < least) best = {(int)f, v}, least = cost;
        }
        return best;
    }
};

// One row of one channel, as far as the tile wants it of one phase.
template <class T>
void bring_row(const TileAxis& x, size_t phase, const T* row, long apart, long stride, T border, T* to) {
    const std::int32_t* source = x.source.data() + phase * x.count;
    const TileAxis::Run run = x.runs[phase];
    for (long i = 0; i < run.begin; ++i) to[i] = source[i] < 0 ? border : row[source[i] * apart];
    if (run.end > run.begin) {
        const T* first = row + source[run.begin] * apart;
        const long count = run.end - run.begin, step = stride * apart;
        T* begin = to + run.begin;
        if (step == 1) std::copy_n(first, count, begin);
        else for (long i = 0; i < count; ++i) begin[i] = first[i * step];
    }
    for (long i = run.end; i < x.count; ++i) to[i] = source[i] < 0 ? border : row[source[i] * apart];
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

// One image's channels of a group, in the tile's order.
template <class T>
void bring(const Tile& t, const Axis& along, const Maps<const T>& in, const T* from, long channels, T border, T* to, const Kernels<T>& kernels) {
    const TileAxis &z = t.axis[0], &y = t.axis[1], &x = t.axis[2];
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
    if (in.channel == 1 && in.x != 1 && along.stride == 1) {       // channels last
        each_row([&](const T* row, T* first) {
            if (row) bring_pixels(x, row, in.x, channels, border, first, t.channel_step, kernels);
            else for (long c = 0; c < channels; ++c) std::fill_n(first + c * t.channel_step, x.count, border);
        });
        return;
    }
    for (long c = 0; c < channels; ++c, from += in.channel, to += t.channel_step)
        each_row([&](const T* row, T* first) {
            for (size_t px = 0; px < x.phases.size(); ++px, first += t.phase_step) {
                if (row) bring_row(x, px, row, in.x, along.stride, border, first);
                else std::fill_n(first, x.count, border);
            }
        });
}

template <class N>
void copy_row(const N* from, long count, N* to, long step) {
    if (step == 1) std::copy_n(from, count, to);
    else for (long i = 0; i < count; ++i) to[i * step] = from[i];
}

}  // namespace pellucid
