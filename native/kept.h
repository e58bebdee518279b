// Packed matrices that outlive a call, so that the next call with the same weights does not pack them again.
//
// Whether they are the same is seen from the numbers themselves: a fingerprint is made anew in every call, which costs one
// read of the matrix. No one has to say that weights changed, however they did.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "isa.h"
#include "sweep.h"

namespace pellucid {

// A matrix in memory and the order in which it is packed.
struct PackedAs {
    const void* data;
    long rows, columns, row;
    const void* kernels;        // of an instruction set and number type
    bool transposed;
    int parts, heads, vectors;  // of a product of the steps; 0 for a large product
    bool operator==(const PackedAs&) const = default;
};

struct Pack {
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    PackedAs as;
    std::uint64_t fingerprint;
    size_t bytes;
    std::unique_ptr<void, Free> memory;
};

// The packs of one call: found with the right numbers, or memory to pack into, which is kept once it is packed.
class Packs {
public:
    struct Place {
        void* data;
        bool packed;
    };
    // Nothing where a matrix is too large to be kept.
    std::optional<Place> find(const PackedAs& as, std::uint64_t fingerprint, size_t bytes);
    void keep();    // what was packed

private:
    std::vector<std::shared_ptr<Pack>> used_, fresh_;
};

// Of a matrix's numbers. A change of one number always changes it; see fingerprint in isa.cpp.
template <class T>
std::uint64_t fingerprint(const Matrix<T>& m, const Kernels<T>& kernels) {
    if (m.row == m.columns) return kernels.fingerprint(m.data, m.rows * m.columns);
    std::uint64_t whole = 0;
    for (long r = 0; r < m.rows; ++r) whole = whole * 0x9e3779b97f4a7c15u + kernels.fingerprint(m.data + r * m.row, m.columns);
    return whole;
}

}  // namespace pellucid
