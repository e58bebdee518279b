// The module pellucid._native: programs in, buffers in, nothing of PyTorch. Everything that Python hands over is checked here
// (of convolution and pooling in bindings_spatial.cpp), so that the rest may trust its sizes.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "array.h"
#include "checks.h"
#include "isa.h"
#include "multiply.h"
#include "program.h"
#include "sweep.h"

namespace nb = nanobind;

namespace avx512 { extern const pellucid::Isa& isa(); }
namespace avx512bf16 { extern void add_pairs(pellucid::Isa&); }
namespace avx2 { extern const pellucid::Isa& isa(); }
namespace baseline { extern const pellucid::Isa& isa(); }

namespace pellucid {

const Isa* chosen = nullptr;

namespace {

bool available(const std::string& name) {
#if defined(PELLUCID_X86)
    if (name == "avx512")
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    if (name == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return name == "baseline";
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> found;
    for (const char* name : {"avx512", "avx2", "baseline"})
        if (available(name)) found.push_back(name);
    return found;
}

void choose(const std::string& name) {
    if (!available(name)) {
        std::string known;
        for (const std::string& s : instruction_sets()) known += (known.empty() ? "" : ", ") + s;
        throw std::invalid_argument("the instruction set '" + name + "' is not one that this processor has; it has " + known);
    }
#if defined(PELLUCID_X86)
    if (name == "avx512") {
        static const Isa found = [] {
            Isa made = avx512::isa();
            if (__builtin_cpu_supports("avx512bf16")) avx512bf16::add_pairs(made);
            return made;
        }();
        chosen = &found;
        return;
    }
    if (name == "avx2") { chosen = &avx2::isa(); return; }
#endif
    chosen = &baseline::isa();
}

bool python_interrupted() {
    nb::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;   // the error stays set, and is thrown once the sweep has ended
}

// kinds as Python writes them
Kind kind_of(const std::string& name) {
    const char* names[] = {"step", "shifted", "swing", "held", "total"};
    for (int i = 0; i < 5; ++i)
        if (name == names[i]) return (Kind)i;
    throw std::invalid_argument("malformed program: the kind '" + name + "' does not exist");
}

using PyPort = std::tuple<int, std::string, int>;                                       // register, kind, buffer
using PyProduct = std::tuple<int, int, bool, std::vector<int>, std::vector<int>>;       // matrix, heads, transposed, sources, destinations
using PyInstruction = std::tuple<std::string, int, std::vector<int>>;                   // op, destination, sources
using PyPhase = std::tuple<std::vector<PyProduct>, std::vector<std::tuple<int, int>>, std::vector<PyInstruction>>;

Plan make(const std::vector<int>& sizes, int letters, int buffers, int matrices, const std::vector<PyPort>& inputs,
          const std::vector<PyPhase>& phases, const std::vector<PyPort>& outputs) {
    Program p;
    p.sizes = sizes;
    p.size_letters = letters;
    p.buffers = buffers;
    p.matrices = matrices;
    for (const auto& [reg, kind, buffer] : inputs) p.inputs.push_back({reg, kind_of(kind), buffer});
    for (const auto& [reg, kind, buffer] : outputs) p.outputs.push_back({reg, kind_of(kind), buffer});
    for (const auto& [products, reduces, instructions] : phases) {
        Phase phase;
        for (const auto& [matrix, heads, transposed, sources, destinations] : products)
            phase.products.push_back({matrix, (int)(transposed ? sources : destinations).size(), heads, transposed, sources, destinations});
        for (const auto& [out, in] : reduces) phase.reduces.push_back({out, in});
        for (const auto& [op, out, in] : instructions) phase.instructions.push_back({op_of(op), out, in});
        p.phases.push_back(std::move(phase));
    }
    return Plan(std::move(p));
}

// What comes besides the buffers of a sweep, as Python writes it.
using PyWindow = std::tuple<MaybeArray, std::vector<std::tuple<int, long>>, long>;      // tensor, (buffer, column), width
using PyProjection = std::tuple<int, Array, Array, MaybeArray>;                         // window, x, matrix, bias
using PyInputGradient = std::tuple<int, Array, Array>;                                  // window, dx, matrix
using PyWeightGradient = std::tuple<int, long, Array, MaybeArray, MaybeArray, int, long>;   // window, column, sum, operand, initial, its window, its column
using PyBiasGradient = std::tuple<int, long, Array>;                                    // window, column, sum

struct PyRun {
    long steps, batch;
    std::vector<long> starts, sizes;
    bool reverse;
    std::vector<MaybeArray> buffers, initials;
    std::vector<Array> matrices;
    std::vector<PyWindow> windows;
    std::vector<PyProjection> projections;
    std::vector<PyInputGradient> input_gradients;
    std::vector<PyWeightGradient> weight_gradients;
    std::vector<PyBiasGradient> bias_gradients;
    int threads;
    bool half;
};

// The axes of a tensor of all steps: (steps, batch, width), or (rows, width) of a ragged sweep.
std::vector<long> steps_of(const PyRun& given, long width) {
    if (given.starts.empty()) return {given.steps, given.batch, width};
    return {given.starts.back(), width};
}

// A tensor of all steps whose rows are evenly apart.
template <class T>
Rows<T> checked_rows(const Array& a, const PyRun& given, long width, const char* what) {
    T* base = checked<T>(a, steps_of(given, width), what);
    if (!given.starts.empty() || given.batch <= 1) return {base, (long)a.stride(0)};
    require(given.steps <= 1 || a.stride(0) == given.batch * a.stride(1), what, " has rows that are unevenly apart");
    return {base, (long)a.stride(1)};
}

template <class T>
Matrix<T> checked_matrix(const Array& a) {
    require(a.ndim() == 2, "a matrix has no two axes");
    require((long)a.shape(0) < most_size && (long)a.shape(1) < most_size && (long)(a.shape(0) * a.shape(1)) < most, "a matrix is too large");
    const T* data = checked<T>(a, {(long)a.shape(0), (long)a.shape(1)}, "a matrix");
    return {data, (long)a.shape(0), (long)a.shape(1), (long)a.stride(0)};
}

template <class T>
void place_port(Sweep<T>& sweep, const PyRun& given, const Port& port, bool output) {
    const Program& p = sweep.plan->program;
    Place<T>& to = sweep.buffers[port.buffer];
    const long size = given.sizes[p.sizes[port.reg]], batch = given.batch;
    const bool vector = p.sizes[port.reg] > one;
    if (to.window >= 0) {
        require(port.kind == Kind::step && vector, "a port in a window is of a wrong kind");
        require(to.column >= 0 && to.column <= sweep.windows[to.window].width - size, "a port lies beside its window");
        return;
    }
    require(given.buffers[port.buffer].has_value(), "a buffer is missing");
    const Array& a = *given.buffers[port.buffer];
    switch (port.kind) {
        case Kind::step:
        case Kind::shifted:
            to.base = checked<T>(a, steps_of(given, size), "a buffer of steps");
            to.time = a.stride(0), to.row = a.stride(given.starts.empty() ? 1 : 0);
            break;
        case Kind::swing:
            to.base = checked<T>(a, {2, batch, size}, "a swinging buffer");
            to.plane = a.stride(0), to.row = a.stride(1);
            break;
        case Kind::held:
            if (a.ndim() == 1) to.base = checked<T>(a, {size}, "a weight");
            else to.base = checked<T>(a, {batch, size}, "a held buffer"), to.row = a.stride(0);
            break;
        case Kind::total:
            to.base = checked<T>(a, {batch, size}, "a total"), to.row = a.stride(0);
            break;
    }
    if (port.kind == Kind::shifted) {
        require(given.initials[port.buffer].has_value(), "a shifted buffer has no initial value");
        const Array& first = *given.initials[port.buffer];
        to.initial = checked<T>(first, {batch, size}, "an initial value");
        to.initial_row = first.stride(0);
        require(vector, "a shifted register is no vector");
    }
    if (!vector && !output) require(to.row == 0 || to.row == 1 || batch <= 1, "numbers of rows do not lie side by side");
    if (!vector && batch <= 1 && to.row > 1) to.row = 1;
    if (!output) return;
    require(to.row >= size || batch <= 1, "rows of an output lie on each other");
    if (port.kind == Kind::step && given.steps > 1 && given.starts.empty())
        require(to.time >= (batch - 1) * to.row + size || (to.time >= size && to.row >= (given.steps - 1) * to.time + size),
                "steps of an output lie on each other");
}

template <class T>
void add_windows(Sweep<T>& sweep, const PyRun& given) {
    for (const auto& [tensor, columns, width] : given.windows) {
        require(width >= 1, "a window has no width");
        require(width < most_size && width * given.batch < most, "a window is too large");
        Window<T> window;
        window.width = window.row = width;
        if (tensor) {
            const Rows<T> rows = checked_rows<T>(*tensor, given, width, "a window");
            require(rows.row >= width, "rows of a window lie on each other");
            window.base = rows.base, window.row = rows.row;
        }
        for (const auto& [buffer, column] : columns) {
            require(buffer >= 0 && buffer < (int)sweep.buffers.size(), "a buffer does not exist");
            require(!given.buffers[buffer], "a buffer in a window is given");
            sweep.buffers[buffer].window = (int)sweep.windows.size();
            sweep.buffers[buffer].column = column;
        }
        sweep.windows.push_back(window);
    }
}

template <class T>
void add_products(Sweep<T>& sweep, const PyRun& given) {
    auto in_window = [&](int window, long column, long count) {
        require(window >= 0 && window < (int)sweep.windows.size(), "a window does not exist");
        require(column >= 0 && column <= sweep.windows[window].width - count, "columns lie beside their window");
    };
    for (const auto& [window, x, matrix, bias] : given.projections) {
        const Matrix<T> m = checked_matrix<T>(matrix);
        in_window(window, 0, m.rows);
        sweep.projections.push_back({window, checked_rows<const T>(x, given, m.columns, "an input"), m,
                                     bias ? checked<T>(*bias, {m.rows}, "a bias") : nullptr});
    }
    for (const auto& [window, dx, matrix] : given.input_gradients) {
        const Matrix<T> m = checked_matrix<T>(matrix);
        in_window(window, 0, m.rows);
        const Rows<T> rows = checked_rows<T>(dx, given, m.columns, "an input's gradient");
        require(rows.row >= m.columns || given.steps * given.batch <= 1, "rows of an input's gradient lie on each other");
        sweep.input_gradients.push_back({window, rows, m});
    }
    for (const auto& [window, column, sum, operand, initial, operand_window, operand_column] : given.weight_gradients) {
        const Matrix<T> m = checked_matrix<T>(sum);
        in_window(window, column, m.rows);
        require(m.rows <= 1 || m.row >= m.columns, "rows of a weight's gradient lie on each other");
        WeightGradient<T> q{window, column, const_cast<T*>(m.data), m.rows, m.columns, m.row, {}, nullptr, 0, -1, operand_column};
        if (operand) {
            require(operand->ndim() >= 1, "an operand has a wrong number of axes");
            const long width = operand->shape(operand->ndim() - 1);
            require(operand_column >= 0 && operand_column <= width - m.columns, "columns lie beside their operand");
            q.operand = checked_rows<const T>(*operand, given, width, "an operand");
            if (initial) q.initial = checked<T>(*initial, {given.batch, width}, "an initial value"), q.initial_row = initial->stride(0);
        } else {
            in_window(operand_window, operand_column, m.columns);
            q.operand_window = operand_window;
        }
        sweep.weight_gradients.push_back(q);
    }
    for (const auto& [window, column, sum] : given.bias_gradients) {
        const long count = sum.size();
        in_window(window, column, count);
        sweep.bias_gradients.push_back({window, column, checked<T>(sum, {count}, "a bias's gradient"), count});
    }
}

template <class T>
Sweep<T> checked_sweep(const Plan& plan, const PyRun& given) {
    const Program& p = plan.program;
    Sweep<T> sweep;
    sweep.plan = &plan;
    sweep.steps = given.steps;
    sweep.batch = given.batch;
    sweep.sizes = given.sizes;
    sweep.reverse = given.reverse;
    sweep.starts = given.starts;
    sweep.threads = given.threads;
    sweep.half = given.half;
    sweep.interrupted = python_interrupted;
    sweep.buffers.resize(given.buffers.size());
    add_windows(sweep, given);
    for (const Port& port : p.inputs) place_port(sweep, given, port, false);
    for (const Port& port : p.outputs) place_port(sweep, given, port, true);
    for (const Array& a : given.matrices) sweep.matrices.push_back(checked_matrix<T>(a));
    for (const Phase& phase : p.phases)
        for (const Product& q : phase.products) {
            const Matrix<T>& m = sweep.matrices[q.matrix];
            const long in = given.sizes[p.sizes[q.sources[0]]], out = given.sizes[p.sizes[q.destinations[0]]];
            const long rows = q.transposed ? in : out, columns = q.transposed ? out : in;
            require(m.rows == rows * q.parts && m.columns * q.heads == columns && rows % q.heads == 0, "a matrix has a wrong shape");
        }
    add_products(sweep, given);
    return sweep;
}

void check_counts(const Plan& plan, const PyRun& given) {
    const Program& p = plan.program;
    require(given.steps >= 0 && given.batch >= 0, "steps or batch is negative");
    require(given.batch < most_batch && given.steps < most_size, "there are more steps or sequences than the engine counts");
    require((int)given.sizes.size() == p.size_letters && given.sizes[number] == 1 && given.sizes[one] == 1, "sizes do not fit the program");
    for (long s : given.sizes) {
        require(s >= 1, "a size is not positive");
        require(s < most_size && s * given.batch < most, "a size is too large");
    }
    require(given.threads >= 1, "at least one thread is needed");
    require((int)given.buffers.size() == p.buffers && given.initials.size() == given.buffers.size(), "a wrong number of buffers");
    require((int)given.matrices.size() == p.matrices, "a wrong number of matrices");
    if (given.starts.empty()) return;
    require((long)given.starts.size() == given.steps + 1 && given.starts[0] == 0, "the rows' starts do not fit the steps");
    for (long t = 0, most_rows = given.batch; t < given.steps; most_rows = given.starts[t + 1] - given.starts[t], ++t)
        require(given.starts[t + 1] >= given.starts[t] && given.starts[t + 1] - given.starts[t] <= most_rows, "a step has more rows than the one before");
}

bool multiplies_bfloat16() { return chosen->pairs.pair == 2; }

void check_half(bool half, bool twice) {
    require(!half || multiplies_bfloat16(), "this processor, with the instruction set in use, does not multiply bfloat16");
    require(!half || !twice, "products of bfloat16 have float32 around them, not float64");
}

template <class T>
bool run_typed(const Plan& plan, const PyRun& given) {
    const Sweep<T> sweep = checked_sweep<T>(plan, given);
    nb::gil_scoped_release release;
    return run<T>(sweep, *chosen);
}

void run_any(const Plan& plan, long steps, long batch, std::vector<long> starts, std::vector<long> sizes, bool reverse,
             std::vector<MaybeArray> buffers, std::vector<MaybeArray> initials, std::vector<Array> matrices,
             std::vector<PyWindow> windows, std::vector<PyProjection> projections, std::vector<PyInputGradient> input_gradients,
             std::vector<PyWeightGradient> weight_gradients, std::vector<PyBiasGradient> bias_gradients, bool twice, int threads, bool half) {
    const PyRun given{steps, batch, std::move(starts), std::move(sizes), reverse, std::move(buffers), std::move(initials), std::move(matrices),
                      std::move(windows), std::move(projections), std::move(input_gradients), std::move(weight_gradients),
                      std::move(bias_gradients), std::min(threads, most_threads), half};
    check_counts(plan, given);
    check_half(half, twice);
    const bool ended = twice ? run_typed<double>(plan, given) : run_typed<float>(plan, given);
    if (!ended) throw nb::python_error();
}

// One step at a time. The arrays must outlive it.
class PyStepper {
public:
    PyStepper(const Plan& plan, long batch, std::vector<long> sizes, std::vector<MaybeArray> buffers, std::vector<Array> matrices,
              std::vector<PyWindow> windows, std::vector<PyProjection> projections, bool twice, int threads, bool half)
        : batch_(batch) {
        require(batch >= 1, "a stream has no sequences");
        require(projections.size() == 1, "a stream has another number of projections than one");
        for (const auto* ports : {&plan.program.inputs, &plan.program.outputs})
            for (const Port& port : *ports) require(port.kind != Kind::shifted, "a stream's states do not swing");
        std::vector<MaybeArray> initials(buffers.size());
        const PyRun given{1, batch, {}, std::move(sizes), false, std::move(buffers), std::move(initials), std::move(matrices),
                          std::move(windows), std::move(projections), {}, {}, {}, std::min(threads, most_threads), half};
        check_counts(plan, given);
        check_half(half, twice);
        if (twice) make(twice_, plan, given);
        else make(single_, plan, given);
    }

    // x (batch, columns); returns the plane in which the states now are.
    long step(const Array& x) { return twice_ ? step_typed(*twice_, x) : step_typed(*single_, x); }

private:
    long batch_, columns_ = 0;
    std::unique_ptr<Stepper<float>> single_;
    std::unique_ptr<Stepper<double>> twice_;

    template <class T>
    void make(std::unique_ptr<Stepper<T>>& stepper, const Plan& plan, const PyRun& given) {
        const Sweep<T> sweep = checked_sweep<T>(plan, given);
        columns_ = sweep.projections[0].matrix.columns;
        nb::gil_scoped_release release;
        stepper = std::make_unique<Stepper<T>>(sweep, *chosen);
    }

    template <class T>
    long step_typed(Stepper<T>& stepper, const Array& x) {
        const Rows<const T> rows{checked<T>(x, {batch_, columns_}, "an input"), x.stride(0)};
        nb::gil_scoped_release release;
        stepper.step(rows);
        return stepper.done() & 1;
    }
};

template <class T>
void multiply_typed(const Array& a, const Array& b, const Array& c, bool add, const std::optional<Array>& bias, int threads) {
    require(a.ndim() == 2 && b.ndim() == 2 && c.ndim() == 2, "a product takes matrices");
    for (const Array* x : {&a, &b, &c}) {
        require(x->size() == 0 || (uintptr_t)x->data() % alignof(T) == 0, "a matrix begins between two numbers of its type");
        require((long)x->shape(0) < most_size && (long)x->shape(1) < most_size, "a matrix is too large");
        require(x->holds<T>(), "matrices have different number types");
        require(x->stride(0) >= 0 && x->stride(1) >= 0, "a matrix has a negative stride");
    }
    Gemm<T> g;
    g.m = a.shape(0), g.k = a.shape(1), g.n = b.shape(1);
    require((long)b.shape(0) == g.k && (long)c.shape(0) == g.m && (long)c.shape(1) == g.n, "shapes of a product do not fit");
    g.a = (const T*)a.data(), g.a_row = a.stride(0), g.a_column = a.stride(1);
    g.b = (const T*)b.data(), g.b_row = b.stride(0), g.b_column = b.stride(1);
    g.c = (T*)c.data(), g.c_row = c.stride(0);
    if (g.k == 1 && g.a_column != 1) g.a_column = 1;
    if (g.m == 1 && g.a_column != 1) g.a_row = 1;
    require(g.a_column == 1 || g.a_row == 1, "the left matrix is contiguous along neither axis");
    require(g.n == 1 || c.stride(1) == 1, "the result is not contiguous along its rows");
    require(g.m == 1 || g.c_row >= g.n, "rows of the result lie on each other");
    g.add = add;
    if (bias) g.bias = checked<T>(*bias, {g.n}, "a bias");
    require(threads >= 1, "at least one thread is needed");
    nb::gil_scoped_release release;
    multiply<T>(g, *chosen, std::min(threads, most_threads));
}

void multiply_any(const Array& a, const Array& b, const Array& c, bool add, const std::optional<Array>& bias, int threads) {
    if (a.holds<float>()) multiply_typed<float>(a, b, c, add, bias, threads);
    else multiply_typed<double>(a, b, c, add, bias, threads);
}

template <class T>
void apply_typed(const std::string& op, const Array& in, const Array& out) {
    require((long)in.size() < most_size, "an operand is too large");
    const T* from = checked<T>(in, {(long)in.size()}, "an operand");
    T* to = checked<T>(out, {(long)in.size()}, "a result");
    const int number_of_op = op_of(op);
    require(op_arity[number_of_op] == 1, "an operation of one operand is needed");
    const Call<T> call{to, 0, {from}, {0}, 1, (int)in.size()};
    chosen->kernels<T>().pointwise[number_of_op][0](call);
}

void apply(const std::string& op, const Array& in, const Array& out) {
    if (in.holds<float>()) apply_typed<float>(op, in, out);
    else apply_typed<double>(op, in, out);
}

}  // namespace
}  // namespace pellucid

NB_MODULE(_native, m) {
    using namespace pellucid;
    nb::set_leak_warnings(false);   // programs live as long as the cells that they are made from
    m.doc() = "Pellucid's engine: executes the programs of recurrent cells, convolution and pooling.";
    const char* wanted = std::getenv("PELLUCID_ISA");
    choose(wanted && *wanted ? wanted : instruction_sets().front());
    Array::require_torch();
    nb::class_<Plan>(m, "Program")
        .def("__init__", [](Plan* self, const std::vector<int>& sizes, int letters, int buffers, int matrices,
                            const std::vector<PyPort>& inputs, const std::vector<PyPhase>& phases,
                            const std::vector<PyPort>& outputs) {
            new (self) Plan(make(sizes, letters, buffers, matrices, inputs, phases, outputs));
        })
        .def("run", &run_any, nb::arg("steps"), nb::arg("batch"), nb::arg("starts"), nb::arg("sizes"), nb::arg("reverse"),
             nb::arg("buffers"), nb::arg("initials"), nb::arg("matrices"), nb::arg("windows"), nb::arg("projections"),
             nb::arg("input_gradients"), nb::arg("weight_gradients"), nb::arg("bias_gradients"), nb::arg("twice"), nb::arg("threads"),
             nb::arg("half") = false);
    nb::class_<PyStepper>(m, "Stepper")
        .def(nb::init<const Plan&, long, std::vector<long>, std::vector<MaybeArray>, std::vector<Array>, std::vector<PyWindow>,
                      std::vector<PyProjection>, bool, int, bool>(),
             nb::keep_alive<1, 2>(), nb::arg("program"), nb::arg("batch"), nb::arg("sizes"), nb::arg("buffers"), nb::arg("matrices"),
             nb::arg("windows"), nb::arg("projections"), nb::arg("twice"), nb::arg("threads"), nb::arg("half") = false)
        .def("step", &PyStepper::step);
    add_spatial(m);
    m.def("multiply", &multiply_any, nb::arg("a"), nb::arg("b"), nb::arg("c"), nb::arg("add") = false,
          nb::arg("bias") = nb::none(), nb::arg("threads") = 1);
    m.def("apply", &apply, "One pointwise operation on a vector; for measuring its error.");
    m.def("instruction_sets", &instruction_sets, "What this processor has, best first.");
    m.def("instruction_set", [] { return std::string(chosen->name); }, "The one in use.");
    m.def("multiplies_bfloat16", &multiplies_bfloat16, "Whether the engine has products of bfloat16, with the instruction set in use.");
    m.def("choose", &choose, "Use another instruction set from here on.");
}
