#include "multiply.h"

#include "threads.h"

namespace pellucid {

template <class T>
void multiply(const Gemm<T>& g, const Isa& isa, int threads) {
    const Kernels<T>& kernels = isa.kernels<T>();
    if (g.m == 0 || g.n == 0) return;
    const Panels<T> panels(kernels, g.n);
    const int count = team_size((double)g.m * g.n * g.k < 200e3 ? 1 : threads);
    const long size = scratch_size(kernels);
    Arena arena;
    T* scratch = arena.take<T>((size_t)size * count);
    const auto work = [&](int index, int of) {
        multiply_share<T>(g, panels.share(g, index, of), nullptr, scratch + index * size, nullptr, kernels);
    };
    if (!on_team(count, [&](int index) { work(index, count); })) work(0, 1);
}

template void multiply<float>(const Gemm<float>&, const Isa&, int);
template void multiply<double>(const Gemm<double>&, const Isa&, int);

}  // namespace pellucid
