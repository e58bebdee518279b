// An array that Python hands over, as the boundary checks read it: where it lies, its shape and its strides.
//
// A tensor of PyTorch is read where it lies, by the C functions of DLPack; whatever else there is (an array of NumPy) comes by
// the exchange protocols of Python. Python keeps it alive for the length of the call.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

namespace pellucid {

class Array {
public:
    static constexpr size_t most_axes = 5;

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
    bool holds() const { return bytes_ == sizeof(T) && integers_ == std::is_integral_v<T>; }

    // Throws where this PyTorch's tensors cannot be read; for the time of import, since `read` may not say why.
    static void require_torch() { Torch::get(); }

    // False where it is no array of float32 or float64 (of int32 or int64, if integers are wanted) in the processor's memory, of
    // few enough axes.
    bool read(nanobind::handle from, bool integers = false) {
        integers_ = integers;
        const Torch& torch = Torch::get();
        if (PyType_IsSubtype(Py_TYPE(from.ptr()), (PyTypeObject*)torch.tensor.ptr())) return read_tensor(from, torch);
        nanobind::ndarray<nanobind::device::cpu> array;
        if (!nanobind::try_cast(from, array)) return false;
        if (!read_type(array.dtype()) || array.ndim() > most_axes) return false;
        axes_ = array.ndim();
        for (size_t i = 0; i < axes_; ++i) shape_[i] = (long)array.shape(i), stride_[i] = (long)array.stride(i);
        data_ = array.data();
        return true;
    }

private:
    void* data_ = nullptr;
    size_t axes_ = 0;
    int bytes_ = 0;
    bool integers_ = false;
    long shape_[most_axes] = {}, stride_[most_axes] = {};

    // DLPack's table of functions for C callers, https://github.com/dmlc/dlpack/blob/main/include/dlpack/dlpack.h: the
    // parts that are used here, and those before them.
    struct Exchange {
        uint32_t major, minor;
        const Exchange* older;
        void* allocate;
        void* to_owned;
        void* from_owned;
        int (*look)(void* object, nanobind::dlpack::dltensor* out);   // what is seen is alive as long as the object
        void* stream;
    };

    struct Torch {
        nanobind::object tensor;
        const Exchange* exchange;

        static const Torch& get() {
            static const Torch* found = [] {    // never freed: the interpreter may be gone before
                const nanobind::object tensor = nanobind::module_::import_("torch").attr("Tensor");
                const nanobind::object capsule = tensor.attr("__dlpack_c_exchange_api__");
                auto* exchange = static_cast<const Exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
                if (!exchange) throw nanobind::python_error();
                while (exchange && exchange->major > 1) exchange = exchange->older;
                if (!exchange || !exchange->look) throw std::runtime_error("this PyTorch does not let its tensors be read by DLPack's version 1");
                return new Torch{tensor, exchange};
            }();
            return *found;
        }
    };

    bool read_type(nanobind::dlpack::dtype type) {
        if (type == (integers_ ? nanobind::dtype<int32_t>() : nanobind::dtype<float>())) bytes_ = 4;
        else if (type == (integers_ ? nanobind::dtype<int64_t>() : nanobind::dtype<double>())) bytes_ = 8;
        else return false;
        return true;
    }

    bool read_tensor(nanobind::handle from, const Torch& torch) {
        nanobind::dlpack::dltensor seen;
        if (torch.exchange->look(from.ptr(), &seen) != 0) return failed();
        if (seen.device.device_type != nanobind::device::cpu::value || (size_t)seen.ndim > most_axes) return false;
        if (!read_type(seen.dtype)) return false;
        axes_ = (size_t)seen.ndim;
        std::copy_n(seen.shape, axes_, shape_);
        std::copy_n(seen.strides, axes_, stride_);
        data_ = static_cast<char*>(seen.data) + seen.byte_offset;
        return seen.data != nullptr || size() == 0;
    }

    static bool failed() {
        PyErr_Clear();
        return false;
    }
};

// One of int32 or int64.
class Places : public Array {
public:
    bool read(nanobind::handle from) { return Array::read(from, true); }
};

}  // namespace pellucid

namespace nanobind::detail {

template <class A>
struct array_caster {
    NB_TYPE_CASTER(A, const_name("array"))
    bool from_python(handle from, uint8_t, cleanup_list*) noexcept {
        try {
            return value.read(from);
        } catch (...) {
            PyErr_Clear();
            return false;
        }
    }
};

template <>
struct type_caster<pellucid::Array> : array_caster<pellucid::Array> {};
template <>
struct type_caster<pellucid::Places> : array_caster<pellucid::Places> {};

}  // namespace nanobind::detail
