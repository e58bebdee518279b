// A step's program as the engine sees it, and the plan made of it: stages of products, sums and pointwise groups.
//
// Nothing here knows a cell, a number type or an instruction set.

#pragma once

#include <string>
#include <vector>

namespace pellucid {

// Sizes of registers by index: 0 a number, 1 one number a row, from 2 on the vector sizes that a run names.
inline constexpr int number = 0, one = 1;

struct Instruction {
    int op, out;
    std::vector<int> in;
};

// destination[p] = block p of the matrix times the source; or, transposed, destination[0] = the sum over p of block p
// transposed times source[p]. With heads, each head has its own slice of rows and of columns.
struct Product {
    int matrix, parts, heads;
    bool transposed;
    std::vector<int> sources, destinations;
    std::vector<std::vector<int>> starts = {};     // of each destination: given registers that are added to it
};

struct Reduce {
    int out, in;
};

struct Phase {
    std::vector<Product> products;
    std::vector<Reduce> reduces;
    std::vector<Instruction> instructions;
};

// Where a run finds an input register, or leaves an output register; see Place in sweep.h for what each means.
enum class Kind { step, shifted, swing, held, total };

struct Port {
    int reg;
    Kind kind;
    int buffer;     // index of the run's buffer
};

struct Program {
    std::vector<int> sizes;         // of each register
    std::vector<Port> inputs;
    std::vector<Port> outputs;
    std::vector<Phase> phases;
    int matrices = 0;
    int buffers = 0;
    int size_letters = 2;
};

// Instructions on registers of one size, tile by tile, after the products that have that size.
struct Group {
    int size;
    std::vector<int> products;      // indices into the stage's products
    std::vector<Instruction> instructions;
};

struct Stage {
    std::vector<Product> products;
    std::vector<Reduce> reduces;
    std::vector<Group> groups;      // registers of size `one` first: others may read them
    int heads = 1;
};

// Where a computed register lives while a step runs.
enum class Home { given, scratch, full };

// Rewrites a checked program into one that does the same in fewer instructions: a sum of a product and given registers
// becomes what the product starts from, and a product, difference or sum of a product becomes one instruction.
void fuse(Program& program);

struct Plan {
    Program program;
    std::vector<Stage> stages;
    std::vector<Home> home;
    std::vector<int> slot;          // of a scratch register
    std::vector<int> input_of;      // port index of a given register, or -1
    std::vector<int> direct;                // the port that a register is written to as it is computed, or -1
    std::vector<std::vector<int>> emitted;  // the ports that it is copied to, or added to, besides
    int slots = 0;                  // scratch slots of a tile

    // Throws std::invalid_argument where the program is malformed.
    explicit Plan(Program given);
};

}  // namespace pellucid
