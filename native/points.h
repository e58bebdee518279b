// Convolution three by three with stride 1 by minimal filtering, F(2 x 2, 3 x 3): a tile of two by two results takes 16
// multiplications for each channel instead of 36. See Winograd 1980, "Arithmetic complexity of computations"; Lavin and Gray
// 2016, "Fast algorithms for convolutional neural networks". In one dimension, of the tile d, the filter g and the results y:
//
//     m0 = (d0 - d2) g0, m1 = (d1 + d2) (g0 + g1 + g2) / 2, m2 = (d2 - d1) (g0 - g1 + g2) / 2, m3 = (d1 - d3) g2
//     y0 = m0 + m1 + m2, y1 = m1 - m2 - m3
//
// In two dimensions that is done along rows and along columns. What a tile becomes is its values at 16 points (of the
// polynomials of which this is the product), and the sums over channels are 16 matrix products, each of all tiles with all
// filters. A vector holds neighbouring channels, or filters, of one tile: its size does not matter then. A sum over channels has
// a ninth of the terms, so that the results are no less exact than in the direct way; but an infinity, or NaN, would reach all of
// its tile, so where a result is not finite the direct way computes it again.

#pragma once

#include "convolution.h"
#include "multiply.h"
#include "tile.h"

namespace pellucid {

inline constexpr int points = 16;

// Whether a block is computed so. Depends on sizes alone, neither on how many images there are nor on threads.
template <class T>
bool by_points(const ConvolutionBlock<T>& block, const Kernels<T>& kernels);

inline long rounded_up(long count, long to) { return (count + to - 1) / to * to; }

// The filters at the points: of each group and point a matrix channels x filters, with the filters rounded up to vectors.
template <class T>
struct FilterPoints {
    long channels, filters, wide, groups;       // wide: the filters, rounded up
    T* values;                                  // [group][point][channel][wide]

    FilterPoints(const ConvolutionBlock<T>& block, const Kernels<T>& kernels, Arena& arena);

    T* at(long group, int point) const { return values + (group * points + point) * channels * wide; }

    // As right-hand sides of products, of a tile's channels with filters; or of its filters with channels, for the gradient of the
    // input: with the filters turned upside down.
    Gemm<T> forward(long group, int point) const;
    Gemm<T> backward(long group, int point) const;
};

// Right-hand sides of all products as the kernel reads them.
template <class T>
struct PointPanels {
    long columns, depth, size;          // of results, rounded up to vectors; of sums; numbers of a right-hand side
    T* values;                          // [group][point]
    T* bias;                            // [group][columns], added to each result; null: none

    PointPanels(const FilterPoints<T>& filters, bool backward, const T* bias, const Kernels<T>& kernels, Arena& arena);
    const T* at(long group, int point) const { return values + (group * points + point) * size; }
};

// How a tile of a map is cut into those of two by two results.
struct PointGrid {
    long lines, columns;

    static PointGrid of(long height, long width) { return {(height + 1) / 2, (width + 1) / 2}; }
    static PointGrid of(const Tile& t) { return of(t.out(1).count(), t.out(2).count()); }
    long count() const { return lines * columns; }
};

// Numbers as vectors of channels: of vector v, number (y, x) is at v * plane + y * row + x * lanes.
template <class T>
struct Pixels {
    T* data = nullptr;
    long row = 0, plane = 0;

    // What the results of a grid see.
    static Pixels seen(T* data, PointGrid grid, int lanes) { return of(data, 2 * grid.lines + 2, 2 * grid.columns + 2, lanes); }
    static Pixels of(T* data, long height, long width, int lanes) { return {data, width * lanes, height * width * lanes}; }
};

// One image's channels of a group, as far as a tile sees them. What lies in the border is left as it is.
template <class T>
void bring(const Tile& t, const ConvolutionBlock<T>& b, const Maps<const T>& in, long image, long group, const Pixels<T>& to, const Kernels<T>& kernels);

// One thread's sums over channels, a grid of tiles at a time.
template <class T>
class PointSums {
public:
    PointSums(const PointPanels<T>& panels, PointGrid most, const Kernels<T>& kernels, Arena& arena);

    // What they are the sums over.
    void begin(PointGrid grid, long group, const Pixels<T>& numbers);

    // The sums of a vector of filters from the first one on: as rows of numbers, or the largest of each tile one after the other.
    // Whether all are finite.
    bool results(long filter, T* to, long row);
    bool largest(long filter, T* to, Spot<T>* places, Spot<T> spot, Spot<T> width);

private:
    const PointPanels<T>& panels_;
    const Kernels<T>& kernels_;
    PointGrid grid_{};
    long group_ = 0, depth_, wide_;         // wide: of sums that are made at a time
    long made_ = -1;                        // the filter from which on they are; -1: none yet
    T *tiles_, *sums_;

    T* sums(long filter);
};

// The gradients of a block that is computed so; false: one of them is not finite, or the padding is not of one value, or wide. They
// are then to be computed directly.
template <class T>
bool backward_by_points(const ConvolutionBlock<T>& block, const Maps<const T>& in, const ConvolutionGradients<T>& gradients, const Kernels<T>& kernels,
                        int threads);

}  // namespace pellucid
