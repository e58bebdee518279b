// The kernels of convolution and pooling, as a build for one instruction set offers them.

#pragma once

#include <cstdint>

namespace pellucid {

// A place in a plane, of the size of a number, so that vectors of both go together.
template <class T>
struct PlaceOf;
template <>
struct PlaceOf<float> { using Integer = std::int32_t; };
template <>
struct PlaceOf<double> { using Integer = std::int64_t; };
template <class T>
using Spot = typename PlaceOf<T>::Integer;

inline constexpr int most_channels = 12, most_pixels = 4;      // of one call of `taps`: rows of outputs, and vectors of them
inline constexpr int most_halved = 6;                          // of one call of `halved`: filters
inline constexpr int most_filters = 4, most_taps = 6;          // of one call of `correlate`

inline constexpr int rows_at_once = 4;                         // of results, of one channel's sums with one filter

// What some filters' sums over taps are made of: of vector j, sum[r][i] = bias[r] + sum over k of weights[r][k] * pixels[j][taps[k] + i].
template <class T>
struct FilterSums {
    const T* weights;
    long weight_row;                    // distance between filters; taps lie side by side
    const std::int32_t* taps;           // where each tap lies, from the first
    long depth;                         // how many
    const T* bias;                      // one a filter; null: 0
};

// Vectors of neighbouring outputs: out[j][r][i] = sum[r][i] of vector j.
template <class T>
struct TapsCall {
    FilterSums<T> sums;
    const T* pixels[most_pixels];
    T* out[most_pixels];
    long out_row;                       // distance between filters
};

// The largest of such sums in windows two by two, without a map between. A vector of windows has two halves, each above
// neighbouring columns of two rows.
template <class T>
struct HalvedTapsCall {
    FilterSums<T> sums;
    const T* pixels[4];                 // of the first half's rows, and of the second's
    int count[2];                       // of a half's windows that are wanted
    T* to[2];
    Spot<T>* place[2];                  // of the largest, in the map; only where places are asked for
    long to_row;                        // distance between filters
    Spot<T> spot[2], width;             // of a half's first number, and from a row of the map to the next
};

// What one filter's sums over one channel are made of, with a kernel of one plane whose taps have nothing between them: of column x
// of line y, bias + sum over k of weights[k] * pixels[y * row + taps[k] + x]. Taps lie row by row, the first at 0; those that a
// stride has dealt out to one phase lie side by side, and so do their rows. What follows the pixels for two vectors may be read.
template <class T>
struct PlaneSums {
    const T* weights;
    const T* bias;                      // null: 0
    const std::int32_t* taps;
    int rows, columns, stride;          // of the kernel
    const T* pixels;
    long row;                           // from what a row of results sees to what the next one does
};

// Rows of results.
template <class T>
struct PlaneCall {
    PlaneSums<T> sums;
    T* out;
    long out_step, lines, width;
    long ahead = 0;                     // what lies so far beyond `out` is asked for meanwhile
};

// Rows of which every second number is one's sum, and those between another's.
template <class T>
struct WovenPlaneCall {
    PlaneSums<T> even, odd;
    T* out;
    long out_step, lines, width;
    long ahead;                         // what lies so far beyond `out` is asked for meanwhile
};

// The same sums' largest numbers in windows two by two, side by side.
template <class T>
struct HalvedPlaneCall {
    PlaneSums<T> sums;
    T* to;
    Spot<T>* place;                     // of the largest, in the map; only where places are asked for
    long to_step, lines, width;         // of windows
    Spot<T> spot, spot_step;            // of the first number, and from a row of the map to the next
};

// Gradients of weights: to[r][k] += sum over images and over i in the vectors of map[r][i] * pixels[taps[k] + i].
template <class T>
struct CorrelateCall {
    const T* map;
    long map_row, map_image;            // distance between filters, and between images
    const T* pixels;
    long pixels_image;
    const std::int32_t* taps;
    long images;
    const std::int32_t* starts;         // of the vectors
    long vectors;
    T* to;
    long to_row;                        // distance between filters; taps lie side by side
};

// The same of one filter over one channel, of all taps, in the order of PlaneSums: to[k] += sum over images, lines and columns of
// map[line * row + x] * pixels[line * row + taps[k] + x]. What follows both for a vector may be read, and does not count.
template <class T>
struct PlaneCorrelateCall {
    const T* map;
    const T* pixels;
    long map_image, pixels_image;       // distance between images
    long images, lines, width, row;
    const std::int32_t* taps;
    int depth;                          // how many
    T* to;
};

// Rows of a plane become one: their largest numbers, or their sums, column by column. Of equal numbers the first one is the
// largest, and NaN, the last of several, is larger than all numbers: so torch has it.
template <class T>
struct FoldCall {
    const T* const* rows;
    int count;
    long width;
    T* to;
    long lines, row_step, to_step;      // how many results, and the distance from one to the next, in `rows` and in `to`
    const Spot<T>* spots;               // of each row; only where the largest one's place is asked for
    Spot<T>* spot;                      // of the largest's row
    Spot<T> spot_step;                  // from one line's rows to the next's
};

// A window slides over such a row: to[x] is the largest of, or the sum over, from[x * stride + k * dilation]. What follows the
// row for `stride` vectors may be read.
template <class T>
struct SlideCall {
    const T* from;
    int kernel;
    long stride, dilation, width;       // width: of `to`
    T* to;
    long lines, from_step, to_step;
    const Spot<T>* spot;                // of each column's row
    Spot<T>* place;                     // of the largest: its row's spot and its column
    Spot<T> column;                     // of from[0]
};

// Windows three by three: to[x] is the largest of from[row * (stride * line + y) + stride * x + k] for all y and k below 3, and
// place[x] where it is, of equal ones the first. What follows a row for two vectors may be read.
template <class T>
struct NineCall {
    const T* from;
    long row, lines, width;             // lines and width: of `to`
    T* to;
    Spot<T>* place;
    long to_step;
    Spot<T> column;                     // of from[0]; columns before 0 are padding, which is never the largest
    Spot<T> spot, spot_step;            // of column 0, and from one row to the next
};

// Windows of two columns, side by side, which need no row between: to[x] is the largest of, or the sum over, rows[r][2 x] and
// rows[r][2 x + 1] for all rows.
template <class T>
struct HalveCall {
    const T* const* rows;
    int count;
    long width;                         // of `to`
    T* to;
    long lines, row_step, to_step;
    const Spot<T>* spots;               // of each row's first column here; only where places are asked for
    Spot<T>* place;
    Spot<T> spot_step;
};

// The gradient of windows two columns wide and `rows` high, side by side: of maxima a window's, where its place is, and 0 elsewhere;
// of means its share everywhere.
template <class T>
struct SpreadCall {
    const T* gradient;
    const Spot<T>* places;              // as the gradients
    long lines, width;                  // of windows
    int rows;                           // of a window
    T* to;
    long to_step;                       // from one row to the next
    Spot<T> spot, spot_step;            // of to[0], and from one row to the next
    T divisor;                          // of a mean
};

// Rows of numbers from one place to another.
template <class T>
struct CopyCall {
    const T* from;
    long from_step;                     // from one row to the next
    T* to;
    long to_step, rows, width;
    long ahead = 0;                     // `copy` asks meanwhile for what lies so far beyond `from`
};

// Rows of which every second number goes to one place, and those between to another.
template <class T>
struct DealCall {
    const T* from;
    long from_step;
    T* to[2];
    long to_step, rows, width[2];       // width: of each; 0: nowhere
    long ahead = 0;                     // what lies so far beyond `from` is asked for meanwhile
};

// Tiles by minimal filtering (see points.h), line by line. Numbers are vectors of channels or filters: number (y, x) is at y * row +
// x * column of `numbers`, the first tile's first one at 0, and the next tile's as many beyond as it has results; point i of tile t is at i * point +
// t * tile of `points`. Tiles are two by four, with a column of a vector; or two or four
// in a row.
template <class T>
struct PointsCall {
    T* numbers;
    long row, column;
    T* points;
    long point, tile;
    long lines, columns;                // of tiles
    const T* bias = nullptr;            // of a vector of filters, added to results; null: none
};

// The largest of windows of two by two results, or of two in a row: one after the other, line by line.
template <class T>
struct LargestResultsCall {
    const T* points;
    long point, tile;
    long lines, columns;
    T* to;
    Spot<T>* places;                    // in the map; only where they are asked for
    Spot<T> spot, width;                // of the first result, and from a row of the map to the next
    const T* bias = nullptr;
};

// Filters three by three: number k of filter i is at (9 * i + k) * lanes of `filters`, and point k at i * step + k * point of `points`.
template <class T>
struct FilterPointsCall {
    T* filters;
    T* points;
    long step, point, count;
};

template <class T>
struct Spatial {
    void (*taps[most_channels][most_pixels])(const TapsCall<T>&);
    void (*halved[most_halved][2][2])(const HalvedTapsCall<T>&);       // [filters - 1][halves - 1][places]
    // [size][stride]; [0][0]: of any size and stride; [1]: 3x3, and [2]: 5x5, with stride 1 and 2.
    void (*plane[3][2])(const PlaneCall<T>&);
    void (*woven_plane)(const WovenPlaneCall<T>&);
    void (*halved_plane[3][2][2])(const HalvedPlaneCall<T>&);          // [2]: whether places are asked for
    void (*plane_correlate[3][2])(const PlaneCorrelateCall<T>&);
    void (*correlate[most_filters][most_taps])(const CorrelateCall<T>&);
    void (*fold_max)(const FoldCall<T>&);
    void (*fold_sum)(const FoldCall<T>&);
    void (*fold_place)(const FoldCall<T>&);
    void (*slide_max)(const SlideCall<T>&);
    void (*slide_sum)(const SlideCall<T>&);
    void (*slide_place)(const SlideCall<T>&);
    void (*nine_place[2])(const NineCall<T>&);      // [stride - 1]
    void (*halve_max)(const HalveCall<T>&);
    void (*halve_sum)(const HalveCall<T>&);
    void (*halve_place)(const HalveCall<T>&);
    bool (*within)(const Spot<T>* places, long count, Spot<T> size);    // whether all are in a map of that size
    void (*spread)(const SpreadCall<T>&);
    void (*spread_mean)(const SpreadCall<T>&);
    void (*copy)(const CopyCall<T>&);
    void (*deal)(const DealCall<T>&);
    void (*copy_to_second)(const CopyCall<T>&);     // to every second place; those between stay as they are
    void (*to_points)(const PointsCall<T>&);                // tiles of the input
    void (*results_to_points)(const PointsCall<T>&);        // of results: the transpose of the next
    bool (*from_points)(const PointsCall<T>&);              // results; whether all are finite
    void (*row_to_points[2])(const PointsCall<T>&);         // [whether tiles are of four results], as below
    void (*row_results_to_points[2])(const PointsCall<T>&);
    bool (*row_from_points)(const PointsCall<T>&);
    bool (*largest_from_points[2])(const LargestResultsCall<T>&);      // [whether places are asked for]; the same
    bool (*row_largest_from_points[2])(const LargestResultsCall<T>&);
    void (*filters_to_points)(const FilterPointsCall<T>&);
    void (*filters_from_points)(const FilterPointsCall<T>&);           // its transpose
    void (*row_filters_to_points)(const FilterPointsCall<T>&);         // of three in a row, the first of nine
    void (*row_filters_from_points[2])(const FilterPointsCall<T>&);
    int channels[most_pixels];          // the most filters that registers hold, for 1, 2, ... vectors; 0: none
    int filters, taps_at_once;          // of `correlate`
};

}  // namespace pellucid
