#include "convolution.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "threads.h"

namespace pellucid {
namespace {

// Bytes of a tile's input and of some filters' maps of it: they are read again and again, from the second cache.
constexpr long input_bytes = 384 * 1024, map_bytes = 64 * 1024;
// Multiply-adds below which a second thread costs more than it does.
constexpr double least_work = 1e6;

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
    TileAxis(const Axis& a, Range out, Border border) : out(out) {
        for (long k = 0; k < a.kernel; ++k) {
            const long at = k * a.dilation, p = at % a.stride;
            size_t i = 0;
            while (i < phases.size() && phases[i] != p) ++i;
            if (i == phases.size()) phases.push_back(p);
            phase.push_back((int)i);
            shift.push_back(at / a.stride);
        }
        reach = shift.back();
        count = out.count() + reach;
        for (long p : phases) {
            Run run{count, count};
            for (long i = 0; i < count; ++i) {
                const long at = (out.begin + i) * a.stride + p - a.before;
                const bool inside = at >= 0 && at < a.in;
                if (inside && run.begin == count) run = {i, i};
                if (inside) run.end = i + 1;
                source.push_back((std::int32_t)(inside ? at : borrowed(at, a.in, border)));
            }
            runs.push_back(run);
        }
    }

    static long borrowed(long at, long size, Border border) {
        switch (border) {
            case Border::value: return -1;
            case Border::reflect: at = at < 0 ? -at : 2 * size - 2 - at; break;
            case Border::circular: at = at < 0 ? at + size : at - size; break;
            case Border::replicate: break;
        }
        return std::clamp<long>(at, 0, size - 1);       // beyond it nothing is read that counts
    }
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
std::vector<long> starts_of(const long (&count)[3], long z_step, long y_step, int lanes) {
    std::vector<long> starts;
    const long whole = (count[1] - 1) * y_step + count[2];
    const bool by_row = count[1] * ((count[2] + lanes - 1) / lanes) <= (whole + lanes - 1) / lanes;
    for (long z = 0; z < count[0]; ++z)
        for (long y = 0; y < (by_row ? count[1] : 1); ++y)
            for (long x = 0; x < (by_row ? count[2] : whole); x += lanes) starts.push_back(z * z_step + y * y_step + x);
    return starts;
}

Tile tile_of(const Axis (&axes)[3], Border border, const Range (&windows)[3], const Range (&out)[3], long channels, int lanes) {
    Tile t;
    size_t phases = 1;
    for (int a = 0; a < 3; ++a) {
        t.windows[a] = windows[a];
        t.axis[a] = TileAxis(axes[a], out[a], border);
        phases *= t.axis[a].phases.size();
    }
    const TileAxis &z = t.axis[0], &y = t.axis[1], &x = t.axis[2];
    t.y_step = x.count;
    t.z_step = y.count * t.y_step;
    t.phase_step = z.count * t.z_step;
    t.channel_step = (long)phases * t.phase_step;
    for (long c = 0; c < channels; ++c)
        for (size_t kz = 0; kz < z.phase.size(); ++kz)
            for (size_t ky = 0; ky < y.phase.size(); ++ky)
                for (size_t kx = 0; kx < x.phase.size(); ++kx) {
                    const long phase = ((long)z.phase[kz] * y.phases.size() + y.phase[ky]) * x.phases.size() + x.phase[kx];
                    t.taps.push_back((std::int32_t)(c * t.channel_step + phase * t.phase_step + z.shift[kz] * t.z_step +
                                                    y.shift[ky] * t.y_step + x.shift[kx]));
                }
    t.starts = starts_of({out[0].count(), out[1].count(), out[2].count()}, t.z_step, t.y_step, lanes);
    t.length = t.starts.back() + lanes;
    return t;
}

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
        for (long z = ranges[0].begin; z < ranges[0].end; ++z)
            for (long y = ranges[1].begin; y < ranges[1].end; ++y)
                copy_row(from.row(z, y, ranges[2].begin), ranges[2].count(), to + z * maps.z + y * maps.y + ranges[2].begin * maps.x, maps.x);
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

namespace {

// The input's gradient, one phase of its coordinates at a time: a correlation of the map's gradient with the taps that meet them.
template <class T>
struct Phase {
    long at[3];                             // the phase on each axis: a padded coordinate's remainder
    Range range[3];                         // its numbers that the input has
    std::vector<long> starts;               // of vectors of them
    std::vector<std::int32_t> taps;         // from a place in the map's gradient, over filters and taps
    std::vector<T> weights;                 // [group][channel][filter, tap]
};

// The layout of one image's map gradient: as the results in the tile, with a margin of zeros before each filter.
struct Gradient {
    long margin, filter_step;
};

template <class T>
std::vector<Phase<T>> phases_of(const ConvolutionBlock<T>& b, const Tile& t, const Gradient& g, int lanes) {
    const Axis(&a)[3] = b.axis;
    std::vector<Phase<T>> found;
    const long kernel[3] = {a[0].kernel, a[1].kernel, a[2].kernel}, volume = kernel[0] * kernel[1] * kernel[2];
    for (long pz : t.axis[0].phases)
        for (long py : t.axis[1].phases)
            for (long px : t.axis[2].phases) {
                Phase<T> phase{{pz, py, px}, {}, {}, {}, {}};
                for (int i = 0; i < 3; ++i) {
                    // A number q of the phase is at q * stride + phase - before in the input.
                    const long least = a[i].before - phase.at[i], most = a[i].in + least, stride = a[i].stride;
                    phase.range[i] = {least > 0 ? (least + stride - 1) / stride : 0, most > 0 ? std::min(t.axis[i].count, (most + stride - 1) / stride) : 0};
                }
                if (phase.range[0].count() <= 0 || phase.range[1].count() <= 0 || phase.range[2].count() <= 0) continue;
                phase.starts = starts_of({phase.range[0].count(), phase.range[1].count(), phase.range[2].count()}, t.z_step, t.y_step, lanes);
                std::vector<long> members;
                for (long f = 0; f < b.filters; ++f)
                    for (long kz = 0; kz < kernel[0]; ++kz)
                        for (long ky = 0; ky < kernel[1]; ++ky)
                            for (long kx = 0; kx < kernel[2]; ++kx) {
                                if (t.axis[0].phases[t.axis[0].phase[kz]] != pz || t.axis[1].phases[t.axis[1].phase[ky]] != py ||
                                    t.axis[2].phases[t.axis[2].phase[kx]] != px)
                                    continue;
                                members.push_back(f * b.channels * volume + (kz * kernel[1] + ky) * kernel[2] + kx);
                                phase.taps.push_back((std::int32_t)(f * g.filter_step - t.axis[0].shift[kz] * t.z_step -
                                                                    t.axis[1].shift[ky] * t.y_step - t.axis[2].shift[kx]));
                            }
                for (long group = 0; group < b.groups; ++group)
                    for (long c = 0; c < b.channels; ++c)
                        for (long m : members) phase.weights.push_back(b.weight[group * b.filters * b.channels * volume + c * volume + m]);
                found.push_back(std::move(phase));
            }
    return found;
}

// One thread's images, backward.
template <class T>
class Backward {
public:
    static constexpr long bytes = 2048 * 1024;       // of the images that are in work at a time

    Backward(const ConvolutionBlock<T>& block, const ConvolutionGradients<T>& gradients, const Tile& tile, const Gradient& layout,
             const std::vector<Phase<T>>& phases, const Kernels<T>& kernels, Arena& arena)
        : b_(block), g_(gradients), t_(tile), layout_(layout), phases_(phases), kernels_(kernels), pooler_(block.pool, kernels, arena) {
        const long past = 2 * kernels.lanes;
        input_size_ = block.channels * tile.channel_step + past;
        map_size_ = block.filters * layout.filter_step + past;
        together_ = std::clamp<long>(bytes / (long)sizeof(T) / (input_size_ + map_size_), 1, block.batch);
        input_ = arena.take<T>(input_size_ * together_);
        maps_ = arena.take<T>(map_size_ * together_);
        std::fill_n(input_, input_size_ * together_, T(0));
        std::fill_n(maps_, map_size_ * together_, T(0));
        const long grid = tile.phase_step + kernels.lanes;
        found_ = arena.take<T>(grid * most_channels);
        const Axis(&p)[3] = block.pool.axis;
        windows_ = p[0].out * p[1].out * p[2].out;
        size_ = block.axis[0].out * block.axis[1].out * block.axis[2].out;
        const bool pools = !block.pool.trivial();
        const bool finds = pools && block.pool.max && !block.pooled_first;
        slope_ = arena.take<T>(pools ? windows_ : 0);
        places_ = arena.take<Spot<T>>(finds ? windows_ : 0);
        activated_ = arena.take<T>(finds && block.activation ? size_ : 0);
        if (block.activation) {
            activation_.emplace_back(*block.activation, kernels, arena);
            derivative_.emplace_back(*gradients.derivative, kernels, arena);
        }
    }

    // Images of a group: their input's gradient, and what they add to the weight's and the bias's.
    void images(long begin, long end, long group, const Maps<const T>& in, T* weight, T* bias) {
        for (long first = begin; first < end; first += together_) {
            const long count = std::min(together_, end - first);
            for (long i = 0; i < count; ++i) {
                T* map = maps_ + i * map_size_ + layout_.margin;
                for (long f = 0; f < b_.filters; ++f) map_gradient(first + i, group * b_.filters + f, map + f * layout_.filter_step);
                if (g_.in) input_gradient(first + i, group, map);
                if (weight) bring(t_, b_.axis[2], in, in.at(first + i, group * b_.channels), b_.channels, b_.border_value, input_ + i * input_size_, kernels_);
            }
            if (weight) weight_gradient(count, weight);
            if (!bias) continue;
            for (long i = 0; i < count; ++i)
                for (long f = 0; f < b_.filters; ++f)
                    bias[f] += kernels_.sum(maps_ + i * map_size_ + layout_.margin + f * layout_.filter_step, t_.length);
        }
    }

private:
    const ConvolutionBlock<T>& b_;
    const ConvolutionGradients<T>& g_;
    const Tile& t_;
    const Gradient& layout_;
    const std::vector<Phase<T>>& phases_;
    const Kernels<T>& kernels_;
    Pooler<T> pooler_;
    long input_size_, map_size_, together_, windows_, size_;
    T *input_, *maps_, *found_, *slope_, *activated_;
    Spot<T>* places_;
    std::vector<PointwiseRun<T>> activation_, derivative_;

    // One filter's, into rows as the tile has them; what lies between them stays 0.
    void map_gradient(long image, long filter, T* to) {
        const long all = b_.groups * b_.filters, height = b_.axis[1].out, width = b_.axis[2].out;
        const T* map = g_.kept.map ? g_.kept.map + (image * all + filter) * size_ : nullptr;
        const T* out = g_.out + (image * all + filter) * windows_;
        const bool pools = !b_.pool.trivial();
        if (pools) pool_gradient(map, (image * all + filter) * windows_, out, to);
        for (long z = 0; z < b_.axis[0].out; ++z)
            for (long y = 0; y < height; ++y) {
                const long at = (z * height + y) * width;
                T* row = to + z * t_.z_step + y * t_.y_step;
                if (!b_.activation && !pools) std::copy_n(out + at, width, row);
                else if (b_.activation && !pools) derivative_[0].run({map + at, out + at}, {0, 0}, row, 0, 1, width);
                else if (b_.activation && !b_.pooled_first) derivative_[0].run({map + at, row}, {0, 0}, row, 0, 1, width);
            }
    }

    // The gradient of what is pooled, from the results' and from what was kept: the map, or of maxima the windows' (at `at`).
    void pool_gradient(const T* map, long at, const T* out, T* to) {
        const Axis(&p)[3] = b_.pool.axis;
        const Spot<T>* places = nullptr;
        if (b_.pooled_first) {
            places = g_.kept.places + at;
            if (b_.activation) derivative_[0].run({g_.kept.largest + at, out}, {0, 0}, slope_, 0, 1, windows_), out = slope_;
        } else if (b_.pool.max) {
            activation_[0].run({map, nullptr}, {0, 0}, activated_, 0, 1, size_);
            const Range all[3] = {{0, p[0].out}, {0, p[1].out}, {0, p[2].out}};
            pooler_.run({activated_, p[1].in * p[2].in, p[2].in}, all, {slope_, p[1].out * p[2].out, p[2].out}, places_);
            places = places_;
        }
        scatter_plane<T>(b_.pool, out, places, to, t_.z_step, t_.y_step, kernels_);
    }

    void input_gradient(long image, long group, const T* map) {
        const Axis(&a)[3] = b_.axis;
        const long volume = a[0].in * a[1].in * a[2].in, lanes = kernels_.lanes;
        T* to = g_.in + (image * b_.groups + group) * b_.channels * volume;
        // A stride beyond the kernel, or an input that windows do not fill, leaves numbers that no tap meets.
        bool whole = true;
        for (int i = 0; i < 3; ++i)
            whole = whole && (long)t_.axis[i].phases.size() == a[i].stride && (a[i].out - 1) * a[i].stride + a[i].span() >= a[i].in + a[i].before;
        if (!whole) std::fill_n(to, b_.channels * volume, T(0));
        const long row = t_.phase_step + lanes;
        for (const Phase<T>& phase : phases_) {
            const long depth = (long)phase.taps.size(), starts = (long)phase.starts.size();
            const long first = phase.range[0].begin * t_.z_step + phase.range[1].begin * t_.y_step + phase.range[2].begin;
            const Shape shape = Shape::of(kernels_.spatial, b_.channels, starts);
            for (long c = 0; c < b_.channels; c += shape.filters) {
                const int channels = (int)std::min<long>(shape.filters, b_.channels - c);
                TapsCall<T> call{phase.weights.data() + (group * b_.channels + c) * depth, depth, phase.taps.data(), depth, {}, {}, row, nullptr};
                for (long s = 0; s < starts; s += shape.vectors) {
                    const int count = (int)std::min<long>(shape.vectors, starts - s);
                    for (int j = 0; j < count; ++j) {
                        call.pixels[j] = map + first + phase.starts[s + j];
                        call.out[j] = found_ + phase.starts[s + j];
                    }
                    kernels_.spatial.taps[channels - 1][count - 1](call);
                }
                for (int i = 0; i < channels; ++i) deal(phase, found_ + i * row, to + (c + i) * volume);
            }
        }
    }

    // A phase's numbers to their places in the input.
    void deal(const Phase<T>& phase, const T* from, T* to) const {
        const Axis(&a)[3] = b_.axis;
        const auto place = [&](int i, long q) { return (phase.range[i].begin + q) * a[i].stride + phase.at[i] - a[i].before; };
        for (long z = 0; z < phase.range[0].count(); ++z)
            for (long y = 0; y < phase.range[1].count(); ++y)
                copy_row(from + z * t_.z_step + y * t_.y_step, phase.range[2].count(), to + (place(0, z) * a[1].in + place(1, y)) * a[2].in + place(2, 0),
                         a[2].stride);
    }

    void weight_gradient(long images, T* weight) {
        const Spatial<T>& s = kernels_.spatial;
        const int lanes = kernels_.lanes;
        const long depth = (long)t_.taps.size(), count = (t_.length + lanes - 1) / lanes * lanes;
        for (long f = 0; f < b_.filters; f += s.filters) {
            const int filters = (int)std::min<long>(s.filters, b_.filters - f);
            for (long k = 0; k < depth; k += s.taps_at_once) {
                const int taps = (int)std::min<long>(s.taps_at_once, depth - k);
                const CorrelateCall<T> call{maps_ + layout_.margin + f * layout_.filter_step, layout_.filter_step, map_size_, input_, input_size_,
                                            t_.taps.data() + k, images, count, weight + f * depth + k, depth};
                s.correlate[filters - 1][taps - 1](call);
            }
        }
    }
};

}  // namespace

template <class T>
void convolve_backward(const ConvolutionBlock<T>& block, const Maps<const T>& in, const ConvolutionGradients<T>& gradients, const Isa& isa, int threads) {
    const Kernels<T>& kernels = isa.kernels<T>();
    const long weights = block.groups * block.filters * block.taps(), filters = block.groups * block.filters;
    if (gradients.weight) std::fill_n(gradients.weight, weights, T(0));
    if (gradients.bias) std::fill_n(gradients.bias, filters, T(0));
    if (block.batch == 0) return;
    Range windows[3], out[3];
    for (int a = 0; a < 3; ++a) windows[a] = {0, block.pool.axis[a].out}, out[a] = {0, block.axis[a].out};
    const Tile tile = tile_of(block.axis, block.border, windows, out, block.channels, kernels.lanes);
    const long margin = tile.axis[0].reach * tile.z_step + tile.axis[1].reach * tile.y_step + tile.axis[2].reach;
    const Gradient layout{margin, margin + tile.phase_step + 2 * kernels.lanes};
    const std::vector<Phase<T>> phases = gradients.in ? phases_of(block, tile, layout, kernels.lanes) : std::vector<Phase<T>>();

    // Sums over images are added up in pieces that do not depend on the threads.
    const long most_pieces = std::max<long>(1, (8l << 20) / (long)sizeof(T) / std::max<long>(weights, 1));
    const long pieces = std::min({block.batch, most_pieces, 16l});
    Arena sums(true);       // not the memory that this thread keeps: its share of the work wants that
    T* weight = sums.take<T>(gradients.weight ? pieces * weights : 0);
    T* bias = sums.take<T>(gradients.bias ? pieces * filters : 0);
    if (gradients.weight) std::fill_n(weight, pieces * weights, T(0));
    if (gradients.bias) std::fill_n(bias, pieces * filters, T(0));
    const long units = pieces * block.groups;
    const int count = (int)std::min<long>(team_size(block.work() < least_work ? 1 : threads), units);
    const auto work = [&](int index, int of) {
        Arena arena;
        Backward<T> backward(block, gradients, tile, layout, phases, kernels, arena);
        for (long u = units * index / of; u < units * (index + 1) / of; ++u) {
            const long piece = u / block.groups, group = u % block.groups;
            backward.images(block.batch * piece / pieces, block.batch * (piece + 1) / pieces, group, in,
                            gradients.weight ? weight + piece * weights + group * block.filters * block.taps() : nullptr,
                            gradients.bias ? bias + piece * filters + group * block.filters : nullptr);
        }
    };
    if (!on_team(count, [&](int index) { work(index, count); })) work(0, 1);
    for (long p = 0; p < pieces; ++p) {
        if (gradients.weight)
            for (long i = 0; i < weights; ++i) gradients.weight[i] += weight[p * weights + i];
        if (gradients.bias)
            for (long i = 0; i < filters; ++i) gradients.bias[i] += bias[p * filters + i];
    }
}

#define PELLUCID_FOR(T)                                                                                                            \
    template void convolve<T>(const ConvolutionBlock<T>&, const Maps<const T>&, const Maps<T>&, const Kept<T, Spot<T>>&, const Isa&, int); \
    template void convolve_backward<T>(const ConvolutionBlock<T>&, const Maps<const T>&, const ConvolutionGradients<T>&, const Isa&, int);
PELLUCID_FOR(float)
PELLUCID_FOR(double)
#undef PELLUCID_FOR

}  // namespace pellucid
