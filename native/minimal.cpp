// The transforms of minimal filtering, F(2 x 4, 3 x 3), compiled once for each instruction set; see points.h. A vector's lanes are
// channels, or filters, so that nothing is moved between lanes.

#include <type_traits>
#include <utility>

#include "isa.h"
#include "taps.h"

namespace PELLUCID_ISA {

using pellucid::FilterPointsCall;
using pellucid::LargestResultsCall;
using pellucid::PointsCall;
using pellucid::Spatial;
using pellucid::Spot;

// In one dimension, as matrices would have it: B^T d, G g, A^T m, and the transposes of the last two. Of two results, at the points 0,
// 1, -1 and infinity:
template <class V>
inline void tile_points(const V (&d)[4], V (&to)[4]) {
    to[0] = d[0] - d[2], to[1] = d[1] + d[2], to[2] = d[2] - d[1], to[3] = d[1] - d[3];
}

template <class V>
inline void filter_points(const V (&g)[3], V (&to)[4]) {
    const V outer = (g[0] + g[2]) / 2, inner = g[1] / 2;
    to[0] = g[0], to[1] = outer + inner, to[2] = outer - inner, to[3] = g[2];
}

template <class V>
inline void results(const V (&m)[4], V (&to)[2]) {
    to[0] = m[0] + m[1] + m[2], to[1] = m[1] - m[2] - m[3];
}

template <class V>
inline void result_points(const V (&y)[2], V (&to)[4]) {
    to[0] = y[0], to[1] = y[0] + y[1], to[2] = y[0] - y[1], to[3] = -y[1];
}

template <class V>
inline void filter_gradient(const V (&u)[4], V (&to)[3]) {
    const V outer = (u[1] + u[2]) / 2;
    to[0] = u[0] + outer, to[1] = (u[1] - u[2]) / 2, to[2] = outer + u[3];
}

// And of four, at 0, a, -a, b, -b and infinity. These a and b, and their powers, are numbers without rounding, and results more exact
// than at whole numbers.
template <class V>
struct Four {
    using T = std::remove_cvref_t<decltype(std::declval<V&>()[0])>;
    static constexpr T a = T(0.625), a2 = a * a, a3 = a * a2, b = T(1.5), b2 = b * b, b3 = b * b2;
    static constexpr T of_0 = 1 / (a2 * b2), of_a = 1 / (2 * a2 * (a2 - b2)), of_b = 1 / (2 * b2 * (b2 - a2));
};

template <class V>
inline void tile_points(const V (&d)[6], V (&to)[6]) {
    using P = Four<V>;
    const V even_a = d[4] - P::b2 * d[2], odd_a = d[3] - P::b2 * d[1], even_b = d[4] - P::a2 * d[2], odd_b = d[3] - P::a2 * d[1];
    to[0] = d[4] + (P::a2 * P::b2 * d[0] - (P::a2 + P::b2) * d[2]);
    to[1] = even_a + P::a * odd_a, to[2] = even_a - P::a * odd_a;
    to[3] = even_b + P::b * odd_b, to[4] = even_b - P::b * odd_b;
    to[5] = d[5] + (P::a2 * P::b2 * d[1] - (P::a2 + P::b2) * d[3]);
}

template <class V>
inline void filter_points(const V (&g)[3], V (&to)[6]) {
    using P = Four<V>;
    const V even_a = P::of_a * (g[0] + P::a2 * g[2]), odd_a = P::of_a * P::a * g[1], even_b = P::of_b * (g[0] + P::b2 * g[2]), odd_b = P::of_b * P::b * g[1];
    to[0] = P::of_0 * g[0];
    to[1] = even_a + odd_a, to[2] = even_a - odd_a;
    to[3] = even_b + odd_b, to[4] = even_b - odd_b;
    to[5] = g[2];
}

template <class V>
inline void results(const V (&m)[6], V bias, V (&to)[4]) {
    using P = Four<V>;
    const V even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    to[0] = (m[0] + bias) + (even_a + even_b), to[1] = P::a * odd_a + (P::b * odd_b + bias);
    to[2] = P::a2 * even_a + (P::b2 * even_b + bias), to[3] = P::a3 * odd_a + (P::b3 * odd_b + (m[5] + bias));
}

template <class V>
inline void result_points(const V (&y)[4], V (&to)[6]) {
    using P = Four<V>;
    const V even_a = y[0] + P::a2 * y[2], odd_a = y[1] + P::a2 * y[3], even_b = y[0] + P::b2 * y[2], odd_b = y[1] + P::b2 * y[3];
    to[0] = y[0];
    to[1] = even_a + P::a * odd_a, to[2] = even_a - P::a * odd_a;
    to[3] = even_b + P::b * odd_b, to[4] = even_b - P::b * odd_b;
    to[5] = y[3];
}

template <class V>
inline void filter_gradient(const V (&u)[6], V (&to)[3]) {
    using P = Four<V>;
    const V even_a = P::of_a * (u[1] + u[2]), odd_a = P::of_a * (u[1] - u[2]), even_b = P::of_b * (u[3] + u[4]), odd_b = P::of_b * (u[3] - u[4]);
    to[0] = P::of_0 * u[0] + (even_a + even_b), to[1] = P::a * odd_a + P::b * odd_b, to[2] = P::a2 * even_a + (P::b2 * even_b + u[5]);
}

// Tiles of two by four results see four by six numbers. Neighbours in a line share two columns.
template <class T>
void to_points(const PointsCall<T>& c) {
    for (long line = 0; line < c.lines; ++line) {
        const T* from = c.numbers + 2 * line * c.row;
        T* to = c.points + line * c.columns * c.tile;
        Vec<T> columns[6][4];       // [column][point along it]
        const auto column = [&](int x) __attribute__((always_inline)) {
            const Vec<T> d[4] = {load(from), load(from + c.row), load(from + 2 * c.row), load(from + 3 * c.row)};
            tile_points(d, columns[x]);
            from += lanes<T>;
        };
        column(4), column(5);
        for (long i = 0; i < c.columns; ++i, to += c.tile) {
            PELLUCID_UNROLL
            for (int p = 0; p < 4; ++p) columns[0][p] = columns[4][p], columns[1][p] = columns[5][p];
            column(2), column(3), column(4), column(5);
            PELLUCID_UNROLL
            for (int p = 0; p < 4; ++p) {
                const Vec<T> d[6] = {columns[0][p], columns[1][p], columns[2][p], columns[3][p], columns[4][p], columns[5][p]};
                Vec<T> found[6];
                tile_points(d, found);
                PELLUCID_UNROLL
                for (int q = 0; q < 6; ++q) store(to + (6 * p + q) * c.point, found[q]);
            }
        }
    }
}

// The transpose of what makes results of points, from tiles of two by four.
template <class T>
void results_to_points(const PointsCall<T>& c) {
    for (long line = 0; line < c.lines; ++line)
        for (long i = 0; i < c.columns; ++i) {
            const T* from = c.numbers + 2 * line * c.row + 4 * i * lanes<T>;
            T* to = c.points + (line * c.columns + i) * c.tile;
            Vec<T> columns[4][4];
            PELLUCID_UNROLL
            for (int x = 0; x < 4; ++x) {
                const Vec<T> y[2] = {load(from + x * lanes<T>), load(from + c.row + x * lanes<T>)};
                result_points(y, columns[x]);
            }
            PELLUCID_UNROLL
            for (int p = 0; p < 4; ++p) {
                const Vec<T> y[4] = {columns[0][p], columns[1][p], columns[2][p], columns[3][p]};
                Vec<T> found[6];
                result_points(y, found);
                PELLUCID_UNROLL
                for (int q = 0; q < 6; ++q) store(to + (6 * p + q) * c.point, found[q]);
            }
        }
}

template <class T>
inline Vec<T> bias_of(const T* bias) { return bias ? load(bias) : Vec<T>{}; }

// The eight results of a tile. `unfinite` gathers what is 0 as long as all are finite.
template <class T>
inline void results_of(const T* from, long point, Vec<T> bias, Vec<T> (&y)[2][4], Vec<T>& unfinite) {
    Vec<T> rows[2][6];
    PELLUCID_UNROLL
    for (int q = 0; q < 6; ++q) {
        const Vec<T> m[4] = {load(from + q * point), load(from + (6 + q) * point), load(from + (12 + q) * point), load(from + (18 + q) * point)};
        Vec<T> found[2];
        results(m, found);
        rows[0][q] = found[0], rows[1][q] = found[1];
    }
    PELLUCID_UNROLL
    for (int r = 0; r < 2; ++r) {
        results(rows[r], bias, y[r]);
        const Vec<T> all = (y[r][0] + y[r][1]) + (y[r][2] + y[r][3]);
        unfinite += all - all;
    }
}

// The two of one in a row.
template <class T>
inline void row_results_of(const T* from, long point, Vec<T> bias, Vec<T> (&y)[2], Vec<T>& unfinite) {
    const Vec<T> m[4] = {load(from), load(from + point), load(from + 2 * point), load(from + 3 * point)};
    results(m, y);
    y[0] += bias, y[1] += bias;
    const Vec<T> all = y[0] + y[1];
    unfinite += all - all;
}

template <class T>
inline bool is_finite(Vec<T> unfinite) {
    bool finite = true;
    for (int i = 0; i < lanes<T>; ++i) finite = finite && unfinite[i] == 0;
    return finite;
}

template <class T>
bool from_points(const PointsCall<T>& c) {
    const Vec<T> bias = bias_of(c.bias);
    Vec<T> unfinite{};
    for (long line = 0; line < c.lines; ++line) {
        T* to = c.numbers + 2 * line * c.row;
        for (long i = 0; i < c.columns; ++i, to += 4 * lanes<T>) {
            Vec<T> y[2][4];
            results_of<T>(c.points + (line * c.columns + i) * c.tile, c.point, bias, y, unfinite);
            PELLUCID_UNROLL
            for (int x = 0; x < 4; ++x) store(to + x * lanes<T>, y[0][x]), store(to + c.row + x * lanes<T>, y[1][x]);
        }
    }
    return is_finite<T>(unfinite);
}

// Along one axis, tiles of two results or four. Neighbours share two numbers.
template <class T, int Results>
void row_to_points(const PointsCall<T>& c) {
    constexpr int points = Results + 2;
    T* to = c.points;
    for (long line = 0; line < c.lines; ++line) {
        const T* from = c.numbers + line * c.row;
        Vec<T> d[points];
        d[Results] = load(from), d[Results + 1] = load(from + c.column);
        from += 2 * c.column;
        for (long i = 0; i < c.columns; ++i, to += c.tile) {
            d[0] = d[Results], d[1] = d[Results + 1];
            PELLUCID_UNROLL
            for (int x = 2; x < points; ++x, from += c.column) d[x] = load(from);
            Vec<T> found[points];
            tile_points(d, found);
            PELLUCID_UNROLL
            for (int q = 0; q < points; ++q) store(to + q * c.point, found[q]);
        }
    }
}

template <class T, int Results>
void row_results_to_points(const PointsCall<T>& c) {
    constexpr int points = Results + 2;
    T* to = c.points;
    for (long line = 0; line < c.lines; ++line) {
        const T* from = c.numbers + line * c.row;
        for (long i = 0; i < c.columns; ++i, to += c.tile) {
            Vec<T> y[Results], found[points];
            PELLUCID_UNROLL
            for (int x = 0; x < Results; ++x, from += c.column) y[x] = load(from);
            result_points(y, found);
            PELLUCID_UNROLL
            for (int q = 0; q < points; ++q) store(to + q * c.point, found[q]);
        }
    }
}

template <class T>
bool row_from_points(const PointsCall<T>& c) {
    const Vec<T> bias = bias_of(c.bias);
    Vec<T> unfinite{};
    const T* from = c.points;
    for (long line = 0; line < c.lines; ++line) {
        T* to = c.numbers + line * c.row;
        for (long i = 0; i < c.columns; ++i, from += c.tile, to += 2 * c.column) {
            Vec<T> y[2];
            row_results_of<T>(from, c.point, bias, y, unfinite);
            store(to, y[0]), store(to + c.column, y[1]);
        }
    }
    return is_finite<T>(unfinite);
}

template <class T, bool Places>
bool largest_from_points(const LargestResultsCall<T>& c) {
    const Vec<T> bias = bias_of(c.bias);
    Vec<T> unfinite{};
    const T* from = c.points;
    long at = 0;
    for (long line = 0; line < c.lines; ++line)
        for (long i = 0; i < c.columns; ++i, from += c.tile) {
            Vec<T> y[2][4];
            results_of<T>(from, c.point, bias, y, unfinite);
            PELLUCID_UNROLL
            for (int x = 0; x < 4; x += 2, at += lanes<T>) {
                const Spots<T> upper = Spots<T>{} + (Spot<T>)(c.spot + 2 * line * c.width + 4 * i + x);
                const LargestOfFour<T, Places> largest(y[0][x], y[0][x + 1], y[1][x], y[1][x + 1], upper, upper + c.width);
                store(c.to + at, largest.best);
                if constexpr (Places) store(c.places + at, largest.place);
            }
        }
    return is_finite<T>(unfinite);
}

template <class T, bool Places>
bool row_largest_from_points(const LargestResultsCall<T>& c) {
    const Vec<T> bias = bias_of(c.bias);
    Vec<T> unfinite{};
    const T* from = c.points;
    T* to = c.to;
    Spot<T>* places = c.places;
    for (long i = 0; i < c.columns; ++i, from += c.tile, to += lanes<T>) {
        Vec<T> y[2];
        row_results_of<T>(from, c.point, bias, y, unfinite);
        const Mask<T> larger = y[1] > y[0], first = Mask<T>{} + (Spot<T>)(c.spot + 2 * i);
        store(to, larger ? y[1] : y[0]);
        if constexpr (Places) store(places, larger ? first + 1 : first), places += lanes<T>;
    }
    return is_finite<T>(unfinite);
}

template <class T>
void filters_to_points(const FilterPointsCall<T>& c) {
    for (long i = 0; i < c.count; ++i) {
        const T* from = c.filters + i * 9 * lanes<T>;
        T* to = c.points + i * c.step;
        Vec<T> rows[3][6];
        PELLUCID_UNROLL
        for (int y = 0; y < 3; ++y) {
            const Vec<T> g[3] = {load(from + 3 * y * lanes<T>), load(from + (3 * y + 1) * lanes<T>), load(from + (3 * y + 2) * lanes<T>)};
            filter_points(g, rows[y]);
        }
        PELLUCID_UNROLL
        for (int q = 0; q < 6; ++q) {
            const Vec<T> g[3] = {rows[0][q], rows[1][q], rows[2][q]};
            Vec<T> found[4];
            filter_points(g, found);
            PELLUCID_UNROLL
            for (int p = 0; p < 4; ++p) store(to + (6 * p + q) * c.point, found[p]);
        }
    }
}

// Its transpose.
template <class T>
void filters_from_points(const FilterPointsCall<T>& c) {
    for (long i = 0; i < c.count; ++i) {
        const T* from = c.points + i * c.step;
        T* to = c.filters + i * 9 * lanes<T>;
        Vec<T> rows[3][6];
        PELLUCID_UNROLL
        for (int q = 0; q < 6; ++q) {
            const Vec<T> u[4] = {load(from + q * c.point), load(from + (6 + q) * c.point), load(from + (12 + q) * c.point), load(from + (18 + q) * c.point)};
            Vec<T> found[3];
            filter_gradient(u, found);
            PELLUCID_UNROLL
            for (int y = 0; y < 3; ++y) rows[y][q] = found[y];
        }
        PELLUCID_UNROLL
        for (int y = 0; y < 3; ++y) {
            Vec<T> found[3];
            filter_gradient(rows[y], found);
            PELLUCID_UNROLL
            for (int x = 0; x < 3; ++x) store(to + (3 * y + x) * lanes<T>, found[x]);
        }
    }
}

template <class T>
void row_filters_to_points(const FilterPointsCall<T>& c) {
    for (long i = 0; i < c.count; ++i) {
        const T* from = c.filters + i * 9 * lanes<T>;
        const Vec<T> g[3] = {load(from), load(from + lanes<T>), load(from + 2 * lanes<T>)};
        Vec<T> found[4];
        filter_points(g, found);
        PELLUCID_UNROLL
        for (int p = 0; p < 4; ++p) store(c.points + i * c.step + p * c.point, found[p]);
    }
}

template <class T, int Results>
void row_filters_from_points(const FilterPointsCall<T>& c) {
    constexpr int points = Results + 2;
    for (long i = 0; i < c.count; ++i) {
        const T* from = c.points + i * c.step;
        Vec<T> u[points], found[3];
        PELLUCID_UNROLL
        for (int q = 0; q < points; ++q) u[q] = load(from + q * c.point);
        filter_gradient(u, found);
        PELLUCID_UNROLL
        for (int x = 0; x < 3; ++x) store(c.filters + (9 * i + x) * lanes<T>, found[x]);
    }
}

template <class T>
void build(Spatial<T>& s) {
    s.to_points = to_points<T>;
    s.results_to_points = results_to_points<T>;
    s.from_points = from_points<T>;
    s.row_to_points[0] = row_to_points<T, 2>;
    s.row_to_points[1] = row_to_points<T, 4>;
    s.row_results_to_points[0] = row_results_to_points<T, 2>;
    s.row_results_to_points[1] = row_results_to_points<T, 4>;
    s.row_from_points = row_from_points<T>;
    s.largest_from_points[0] = largest_from_points<T, false>;
    s.largest_from_points[1] = largest_from_points<T, true>;
    s.row_largest_from_points[0] = row_largest_from_points<T, false>;
    s.row_largest_from_points[1] = row_largest_from_points<T, true>;
    s.filters_to_points = filters_to_points<T>;
    s.filters_from_points = filters_from_points<T>;
    s.row_filters_to_points = row_filters_to_points<T>;
    s.row_filters_from_points[0] = row_filters_from_points<T, 2>;
    s.row_filters_from_points[1] = row_filters_from_points<T, 4>;
}

extern void add_minimal(pellucid::Isa&);
void add_minimal(pellucid::Isa& isa) {
    build(isa.single.spatial);
    build(isa.twice.spatial);
}

}  // namespace PELLUCID_ISA
