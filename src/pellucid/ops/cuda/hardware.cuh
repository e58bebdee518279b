// What a sweep asks of the GPU (compute capability 9.0): numbers of two bytes, the matrix multiply, barriers, and stores into
// the shared memory of the other blocks of a cluster. A test replaces this file by one that does the same on a processor.
// PTX: NVIDIA, Parallel Thread Execution ISA 8.x: mma, ldmatrix, st.async, mbarrier, barrier.cluster.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

struct bfloat16 {
  unsigned short bits;
};
struct float16 {
  unsigned short bits;
};

__device__ __forceinline__ float widen(bfloat16 v) { return __uint_as_float((u32)v.bits << 16); }
__device__ __forceinline__ float widen(float16 v) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(v.bits));
  return wide;
}
__device__ __forceinline__ void narrow(float v, bfloat16& to) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(v)); }
__device__ __forceinline__ void narrow(float v, float16& to) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(v)); }

__device__ __forceinline__ unsigned char* block_memory() {
  extern __shared__ __align__(128) unsigned char memory[];
  return memory;
}
__device__ __forceinline__ int thread_index() { return threadIdx.x; }
__device__ __forceinline__ int block_index() { return blockIdx.x; }
__device__ __forceinline__ int group_index() { return blockIdx.y; }
__device__ __forceinline__ void block_sync() { __syncthreads(); }
__device__ __forceinline__ void warp_sync() { __syncwarp(); }
template <class T>
__device__ __forceinline__ T shuffle_xor(T v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}
__device__ __forceinline__ u32 in_shared(const void* at) { return (u32)__cvta_generic_to_shared(at); }

// Four 8 x 8 matrices of two-byte numbers; each of the 32 lanes gives the address of one row of one of them.
__device__ __forceinline__ void load_matrices(u32 (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(in_shared(row)));
}

// sum (16 x 8) += a (16 x 16) b (16 x 8); the warp's lanes hold the parts that the PTX manual draws for m16n8k16.
__device__ __forceinline__ void multiply_add(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1, bfloat16) {
  asm(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply_add(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1, float16) {
  asm(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A barrier in shared memory completes a phase when one thread has said how many bytes are to come, and they have.
__device__ __forceinline__ void barrier_make(u64* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(in_shared(barrier)) : "memory");
}
__device__ __forceinline__ void barriers_made() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void barrier_expect(u64* barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(in_shared(barrier)), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_wait(u64* barrier, u32 parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(in_shared(barrier)),
      "r"(parity)
      : "memory");
}
__device__ __forceinline__ u32 at_rank(u32 address, int rank) {
  u32 there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
  return there;
}
// 16 bytes to the place in the block of that rank that `to` is here, counted by that block's barrier.
struct alignas(16) Chunk {
  u32 word[4];
};
__device__ __forceinline__ void put(void* to, u64* barrier, int rank, const Chunk& v) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(
                   at_rank(in_shared(to), rank)),
               "r"(v.word[0]), "r"(v.word[1]), "r"(v.word[2]), "r"(v.word[3]), "r"(at_rank(in_shared(barrier), rank))
               : "memory");
}
__device__ __forceinline__ void put(void* to, u64* barrier, int rank, float v) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(
                   at_rank(in_shared(to), rank)),
               "r"(__float_as_uint(v)), "r"(at_rank(in_shared(barrier), rank))
               : "memory");
}
__device__ __forceinline__ void put(void* to, u64* barrier, int rank, double v) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b64 [%0], %1, [%2];" ::"r"(
                   at_rank(in_shared(to), rank)),
               "l"(__double_as_longlong(v)), "r"(at_rank(in_shared(barrier), rank))
               : "memory");
}
__device__ __forceinline__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Flags in the GPU's memory, between blocks that are all running: what a block wrote before it raised its flag is seen by whoever
// has seen the flag.
__device__ __forceinline__ void flag_raise(u32* flag, u32 turn) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(turn) : "memory");
}
__device__ __forceinline__ void flag_await(const u32* flag, u32 turn) {
  u32 seen;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
  } while (seen < turn);
}
__device__ __forceinline__ float read_posted(const float* at) { return __ldcg(at); }
__device__ __forceinline__ double read_posted(const double* at) { return __ldcg(at); }
__device__ __forceinline__ Chunk read_posted(const Chunk* at) {
  Chunk v;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
               : "l"(at)
               : "memory");
  return v;
}

__device__ __forceinline__ float quick_exp2(float v) {
  asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(v));
  return v;
}
__device__ __forceinline__ float quick_reciprocal(float v) {
  asm("rcp.approx.ftz.f32 %0, %0;" : "+f"(v));
  return v;
}
