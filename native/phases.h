// Where a convolution's gradients lie while they are worked on: the map's, and of it the phases of the input's.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "convolution.h"
#include "pieces.h"
#include "tile.h"

namespace pellucid {

// The input's gradient, one phase of its coordinates at a time: a correlation of the map's gradient with the taps that meet them.
struct InputPhase {
    long at[3];                             // the phase on each axis: a padded coordinate's remainder
    struct Part {
        Range range[3];                     // of its numbers that the input has
        std::vector<long> starts;           // of vectors of them
    };
    std::vector<Part> parts = {};           // one a share, see ImageShare
    long first = 0;                         // from a place in the padded input to the first tap's in the map's gradient
    std::vector<std::int32_t> taps = {};    // from there on, over filters and taps, or taps and filters: see by_tap
    int rows = 0, columns = 0;              // of a filter's taps
    std::vector<std::int32_t> members = {};     // their weights, of a group's first channel
    long weights = 0;                       // where they are among all phases', [group][channel][filter, tap]
};

// Whether the input's gradient is made a tap at a time: of one channel every number of the map's gradient would be loaded for each
// product, and loads take longer. So it is loaded once for all taps, and what they add, of all filters, is added up where it belongs.
template <class T>
bool by_tap(const ConvolutionBlock<T>& b) { return b.channels == 1 && b.filters >= 8; }

// The layout of one image's map gradient: as the results in the tile, with a margin of zeros before each filter.
struct Gradient {
    long margin, filter_step;
    std::vector<std::int32_t> starts;       // of vectors that have each number once, and beside them zeros

    Gradient(const Tile& t, int lanes) {
        margin = t.axis[0].reach * t.z_step + t.axis[1].reach * t.y_step + t.axis[2].reach;
        filter_step = margin + t.phase_step + 2 * lanes;
        const long width = t.out(2).count(), a_row = (width + lanes - 1) / lanes, all = (t.length + lanes - 1) / lanes;
        const long planes = t.out(0).count(), rows = t.out(1).count();
        if (a_row * lanes <= t.y_step && planes * rows * a_row < all) {
            for (long z = 0; z < planes; ++z)
                for (long y = 0; y < rows; ++y)
                    for (long x = 0; x < width; x += lanes) starts.push_back((std::int32_t)(z * t.z_step + y * t.y_step + x));
        } else
            for (long v = 0; v < all; ++v) starts.push_back((std::int32_t)(v * lanes));
    }
};

// What the gradient is first made of: the input, or, where the padding borrows from it, the padded input, as far as windows see
// it, whose numbers are then given back to where they were borrowed.
struct Target {
    Axis axis[3];
    std::vector<long> lender[3];            // of each padded coordinate; empty: nothing is borrowed

    template <class T>
    explicit Target(const ConvolutionBlock<T>& b) {
        for (int i = 0; i < 3; ++i) {
            Axis& a = axis[i] = b.axis[i];
            if (b.border == Border::value) continue;
            for (long at = 0; at < a.first(a.out - 1) + a.before + a.span(); ++at) {
                const long inside = at - a.before;
                lender[i].push_back(inside >= 0 && inside < a.in ? inside : borrowed(inside, a.in, b.border));
            }
            a.before = 0, a.in = (long)lender[i].size();
        }
    }

    bool lent() const { return !lender[0].empty(); }

    // Whether taps meet every number: not with a stride beyond the kernel, or where windows do not fill the input.
    bool met(const Tile& t) const {
        bool all = true;
        for (int i = 0; i < 3; ++i) {
            const Axis& a = axis[i];
            all = all && (long)t.axis[i].phases.size() == a.stride && (a.out - 1) * a.stride + a.span() >= a.in + a.before;
        }
        return all;
    }
    long volume() const { return axis[0].in * axis[1].in * axis[2].in; }
};

template <class T>
std::vector<InputPhase> phases_of(const ConvolutionBlock<T>& b, const Axis (&a)[3], const Tile& t, const Gradient& g, int shares, int lanes) {
    std::vector<InputPhase> found;
    const long kernel[3] = {a[0].kernel, a[1].kernel, a[2].kernel}, volume = kernel[0] * kernel[1] * kernel[2];
    for (long pz : t.axis[0].phases)
        for (long py : t.axis[1].phases)
            for (long px : t.axis[2].phases) {
                InputPhase phase{{pz, py, px}};
                if (!found.empty()) phase.weights = found.back().weights + b.groups * b.channels * (long)found.back().members.size();
                Range range[3];
                for (int i = 0; i < 3; ++i) {
                    // A number q of the phase is at q * stride + phase - before in the input.
                    const long least = a[i].before - phase.at[i], most = a[i].in + least, stride = a[i].stride;
                    range[i] = {least > 0 ? (least + stride - 1) / stride : 0, most > 0 ? std::min(t.axis[i].count, (most + stride - 1) / stride) : 0};
                }
                if (range[0].count() <= 0 || range[1].count() <= 0 || range[2].count() <= 0) continue;
                const int cut = range[0].count() >= shares ? 0 : range[1].count() >= shares ? 1 : 2;
                for (int share = 0; share < shares; ++share) {
                    auto& part = phase.parts.emplace_back();
                    for (int i = 0; i < 3; ++i) part.range[i] = i == cut ? ImageShare{share, shares}.part(range[i]) : range[i];
                    if (part.range[cut].count() == 0) continue;
                    part.starts = starts_of({part.range[0].count(), part.range[1].count(), part.range[2].count()}, t.z_step, t.y_step, lanes);
                }
                // The last tap meets the first number.
                const auto met = [&](int i, long p) {
                    std::vector<long> found;
                    for (long k = kernel[i] - 1; k >= 0; --k)
                        if (t.axis[i].phases[t.axis[i].phase[k]] == p) found.push_back(k);
                    return found;
                };
                const std::vector<long> planes = met(0, pz), rows = met(1, py), columns = met(2, px);
                const auto place = [&](long kz, long ky, long kx) { return -t.axis[0].shift[kz] * t.z_step - t.axis[1].shift[ky] * t.y_step - t.axis[2].shift[kx]; };
                phase.first = place(planes[0], rows[0], columns[0]);
                phase.rows = (int)rows.size(), phase.columns = (int)columns.size();
                std::vector<std::pair<long, long>> met_here;        // a tap, and where it meets the first number
                for (long kz : planes)
                    for (long ky : rows)
                        for (long kx : columns) met_here.push_back({(kz * kernel[1] + ky) * kernel[2] + kx, place(kz, ky, kx) - phase.first});
                const auto add = [&](long f, const std::pair<long, long>& tap) {
                    phase.members.push_back((std::int32_t)(f * b.channels * volume + tap.first));
                    phase.taps.push_back((std::int32_t)(f * g.filter_step + tap.second));
                };
                if (by_tap(b)) {
                    for (const auto& tap : met_here)
                        for (long f = 0; f < b.filters; ++f) add(f, tap);
                } else
                    for (long f = 0; f < b.filters; ++f)
                        for (const auto& tap : met_here) add(f, tap);
                found.push_back(std::move(phase));
            }
    return found;
}

// Their weights.
template <class T>
const T* weights_of(const std::vector<InputPhase>& phases, const ConvolutionBlock<T>& b, Arena& arena) {
    const long all = b.groups * b.channels, taps = b.taps() / b.channels;
    T* weights = arena.take<T>(b.groups * b.filters * b.taps());
    T* to = weights;
    for (const InputPhase& phase : phases)
        for (long i = 0; i < all; ++i) {
            const T* first = b.weight + (i / b.channels * b.filters * b.channels + i % b.channels) * taps;
            for (std::int32_t m : phase.members) *to++ = first[m];
        }
    return weights;
}

}  // namespace pellucid
