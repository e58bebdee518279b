// What hardware.cuh does on a GPU, done on a processor, so that the very source of a kernel runs where no GPU is: every thread is
// a fiber, and whoever waits hands on to the next one. Slow, and meant for small shapes.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <vector>

#define __device__
#define __forceinline__ inline
#define __global__
#define __launch_bounds__(...)
#define __grid_constant__

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

struct bfloat16 {
  unsigned short bits;
};
struct float16 {
  unsigned short bits;
};

inline float widen(bfloat16 v) {
  u32 bits = (u32)v.bits << 16;
  float wide;
  memcpy(&wide, &bits, 4);
  return wide;
}
inline float widen(float16 v) {
  _Float16 half;
  memcpy(&half, &v.bits, 2);
  return (float)half;
}
inline void narrow(float v, bfloat16& to) {
  u32 bits;
  memcpy(&bits, &v, 4);
  to.bits = v != v ? 0x7fff : (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline void narrow(float v, float16& to) {
  _Float16 half = (_Float16)v;
  memcpy(&to.bits, &half, 2);
}

namespace processor {

struct Meeting {  // of threads that wait for one another
  int here = 0;
  u64 times = 0;
};
struct Block {
  std::vector<unsigned char> memory;
  Meeting all;
  std::vector<Meeting> warps;
  std::vector<const void*> rows;    // what each lane of each warp shows the others
  std::vector<uint64_t> shown;
  std::vector<u32> fragments;
  std::vector<float> sums;
  int index, group, rank;
};
struct Fiber {
  ucontext_t context;
  std::vector<unsigned char> stack;
  Block* block;
  int thread;
  bool done = false;
};
inline std::vector<Fiber*> fibers;
inline std::vector<Block*> blocks;  // all that run at a time
inline Fiber* now;
inline ucontext_t home;
inline int threads, team;
inline Meeting everyone;
inline u64 waits;  // in a row, without anyone getting on: a deadlock

inline void hand_on() { swapcontext(&now->context, &home); }
inline void meet(Meeting& m, int count) {
  const u64 before = m.times;
  if (++m.here == count) {
    m.here = 0;
    ++m.times;
    waits = 0;
  } else {
    while (m.times == before) hand_on();
  }
}
inline int warp() { return now->thread / 32; }
inline int lane() { return now->thread % 32; }
inline Meeting& my_warp() { return now->block->warps[warp()]; }
inline Block* at_rank(int rank) {
  for (Block* b : blocks)
    if (b->rank == rank && b->group == now->block->group && b->index / team == now->block->index / team) return b;
  abort();
}

// Barriers of shared memory: pending arrivals in bit 0, the phase in bit 1, bytes that are to come above.
inline void settle(u64* barrier) {
  const int64_t bytes = (int64_t)*barrier >> 2;
  if (!(*barrier & 1) && bytes == 0) {
    *barrier = (*barrier & 2 ? 0 : 2) | 1;
    waits = 0;
  }
}

}  // namespace processor

inline unsigned char* block_memory() { return processor::now->block->memory.data(); }
inline int thread_index() { return processor::now->thread; }
inline int block_index() { return processor::now->block->index; }
inline int group_index() { return processor::now->block->group; }
inline void block_sync() { processor::meet(processor::now->block->all, processor::threads); }
inline void warp_sync() { processor::meet(processor::my_warp(), 32); }
template <class T>
inline T shuffle_xor(T v, int mask) {
  using namespace processor;
  uint64_t* shown = now->block->shown.data() + warp() * 32;
  memcpy(shown + lane(), &v, sizeof(T));
  warp_sync();
  T other;
  memcpy(&other, shown + (lane() ^ mask), sizeof(T));
  warp_sync();
  return other;
}

inline void load_matrices(u32 (&to)[4], const void* row) {
  using namespace processor;
  const void** rows = now->block->rows.data() + warp() * 32;
  rows[lane()] = row;
  warp_sync();
  for (int i = 0; i < 4; ++i) memcpy(&to[i], (const unsigned short*)rows[i * 8 + lane() / 4] + lane() % 4 * 2, 4);
  warp_sync();
}

template <class T>
inline void multiply_add(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1, T) {
  using namespace processor;
  u32* all = now->block->fragments.data() + warp() * 32 * 6;
  u32 mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  memcpy(all + lane() * 6, mine, sizeof(mine));
  warp_sync();
  auto half = [](u32 pair, int which) {
    T v;
    v.bits = (unsigned short)(pair >> 16 * which);
    return widen(v);
  };
  for (int i = 0; i < 4; ++i) {
    const int row = lane() / 4 + 8 * (i / 2), column = lane() % 4 * 2 + i % 2;
    for (int k = 0; k < 16; ++k) {
      const u32* left = all + (row % 8 * 4 + k % 8 / 2) * 6;
      const u32* right = all + (column * 4 + k % 8 / 2) * 6;
      sum[i] += half(left[row / 8 + 2 * (k / 8)], k % 2) * half(right[4 + k / 8], k % 2);
    }
  }
  warp_sync();
}

inline void barrier_make(u64* barrier) { *barrier = 1; }
inline void barriers_made() {}
inline void barrier_expect(u64* barrier, u32 bytes) {
  if (!(*barrier & 1)) abort();  // a phase that has not ended
  *barrier = (*barrier & ~1ull) + ((u64)bytes << 2);
  processor::settle(barrier);
}
inline void barrier_wait(u64* barrier, u32 parity) {
  while ((*barrier >> 1 & 1) == parity) processor::hand_on();
}
struct alignas(16) Chunk {
  u32 word[4];
};
template <class T>
inline void put(void* to, u64* barrier, int rank, const T& v) {
  using namespace processor;
  unsigned char* there = at_rank(rank)->memory.data();
  const unsigned char* here = now->block->memory.data();
  if (((const unsigned char*)to - here) % sizeof(T) != 0) abort();
  memcpy(there + ((const unsigned char*)to - here), &v, sizeof(T));
  u64* their = (u64*)(there + ((const unsigned char*)barrier - here));
  *their -= (u64)sizeof(T) << 2;
  settle(their);
}
inline void cluster_sync() {
  using namespace processor;
  meet(everyone, (int)fibers.size());
}
inline void flag_raise(u32* flag, u32 turn) {
  *flag = turn;
  processor::waits = 0;
}
inline void flag_await(const u32* flag, u32 turn) {
  while (*(const volatile u32*)flag < turn) processor::hand_on();
}
template <class T>
inline T read_posted(const T* at) {
  return *at;
}
inline float quick_exp2(float v) { return exp2f(v); }
inline float quick_reciprocal(float v) { return 1.0f / v; }

struct Call;
extern "C" void sweep(const Call call);

namespace processor {
inline const Call* call;
void enter();
}  // namespace processor

// Runs `count` blocks at a time: those of one team, or all of a grid whose blocks wait for one another.
extern "C" int launch(const Call* given, int across, int groups, int team, int together, int threads, int memory) {
  using namespace processor;
  processor::team = team;
  processor::threads = threads;
  call = given;
  for (int group = 0; group < groups; ++group)
    for (int first = 0; first < across; first += together) {
      for (int b = first; b < first + together; ++b) {
        Block* block = new Block;
        block->memory.assign(memory + 128, 0xff);  // NaN
        block->warps.resize(threads / 32);
        block->rows.resize(threads);
        block->shown.resize(threads);
        block->fragments.resize(threads * 6);
        block->index = b;
        block->group = group;
        block->rank = b % team;
        blocks.push_back(block);
        for (int t = 0; t < threads; ++t) {
          Fiber* f = new Fiber;
          f->stack.resize(256 * 1024);
          f->block = block;
          f->thread = t;
          getcontext(&f->context);
          f->context.uc_stack.ss_sp = f->stack.data();
          f->context.uc_stack.ss_size = f->stack.size();
          f->context.uc_link = nullptr;
          makecontext(&f->context, enter, 0);
          fibers.push_back(f);
        }
      }
      waits = 0;
      bool left = true;
      while (left) {
        left = false;
        for (Fiber* f : fibers)
          if (!f->done) {
            now = f;
            swapcontext(&home, &f->context);
            left = true;
          }
        if (++waits > 1000) return 1;
      }
      for (Fiber* f : fibers) delete f;
      for (Block* b : blocks) delete b;
      fibers.clear();
      blocks.clear();
      everyone = Meeting();
    }
  return 0;
}
