// What the threads of a sweep work on together, and each thread's share of it.

#pragma once

#include <algorithm>
#include <atomic>
#include <climits>
#include <vector>

#include "isa.h"
#include "packing.h"
#include "sweep.h"
#include "threads.h"

namespace pellucid {

// All panels of a large product's right-hand side.
template <class T>
struct Panel {
    T* data;
    bool packed;    // by an earlier call
};

// What all threads of a sweep work on.
template <class T>
struct Common {
    const Sweep<T>& sweep;
    const Kernels<T>& kernels;
    std::vector<std::vector<Packed<T>>> packed;     // of each stage's products
    std::vector<Panel<T>> projection_panels, input_gradient_panels;
    std::vector<Window<T>> windows;                 // all with a base
    std::vector<size_t> full_offset;                // of registers that live outside of tiles
    long block;                                     // steps
    int threads;
    std::vector<long> shares;                       // the rows of thread i begin at shares[i], where threads share rows; or
                                                    // nothing, where they share units
    Barrier barrier;
    std::atomic<long> last_block{LONG_MAX};         // the sweep ends after it

    bool by_rows() const { return !shares.empty(); }
    bool gathers() const { return !sweep.input_gradients.empty() || !sweep.weight_gradients.empty() || !sweep.bias_gradients.empty(); }
};

// Of what the threads work on, one thread's: some rows for all units; or, where there are too few rows to share, all rows, and
// then some units of each stage and some panels of each large product.
template <class T>
struct ThreadShare {
    Common<T>& common;
    const int index;
    const long first_row = common.by_rows() ? common.shares[index] : 0;
    const long rows = common.by_rows() ? common.shares[index + 1] - first_row : common.sweep.batch;
    // Threads that share rows meet after a block only to gather; those that share units, after every stage.
    const bool meets = common.gathers() || !common.by_rows() || common.threads == 1;
    long first_time = 0;    // of the block of steps that is computed

    int count() const { return common.threads; }
    long rows_of(long time) const { return std::clamp<long>(common.sweep.rows_at(time) - first_row, 0, rows); }

    // A window's rows of a time. A block's rows follow each other where threads meet after it. Where they do not, one may be a
    // block ahead, and every time has as many rows, so that no two threads' rows ever share a place.
    T* window_rows(int window, long time) const {
        const Sweep<T>& sweep = common.sweep;
        const Window<T>& v = common.windows[window];
        long row = sweep.first_row(time);
        if (!sweep.windows[window].base) row = meets ? row - sweep.first_row(first_time) : (time - first_time) * sweep.batch;
        return v.base + row * v.row;
    }
};

}  // namespace pellucid
