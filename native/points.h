// Convolution with stride 1 by minimal filtering, F(2 x 4, 3 x 3): a tile of two by four results takes 24 multiplications for each
// channel instead of 72. See Winograd 1980, "Arithmetic complexity of computations"; Lavin and Gray 2016, "Fast algorithms for
// convolutional neural networks". In one dimension, of the tile d, the filter g and the results y, two of them:
//
//     m0 = (d0 - d2) g0, m1 = (d1 + d2) (g0 + g1 + g2) / 2, m2 = (d2 - d1) (g0 - g1 + g2) / 2, m3 = (d1 - d3) g2
//     y0 = m0 + m1 + m2, y1 = m1 - m2 - m3
//
// What a tile becomes is its values at points, of the polynomials of which this is the product: at 0, 1, -1 and infinity for two
// results, down the columns, and at 0, 5/8, -5/8, 3/2, -3/2 and infinity for four, along the rows; where these lie decides how exact
// the results are. The sums over channels are 24 matrix products, each of all tiles with all filters. A vector holds neighbouring
// channels, or filters, of one tile: its size does not matter then. A sum over channels has a ninth of the terms, so that the results
// are about as exact as in the direct way (docs/log.md has it in numbers); but an infinity, or NaN, would reach all of its tile, so
// where a result is not finite the direct way computes it again.
//
// What one of four results does not see of its tile, up to three numbers on either side, cancels but for roundings; what one of two
// does not see goes into none of its products. So along one axis, which may be time, where nothing comes from what is yet to come,
// tiles are of two results: 4 multiplications instead of 6. Their numbers may be a dilation apart; tiles of neighbouring numbers then
// lie in as many lines as it is, each a number further than the last. The gradient of a filter is a sum over all numbers, which a filter
// sees anyway: there tiles are of four, 6 multiplications instead of 12.
//
// A larger filter is cut into some of three by three, which see the input moved by multiples of three: as more channels. Where the
// last of them has fewer taps along an axis, g2 is 0 there, and its products at infinity fall away (5 x 5: 77 instead of 200).

#pragma once

#include <vector>

#include "convolution.h"
#include "multiply.h"
#include "tile.h"

namespace pellucid {

inline constexpr int down = 2, down_points = 4;     // results of a tile below each other, and their points
inline constexpr int most_points = 24;              // of a tile

// Whether a block is computed so. Depends on sizes alone, neither on how many images there are nor on threads.
template <class T>
bool by_points(const ConvolutionBlock<T>& block, const Kernels<T>& kernels);

inline long rounded_up(long count, long to) { return (count + to - 1) / to * to; }

// As many numbers as an odd number of vectors has: rows that far apart lie in all sets of the cache.
inline long odd(long count, long lanes) { return count + (count / lanes % 2 == 0 ? lanes : 0); }

// How filters are cut.
struct Cuts {
    long kernel[2], count[2];       // along y and x
    long dilation;                  // along x, where that is the only axis
    bool in_row;                    // so it is
    int across, across_points;      // results of a tile side by side, and their points

    // `row`: results of a tile in a row.
    Cuts(const Axis& y, const Axis& x, int row = 2)
        : kernel{y.kernel, x.kernel}, count{(y.kernel + 2) / 3, (x.kernel + 2) / 3}, dilation(x.dilation), in_row(y.kernel == 1),
          across(in_row ? row : 4), across_points(across + 2) {}
    int points() const { return (in_row ? 1 : down_points) * across_points; }
    // How many results along y or x are cut alike.
    long lines() const { return in_row ? 1 : down; }
    long columns() const { return across * dilation; }
    long all() const { return count[0] * count[1]; }
    // How many have values at a point, along y and along x.
    long lines_at(int point) const { return count[0] - (point / across_points == down_points - 1 && kernel[0] % 3 != 0); }
    long columns_at(int point) const { return count[1] - (point % across_points == across_points - 1 && kernel[1] % 3 != 0); }
};

// The right-hand sides of the products, in the order in which the kernel reads them: of each group and point a matrix, of a tile's
// channels in all cuts with filters. `backward`: of its filters with channels, for the gradient of the input, and with the filters
// turned upside down.
template <class T>
class PointFilters {
public:
    PointFilters(const ConvolutionBlock<T>& block, bool backward, const Kernels<T>& kernels, Arena& arena);

    // Rows that follow each other, from one on, and where they are; others are 0.
    struct Part {
        long first, depth, offset;
    };

    const Cuts cuts;
    const long inner, outer;                    // channels, or filters, that are summed over, and those that come out: of a group
    const long step;                            // from one cut's rows to the next's
    const long wide;                            // outer, rounded up to vectors
    const std::vector<Part>& parts(int point) const { return parts_[point]; }
    const T* values(long group, const Part& part) const { return values_ + group * size_ + part.offset; }
    const T* bias(long group, long filter) const { return bias_ ? bias_ + group * wide + filter : nullptr; }        // null: none

private:
    std::vector<Part> parts_[most_points];
    long size_ = 0;                             // of a group
    T *values_, *bias_ = nullptr;
};

// How a tile of a map is cut into those of two by four results, or of two or four in a row.
struct PointGrid {
    long lines, columns;

    static PointGrid of(const Cuts& cuts, long height, long width) {
        const long columns = (width + cuts.columns() - 1) / cuts.columns();
        return {cuts.in_row ? cuts.dilation : (height + down - 1) / down, columns};
    }
    static PointGrid of(const Cuts& cuts, const Tile& t) { return of(cuts, t.out(1).count(), t.out(2).count()); }
    long count() const { return lines * columns; }
    // Of the numbers that they see.
    long height(const Cuts& cuts) const { return cuts.in_row ? 1 : down * lines + 3 * cuts.count[0] - 1; }
    long width(const Cuts& cuts) const { return cuts.dilation * (cuts.across * columns + 3 * cuts.count[1] - 1); }
    // Of the results: all, and those of a line.
    long made(const Cuts& cuts) const { return cuts.lines() * cuts.across * count(); }
    long wide(const Cuts& cuts) const { return cuts.columns() * columns; }
    // Windows of two by two results, or of two in a row.
    long windows(const Cuts& cuts) const { return cuts.across / 2 * columns * lines; }
    // Lines one below the other are worked on, or, in a row, columns.
    long units(const Cuts& cuts) const { return cuts.in_row ? columns : lines; }
    PointGrid part(const Cuts& cuts, long units) const { return cuts.in_row ? PointGrid{lines, units} : PointGrid{units, columns}; }
};

// From one point's numbers of a grid's tiles to the next's: a vector further than they reach, for a tile's at all points would
// otherwise mostly be in one set of the nearest cache, which holds fewer.
template <class T>
long apart(PointGrid grid, long wide, const Kernels<T>& kernels) { return grid.count() * wide + kernels.lanes; }

// Numbers as vectors of channels: of vector v, number (y, x) is at v * plane + y * row + x * lanes.
template <class T>
struct Pixels {
    T* data = nullptr;
    long row = 0, plane = 0;

    static Pixels of(T* data, long height, long width, int lanes) { return {data, width * lanes, height * width * lanes}; }
};

// One image's channels of a group, as far as a tile sees them. What lies in the border is left as it is.
template <class T>
void bring(const Tile& t, const ConvolutionBlock<T>& b, const Maps<const T>& in, long image, long group, const Pixels<T>& to, const Kernels<T>& kernels);

// Lines of vectors of channels to rows of a tensor, beyond whose ends nothing is written. `scratch` holds as many vectors as one has
// lanes.
template <class T>
void to_rows(const T* from, long line, long lines, long width, int channels, T* to, long y_step, long channel_step, T* scratch, const Kernels<T>& kernels);

// One thread's sums over channels, a grid of tiles at a time.
template <class T>
class PointSums {
public:
    PointSums(const PointFilters<T>& filters, PointGrid most, const Kernels<T>& kernels, Arena& arena);

    // What they are the sums over.
    void begin(PointGrid grid, long group, const Pixels<T>& numbers);

    // The sums of a vector of filters from the first one on: as rows of numbers, or the largest of each tile one after the other.
    // Whether all are finite.
    bool results(long filter, T* to, long row);
    bool largest(long filter, T* to, Spot<T>* places, Spot<T> spot, Spot<T> width);

private:
    const PointFilters<T>& filters_;
    const Kernels<T>& kernels_;
    PointGrid grid_{};
    long group_ = 0, depth_, wide_;         // wide: sums that are made at a time
    long made_ = -1;                        // the filter from which on they are; -1: none yet
    T *tiles_, *sums_;

    T* sums(long filter);
};

// The gradients of a block that is computed so, whose images are a tile each; false: one of them is not finite, or the padding is not of one value, or wide. They
// are then to be computed directly.
template <class T>
bool backward_by_points(const ConvolutionBlock<T>& block, const Tile& tile, const Maps<const T>& in, const ConvolutionGradients<T>& gradients,
                        const Kernels<T>& kernels, int team);

}  // namespace pellucid
