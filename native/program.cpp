#include "program.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "isa.h"

namespace pellucid {

namespace {

void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(std::string("malformed program: ") + what);
}

// Every register is given or written once, before it is read; sizes fit; indices lie inside.
void check(const Program& p) {
    const int count = (int)p.sizes.size();
    auto inside = [&](int r) { require(r >= 0 && r < count, "a register does not exist"); };
    for (int size : p.sizes) require(size >= 0 && size < p.size_letters, "a size does not exist");
    std::vector<bool> written(count, false);
    auto write = [&](int r) {
        inside(r);
        require(!written[r], "a register is written twice");
        written[r] = true;
    };
    auto read = [&](int r) {
        inside(r);
        require(written[r], "a register is read before it is written");
    };
    auto port = [&](const Port& q) { require(q.buffer >= 0 && q.buffer < p.buffers, "a buffer does not exist"); };
    for (const Port& q : p.inputs) {
        port(q);
        write(q.reg);
        require(q.kind != Kind::total, "an input cannot be a total");
    }
    for (const Phase& phase : p.phases) {
        for (const Product& q : phase.products) {
            require(q.matrix >= 0 && q.matrix < p.matrices, "a matrix does not exist");
            require(q.parts >= 1 && q.heads >= 1, "a product has no parts");
            require((int)q.sources.size() == (q.transposed ? q.parts : 1), "a product has a wrong number of sources");
            require((int)q.destinations.size() == (q.transposed ? 1 : q.parts), "a product has a wrong number of results");
            for (int r : q.sources) {
                read(r);
                require(p.sizes[r] > one && p.sizes[r] == p.sizes[q.sources[0]], "a product's source is no vector");
            }
            for (int r : q.destinations) {
                write(r);
                require(p.sizes[r] > one && p.sizes[r] == p.sizes[q.destinations[0]], "a product's result is no vector");
            }
        }
        for (const Reduce& q : phase.reduces) {
            read(q.in);
            write(q.out);
            require(p.sizes[q.in] > one && p.sizes[q.out] == one, "a sum does not lead from a vector to one number");
        }
        for (const Instruction& q : phase.instructions) {
            require(q.op >= 0 && q.op < op_count, "an operation does not exist");
            require((int)q.in.size() == op_arity[q.op], "an operation has a wrong number of operands");
            inside(q.out);
            for (int r : q.in) {
                read(r);
                require(p.sizes[r] == p.sizes[q.out] || p.sizes[r] <= one, "sizes do not fit");
            }
            require(p.sizes[q.out] >= one, "a number is computed in every step");
            write(q.out);
        }
    }
    for (const Port& q : p.outputs) {
        port(q);
        read(q.reg);
        require(q.kind == Kind::step || q.kind == Kind::swing || q.kind == Kind::total, "an output is of a wrong kind");
    }
}

}  // namespace

Plan::Plan(Program given) : program(std::move(given)) {
    check(program);
    fuse(program);
    const int count = (int)program.sizes.size();
    input_of.assign(count, -1);
    direct.assign(count, -1);
    emitted.assign(count, {});
    for (size_t i = 0; i < program.inputs.size(); ++i) input_of[program.inputs[i].reg] = (int)i;
    std::vector<bool> wanted(count, false);
    for (size_t i = 0; i < program.outputs.size(); ++i) {
        const auto [reg, kind, buffer] = program.outputs[i];
        wanted[reg] = true;
        if (direct[reg] < 0 && kind != Kind::total && program.sizes[reg] > one && input_of[reg] < 0) direct[reg] = (int)i;
        else emitted[reg].push_back((int)i);
    }

    // Stages: a product or sum begins a new one where it needs what the stage at hand computes, or is cut differently.
    std::vector<int> stage_of(count, -1);
    stages.emplace_back();
    auto begin = [&](const std::vector<int>& sources, int heads) {
        Stage& last = stages.back();
        bool fresh = !last.groups.empty();
        for (int r : sources) fresh |= stage_of[r] == (int)stages.size() - 1;
        if (!last.products.empty()) fresh |= heads != 0 && last.heads != heads;
        if (fresh) stages.emplace_back();
        return (int)stages.size() - 1;
    };
    auto group_of = [&](Stage& stage, int size) -> Group& {
        for (Group& g : stage.groups)
            if (g.size == size) return g;
        return *stage.groups.insert(size == one ? stage.groups.begin() : stage.groups.end(), Group{size, {}, {}});
    };
    for (const Phase& phase : program.phases) {
        std::vector<std::pair<int, Product>> waiting;
        for (const Product& q : phase.products) {
            const int at = begin(q.sources, q.heads);
            stages[at].heads = q.heads;
            stages[at].products.push_back(q);
            for (int r : q.destinations) stage_of[r] = at;
        }
        for (const Reduce& q : phase.reduces) {
            const int at = begin({q.in}, 0);
            stages[at].reduces.push_back(q);
            stage_of[q.out] = at;
        }
        for (const Instruction& q : phase.instructions) {
            group_of(stages.back(), program.sizes[q.out]).instructions.push_back(q);
            stage_of[q.out] = (int)stages.size() - 1;
        }
    }
    for (Stage& stage : stages)
        for (size_t i = 0; i < stage.products.size(); ++i)
            group_of(stage, program.sizes[stage.products[i].destinations[0]]).products.push_back((int)i);

    // Homes: what is read only by instructions of its own group lives in the tile's scratch.
    home.assign(count, Home::given);
    slot.assign(count, -1);
    std::vector<bool> far(count, false);
    for (int s = 0; s < (int)stages.size(); ++s) {
        for (const Product& q : stages[s].products)
            for (int r : q.sources) far[r] = true;
        for (const Reduce& q : stages[s].reduces) far[q.in] = far[q.out] = true;
        for (const Group& g : stages[s].groups)
            for (const Instruction& q : g.instructions)
                for (int r : q.in) far[r] = far[r] || stage_of[r] != s || program.sizes[r] != g.size;
    }
    for (int r = 0; r < count; ++r)
        if (input_of[r] < 0)
            home[r] = far[r] || wanted[r] || program.sizes[r] == one ? Home::full : Home::scratch;
    for (const Stage& stage : stages)
        for (const Group& g : stage.groups) {
            std::vector<int> last(count, -1);
            for (size_t i = 0; i < g.instructions.size(); ++i)
                for (int r : g.instructions[i].in) last[r] = (int)i;
            std::vector<int> open;
            int made = 0;
            auto take = [&](int r) {
                if (home[r] != Home::scratch) return;
                if (open.empty()) slot[r] = made++;
                else slot[r] = open.back(), open.pop_back();
            };
            for (int q : g.products)
                for (int r : stage.products[q].destinations) take(r);
            for (size_t i = 0; i < g.instructions.size(); ++i) {
                take(g.instructions[i].out);
                std::set<int> distinct(g.instructions[i].in.begin(), g.instructions[i].in.end());
                for (int r : distinct)
                    if (home[r] == Home::scratch && last[r] == (int)i) open.push_back(slot[r]);
            }
            slots = std::max(slots, made);
        }
}

}  // namespace pellucid
