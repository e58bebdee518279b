// Fewer instructions for the same program.

#include <algorithm>

#include "isa.h"
#include "pointwise.h"
#include "program.h"

namespace pellucid {

namespace {

constexpr int add = op_named("add"), sub = op_named("sub"), mul = op_named("mul");

class Fusion {
public:
    explicit Fusion(Program& program) : p_(program), uses_(program.sizes.size(), 0), given_(program.sizes.size(), false) {
        for (const Port& q : p_.inputs) given_[q.reg] = true;
        for (const Port& q : p_.outputs) ++uses_[q.reg], ++uses_[q.reg];     // what is left outside stays as it is
        for (const Phase& phase : p_.phases) {
            for (const Product& q : phase.products)
                for (int r : q.sources) uses_[r] += 2;
            for (const Reduce& q : phase.reduces) uses_[q.in] += 2;
            for (const Instruction& q : phase.instructions)
                for (int r : q.in) ++uses_[r];
        }
    }

    void run() {
        for (Phase& phase : p_.phases)
            for (Product& product : phase.products) add_starts(product);
        for (Phase& phase : p_.phases) join(phase.instructions);
    }

private:
    Program& p_;
    std::vector<int> uses_;
    std::vector<bool> given_;

    // While a destination is only ever added to something given, begin with that.
    void add_starts(Product& product) {
        product.starts.resize(product.destinations.size());
        for (size_t d = 0; d < product.destinations.size(); ++d)
            while (product.starts[d].size() < 2 && add_start(product.destinations[d], product.starts[d])) {
            }
    }

    bool add_start(int& destination, std::vector<int>& starts) {
        if (uses_[destination] != 1) return false;
        for (Phase& phase : p_.phases)
            for (size_t i = 0; i < phase.instructions.size(); ++i) {
                const Instruction& q = phase.instructions[i];
                const auto at = std::find(q.in.begin(), q.in.end(), destination);
                if (at == q.in.end()) continue;
                if (q.op != add) return false;
                const int other = q.in[at == q.in.begin() ? 1 : 0];
                if (!given_[other] || p_.sizes[other] != p_.sizes[destination]) return false;
                starts.push_back(other);
                destination = q.out;
                phase.instructions.erase(phase.instructions.begin() + i);
                return true;
            }
        return false;
    }

    // mul into add, sub or mul, and sub into mul, where nothing else needs the inner result.
    void join(std::vector<Instruction>& all) {
        for (size_t i = 0; i < all.size(); ++i)
            for (int side = 0; side < (int)all[i].in.size() && all[i].in.size() == 2; ++side) {
                const int inner_at = inner(all, i, all[i].in[side]);
                if (inner_at < 0) continue;
                const Instruction a = all[inner_at];
                const int other = all[i].in[1 - side];
                Instruction& q = all[i];
                if (a.op == mul && q.op == add) q = {op_named("muladd"), q.out, {a.in[0], a.in[1], other}};
                else if (a.op == mul && q.op == sub && side == 1) q = {op_named("submul"), q.out, {other, a.in[0], a.in[1]}};
                else if (a.op == sub && q.op == mul) q = {op_named("difmul"), q.out, {a.in[0], a.in[1], other}};
                else if (a.op == mul && q.op == mul) q = {op_named("mulmul"), q.out, {a.in[0], a.in[1], other}};
                else continue;
                all.erase(all.begin() + inner_at);
                --i;
                break;
            }
    }

    int inner(const std::vector<Instruction>& all, size_t before, int reg) const {
        if (uses_[reg] != 1 || p_.sizes[reg] != p_.sizes[all[before].out]) return -1;
        for (size_t i = 0; i < before; ++i)
            if (all[i].out == reg) return (int)i;
        return -1;
    }
};

}  // namespace

void fuse(Program& program) { Fusion(program).run(); }

void fuse(Pointwise& program) {
    std::vector<int> uses(program.registers, 0);
    for (const Pointwise::Step& q : program.steps)
        for (int i = 0; i < op_arity[q.op]; ++i) ++uses[q.in[i]];
    const auto zero = [&](int reg) {
        const int number = reg - program.inputs;
        return number >= 0 && number < (int)program.numbers.size() && program.numbers[number] == 0;
    };
    std::vector<Pointwise::Step> found;
    for (Pointwise::Step q : program.steps) {
        const auto above_zero = [&](const Pointwise::Step& a) {
            return a.out == q.in[0] && a.op == op_named("greater") && uses[a.out] == 1 && zero(a.in[1]);
        };
        const auto a = q.op == op_named("select") ? std::find_if(found.begin(), found.end(), above_zero) : found.end();
        if (a != found.end()) {
            q = {op_named("positive"), q.out, {a->in[0], q.in[1], q.in[2]}};
            found.erase(a);
        }
        found.push_back(q);
    }
    program.steps = std::move(found);
}

}  // namespace pellucid
