// The module pellucid._native: programs in, buffers in, nothing of PyTorch. Everything that Python hands over is checked
// here, so that the rest may trust its sizes.

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
#include "convolution.h"
#include "isa.h"
#include "multiply.h"
#include "pooling.h"
#include "program.h"
#include "sweep.h"

namespace nb = nanobind;

namespace avx512 { extern const pellucid::Isa& isa(); }
namespace avx512bf16 { extern void add_pairs(pellucid::Isa&); }
namespace avx2 { extern const pellucid::Isa& isa(); }
namespace baseline { extern const pellucid::Isa& isa(); }

namespace pellucid {
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

const Isa* chosen = nullptr;

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

void require(bool condition, const std::string& what) {
    if (!condition) throw std::invalid_argument(what);
}

// Counts of numbers are products of sizes: below this no product of what is checked leaves the range of `long`.
constexpr long most = 1L << 40, most_batch = 1L << 24, most_size = 1L << 31;
constexpr int most_threads = 1024;      // more are not started: OpenMP ends the process where the system has no more

template <class T>
T* checked(const Array& a, const std::vector<long>& shape, const char* what) {
    require(a.holds<T>(), std::string(what) + " has another number type than the rest");
    require(a.ndim() == shape.size(), std::string(what) + " has a wrong number of axes");
    bool empty = false;
    for (size_t i = 0; i < shape.size(); ++i) {
        require((long)a.shape(i) == shape[i], std::string(what) + " has a wrong shape");
        empty = empty || shape[i] == 0;
    }
    require(empty || a.stride(shape.size() - 1) == 1 || shape.back() == 1, std::string(what) + " is not contiguous along its last axis");
    for (size_t i = 0; i < shape.size(); ++i) require(a.stride(i) >= 0, std::string(what) + " has a negative stride");
    require(empty || (uintptr_t)a.data() % alignof(T) == 0, std::string(what) + " begins between two numbers of its type");
    return static_cast<T*>(a.data());
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

using MaybeArray = std::optional<Array>;

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
    require(given.steps <= 1 || a.stride(0) == given.batch * a.stride(1), std::string(what) + " has rows that are unevenly apart");
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

// Convolution and pooling. Axes come as (in, out, kernel, stride, dilation, padding before, padding after), one to three of them.

using PyAxis = std::tuple<long, long, long, long, long, long, long>;
using PyStep = std::tuple<std::string, int, std::vector<int>>;                              // op, destination, sources
using PyPointwise = std::tuple<int, std::vector<double>, std::vector<PyStep>>;              // inputs, numbers, steps: the last one's is the result
using MaybePlaces = std::optional<nb::ndarray<nb::device::cpu, nb::c_contig>>;           // of int32 beside float32, of int64 beside float64
using PyPool = std::tuple<bool, std::vector<PyAxis>, bool, long>;                           // max, axes, whether padding counts, divisor

// Whether all are at least 0 and below size: no sign bit in what any of them lacks of either.
template <class Place>
bool all_below(const Place* places, long count, long size) {
    const Place last = (Place)(size - 1);
    Place signs = 0;
    for (long i = 0; i < count; ++i) signs |= places[i] < 0 ? places[i] : (Place)(last - places[i]);
    return signs >= 0;
}

Pointwise checked_pointwise(const PyPointwise& given, int inputs) {
    Pointwise p;
    const auto& [count, numbers, steps] = given;
    require(count == inputs, "malformed program: a wrong number of inputs");
    require(!steps.empty() && steps.size() < 1000 && numbers.size() < 1000, "malformed program: it has no steps, or too many");
    p.inputs = count;
    p.numbers = numbers;
    const int first = count + (int)numbers.size();
    p.registers = first + (int)steps.size();
    p.result = p.registers - 1;
    for (size_t i = 0; i < steps.size(); ++i) {
        const auto& [name, out, in] = steps[i];
        Pointwise::Step step{op_of(name), out, {}};
        require(step.op != op_named("accumulate"), "malformed program: an operation that adds to its result");
        require(out == first + (int)i, "malformed program: registers are not written in their order");
        require((int)in.size() == op_arity[step.op], "malformed program: a wrong number of operands");
        for (size_t k = 0; k < in.size(); ++k) {
            require(in[k] >= 0 && in[k] < out, "malformed program: a register is read before it is written");
            step.in[k] = in[k];
        }
        p.steps.push_back(step);
    }
    return p;
}

void place_axes(const std::vector<PyAxis>& given, Axis (&axis)[3], long* after) {
    require(given.size() >= 1 && given.size() <= 3, "windows slide along one to three axes");
    for (size_t i = 0; i < given.size(); ++i) {
        const size_t to = 3 - given.size() + i;
        Axis& a = axis[to];
        long behind;
        std::tie(a.in, a.out, a.kernel, a.stride, a.dilation, a.before, behind) = given[i];
        for (long v : {a.in, a.out, a.kernel, a.stride, a.dilation}) require(v >= 1 && v < most_size, "a size of a window is out of range");
        require(a.before >= 0 && behind >= 0 && a.before < most_size && behind < most_size, "a padding is out of range");
        require(a.kernel * a.dilation < most_size && a.out * a.stride < most_size, "a window is too large");
        if (after) after[to] = behind;
    }
    long volume = 1;
    for (const Axis& a : axis) {
        require(a.in + a.before < most_size / volume && a.out < most_size / volume, "a feature map is too large");
        volume *= std::max(a.in + a.before, a.out);
    }
}

Pool checked_pool(const PyPool& given) {
    Pool pool;
    std::vector<PyAxis> axes;
    std::tie(pool.max, axes, pool.counts_padding, pool.divisor) = given;
    place_axes(axes, pool.axis, pool.after);
    for (int a = 0; a < 3; ++a) {
        const Axis& x = pool.axis[a];
        require(x.first(x.out - 1) < x.in && x.first(0) + x.span() > 0, "a window lies beside its map");
    }
    return pool;
}

// A tensor (batch, channels, sizes), of which no two numbers lie on each other if it is written.
template <class T>
Maps<T> checked_maps(const Array& a, long batch, long channels, const long (&sizes)[3], size_t axes, bool written, const char* what) {
    using Number = std::remove_const_t<T>;
    require(a.holds<Number>(), std::string(what) + " has another number type than the rest");
    require(a.ndim() == axes + 2, std::string(what) + " has a wrong number of axes");
    bool fits = a.shape(0) == batch && a.shape(1) == channels, empty = a.size() == 0;
    for (size_t i = 0; i < axes; ++i) fits = fits && a.shape(2 + i) == sizes[3 - axes + i];
    require(fits, std::string(what) + " has a wrong shape");
    require(empty || (uintptr_t)a.data() % alignof(T) == 0, std::string(what) + " begins between two numbers of its type");
    std::vector<std::pair<long, long>> by_stride;
    for (size_t i = 0; i < a.ndim(); ++i) {
        require(a.stride(i) >= 0, std::string(what) + " has a negative stride");
        if (a.shape(i) > 1) by_stride.emplace_back(a.stride(i), a.shape(i));
    }
    std::sort(by_stride.begin(), by_stride.end());
    long reach = 1;
    for (const auto& [stride, count] : by_stride) {
        require(!written || stride >= reach, std::string(what) + " has numbers that lie on each other");
        reach = stride * count;
    }
    Maps<T> m;
    m.data = static_cast<T*>(a.data());
    m.image = a.stride(0), m.channel = a.stride(1);
    long* steps[3] = {&m.z, &m.y, &m.x};
    for (size_t i = 0; i < axes; ++i) *steps[3 - axes + i] = a.stride(2 + i);
    if (axes > 0 && a.shape(axes + 1) == 1) m.x = 1;
    return m;
}

// What is the same in every call: the windows, the activation and the pooling.
class PyConvolution {
public:
    PyConvolution(const std::vector<PyAxis>& axes, long groups, long channels, long filters, const std::string& border, double border_value,
                  const std::optional<PyPointwise>& activation, const std::optional<PyPointwise>& derivative, bool pooled_first,
                  const std::optional<PyPool>& pool)
        : axes_(axes.size()), value_(border_value) {
        place_axes(axes, axis_, nullptr);
        for (const Axis& a : axis_) require(a.first(a.out - 1) + a.span() < most_size, "a window is too large");
        const char* borders[] = {"zeros", "reflect", "replicate", "circular"};
        const auto* found = std::find(std::begin(borders), std::end(borders), border);
        require(found != std::end(borders), "the padding '" + border + "' does not exist");
        border_ = (Border)(found - borders);
        require(groups >= 1 && channels >= 1 && filters >= 1, "a convolution has no channels or no filters");
        require(groups < most_size && channels < most_size && filters < most_size, "a convolution has too many channels or filters");
        groups_ = groups, channels_ = channels, filters_ = filters;
        // Places in a tile, and in one image's gradients, are counted in 31 bits.
        double input = 1, map = 1, taps = 1;
        for (const Axis& a : axis_) {
            const double reach = (double)(a.span() - 1) / a.stride + 1;
            input *= (a.out + reach) * std::min(a.stride, a.kernel), map *= a.out + reach, taps *= a.kernel;
        }
        require(input * channels < 1e9 && 2 * map * filters < 1e9 && taps * channels * filters * groups < 1e9, "one image of this convolution is too large");
        for (int a = 0; a < 3; ++a) pool_.axis[a].in = pool_.axis[a].out = axis_[a].out;
        if (pool) pool_ = checked_pool(*pool), require(std::get<1>(*pool).size() == axes_, "the pooling has a wrong number of axes");
        for (int a = 0; a < 3; ++a) require(pool_.axis[a].in == axis_[a].out, "the pooling's input is not the convolution's result");
        pooled_first_ = pooled_first;
        require(!pool || !pool_.trivial(), "a pooling of windows of one number is none");
        require(!pooled_first || (pool && pool_.max), "only a maximum can be taken before the activation");
        require(pooled_first || activation || !pool || !pool_.max, "without an activation the maximum is taken first");
        require(activation.has_value() == derivative.has_value(), "an activation and its derivative come together");
        if (activation) activation_ = checked_pointwise(*activation, 1), derivative_ = checked_pointwise(*derivative, 2);
    }

    void run(const Array& x, const Array& weight, const MaybeArray& bias, const Array& out, const MaybeArray& map, const MaybeArray& largest,
             const MaybePlaces& places, int threads) const {
        if (x.holds<float>()) run_typed<float>(x, weight, bias, out, map, largest, places, threads);
        else run_typed<double>(x, weight, bias, out, map, largest, places, threads);
    }

    void backward(const Array& x, const Array& weight, const MaybeArray& map, const MaybeArray& largest, const MaybePlaces& places,
                  const Array& gradient, const MaybeArray& dx, const MaybeArray& dweight, const MaybeArray& dbias, int threads) const {
        if (x.holds<float>()) backward_typed<float>(x, weight, map, largest, places, gradient, dx, dweight, dbias, threads);
        else backward_typed<double>(x, weight, map, largest, places, gradient, dx, dweight, dbias, threads);
    }

private:
    size_t axes_;
    Axis axis_[3];
    long groups_, channels_, filters_;
    Border border_;
    double value_;
    std::optional<Pointwise> activation_, derivative_;
    bool pooled_first_;
    Pool pool_;

    template <class T>
    T* whole(const Array& a, std::vector<long> shape, const char* what) const {
        T* data = checked<T>(a, shape, what);
        long step = 1;
        for (size_t i = shape.size(); i-- > 0; step *= shape[i])
            require(shape[i] <= 1 || a.stride(i) == step || a.size() == 0, std::string(what) + " is not contiguous");
        return data;
    }

    std::vector<long> shape(long batch, long channels, const Axis (&axis)[3], bool out) const {
        std::vector<long> found{batch, channels};
        for (size_t i = 3 - axes_; i < 3; ++i) found.push_back(out ? axis[i].out : axis[i].in);
        return found;
    }

    std::vector<long> weight_shape() const {
        std::vector<long> found{groups_ * filters_, channels_};
        for (size_t i = 3 - axes_; i < 3; ++i) found.push_back(axis_[i].kernel);
        return found;
    }

    template <class T>
    ConvolutionBlock<T> block(const Array& x, const Array& weight, const MaybeArray& bias, Maps<const T>& in) const {
        require(x.ndim() == axes_ + 2, "an input has a wrong number of axes");
        ConvolutionBlock<T> b;
        b.batch = x.shape(0);
        require(b.batch < most_batch, "there are more images than the engine counts");
        b.groups = groups_, b.channels = channels_, b.filters = filters_;
        std::copy_n(axis_, 3, b.axis);
        b.border = border_;
        b.border_value = (T)value_;
        b.weight = whole<T>(weight, weight_shape(), "a weight");
        if (bias) b.bias = whole<T>(*bias, {groups_ * filters_}, "a bias");
        b.activation = activation_ ? &*activation_ : nullptr;
        b.pooled_first = pooled_first_;
        b.pool = pool_;
        in = checked_maps<const T>(x, b.batch, groups_ * channels_, {axis_[0].in, axis_[1].in, axis_[2].in}, axes_, false, "an input");
        return b;
    }

    // What is kept for the backward pass, which may be nothing at all; if it is to be read, all that is needed.
    template <class T, class Kept>
    Kept kept(long batch, const MaybeArray& map, const MaybeArray& largest, const MaybePlaces& places, bool read) const {
        const long all = groups_ * filters_;
        Kept k;
        if (map) k.map = whole<T>(*map, shape(batch, all, axis_, true), "a feature map");
        if (largest) k.largest = whole<T>(*largest, shape(batch, all, pool_.axis, true), "the largest numbers");
        if (places) {
            require(pooled_first_, "places are kept where the maximum is taken first");
            const long count = batch * all * pool_.axis[0].out * pool_.axis[1].out * pool_.axis[2].out;
            require(places->dtype() == nb::dtype<Spot<T>>() && (long)places->size() == count, "places do not fit the result");
            k.places = static_cast<Spot<T>*>(places->data());
            if (read) {
                const long size = axis_[0].out * axis_[1].out * axis_[2].out;
                require(all_below(k.places, count, size), "a place lies beside its map");
            }
        }
        if (!read) return k;
        require(map.has_value() || pooled_first_ || !activation_, "the feature map is missing");
        require(places.has_value() || !pooled_first_, "the places are missing");
        require(largest.has_value() || !pooled_first_ || !activation_, "the largest numbers are missing");
        return k;
    }

    template <class T>
    void run_typed(const Array& x, const Array& weight, const MaybeArray& bias, const Array& out, const MaybeArray& map, const MaybeArray& largest,
                   const MaybePlaces& places, int threads) const {
        Maps<const T> in;
        const ConvolutionBlock<T> b = block<T>(x, weight, bias, in);
        const long all = groups_ * filters_;
        const Maps<T> to = checked_maps<T>(out, b.batch, all, {pool_.axis[0].out, pool_.axis[1].out, pool_.axis[2].out}, axes_, true, "a result");
        const auto keep = kept<T, Kept<T, Spot<T>>>(b.batch, map, largest, places, false);
        require(threads >= 1, "at least one thread is needed");
        nb::gil_scoped_release release;
        convolve<T>(b, in, to, keep, *chosen, std::min(threads, most_threads));
    }

    template <class T>
    void backward_typed(const Array& x, const Array& weight, const MaybeArray& map, const MaybeArray& largest, const MaybePlaces& places,
                        const Array& gradient, const MaybeArray& dx, const MaybeArray& dweight, const MaybeArray& dbias, int threads) const {
        Maps<const T> in;
        const ConvolutionBlock<T> b = block<T>(x, weight, std::nullopt, in);
        require(border_ == Border::value, "gradients are known for padding with a value alone");
        ConvolutionGradients<T> g;
        const long all = groups_ * filters_;
        g.out = whole<T>(gradient, shape(b.batch, all, pool_.axis, true), "a result's gradient");
        g.kept = kept<T, Kept<const T, const Spot<T>>>(b.batch, map, largest, places, true);
        g.derivative = derivative_ ? &*derivative_ : nullptr;
        if (dx) g.in = whole<T>(*dx, shape(b.batch, groups_ * channels_, axis_, false), "an input's gradient");
        if (dweight) g.weight = whole<T>(*dweight, weight_shape(), "a weight's gradient");
        if (dbias) g.bias = whole<T>(*dbias, {all}, "a bias's gradient");
        require(threads >= 1, "at least one thread is needed");
        nb::gil_scoped_release release;
        convolve_backward<T>(b, in, g, *chosen, std::min(threads, most_threads));
    }
};

// Pooling of planes that lie one after the other: x (planes, sizes).
class PyPooling {
public:
    explicit PyPooling(const PyPool& pool) : axes_(std::get<1>(pool).size()), pool_(checked_pool(pool)) {}

    void run(const Array& x, const Array& out, const MaybePlaces& places, int threads) const {
        if (x.holds<float>()) run_typed<float>(x, out, places, threads);
        else run_typed<double>(x, out, places, threads);
    }

    void backward(const Array& gradient, const MaybePlaces& places, const Array& dx, int threads) const {
        if (gradient.holds<float>()) backward_typed<float>(gradient, places, dx, threads);
        else backward_typed<double>(gradient, places, dx, threads);
    }

private:
    size_t axes_;
    Pool pool_;

    template <class T>
    T* planes(const Array& a, bool out, long& count, const char* what) const {
        require(a.ndim() == axes_ + 1, std::string(what) + " has a wrong number of axes");
        std::vector<long> shape{a.shape(0)};
        long step = 1;
        for (size_t i = 3 - axes_; i < 3; ++i) shape.push_back(out ? pool_.axis[i].out : pool_.axis[i].in);
        T* data = checked<T>(a, shape, what);
        for (size_t i = shape.size(); i-- > 0; step *= shape[i])
            require(shape[i] <= 1 || a.stride(i) == step || a.size() == 0, std::string(what) + " is not contiguous");
        require(count < 0 || count == shape[0], std::string(what) + " has a wrong number of planes");
        count = shape[0];
        return data;
    }

    template <class T>
    Spot<T>* spots(const MaybePlaces& places, long size) const {
        if (!places) return nullptr;
        require(pool_.max, "an average has no place");
        require(places->dtype() == nb::dtype<Spot<T>>() && (long)places->size() == size, "places do not fit the result");
        return static_cast<Spot<T>*>(places->data());
    }

    template <class T>
    void run_typed(const Array& x, const Array& out, const MaybePlaces& places, int threads) const {
        long count = -1;
        const T* from = planes<T>(x, false, count, "an input");
        T* to = planes<T>(out, true, count, "a result");
        Spot<T>* at = spots<T>(places, out.size());
        require(threads >= 1, "at least one thread is needed");
        nb::gil_scoped_release release;
        pool_planes<T>(pool_, from, count, to, at, *chosen, std::min(threads, most_threads));
    }

    template <class T>
    void backward_typed(const Array& gradient, const MaybePlaces& places, const Array& dx, int threads) const {
        long count = -1;
        const T* slope = planes<T>(gradient, true, count, "a result's gradient");
        T* to = planes<T>(dx, false, count, "an input's gradient");
        const Spot<T>* at = spots<T>(places, gradient.size());
        require(at || !pool_.max, "the places are missing");
        const long size = pool_.axis[0].in * pool_.axis[1].in * pool_.axis[2].in;
        require(!at || all_below(at, gradient.size(), size), "a place lies beside its map");
        require(threads >= 1, "at least one thread is needed");
        nb::gil_scoped_release release;
        pool_planes_backward<T>(pool_, slope, at, count, to, *chosen, std::min(threads, most_threads));
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
    m.doc() = "Pellucid's engine: executes the programs of recurrent cells.";
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
    nb::class_<PyConvolution>(m, "Convolution")
        .def(nb::init<const std::vector<PyAxis>&, long, long, long, const std::string&, double, const std::optional<PyPointwise>&,
                      const std::optional<PyPointwise>&, bool, const std::optional<PyPool>&>(),
             nb::arg("axes"), nb::arg("groups"), nb::arg("channels"), nb::arg("filters"), nb::arg("border"), nb::arg("border_value"),
             nb::arg("activation").none(), nb::arg("derivative").none(), nb::arg("pooled_first"), nb::arg("pool").none())
        .def("run", &PyConvolution::run, nb::arg("x"), nb::arg("weight"), nb::arg("bias").none(), nb::arg("out"), nb::arg("map").none(),
             nb::arg("largest").none(), nb::arg("places").none(), nb::arg("threads"))
        .def("backward", &PyConvolution::backward, nb::arg("x"), nb::arg("weight"), nb::arg("map").none(), nb::arg("largest").none(),
             nb::arg("places").none(), nb::arg("gradient"), nb::arg("dx").none(), nb::arg("dweight").none(), nb::arg("dbias").none(), nb::arg("threads"));
    nb::class_<PyPooling>(m, "Pooling")
        .def(nb::init<const PyPool&>(), nb::arg("pool"))
        .def("run", &PyPooling::run, nb::arg("x"), nb::arg("out"), nb::arg("places").none(), nb::arg("threads"))
        .def("backward", &PyPooling::backward, nb::arg("gradient"), nb::arg("places").none(), nb::arg("dx"), nb::arg("threads"));
    m.def("multiply", &multiply_any, nb::arg("a"), nb::arg("b"), nb::arg("c"), nb::arg("add") = false,
          nb::arg("bias") = nb::none(), nb::arg("threads") = 1);
    m.def("apply", &apply, "One pointwise operation on a vector; for measuring its error.");
    m.def("instruction_sets", &instruction_sets, "What this processor has, best first.");
    m.def("instruction_set", [] { return std::string(chosen->name); }, "The one in use.");
    m.def("multiplies_bfloat16", &multiplies_bfloat16, "Whether the engine has products of bfloat16, with the instruction set in use.");
    m.def("choose", &choose, "Use another instruction set from here on.");
}
