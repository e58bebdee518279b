// Max and average pooling of a plane: windows slide over (depth, height, width), in one, two or three of these axes.

#pragma once

#include <algorithm>
#include <vector>

#include "isa.h"
#include "memory.h"

namespace pellucid {

// One axis that a window slides along.
struct Axis {
    long in = 1, out = 1;           // sizes
    long kernel = 1, stride = 1, dilation = 1, before = 0;      // before: the padding at the beginning

    long first(long o) const { return o * stride - before; }    // where window o begins; may lie in the padding
    long span() const { return dilation * (kernel - 1) + 1; }
    bool trivial() const { return kernel == 1 && stride == 1 && before == 0; }
};

// A part of an axis, [begin, end).
struct Range {
    long begin = 0, end = 0;
    long count() const { return end - begin; }
    bool has(long at) const { return at >= begin && at < end; }
};

struct Pool {
    bool max = true;
    bool counts_padding = true;     // an average's divisor; padding beyond `after` (of ceil mode) never counts
    long divisor = 0;               // 0: what the window has
    Axis axis[3];
    long after[3] = {};             // the padding at the end

    bool trivial() const { return axis[0].trivial() && axis[1].trivial() && axis[2].trivial(); }

    // What windows in the range see of the input.
    Range sees(int a, Range r) const {
        const Axis& x = axis[a];
        return {std::max<long>(0, x.first(r.begin)), std::min(x.in, x.first(r.end - 1) + x.span())};
    }

    // How many numbers of one axis a window's average is over.
    long counted(int a, long o) const {
        const Axis& x = axis[a];
        long found = 0;
        const long least = counts_padding ? -x.before : 0, most = counts_padding ? x.in + after[a] : x.in;
        for (long k = 0; k < x.kernel; ++k) {
            const long at = x.first(o) + k * x.dilation;
            found += at >= least && at < most;
        }
        return found;
    }
};

// A plane, or the part of it that begins at (z, y, x); numbers of a row lie side by side.
template <class N>
struct Plane {
    N* data;
    long z_step, y_step;
    long z = 0, y = 0, x = 0;

    N* row(long at_z, long at_y, long at_x) const { return data + (at_z - z) * z_step + (at_y - y) * y_step + (at_x - x); }
};

// Pools planes one after the other; its scratch is made once.
template <class T>
class Pooler {
public:
    // Of planes of which at most `width` columns and `height` rows of windows are asked for at a time.
    Pooler(const Pool& pool, const Kernels<T>& kernels, Arena& arena);

    // The windows of the ranges, into a plane of results that begins where `to` says; of maxima also their places, row-major in
    // the whole plane, in a plane with the same steps.
    void run(const Plane<const T>& from, const Range (&windows)[3], const Plane<T>& to, Spot<T>* places);

private:
    // Lines of windows from one on whose rows all exist, or one line at the edge.
    void lines(const Plane<const T>& from, long z, long line, long count, Range columns, T* to, long to_step, Spot<T>* places);

    // The same of windows three by three whose rows all exist, with the places of the largest.
    void nine_lines(const Plane<const T>& from, long z, long line, long count, Range columns, T* to, long to_step, Spot<T>* places);

    // Sums to averages.
    void divide(long z, long line, long count, Range columns, T* to, long to_step);

    const Pool& pool_;
    const Kernels<T>& kernels_;
    T *folded_, *divisors_;
    Spot<T>* spots_;
    bool nine_;             // windows three by three
    long pitch_, at_once_;
    std::vector<const T*> rows_;
    std::vector<Spot<T>> row_spots_;
};

// Whole tensors of planes that lie one after the other, forward. `to` has `planes` planes of results, and `places` is null or of
// the same shape.
template <class T>
void pool_planes(const Pool& pool, const T* from, long planes, T* to, Spot<T>* places, const Isa& isa, int threads);

// The gradient of the input, from the results' and, of maxima, their places.
template <class T>
void pool_planes_backward(const Pool& pool, const T* gradient, const Spot<T>* places, long planes, T* to, const Isa& isa, int threads);

// The same for one plane, which is overwritten.
template <class T>
void scatter_plane(const Pool& pool, const T* gradient, const Spot<T>* places, T* to, long z_step, long y_step, const Kernels<T>& kernels);

}  // namespace pellucid
