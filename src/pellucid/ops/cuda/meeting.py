"""How the blocks of a team meet: how what a product multiplies comes to each of them, and how sums over units do.

The same three ways for every cell: a block alone, a cluster of blocks that store into one another's shared memory, and a
grid of running blocks that meet in the GPU's memory. A place is written every other step; whoever writes it again has seen
what all others sent in the step between, which they did after they had read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.ops.cuda.generate import Writer


class Block:
    """A block alone.

    Attributes:
        exchange: bytes of the GPU's memory that a team meets in.
    """

    exchange = 0
    buffers = 1

    def __init__(self, writer: Writer) -> None:
        self.writer, self.share = writer, writer.share

    def lay(self) -> None:
        """Lay out shared memory."""
        w, share = self.writer, self.share
        for i, t in enumerate(w.tilings):
            w.lay(f"operand{i}", "Operand", self.buffers * t.operand)
        slots = max((len(s) for s in w.sums), default=0)
        if slots:
            widest = max(share.units(n) for n in w.letters)
            w.lay("terms", "Real", slots * share.tile * widest * share.real)
            w.lay("sums", "Real", slots * share.tile * share.real)

    def ready(self) -> None:
        """Before the first step."""
        for i, t in enumerate(self.writer.tilings):
            size = self.buffers * t.operand // self.share.operand
            self.writer.put(f"for (int i = thread; i < {size}; i += THREADS) operand{i}[i] = as<Operand>(Real(0));")
        self.writer.put("block_sync();")

    def end(self) -> None:
        """After the last step."""

    def columns(self, i: int) -> list[str]:
        """For each source of a product the column of element i in what it multiplies."""
        p = self.writer.products[i]
        padded = self.share.team * self.share.units(p.out_of)
        return [f"{k * padded} + unit{p.out_of}[i]" for k in range(len(p.sources))]

    def values(self, i: int) -> list[str]:
        """For each source of a product the statements that make ``v`` of elements i to i + WIDE."""
        p = self.writer.products[i]
        return [
            "Pack<Operand, WIDE> v;\n#pragma unroll\nfor (int k = 0; k < WIDE; ++k) "
            f"v.v[k] = as<Operand>(live{p.out_of}[i + k] ? {self.writer.name(r, p.out_of, 'i + k')} : Real(0));"
            for r in p.sources
        ]

    def bring(self, i: int) -> str:
        """What product i multiplies, to shared memory; return where it lies there."""
        w, p, t = self.writer, self.writer.products[i], self.writer.tilings[i]
        n = p.out_of
        for column, value in zip(self.columns(i), self.values(i), strict=True):
            to = f"*(Pack<Operand, WIDE>*)(operand{i} + local{n}[i] * {t.stride} + {column})"
            w.each_pack(n, f"{value}\nif ({w.mine(n, 'i')}) {to} = v;")
        w.meanwhile()
        w.put("block_sync();")
        return f"operand{i}"

    def add(self, i: int, of_units: str, pairs: int) -> None:
        """The sums, of which this block's share is ``of_units``: a number for each ``pair`` of sum and sequence."""
        self.writer.put(
            f"for (int pair = warp; pair < {pairs}; pair += THREADS / 32) {{\n"
            f"  const Real sum = {of_units};\n  if (lane == 0) sums[pair] = sum;\n}}\nblock_sync();"
        )


class Cluster(Block):
    """Blocks that store into one another's shared memory; a barrier counts the bytes that have come."""

    buffers = 2

    def lay(self) -> None:
        """Lay out shared memory."""
        super().lay()
        w, share = self.writer, self.share
        w.lay("barriers", "u64", 16 * (len(w.products) + len(w.sums)))
        most = max((len(p.sources) * share.elements(p.out_of) for p in w.products), default=0)
        w.lay("leaving", "Operand", share.threads * most * share.operand)
        for i, s in enumerate(w.sums):
            w.lay(f"shares{i}", "Real", 2 * len(s) * share.tile * share.team * share.real)

    def ready(self) -> None:
        """Before the first step: the barriers are made before anyone sends."""
        super().ready()
        count = 2 * (len(self.writer.products) + len(self.writer.sums))
        self.writer.put(
            f"if (thread == 0) {{\n  for (int i = 0; i < {count}; ++i) barrier_make(barriers + i);\n  barriers_made();\n}}\n"
            "block_sync();\ncluster_sync();"
        )

    def end(self) -> None:
        """Nobody goes while others may still send to it."""
        self.writer.put("cluster_sync();")

    def bring(self, i: int) -> str:
        """Lanes that lie side by side gather 16 bytes, and each of them sends these to other blocks."""
        w, share, p, t = self.writer, self.share, self.writer.products[i], self.writer.tilings[i]
        n, count = p.out_of, len(p.sources)
        lanes = 16 // (share.operand * share.wide)
        bytes_of_row = count * share.team * share.units(n) * share.operand
        w.put(
            f"u64* const barrier = barriers + {2 * i} + (s & 1);\n"
            f"Operand* const arriving = operand{i} + (s & 1) * {t.operand // share.operand};\n"
            f"Operand* const here = leaving + warp * {count} * J{n} * 32;\n"
            f"if (thread == 0) barrier_expect(barrier, rows * {bytes_of_row});"
        )
        for k, value in enumerate(self.values(i)):
            w.each_pack(n, f"{value}\n*(Pack<Operand, WIDE>*)(here + (({k} * G{n} + g) * 32 + lane) * WIDE) = v;")
        w.put("warp_sync();")
        for k, column in enumerate(self.columns(i)):
            w.each_pack(
                n,
                f"if ({w.mine(n, 'i')} && row{n}[i] < batch) {{\n"
                f"  const Chunk v = *(const Chunk*)(here + (({k} * G{n} + g) * 32 + lane / {lanes} * {lanes}) * WIDE);\n"
                f"  Operand* const to = arriving + local{n}[i] * {t.stride} + {column} - lane % {lanes} * WIDE;\n"
                f"#pragma unroll\n  for (int block = lane % {lanes}; block < TEAM; block += {lanes}) put(to, barrier, block, v);\n}}",
            )
        w.meanwhile()
        w.put("barrier_wait(barrier, (s >> 1) & 1);")
        if share.tile * share.units(n) < share.threads * share.wide:
            w.put("block_sync();")  # a warp that has nothing to send may still be reading the last results
        return "arriving"

    def add(self, i: int, of_units: str, pairs: int) -> None:
        """Every block's share to every block."""
        w, share = self.writer, self.share
        which = len(w.products) + i
        w.put(
            f"u64* const barrier = barriers + {2 * which} + (s & 1);\n"
            f"Real* const shares = shares{i} + (s & 1) * {pairs * share.team};\n"
            f"if (thread == 0) barrier_expect(barrier, {pairs * share.team * share.real});\n"
            f"for (int pair = warp; pair < {pairs}; pair += THREADS / 32) {{\n  const Real sum = {of_units};\n"
            "  for (int block = lane; block < TEAM; block += 32) put(shares + pair * TEAM + rank, barrier, block, sum);\n}"
        )
        w.meanwhile()
        w.put("barrier_wait(barrier, (s >> 1) & 1);")
        super().add(i, "sum_of_blocks<TEAM>([&](int block) { return shares[pair * TEAM + block]; })", pairs)


class Grid(Block):
    """Blocks that are all running, and meet in the GPU's memory: each raises a flag when what it has posted is there."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        tile, team = self.share.tile, self.share.team
        sizes = [tile * self._columns(i) * self.share.operand for i in range(len(writer.products))]
        sizes += [len(sums) * tile * team * self.share.real for sums in writer.sums]
        self.flags: list[int] = []
        self.places: list[int] = []
        for size in sizes:
            self.flags.append(self._place(4 * team))
            self.places.append(self._place(2 * size))

    def _place(self, size: int) -> int:
        place, self.exchange = self.exchange, self.exchange + -(-size // 128) * 128
        return place

    def _columns(self, i: int) -> int:
        p = self.writer.products[i]
        return len(p.sources) * self.share.team * self.share.units(p.out_of)

    def ready(self) -> None:
        """Before the first step."""
        super().ready()
        self.writer.put(
            f"unsigned char* const meeting = call.exchange + (i64)(tile * GROUPS + group) * {self.exchange};"
        )

    def bring(self, i: int) -> str:
        """Everyone's units are posted, and read by all."""
        w, share, t = self.writer, self.share, self.writer.tilings[i]
        n, columns = w.products[i].out_of, self._columns(i)
        w.put(f"Operand* const posted = (Operand*)(meeting + {self.places[i]}) + (s & 1) * {share.tile * columns};")
        for column, value in zip(self.columns(i), self.values(i), strict=True):
            to = f"*(Pack<Operand, WIDE>*)(posted + local{n}[i] * {columns} + {column})"
            w.each_pack(n, f"{value}\nif ({w.mine(n, 'i')} && row{n}[i] < batch) {to} = v;")
        self._meet(i)
        bytes_ = share.operand
        w.put(
            f"read_rows<{columns * bytes_ // 16}, {t.stride * bytes_ // 16}, THREADS>("
            f"(Chunk*)operand{i}, (const Chunk*)posted, rows);"
        )
        w.meanwhile()
        w.put("block_sync();")
        return f"operand{i}"

    def _meet(self, i: int) -> None:
        self.writer.put(
            f"u32* const flags = (u32*)(meeting + {self.flags[i]});\nconst u32 turn = s + 1;\n"
            "block_sync();\nif (thread == 0) flag_raise(flags + rank, turn);\n"
            "for (int i = thread; i < TEAM; i += THREADS) flag_await(flags + i, turn);\nblock_sync();"
        )

    def add(self, i: int, of_units: str, pairs: int) -> None:
        """Every block posts its share, and reads all."""
        w, which = self.writer, len(self.writer.products) + i
        w.put(
            f"Real* const shares = (Real*)(meeting + {self.places[which]}) + (s & 1) * {pairs * self.share.team};\n"
            f"for (int pair = warp; pair < {pairs}; pair += THREADS / 32) {{\n  const Real sum = {of_units};\n"
            "  if (lane == 0) shares[pair * TEAM + rank] = sum;\n}"
        )
        self._meet(which)
        super().add(
            i, "sum_of_blocks<TEAM>([&](int block) { return read_posted(shares + pair * TEAM + block); })", pairs
        )


MEETINGS = {"block": Block, "cluster": Cluster, "grid": Grid}
