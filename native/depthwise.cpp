// Convolution of one channel with one filter, whose kernel has one plane: depthwise convolution's, forward and backward; compiled
// once for each instruction set. Each number of the input meets all rows of the kernel while it is in a register, since the
// results of several rows are summed at a time: one row's alone take as many loads as multiply-adds.

#include "isa.h"
#include "taps.h"

namespace PELLUCID_ISA {

using pellucid::HalvedPlaneCall;
using pellucid::PlaneCall;
using pellucid::PlaneCorrelateCall;
using pellucid::PlaneSums;
using pellucid::rows_at_once;
using pellucid::Spatial;
using pellucid::WovenPlaneCall;

// The vector that begins at a lane of the first one and goes on in the second.
template <class T, int Lane, int... I>
inline Vec<T> from_lane(Vec<T> a, Vec<T> b, Indices<I...>) {
#if defined(__AVX512F__)
    // GCC would take a permutation, which needs its indices in a register and writes over one of the two.
    if constexpr (Lane == 0) return a;
    else if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_alignr_epi32((__m512i)b, (__m512i)a, Lane);
    else return (Vec<T>)_mm512_alignr_epi64((__m512i)b, (__m512i)a, Lane);
#else
    return __builtin_shufflevector(a, b, (I + Lane)...);
#endif
}

constexpr int vectors_at_once = 2, lines_at_once = 2;      // lines: of windows

// The sums of one kernel size and stride; its weights stay in registers, or beside them. Every sum begins with
// the bias and adds its terms in the order of the taps, as add_taps does.
template <class T, int Down, int Across, int Stride>
class Sums {
public:
    explicit Sums(const PlaneSums<T>& c) : row_(c.row), bias_(c.bias ? broadcast(*c.bias) : Vec<T>{}) {
        PELLUCID_UNROLL
        for (int k = 0; k < Down * Across; ++k) weights_[k] = broadcast(c.weights[k]);
        PELLUCID_UNROLL
        for (int p = 0; p < phases; ++p) rows_[p] = c.taps[p * Across], columns_[p] = c.taps[p];
    }

    // Of rows of results below each other, whose vectors lie side by side.
    template <int Rows, int Vectors>
    void add(const T* pixels, Vec<T> (&sums)[Rows][Vectors]) const {
        PELLUCID_UNROLL
        for (int r = 0; r < Rows; ++r) {
            PELLUCID_UNROLL
            for (int j = 0; j < Vectors; ++j) sums[r][j] = bias_;
        }
        const T* rows[phases];
        PELLUCID_UNROLL
        for (int p = 0; p < phases; ++p) rows[p] = pixels + rows_[p];
        PELLUCID_UNROLL
        for (int n = 0; n < Stride * (Rows - 1) + Down; ++n) {      // rows of the input
            if (n % Stride >= Down) continue;                       // which no tap meets
            const T* row = rows[n % Stride];
            rows[n % Stride] = found_anew(row + row_);
            Vec<T> seen[phases][Vectors + beyond];
            PELLUCID_UNROLL
            for (int p = 0; p < phases; ++p) {
                PELLUCID_UNROLL
                for (int j = 0; j < Vectors + beyond; ++j) seen[p][j] = load(row + columns_[p] + j * lanes<T>);
            }
            add_row(n, seen, sums, FirstIndices<Across>{});
        }
    }

private:
    static constexpr int phases = Stride < Across ? Stride : Across;
    static constexpr int beyond = ((Across - 1) / Stride + lanes<T> - 1) / lanes<T>;     // vectors that the taps reach into

    // What a row of the input adds, column by column of the kernel.
    template <int Rows, int Vectors, int... K>
    void add_row(int n, const Vec<T> (&seen)[phases][Vectors + beyond], Vec<T> (&sums)[Rows][Vectors], Indices<K...>) const {
        (add_taps_of<K>(n, seen[K % Stride], sums), ...);
    }

    template <int K, int Rows, int Vectors>
    void add_taps_of(int n, const Vec<T> (&seen)[Vectors + beyond], Vec<T> (&sums)[Rows][Vectors]) const {
        constexpr int shift = K / Stride, next = (shift + lanes<T> - 1) / lanes<T>;
        Vec<T> x[Vectors];
        PELLUCID_UNROLL
        for (int j = 0; j < Vectors; ++j) x[j] = from_lane<T, shift % lanes<T>>(seen[j + shift / lanes<T>], seen[j + next], FirstIndices<lanes<T>>{});
        PELLUCID_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const int at = n - Stride * r;
            if (at < 0 || at >= Down) continue;
            const Vec<T> w = weights_[at * Across + K];
            PELLUCID_UNROLL
            for (int j = 0; j < Vectors; ++j) sums[r][j] += w * x[j];
        }
    }

    const long row_;
    const Vec<T> bias_;
    Vec<T> weights_[Down * Across];
    long rows_[phases], columns_[phases];
};

// Of any size and stride.
template <class T>
class Sums<T, 0, 0, 0> {
public:
    explicit Sums(const PlaneSums<T>& c) : c_(c), bias_(c.bias ? broadcast(*c.bias) : Vec<T>{}) {}

    template <int Rows, int Vectors>
    void add(const T* pixels, Vec<T> (&sums)[Rows][Vectors]) const {
        PELLUCID_UNROLL
        for (int r = 0; r < Rows; ++r) {
            PELLUCID_UNROLL
            for (int j = 0; j < Vectors; ++j) sums[r][j] = bias_;
        }
        const int all = c_.stride * (Rows - 1) + c_.rows;
        for (int n = 0; n < all; ++n) {
            if (n % c_.stride >= c_.rows) continue;
            const T* row = pixels + (n / c_.stride) * c_.row;
            const std::int32_t* taps = c_.taps + n % c_.stride * c_.columns;
            for (int k = 0; k < c_.columns; ++k) {
                Vec<T> x[Vectors];
                PELLUCID_UNROLL
                for (int j = 0; j < Vectors; ++j) x[j] = load(row + taps[k] + j * lanes<T>);
                PELLUCID_UNROLL
                for (int r = 0; r < Rows; ++r) {
                    const int at = n - c_.stride * r;
                    if (at < 0 || at >= c_.rows) continue;
                    const Vec<T> w = broadcast(c_.weights[at * c_.columns + k]);
                    PELLUCID_UNROLL
                    for (int j = 0; j < Vectors; ++j) sums[r][j] += w * x[j];
                }
            }
        }
    }

private:
    const PlaneSums<T> c_;
    const Vec<T> bias_;
};

// `rows` of them from a line on, as far as the width goes.
template <int Rows, class T, class Of>
inline void give_rows(const PlaneCall<T>& c, const Of& of, long line) {
    const T* pixels = c.sums.pixels + line * c.sums.row;
    T* out = c.out + line * c.out_step;
    const auto give = [&](long x, const auto& sums, int vectors) __attribute__((always_inline)) {
        PELLUCID_UNROLL
        for (int r = 0; r < Rows; ++r) {
            T* to = out + r * c.out_step + x;
            for (int j = 0; j < vectors; ++j) {
                const long left = c.width - x - j * lanes<T>;
                ask_to_write(to + j * lanes<T> + c.ahead);
                if (left >= lanes<T>) store(to + j * lanes<T>, sums[r][j]);
                else store(to + j * lanes<T>, sums[r][j], (int)left);
            }
        }
    };
    long x = 0;
    for (; x + (vectors_at_once - 1) * lanes<T> < c.width; x += vectors_at_once * lanes<T>) {
        Vec<T> sums[Rows][vectors_at_once];
        of.add(pixels + x, sums);
        give(x, sums, vectors_at_once);
    }
    if (x < c.width) {
        Vec<T> sums[Rows][1];
        of.add(pixels + x, sums);
        give(x, sums, 1);
    }
}

template <class T, int Size, int Stride>
void plane(const PlaneCall<T>& c) {
    const Sums<T, Size, Size, Stride> of(c.sums);
    long line = 0;
    for (; line + rows_at_once <= c.lines; line += rows_at_once) give_rows<rows_at_once>(c, of, line);
    // The last ones once more together with some before them, if there are so many: they come to the same.
    if (line < c.lines && c.lines > rows_at_once) give_rows<rows_at_once>(c, of, c.lines - rows_at_once);
    else for (; line < c.lines; ++line) give_rows<1>(c, of, line);
}

// The same of woven rows.
template <int Rows, class T, class Even, class Odd>
inline void give_woven(const WovenPlaneCall<T>& c, const Even& even, const Odd& odd, long line) {
    constexpr auto all = FirstIndices<lanes<T>>{};
    for (long x = 0; x < c.width; x += 2 * lanes<T>) {
        Vec<T> first[Rows][1], second[Rows][1];
        even.add(c.even.pixels + line * c.even.row + x / 2, first);
        odd.add(c.odd.pixels + line * c.odd.row + x / 2, second);
        PELLUCID_UNROLL
        for (int r = 0; r < Rows; ++r) {
            T* to = c.out + (line + r) * c.out_step + x;
            ask_to_write(to + c.ahead);
            ask_to_write(to + c.ahead + lanes<T>);
            store_some(to, woven_first(first[r][0], second[r][0], all), c.width - x);
            store_some(to + lanes<T>, woven_second(first[r][0], second[r][0], all), c.width - x - lanes<T>);
        }
    }
}

template <class T, int Down, int Even, int Odd>
void weave(const WovenPlaneCall<T>& c) {
    constexpr int stride = Down > 0;
    const Sums<T, Down, Even, stride> even(c.even);
    const Sums<T, Down, Odd, stride> odd(c.odd);
    long line = 0;
    for (; line + rows_at_once <= c.lines; line += rows_at_once) give_woven<rows_at_once>(c, even, odd, line);
    for (; line < c.lines; ++line) give_woven<1>(c, even, odd, line);
}

// Of kernels three by three and five by five, the parts that see even and odd numbers have so many taps.
template <class T>
void woven_plane(const WovenPlaneCall<T>& c) {
    const auto is = [&](int even, int odd) { return c.even.columns == even && c.odd.columns == odd; };
    const int down = c.even.rows;
    if (is(1, 2) && down == 1) weave<T, 1, 1, 2>(c);
    else if (is(1, 2) && down == 2) weave<T, 2, 1, 2>(c);
    else if (is(2, 1) && down == 1) weave<T, 1, 2, 1>(c);
    else if (is(2, 1) && down == 2) weave<T, 2, 2, 1>(c);
    else if (is(3, 2) && down == 2) weave<T, 2, 3, 2>(c);
    else if (is(3, 2) && down == 3) weave<T, 3, 3, 2>(c);
    else weave<T, 0, 0, 0>(c);
}

// Windows of a line two by two, or of two lines.
template <int Lines, bool Places, class T, class Of>
inline void give_windows(const HalvedPlaneCall<T>& c, const Of& of, long line) {
    using S = pellucid::Spot<T>;
    constexpr auto all = FirstIndices<lanes<T>>{};
    const T* pixels = c.sums.pixels + 2 * line * c.sums.row;
    const auto give = [&](long x, const auto& sums, int right) __attribute__((always_inline)) {
        Spots<T> at{};
        if constexpr (Places)
            for (int i = 0; i < lanes<T>; ++i) at[i] = (S)(c.spot + 2 * (line * c.spot_step + x + i));
        PELLUCID_UNROLL
        for (int i = 0; i < Lines; ++i, at += 2 * c.spot_step) {
            const auto &upper = sums[2 * i], &lower = sums[2 * i + 1];
            const LargestOfFour<T, Places> largest(evens(upper[0], upper[right], all), odds(upper[0], upper[right], all), evens(lower[0], lower[right], all),
                                                   odds(lower[0], lower[right], all), at, at + c.spot_step);
            const long to = (line + i) * c.to_step + x, left = c.width - x;
            if (left >= lanes<T>) store(c.to + to, largest.best);
            else store(c.to + to, largest.best, (int)left);
            if constexpr (Places) {
                if (left >= lanes<T>) store(c.place + to, largest.place);
                else store(c.place + to, largest.place, (int)left);
            }
        }
    };
    long x = 0;
    for (; x + lanes<T> / 2 < c.width; x += lanes<T>) {
        Vec<T> sums[2 * Lines][2];
        of.add(pixels + 2 * x, sums);
        give(x, sums, 1);
    }
    if (x < c.width) {
        Vec<T> sums[2 * Lines][1];
        of.add(pixels + 2 * x, sums);
        give(x, sums, 0);
    }
}

template <class T, int Size, int Stride, bool Places>
void halved_plane(const HalvedPlaneCall<T>& c) {
    using Of = Sums<T, Size, Size, Stride>;
    const Of of(c.sums);
    long line = 0;
    for (; line + lines_at_once <= c.lines; line += lines_at_once) give_windows<lines_at_once, Places>(c, of, line);
    for (; line < c.lines; ++line) give_windows<1, Places>(c, of, line);
}

template <class T>
inline Mask<T> columns_before(long count) {
    Mask<T> columns;
    for (int i = 0; i < lanes<T>; ++i) columns[i] = i;
    return columns < (pellucid::Spot<T>)count;
}

// The sums of the lanes, each added to its number.
template <class T, int Count>
inline void add_lanes(const Vec<T> (&sums)[Count], T* to) {
    constexpr int padded = (Count + lanes<T> - 1) / lanes<T> * lanes<T>;
    Vec<T> all[padded];
    T found[padded];
    for (int k = 0; k < padded; ++k) all[k] = k < Count ? sums[k] : Vec<T>{};
    for (int k = 0; k < padded; k += lanes<T>) store(found + k, sums_of<T>(all + k));
    for (int k = 0; k < Count; ++k) to[k] += found[k];
}

// What `Rows` lines of the map add to the sums of the lanes, from a column on; `valid`: which columns count.
template <class T, int Size, int Stride, int Rows>
inline void correlate_rows(const PlaneCorrelateCall<T>& c, const T* map, const T* pixels, Mask<T> valid, Vec<T> (&sums)[Size * Size]) {
    Vec<T> y[Rows];
    PELLUCID_UNROLL
    for (int r = 0; r < Rows; ++r, map = found_anew(map + c.row)) y[r] = valid ? load(map) : Vec<T>{};
    const T* rows[Stride];
    PELLUCID_UNROLL
    for (int p = 0; p < Stride; ++p) rows[p] = pixels + c.taps[p * Size];
    PELLUCID_UNROLL
    for (int n = 0; n < Stride * (Rows - 1) + Size; ++n) {
        const T* row = rows[n % Stride];
        rows[n % Stride] = found_anew(row + c.row);
        PELLUCID_UNROLL
        for (int k = 0; k < Size; ++k) {
            const Vec<T> x = valid ? load(row + c.taps[k % Stride] + k / Stride) : Vec<T>{};
            PELLUCID_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const int at = n - Stride * r;
                if (at >= 0 && at < Size) sums[at * Size + k] += y[r] * x;
            }
        }
    }
}

template <class T, int Size, int Stride>
void plane_correlate(const PlaneCorrelateCall<T>& c) {
    Vec<T> sums[Size * Size];
    PELLUCID_UNROLL
    for (int k = 0; k < Size * Size; ++k) sums[k] = Vec<T>{};
    for (long image = 0; image < c.images; ++image)
        for (long x = 0; x < c.width; x += lanes<T>) {
            const Mask<T> valid = columns_before<T>(c.width - x);
            const T *map = c.map + image * c.map_image + x, *pixels = c.pixels + image * c.pixels_image + x;
            long line = 0;
            for (; line + rows_at_once <= c.lines; line += rows_at_once, map += rows_at_once * c.row, pixels += rows_at_once * c.row)
                correlate_rows<T, Size, Stride, rows_at_once>(c, map, pixels, valid, sums);
            for (; line < c.lines; ++line, map += c.row, pixels += c.row) correlate_rows<T, Size, Stride, 1>(c, map, pixels, valid, sums);
        }
    add_lanes<T>(sums, c.to);
}

// Of any size and stride: some taps at a time.
template <class T, int Taps>
void correlate_taps(const PlaneCorrelateCall<T>& c, int first) {
    Vec<T> sums[Taps];
    PELLUCID_UNROLL
    for (int k = 0; k < Taps; ++k) sums[k] = Vec<T>{};
    for (long image = 0; image < c.images; ++image)
        for (long line = 0; line < c.lines; ++line) {
            const T *map = c.map + image * c.map_image + line * c.row, *pixels = c.pixels + image * c.pixels_image + line * c.row;
            for (long x = 0; x < c.width; x += lanes<T>) {
                const Mask<T> valid = columns_before<T>(c.width - x);
                const Vec<T> y = valid ? load(map + x) : Vec<T>{};
                PELLUCID_UNROLL
                for (int k = 0; k < Taps; ++k) sums[k] += y * (valid ? load(pixels + x + c.taps[first + k]) : Vec<T>{});
            }
        }
    add_lanes<T>(sums, c.to + first);
}

template <class T>
void plane_correlate_any(const PlaneCorrelateCall<T>& c) {
    int k = 0;
    for (; k + 6 <= c.depth; k += 6) correlate_taps<T, 6>(c, k);
    for (; k + 2 <= c.depth; k += 2) correlate_taps<T, 2>(c, k);
    if (k < c.depth) correlate_taps<T, 1>(c, k);
}

template <class T, int Size, int Stride>
void fill_size(Spatial<T>& s) {
    const int size = Size == 3 ? 1 : Size == 5 ? 2 : 0, stride = Stride == 2;
    s.plane[size][stride] = plane<T, Size, Stride>;
    s.halved_plane[size][stride][0] = halved_plane<T, Size, Stride, false>;
    s.halved_plane[size][stride][1] = halved_plane<T, Size, Stride, true>;
    if constexpr (Size > 0) s.plane_correlate[size][stride] = plane_correlate<T, Size, Stride>;
    else s.plane_correlate[size][stride] = plane_correlate_any<T>;
}

template <class T>
void fill_planes(Spatial<T>& s) {
    s.woven_plane = woven_plane<T>;
    fill_size<T, 0, 0>(s);
    fill_size<T, 3, 1>(s);
    fill_size<T, 3, 2>(s);
    fill_size<T, 5, 1>(s);
    fill_size<T, 5, 2>(s);
}

extern void add_depthwise(pellucid::Isa&);
void add_depthwise(pellucid::Isa& isa) {
    fill_planes(isa.single.spatial);
    fill_planes(isa.twice.spatial);
}

}  // namespace PELLUCID_ISA
