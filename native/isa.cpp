// The kernels of one instruction set; compiled once for each, with PELLUCID_ISA naming it.

#include "isa.h"

#include "functions.h"
#include "simd.h"

namespace PELLUCID_ISA {

using pellucid::Call;
using pellucid::Kernels;
using pellucid::op_named;
using pellucid::ProductCall;
using pellucid::TurnCall;

// Pointwise operations

template <class T>
inline Vec<T> choose(Mask<T> condition, Vec<T> a, Vec<T> b) { return condition ? a : b; }

template <class T>
inline Vec<T> as_number(Mask<T> condition) { return choose<T>(condition, broadcast(T(1)), Vec<T>{}); }

#define PELLUCID_OP(name, expression)                                           \
    struct name {                                                               \
        template <class T>                                                      \
        static inline Vec<T> at(Vec<T> a, Vec<T> b, Vec<T> c) { (void)b; (void)c; return expression; } \
    };

PELLUCID_OP(Add, a + b)
PELLUCID_OP(Sub, a - b)
PELLUCID_OP(Mul, a * b)
PELLUCID_OP(Div, a / b)
PELLUCID_OP(Neg, -a)
PELLUCID_OP(Abs, choose<T>(a < T(0), -a, a) + T(0))     // + 0: |-0| is 0
PELLUCID_OP(Sign, as_number<T>(a > T(0)) - as_number<T>(a < T(0)))
PELLUCID_OP(Maximum, choose<T>((a > b) | (a != a), a, b))
PELLUCID_OP(Minimum, choose<T>((a < b) | (a != a), a, b))
PELLUCID_OP(Exp, exp(a))
PELLUCID_OP(Log, log(a))
PELLUCID_OP(Sqrt, sqrt(a))
PELLUCID_OP(Tanh, tanh(a))
PELLUCID_OP(Sigmoid, sigmoid(a))
PELLUCID_OP(Relu, choose<T>(a < T(0), Vec<T>{}, a))
PELLUCID_OP(Softplus, softplus(a))
PELLUCID_OP(Erf, erf(a))
PELLUCID_OP(Sin, sin(a))
PELLUCID_OP(Cos, cos(a))
PELLUCID_OP(Select, choose<T>(a != T(0), b, c))
PELLUCID_OP(Greater, as_number<T>(a > b))
PELLUCID_OP(GreaterEqual, as_number<T>(a >= b))
PELLUCID_OP(MulAdd, a * b + c)
PELLUCID_OP(SubMul, a - b * c)
PELLUCID_OP(DifMul, (a - b) * c)
PELLUCID_OP(MulMul, a * b * c)
PELLUCID_OP(Positive, choose<T>(a > T(0), b, c))
PELLUCID_OP(Copy, a)
PELLUCID_OP(Accumulate, a)
#undef PELLUCID_OP

template <class T, bool One>
inline Vec<T> operand(const T* row, int i) {
    if constexpr (One) return broadcast(*row);
    else return load(row + i);
}

template <class T, bool One>
inline Vec<T> operand(const T* row, int i, int count) {
    if constexpr (One) return broadcast(*row);
    else return load(row + i, count);
}

template <class T, class Op, int Arity, bool Adds, int Ones>
void pointwise(const Call<T>& c) {
    constexpr bool one0 = Ones & 1, one1 = Ones & 2, one2 = Ones & 4;
    const int whole = c.width - c.width % lanes<T>, rest = c.width - whole;
    for (int r = 0; r < c.rows; ++r) {
        T* out = c.out + r * c.out_row;
        const T* a = c.in[0] + r * c.in_row[0];
        const T* b = Arity > 1 ? c.in[1] + r * c.in_row[1] : a;
        const T* d = Arity > 2 ? c.in[2] + r * c.in_row[2] : a;
        for (int i = 0; i < whole; i += lanes<T>) {
            Vec<T> y = Op::template at<T>(
                operand<T, one0>(a, i), Arity > 1 ? operand<T, one1>(b, i) : Vec<T>{},
                Arity > 2 ? operand<T, one2>(d, i) : Vec<T>{});
            if constexpr (Adds) y = load(out + i) + y;
            store(out + i, y);
        }
        if (rest) {
            Vec<T> y = Op::template at<T>(
                operand<T, one0>(a, whole, rest), Arity > 1 ? operand<T, one1>(b, whole, rest) : Vec<T>{},
                Arity > 2 ? operand<T, one2>(d, whole, rest) : Vec<T>{});
            if constexpr (Adds) y = load(out + whole, rest) + y;
            store(out + whole, y, rest);
        }
    }
}

template <class T, class Op, int Arity, bool Adds = false>
void fill(void (*(&table)[8])(const Call<T>&)) {
    table[0] = pointwise<T, Op, Arity, Adds, 0>;
    table[1] = pointwise<T, Op, Arity, Adds, 1>;
    if constexpr (Arity > 1) {
        table[2] = pointwise<T, Op, Arity, Adds, 2>;
        table[3] = pointwise<T, Op, Arity, Adds, 3>;
    }
    if constexpr (Arity > 2) {
        table[4] = pointwise<T, Op, Arity, Adds, 4>;
        table[5] = pointwise<T, Op, Arity, Adds, 5>;
        table[6] = pointwise<T, Op, Arity, Adds, 6>;
        table[7] = pointwise<T, Op, Arity, Adds, 7>;
    }
}

// Words of two bfloat16 numbers each, in the vectors of floats that carry them. Only a build with the instructions has
// them, and nothing but copying may be done to such a vector: as floats its bits mean nothing.

#if defined(__AVX512BF16__)
// Of `count` > 0 numbers of a row, up to two vectors of them.
inline Vec<float> words_along(const float* row, long count) {
    constexpr int n = lanes<float>;
    const Vec<float> low = count >= n ? load(row) : load(row, (int)count);
    const Vec<float> high = count >= 2 * n ? load(row + n) : count > n ? load(row + n, (int)count - n) : Vec<float>{};
    return (Vec<float>)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

inline Vec<float> words_across(Vec<float> row, Vec<float> next) {
    const __m512i order = _mm512_add_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                           _mm512_slli_epi32(_mm512_set_epi32(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16), 16));
    return (Vec<float>)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh((__m512)next, (__m512)row));
}

void along(const float* row, long count, float* to) {
    constexpr int n = lanes<float>;
    for (; count > 0; row += 2 * n, to += n, count -= 2 * n) {
        if (count > 2 * n - 2) store(to, words_along(row, count));
        else store(to, words_along(row, count), (int)(count + 1) / 2);
    }
}

void across(const float* row, const float* next, long count, float* to) {
    constexpr int n = lanes<float>;
    long i = 0;
    for (; i + n <= count; i += n) store(to + i, words_across(load(row + i), next ? load(next + i) : Vec<float>{}));
    const int rest = (int)(count - i);
    if (rest > 0) store(to + i, words_across(load(row + i, rest), next ? load(next + i, rest) : Vec<float>{}), rest);
}
#endif

// One number, or one word, for all lanes.
template <class T, bool Pairs>
inline Vec<T> for_all_lanes(T x) {
#if defined(__AVX512BF16__)
    if constexpr (Pairs) return (Vec<T>)_mm512_set1_ps(x);
#endif
    return broadcast(x);
}

// sum + x w; of words, both products of a pair.
template <class T, bool Pairs>
inline Vec<T> add_product(Vec<T> sum, Vec<T> x, Vec<T> w) {
#if defined(__AVX512BF16__)
    if constexpr (Pairs) return (Vec<T>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
#endif
    return sum + x * w;
}

// The matrix product: every output has one accumulator and adds its terms in order of k, so that its bits do not depend
// on how rows and vectors are cut into tiles, nor on the number of threads.

template <class T, int Rows, int Vectors, bool Pairs>
void product(const ProductCall<T>& c) {
    // Every loop over rows and vectors is unrolled, so that the sums are registers from their first value to the last.
    Vec<T> sums[Rows][Vectors];
    PELLUCID_UNROLL
    for (int j = 0; j < Vectors; ++j) {
        PELLUCID_UNROLL
        for (int r = 0; r < Rows; ++r) sums[r][j] = Vec<T>{};
        PELLUCID_UNROLL
        for (int i = 0; i < 2; ++i) {
            const T* from = c.start[i][j];
            if (!from || c.valid[j] <= 0) continue;
            const long row = c.start_row[i][j];
            if (c.valid[j] == lanes<T>) {
                PELLUCID_UNROLL
                for (int r = 0; r < Rows; ++r, from += row) sums[r][j] += load(from);
            } else {
                PELLUCID_UNROLL
                for (int r = 0; r < Rows; ++r, from += row) sums[r][j] += load(from, c.valid[j]);
            }
        }
    }
    const T* w = c.w;
    const auto step = [&](const auto& at) __attribute__((always_inline)) {
        Vec<T> weights[Vectors];
        PELLUCID_UNROLL
        for (int j = 0; j < Vectors; ++j) weights[j] = load(w + j * lanes<T>);
        PELLUCID_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const Vec<T> x = for_all_lanes<T, Pairs>(at(r));
            PELLUCID_UNROLL
            for (int j = 0; j < Vectors; ++j) sums[r][j] = add_product<T, Pairs>(sums[r][j], x, weights[j]);
        }
        w += Vectors * lanes<T>;
    };
    if (c.a_step == 1) {
        // A pointer for every fourth row and multiples of the distance between them: a dozen pointers are more than there are.
        constexpr int apart = 4;
        const T* rows[(Rows + apart - 1) / apart];
        const long once = c.a_row, twice = 2 * once, thrice = 3 * once;
        PELLUCID_UNROLL
        for (int r = 0; r < Rows; r += apart) rows[r / apart] = c.a + r * once;
        for (long k = 0; k < c.depth; ++k) {
            step([&](int r) __attribute__((always_inline)) {
                const T* first = rows[r / apart];
                return r % apart == 0 ? first[0] : r % apart == 1 ? first[once] : r % apart == 2 ? first[twice] : first[thrice];
            });
            PELLUCID_UNROLL
            for (int r = 0; r < Rows; r += apart) ++rows[r / apart];
        }
    } else {
        const T* a = c.a;
        for (long k = 0; k < c.depth; ++k, a += c.a_step) step([&](int r) __attribute__((always_inline)) { return a[r]; });
    }
    PELLUCID_UNROLL
    for (int j = 0; j < Vectors; ++j) {
        T* to = c.out[j];
        const long row = c.out_row[j];
        if (c.valid[j] == lanes<T>) {
            PELLUCID_UNROLL
            for (int r = 0; r < Rows; ++r, to += row) store(to, sums[r][j]);
        } else if (c.valid[j] > 0) {
            PELLUCID_UNROLL
            for (int r = 0; r < Rows; ++r, to += row) store(to, sums[r][j], c.valid[j]);
        }
    }
}

// One row's, of several groups of the same depth; each sum in the same order as above.
template <class T, int Vectors, bool Pairs>
void row_products(const ProductCall<T>* calls) {
    constexpr int groups = pellucid::beside(Vectors);
    Vec<T> sums[groups][Vectors];
    const T* w[groups];
    PELLUCID_UNROLL
    for (int g = 0; g < groups; ++g) {
        w[g] = calls[g].w;
        PELLUCID_UNROLL
        for (int j = 0; j < Vectors; ++j) {
            sums[g][j] = Vec<T>{};
            for (int i = 0; i < 2; ++i) {
                const T* from = calls[g].start[i][j];
                if (from && calls[g].valid[j] > 0) sums[g][j] += calls[g].valid[j] == lanes<T> ? load(from) : load(from, calls[g].valid[j]);
            }
        }
    }
    const T* a = calls[0].a;
    for (long k = 0; k < calls[0].depth; ++k, a += calls[0].a_step) {
        const Vec<T> x = for_all_lanes<T, Pairs>(*a);
        PELLUCID_UNROLL
        for (int g = 0; g < groups; ++g) {
            PELLUCID_UNROLL
            for (int j = 0; j < Vectors; ++j) sums[g][j] = add_product<T, Pairs>(sums[g][j], x, load(w[g] + j * lanes<T>));
            w[g] += Vectors * lanes<T>;
        }
    }
    PELLUCID_UNROLL
    for (int g = 0; g < groups; ++g) {
        PELLUCID_UNROLL
        for (int j = 0; j < Vectors; ++j) {
            if (calls[g].valid[j] == lanes<T>) store(calls[g].out[j], sums[g][j]);
            else if (calls[g].valid[j] > 0) store(calls[g].out[j], sums[g][j], calls[g].valid[j]);
        }
    }
}

template <class T, bool Pairs>
void fill_row_products(Kernels<T>& k) {
    k.row_products[0] = row_products<T, 1, Pairs>;
    k.row_products[1] = row_products<T, 2, Pairs>;
    k.row_products[2] = row_products<T, 3, Pairs>;
    k.row_products[3] = row_products<T, 4, Pairs>;
}

// Only what the registers hold is called, see build.
template <class T, bool Pairs, int Rows = pellucid::most_rows>
void fill_products(Kernels<T>& k) {
    auto& row = k.product[Rows - 1];
    row[0] = product<T, Rows, 1, Pairs>;
    row[1] = product<T, Rows, 2, Pairs>;
    if constexpr (Rows <= 8) row[2] = product<T, Rows, 3, Pairs>;
    if constexpr (Rows <= 6) row[3] = product<T, Rows, 4, Pairs>;
    if constexpr (Rows > 1) fill_products<T, Pairs, Rows - 1>(k);
}

// Turns a square of lanes x lanes in registers: in the round of `Apart`, blocks of that size change places across the
// diagonal of squares twice as large.
template <class T, int Apart, int... I>
inline void turn_round(Vec<T>* square, Indices<I...>) {
    PELLUCID_UNROLL
    for (int i = 0; i < lanes<T>; ++i) {
        if (i & Apart) continue;
        const Vec<T> a = square[i], b = square[i + Apart];
        square[i] = __builtin_shufflevector(a, b, ((I & Apart) ? lanes<T> + I - Apart : I)...);
        square[i + Apart] = __builtin_shufflevector(a, b, ((I & Apart) ? lanes<T> + I : I + Apart)...);
    }
    if constexpr (2 * Apart < lanes<T>) turn_round<T, 2 * Apart>(square, Indices<I...>{});
}

// A square of a turn; `Whole`: of as many rows and columns as a vector has lanes, all of whose numbers are there.
template <class T, bool Pairs, bool Whole>
inline void turn_square(const TurnCall<T>& c, long k, int columns) {
    constexpr int pair = Pairs ? 2 : 1;
    const T* from = c.from + pair * k;
    T* to = c.to + k * c.to_row;
    Vec<T> square[lanes<T>];
    PELLUCID_UNROLL
    for (int i = 0; i < lanes<T>; ++i, from += c.from_row) {
        if (!Whole && i >= c.rows) {
            square[i] = Vec<T>{};
            continue;
        }
#if defined(__AVX512BF16__)
        if constexpr (Pairs) {
            square[i] = words_along(from, c.depth - pair * k);
            continue;
        }
#endif
        square[i] = Whole ? load(from) : columns == lanes<T> ? load(from) : load(from, columns);
    }
    turn_round<T, 1>(square, FirstIndices<lanes<T>>{});
    PELLUCID_UNROLL
    for (int i = 0; i < lanes<T>; ++i, to += c.to_row)
        if (Whole || i < columns) store(to, square[i]);
}

template <class T, bool Pairs>
void turn(const TurnCall<T>& c) {
    const long words = Pairs ? (c.depth + 1) / 2 : c.depth;
    for (long k = 0; k < words; k += lanes<T>) {
        const int columns = words - k < lanes<T> ? (int)(words - k) : lanes<T>;
        if (columns == lanes<T> && c.rows == lanes<T>) turn_square<T, Pairs, true>(c, k, columns);
        else turn_square<T, Pairs, false>(c, k, columns);
    }
}

// A sum in a fixed order: lane by lane over every fourth vector, then these four, then the lanes.
template <class T>
T sum(const T* from, long count) {
    constexpr int at_once = 4;
    Vec<T> sums[at_once] = {};
    long i = 0;
    for (; i + at_once * lanes<T> <= count; i += at_once * lanes<T>) {
        PELLUCID_UNROLL
        for (int j = 0; j < at_once; ++j) sums[j] += load(from + i + j * lanes<T>);
    }
    for (; i + lanes<T> <= count; i += lanes<T>) sums[0] += load(from + i);
    if (i < count) sums[0] += load(from + i, (int)(count - i));
    const Vec<T> total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    T result = 0;
    for (int k = 0; k < lanes<T>; ++k) result += total[k];
    return result;
}

// Polynomials in odd numbers: eight in every lane, and one of what these come to. A change of one number changes its lane's
// by an odd multiple of the change, and so the whole.
template <class T>
std::uint64_t fingerprint(const T* from, long count) {
    typedef std::uint32_t Words __attribute__((vector_size(vector_bytes)));
    constexpr int at_once = 8, words = vector_bytes / 4;
    Words sums[at_once] = {};
    const char* bytes = reinterpret_cast<const char*>(from);
    long left = count * (long)sizeof(T);
    for (; left >= at_once * vector_bytes; left -= at_once * vector_bytes)
        for (int j = 0; j < at_once; ++j, bytes += vector_bytes) {
            Words w;
            __builtin_memcpy(&w, bytes, vector_bytes);
            sums[j] = sums[j] * 0x9e3779b1u + w;
        }
    for (int j = 0; left > 0; ++j, bytes += vector_bytes, left -= vector_bytes) {
        Words w{};
        __builtin_memcpy(&w, bytes, (unsigned long)(left < vector_bytes ? left : vector_bytes));
        sums[j] = sums[j] * 0x9e3779b1u + w;
    }
    std::uint64_t whole = (std::uint64_t)count;
    for (int j = 0; j < at_once; ++j)
        for (int i = 0; i < words; ++i) whole = (whole + sums[j][i]) * 0x9e3779b97f4a7c15u;
    return whole;
}

#if defined(__AVX512BF16__)

// This build has the kernels of pairs alone: what else there is comes from the other build for AVX-512.
extern void add_pairs(pellucid::Isa&);
void add_pairs(pellucid::Isa& isa) {
    Kernels<float>& k = isa.pairs = isa.single;
    k.pair = 2;
    fill_products<float, true>(k);
    fill_row_products<float, true>(k);
    k.turn = turn<float, true>;
    k.along = along;
    k.across = across;
}

#else

template <class T>
void build(Kernels<T>& k) {
    k.pair = 1;
    k.lanes = lanes<T>;
    // As many accumulators as registers allow, beside the weights and one broadcast number.
    if (vector_bytes == 64) {
        k.vectors = 4;
        const int rows[] = {12, 12, 8, 6};
        for (int i = 0; i < 4; ++i) k.rows[i] = rows[i];
    } else {
        k.vectors = 2;
        const int rows[] = {8, 6, 4, 3};
        for (int i = 0; i < 4; ++i) k.rows[i] = rows[i];
    }
    fill<T, Add, 2>(k.pointwise[op_named("add")]);
    fill<T, Sub, 2>(k.pointwise[op_named("sub")]);
    fill<T, Mul, 2>(k.pointwise[op_named("mul")]);
    fill<T, Div, 2>(k.pointwise[op_named("div")]);
    fill<T, Neg, 1>(k.pointwise[op_named("neg")]);
    fill<T, Abs, 1>(k.pointwise[op_named("abs")]);
    fill<T, Sign, 1>(k.pointwise[op_named("sign")]);
    fill<T, Maximum, 2>(k.pointwise[op_named("maximum")]);
    fill<T, Minimum, 2>(k.pointwise[op_named("minimum")]);
    fill<T, Exp, 1>(k.pointwise[op_named("exp")]);
    fill<T, Log, 1>(k.pointwise[op_named("log")]);
    fill<T, Sqrt, 1>(k.pointwise[op_named("sqrt")]);
    fill<T, Tanh, 1>(k.pointwise[op_named("tanh")]);
    fill<T, Sigmoid, 1>(k.pointwise[op_named("sigmoid")]);
    fill<T, Relu, 1>(k.pointwise[op_named("relu")]);
    fill<T, Softplus, 1>(k.pointwise[op_named("softplus")]);
    fill<T, Erf, 1>(k.pointwise[op_named("erf")]);
    fill<T, Sin, 1>(k.pointwise[op_named("sin")]);
    fill<T, Cos, 1>(k.pointwise[op_named("cos")]);
    fill<T, Select, 3>(k.pointwise[op_named("select")]);
    fill<T, Greater, 2>(k.pointwise[op_named("greater")]);
    fill<T, GreaterEqual, 2>(k.pointwise[op_named("greater_equal")]);
    fill<T, MulAdd, 3>(k.pointwise[op_named("muladd")]);
    fill<T, SubMul, 3>(k.pointwise[op_named("submul")]);
    fill<T, DifMul, 3>(k.pointwise[op_named("difmul")]);
    fill<T, MulMul, 3>(k.pointwise[op_named("mulmul")]);
    fill<T, Positive, 3>(k.pointwise[op_named("positive")]);
    fill<T, Copy, 1>(k.pointwise[op_named("copy")]);
    fill<T, Accumulate, 1, true>(k.pointwise[op_named("accumulate")]);
    fill_products<T, false>(k);
    fill_row_products<T, false>(k);
    k.turn = turn<T, false>;
    k.sum = sum<T>;
    k.fingerprint = fingerprint<T>;
}

#define PELLUCID_TEXT_OF(name) #name
#define PELLUCID_TEXT(name) PELLUCID_TEXT_OF(name)

extern void add_spatial(pellucid::Isa&);
extern const pellucid::Isa& isa();
const pellucid::Isa& isa() {
    static pellucid::Isa found = [] {
        pellucid::Isa made{};
        made.name = PELLUCID_TEXT(PELLUCID_ISA);
        build(made.single);
        build(made.twice);
        add_spatial(made);
        return made;
    }();
    return found;
}

#endif

}  // namespace PELLUCID_ISA
