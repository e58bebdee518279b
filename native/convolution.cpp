#include "convolution.h"

#include <optional>
#include <vector>

#include "memory.h"
#include "plans.h"
#include "point_tiles.h"
#include "threads.h"
#include "tile.h"

namespace pellucid {
namespace {

// Bytes of a tile's input and of some filters' maps of it: they are read again and again, from the second cache.
constexpr long input_bytes = 384 * 1024, map_bytes = 64 * 1024;
// And of what the input becomes at the points of minimal filtering.
constexpr long point_bytes = 256 * 1024;
// From so many results on a row is given without a map between; the ends of shorter ones, copied by themselves, cost more.
constexpr long long_row = 64;

bool side_by_side(const Axis& a) { return a.kernel == 2 && a.stride == 2 && a.dilation == 1 && a.before == 0 && 2 * a.out <= a.in; }

// Whether the maximum is taken in windows two by two, side by side, of a map of one plane, with nothing done to it before.
template <class T>
bool halves(const ConvolutionBlock<T>& b) {
    return b.pooled_first && b.pool.axis[0].trivial() && b.pool.axis[0].out == 1 && side_by_side(b.pool.axis[1]) && side_by_side(b.pool.axis[2]);
}

// Whether its windows are what tiles of minimal filtering give.
template <class T>
bool pools_tiles(const ConvolutionBlock<T>& b) {
    const Cuts cuts(b.axis[1], b.axis[2]);
    const bool in_row = b.pooled_first && b.pool.axis[0].trivial() && b.pool.axis[1].trivial() && side_by_side(b.pool.axis[2]);
    return cuts.in_row ? in_row && cuts.dilation == 1 : halves(b);
}

// Whether it is taken while the sums are in registers: rows are then taken one by one, and their last vectors may be emptier
// than those of a whole plane; but the map is not written and read again, which costs as much as some ten multiply-adds.
bool pays(const Tile& t, long halves) {
    const double depth = (double)t.taps.size();
    return 2 * (double)((halves + 1) / 2 * 2) * (depth + 4) < (double)t.starts.size() * (depth + 12);
}

// The tiles of an image. `whole`: they make all of the map, also what no window of the pooling sees. `minimal`: by minimal filtering.
template <class T>
std::vector<Tile> tiles_of(const ConvolutionBlock<T>& b, bool whole, bool minimal, int lanes, int threads) {
    const Cuts cuts(b.axis[1], b.axis[2]);
    long size[3], count[3];
    for (int a = 0; a < 3; ++a) size[a] = b.pool.axis[a].out;
    const auto windows_of = [&](int a, long tile) { return Range{tile * size[a], std::min((tile + 1) * size[a], b.pool.axis[a].out)}; };
    const auto out_of = [&](int a, long tile) {
        Range out = b.pool.sees(a, windows_of(a, tile));
        // Whole tiles of results, so that those of the map are cut alike, and what one of them sees is there whole.
        const long cut = !minimal || a == 0 ? 1 : a == 1 ? cuts.lines() : cuts.columns();
        out.begin -= out.begin % cut, out.end = std::min(rounded_up(out.end, cut), b.axis[a].out);
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
        if (minimal) {
            const auto seen = [&](int a) { return std::min(b.axis[a].out, (size[a] - 1) * b.pool.axis[a].stride + b.pool.axis[a].span()); };
            const long tiles = PointGrid::of(cuts, seen(1), seen(2)).count();
            return cuts.points() * tiles * cuts.all() * rounded_up(b.channels, lanes) * (long)sizeof(T) <= point_bytes;
        }
        const long together = std::min<long>(b.filters, most_channels);
        return input * b.channels * (long)sizeof(T) <= input_bytes && map * together * (long)sizeof(T) <= map_bytes;
    };
    const auto units = [&] {
        long all = b.batch;
        for (int a = 0; a < 3; ++a) all *= (b.pool.axis[a].out + size[a] - 1) / size[a];
        return all;
    };
    while (!fits() || (threads > 1 && units() < threads)) {
        const int a = size[0] > 1 ? 0 : size[1] > 1 ? 1 : 2;
        if (size[a] <= (a == 2 ? lanes : minimal ? 2 : 1)) break;
        size[a] = (size[a] + 1) / 2;
        if (minimal) size[a] += size[a] % 2;
    }
    std::vector<Tile> tiles;
    for (int a = 0; a < 3; ++a) count[a] = (b.pool.axis[a].out + size[a] - 1) / size[a];
    for (long z = 0; z < count[0]; ++z)
        for (long y = 0; y < count[1]; ++y)
            for (long x = 0; x < count[2]; ++x) {
                const long at[3] = {z, y, x};
                Range windows[3], out[3];
                for (int a = 0; a < 3; ++a) windows[a] = windows_of(a, at[a]), out[a] = out_of(a, at[a]);
                Tile tile = tile_of(b.axis, b.border, windows, out, b.channels, lanes);
                if (halves(b)) {
                    std::vector<Half> found = halves_of(tile, lanes);
                    if (b.by_plane() || minimal || pays(tile, (long)found.size())) tile.halves = std::move(found);
                }
                if (minimal) tile.length += lanes;       // rows are written a vector at a time
                tiles.push_back(std::move(tile));
            }
    return tiles;
}

// One thread's tiles.
template <class T>
class Forward {
public:
    // `filters`: of minimal filtering; null: sums are made directly.
    Forward(const ConvolutionBlock<T>& block, const std::vector<Tile>& tiles, const PointFilters<T>* filters, const Kernels<T>& kernels, Arena& arena)
        : block_(block), kernels_(kernels), pooler_(block.pool, kernels, arena) {
        long input = 0, map = 0, windows = 0;
        for (const Tile& t : tiles) {
            input = std::max(input, block.channels * t.channel_step);
            map = std::max(map, t.length);
            windows = std::max(windows, t.window_count());
        }
        const long past = 2 * kernels.lanes;    // what a vector reads beyond the last number
        const long together = std::max<long>(most_channels, kernels.lanes);
        input_ = arena.take<T>(input + past);
        map_ = arena.take<T>(map * together);
        pools_ = !block.pool.trivial();
        by_plane_ = block.by_plane();
        pools_tiles_ = pools_tiles(block);
        size_ = PlaneSize::of(block.axis[1], block.axis[2]);
        pooled_ = arena.take<T>(pools_ ? windows * together : 0);
        places_ = arena.take<Spot<T>>(pools_ && block.pool.max ? windows * together : 0);
        if (block.activation) activation_.emplace_back(*block.activation, kernels, arena);
        if (filters) points_.emplace(block, tiles, *filters, kernels, arena);
    }

    void tile(const Tile& t, long image, const Maps<const T>& in, const Maps<T>& out, const Kept<T, Spot<T>>& keep) {
        const ConvolutionBlock<T>& b = block_;
        const long at_once = points_ ? kernels_.lanes : b.filters;
        for (long g = 0; g < b.groups; ++g) {
            if (points_) points_->bring(t, in, image, g);
            bool brought = false;
            for (long f = 0; f < b.filters; f += at_once) {
                const Range filters{g * b.filters + f, g * b.filters + std::min(f + at_once, b.filters)};
                if (points_ && at_points(t, image, filters, f, out, keep)) continue;
                if (!brought) bring_directly(t, in, image, g), brought = true;
                directly(t, image, filters, out, keep);
            }
        }
    }

private:
    const ConvolutionBlock<T>& block_;
    const Kernels<T>& kernels_;
    Pooler<T> pooler_;
    T *input_, *map_, *pooled_;
    Spot<T>* places_;
    bool pools_, by_plane_, pools_tiles_;
    PlaneSize size_;
    const Tile* framed_ = nullptr;                  // whose frame is around the input
    std::vector<PointwiseRun<T>> activation_;       // none or one
    std::optional<PointTiles<T>> points_;

    void bring_directly(const Tile& t, const Maps<const T>& in, long image, long group) {
        if (framed_ != &t) frame(t, block_, input_, kernels_), framed_ = &t;
        // By plane there is little to do for what each number costs that comes from memory: the next plane is asked for meanwhile. It
        // lies where the next one does, or nothing is lost.
        bring(t, block_, in, image, group, input_, kernels_, by_plane_ ? in.channel : 0);
    }

    void directly(const Tile& t, long image, Range all, const Maps<T>& out, const Kept<T, Spot<T>>& keep) {
        const bool halves = !t.halves.empty();
        const Shape shape = by_plane_ ? Shape{1, 0} : halves ? Shape{evenly(all.count(), kernels_.spatial.channels[most_pixels - 1]), 0}
                                   : Shape::of(kernels_.spatial, all.count(), (long)t.starts.size());
        for (long filter = all.begin; filter < all.end; filter += shape.filters) {
            const int filters = (int)std::min<long>(shape.filters, all.end - filter);
            const Windows found = windows_at(t, image, filter, out, keep);
            if (halves && by_plane_) {
                halve_plane(t, filter, found);
            } else if (halves) {
                halve(t, filter, filters, found);
            } else {
                if (by_plane_ && give_plane(t, image, filter, out, keep)) continue;
                if (by_plane_) multiply_plane(t, filter, map_, t.z_step, t.y_step, 0);
                else multiply(t, filter, filters, shape.vectors);
                give_map(t, image, filter, filters, out, keep);
                if (!pools_) continue;
                pool(t, filters, found);
            }
            give_windows(t, image, filter, filters, found, out, keep);
        }
    }

    // Some filters of a group, the first of which is its `first`, by minimal filtering; false: a result is not finite.
    bool at_points(const Tile& t, long image, Range all, long first, const Maps<T>& out, const Kept<T, Spot<T>>& keep) {
        const int filters = (int)all.count();
        if (!pools_ && !keep.map && out.x == 1 && t.out(2).count() >= long_row) {
            T* to = out.at(image, all.begin) + t.out(1).begin * out.y + t.out(2).begin;
            if (!points_->rows(t, first, filters, to, out.y, out.channel)) return false;
            for (int f = 0; f < filters && !activation_.empty(); ++f) {
                T* rows = to + f * out.channel;
                activation_[0].run({rows, nullptr}, {out.y, 0}, rows, out.y, t.out(1).count(), t.out(2).count());
            }
            return true;
        }
        const Windows found = windows_at(t, image, all.begin, out, keep);
        if (pools_tiles_) {
            if (!points_->largest(t, first, filters, found.values, found.places, (Spot<T>)block_.axis[2].out)) return false;
        } else {
            if (!points_->map(t, first, filters, map_)) return false;
            give_map(t, image, all.begin, filters, out, keep);
            if (!pools_) return true;
            pool(t, filters, found);
        }
        give_windows(t, image, all.begin, filters, found, out, keep);
        return true;
    }

    FilterSums<T> sums(const Tile& t, long filter) const {
        const long depth = (long)t.taps.size();
        return {block_.weight + filter * depth, depth, t.taps.data(), depth, block_.bias ? block_.bias + filter : nullptr};
    }

    void multiply(const Tile& t, long filter, int filters, int vectors) {
        TapsCall<T> call{sums(t, filter), {}, {}, t.length};
        for (size_t s = 0; s < t.starts.size(); s += vectors) {
            const int count = (int)std::min<size_t>(vectors, t.starts.size() - s);
            for (int j = 0; j < count; ++j) call.pixels[j] = input_ + t.starts[s + j], call.out[j] = map_ + t.starts[s + j];
            kernels_.spatial.taps[filters - 1][count - 1](call);
        }
    }

    // The same by_plane, for a plane of the tile's results.
    PlaneSums<T> plane_sums(const Tile& t, long filter, long z) const {
        const Axis &y = block_.axis[1], &x = block_.axis[2];
        const FilterSums<T> s = sums(t, filter);
        return {s.weights, s.bias, s.taps, (int)y.kernel, (int)x.kernel, (int)y.stride, input_ + z * t.z_step, t.y_step};
    }

    void multiply_plane(const Tile& t, long filter, T* to, long z_step, long y_step, long ahead) {
        for (long z = 0; z < t.out(0).count(); ++z)
            kernels_.spatial.plane[size_.size][size_.stride]({plane_sums(t, filter, z), to + z * z_step, y_step, t.out(1).count(), t.out(2).count(), ahead});
    }

    void activate(T* values, long count) const {
        if (!activation_.empty()) activation_[0].run({values, nullptr}, {0, 0}, values, 0, 1, count);
    }

    // Rows of a range, from a plane to their places in a tensor.
    template <class N>
    void write(const Plane<const N>& from, const Range (&ranges)[3], N* to, const Maps<N>& maps) const {
        const long width = ranges[2].count();
        const bool whole = from.y_step == width && maps.y == width && maps.x == 1;      // rows follow each other on both sides
        for (long z = ranges[0].begin; z < ranges[0].end; ++z) {
            const N* first = from.row(z, ranges[1].begin, ranges[2].begin);
            N* place = to + z * maps.z + ranges[1].begin * maps.y + ranges[2].begin * maps.x;
            if (whole) std::copy_n(first, ranges[1].count() * width, place);
            else copy_rows(first, from.y_step, ranges[1].count(), width, place, maps.y, maps.x, kernels_);
        }
    }

    // A contiguous tensor with a plane for each filter.
    template <class N>
    Maps<N> whole(N* data, bool pooled) const {
        const auto size = [&](int a) { return pooled ? block_.pool.axis[a].out : block_.axis[a].out; };
        const long area = size(1) * size(2), volume = size(0) * area;
        return {data, block_.groups * block_.filters * volume, volume, area, size(2), 1};
    }

    // The map: to where it is kept, and on if nothing is pooled; activated, unless the windows are first.
    void give_map(const Tile& t, long image, long filter, int filters, const Maps<T>& out, const Kept<T, Spot<T>>& keep) {
        const Range made[3] = {t.out(0), t.out(1), t.out(2)};
        if (keep.map) {
            const Maps<T> map = whole(keep.map, false);
            for (int f = 0; f < filters; ++f) write(plane(t, f), made, map.at(image, filter + f), map);
        }
        if (!pools_ || !block_.pooled_first) activate(map_, filters * t.length);
        if (pools_) return;
        for (int f = 0; f < filters; ++f) write(plane(t, f), made, out.at(image, filter + f), out);
    }

    // Whole rows of a filter without pooling, straight to where they are kept or given on to; false: they do not lie side by side there.
    bool give_plane(const Tile& t, long image, long filter, const Maps<T>& out, const Kept<T, Spot<T>>& keep) {
        const long width = block_.axis[2].out, height = t.out(1).count();
        if (pools_ || t.out(2).count() != width || out.x != 1 || out.y != width) return false;
        const Maps<T> made = keep.map ? whole(keep.map, false) : out;
        const auto first = [&](const Maps<T>& m, long z) { return m.at(image, filter) + z * m.z + t.out(1).begin * m.y; };
        multiply_plane(t, filter, first(made, t.out(0).begin), made.z, made.y, made.channel);
        if (activation_.empty() && !keep.map) return true;
        for (long z = t.out(0).begin; z < t.out(0).end; ++z)
            if (activation_.empty()) std::copy_n(first(made, z), height * width, first(out, z));
            else activation_[0].run({first(made, z), nullptr}, {0, 0}, first(out, z), 0, 1, height * width);
        return true;
    }

    Plane<const T> plane(const Tile& t, int f) const {
        return {map_ + f * t.length, t.z_step, t.y_step, t.out(0).begin, t.out(1).begin, t.out(2).begin};
    }

    // The tile's windows of a filter, side by side.
    template <class N>
    static Plane<N> windows_of(const Tile& t, N* data, int f) {
        const long width = t.windows[2].count(), area = t.windows[1].count() * width;
        return {data + f * t.window_count(), area, width, t.windows[0].begin, t.windows[1].begin, t.windows[2].begin};
    }

    // Where a tile's windows of some filters are pooled to, side by side: where they are kept or given on to, if that lies so.
    struct Windows {
        T* values;
        Spot<T>* places;        // null: not asked for
        bool direct;
    };

    Windows windows_at(const Tile& t, long image, long filter, const Maps<T>& out, const Kept<T, Spot<T>>& keep) const {
        const Maps<T> alike = whole(out.data, true);
        const Axis(&size)[3] = block_.pool.axis;
        const bool direct = t.window_count() == alike.channel && out.channel == alike.channel && out.x == 1 &&
                            (size[0].out == 1 || out.z == alike.z) && (size[1].out == 1 || out.y == alike.y);
        if (!direct) return {pooled_, keep.places ? places_ : nullptr, false};
        return {keep.largest ? whole(keep.largest, true).at(image, filter) : out.at(image, filter),
                keep.places ? whole(keep.places, true).at(image, filter) : nullptr, true};
    }

    void pool(const Tile& t, int filters, const Windows& to) {
        for (int f = 0; f < filters; ++f)
            pooler_.run(plane(t, f), t.windows, windows_of(t, to.values, f), to.places ? to.places + f * t.window_count() : nullptr);
    }

    // The windows without a map: half vectors of them, two at a time.
    void halve(const Tile& t, long filter, int filters, const Windows& to) {
        const long volume = t.window_count();
        const Plane<T> values = windows_of(t, to.values, 0);
        HalvedTapsCall<T> call{sums(t, filter), {}, {}, {}, {}, volume, {}, (Spot<T>)block_.axis[2].out};
        for (size_t h = 0; h < t.halves.size(); h += 2) {
            const int count = (int)std::min<size_t>(2, t.halves.size() - h);
            call.count[1] = 0;
            for (int i = 0; i < count; ++i) {
                const Half& half = t.halves[h + i];
                call.pixels[2 * i] = input_ + half.start, call.pixels[2 * i + 1] = input_ + half.start + t.y_step;
                call.count[i] = half.count;
                call.to[i] = values.row(t.windows[0].begin, half.line, half.column);
                call.place[i] = to.places ? to.places + (call.to[i] - to.values) : nullptr;
                call.spot[i] = (Spot<T>)(2 * (half.line * call.width + half.column));
            }
            kernels_.spatial.halved[filters - 1][count - 1][to.places != nullptr](call);
        }
    }

    // The windows of one filter with one channel, without a map.
    void halve_plane(const Tile& t, long filter, const Windows& to) {
        const Range &lines = t.windows[1], &columns = t.windows[2];
        const long width = block_.axis[2].out;
        kernels_.spatial.halved_plane[size_.size][size_.stride][to.places != nullptr](
            {plane_sums(t, filter, 0), to.values, to.places, columns.count(), lines.count(), columns.count(), (Spot<T>)(2 * (lines.begin * width + columns.begin)), (Spot<T>)width});
    }

    // What is pooled: to where it is kept, activated if that is still to be done, and on.
    void give_windows(const Tile& t, long image, long filter, int filters, const Windows& found, const Maps<T>& out, const Kept<T, Spot<T>>& keep) {
        const long count = filters * t.window_count();
        if (found.direct) {
            T* to = out.at(image, filter);
            if (block_.pooled_first && block_.activation) activation_[0].run({found.values, nullptr}, {0, 0}, to, 0, 1, count);
            return;
        }
        for (int f = 0; f < filters; ++f) {
            if (keep.places) {
                const Maps<Spot<T>> places = whole(keep.places, true);
                write(windows_of(t, (const Spot<T>*)places_, f), t.windows, places.at(image, filter + f), places);
            }
            if (keep.largest) {
                const Maps<T> largest = whole(keep.largest, true);
                write(windows_of(t, (const T*)pooled_, f), t.windows, largest.at(image, filter + f), largest);
            }
        }
        if (block_.pooled_first) activate(pooled_, count);
        for (int f = 0; f < filters; ++f) write(windows_of(t, (const T*)pooled_, f), t.windows, out.at(image, filter + f), out);
    }
};

}  // namespace

template <class T>
int team_of(const ConvolutionBlock<T>& block, int threads) { return team_size(block.work() < least_work ? 1 : threads); }

template <class T>
ForwardPlan forward_plan(const ConvolutionBlock<T>& block, bool whole, const Isa& isa, int team) {
    const Kernels<T>& kernels = isa.kernels<T>();
    const bool minimal = by_points(block, kernels);
    return {team, minimal, tiles_of(block, whole, minimal, kernels.lanes, team)};
}

template <class T>
void convolve(const ConvolutionBlock<T>& block, const ForwardPlan& plan, const Maps<const T>& in, const Maps<T>& out, const Kept<T, Spot<T>>& keep, const Isa& isa) {
    const Kernels<T>& kernels = isa.kernels<T>();
    const std::vector<Tile>& tiles = plan.tiles;
    Arena shared(true);     // not the memory that this thread keeps: its share of the work wants that
    std::optional<PointFilters<T>> filters;
    if (plan.minimal) filters.emplace(block, false, kernels, shared);
    const long units = block.batch * (long)tiles.size();
    const int count = (int)std::min<long>(plan.team, std::max<long>(units, 1));
    const auto work = [&](int index, int of) {
        Arena arena;
        Forward<T> forward(block, tiles, filters ? &*filters : nullptr, kernels, arena);
        for (long u = units * index / of; u < units * (index + 1) / of; ++u)
            forward.tile(tiles[u % tiles.size()], u / (long)tiles.size(), in, out, keep);
    };
    if (!on_team(count, [&](int index) { work(index, count); })) work(0, 1);
}

#define PELLUCID_FOR(T)                                                                         \
    template int team_of<T>(const ConvolutionBlock<T>&, int);                                    \
    template ForwardPlan forward_plan<T>(const ConvolutionBlock<T>&, bool, const Isa&, int);     \
    template void convolve<T>(const ConvolutionBlock<T>&, const ForwardPlan&, const Maps<const T>&, const Maps<T>&, const Kept<T, Spot<T>>&, const Isa&);
PELLUCID_FOR(float)
PELLUCID_FOR(double)
#undef PELLUCID_FOR

}  // namespace pellucid
