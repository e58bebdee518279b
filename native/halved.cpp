// Convolution and the maximum in windows two by two, which is taken while the sums are in registers; compiled once for each
// instruction set. Of few channels a map costs as much to write and to read again as to make.

#include "isa.h"
#include "taps.h"

namespace PELLUCID_ISA {

using pellucid::HalvedTapsCall;
using pellucid::Spatial;

template <class T>
inline constexpr int half = lanes<T> / 2;

// Windows of two halves, each to where it goes.
template <class V, class N>
inline void store_halves(V v, N* const (&to)[2], const int (&count)[2], long at) {
    constexpr int n = sizeof(V) / sizeof(N);
    const auto some = [&](N* first, V windows, int wanted) {
        if (wanted == n) store(first + at, windows);
        else store(first + at, windows, wanted);
    };
    if (count[0] == n / 2 && to[1] == to[0] + n / 2) return some(to[0], v, n / 2 + count[1]);     // side by side
    some(to[0], v, count[0]);
    if (count[1] > 0) some(to[1], upper(v, FirstIndices<n>{}), count[1]);
}

template <class T, int Filters, int Halves, bool Places>
void halved(const HalvedTapsCall<T>& c) {
    using S = pellucid::Spot<T>;
    constexpr auto all = FirstIndices<lanes<T>>{};
    Vec<T> sums[Filters][2 * Halves];       // of a half: the first row, the second
    add_taps<T>(c.sums, c.pixels, sums);
    Spots<T> at{};
    if constexpr (Places)
        for (int i = 0; i < lanes<T>; ++i) at[i] = (S)(c.spot[i / half<T>] + 2 * (i % half<T>));
    PELLUCID_UNROLL
    for (int r = 0; r < Filters; ++r) {
        const Vec<T> *left = sums[r], *right = sums[r] + 2 * (Halves - 1);
        const LargestOfFour<T, Places> largest(evens(left[0], right[0], all), odds(left[0], right[0], all), evens(left[1], right[1], all),
                                               odds(left[1], right[1], all), at, at + c.width);
        store_halves(largest.best, c.to, c.count, r * c.to_row);
        if constexpr (Places) store_halves(largest.place, c.place, c.count, r * c.to_row);
    }
}

template <class T, int Filters = pellucid::most_halved>
void fill_halved(Spatial<T>& s) {
    auto& of = s.halved[Filters - 1];
    of[0][0] = halved<T, Filters, 1, false>;
    of[0][1] = halved<T, Filters, 1, true>;
    of[1][0] = halved<T, Filters, 2, false>;
    of[1][1] = halved<T, Filters, 2, true>;
    if constexpr (Filters > 1) fill_halved<T, Filters - 1>(s);
}

extern void add_halved(pellucid::Isa&);
void add_halved(pellucid::Isa& isa) {
    fill_halved(isa.single.spatial);
    fill_halved(isa.twice.spatial);
}

}  // namespace PELLUCID_ISA
