// The kernels of convolution and pooling; compiled once for each instruction set, with PELLUCID_ISA naming it.

#include "spatial.h"

#include <algorithm>

#include "isa.h"
#include "simd.h"
#include "taps.h"

namespace PELLUCID_ISA {

using pellucid::CopyCall;
using pellucid::CorrelateCall;
using pellucid::DealCall;
using pellucid::FoldCall;
using pellucid::HalveCall;
using pellucid::NineCall;
using pellucid::SlideCall;
using pellucid::Spatial;
using pellucid::SpreadCall;
using pellucid::TapsCall;

template <class V, class S>
inline V load_as(const S* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <class T, int Filters, int Vectors>
void taps(const TapsCall<T>& c) {
    Vec<T> sums[Filters][Vectors];
    add_taps<T>(c.sums, c.pixels, sums);
    PELLUCID_UNROLL
    for (int j = 0; j < Vectors; ++j) {
        T* to = c.out[j];
        PELLUCID_UNROLL
        for (int r = 0; r < Filters; ++r, to += c.out_row) store(to, sums[r][j]);
    }
}

template <class T, int Filters, int Taps>
void correlate(const CorrelateCall<T>& c) {
    constexpr int all = Filters * Taps, groups = (all + lanes<T> - 1) / lanes<T>;
    Vec<T> sums[groups * lanes<T>];
    PELLUCID_UNROLL
    for (int i = 0; i < all; ++i) sums[i] = Vec<T>{};
    for (long image = 0; image < c.images; ++image) {
        const T *maps[Filters], *pixels[Taps];
        PELLUCID_UNROLL
        for (int r = 0; r < Filters; ++r) maps[r] = c.map + image * c.map_image + r * c.map_row;
        PELLUCID_UNROLL
        for (int k = 0; k < Taps; ++k) pixels[k] = c.pixels + image * c.pixels_image + c.taps[k];
        for (long v = 0; v < c.vectors; ++v) {
            const long i = c.starts[v];
            Vec<T> x[Taps];
            PELLUCID_UNROLL
            for (int k = 0; k < Taps; ++k) x[k] = load(pixels[k] + i);
            PELLUCID_UNROLL
            for (int r = 0; r < Filters; ++r) {
                const Vec<T> y = load(maps[r] + i);
                PELLUCID_UNROLL
                for (int k = 0; k < Taps; ++k) sums[r * Taps + k] += y * x[k];
            }
        }
    }
    T found[groups * lanes<T>];
    PELLUCID_UNROLL
    for (int i = all; i < groups * lanes<T>; ++i) sums[i] = Vec<T>{};
    for (int g = 0; g < groups; ++g) store(found + g * lanes<T>, sums_of<T>(sums + g * lanes<T>));
    for (int r = 0; r < Filters; ++r)
        for (int k = 0; k < Taps; ++k) c.to[r * c.to_row + k] += found[r * Taps + k];
}

// Pooling

struct Largest {
    template <class T>
    static inline Vec<T> of(Vec<T> best, Vec<T> v) { return is_larger<T>(v, best) ? v : best; }
};

struct Sum {
    template <class T>
    static inline Vec<T> of(Vec<T> sum, Vec<T> v) { return sum + v; }
};

template <class T, class Of>
void fold(const FoldCall<T>& c) {
    for (long line = 0; line < c.lines; ++line) {
        const long at = line * c.row_step;
        T* to = c.to + line * c.to_step;
        long x = 0;
        for (; x + lanes<T> <= c.width; x += lanes<T>) {
            Vec<T> v = load(c.rows[0] + at + x);
            for (int r = 1; r < c.count; ++r) v = Of::template of<T>(v, load(c.rows[r] + at + x));
            store(to + x, v);
        }
        const int rest = (int)(c.width - x);
        if (rest > 0) {
            Vec<T> v = load(c.rows[0] + at + x, rest);
            for (int r = 1; r < c.count; ++r) v = Of::template of<T>(v, load(c.rows[r] + at + x, rest));
            store(to + x, v, rest);
        }
    }
}

template <class T>
void fold_place(const FoldCall<T>& c) {
    using S = pellucid::Spot<T>;
    for (long line = 0; line < c.lines; ++line)
        for (long x = 0; x < c.width; x += lanes<T>) {
            const int rest = c.width - x < lanes<T> ? (int)(c.width - x) : lanes<T>;
            const auto at = [&](int r) {
                const T* from = c.rows[r] + line * c.row_step + x;
                return rest == lanes<T> ? load(from) : load(from, rest);
            };
            Vec<T> best = at(0);
            Spots<T> spot = c.spots[0] - Spots<T>{};
            for (int r = 1; r < c.count; ++r) {
                const Vec<T> v = at(r);
                const Mask<T> larger = is_larger<T>(v, best);
                best = larger ? v : best;
                spot = larger ? c.spots[r] - Spots<T>{} : spot;
            }
            spot += (S)(line * c.spot_step);
            T* to = c.to + line * c.to_step + x;
            S* spots = c.spot + line * c.to_step + x;
            if (rest == lanes<T>) {
                store(to, best);
                __builtin_memcpy(spots, &spot, sizeof spot);
            } else {
                store(to, best, rest);
                __builtin_memcpy(spots, &spot, (unsigned long)rest * sizeof(S));
            }
        }
}

// As `some` of places; those beyond are places beside every map.
template <class T>
inline Spots<T> load_spots(const pellucid::Spot<T>* from, long count) {
    if (count >= lanes<T>) return load_as<Spots<T>>(from);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return (Spots<T>)_mm512_mask_loadu_epi32(_mm512_set1_epi32(-1), (__mmask16)((1u << count) - 1), from);
    else return (Spots<T>)_mm512_mask_loadu_epi64(_mm512_set1_epi64(-1), (__mmask8)((1u << count) - 1), from);
#else
    Spots<T> places = Spots<T>{} - 1;
    for (long i = 0; i < count; ++i) places[i] = from[i];
    return places;
#endif
}

// Numbers that lie `stride` apart.
template <class V, class S>
inline V apart(const S* from, long stride) {
    constexpr int n = sizeof(V) / sizeof(S);
    if (stride == 1) return load_as<V>(from);
    if (stride == 2) return evens(load_as<V>(from), load_as<V>(from + n), FirstIndices<n>{});
    V v;
    for (int i = 0; i < n; ++i) v[i] = from[i * stride];
    return v;
}

template <class T, class Of>
void slide(const SlideCall<T>& c) {
    for (long line = 0; line < c.lines; ++line)
        for (long x = 0; x < c.width; x += lanes<T>) {
            const T* from = c.from + line * c.from_step + x * c.stride;
            T* to = c.to + line * c.to_step + x;
            Vec<T> v = apart<Vec<T>>(from, c.stride);
            for (int k = 1; k < c.kernel; ++k) v = Of::template of<T>(v, apart<Vec<T>>(from + k * c.dilation, c.stride));
            if (c.width - x >= lanes<T>) store(to, v);
            else store(to, v, (int)(c.width - x));
        }
}

template <class T>
void slide_place(const SlideCall<T>& c) {
    using S = pellucid::Spot<T>;
    Spots<T> columns;
    for (int i = 0; i < lanes<T>; ++i) columns[i] = (S)(c.column + i * c.stride);
    for (long line = 0; line < c.lines; ++line)
        for (long x = 0; x < c.width; x += lanes<T>) {
            const T* from = c.from + line * c.from_step + x * c.stride;
            const S* spots = c.spot + line * c.from_step + x * c.stride;
            Vec<T> best = apart<Vec<T>>(from, c.stride);
            Spots<T> spot = apart<Spots<T>>(spots, c.stride), column = columns + (S)(x * c.stride);
            for (int k = 1; k < c.kernel; ++k) {
                const Vec<T> v = apart<Vec<T>>(from + k * c.dilation, c.stride);
                const Spots<T> at = apart<Spots<T>>(spots + k * c.dilation, c.stride);
                // The first of equal numbers, the last NaN, row by row: columns come in their order, their rows do not.
                const Mask<T> larger = (v > best) | ((v == best) & (at < spot)) | ((v != v) & ((best == best) | (at >= spot)));
                best = larger ? v : best;
                spot = larger ? at : spot;
                column = larger ? columns + (S)(x * c.stride + k * c.dilation) : column;
            }
            const Spots<T> place = spot + column;
            T* to = c.to + line * c.to_step + x;
            S* places = c.place + line * c.to_step + x;
            if (c.width - x >= lanes<T>) {
                store(to, best);
                __builtin_memcpy(places, &place, sizeof place);
            } else {
                store(to, best, (int)(c.width - x));
                __builtin_memcpy(places, &place, (unsigned long)(c.width - x) * sizeof(S));
            }
        }
}

// Columns first and then rows, so that numbers are compared in their order. A row's are found once for all lines that see it.
template <class T, int Stride>
void nine_place(const NineCall<T>& c) {
    using S = pellucid::Spot<T>;
    constexpr auto all = FirstIndices<lanes<T>>{};
    struct Largest {
        Vec<T> best;
        Spots<T> place;

        void add(Vec<T> v, Spots<T> at) {
            const Mask<T> larger = is_larger<T>(v, best);
            best = larger ? v : best;
            place = larger ? at : place;
        }
    };
    Spots<T> columns;
    for (int i = 0; i < lanes<T>; ++i) columns[i] = (S)(c.column + i * Stride);
    for (long x = 0; x < c.width; x += lanes<T>, columns += (S)(lanes<T> * Stride)) {
        const Spots<T> first = columns < 0 ? Spots<T>{} : columns;
        const T* from = c.from + x * Stride;
        S spot = c.spot;
        const auto row = [&]() __attribute__((always_inline)) {
            Largest found;
            found.place = first + spot;
            if constexpr (Stride == 1) {
                found.best = load(from);
                found.add(load(from + 1), columns + (S)(spot + 1));
                found.add(load(from + 2), columns + (S)(spot + 2));
            } else {
                const Vec<T> a = load(from), b = load(from + lanes<T>);
                found.best = evens(a, b, all);
                found.add(odds(a, b, all), columns + (S)(spot + 1));
                found.add(evens(load(from + 2), load(from + 2 + lanes<T>), all), columns + (S)(spot + 2));
            }
            from += c.row, spot += c.spot_step;
            return found;
        };
        Largest above = row(), middle{};
        if constexpr (Stride == 1) middle = row();
        for (long line = 0; line < c.lines; ++line) {
            if constexpr (Stride == 2) middle = row();
            const Largest below = row();
            Largest found = above;
            found.add(middle.best, middle.place);
            found.add(below.best, below.place);
            const long to = line * c.to_step + x, left = c.width - x;
            store_some(c.to + to, found.best, left);
            if (left >= lanes<T>) store(c.place + to, found.place);
            else store(c.place + to, found.place, (int)left);
            above = Stride == 1 ? middle : below, middle = below;
        }
    }
}

template <class T, class Of>
void halve(const HalveCall<T>& c) {
    constexpr auto all = FirstIndices<lanes<T>>{};
    for (long line = 0; line < c.lines; ++line)
        for (long x = 0; x < c.width; x += lanes<T>) {
            const long left = 2 * (c.width - x);
            Vec<T> found{};
            for (int r = 0; r < c.count; ++r) {
                const T* from = c.rows[r] + line * c.row_step + 2 * x;
                const Vec<T> a = some(from, left), b = some(from + lanes<T>, left - lanes<T>);
                const Vec<T> even = evens(a, b, all), odd = odds(a, b, all);
                found = r == 0 ? even : Of::template of<T>(found, even);
                found = Of::template of<T>(found, odd);
            }
            store_some(c.to + line * c.to_step + x, found, c.width - x);
        }
}

template <class T>
void halve_place(const HalveCall<T>& c) {
    using S = pellucid::Spot<T>;
    constexpr auto all = FirstIndices<lanes<T>>{};
    Spots<T> columns;
    for (int i = 0; i < lanes<T>; ++i) columns[i] = (S)(2 * i);
    for (long line = 0; line < c.lines; ++line)
        for (long x = 0; x < c.width; x += lanes<T>) {
            const long left = 2 * (c.width - x);
            Vec<T> best{};
            Spots<T> place{};
            for (int r = 0; r < c.count; ++r) {
                const T* from = c.rows[r] + line * c.row_step + 2 * x;
                const Vec<T> a = some(from, left), b = some(from + lanes<T>, left - lanes<T>);
                const Vec<T> even = evens(a, b, all), odd = odds(a, b, all);
                const Spots<T> at = columns + (S)(c.spots[r] + line * c.spot_step + 2 * x);
                const Mask<T> first = r == 0 ? Mask<T>{} - 1 : is_larger<T>(even, best);
                best = first ? even : best;
                place = first ? at : place;
                const Mask<T> second = is_larger<T>(odd, best);
                best = second ? odd : best;
                place = second ? at + 1 : place;
            }
            T* to = c.to + line * c.to_step + x;
            S* places = c.place + line * c.to_step + x;
            store_some(to, best, c.width - x);
            if (c.width - x >= lanes<T>) __builtin_memcpy(places, &place, sizeof place);
            else __builtin_memcpy(places, &place, (unsigned long)(c.width - x) * sizeof(S));
        }
}

template <class T>
bool within(const pellucid::Spot<T>* places, long count, pellucid::Spot<T> size) {
    const long whole = count / lanes<T> * lanes<T>;
    Spots<T> beside{};
    for (long i = 0; i < whole; i += lanes<T>) {
        const auto place = load_as<Spots<T>>(places + i);
        beside |= (place < Spots<T>{}) | (place >= size - Spots<T>{});
    }
    bool all = true;
    for (int i = 0; i < lanes<T>; ++i) all = all && beside[i] == 0;
    for (long i = whole; i < count; ++i) all = all && places[i] >= 0 && places[i] < size;
    return all;
}

template <class T>
void spread(const SpreadCall<T>& c) {
    using S = pellucid::Spot<T>;
    constexpr auto all = FirstIndices<lanes<T>>{};
    Spots<T> columns;
    for (int i = 0; i < lanes<T>; ++i) columns[i] = (S)(c.spot + 2 * i);
    const T* gradients = c.gradient;
    const S* places = c.places;
    T* to = c.to;
    for (long line = 0; line < c.lines; ++line, gradients += c.width, places += c.width, to += c.rows * c.to_step, columns += (S)(c.rows * c.spot_step))
        for (long x = 0; x < c.width; x += lanes<T>) {
            const long left = c.width - x;
            const Vec<T> gradient = some(gradients + x, left);
            const Spots<T> place = load_spots<T>(places + x, left);
            Spots<T> at = columns + (S)(2 * x);
            T* row = to + 2 * x;
            for (int r = 0; r < c.rows; ++r, row += c.to_step, at += c.spot_step) {
                const Vec<T> even = place == at ? gradient : Vec<T>{}, odd = place == at + 1 ? gradient : Vec<T>{};
                store_some(row, woven_first(even, odd, all), 2 * left);
                store_some(row + lanes<T>, woven_second(even, odd, all), 2 * left - lanes<T>);
            }
        }
}

template <class T>
void spread_mean(const SpreadCall<T>& c) {
    constexpr auto all = FirstIndices<lanes<T>>{};
    const T* gradients = c.gradient;
    T* to = c.to;
    for (long line = 0; line < c.lines; ++line, gradients += c.width, to += c.rows * c.to_step)
        for (long x = 0; x < c.width; x += lanes<T>) {
            const long left = 2 * (c.width - x);
            const Vec<T> share = some(gradients + x, c.width - x) / c.divisor;
            const Vec<T> first = woven_first(share, share, all), second = woven_second(share, share, all);
            T* row = to + 2 * x;
            for (int r = 0; r < c.rows; ++r, row += c.to_step) {
                store_some(row, first, left);
                store_some(row + lanes<T>, second, left - lanes<T>);
            }
        }
}

template <class T>
void copy(const CopyCall<T>& c) {
    const long whole = c.width / lanes<T> * lanes<T>;
    const int rest = (int)(c.width - whole);
    for (long row = 0; row < c.rows; ++row) {
        const T* from = c.from + row * c.from_step;
        T* to = c.to + row * c.to_step;
        for (long x = 0; x < whole; x += lanes<T>) {
            ask(from + c.ahead + x);
            store(to + x, load(from + x));
        }
        if (rest) ask(from + c.ahead + whole), store(to + whole, load(from + whole, rest), rest);
    }
}

template <class T>
void deal(const DealCall<T>& c) {
    constexpr auto all = FirstIndices<lanes<T>>{};
    const long first = c.width[0], second = c.width[1], seen = std::max(2 * first - 1, 2 * second);
    const long last = first - lanes<T>;         // the row's last vectors, which may have some numbers once more
    const bool whole = first == second && last >= 0;
    for (long row = 0; row < c.rows; ++row) {
        const T* from = c.from + row * c.from_step;
        T *even = c.to[0] + row * c.to_step, *odd = c.to[1] + row * c.to_step;
        if (whole) {
            for (long x = 0;; x = x + lanes<T> < last ? x + lanes<T> : last) {
                ask(from + c.ahead + 2 * x);
                ask(from + c.ahead + 2 * x + lanes<T>);
                const Vec<T> a = load(from + 2 * x), b = load(from + 2 * x + lanes<T>);
                store(even + x, evens(a, b, all));
                store(odd + x, odds(a, b, all));
                if (x == last) break;
            }
            continue;
        }
        for (long x = 0; 2 * x < seen; x += lanes<T>) {
            ask(from + c.ahead + 2 * x);
            ask(from + c.ahead + 2 * x + lanes<T>);
            const Vec<T> a = some(from + 2 * x, seen - 2 * x), b = some(from + 2 * x + lanes<T>, seen - 2 * x - lanes<T>);
            store_some(even + x, evens(a, b, all), first - x);
            store_some(odd + x, odds(a, b, all), second - x);
        }
    }
}

template <class T>
void copy_to_second(const CopyCall<T>& c) {
    for (long row = 0; row < c.rows; ++row) {
        const T* from = c.from + row * c.from_step;
        T* to = c.to + row * c.to_step;
        long x = 0;
#if defined(__AVX512F__)
        // A vector's numbers go to two vectors' even lanes.
        constexpr auto all = FirstIndices<lanes<T>>{};
        for (; x + lanes<T> <= c.width; x += lanes<T>) {
            const Vec<T> v = load(from + x), first = woven_first(v, v, all), second = woven_second(v, v, all);
            if constexpr (sizeof(T) == 4) {
                _mm512_mask_storeu_ps(to + 2 * x, 0x5555, (__m512)first);
                _mm512_mask_storeu_ps(to + 2 * x + lanes<T>, 0x5555, (__m512)second);
            } else {
                _mm512_mask_storeu_pd(to + 2 * x, 0x55, (__m512d)first);
                _mm512_mask_storeu_pd(to + 2 * x + lanes<T>, 0x55, (__m512d)second);
            }
        }
#endif
        for (; x < c.width; ++x) to[2 * x] = from[x];
    }
}

// Only what the registers hold is called; see add_spatial.
template <class T, int Filters = pellucid::most_channels>
void fill_taps(Spatial<T>& s) {
    auto& row = s.taps[Filters - 1];
    row[0] = taps<T, Filters, 1>;
    row[1] = taps<T, Filters, 2>;
    if constexpr (Filters <= 8) row[2] = taps<T, Filters, 3>;
    if constexpr (Filters <= 6) row[3] = taps<T, Filters, 4>;
    if constexpr (Filters > 1) fill_taps<T, Filters - 1>(s);
}

template <class T, int Filters = pellucid::most_filters, int Taps = pellucid::most_taps>
void fill_correlate(Spatial<T>& s) {
    s.correlate[Filters - 1][Taps - 1] = correlate<T, Filters, Taps>;
    if constexpr (Taps > 1) fill_correlate<T, Filters, Taps - 1>(s);
    else if constexpr (Filters > 1) fill_correlate<T, Filters - 1, pellucid::most_taps>(s);
}

template <class T>
void build(Spatial<T>& s) {
    fill_taps<T>(s);
    fill_correlate<T>(s);
    s.fold_max = fold<T, Largest>;
    s.fold_sum = fold<T, Sum>;
    s.fold_place = fold_place<T>;
    s.slide_max = slide<T, Largest>;
    s.slide_sum = slide<T, Sum>;
    s.slide_place = slide_place<T>;
    s.nine_place[0] = nine_place<T, 1>;
    s.nine_place[1] = nine_place<T, 2>;
    s.halve_max = halve<T, Largest>;
    s.halve_sum = halve<T, Sum>;
    s.halve_place = halve_place<T>;
    s.within = within<T>;
    s.spread = spread<T>;
    s.spread_mean = spread_mean<T>;
    s.copy = copy<T>;
    s.deal = deal<T>;
    s.copy_to_second = copy_to_second<T>;
    const bool many = vector_bytes == 64;
    const int most[2][pellucid::most_pixels] = {{8, 6, 4, 3}, {12, 12, 8, 6}};
    for (int j = 0; j < pellucid::most_pixels; ++j) s.channels[j] = most[many][j];
    s.filters = many ? 4 : 3;
    s.taps_at_once = many ? 6 : 3;
}

extern void add_depthwise(pellucid::Isa&);
extern void add_halved(pellucid::Isa&);
extern void add_minimal(pellucid::Isa&);
extern void add_spatial(pellucid::Isa&);
void add_spatial(pellucid::Isa& isa) {
    build(isa.single.spatial);
    build(isa.twice.spatial);
    add_depthwise(isa);
    add_halved(isa);
    add_minimal(isa);
}

}  // namespace PELLUCID_ISA
