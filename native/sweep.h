// The sweep: a plan executed for every time step, on tiles of rows (sequences) and units.

#pragma once

#include <vector>

#include "isa.h"
#include "program.h"

namespace pellucid {

// Where a port's numbers lie. At the s-th step that is computed, at time t, row r of the register is at
//   step, total, held:  base + t * time + r * row     (time is 0 for what does not change with it)
//   shifted:            the same at the time computed before t, or initial + r * initial_row at the first step
//   swing:              base + plane * (s mod 2) for reading, the other plane for writing
template <class T>
struct Place {
    T* base = nullptr;
    long time = 0, row = 0, plane = 0;
    const T* initial = nullptr;
    long initial_row = 0;
};

template <class T>
struct Matrix {
    const T* data = nullptr;
    long rows = 0, columns = 0, row = 0;
};

template <class T>
struct Sweep {
    const Plan* plan = nullptr;
    long steps = 0, batch = 0;
    std::vector<long> sizes;            // by size index; sizes[one] is 1
    bool reverse = false;               // from the last time to the first
    long before = -1;                   // the time computed before t, in the sweep that wrote shifted buffers, is t + before
    std::vector<Place<T>> buffers;
    std::vector<Matrix<T>> matrices;
    int threads = 1;
    bool (*interrupted)() = nullptr;    // asked now and then; true ends the sweep early
};

// Returns false where it was interrupted.
template <class T>
bool run(const Sweep<T>& sweep, const Isa& isa);

// c (+)= a b, where a is m x k, b is k x n, with any strides.
template <class T>
struct Gemm {
    long m = 0, n = 0, k = 0;
    const T* a = nullptr;
    long a_row = 0, a_column = 0;
    const T* b = nullptr;
    long b_row = 0, b_column = 0;
    T* c = nullptr;
    long c_row = 0;
    bool add = false;
    const T* bias = nullptr;            // of n numbers, what each row of c starts from
    int threads = 1;
};

template <class T>
void multiply(const Gemm<T>& gemm, const Isa& isa);

}  // namespace pellucid
