// The parts of a sweep over time that are the same for every cell: numbers of all types, the functions of the equations,
// products with weights that stay in registers and shared memory, and sums over units. What is generated uses these.

#define INLINE __device__ __forceinline__

INLINE float widen(float v) { return v; }
INLINE double widen(double v) { return v; }
INLINE float widen(bool v) { return v ? 1.0f : 0.0f; }
INLINE void narrow(float v, float& to) { to = v; }
INLINE void narrow(float v, double& to) { to = v; }
INLINE void narrow(double v, double& to) { to = v; }
INLINE void narrow(double v, float& to) { to = (float)v; }
template <class T, class R>
INLINE T as(R v) {
  T to;
  narrow(v, to);
  return to;
}

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {  // numbers that lie side by side, and are read and written at once
  T v[N];
};

// Numbers as they lie in memory, in one piece until they are used: taking them apart would wait for them.
template <int SIZE>
struct Raw;
#define RAW(SIZE, WORD)                                            \
  template <>                                                      \
  struct Raw<SIZE> {                                               \
    WORD word;                                                     \
    INLINE void read(const void* at) { word = *(const WORD*)at; }  \
    template <class P>                                             \
    INLINE P as() const {                                          \
      union Parts {                                                \
        WORD word;                                                 \
        P parts;                                                   \
        INLINE Parts() {}                                          \
      } v;                                                         \
      v.word = word;                                               \
      return v.parts;                                              \
    }                                                              \
    template <class P>                                             \
    INLINE void keep(const P& parts) {                             \
      union Parts {                                                \
        WORD word;                                                 \
        P parts;                                                   \
        INLINE Parts() {}                                          \
      } v;                                                         \
      v.parts = parts;                                             \
      word = v.word;                                               \
    }                                                              \
    INLINE void write(void* at) const { *(WORD*)at = word; }       \
  };
RAW(1, unsigned char)
RAW(2, unsigned short)
RAW(4, u32)
RAW(8, u64)
RAW(16, Chunk)

// Rows of CHUNKS chunks that other blocks have posted, to rows of shared memory that lie STRIDE chunks apart. Several are asked
// for at once, since each takes long to come.
template <int CHUNKS, int STRIDE, int THREADS>
INLINE void read_rows(Chunk* to, const Chunk* posted, int rows) {
  constexpr int AT_ONCE = 8;
  const int count = rows * CHUNKS;
  for (int base = thread_index(); base < count; base += THREADS * AT_ONCE) {
    Chunk seen[AT_ONCE];
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k)
      if (base + k * THREADS < count) seen[k] = read_posted(posted + base + k * THREADS);
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k) {
      const int i = base + k * THREADS;
      if (i < count) to[i / CHUNKS * STRIDE + i % CHUNKS] = seen[k];
    }
  }
}

// Sums in a fixed order, by all lanes of a warp.
template <class R>
INLINE R sum_of_lanes(R sum) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  return sum;
}
template <int UNITS, class R>
INLINE R sum_of_units(const R* terms, int pair) {
  R sum = R(0);
  for (int unit = thread_index() % 32; unit < UNITS; unit += 32) sum += terms[pair * UNITS + unit];
  return sum_of_lanes(sum);
}
template <int TEAM, class Share>
INLINE auto sum_of_blocks(const Share& share) {
  decltype(share(0)) sum = 0;
  for (int block = thread_index() % 32; block < TEAM; block += 32) sum += share(block);
  return sum_of_lanes(sum);
}

// The functions of the equations. `quick` is for products of two-byte numbers, whose rounding is a thousand times larger than
// what the shorter ways to a sigmoid and a tanh leave (a few 1e-7).
template <class R>
struct Exact {
  static INLINE R exp(R v) { return ::exp(v); }
  static INLINE R sigmoid(R v) { return R(1) / (R(1) + ::exp(-v)); }
  static INLINE R tanh(R v) { return ::tanh(v); }
};
struct Quick {
  static INLINE float exp(float v) { return ::expf(v); }
  static INLINE float sigmoid(float v) { return quick_reciprocal(1.0f + quick_exp2(-1.4426950408889634f * v)); }
  static INLINE float tanh(float v) { return 1.0f - 2.0f * quick_reciprocal(1.0f + quick_exp2(2.8853900817779268f * v)); }
};
template <class R>
INLINE R larger(R a, R b) { return a != a ? a : (a > b ? a : b); }
template <class R>
INLINE R smaller(R a, R b) { return a != a ? a : (a < b ? a : b); }
template <class R>
INLINE R sign_of(R a) { return a != a ? a : R((a > R(0)) - (a < R(0))); }
template <class R>
INLINE R softplus_of(R a) { return larger(a, R(0)) + ::log1p(::exp(-::fabs(a))); }

// How a product is shared out among the warps of a block. Its rows are cut into tiles of TILE rows, and its columns into units of
// UNIT; where there are fewer tiles than warps, several warps share a tile and each sums SPLIT-th of the columns.
template <class Op_, int TILES_, int SPLIT_, int EACH_, int UNITS_, int KEPT_, int N_, int STRIDE_, int ROWS_>
struct Shape {
  typedef Op_ Op;
  static constexpr int TILES = TILES_;    // of the product's rows
  static constexpr int SPLIT = SPLIT_;    // warps that share a tile
  static constexpr int EACH = EACH_;      // tiles that one warp has
  static constexpr int UNITS = UNITS_;    // of columns that one warp has
  static constexpr int KEPT = KEPT_;      // of those, whose weights stay in registers; the others lie in shared memory
  static constexpr int N = N_;            // sequences
  static constexpr int STRIDE = STRIDE_;  // numbers from one sequence's operand to the next one's
  static constexpr int ROWS = ROWS_;      // numbers from one sequence's results to the next one's
};

template <class S>
struct Place {  // of a warp in a product
  int warp, lane, split, tile;
  bool has;
  INLINE Place() {
    warp = thread_index() / 32;
    lane = thread_index() % 32;
    split = S::SPLIT == 1 ? 0 : warp / S::TILES;
    tile = S::SPLIT == 1 ? warp * S::EACH : warp % S::TILES;
    has = S::SPLIT == 1 ? tile < S::TILES : split < S::SPLIT;
  }
};

// Two-byte numbers: fragments for the matrix multiply. A unit is 32 columns, a tile 16 rows.
template <class S>
struct Fragments {
  typedef typename S::Op Op;
  u32 held[S::EACH][2 * S::KEPT + 1][4];
  const Chunk* rest;  // [EACH][2 * (UNITS - KEPT)][32] of this warp

  template <class At>
  static INLINE Chunk fragment(const Place<S>& place, int tile, int k, const At& at) {
    Chunk v;
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      const int row = (place.tile + tile) * 16 + place.lane / 4 + 8 * (part & 1);
      const int column = k + place.lane % 4 * 2 + 8 * (part >> 1);
      const Op low = at(row, column), high = at(row, column + 1);
      v.word[part] = (u32)low.bits | (u32)high.bits << 16;
    }
    return v;
  }
  template <class At>
  INLINE void load(const Place<S>& place, Chunk* memory, const At& at) {
    constexpr int REST = 2 * (S::UNITS - S::KEPT);
    Chunk* mine = memory + place.warp * S::EACH * REST * 32;
    rest = mine;
    if (!place.has) return;
#pragma unroll
    for (int tile = 0; tile < S::EACH; ++tile) {
#pragma unroll
      for (int k = 0; k < 2 * S::KEPT; ++k) {
        const Chunk v = fragment(place, tile, (place.split * S::UNITS * 2 + k) * 16, at);
#pragma unroll
        for (int part = 0; part < 4; ++part) held[tile][k][part] = v.word[part];
      }
      for (int k = 0; k < REST; ++k)
        mine[(tile * REST + k) * 32 + place.lane] =
            fragment(place, tile, (place.split * S::UNITS * 2 + 2 * S::KEPT + k) * 16, at);
    }
  }
  INLINE void pick(u32 (&a)[4], const Place<S>& place, int tile, int k) const {
    constexpr int REST = 2 * (S::UNITS - S::KEPT);
    if (k < 2 * S::KEPT) {
#pragma unroll
      for (int part = 0; part < 4; ++part) a[part] = held[tile][k][part];
    } else {
      const Chunk v = rest[(tile * REST + k - 2 * S::KEPT) * 32 + place.lane];
#pragma unroll
      for (int part = 0; part < 4; ++part) a[part] = v.word[part];
    }
  }
  INLINE void multiply(const Place<S>& place, const Op* operand, float* results) const {
    if (!place.has) return;
    constexpr int CHAINS = S::EACH == 1 ? 4 : 2;  // sums that do not wait for one another
    for (int n0 = 0; n0 < S::N; n0 += 8) {
      float sums[S::EACH][CHAINS][4];
#pragma unroll
      for (int tile = 0; tile < S::EACH; ++tile)
#pragma unroll
        for (int part = 0; part < 4 * CHAINS; ++part) sums[tile][part / 4][part % 4] = 0.0f;
      const Op* from = operand + (n0 + place.lane % 8) * S::STRIDE + place.split * S::UNITS * 32 + place.lane / 8 * 8;
#pragma unroll
      for (int unit = 0; unit < S::UNITS; ++unit) {
        u32 b[4], a[4];
        load_matrices(b, from + unit * 32);
#pragma unroll
        for (int tile = 0; tile < S::EACH; ++tile) {
          pick(a, place, tile, 2 * unit);
          multiply_add(sums[tile][2 * unit % CHAINS], a, b[0], b[1], Op());
          pick(a, place, tile, 2 * unit + 1);
          multiply_add(sums[tile][(2 * unit + 1) % CHAINS], a, b[2], b[3], Op());
        }
      }
      float* to = results + (place.split * S::N + n0 + place.lane % 4 * 2) * S::ROWS + place.lane / 4;
#pragma unroll
      for (int tile = 0; tile < S::EACH; ++tile) {
        if (place.tile + tile < S::TILES) {
          float* row = to + (place.tile + tile) * 16;
#pragma unroll
          for (int part = 0; part < 4; ++part) {
            float sum = sums[tile][0][part] + sums[tile][1][part];
            if (CHAINS == 4) sum += sums[tile][2 % CHAINS][part] + sums[tile][3 % CHAINS][part];
            row[part / 2 * 8 + part % 2 * S::ROWS] = sum;
          }
        }
      }
    }
  }
};

// float and double: a lane for each row. A unit is 4 columns, a tile 32 rows.
template <class S>
struct Rows {
  typedef typename S::Op Op;
  static constexpr int AT_ONCE = S::N < 8 ? S::N : 8;
  Op held[S::EACH][S::KEPT + 1][4];
  const Op* rest;  // [EACH][UNITS - KEPT][4][32] of this warp

  template <class At>
  INLINE void load(const Place<S>& place, void* memory, const At& at) {
    constexpr int REST = S::UNITS - S::KEPT;
    Op* mine = (Op*)memory + place.warp * S::EACH * REST * 4 * 32;
    rest = mine;
    if (!place.has) return;
#pragma unroll
    for (int tile = 0; tile < S::EACH; ++tile) {
      const int row = (place.tile + tile) * 32 + place.lane, first = place.split * S::UNITS * 4;
#pragma unroll
      for (int k = 0; k < S::KEPT; ++k)
#pragma unroll
        for (int part = 0; part < 4; ++part) held[tile][k][part] = at(row, first + k * 4 + part);
      for (int k = 0; k < REST * 4; ++k)
        mine[(tile * REST * 4 + k) * 32 + place.lane] = at(row, first + S::KEPT * 4 + k);
    }
  }
  INLINE void multiply(const Place<S>& place, const Op* operand, Op* results) const {
    if (!place.has) return;
    constexpr int REST = S::UNITS - S::KEPT;
    for (int n0 = 0; n0 < S::N; n0 += AT_ONCE) {
      Op sums[S::EACH][AT_ONCE];
#pragma unroll
      for (int tile = 0; tile < S::EACH; ++tile)
#pragma unroll
        for (int n = 0; n < AT_ONCE; ++n) sums[tile][n] = Op(0);
      const Op* from = operand + n0 * S::STRIDE + place.split * S::UNITS * 4;
#pragma unroll
      for (int unit = 0; unit < S::KEPT; ++unit) step(sums, from + unit * 4, [&](int tile, int part) { return held[tile][unit][part]; });
#pragma unroll 2
      for (int unit = 0; unit < REST; ++unit)
        step(sums, from + (S::KEPT + unit) * 4,
             [&](int tile, int part) { return rest[((tile * REST + unit) * 4 + part) * 32 + place.lane]; });
#pragma unroll
      for (int tile = 0; tile < S::EACH; ++tile)
        if (place.tile + tile < S::TILES) {
#pragma unroll
          for (int n = 0; n < AT_ONCE; ++n)
            results[(place.split * S::N + n0 + n) * S::ROWS + (place.tile + tile) * 32 + place.lane] = sums[tile][n];
        }
    }
  }
  template <class Weight>
  static INLINE void step(Op (&sums)[S::EACH][AT_ONCE], const Op* from, const Weight& weight) {
    Op w[S::EACH][4];
#pragma unroll
    for (int tile = 0; tile < S::EACH; ++tile)
#pragma unroll
      for (int part = 0; part < 4; ++part) w[tile][part] = weight(tile, part);
#pragma unroll
    for (int n = 0; n < AT_ONCE; ++n) {
      struct alignas(16) Four {
        Op v[4];
      };
      const Four h = *(const Four*)(from + n * S::STRIDE);
#pragma unroll
      for (int part = 0; part < 4; ++part)
#pragma unroll
        for (int tile = 0; tile < S::EACH; ++tile) sums[tile][n] += w[tile][part] * h.v[part];
    }
  }
};

// A weight of a product: row by row as the equations have it, or transposed, whose columns are those of several blocks.
template <class Op, class Stored, class Real, int UNITS, int SIZE, int COLUMNS, int FULL>
struct Weight {
  const Stored* matrix;
  i64 stride;
  int first, group;  // this block's first unit; the head
  INLINE Op operator()(int row, int column) const {
    const int part = row / UNITS, unit = first + row % UNITS;
    if (unit >= SIZE || column >= COLUMNS || part >= FULL) return as<Op>(Real(0));
    return as<Op>((Real)widen(matrix[(i64)((part * GROUPS + group) * SIZE + unit) * stride + column]));
  }
};
template <class Op, class Stored, class Real, int ROWS, int SIZE, int PADDED, int FROM, int FULL>
struct Transposed {
  const Stored* matrix;
  i64 stride;
  int first, group;
  INLINE Op operator()(int row, int column) const {
    const int part = column / PADDED, from = column % PADDED, unit = first + row;
    if (row >= ROWS || unit >= SIZE || from >= FROM || part >= FULL) return as<Op>(Real(0));
    return as<Op>((Real)widen(matrix[(i64)((part * GROUPS + group) * FROM + from) * stride + unit]));
  }
};
