// The transforms of minimal filtering, F(2 x 2, 3 x 3), compiled once for each instruction set; see points.h. A vector's lanes are
// channels, or filters, so that nothing is moved between lanes.

#include "isa.h"
#include "simd.h"

namespace PELLUCID_ISA {

using pellucid::FilterPointsCall;
using pellucid::LargestResultsCall;
using pellucid::PointsCall;
using pellucid::Spatial;
using pellucid::Spot;

// In one dimension, as matrices would have it: B^T d, G g, A^T m, and the transposes of the last two.
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

// Tiles of four by four. Neighbours in a line share two columns.
template <class T>
void to_points(const PointsCall<T>& c) {
    for (long line = 0; line < c.lines; ++line) {
        const T* from = c.numbers + 2 * line * c.row;
        T* to = c.points + line * c.columns * c.tile;
        Vec<T> columns[4][4];       // [column][point along it]
        const auto column = [&](int x, const T* at) __attribute__((always_inline)) {
            const Vec<T> d[4] = {load(at), load(at + c.row), load(at + 2 * c.row), load(at + 3 * c.row)};
            tile_points(d, columns[x]);
        };
        column(2, from);
        column(3, from + lanes<T>);
        for (long i = 0; i < c.columns; ++i, to += c.tile) {
            from += 2 * lanes<T>;
            PELLUCID_UNROLL
            for (int p = 0; p < 4; ++p) columns[0][p] = columns[2][p], columns[1][p] = columns[3][p];
            column(2, from);
            column(3, from + lanes<T>);
            PELLUCID_UNROLL
            for (int p = 0; p < 4; ++p) {
                const Vec<T> d[4] = {columns[0][p], columns[1][p], columns[2][p], columns[3][p]};
                Vec<T> found[4];
                tile_points(d, found);
                PELLUCID_UNROLL
                for (int q = 0; q < 4; ++q) store(to + (4 * p + q) * c.point, found[q]);
            }
        }
    }
}

// The transpose of what makes results of points, from tiles of two by two.
template <class T>
void results_to_points(const PointsCall<T>& c) {
    for (long line = 0; line < c.lines; ++line)
        for (long i = 0; i < c.columns; ++i) {
            const T* from = c.numbers + 2 * line * c.row + 2 * i * lanes<T>;
            T* to = c.points + (line * c.columns + i) * c.tile;
            Vec<T> columns[2][4];
            PELLUCID_UNROLL
            for (int x = 0; x < 2; ++x) {
                const Vec<T> y[2] = {load(from + x * lanes<T>), load(from + c.row + x * lanes<T>)};
                result_points(y, columns[x]);
            }
            PELLUCID_UNROLL
            for (int p = 0; p < 4; ++p) {
                const Vec<T> y[2] = {columns[0][p], columns[1][p]};
                Vec<T> found[4];
                result_points(y, found);
                PELLUCID_UNROLL
                for (int q = 0; q < 4; ++q) store(to + (4 * p + q) * c.point, found[q]);
            }
        }
}

// The four results of a tile. `unfinite` gathers what is 0 as long as all are finite.
template <class T>
inline void results_of(const T* from, long point, Vec<T> (&y)[2][2], Vec<T>& unfinite) {
    Vec<T> rows[2][4];
    PELLUCID_UNROLL
    for (int q = 0; q < 4; ++q) {
        const Vec<T> m[4] = {load(from + q * point), load(from + (4 + q) * point), load(from + (8 + q) * point), load(from + (12 + q) * point)};
        Vec<T> found[2];
        results(m, found);
        rows[0][q] = found[0], rows[1][q] = found[1];
    }
    results(rows[0], y[0]);
    results(rows[1], y[1]);
    const Vec<T> all = (y[0][0] + y[0][1]) + (y[1][0] + y[1][1]);
    unfinite += all - all;
}

// The two of one in a row.
template <class T>
inline void row_results_of(const T* from, long point, Vec<T> (&y)[2], Vec<T>& unfinite) {
    const Vec<T> m[4] = {load(from), load(from + point), load(from + 2 * point), load(from + 3 * point)};
    results(m, y);
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
    Vec<T> unfinite{};
    for (long line = 0; line < c.lines; ++line) {
        T* to = c.numbers + 2 * line * c.row;
        for (long i = 0; i < c.columns; ++i, to += 2 * lanes<T>) {
            Vec<T> y[2][2];
            results_of<T>(c.points + (line * c.columns + i) * c.tile, c.point, y, unfinite);
            store(to, y[0][0]), store(to + lanes<T>, y[0][1]);
            store(to + c.row, y[1][0]), store(to + c.row + lanes<T>, y[1][1]);
        }
    }
    return is_finite<T>(unfinite);
}

// Along one axis.
template <class T>
void row_to_points(const PointsCall<T>& c) {
    for (long line = 0; line < c.lines; ++line) {
        const T* from = c.numbers + line * c.row;
        T* to = c.points + line * c.columns * c.tile;
        Vec<T> first = load(from), second = load(from + c.column);
        for (long i = 0; i < c.columns; ++i, to += c.tile) {
            from += 2 * c.column;
            const Vec<T> d[4] = {first, second, load(from), load(from + c.column)};
            first = d[2], second = d[3];
            Vec<T> found[4];
            tile_points(d, found);
            PELLUCID_UNROLL
            for (int q = 0; q < 4; ++q) store(to + q * c.point, found[q]);
        }
    }
}

template <class T>
void row_results_to_points(const PointsCall<T>& c) {
    T* to = c.points;
    for (long line = 0; line < c.lines; ++line) {
        const T* from = c.numbers + line * c.row;
        for (long i = 0; i < c.columns; ++i, from += 2 * c.column, to += c.tile) {
            const Vec<T> y[2] = {load(from), load(from + c.column)};
            Vec<T> found[4];
            result_points(y, found);
            PELLUCID_UNROLL
            for (int q = 0; q < 4; ++q) store(to + q * c.point, found[q]);
        }
    }
}

template <class T>
bool row_from_points(const PointsCall<T>& c) {
    Vec<T> unfinite{};
    const T* from = c.points;
    for (long line = 0; line < c.lines; ++line) {
        T* to = c.numbers + line * c.row;
        for (long i = 0; i < c.columns; ++i, from += c.tile, to += 2 * c.column) {
            Vec<T> y[2];
            row_results_of<T>(from, c.point, y, unfinite);
            store(to, y[0]), store(to + c.column, y[1]);
        }
    }
    return is_finite<T>(unfinite);
}

template <class T, bool Places>
bool largest_from_points(const LargestResultsCall<T>& c) {
    Vec<T> unfinite{};
    const T* from = c.points;
    T* to = c.to;
    Spot<T>* places = c.places;
    for (long line = 0; line < c.lines; ++line)
        for (long i = 0; i < c.columns; ++i, from += c.tile, to += lanes<T>) {
            Vec<T> y[2][2];
            results_of<T>(from, c.point, y, unfinite);
            // Of equal numbers the first one; NaN is not among them.
            Vec<T> best = y[0][0];
            Mask<T> place = Mask<T>{} + (Spot<T>)(c.spot + 2 * (line * c.width + i));
            const Mask<T> first = place;
            const auto add = [&](Vec<T> v, Spot<T> beyond) __attribute__((always_inline)) {
                const Mask<T> larger = v > best;
                best = larger ? v : best;
                if constexpr (Places) place = larger ? first + beyond : place;
            };
            add(y[0][1], 1);
            add(y[1][0], c.width);
            add(y[1][1], c.width + 1);
            store(to, best);
            if constexpr (Places) store(places, place), places += lanes<T>;
        }
    return is_finite<T>(unfinite);
}

template <class T, bool Places>
bool row_largest_from_points(const LargestResultsCall<T>& c) {
    Vec<T> unfinite{};
    const T* from = c.points;
    T* to = c.to;
    Spot<T>* places = c.places;
    for (long i = 0; i < c.columns; ++i, from += c.tile, to += lanes<T>) {
        Vec<T> y[2];
        row_results_of<T>(from, c.point, y, unfinite);
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
        Vec<T> rows[3][4];
        PELLUCID_UNROLL
        for (int y = 0; y < 3; ++y) {
            const Vec<T> g[3] = {load(from + 3 * y * lanes<T>), load(from + (3 * y + 1) * lanes<T>), load(from + (3 * y + 2) * lanes<T>)};
            filter_points(g, rows[y]);
        }
        PELLUCID_UNROLL
        for (int q = 0; q < 4; ++q) {
            const Vec<T> g[3] = {rows[0][q], rows[1][q], rows[2][q]};
            Vec<T> found[4];
            filter_points(g, found);
            PELLUCID_UNROLL
            for (int p = 0; p < 4; ++p) store(to + (4 * p + q) * c.point, found[p]);
        }
    }
}

// Its transpose.
template <class T>
void filters_from_points(const FilterPointsCall<T>& c) {
    for (long i = 0; i < c.count; ++i) {
        const T* from = c.points + i * c.step;
        T* to = c.filters + i * 9 * lanes<T>;
        Vec<T> rows[3][4];
        PELLUCID_UNROLL
        for (int q = 0; q < 4; ++q) {
            const Vec<T> u[4] = {load(from + q * c.point), load(from + (4 + q) * c.point), load(from + (8 + q) * c.point), load(from + (12 + q) * c.point)};
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
void row_filters_from_points(const FilterPointsCall<T>& c) {
    for (long i = 0; i < c.count; ++i) {
        const T* from = c.points + i * c.step;
        const Vec<T> u[4] = {load(from), load(from + c.point), load(from + 2 * c.point), load(from + 3 * c.point)};
        Vec<T> found[3];
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
    s.row_to_points = row_to_points<T>;
    s.row_results_to_points = row_results_to_points<T>;
    s.row_from_points = row_from_points<T>;
    s.largest_from_points[0] = largest_from_points<T, false>;
    s.largest_from_points[1] = largest_from_points<T, true>;
    s.row_largest_from_points[0] = row_largest_from_points<T, false>;
    s.row_largest_from_points[1] = row_largest_from_points<T, true>;
    s.filters_to_points = filters_to_points<T>;
    s.filters_from_points = filters_from_points<T>;
    s.row_filters_from_points = row_filters_from_points<T>;
}

extern void add_minimal(pellucid::Isa&);
void add_minimal(pellucid::Isa& isa) {
    build(isa.single.spatial);
    build(isa.twice.spatial);
}

}  // namespace PELLUCID_ISA
