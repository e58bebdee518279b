#include "pooling.h"

#include <cstdint>
#include <limits>

#include "threads.h"

namespace pellucid {

template <class T>
Pooler<T>::Pooler(const Pool& pool, const Kernels<T>& kernels, Arena& arena) : pool_(pool), kernels_(kernels) {
    const Axis &x = pool.axis[2], &y = pool.axis[1];
    const long slack = kernels.lanes * (x.stride + 1), numbers = 4096;      // rows in work that stay in the nearest cache
    const auto three = [](const Axis& a) { return a.kernel == 3 && a.stride <= 2 && a.dilation == 1; };
    nine_ = pool.max && pool.axis[0].kernel == 1 && three(y) && three(x) && y.stride == x.stride;
    pitch_ = std::max(x.in, x.first(x.out - 1) + x.span()) + x.before;
    at_once_ = std::clamp<long>(numbers / pitch_ / (nine_ ? y.stride : 1), 1, std::max<long>(y.out, 1));
    const long rows = nine_ ? (at_once_ - 1) * y.stride + 3 : at_once_;
    folded_ = arena.take<T>(pitch_ * rows + slack);
    spots_ = arena.take<Spot<T>>(pitch_ * at_once_ + slack);
    std::fill_n(folded_, pitch_ * rows + slack, T(0));
    std::fill_n(spots_, pitch_ * at_once_ + slack, Spot<T>(0));
    const long most = pool.axis[0].kernel * pool.axis[1].kernel;
    rows_.resize(most);
    row_spots_.resize(most);
    divisors_ = nullptr;
    if (pool.max) return;
    divisors_ = arena.take<T>(x.out);
    for (long o = 0; o < x.out; ++o) divisors_[o] = (T)pool.counted(2, o);
}

template <class T>
void Pooler<T>::run(const Plane<const T>& from, const Range (&windows)[3], const Plane<T>& to, Spot<T>* places) {
    const Axis& y = pool_.axis[1];
    // Lines whose windows lie wholly in the plane are alike, and go together.
    const long inside = std::clamp((y.before + y.stride - 1) / y.stride, windows[1].begin, windows[1].end);
    long outside = inside;
    while (outside < windows[1].end && y.first(outside) + y.span() <= y.in) ++outside;
    for (long z = windows[0].begin; z < windows[0].end; ++z)
        for (long line = windows[1].begin; line < windows[1].end;) {
            const long count = line >= inside && line < outside ? std::min(at_once_, outside - line) : 1;
            T* at = to.row(z, line, windows[2].begin);
            lines(from, z, line, count, windows[2], at, to.y_step, places ? places + (at - to.data) : nullptr);
            line += count;
        }
}

template <class T>
void Pooler<T>::lines(const Plane<const T>& from, long z, long line, long count, Range columns, T* to, long to_step, Spot<T>* places) {
    const Axis &az = pool_.axis[0], &ay = pool_.axis[1], &ax = pool_.axis[2];
    const Range seen = pool_.sees(2, columns);
    int found = 0;
    for (long kz = 0; kz < az.kernel; ++kz) {
        const long at_z = az.first(z) + kz * az.dilation;
        if (at_z < 0 || at_z >= az.in) continue;
        for (long ky = 0; ky < ay.kernel; ++ky) {
            const long at_y = ay.first(line) + ky * ay.dilation;
            if (at_y < 0 || at_y >= ay.in) continue;
            rows_[found] = from.row(at_z, at_y, seen.begin);
            row_spots_[found++] = (Spot<T>)((at_z * ay.in + at_y) * ax.in);
        }
    }
    // Windows of two columns side by side, none of which lies in the padding, are pooled where they lie.
    const long step = ay.stride * from.y_step;
    // Whether they are does not depend on which columns are asked for: neither may the order of a sum.
    if (found && ax.kernel == 2 && ax.stride == 2 && ax.dilation == 1 && ax.before == 0 && ax.first(ax.out - 1) + 2 <= ax.in) {
        for (int r = 0; r < found; ++r) row_spots_[r] += (Spot<T>)seen.begin;
        const HalveCall<T> halve{rows_.data(), found, columns.count(), to, count, step, to_step, row_spots_.data(), places, (Spot<T>)(ay.stride * ax.in)};
        (!pool_.max ? kernels_.spatial.halve_sum : places ? kernels_.spatial.halve_place : kernels_.spatial.halve_max)(halve);
        if (!pool_.max) divide(z, line, count, columns, to, to_step);
        return;
    }
    if (nine_ && places && found == 3) return nine_lines(from, z, line, count, columns, to, to_step, places);
    // What the windows of these columns see, the padding at both ends among it, and then the windows.
    const T none = pool_.max ? -std::numeric_limits<T>::infinity() : T(0);
    const long begin = ax.first(columns.begin), lead = seen.begin - begin;
    const long width = std::max(seen.end, ax.first(columns.end - 1) + ax.span()) - begin;
    const long pitch = std::min(pitch_, width);
    const bool pads = lead > 0 || seen.end - begin < width;
    if (pads || found == 0)
        for (long i = 0; i < count; ++i) {
            T* row = folded_ + i * pitch;
            std::fill(row, row + (found ? lead : width), none);
            std::fill(row + (found ? seen.end - begin : width), row + width, none);
            if (!places) continue;
            // Where even the largest number is none, it is the input's, which has a smaller spot.
            Spot<T>* spots = spots_ + i * pitch;
            const Spot<T> last = std::numeric_limits<Spot<T>>::max() / 2;
            std::fill(spots, spots + lead, last);
            std::fill(spots + (seen.end - begin), spots + width, last);
        }
    if (found) {
        const FoldCall<T> fold{rows_.data(), found, seen.count(), folded_ + lead, count, step, pitch,
                               row_spots_.data(), spots_ + lead, (Spot<T>)(ay.stride * ax.in)};
        (!pool_.max ? kernels_.spatial.fold_sum : places ? kernels_.spatial.fold_place : kernels_.spatial.fold_max)(fold);
    }
    const SlideCall<T> slide{folded_, (int)ax.kernel, ax.stride, ax.dilation, columns.count(), to, count, pitch, to_step,
                             spots_, places, (Spot<T>)begin};
    (!pool_.max ? kernels_.spatial.slide_sum : places ? kernels_.spatial.slide_place : kernels_.spatial.slide_max)(slide);
    if (!pool_.max) divide(z, line, count, columns, to, to_step);
}

template <class T>
void Pooler<T>::nine_lines(const Plane<const T>& from, long z, long line, long count, Range columns, T* to, long to_step, Spot<T>* places) {
    const Axis &ay = pool_.axis[1], &ax = pool_.axis[2];
    const T none = -std::numeric_limits<T>::infinity();
    const Range seen = pool_.sees(2, columns);
    const long begin = ax.first(columns.begin), lead = seen.begin - begin;
    const long width = std::max(seen.end, ax.first(columns.end - 1) + 3) - begin, first = ay.first(line), rows = (count - 1) * ay.stride + 3;
    for (long i = 0; i < rows; ++i) {
        std::fill_n(folded_ + i * width, lead, none);
        std::fill(folded_ + i * width + (seen.end - begin), folded_ + (i + 1) * width, none);
    }
    const long at_z = pool_.axis[0].first(z);
    kernels_.spatial.copy({from.row(at_z, first, seen.begin), from.y_step, folded_ + lead, width, rows, seen.count()});
    kernels_.spatial.nine_place[ay.stride - 1]({folded_, width, count, columns.count(), to, places, to_step, (Spot<T>)begin,
                                                (Spot<T>)((at_z * ay.in + first) * ax.in), (Spot<T>)ax.in});
}

template <class T>
void Pooler<T>::divide(long z, long line, long count, Range columns, T* to, long to_step) {
    static constexpr int by = op_named("div");
    const int width = (int)columns.count();
    if (pool_.divisor) {
        const T divisor = (T)pool_.divisor;
        kernels_.pointwise[by][2]({to, to_step, {to, &divisor}, {to_step, 0}, (int)count, width});
        return;
    }
    // Lines of which several come at a time are alike.
    const T rows = (T)(pool_.counted(0, z) * pool_.counted(1, line));
    for (int o = 0; o < width; ++o) folded_[o] = rows * divisors_[columns.begin + o];
    kernels_.pointwise[by][0]({to, to_step, {to, folded_}, {to_step, 0}, (int)count, width});
}

namespace {

long size_in(const Pool& p) { return p.axis[0].in * p.axis[1].in * p.axis[2].in; }
long size_out(const Pool& p) { return p.axis[0].out * p.axis[1].out * p.axis[2].out; }

// Division of numbers below 2^31 by one of them, as a multiplication (Granlund and Montgomery 1994).
class Divisor {
public:
    explicit Divisor(long by) : inverse_((std::uint64_t(1) << 63) / (std::uint64_t)by + 1) {}
    long of(long number) const { return (long)((unsigned __int128)(std::uint64_t)number * inverse_ >> 63); }

private:
    std::uint64_t inverse_;
};

template <class N>
Plane<N> plane_of(N* data, long height, long width) { return {data, height * width, width}; }

// Planes for one thread; below some work one thread does all.
template <class F>
void share(long planes, long numbers, int threads, const F& work) {
    const int count = team_size(planes * numbers < 30000 ? 1 : (int)std::min<long>(threads, planes));
    const auto part = [&](int index, int of) { work(planes * index / of, planes * (index + 1) / of); };
    if (!on_team(count, [&](int index) { part(index, count); })) part(0, 1);
}

}  // namespace

template <class T>
void pool_planes(const Pool& pool, const T* from, long planes, T* to, Spot<T>* places, const Isa& isa, int threads) {
    const Kernels<T>& kernels = isa.kernels<T>();
    const long in = size_in(pool), out = size_out(pool);
    const Range all[3] = {{0, pool.axis[0].out}, {0, pool.axis[1].out}, {0, pool.axis[2].out}};
    share(planes, in, threads, [&](long begin, long end) {
        Arena arena;
        Pooler<T> pooler(pool, kernels, arena);
        for (long p = begin; p < end; ++p)
            pooler.run(plane_of(from + p * in, pool.axis[1].in, pool.axis[2].in), all,
                       plane_of(to + p * out, pool.axis[1].out, pool.axis[2].out), places ? places + p * out : nullptr);
    });
}

template <class T>
void scatter_plane(const Pool& pool, const T* gradient, const Spot<T>* places, T* to, long z_step, long y_step, const Kernels<T>& kernels) {
    const Axis &az = pool.axis[0], &ay = pool.axis[1], &ax = pool.axis[2];
    // Windows that lie side by side, two columns wide: every number belongs to one of them or to none.
    const auto side_by_side = [](const Axis& a) { return a.kernel == a.stride && a.dilation == 1 && a.before == 0 && a.out * a.stride <= a.in; };
    if (az.trivial() && side_by_side(ay) && side_by_side(ax) && ax.kernel == 2) {
        const T divisor = (T)(pool.divisor ? pool.divisor : ay.kernel * ax.kernel);
        const long columns = 2 * ax.out, rows = ay.out * ay.stride;
        for (long z = 0; z < az.in; ++z) {
            T* plane = to + z * z_step;
            const long at = z * ay.out * ax.out;
            const SpreadCall<T> call{gradient + at, pool.max ? places + at : nullptr, ay.out, ax.out, (int)ay.kernel, plane, y_step,
                                     (Spot<T>)(z * ay.in * ax.in), (Spot<T>)ax.in, divisor};
            (pool.max ? kernels.spatial.spread : kernels.spatial.spread_mean)(call);
            if (columns < ax.in)
                for (long y = 0; y < rows; ++y) std::fill(plane + y * y_step + columns, plane + y * y_step + ax.in, T(0));
            for (long y = rows; y < ay.in; ++y) std::fill_n(plane + y * y_step, ax.in, T(0));
        }
        return;
    }
    for (long z = 0; z < az.in; ++z)
        for (long y = 0; y < ay.in; ++y) std::fill_n(to + z * z_step + y * y_step, ax.in, T(0));
    if (pool.max) {
        const long count = size_out(pool);
        if (y_step == ax.in && z_step == ay.in * y_step)
            for (long i = 0; i < count; ++i) to[places[i]] += gradient[i];
        else if (az.in == 1) {
            const Divisor width(ax.in);
            for (long i = 0; i < count; ++i) to[places[i] + width.of(places[i]) * (y_step - ax.in)] += gradient[i];
        } else {
            const Divisor width(ax.in), height(ay.in);
            for (long i = 0; i < count; ++i) {
                const long row = width.of(places[i]), z = height.of(row);
                to[places[i] + row * (y_step - ax.in) + z * (z_step - ay.in * y_step)] += gradient[i];
            }
        }
        return;
    }
    std::vector<T> columns(ax.out), share(ax.out);
    for (long o = 0; o < ax.out; ++o) columns[o] = (T)pool.counted(2, o);
    for (long z = 0; z < az.out; ++z)
        for (long y = 0; y < ay.out; ++y, gradient += ax.out) {
            const T rows = (T)(pool.counted(0, z) * pool.counted(1, y));
            for (long o = 0; o < ax.out; ++o) share[o] = gradient[o] / (pool.divisor ? (T)pool.divisor : rows * columns[o]);
            for (long kz = 0; kz < az.kernel; ++kz) {
                const long at_z = az.first(z) + kz * az.dilation;
                if (at_z < 0 || at_z >= az.in) continue;
                for (long ky = 0; ky < ay.kernel; ++ky) {
                    const long at_y = ay.first(y) + ky * ay.dilation;
                    if (at_y < 0 || at_y >= ay.in) continue;
                    T* row = to + at_z * z_step + at_y * y_step;
                    for (long kx = 0; kx < ax.kernel; ++kx) {
                        // The windows whose number kx lies in the row.
                        const long at = kx * ax.dilation - ax.before, last = ax.in - 1 - at;
                        const long begin = at < 0 ? (-at + ax.stride - 1) / ax.stride : 0, end = last < 0 ? 0 : std::min(ax.out, last / ax.stride + 1);
                        for (long o = begin; o < end; ++o) row[at + o * ax.stride] += share[o];
                    }
                }
            }
        }
}

template <class T>
void pool_planes_backward(const Pool& pool, const T* gradient, const Spot<T>* places, long planes, T* to, const Isa& isa, int threads) {
    const long in = size_in(pool), out = size_out(pool), height = pool.axis[1].in, width = pool.axis[2].in;
    share(planes, in, threads, [&](long begin, long end) {
        for (long p = begin; p < end; ++p)
            scatter_plane<T>(pool, gradient + p * out, places ? places + p * out : nullptr, to + p * in, height * width, width, isa.kernels<T>());
    });
}

#define PELLUCID_FOR(T)                                                                                          \
    template class Pooler<T>;                                                                                    \
    template void pool_planes<T>(const Pool&, const T*, long, T*, Spot<T>*, const Isa&, int);                    \
    template void pool_planes_backward<T>(const Pool&, const T*, const Spot<T>*, long, T*, const Isa&, int);           \
    template void scatter_plane<T>(const Pool&, const T*, const Spot<T>*, T*, long, long, const Kernels<T>&);
PELLUCID_FOR(float)
PELLUCID_FOR(double)
#undef PELLUCID_FOR

}  // namespace pellucid
