"""Writes nonce_kernels_x86.h: the inner loops of the Bitcoin nonce search, as straight-line x86 assembly.

Run by hand (``python src/_native/nonce_generate.py``) after a change here; a test compares the committed
header with what this script would write.

The intuition.  A header's double SHA-256 is 128 rounds and 96 schedule words, but for a search over nonces
most of the edges are constant: the midstate, the first three rounds, words 16 and 17, the padding, round 0
of the second hash; and the second hash may stop at round 60, whose e is the most significant word of the
result.  Written out by a program, every word is either a register or a *constant*, constants melt into one
addend, and nobody edits rounds by hand.

The complications.

* Constants depend on the header, so the code names them by a slot in the kernel's memory, and a table says
  what to put there: a number plus at most one symbol (Symbol below) that C computes for each header.
* Values are virtual registers; a linear scan gives them real ones (``Code.allocate``).  Where the window of
  16 schedule words does not fit (AVX2 has 16 registers), words live in memory and are loaded at each use.
* The hybrids compute the schedules of 8 nonces in vector registers and the rounds with sha256rnds2, one
  hash a stream, four streams at once.  The vector code of one batch is woven evenly between the rounds of
  another: in one iteration of the loop, `schedule 1 of batch i` beside `rounds 2 of i-2`, then `schedule 2
  of i-1` beside `rounds 1 of i`.  So nothing is ever waited for, at the price of two batches to fill.
* Measured on Zen 4: sha256rnds2 starts once a cycle and runs beside *ymm* shifts, adds and xors for free,
  but a *zmm* operation takes a pipe for two cycles and holds it up, and vpternlog (three sources, as
  sha256rnds2 has) cannot run beside it at all.  Hence ymm and two xors instead of zmm and one vpternlog:
  that alone took the hybrid from 85 cycles a hash to under 70.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

K = [
    int(word, 16)
    for word in """
    428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5 d807aa98 12835b01 243185be 550c7dc3
    72be5d74 80deb1fe 9bdc06a7 c19bf174 e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da
    983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967 27b70a85 2e1b2138 4d2c6dfc 53380d13
    650a7354 766a0abb 81c2c92e 92722c85 a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070
    19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3 748f82ee 78a5636f 84c87814 8cc70208
    90befffa a4506ceb bef9a3f7 c67178f2""".split()
]
INITIAL = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
MASK = 0xFFFFFFFF

SYMBOLS = (
    "ZERO",  # always 0: a plain number
    *(f"MID{i}" for i in range(8)),  # the midstate, a to h
    *(f"STATE{i}" for i in range(8)),  # after round 3 of the first hash, without the nonce's word in a and e
    "W16", "W17", "SUM18", "SUM19", "SUM31", "SUM32",  # schedule words of the first hash, or their constant part
    "TARGET",  # the most significant word of the target
)  # fmt: skip


@dataclass(frozen=True)
class Constant:
    """A number plus at most one symbol that is known when the header is."""

    number: int = 0
    symbol: str = "ZERO"

    def __add__(self, other: Constant) -> Constant:
        assert "ZERO" in (self.symbol, other.symbol), "two symbols in one constant need a symbol of their own"
        return Constant((self.number + other.number) & MASK, self.symbol if other.symbol == "ZERO" else other.symbol)


def rotate_right(value: int, count: int) -> int:
    return (value >> count | value << (32 - count)) & MASK


def small_sigma_0(value: int) -> int:
    return rotate_right(value, 7) ^ rotate_right(value, 18) ^ value >> 3


def small_sigma_1(value: int) -> int:
    return rotate_right(value, 17) ^ rotate_right(value, 19) ^ value >> 10


@dataclass(eq=False)
class Value:
    """A virtual register."""

    last_use: int = -1
    register: int = -1


@dataclass
class Operation:
    template: str
    result: Value | None
    sources: tuple[Value, ...]
    tied: bool  # the result replaces the first source, which must not be used again


@dataclass
class Memory:
    """The kernel's memory: constants in front, then scratch; offsets from one base register."""

    width: int  # bytes of a constant: 4 where instructions can broadcast, else a whole vector
    size: int = 0
    slots: dict[tuple[object, ...], int] = field(default_factory=dict)
    rows: list[tuple[int, Constant]] = field(default_factory=list)

    def reserve(self, size: int, align: int) -> int:
        offset = (self.size + align - 1) // align * align
        self.size = offset + size
        return offset

    def words(self, *constants: Constant, width: int = 4) -> int:
        """The offset of these words, in a row; each repeated to fill `width` bytes."""
        key = (width, *constants)
        if key not in self.slots:
            align = min(64, 1 << (width * len(constants) - 1).bit_length())
            offset = self.slots[key] = self.reserve(width * len(constants), align)
            for i, constant in enumerate(constants):
                for lane in range(0, width, 4):
                    self.rows.append((offset + i * width + lane, constant))
        return self.slots[key]

    def vector(self, constant: Constant) -> int:
        return self.words(constant, width=self.width)


@dataclass
class Target:
    """An instruction set, a register width, and the registers that vector code may use."""

    letter: str  # x, y or z
    evex: bool  # AVX-512: rotations, broadcasts, 32 registers
    ternary: bool  # vpternlog pays here
    registers: tuple[int, ...]
    window_in_registers: bool

    @property
    def bytes(self) -> int:
        return {"x": 16, "y": 32, "z": 64}[self.letter]

    @property
    def lanes(self) -> int:
        return self.bytes // 4


class Code:
    """Straight-line vector code over virtual registers."""

    def __init__(self, target: Target, memory: Memory) -> None:
        self.target = target
        self.memory = memory
        self.operations: list[Operation] = []
        self.move = "vmovdqa32" if target.evex else "vmovdqa"
        self.logic = "d" if target.evex else ""

    def do(self, template: str, *sources: Value, tied: bool = False) -> Value:
        result = Value()
        self.operations.append(Operation(template, result, sources, tied))
        return result

    def effect(self, template: str, *sources: Value) -> None:
        self.operations.append(Operation(template, None, sources, False))

    # --- one instruction each ---
    def spot(self, constant: Constant) -> str:
        """A constant as a memory operand, in each lane (braces are doubled: a template holds it)."""
        suffix = f"%{{{{1to{self.target.lanes}%}}}}" if self.target.evex else ""
        return f"{self.memory.vector(constant)}(%[m]){suffix}"

    def load(self, offset: int) -> Value:
        return self.do(f"{self.move} {offset}(%[m]), {{d}}")

    def store(self, value: Value, offset: int) -> None:
        self.effect(f"{self.move} {{0}}, {offset}(%[m])", value)

    def spread(self, constant: Constant) -> Value:
        offset = self.memory.vector(constant)
        return self.do(f"vpbroadcastd {offset}(%[m]), {{d}}") if self.target.evex else self.load(offset)

    def add(self, left: Value, right: Value) -> Value:
        return self.do("vpaddd {1}, {0}, {d}", left, right)

    def add_memory(self, value: Value, offset: int) -> Value:
        return self.do(f"vpaddd {offset}(%[m]), {{0}}, {{d}}", value)

    def add_constant(self, value: Value, constant: Constant) -> Value:
        if constant == Constant():
            return value
        return self.do(f"vpaddd {self.spot(constant)}, {{0}}, {{d}}", value)

    def shift(self, value: Value, count: int) -> Value:
        return self.do(f"vpsrld ${count}, {{0}}, {{d}}", value)

    def xor(self, left: Value, right: Value) -> Value:
        return self.do(f"vpxor{self.logic} {{1}}, {{0}}, {{d}}", left, right)

    def land(self, left: Value, right: Value) -> Value:
        return self.do(f"vpand{self.logic} {{1}}, {{0}}, {{d}}", left, right)

    def low_pair(self, left: Value, right: Value, kind: str = "ldq") -> Value:
        return self.do(f"vpunpck{kind} {{1}}, {{0}}, {{d}}", left, right)

    def swap_bytes(self, value: Value) -> Value:
        masks = [Constant(0x00010203 + 0x04040404 * (i % 4)) for i in range(self.target.lanes)]
        return self.do(f"vpshufb {self.memory.words(*masks)}(%[m]), {{0}}, {{d}}", value)

    # --- SHA-256's functions ---
    def xor_terms(self, terms: list[Value]) -> Value:
        while len(terms) > 2 and self.target.ternary:
            first, second, third, *rest = terms
            terms = [self.do("vpternlogd $0x96, {2}, {1}, {d}", first, second, third, tied=True), *rest]
        result = terms[0]
        for term in terms[1:]:
            result = self.xor(result, term)
        return result

    def rotations(self, value: Value, counts: tuple[int, ...], shift: int = 0) -> Value:
        terms: list[Value] = []
        for count in counts:
            if self.target.evex:
                terms.append(self.do(f"vprord ${count}, {{0}}, {{d}}", value))
            else:
                terms.append(self.shift(value, count))
                left = self.do(f"vpslld ${32 - count}, {{0}}, {{d}}", value)
                terms.append(left)
            if len(terms) > 1 and not self.target.ternary:
                terms = [self.xor_terms(terms)]
        if shift:
            terms.append(self.shift(value, shift))
        return self.xor_terms(terms)

    def choose(self, e: Value, f: Value, g: Value) -> Value:
        if self.target.ternary:
            copy = self.do(f"{self.move} {{0}}, {{d}}", e)
            return self.do("vpternlogd $0xca, {2}, {1}, {d}", copy, f, g, tied=True)
        return self.xor(self.land(self.xor(f, g), e), g)

    # --- registers ---
    def allocate(self) -> list[str]:
        """Linear scan: the text of each operation with real registers."""
        for index, operation in enumerate(self.operations):
            for source in operation.sources:
                source.last_use = index
        free = list(self.target.registers)
        lines = []
        for index, operation in enumerate(self.operations):
            sources = operation.sources
            names = [self.name(source.register) for source in sources]
            dying = {source for source in sources if source.last_use == index}
            free.extend(sorted(source.register for source in dying))
            result = operation.result
            if result is not None:
                if operation.tied:
                    assert sources[0] in dying, operation.template
                    free.remove(sources[0].register)
                    result.register = sources[0].register
                else:
                    assert free, "out of registers"
                    result.register = free.pop(0)
                if result.last_use < 0:
                    free.append(result.register)
                names_d = self.name(result.register)
            else:
                names_d = ""
            lines.append(operation.template.format(*names, d=names_d))
        assert sorted(free) == sorted(self.target.registers)
        return lines

    def name(self, register: int) -> str:
        return f"%%{self.target.letter}mm{register}"


@dataclass
class Kernel:
    memory: Memory
    body: list[str]  # of the loop over batches
    nonces: int  # offset of the vector of nonces
    lanes: int
    delay: int  # batches before the first result


class Schedule:
    """The words of one message block: a constant, or a vector, in a register or in memory."""

    def __init__(self, code: Code, words: list[Constant], folded: dict[int, Constant], base: int) -> None:
        self.code = code
        self.words: list[Constant | Value] = list(words)
        self.folded = folded  # words (or parts of words) that only C can compute: the symbols
        self.base = base  # where words live when they do not live in registers
        self.recent = -1  # the word that is in a register anyway

    def put(self, index: int, value: Value) -> None:
        self.words[index] = value
        self.recent = index
        if not self.code.target.window_in_registers:
            self.code.store(value, self.base + index * self.code.target.bytes)

    def get(self, index: int) -> Value:
        word = self.words[index]
        assert isinstance(word, Value)
        if self.code.target.window_in_registers or index == self.recent:
            return word
        return self.code.load(self.base + index * self.code.target.bytes)

    def add_word(self, total: Value, index: int) -> Value:
        if self.code.target.window_in_registers:
            return self.code.add(total, self.get(index))
        return self.code.add_memory(total, self.base + index * self.code.target.bytes)

    def extend(self) -> None:
        """Appends the next word: sigma1(w[t-2]) + w[t-7] + sigma0(w[t-15]) + w[t-16]."""
        t = len(self.words)
        code = self.code
        constant = Constant()
        total: Value | None = None
        plain: list[int] = []
        if t in self.folded:
            constant = self.folded[t]
        sigmas = [(t - 15, (7, 18), 3), (t - 2, (17, 19), 10)]
        for index in (t - 7, t - 16):
            word = self.words[index]
            if isinstance(word, Value):
                plain.append(index)
            elif t not in self.folded:
                constant = constant + word
        for index, rotations, shift in sigmas:
            word = self.words[index]
            if isinstance(word, Value):
                sigma = code.rotations(self.get(index), rotations, shift)
                total = sigma if total is None else code.add(total, sigma)
                if index == t - 15:
                    for other in plain:
                        total = self.add_word(total, other)
                    plain = []
            elif t not in self.folded:
                assert word.symbol == "ZERO", f"word {t} needs a symbol"
                constant = constant + Constant((small_sigma_0 if index == t - 15 else small_sigma_1)(word.number))
        for other in plain:
            total = self.get(other) if total is None else self.add_word(total, other)
        self.words.append(constant)
        if total is not None:
            self.put(t, code.add_constant(total, constant))


def first_schedule(code: Code, nonce_word: Value, base: int) -> Schedule:
    """The last 16 bytes of a header, of which the nonce is the last word, and the padding of 80 bytes."""
    words = [Constant(0, "?")] * 4 + [Constant(0x80000000)] + [Constant()] * 10
    words += [Constant(640), Constant(0, "W16"), Constant(0, "W17")]
    folded = {t: Constant(0, f"SUM{t}") for t in (18, 19, 31, 32)}
    schedule = Schedule(code, words, folded, base)
    schedule.put(3, nonce_word)
    return schedule


def second_schedule(code: Code, base: int) -> Schedule:
    """A digest, to be put, and the padding of 32 bytes."""
    words = [Constant(0, "?")] * 8 + [Constant(0x80000000)] + [Constant()] * 6 + [Constant(256)]
    return Schedule(code, words, {}, base)


def nonce_word(code: Code, nonces: int, step: int) -> Value:
    """Loads the next nonces, steps them, and gives their big-endian words."""
    value = code.load(nonces)
    code.store(code.add_constant(value, Constant(step)), nonces)
    return code.swap_bytes(value)


# --- the hybrids: schedules in vectors, rounds in sha256rnds2 --------------------------------------------------
def lane_offset(lane: int) -> int:
    """Where unpacking puts the 8 bytes of a lane, in a row of 64."""
    return (32 if lane & 2 else 0) + (16 if lane & 4 else 0) + (8 if lane & 1 else 0)


@dataclass
class Feed:
    """What one half of the streams eats: 64 bytes a step (an 8-byte pair of w + k a lane), or one constant pair."""

    start: int  # of the row with the word that a and e still lack
    pairs: list[int] = field(default_factory=list)  # offsets
    shared: list[bool] = field(default_factory=list)  # a constant pair, the same for each lane


def store_pair(code: Code, left: Value, right: Value, offset: int) -> None:
    code.store(code.low_pair(left, right), offset)
    code.store(code.low_pair(left, right, "hdq"), offset + 32)


def store_start(code: Code, word: Value, offset: int) -> None:
    """Rows of (0, word): what is added to f, e, b and a."""
    store_pair(code, code.spread(Constant()), word, offset)


def store_feed(code: Code, schedule: Schedule, first: int, last: int, feed: Feed) -> None:
    """Extends the schedule to `last`, and stores pairs of w + k from round `first` on."""
    for t in range(first, last, 2):
        halves: list[Constant | Value] = []
        for index in (t, t + 1):
            while len(schedule.words) <= index:
                schedule.extend()
            word = schedule.words[index]
            k = Constant(K[index])
            halves.append(word + k if isinstance(word, Constant) else code.add_constant(schedule.get(index), k))
        left, right = halves
        if isinstance(left, Constant) and isinstance(right, Constant):
            feed.pairs.append(code.memory.words(left, right))
            feed.shared.append(True)
            continue
        left = code.spread(left) if isinstance(left, Constant) else left
        right = code.spread(right) if isinstance(right, Constant) else right
        feed.pairs.append(code.memory.reserve(64, 64))
        feed.shared.append(False)
        store_pair(code, left, right, feed.pairs[-1])


def transposed(code: Code, offset: int) -> list[Value]:
    """Eight xmm rows of four words, as four vectors of eight lanes."""
    rows = [code.load(offset + 32 * i) for i in range(4)]
    low = [code.low_pair(rows[i], rows[i + 1]) for i in (0, 2)]
    high = [code.low_pair(rows[i], rows[i + 1], "hdq") for i in (0, 2)]
    return [code.low_pair(*pair, kind) for pair in (low, high) for kind in ("lqdq", "hqdq")]


Finish = Callable[[int, str, str], list[str]]  # lane, the registers of abef and of cdgh: what to do with them


def rounds(memory: Memory, feed: Feed, start: list[Constant], streams: int, finish: Finish) -> Iterator[str]:
    """The text of 30 double rounds for 8 lanes; each item is a load with its sha256rnds2, or one other line."""
    a, b, c, d, e, f, g, h = start
    abef, cdgh = memory.words(f, e, b, a), memory.words(h, g, d, c)
    for first in range(0, 8, streams):
        lanes = range(first, min(8, first + streams))
        for lane in lanes:
            register = 1 + 2 * (lane - first)
            yield f"vmovddup {feed.start + lane_offset(lane)}(%[m]), %%xmm{register}"
            yield f"vpaddd {abef}(%[m]), %%xmm{register}, %%xmm{register}\nvmovdqa {cdgh}(%[m]), %%xmm{register + 1}"
        for step, (pair, shared) in enumerate(zip(feed.pairs, feed.shared, strict=True)):
            for lane in lanes:
                register = 1 + 2 * (lane - first)
                source, target = (register, register + 1) if step % 2 == 0 else (register + 1, register)
                offset = pair if shared else pair + lane_offset(lane)
                yield f"vmovq {offset}(%[m]), %%xmm0\nsha256rnds2 %%xmm0, %%xmm{source}, %%xmm{target}"
        for lane in lanes:
            register = 1 + 2 * (lane - first)
            yield from finish(lane, f"%%xmm{register}", f"%%xmm{register + 1}")


def woven(left: list[str], right: list[str]) -> list[str]:
    """Both lists in their order, spread evenly over each other."""
    result = []
    taken = 0
    for index, line in enumerate(left):
        result.append(line)
        while taken < len(right) and (taken + 1) * len(left) <= (index + 1) * len(right):
            result.append(right[taken])
            taken += 1
    return result + right[taken:]


def hybrid(target: Target, streams: int) -> Kernel:
    memory = Memory(4 if target.evex else 32)
    nonces = memory.reserve(32, 64)
    tr = memory.reserve(256, 64)
    final = memory.reserve(64, 64)
    window = memory.reserve(64 * 32, 64)
    feeds = [Feed(memory.reserve(64, 64)), Feed(memory.reserve(64, 64))]

    one = Code(target, memory)
    word = nonce_word(one, nonces, 8)
    store_start(one, word, feeds[0].start)
    schedule = first_schedule(one, word, window)
    store_feed(one, schedule, 4, 64, feeds[0])

    two = Code(target, memory)
    schedule = second_schedule(two, window)
    for half, places in ((tr + 128, (7, 6, 3, 2)), (tr, (5, 4, 1, 0))):
        for place, value in zip(places, transposed(two, half), strict=True):
            schedule.put(place, two.add_constant(value, Constant(0, f"MID{place}")))
    store_start(two, schedule.get(0), feeds[1].start)
    store_feed(two, schedule, 1, 61, feeds[1])
    rows_of_final = [two.load(final), two.load(final + 32)]
    found(two, two.do("vshufps $0xdd, {1}, {0}, {d}", *rows_of_final))

    start_1 = [Constant(0, f"STATE{i}") for i in range(8)]
    start_2 = round_0_of_second()
    def keep_state(lane: int, abef: str, cdgh: str) -> list[str]:
        place = tr + 32 * (lane % 4) + 16 * (lane // 4)
        return [f"vmovdqa {abef}, {place}(%[m])", f"vmovdqa {cdgh}, {place + 128}(%[m])"]

    def keep_e(lane: int, abef: str, cdgh: str) -> list[str]:
        return [f"vmovq {abef}, {final + lane_offset(lane)}(%[m])"]

    rounds_1 = list(rounds(memory, feeds[0], start_1, streams, keep_state))
    rounds_2 = list(rounds(memory, feeds[1], start_2, streams, keep_e))
    body = woven(rounds_2, one.allocate()) + woven(rounds_1, two.allocate())
    return Kernel(memory, body, nonces, 8, 2)


def round_0_of_second() -> list[Constant]:
    """The state after round 0 of the second hash, without w0 in a and e."""
    a, b, c, d, e, f, g, h = INITIAL
    sum_1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)
    sum_0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)
    first = h + sum_1 + (e & f ^ ~e & MASK & g) + K[0]
    second = sum_0 + (a & b ^ a & c ^ b & c)
    return [Constant(x & MASK) for x in (first + second, a, b, c, d + first, e, f, g)]


def found(code: Code, last: Value) -> None:
    """One bit a lane: is the most significant word of the hash, from e after round 60, at most the target's?"""
    value = code.swap_bytes(code.add_constant(last, Constant(INITIAL[7])))
    limit = code.spot(Constant(0, "TARGET"))
    letters = {8: "b", 16: "w"}[code.target.lanes]
    if code.target.evex:
        code.effect(f"vpcmpleud {limit}, {{0}}, %%k1", value)
        code.effect(f"kmov{letters} %%k1, %%eax")
    else:
        least = code.do(f"vpminud {limit}, {{0}}, {{d}}", value)
        same = code.do("vpcmpeqd {1}, {0}, {d}", least, value)
        code.effect("vmovmskps {0}, %%eax", same)
    code.effect(f"mov %%{'al' if letters == 'b' else 'ax'}, (%[found])")
    code.effect(f"add ${code.target.lanes // 8}, %[found]")


# --- vectors alone ---------------------------------------------------------------------------------------------
def vector_rounds(code: Code, schedule: Schedule, state: list[Value], first: int, last: int, light: int) -> list[Value]:
    """Rounds `first` to `last`; from round `light` on only e is needed."""
    a, b, c, d, e, f, g, h = state
    ab = code.xor(b, c) if not code.target.ternary else None
    for t in range(first, last + 1):
        while len(schedule.words) <= t:
            schedule.extend()
        word = schedule.words[t]
        k = Constant(K[t])
        if isinstance(word, Constant):
            total = code.add_constant(h, word + k)
        else:
            total = code.add(h, code.add_constant(schedule.get(t), k))
        total = code.add(total, code.choose(e, f, g))
        total = code.add(total, code.rotations(e, (6, 11, 25)))
        new_e = code.add(d, total)
        new_a = a
        if t < light:
            if ab is None:
                copy = code.do(f"{code.move} {{0}}, {{d}}", a)
                majority = code.do("vpternlogd $0xe8, {2}, {1}, {d}", copy, b, c, tied=True)
            else:
                bc, ab = ab, code.xor(a, b)
                majority = code.xor(code.land(ab, bc), b)
            new_a = code.add(code.add(total, majority), code.rotations(a, (2, 13, 22)))
        a, b, c, d, e, f, g, h = new_a, a, b, c, new_e, e, f, g
    return [a, b, c, d, e, f, g, h]


def vector(target: Target) -> Kernel:
    memory = Memory(4 if target.evex else 32)
    nonces = memory.reserve(target.bytes, 64)
    window = memory.reserve(64 * target.bytes, 64)
    code = Code(target, memory)
    word = nonce_word(code, nonces, target.lanes)
    state = [code.spread(Constant(0, f"STATE{i}")) for i in range(8)]
    state[0], state[4] = code.add(state[0], word), code.add(state[4], word)
    state = vector_rounds(code, first_schedule(code, word, window), state, 4, 63, 64)
    digest = [code.add_constant(value, Constant(0, f"MID{i}")) for i, value in enumerate(state)]
    schedule = second_schedule(code, window)
    for place, value in enumerate(digest):
        schedule.put(place, value)
    first = schedule.get(0)
    state = [code.spread(constant) for constant in round_0_of_second()]
    state[0], state[4] = code.add(state[0], first), code.add(state[4], first)
    state = vector_rounds(code, schedule, state, 1, 60, 57)
    found(code, state[4])
    return Kernel(memory, code.allocate(), nonces, target.lanes, 0)


BANNER = "/* Written by nonce_generate.py: do not edit. */\n"
KERNELS: dict[str, Callable[[], Kernel]] = {
    "avx512_sha": lambda: hybrid(Target("y", True, False, tuple(range(9, 32)), True), 4),
    "avx512": lambda: vector(Target("z", True, True, tuple(range(32)), True)),
    "avx2_sha": lambda: hybrid(Target("y", False, False, tuple(range(9, 16)), False), 4),
    "avx2": lambda: vector(Target("y", False, False, tuple(range(16)), False)),
}


def symbols_text() -> str:
    names = [f"  NONCE_{name}," for name in SYMBOLS]
    return "\n".join([BANNER, "", "enum {", *names, "  NONCE_SYMBOLS", "};", ""])


def kernel_text(name: str, kernel: Kernel) -> str:
    rows = [f"{{{offset}, NONCE_{c.symbol}, 0x{c.number:x}}}" for offset, c in kernel.memory.rows]
    lines = "\n".join(kernel.body).split("\n")
    assert kernel.memory.size <= 16384, "NONCE_MEMORY"
    return "\n".join([
        "",
        f"/* {name}: {len(lines)} instructions for {kernel.lanes} nonces. */",
        f"enum {{ {name}_nonces = {kernel.nonces}, {name}_lanes = {kernel.lanes}, {name}_delay = {kernel.delay} }};",
        f"static const struct nonce_row {name}_rows[] = {{",
        *("  " + ", ".join(rows[i : i + 4]) + "," for i in range(0, len(rows), 4)),
        "};",
        f"#define {name}_BODY \\",
        *("  " + " ".join(f'"{line}\\n"' for line in lines[i : i + 3]) + " \\" for i in range(0, len(lines), 3)),
        '  ""',
        "",
    ])  # fmt: skip


def main(folder: Path) -> None:
    (folder / "nonce_symbols.h").write_text(symbols_text())
    (folder / "nonce_generated_x86.h").write_text(BANNER + "".join(kernel_text(n, build()) for n, build in KERNELS.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
