// The kernels against plain loops, without Python: for compilers and processors that the Python tests do not reach.

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "../isa.h"
#include "../multiply.h"
#include "../program.h"
#include "../sweep.h"

namespace avx512 { extern const pellucid::Isa& isa(); }
namespace avx2 { extern const pellucid::Isa& isa(); }
namespace baseline { extern const pellucid::Isa& isa(); }

namespace {

using namespace pellucid;

int failures = 0;
std::mt19937 generator(1);

template <class T>
std::vector<T> normal(size_t count) {
    std::normal_distribution<double> draw;
    std::vector<T> v(count);
    for (T& x : v) x = (T)draw(generator);
    return v;
}

// `rounding` says how many roundings may lie between the two.
template <class T>
void compare(const char* isa, const char* what, double found, double right, double rounding) {
    const double eps = sizeof(T) == 4 ? 1.2e-7 : 2.3e-16;
    if (std::isnan(found) == std::isnan(right) && !(std::abs(found - right) > eps * rounding * std::fmax(1.0, std::abs(right)))) return;
    if (++failures <= 20) std::printf("%s, %d bits, %s: %.17g, and %.17g is right\n", isa, 8 * (int)sizeof(T), what, found, right);
}

double by_loop(const std::string& op, double a, double b, double c) {
    if (op == "add") return a + b;
    if (op == "sub") return a - b;
    if (op == "mul") return a * b;
    if (op == "div") return a / b;
    if (op == "neg") return -a;
    if (op == "abs") return std::abs(a);
    if (op == "sign") return (a > 0) - (a < 0);
    if (op == "maximum") return std::fmax(a, b);
    if (op == "minimum") return std::fmin(a, b);
    if (op == "exp") return std::exp(a);
    if (op == "log") return std::log(a);
    if (op == "sqrt") return std::sqrt(a);
    if (op == "tanh") return std::tanh(a);
    if (op == "sigmoid") return 1 / (1 + std::exp(-a));
    if (op == "relu") return a < 0 ? 0 : a;
    if (op == "softplus") return std::log1p(std::exp(a));
    if (op == "erf") return std::erf(a);
    if (op == "sin") return std::sin(a);
    if (op == "cos") return std::cos(a);
    if (op == "select") return a != 0 ? b : c;
    if (op == "greater") return a > b;
    if (op == "greater_equal") return a >= b;
    if (op == "muladd") return a * b + c;
    if (op == "submul") return a - b * c;
    if (op == "difmul") return (a - b) * c;
    if (op == "mulmul") return a * b * c;
    return a;   // copy, accumulate
}

// Every operation at every width around a vector's, operands as rows and as one number; nothing beside the width changes.
template <class T>
void pointwise(const Isa& isa) {
    for (int op = 0; op < op_count; ++op)
        for (int ones = 0; ones < 1 << op_arity[op]; ++ones)
            for (int width : {1, 2, 3, 5, 8, 15, 16, 17, 33}) {
                const int rows = 3, apart = 40;
                std::vector<T> in[3] = {normal<T>(rows * apart), normal<T>(rows * apart), normal<T>(rows * apart)};
                std::vector<T> out(rows * apart, T(7));
                Call<T> call{out.data(), apart, {}, {}, rows, width};
                for (int i = 0; i < op_arity[op]; ++i) call.in[i] = in[i].data(), call.in_row[i] = apart;
                isa.kernels<T>().pointwise[op][ones](call);
                const std::string name = op_names[op];
                if (name == "accumulate" && ones) continue;
                for (int r = 0; r < rows; ++r)
                    for (int i = 0; i < apart; ++i) {
                        auto at = [&](int k) { return (double)in[k][r * apart + (ones >> k & 1 ? 0 : i)]; };
                        const double right = i < width ? by_loop(name, at(0), at(1), at(2)) + (name == "accumulate" ? 7 : 0) : 7;
                        compare<T>(isa.name, name.c_str(), out[r * apart + i], right, i < width ? 64 : 0);
                    }
            }
}

template <class T>
void products(const Isa& isa) {
    for (long m : {1, 2, 7, 9, 20})
        for (long n : {1, 3, 16, 31, 70})
            for (long k : {0, 1, 5, 300})
                for (bool transposed : {false, true}) {
                    const std::vector<T> a = normal<T>(m * k + 1), b = normal<T>(k * n + 1), bias = normal<T>(n);
                    std::vector<T> c(m * n);
                    Gemm<T> g;
                    g.m = m, g.n = n, g.k = k, g.a = a.data(), g.b = b.data(), g.c = c.data(), g.c_row = n, g.bias = bias.data();
                    g.a_row = transposed ? 1 : k, g.a_column = transposed ? m : 1, g.b_row = n, g.b_column = 1;
                    multiply<T>(g, isa, 1);
                    for (long i = 0; i < m; ++i)
                        for (long j = 0; j < n; ++j) {
                            double right = bias[j];
                            for (long q = 0; q < k; ++q) right += (double)a[i * g.a_row + q * g.a_column] * b[q * n + j];
                            compare<T>(isa.name, "product", c[i * n + j], right, 20.0 * (k + 2));
                        }
                }
}

// h <- tanh(x + U h), all steps, with a window that is projected: registers 0 x, 1 h, 2 U h, 3 x + U h, 4 tanh.
template <class T>
void sweeps(const Isa& isa) {
    for (long batch : {1, 3, 13})
        for (long size : {1, 6, 37}) {
            Program p;
            p.sizes = {2, 2, 2, 2, 2};
            p.size_letters = 3, p.buffers = 2, p.matrices = 1;
            p.inputs = {{0, Kind::step, 0}, {1, Kind::shifted, 1}};
            p.outputs = {{4, Kind::step, 1}};
            Phase product, rest;
            product.products.push_back({0, 1, 1, false, {1}, {2}});
            rest.instructions = {{op_named("add"), 3, {0, 2}}, {op_named("tanh"), 4, {3}}};
            p.phases = {product, rest};
            const Plan plan(std::move(p));
            const long steps = 5, width = 2;
            const std::vector<T> x = normal<T>(steps * batch * width), w = normal<T>(size * width), bias = normal<T>(size);
            std::vector<T> u = normal<T>(size * size), first = normal<T>(batch * size), h(steps * batch * size);
            for (T& v : u) v /= (T)size;
            Sweep<T> sweep;
            sweep.plan = &plan, sweep.steps = steps, sweep.batch = batch, sweep.sizes = {1, 1, size};
            sweep.buffers.resize(2);
            sweep.buffers[0].window = 0;
            sweep.buffers[1].base = h.data(), sweep.buffers[1].time = batch * size, sweep.buffers[1].row = size;
            sweep.buffers[1].initial = first.data(), sweep.buffers[1].initial_row = size;
            sweep.matrices = {{u.data(), size, size, size}};
            sweep.windows.push_back({nullptr, size, size});
            sweep.projections.push_back({0, {x.data(), width}, {w.data(), size, width, width}, bias.data()});
            if (!run<T>(sweep, isa)) ++failures;
            std::vector<double> state(first.begin(), first.end());
            for (long t = 0; t < steps; ++t) {
                std::vector<double> after(batch * size);
                for (long r = 0; r < batch; ++r)
                    for (long i = 0; i < size; ++i) {
                        double sum = bias[i];
                        for (long j = 0; j < width; ++j) sum += (double)w[i * width + j] * x[(t * batch + r) * width + j];
                        for (long j = 0; j < size; ++j) sum += (double)u[i * size + j] * state[r * size + j];
                        after[r * size + i] = std::tanh(sum);
                        compare<T>(isa.name, "sweep", h[(t * batch + r) * size + i], after[r * size + i], 20.0 * (size + 4) * (t + 1));
                    }
                state = after;
            }
        }
}

void all(const Isa& isa) {
    pointwise<float>(isa), pointwise<double>(isa);
    products<float>(isa), products<double>(isa);
    sweeps<float>(isa), sweeps<double>(isa);
    std::printf("%s: %d differences from plain loops\n", isa.name, failures);
}

}  // namespace

int main() {
#if defined(PELLUCID_X86)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        all(avx512::isa());
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all(avx2::isa());
#endif
    all(baseline::isa());
    return failures != 0;
}
