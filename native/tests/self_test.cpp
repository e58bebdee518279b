// The kernels against plain loops, without Python: for compilers and processors that the Python tests do not reach.

#include <cmath>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

#include "../convolution.h"
#include "../isa.h"
#include "../multiply.h"
#include "../plans.h"
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
    if (op == "positive") return a > 0 ? b : c;
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

// Convolution, relu and pooling two by two, forward and backward: its sums by loops over everything.
template <class T>
void blocks(const Isa& isa, long before) {
    for (long stride : {1, 2})
        for (long width : {6, 17, 40})
            for (bool max : {false, true})
                for (const std::pair<long, long>& size_of : {std::pair<long, long>{3, 1}, {3, 5}, {3, 14}, {1, 1}, {17, 16}}) {
                    const long batch = 2, channels = size_of.first, filters = size_of.second, height = 7, kernel = 3, size = channels * kernel * kernel;
                    Pointwise relu, slope;
                    relu.registers = 2, relu.result = 1, relu.steps = {{op_named("relu"), 1, {0}}};
                    slope.inputs = 2, slope.registers = 5, slope.result = 4, slope.numbers = {0.0};
                    slope.steps = {{op_named("greater"), 3, {0, 2}}, {op_named("select"), 4, {3, 1, 2}}};
                    ConvolutionBlock<T> b;
                    b.batch = batch, b.channels = channels, b.filters = filters, b.activation = &relu, b.pooled_first = max;
                    b.axis[1] = {height, (height + 3 - kernel) / stride + 1, kernel, stride, 1, 1};
                    b.axis[2] = {width, (width + 3 - kernel) / stride + 1, kernel, stride, 1, 1};
                    b.pool.max = max;
                    for (int a : {1, 2}) b.pool.axis[a] = {b.axis[a].out, (b.axis[a].out + before - 2) / 2 + 1, 2, 2, 1, before};
                    b.pool.axis[0] = {1, 1, 1, 1, 1, 0};
                    const long rows = b.axis[1].out, columns = b.axis[2].out, up = b.pool.axis[1].out, across = b.pool.axis[2].out;
                    const std::vector<T> x = normal<T>(batch * channels * height * width), w = normal<T>(filters * size), bias = normal<T>(filters);
                    const std::vector<T> gradient = normal<T>(batch * filters * up * across);
                    std::vector<T> out(gradient.size()), map(batch * filters * rows * columns), largest(out.size());
                    std::vector<Spot<T>> places(out.size());
                    std::vector<T> dx(x.size()), dw(w.size()), db(filters);
                    b.weight = w.data(), b.bias = bias.data();
                    const auto maps = [](auto* data, long c, long y, long z) {
                        return Maps<std::remove_reference_t<decltype(*data)>>{data, c * y * z, y * z, y * z, z, 1};
                    };
                    const Maps<const T> in = maps(x.data(), channels, height, width);
                    Kept<T, Spot<T>> keep;
                    if (max) keep.largest = largest.data(), keep.places = places.data();
                    else keep.map = map.data();
                    convolve<T>(b, forward_plan(b, keep.map != nullptr, isa, 1), in, maps(out.data(), filters, up, across), keep, isa);
                    ConvolutionGradients<T> g;
                    g.out = gradient.data(), g.derivative = &slope, g.in = dx.data(), g.weight = dw.data(), g.bias = db.data();
                    g.kept.map = keep.map, g.kept.largest = keep.largest, g.kept.places = keep.places;
                    convolve_backward<T>(b, backward_plan(b, true, isa, 1), in, g, isa);

                    std::vector<double> right_dx(x.size()), right_dw(w.size()), right_db(filters);
                    const auto each_tap = [&](long y, long x_, const auto& visit) {
                        for (long ky = 0; ky < kernel; ++ky)
                            for (long kx = 0; kx < kernel; ++kx) {
                                const long at_y = y * stride + ky - 1, at_x = x_ * stride + kx - 1;
                                if (at_y >= 0 && at_y < height && at_x >= 0 && at_x < width) visit(at_y * width + at_x, ky * kernel + kx);
                            }
                    };
                    for (long i = 0; i < batch; ++i)
                        for (long f = 0; f < filters; ++f) {
                            std::vector<double> made(rows * columns), slope_of(made.size());
                            for (long y = 0; y < rows; ++y)
                                for (long x_ = 0; x_ < columns; ++x_) {
                                    double sum = bias[f];
                                    for (long c = 0; c < channels; ++c)
                                        each_tap(y, x_, [&](long at, long k) {
                                            sum += (double)x[(i * channels + c) * height * width + at] * w[f * size + c * kernel * kernel + k];
                                        });
                                    made[y * columns + x_] = sum;
                                }
                            for (long y = 0; y < up; ++y)
                                for (long x_ = 0; x_ < across; ++x_) {
                                    const long at = ((i * filters + f) * up + y) * across + x_;
                                    double sum = 0, best = -1e30;
                                    long place = 0, counted = 0;
                                    std::vector<long> seen;
                                    for (long q = 0; q < 4; ++q) {
                                        const long at_y = 2 * y - before + q / 2, at_x = 2 * x_ - before + q % 2;
                                        counted += at_y < rows && at_x < columns;
                                        if (at_y < 0 || at_x < 0 || at_y >= rows || at_x >= columns) continue;
                                        const double value = made[at_y * columns + at_x];
                                        seen.push_back(at_y * columns + at_x);
                                        sum += std::fmax(value, 0);
                                        if (value > best) best = value, place = seen.back();
                                    }
                                    compare<T>(isa.name, "block", out[at], max ? std::fmax(best, 0) : sum / counted, 200);
                                    if (max) slope_of[place] += gradient[at];
                                    else for (long p : seen) slope_of[p] += (double)gradient[at] / counted;
                                }
                            for (long y = 0; y < rows; ++y)
                                for (long x_ = 0; x_ < columns; ++x_) {
                                    const double d = made[y * columns + x_] > 0 ? slope_of[y * columns + x_] : 0;
                                    right_db[f] += d;
                                    for (long c = 0; c < channels; ++c)
                                        each_tap(y, x_, [&](long at, long k) {
                                            right_dx[(i * channels + c) * height * width + at] += d * w[f * size + c * kernel * kernel + k];
                                            right_dw[f * size + c * kernel * kernel + k] += d * x[(i * channels + c) * height * width + at];
                                        });
                                }
                        }
                    for (size_t i = 0; i < x.size(); ++i) compare<T>(isa.name, "block's input gradient", dx[i], right_dx[i], 1000);
                    for (size_t i = 0; i < w.size(); ++i) compare<T>(isa.name, "block's weight gradient", dw[i], right_dw[i], 2000);
                    for (long i = 0; i < filters; ++i) compare<T>(isa.name, "block's bias gradient", db[i], right_db[i], 2000);
                }
}

void all(const Isa& isa) {
    pointwise<float>(isa), pointwise<double>(isa);
    products<float>(isa), products<double>(isa);
    sweeps<float>(isa), sweeps<double>(isa);
    for (long before : {0, 1}) blocks<float>(isa, before), blocks<double>(isa, before);
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
