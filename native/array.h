// An array that Python hands over, as the boundary checks read it: where it lies, its shape and its strides.
//
// A tensor of PyTorch is asked for them directly, which takes a tenth of the time of the exchange protocols; whatever else
// there is (an array of NumPy) comes by DLPack or the buffer protocol. Python keeps it alive for the length of the call.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

namespace pellucid {

class Array {
public:
    static constexpr size_t most_axes = 4;

    void* data() const { return data_; }
    size_t ndim() const { return axes_; }
    long shape(size_t axis) const { return shape_[axis]; }
    long stride(size_t axis) const { return stride_[axis]; }    // in numbers

    long size() const {
        long count = 1;
        for (size_t i = 0; i < axes_; ++i) count *= shape_[i];
        return count;
    }

    template <class T>
    bool holds() const { return bytes_ == sizeof(T); }

    // False where it is no array of float32 or float64 in the processor's memory, of few enough axes.
    bool read(nanobind::handle from) {
        const Torch& torch = Torch::get();
        if (PyType_IsSubtype(Py_TYPE(from.ptr()), (PyTypeObject*)torch.tensor.ptr())) return read_tensor(from, torch);
        nanobind::ndarray<nanobind::device::cpu> array;
        if (!nanobind::try_cast(from, array)) return false;
        if (array.dtype() == nanobind::dtype<float>()) bytes_ = 4;
        else if (array.dtype() == nanobind::dtype<double>()) bytes_ = 8;
        else return false;
        if (array.ndim() > most_axes) return false;
        axes_ = array.ndim();
        for (size_t i = 0; i < axes_; ++i) shape_[i] = (long)array.shape(i), stride_[i] = (long)array.stride(i);
        data_ = array.data();
        return true;
    }

private:
    void* data_ = nullptr;
    size_t axes_ = 0;
    int bytes_ = 0;
    long shape_[most_axes] = {}, stride_[most_axes] = {};

    struct Torch {
        nanobind::object tensor, single, twice;
        nanobind::object dtype, is_cpu, shape, stride, data_ptr;     // names of attributes

        static const Torch& get() {
            static const Torch* found = [] {    // never freed: the interpreter may be gone before
                const nanobind::module_ torch = nanobind::module_::import_("torch");
                const auto name = [](const char* text) { return nanobind::steal(PyUnicode_InternFromString(text)); };
                return new Torch{torch.attr("Tensor"), torch.attr("float32"), torch.attr("float64"),
                                 name("dtype"), name("is_cpu"), name("shape"), name("stride"), name("data_ptr")};
            }();
            return *found;
        }
    };

    bool read_tensor(nanobind::handle from, const Torch& torch) {
        const auto attribute = [&](const nanobind::object& name) { return nanobind::steal(PyObject_GetAttr(from.ptr(), name.ptr())); };
        const auto call = [&](const nanobind::object& name) { return nanobind::steal(PyObject_CallMethodNoArgs(from.ptr(), name.ptr())); };
        const nanobind::object dtype = attribute(torch.dtype), cpu = attribute(torch.is_cpu), shape = attribute(torch.shape);
        if (!dtype.is_valid() || !cpu.is_valid() || !shape.is_valid()) return failed();
        if (dtype.is(torch.single)) bytes_ = 4;
        else if (dtype.is(torch.twice)) bytes_ = 8;
        else return false;
        if (cpu.ptr() != Py_True) return false;
        const nanobind::object stride = call(torch.stride), address = call(torch.data_ptr);
        if (!stride.is_valid() || !address.is_valid()) return failed();
        if (!PyTuple_Check(shape.ptr()) || !PyTuple_Check(stride.ptr())) return false;
        axes_ = (size_t)PyTuple_GET_SIZE(shape.ptr());
        if (axes_ > most_axes || (size_t)PyTuple_GET_SIZE(stride.ptr()) != axes_) return false;
        for (size_t i = 0; i < axes_; ++i) {
            shape_[i] = PyLong_AsLong(PyTuple_GET_ITEM(shape.ptr(), i));
            stride_[i] = PyLong_AsLong(PyTuple_GET_ITEM(stride.ptr(), i));
        }
        data_ = PyLong_AsVoidPtr(address.ptr());
        return PyErr_Occurred() ? failed() : true;
    }

    static bool failed() {
        PyErr_Clear();
        return false;
    }
};

}  // namespace pellucid

namespace nanobind::detail {

template <>
struct type_caster<pellucid::Array> {
    NB_TYPE_CASTER(pellucid::Array, const_name("array"))
    bool from_python(handle from, uint8_t, cleanup_list*) noexcept {
        try {
            return value.read(from);
        } catch (...) {
            PyErr_Clear();
            return false;
        }
    }
};

}  // namespace nanobind::detail
