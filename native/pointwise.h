// A program of pointwise operations on numbers that lie anywhere: an activation, or its derivative.

#pragma once

#include <algorithm>
#include <vector>

#include "isa.h"
#include "memory.h"

namespace pellucid {

// Registers: the inputs, then numbers, then what steps write, each once.
struct Pointwise {
    struct Step {
        int op, out, in[3];
    };
    int inputs = 1, registers = 1, result = 0;
    std::vector<double> numbers;
    std::vector<Step> steps;
};

// Fewer steps for the same: what is selected by whether a register is above 0 is one.
void fuse(Pointwise& program);

template <class T>
class PointwiseRun {
public:
    static constexpr long piece = 512;      // numbers of a register that are in work, in the nearest cache

    PointwiseRun(const Pointwise& program, const Kernels<T>& kernels, Arena& arena) : program_(program), kernels_(kernels) {
        numbers_ = arena.take<T>(program.numbers.size());
        for (size_t i = 0; i < program.numbers.size(); ++i) numbers_[i] = (T)program.numbers[i];
        written_ = program.inputs + (int)program.numbers.size();
        values_ = arena.take<T>((size_t)(program.registers - written_) * piece);
    }

    // `rows` rows of `width` numbers; `out` may be one of the inputs. What lies `ahead` of the inputs is asked for meanwhile.
    void run(const T* const (&in)[2], const long (&in_row)[2], T* out, long out_row, long rows, long width, long ahead = 0) const {
        for (long r = 0; r < rows; ++r)
            for (long x = 0; x < width; x += piece) {
                const int count = (int)std::min(piece, width - x);
                const T* given[2] = {in[0] + r * in_row[0] + x, program_.inputs > 1 ? in[1] + r * in_row[1] + x : nullptr};
                T* to = out + r * out_row + x;
                for (int i = 0; ahead && i < program_.inputs; ++i)
                    for (int n = 0; n < count; n += 64 / (int)sizeof(T)) __builtin_prefetch(given[i] + ahead + n, 0, 2);
                for (const Pointwise::Step& step : program_.steps) {
                    Call<T> call{step.out == program_.result ? to : value(step.out), 0, {}, {}, 1, count};
                    int ones = 0;
                    for (int i = 0; i < op_arity[step.op]; ++i) {
                        const int reg = step.in[i];
                        const bool one = reg >= program_.inputs && reg < written_;
                        ones |= one << i;
                        call.in[i] = reg < program_.inputs ? given[reg] : one ? numbers_ + reg - program_.inputs : value(reg);
                    }
                    kernels_.pointwise[step.op][ones](call);
                }
            }
    }

private:
    const Pointwise& program_;
    const Kernels<T>& kernels_;
    T *numbers_, *values_;
    int written_;

    T* value(int reg) const { return values_ + (long)(reg - written_) * piece; }
};

}  // namespace pellucid
