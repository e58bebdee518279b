// Matrices in the order in which the product kernel reads them.

#pragma once

#include <algorithm>
#include <vector>

#include "isa.h"
#include "program.h"
#include "sweep.h"

namespace pellucid {

// One output vector of a group: `lanes` units of one part.
struct Lane {
    int part;
    long unit;      // first one, within the head
};

// A group is what one kernel call computes: up to `vectors` output vectors that share their operand.
struct PackedGroup {
    int count;
    Lane lane[most_vectors];
    size_t offset;
};

// One product's matrix, for each head a list of groups. Their units ascend; a tile begins at a group's first unit.
template <class T>
struct Packed {
    int parts = 1;              // of the output
    int segments = 1;           // of the operand: a transposed product adds up its parts
    long units = 0, depth = 0;  // output units and operand numbers of a head's part
    long words = 0;             // that these numbers take
    long per_block = 1;         // groups that begin at one unit
    long units_per_step = 0;    // units from one group to the next that begins elsewhere
    std::vector<PackedGroup> groups;
    int vectors = 0;            // of a group, at most
    T* data = nullptr;
    size_t head_size = 0, size = 0;
    bool packed = false;        // by an earlier call

    const T* panel(int head, const PackedGroup& g, int segment, int lanes) const {
        return data + head * head_size + g.offset + (size_t)segment * words * g.count * lanes;
    }
};

// Vectors of a group: with many rows each weight is used often, and few vectors cut the units finely; with few rows the
// processor needs more sums at a time to be busy.
template <class T>
int vectors_of_group(const Kernels<T>& kernels, int parts, long rows) {
    if (rows <= kernels.rows[most_vectors - 1]) return most_vectors;
    if (rows < 8) return kernels.vectors;
    return std::min(kernels.vectors, parts % 2 == 0 || parts == 1 ? 2 : 3);
}

// The layout for products of so many rows; `data` is to have room for `size` numbers, which pack_share brings.
template <class T>
Packed<T> lay_out(const Product& product, const Matrix<T>& m, long row_count, const Kernels<T>& kernels) {
    Packed<T> p;
    const long rows = m.rows / product.parts / product.heads;   // of a part of a head
    p.parts = product.transposed ? 1 : product.parts;
    p.segments = product.transposed ? product.parts : 1;
    p.units = product.transposed ? m.columns : rows;
    p.depth = product.transposed ? rows : m.columns;
    p.words = kernels.words(p.depth);
    const int lanes = kernels.lanes, vectors = vectors_of_group(kernels, p.parts, row_count);
    const long blocks = (p.units + lanes - 1) / lanes;
    const long together = std::max(1, vectors / p.parts);       // blocks of units in a group
    p.units_per_step = together * lanes;
    size_t offset = 0;
    for (long block = 0; block < blocks; block += together) {
        std::vector<Lane> all;
        for (long b = block; b < std::min(block + together, blocks); ++b)
            for (int part = 0; part < p.parts; ++part) all.push_back({part, b * lanes});
        for (size_t first = 0; first < all.size(); first += vectors) {
            PackedGroup g{(int)std::min(all.size() - first, (size_t)vectors), {}, offset};
            std::copy_n(all.begin() + first, g.count, g.lane);
            p.groups.push_back(g);
            offset += (size_t)g.count * lanes * p.words * p.segments;
        }
    }
    p.per_block = (std::min(together, blocks) * p.parts + vectors - 1) / vectors;
    p.head_size = offset;
    p.size = offset * product.heads;
    p.vectors = vectors;
    return p;
}

// One thread's share of the numbers.
template <class T>
void pack_share(const Packed<T>& p, const Product& product, const Matrix<T>& m, const Kernels<T>& kernels, int index, int count) {
    const int lanes = kernels.lanes;
    const long rows = m.rows / product.parts / product.heads, part_rows = m.rows / product.parts;
    const size_t all = p.groups.size() * product.heads;
    for (size_t each = all * index / count; each < all * (index + 1) / count; ++each) {
        const int head = (int)(each / p.groups.size());
        const PackedGroup& g = p.groups[each % p.groups.size()];
        for (int segment = 0; segment < p.segments; ++segment)
            for (int j = 0; j < g.count; ++j) {
                T* to = const_cast<T*>(p.panel(head, g, segment, lanes)) + j * lanes;
                const long step = (long)g.count * lanes, unit = g.lane[j].unit, valid = std::min<long>(lanes, p.units - unit);
                if (!product.transposed) {
                    const T* from = m.data + (g.lane[j].part * part_rows + head * rows + unit) * m.row;
                    kernels.turn({from, m.row, (int)valid, p.depth, to, step});
                    continue;
                }
                const T* from = m.data + (segment * part_rows + head * rows) * m.row + unit;
                for (long k = 0; k < p.depth; k += kernels.pair, to += step, from += kernels.pair * m.row) {
                    if (kernels.pair == 2) kernels.across(from, k + 1 < p.depth ? from + m.row : nullptr, valid, to);
                    else std::copy_n(from, valid, to);
                    std::fill(to + valid, to + lanes, T(0));
                }
            }
    }
}

}  // namespace pellucid
