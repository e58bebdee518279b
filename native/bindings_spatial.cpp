// Convolution and pooling in the module pellucid._native, and the checks of what they are given.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "array.h"
#include "checks.h"
#include "convolution.h"
#include "plans.h"
#include "pooling.h"

namespace nb = nanobind;

namespace pellucid {
namespace {

// Axes come as (in, out, kernel, stride, dilation, padding before, padding after), one to three of them.

using PyAxis = std::tuple<long, long, long, long, long, long, long>;
using PyStep = std::tuple<std::string, int, std::vector<int>>;                              // op, destination, sources
using PyPointwise = std::tuple<int, std::vector<double>, std::vector<PyStep>>;              // inputs, numbers, steps: the last one's is the result
using MaybePlaces = std::optional<Places>;                                                  // of int32 beside float32, of int64 beside float64
using PyPool = std::tuple<bool, std::vector<PyAxis>, bool, long>;                           // max, axes, whether padding counts, divisor

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
    fuse(p);
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

// A shape, without memory of its own: a call has a dozen of them, and its products may take no longer than a dozen allocations.
class Sizes {
public:
    Sizes(std::initializer_list<long> first) {
        for (long size : first) add(size);
    }
    void add(long size) { size_[count_++] = size; }
    size_t count() const { return count_; }
    long operator[](size_t axis) const { return size_[axis]; }

private:
    size_t count_ = 0;
    long size_[Array::most_axes];
};

// A contiguous tensor of this shape.
template <class T>
T* whole(const Array& a, const Sizes& sizes, const char* what) {
    require(a.holds<T>(), what, " has another number type than the rest");
    require(a.ndim() == sizes.count(), what, " has a wrong number of axes");
    for (size_t i = 0; i < sizes.count(); ++i) require(a.shape(i) == sizes[i], what, " has a wrong shape");
    if (a.size() == 0) return static_cast<T*>(a.data());
    long step = 1;
    for (size_t i = sizes.count(); i-- > 0; step *= sizes[i]) require(sizes[i] == 1 || a.stride(i) == step, what, " is not contiguous");
    require((uintptr_t)a.data() % alignof(T) == 0, what, " begins between two numbers of its type");
    return static_cast<T*>(a.data());
}

// Whether no two numbers lie on each other: each axis' step is beyond all that those of smaller steps reach.
bool lies_apart(const Array& a) {
    std::pair<long, long> by_stride[Array::most_axes];     // in order
    size_t count = 0;
    for (size_t i = 0; i < a.ndim(); ++i) {
        if (a.shape(i) <= 1) continue;
        const std::pair<long, long> axis{a.stride(i), a.shape(i)};
        size_t at = count++;
        for (; at > 0 && axis < by_stride[at - 1]; --at) by_stride[at] = by_stride[at - 1];
        by_stride[at] = axis;
    }
    long reach = 1;
    for (size_t i = 0; i < count; ++i) {
        const auto [stride, size] = by_stride[i];
        if (stride < reach) return false;
        reach = stride * size;
    }
    return true;
}

// A tensor (batch, channels, sizes), of which no two numbers lie on each other if it is written.
template <class T>
Maps<T> checked_maps(const Array& a, long batch, long channels, const long (&sizes)[3], size_t axes, bool written, const char* what) {
    using Number = std::remove_const_t<T>;
    require(a.holds<Number>(), what, " has another number type than the rest");
    require(a.ndim() == axes + 2, what, " has a wrong number of axes");
    bool fits = a.shape(0) == batch && a.shape(1) == channels, empty = a.size() == 0;
    for (size_t i = 0; i < axes; ++i) fits = fits && a.shape(2 + i) == sizes[3 - axes + i];
    require(fits, what, " has a wrong shape");
    require(empty || (uintptr_t)a.data() % alignof(T) == 0, what, " begins between two numbers of its type");
    for (size_t i = 0; i < a.ndim(); ++i) require(a.stride(i) >= 0, what, " has a negative stride");
    require(!written || lies_apart(a), what, " has numbers that lie on each other");
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
        double input = 1, map = 1, taps = 1, padded = 1;
        for (const Axis& a : axis_) {
            const double reach = (double)(a.span() - 1) / a.stride + 1;
            input *= (a.out + reach) * std::min(a.stride, a.kernel), map *= a.out + reach, taps *= a.kernel;
            padded *= (double)a.out * a.stride + a.span();
        }
        require((border_ == Border::value || padded * channels < 1e9) && input * channels < 1e9 && 2 * map * filters < 1e9 && taps * channels * filters * groups < 1e9, "one image of this convolution is too large");
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
    mutable LastPlan<ForwardPlan> forward_;      // asked under Python's lock
    mutable LastPlan<BackwardPlan> backward_;

    Sizes shape(long batch, long channels, const Axis (&axis)[3], bool out) const {
        Sizes found{batch, channels};
        for (size_t i = 3 - axes_; i < 3; ++i) found.add(out ? axis[i].out : axis[i].in);
        return found;
    }

    Sizes weight_shape() const {
        Sizes found{groups_ * filters_, channels_};
        for (size_t i = 3 - axes_; i < 3; ++i) found.add(axis_[i].kernel);
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

    // Whether a call is over in some microseconds: then other threads of Python may as well wait, as giving them the turn and asking
    // for it back takes longer.
    template <class T>
    bool brief(const ConvolutionBlock<T>& b) const {
        double windows = (double)b.batch * groups_ * filters_;
        for (const Axis& a : pool_.axis) windows *= (double)a.out * a.kernel;
        return b.work() < least_work && windows < least_work;
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
            k.places = whole<Spot<T>>(*places, shape(batch, all, pool_.axis, true), "places");
            if (read) {
                const long size = axis_[0].out * axis_[1].out * axis_[2].out;
                require(chosen->kernels<T>().spatial.within(k.places, places->size(), (Spot<T>)size), "a place lies beside its map");
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
        const int team = team_of(b, std::min(threads, most_threads));
        const bool whole_map = keep.map != nullptr;
        const auto plan = forward_.like({b.batch, team, &chosen->kernels<T>(), whole_map}, [&] { return forward_plan(b, whole_map, *chosen, team); });
        std::optional<nb::gil_scoped_release> release;
        if (!brief(b)) release.emplace();
        convolve<T>(b, *plan, in, to, keep, *chosen);
    }

    template <class T>
    void backward_typed(const Array& x, const Array& weight, const MaybeArray& map, const MaybeArray& largest, const MaybePlaces& places,
                        const Array& gradient, const MaybeArray& dx, const MaybeArray& dweight, const MaybeArray& dbias, int threads) const {
        Maps<const T> in;
        const ConvolutionBlock<T> b = block<T>(x, weight, std::nullopt, in);
        ConvolutionGradients<T> g;
        const long all = groups_ * filters_;
        g.out = whole<T>(gradient, shape(b.batch, all, pool_.axis, true), "a result's gradient");
        g.kept = kept<T, Kept<const T, const Spot<T>>>(b.batch, map, largest, places, true);
        g.derivative = derivative_ ? &*derivative_ : nullptr;
        if (dx) g.in = whole<T>(*dx, shape(b.batch, groups_ * channels_, axis_, false), "an input's gradient");
        if (dweight) g.weight = whole<T>(*dweight, weight_shape(), "a weight's gradient");
        if (dbias) g.bias = whole<T>(*dbias, {all}, "a bias's gradient");
        require(threads >= 1, "at least one thread is needed");
        const int team = team_of(b, std::min(threads, most_threads));
        const auto plan = backward_.like({b.batch, team, &chosen->kernels<T>(), dx.has_value()}, [&] { return backward_plan(b, dx.has_value(), *chosen, team); });
        std::optional<nb::gil_scoped_release> release;
        if (!brief(b)) release.emplace();
        convolve_backward<T>(b, *plan, in, g, *chosen);
    }
};

// Pooling of planes that lie one after the other: x (..., sizes).
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

    // Planes one after the other, whatever the axes before theirs; `count` of them, or any number if that is negative.
    template <class T>
    T* planes(const Array& a, bool out, long& count, const char* what) const {
        require(a.ndim() > axes_, what, " has a wrong number of axes");
        Sizes sizes{};
        long found = 1;
        for (size_t i = 0; i < a.ndim() - axes_; ++i) sizes.add(a.shape(i)), found *= a.shape(i);
        for (size_t i = 3 - axes_; i < 3; ++i) sizes.add(out ? pool_.axis[i].out : pool_.axis[i].in);
        T* data = whole<T>(a, sizes, what);
        require(count < 0 || count == found, what, " has a wrong number of planes");
        count = found;
        return data;
    }

    template <class T>
    Spot<T>* spots(const MaybePlaces& places, long& count) const {
        if (!places) return nullptr;
        require(pool_.max, "an average has no place");
        return planes<Spot<T>>(*places, true, count, "places");
    }

    template <class T>
    void run_typed(const Array& x, const Array& out, const MaybePlaces& places, int threads) const {
        long count = -1;
        const T* from = planes<T>(x, false, count, "an input");
        T* to = planes<T>(out, true, count, "a result");
        Spot<T>* at = spots<T>(places, count);
        require(threads >= 1, "at least one thread is needed");
        nb::gil_scoped_release release;
        pool_planes<T>(pool_, from, count, to, at, *chosen, std::min(threads, most_threads));
    }

    template <class T>
    void backward_typed(const Array& gradient, const MaybePlaces& places, const Array& dx, int threads) const {
        long count = -1;
        const T* slope = planes<T>(gradient, true, count, "a result's gradient");
        T* to = planes<T>(dx, false, count, "an input's gradient");
        const Spot<T>* at = spots<T>(places, count);
        require(at || !pool_.max, "the places are missing");
        const long size = pool_.axis[0].in * pool_.axis[1].in * pool_.axis[2].in;
        require(!at || chosen->kernels<T>().spatial.within(at, gradient.size(), (Spot<T>)size), "a place lies beside its map");
        require(threads >= 1, "at least one thread is needed");
        nb::gil_scoped_release release;
        pool_planes_backward<T>(pool_, slope, at, count, to, *chosen, std::min(threads, most_threads));
    }
};

}  // namespace

void add_spatial(nb::module_& m) {
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
}

}  // namespace pellucid
