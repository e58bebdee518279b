// The module pellucid._native: programs in, buffers in, nothing of PyTorch. Everything that Python hands over is checked
// here, so that the rest may trust its sizes.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "isa.h"
#include "program.h"
#include "sweep.h"

namespace nb = nanobind;

namespace avx512 { extern const pellucid::Isa& isa(); }
namespace avx2 { extern const pellucid::Isa& isa(); }
namespace baseline { extern const pellucid::Isa& isa(); }

namespace pellucid {
namespace {

using Array = nb::ndarray<nb::device::cpu>;

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

const Isa* chosen = nullptr;

void choose(const std::string& name) {
    if (!available(name)) {
        std::string known;
        for (const std::string& s : instruction_sets()) known += (known.empty() ? "" : ", ") + s;
        throw std::invalid_argument("the instruction set '" + name + "' is not one that this processor has; it has " + known);
    }
#if defined(PELLUCID_X86)
    if (name == "avx512") { chosen = &avx512::isa(); return; }
    if (name == "avx2") { chosen = &avx2::isa(); return; }
#endif
    chosen = &baseline::isa();
}

bool python_interrupted() {
    nb::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;   // the error stays set, and is thrown once the sweep has ended
}

void require(bool condition, const std::string& what) {
    if (!condition) throw std::invalid_argument(what);
}

template <class T>
T* checked(const Array& a, const std::vector<long>& shape, const char* what) {
    require(a.dtype() == nb::dtype<T>(), std::string(what) + " has another number type than the rest");
    require(a.ndim() == shape.size(), std::string(what) + " has a wrong number of axes");
    bool empty = false;
    for (size_t i = 0; i < shape.size(); ++i) {
        require((long)a.shape(i) == shape[i], std::string(what) + " has a wrong shape");
        empty = empty || shape[i] == 0;
    }
    require(empty || a.stride(shape.size() - 1) == 1 || shape.back() == 1, std::string(what) + " is not contiguous along its last axis");
    for (size_t i = 0; i < shape.size(); ++i) require(a.stride(i) >= 0, std::string(what) + " has a negative stride");
    return static_cast<T*>(const_cast<void*>(static_cast<const void*>(a.data())));
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

int op_of(const std::string& name) {
    for (int i = 0; i < op_count; ++i)
        if (name == op_names[i]) return i;
    throw std::invalid_argument("malformed program: the operation '" + name + "' does not exist");
}

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

template <class T>
bool run_typed(const Plan& plan, long steps, long batch, const std::vector<long>& sizes, bool reverse, long before,
               const std::vector<Array>& buffers, const std::vector<std::optional<Array>>& initials,
               const std::vector<Array>& matrices, int threads) {
    const Program& p = plan.program;
    Sweep<T> sweep;
    sweep.plan = &plan;
    sweep.steps = steps;
    sweep.batch = batch;
    sweep.sizes = sizes;
    sweep.reverse = reverse;
    sweep.before = before;
    sweep.threads = threads;
    sweep.interrupted = python_interrupted;
    sweep.buffers.resize(buffers.size());
    auto place = [&](const Port& port, bool output) {
        const Array& a = buffers[port.buffer];
        Place<T>& to = sweep.buffers[port.buffer];
        const long size = sizes[p.sizes[port.reg]];
        const bool vector = p.sizes[port.reg] > one;
        switch (port.kind) {
            case Kind::step:
            case Kind::shifted:
                to.base = checked<T>(a, {steps, batch, size}, "a buffer of steps");
                to.time = a.stride(0), to.row = a.stride(1);
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
            require(initials[port.buffer].has_value(), "a shifted buffer has no initial value");
            const Array& first = *initials[port.buffer];
            to.initial = checked<T>(first, {batch, size}, "an initial value");
            to.initial_row = first.stride(0);
            require(vector, "a shifted register is no vector");
        }
        if (!vector && !output) require(to.row == 0 || to.row == 1 || batch <= 1, "numbers of rows do not lie side by side");
        if (!vector && batch <= 1 && to.row > 1) to.row = 1;
        if (output) require(to.row >= size || batch <= 1, "rows of an output lie on each other");
    };
    for (const Port& port : p.inputs) place(port, false);
    for (const Port& port : p.outputs) place(port, true);
    for (const Array& a : matrices) {
        require(a.ndim() == 2, "a matrix has no two axes");
        const T* data = checked<T>(a, {(long)a.shape(0), (long)a.shape(1)}, "a matrix");
        sweep.matrices.push_back({data, (long)a.shape(0), (long)a.shape(1), (long)a.stride(0)});
    }
    for (const Phase& phase : p.phases)
        for (const Product& q : phase.products) {
            const Matrix<T>& m = sweep.matrices[q.matrix];
            const long in = sizes[p.sizes[q.sources[0]]], out = sizes[p.sizes[q.destinations[0]]];
            const long rows = q.transposed ? in : out, columns = q.transposed ? out : in;
            require(m.rows == rows * q.parts && m.columns * q.heads == columns && rows % q.heads == 0, "a matrix has a wrong shape");
        }
    nb::gil_scoped_release release;
    return run<T>(sweep, *chosen);
}

void run_any(const Plan& plan, long steps, long batch, const std::vector<long>& sizes, bool reverse, long before,
             const std::vector<Array>& buffers, const std::vector<std::optional<Array>>& initials,
             const std::vector<Array>& matrices, int threads) {
    const Program& p = plan.program;
    require(steps >= 0 && batch >= 0, "steps or batch is negative");
    require((int)sizes.size() == p.size_letters && sizes[number] == 1 && sizes[one] == 1, "sizes do not fit the program");
    for (long s : sizes) require(s >= 1, "a size is not positive");
    require((int)buffers.size() == p.buffers && initials.size() == buffers.size(), "a wrong number of buffers");
    require((int)matrices.size() == p.matrices, "a wrong number of matrices");
    require(before == 1 || before == -1, "before must be 1 or -1");
    require(!buffers.empty(), "a program without buffers");
    const bool single = buffers[0].dtype() == nb::dtype<float>();
    const bool ended = single ? run_typed<float>(plan, steps, batch, sizes, reverse, before, buffers, initials, matrices, threads)
                              : run_typed<double>(plan, steps, batch, sizes, reverse, before, buffers, initials, matrices, threads);
    if (!ended) throw nb::python_error();
}

template <class T>
void multiply_typed(const Array& a, const Array& b, const Array& c, bool add, const std::optional<Array>& bias, int threads) {
    require(a.ndim() == 2 && b.ndim() == 2 && c.ndim() == 2, "a product takes matrices");
    for (const Array* x : {&a, &b, &c}) {
        require(x->dtype() == nb::dtype<T>(), "matrices have different number types");
        require(x->stride(0) >= 0 && x->stride(1) >= 0, "a matrix has a negative stride");
    }
    Gemm<T> g;
    g.m = a.shape(0), g.k = a.shape(1), g.n = b.shape(1);
    require((long)b.shape(0) == g.k && (long)c.shape(0) == g.m && (long)c.shape(1) == g.n, "shapes of a product do not fit");
    g.a = (const T*)a.data(), g.a_row = a.stride(0), g.a_column = a.stride(1);
    g.b = (const T*)b.data(), g.b_row = b.stride(0), g.b_column = b.stride(1);
    g.c = (T*)const_cast<void*>((const void*)c.data()), g.c_row = c.stride(0);
    if (g.k == 1 && g.a_column != 1) g.a_column = 1;
    if (g.m == 1 && g.a_column != 1) g.a_row = 1;
    require(g.a_column == 1 || g.a_row == 1, "the left matrix is contiguous along neither axis");
    require(g.n == 1 || c.stride(1) == 1, "the result is not contiguous along its rows");
    require(g.m == 1 || g.c_row >= g.n, "rows of the result lie on each other");
    g.add = add;
    if (bias) g.bias = checked<T>(*bias, {g.n}, "a bias");
    g.threads = threads;
    nb::gil_scoped_release release;
    multiply<T>(g, *chosen);
}

void multiply_any(const Array& a, const Array& b, const Array& c, bool add, const std::optional<Array>& bias, int threads) {
    if (a.dtype() == nb::dtype<float>()) multiply_typed<float>(a, b, c, add, bias, threads);
    else multiply_typed<double>(a, b, c, add, bias, threads);
}

template <class T>
void apply_typed(const std::string& op, const Array& in, const Array& out) {
    const T* from = checked<T>(in, {(long)in.size()}, "an operand");
    T* to = checked<T>(out, {(long)in.size()}, "a result");
    const int number_of_op = op_of(op);
    require(op_arity[number_of_op] == 1, "an operation of one operand is needed");
    const Call<T> call{to, 0, {from}, {0}, 1, (int)in.size()};
    chosen->kernels<T>().pointwise[number_of_op][0](call);
}

void apply(const std::string& op, const Array& in, const Array& out) {
    if (in.dtype() == nb::dtype<float>()) apply_typed<float>(op, in, out);
    else apply_typed<double>(op, in, out);
}

}  // namespace
}  // namespace pellucid

NB_MODULE(_native, m) {
    using namespace pellucid;
    nb::set_leak_warnings(false);   // programs live as long as the cells that they are made from
    m.doc() = "Pellucid's engine: executes the programs of recurrent cells.";
    const char* wanted = std::getenv("PELLUCID_ISA");
    choose(wanted && *wanted ? wanted : instruction_sets().front());
    nb::class_<Plan>(m, "Program")
        .def("__init__", [](Plan* self, const std::vector<int>& sizes, int letters, int buffers, int matrices,
                            const std::vector<PyPort>& inputs, const std::vector<PyPhase>& phases,
                            const std::vector<PyPort>& outputs) {
            new (self) Plan(make(sizes, letters, buffers, matrices, inputs, phases, outputs));
        })
        .def("run", &run_any);
    m.def("multiply", &multiply_any, nb::arg("a"), nb::arg("b"), nb::arg("c"), nb::arg("add") = false,
          nb::arg("bias") = nb::none(), nb::arg("threads") = 1);
    m.def("apply", &apply, "One pointwise operation on a vector; for measuring its error.");
    m.def("instruction_sets", &instruction_sets, "What this processor has, best first.");
    m.def("instruction_set", [] { return std::string(chosen->name); }, "The one in use.");
    m.def("choose", &choose, "Use another instruction set from here on.");
}
