// One time step on a thread's share: the plan's stages, tile by tile.

#pragma once

#include "memory.h"
#include "multiply.h"
#include "share.h"

namespace pellucid {

// Where a register's numbers are: `row` is the distance between rows, and 0 where all rows share them.
template <class T>
struct RegisterSpot {
    T* at = nullptr;
    long row = 0;
    bool in_tile = false;   // it holds a tile, whichever that is
};

// The steps of one thread: its rows for all units, without a word to the others; or some units for all rows, with a barrier after
// every stage.
template <class T>
class Steps {
public:
    // full: room for registers that live outside of tiles, at common.full_offset; where threads share rows, this thread's own.
    Steps(const ThreadShare<T>& share, Arena& arena, T* full);
    void run(long step, long time);     // the number of the step, and the time that it computes

private:
    // Registers that lie elsewhere in every step.
    struct Moving {
        int reg;
        const Port* port;
        bool written;
    };

    const ThreadShare<T>& s_;
    Common<T>& c_;
    const Sweep<T>& w_;
    const Kernels<T>& k_;
    const Plan& p_;
    const int index_, count_;
    long rows_ = 0;                     // of the share, those that this step has
    long most_tile_rows_ = 0, tile_width_ = 0;
    long step_ = 0, time_ = 0;
    std::vector<RegisterSpot<T>> spots_;        // of each register, in this step: from row 0 and unit 0 on, or from the tile's beginning
    std::vector<Moving> moving_;
    T* left_ = nullptr;                 // words of left operands
    std::vector<Left<T>> left_of_;      // of each segment, in this tile

    void choose_tile();
    std::vector<Moving> moving() const;
    void find_spots();
    RegisterSpot<T> at_port(const Port& port, bool writes, long row, long unit) const;
    RegisterSpot<T> one_at(int reg, long row) const;
    void run_stage(const Stage& stage, const std::vector<Packed<T>>& packed);
    void run_ones(const Group& group);
    void emit_ones(int reg);
    void run_vectors(const Stage& stage, const Group& group, const std::vector<Packed<T>>& packed);
    void fetch(const Group& group, long row, long rows, long unit, long width) const;
    void emit(int reg, long row, long rows, long unit, long width);
    void run_product(const Product& product, const Packed<T>& packed, int head, long within, long row, long rows, long width, long unit);
    void run_rows(const ProductCall<T>& first, long rows, int vectors) const;
    long size_of(int reg) const { return w_.sizes[p_.program.sizes[reg]]; }

    // A vector register from a row and unit on.
    [[gnu::always_inline]] inline RegisterSpot<T> at(int reg, long row, long unit) const {
        const RegisterSpot<T>& spot = spots_[reg];
        return {spot.in_tile ? spot.at : spot.at + row * spot.row + unit, spot.row};
    }
};

}  // namespace pellucid
