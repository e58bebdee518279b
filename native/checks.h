// What every part of the boundary to Python checks with.

#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "array.h"
#include "isa.h"

namespace pellucid {

extern const Isa* chosen;       // the instruction set in use

using MaybeArray = std::optional<Array>;

inline void require(bool condition, const std::string& what) {
    if (!condition) throw std::invalid_argument(what);
}

// The same, with a sentence that is put together only where it is needed: a call has some fifty checks, and a string costs more
// than a check.
inline void require(bool condition, const char* what, const char* fault = "") {
    if (!condition) throw std::invalid_argument(std::string(what) + fault);
}

// Counts of numbers are products of sizes: below this no product of what is checked leaves the range of `long`.
inline constexpr long most = 1L << 40, most_batch = 1L << 24, most_size = 1L << 31;
inline constexpr int most_threads = 1024;      // more are not started: OpenMP ends the process where the system has no more

template <class T>
T* checked(const Array& a, const std::vector<long>& shape, const char* what) {
    require(a.holds<T>(), what, " has another number type than the rest");
    require(a.ndim() == shape.size(), what, " has a wrong number of axes");
    bool empty = false;
    for (size_t i = 0; i < shape.size(); ++i) {
        require((long)a.shape(i) == shape[i], what, " has a wrong shape");
        empty = empty || shape[i] == 0;
    }
    require(empty || a.stride(shape.size() - 1) == 1 || shape.back() == 1, what, " is not contiguous along its last axis");
    for (size_t i = 0; i < shape.size(); ++i) require(a.stride(i) >= 0, what, " has a negative stride");
    require(empty || (uintptr_t)a.data() % alignof(T) == 0, what, " begins between two numbers of its type");
    return static_cast<T*>(a.data());
}

inline int op_of(const std::string& name) {
    for (int i = 0; i < op_count; ++i)
        if (name == op_names[i]) return i;
    throw std::invalid_argument("malformed program: the operation '" + name + "' does not exist");
}

// Convolution and pooling, into the module.
void add_spatial(nanobind::module_& m);

}  // namespace pellucid
