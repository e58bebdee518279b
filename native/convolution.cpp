#include "convolution.h"

#include <vector>

#include "threads.h"
#include "tile.h"

namespace pellucid {
namespace {

// Bytes of a tile's input and of some filters' maps of it: they are read again and again, from the second cache.
constexpr long input_bytes = 384 * 1024, map_bytes = 64 * 1024;

// The tiles of an image. `whole`: they make all of the map, also what no window of the pooling sees.
template <class T>
std::vector<Tile> tiles_of(const ConvolutionBlock<T>& b, bool whole, int lanes, int threads) {
    long size[3], count[3];
    for (int a = 0; a < 3; ++a) size[a] = b.pool.axis[a].out;
    const auto windows_of = [&](int a, long tile) { return Range{tile * size[a], std::min((tile + 1) * size[a], b.pool.axis[a].out)}; };
    const auto out_of = [&](int a, long tile) {
        Range out = b.pool.sees(a, windows_of(a, tile));
        if (!whole) return out;
        const bool last = (tile + 1) * size[a] >= b.pool.axis[a].out;
        if (tile == 0) out.begin = 0;
        out.end = last ? b.axis[a].out : std::max(out.end, b.pool.sees(a, windows_of(a, tile + 1)).begin);
        return out;
    };
    const auto fits = [&] {
        long input = 1, map = 1;
        for (int a = 0; a < 3; ++a) {
            const Axis &x = b.axis[a], &p = b.pool.axis[a];
            const long out = std::min(x.out, (size[a] - 1) * p.stride + p.span());
            const long staged = out + (x.span() - 1) / x.stride;
            input *= staged * std::min(x.stride, x.kernel);
            map *= a == 2 ? staged : out;
        }
        return input * b.channels * (long)sizeof(T) <= input_bytes && map * most_channels * (long)sizeof(T) <= map_bytes;
    };
    const auto units = [&] {
        long all = b.batch;
        for (int a = 0; a < 3; ++a) all *= (b.pool.axis[a].out + size[a] - 1) / size[a];
        return all;
    };
    while (!fits() || (threads > 1 && units() < threads)) {
        const int a = size[0] > 1 ? 0 : size[1] > 1 ? 1 : 2;
        if (size[a] <= (a == 2 ? lanes : 1)) break;
        size[a] = (size[a] + 1) / 2;
    }
    std::vector<Tile> tiles;
    for (int a = 0; a < 3; ++a) count[a] = (b.pool.axis[a].out + size[a] - 1) / size[a];
    for (long z = 0; z < count[0]; ++z)
        for (long y = 0; y < count[1]; ++y)
            for (long x = 0; x < count[2]; ++x) {
                const long at[3] = {z, y, x};
                Range windows[3], out[3];
                for (int a = 0; a < 3; ++a) windows[a] = windows_of(a, at[a]), out[a] = out_of(a, at[a]);
                tiles.push_back(tile_of(b.axis, b.border, windows, out, b.channels, lanes));
            }
    return tiles;
}

// One thread's tiles.
template <class T>
class Forward {
public:
    Forward(const ConvolutionBlock<T>& block, const std::vector<Tile>& tiles, const Kernels<T>& kernels, Arena& arena)
        : block_(block), kernels_(kernels), pooler_(block.pool, kernels, arena) {
        long input = 0, map = 0, windows = 0;
        for (const Tile& t : tiles) {
            input = std::max(input, block.channels * t.channel_step);
            map = std::max(map, t.length);
            windows = std::max(windows, t.windows[0].count() * t.windows[1].count() * t.windows[2].count());
        }
        const long past = 2 * kernels.lanes;    // what a vector reads beyond the last number
        input_ = arena.take<T>(input + past);
        std::fill_n(input_ + input, past, T(0));
        map_ = arena.take<T>(map * most_channels);
        pools_ = !block.pool.trivial();
        pooled_ = arena.take<T>(pools_ ? windows * most_channels : 0);
        places_ = arena.take<Spot<T>>(pools_ && block.pool.max ? windows * most_channels : 0);
        if (block.activation) activation_.emplace_back(*block.activation, kernels, arena);
    }

    void tile(const Tile& t, long image, const Maps<const T>& in, const Maps<T>& out, const Kept<T, Spot<T>>& keep) {
        const ConvolutionBlock<T>& b = block_;
        const Shape shape = Shape::of(kernels_.spatial, b.filters, (long)t.starts.size());
        for (long g = 0; g < b.groups; ++g) {
            bring(t, b.axis[2], in, in.at(image, g * b.channels), b.channels, b.border_value, input_, kernels_);
            const long past = b.channels * t.channel_step;
            std::fill_n(input_ + past, 2 * kernels_.lanes, T(0));
            for (long f = 0; f < b.filters; f += shape.filters) {
                const int filters = (int)std::min<long>(shape.filters, b.filters - f);
                multiply(t, g * b.filters + f, filters, shape.vectors);
                finish(t, image, g * b.filters + f, filters, out, keep);
            }
        }
    }

private:
    const ConvolutionBlock<T>& block_;
    const Kernels<T>& kernels_;
    Pooler<T> pooler_;
    T *input_, *map_, *pooled_;
    Spot<T>* places_;
    bool pools_;
    std::vector<PointwiseRun<T>> activation_;       // none or one

    void multiply(const Tile& t, long filter, int filters, int vectors) {
        const long depth = (long)t.taps.size();
        TapsCall<T> call{block_.weight + filter * depth, depth, t.taps.data(), depth, {}, {}, t.length, block_.bias ? block_.bias + filter : nullptr};
        for (size_t s = 0; s < t.starts.size(); s += vectors) {
            const int count = (int)std::min<size_t>(vectors, t.starts.size() - s);
            for (int j = 0; j < count; ++j) call.pixels[j] = input_ + t.starts[s + j], call.out[j] = map_ + t.starts[s + j];
            kernels_.spatial.taps[filters - 1][count - 1](call);
        }
    }

    void activate(T* values, long count) const {
        if (!activation_.empty()) activation_[0].run({values, nullptr}, {0, 0}, values, 0, 1, count);
    }

    // Rows of a range, from a plane to their places in a tensor.
    template <class N>
    static void write(const Plane<const N>& from, const Range (&ranges)[3], N* to, const Maps<N>& maps) {
        const long width = ranges[2].count();
        const bool whole = from.y_step == width && maps.y == width && maps.x == 1;      // rows follow each other on both sides
        for (long z = ranges[0].begin; z < ranges[0].end; ++z) {
            N* plane = to + z * maps.z;
            if (whole) std::copy_n(from.row(z, ranges[1].begin, ranges[2].begin), ranges[1].count() * width, plane + ranges[1].begin * maps.y);
            else for (long y = ranges[1].begin; y < ranges[1].end; ++y)
                copy_row(from.row(z, y, ranges[2].begin), width, plane + y * maps.y + ranges[2].begin * maps.x, maps.x);
        }
    }

    // A contiguous tensor with a plane for each filter.
    template <class N>
    Maps<N> whole(N* data, bool pooled) const {
        const auto size = [&](int a) { return pooled ? block_.pool.axis[a].out : block_.axis[a].out; };
        const long area = size(1) * size(2), volume = size(0) * area;
        return {data, block_.groups * block_.filters * volume, volume, area, size(2), 1};
    }

    void finish(const Tile& t, long image, long filter, int filters, const Maps<T>& out, const Kept<T, Spot<T>>& keep) {
        const Range made[3] = {t.out(0), t.out(1), t.out(2)};
        const auto plane = [&](int f) { return Plane<const T>{map_ + f * t.length, t.z_step, t.y_step, made[0].begin, made[1].begin, made[2].begin}; };
        if (keep.map) {
            const Maps<T> map = whole(keep.map, false);
            for (int f = 0; f < filters; ++f) write(plane(f), made, map.at(image, filter + f), map);
        }
        if (!pools_ || !block_.pooled_first) activate(map_, filters * t.length);
        if (!pools_) {
            for (int f = 0; f < filters; ++f) write(plane(f), made, out.at(image, filter + f), out);
            return;
        }
        const Range(&windows)[3] = t.windows;
        const long width = windows[2].count(), area = windows[1].count() * width, volume = windows[0].count() * area;
        const auto pooled = [&](auto* data, int f) {
            return Plane<std::remove_reference_t<decltype(*data)>>{data + f * volume, area, width, windows[0].begin, windows[1].begin, windows[2].begin};
        };
        for (int f = 0; f < filters; ++f)
            pooler_.run(plane(f), windows, pooled(pooled_, f), keep.places ? places_ + f * volume : nullptr);
        for (int f = 0; f < filters; ++f) {
            if (keep.places) {
                const Maps<Spot<T>> places = whole(keep.places, true);
                write(pooled((const Spot<T>*)places_, f), windows, places.at(image, filter + f), places);
            }
            if (keep.largest) {
                const Maps<T> largest = whole(keep.largest, true);
                write(pooled((const T*)pooled_, f), windows, largest.at(image, filter + f), largest);
            }
        }
        if (block_.pooled_first) activate(pooled_, filters * volume);
        for (int f = 0; f < filters; ++f) write(pooled((const T*)pooled_, f), windows, out.at(image, filter + f), out);
    }
};

}  // namespace

template <class T>
void convolve(const ConvolutionBlock<T>& block, const Maps<const T>& in, const Maps<T>& out, const Kept<T, Spot<T>>& keep, const Isa& isa, int threads) {
    const Kernels<T>& kernels = isa.kernels<T>();
    const int team = team_size(block.work() < least_work ? 1 : threads);
    const std::vector<Tile> tiles = tiles_of(block, keep.map != nullptr, kernels.lanes, team);
    const long units = block.batch * (long)tiles.size();
    const int count = (int)std::min<long>(team, std::max<long>(units, 1));
    const auto work = [&](int index, int of) {
        Arena arena;
        Forward<T> forward(block, tiles, kernels, arena);
        for (long u = units * index / of; u < units * (index + 1) / of; ++u)
            forward.tile(tiles[u % tiles.size()], u / (long)tiles.size(), in, out, keep);
    };
    if (!on_team(count, [&](int index) { work(index, count); })) work(0, 1);
}

#define PELLUCID_FOR(T) \
    template void convolve<T>(const ConvolutionBlock<T>&, const Maps<const T>&, const Maps<T>&, const Kept<T, Spot<T>>&, const Isa&, int);
PELLUCID_FOR(float)
PELLUCID_FOR(double)
#undef PELLUCID_FOR

}  // namespace pellucid
