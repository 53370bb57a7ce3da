"""Writes nonce_generated_*.h: the inner loops of the Bitcoin nonce search, as straight-line x86 assembly.

setup.py runs it before it compiles; by hand: `python src/_native/nonce_generate.py [FOLDER]`.

The intuition.  A header's double SHA-256 is 128 rounds and 96 schedule words, but for a search over nonces
most of the edges are constant: the midstate, the first three rounds, words 16 and 17, the padding, round 0
of the second hash; and the second hash may stop at round 60, whose e is the most significant word of the
result.  Written out by a program, every word is either a register or a *constant*, constants melt into one
addend, and nobody edits rounds by hand.

The complications.

* Constants depend on the header, so the code names them by a slot in the kernel's memory, and a table says
  what to put there: a number plus at most one symbol (`SYMBOLS`) that C computes for each header.
* Values are virtual registers; a linear scan gives them real ones (`Code.allocate`).  Where the window of
  16 schedule words does not fit (AVX2 has 16 registers), words live in memory and are loaded at each use.
* The hybrids compute the schedules of a batch of nonces in vector registers, and the rounds with sha256rnds2, one
  hash a chain.  The vector code of one batch is woven evenly between the rounds of others: in one iteration of the
  loop, `schedule 1 of batch i, schedule 2 of i-1` beside `rounds 2 of i-2, rounds 1 of i`.  What is read was stored
  long before, and nothing waits, at the price of two batches to fill.  The rounds of batch i may begin in the same
  iteration as its schedule because they run behind it: at each place of the text the word has been stored.
* sha256rnds2 has a latency of 4 cycles and can start once a cycle, so four chains side by side have no slack at all:
  take five or six where registers allow.
* Measured on Zen 4: sha256rnds2 runs beside *ymm* shifts, adds and xors for free.  A *zmm* shift takes both shift
  pipes, of which sha256rnds2 needs one, and vpternlog (three sources, as sha256rnds2 has) cannot run beside it.
  Hence ymm and two xors instead of zmm and one vpternlog: 69 cycles a hash instead of 90.
* That holds while the core is ours.  When another tenant runs on its other hardware thread, only half of the 6
  instructions a cycle are left; the ymm hybrid has 300 a hash and takes 105 cycles, the zmm hybrid (`wide`) has 200
  and takes 99.  So both are here, and timing chooses.  (Changing between them during a search gained nothing; nor
  did one schedule in ymm and one in zmm.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from nonce_assembler import MASK, Code, Constant, Memory, Target, Value


def cube_root(value: int) -> int:
    root = 1 << (value.bit_length() + 2) // 3
    while (smaller := (2 * root + value // root**2) // 3) < root:
        root = smaller
    return root


PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
K = [cube_root(prime << 96) & MASK for prime in PRIMES]  # FIPS 180-4: the fractions of the roots of 64 primes
assert (len(K), K[0], K[63]) == (64, 0x428A2F98, 0xC67178F2)
INITIAL = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)

SYMBOLS = (
    "ZERO",  # always 0: a plain number
    *(f"MID{i}" for i in range(8)),  # the midstate, a to h
    *(f"STATE{i}" for i in range(8)),  # after round 3 of the first hash, without the nonce's word in a and e
    "W16", "W17", "SUM18", "SUM19", "SUM31", "SUM32",  # schedule words of the first hash, or their constant part
    "TARGET",  # the most significant word of the target
)  # fmt: skip


def rotate_right(value: int, count: int) -> int:
    return (value >> count | value << (32 - count)) & MASK


def small_sigma_0(value: int) -> int:
    return rotate_right(value, 7) ^ rotate_right(value, 18) ^ value >> 3


def small_sigma_1(value: int) -> int:
    return rotate_right(value, 17) ^ rotate_right(value, 19) ^ value >> 10


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
        self.recent: list[int] = []  # the words that stay in a register a while anyway

    def put(self, index: int, value: Value) -> None:
        self.words[index] = value
        self.recent = [*self.recent[-1:], index]
        if not self.code.target.window_in_registers:
            self.code.store(value, self.base + index * self.code.target.bytes)

    def get(self, index: int) -> Value:
        word = self.words[index]
        assert isinstance(word, Value)
        if self.code.target.window_in_registers or index in self.recent:
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


def nonce_word(code: Code, nonces: int) -> Value:
    """Loads the next nonces, steps them, and gives their big-endian words."""
    value = code.load(nonces)
    code.store(code.add_constant(value, Constant(code.target.lanes)), nonces)
    return code.swap_bytes(value)


# --- the hybrids: schedules in vectors, rounds in sha256rnds2 --------------------------------------------------
def lane_offset(lane: int, width: int) -> int:
    """Where unpacking two vectors of `width` bytes puts the 8 bytes of a lane, in a row of twice that."""
    return (lane & 2) // 2 * width + lane // 4 * 16 + (lane & 1) * 8


@dataclass
class Feed:
    """What the chains of one hash eat: a row a step (an 8-byte pair of w + k for each lane), or one constant pair."""

    start: int  # of the row with the word that a and e still lack
    pairs: list[int] = field(default_factory=list)  # offsets
    shared: list[bool] = field(default_factory=list)  # a constant pair, the same for each lane


def store_pair(code: Code, left: Value, right: Value, offset: int) -> None:
    code.store(code.low_pair(left, right), offset)
    code.store(code.low_pair(left, right, "hdq"), offset + code.target.bytes)


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
        feed.pairs.append(code.memory.reserve(2 * code.target.bytes, 64))
        feed.shared.append(False)
        store_pair(code, left, right, feed.pairs[-1])


def transposed(code: Code, offset: int) -> list[Value]:
    """Rows of four words, one of 16 bytes a lane, as four vectors."""
    rows = [code.load(offset + code.target.bytes * i) for i in range(4)]
    low = [code.low_pair(rows[i], rows[i + 1]) for i in (0, 2)]
    high = [code.low_pair(rows[i], rows[i + 1], "hdq") for i in (0, 2)]
    return [code.low_pair(one, two, kind) for one, two in (low, high) for kind in ("lqdq", "hqdq")]


Finish = Callable[[int, str, str], list[str]]  # lane, the registers of abef and of cdgh: what to do with them


@dataclass
class Chain:
    """The 30 double rounds of one hash of one lane."""

    feed: Feed
    start: list[Constant]
    lane: int
    width: int  # of a vector, in bytes
    finish: Finish

    def lines(self, memory: Memory, register: int) -> list[str]:
        """Items to be woven: a load with its sha256rnds2, or what comes before and after them."""
        a, b, c, d, e, f, g, h = self.start
        abef, cdgh = f"%%xmm{register}", f"%%xmm{register + 1}"
        place = lane_offset(self.lane, self.width)
        result = [
            f"vmovddup {self.feed.start + place}(%[m]), {abef}",
            f"vpaddd {memory.words(f, e, b, a)}(%[m]), {abef}, {abef}",
            f"vmovdqa {memory.words(h, g, d, c)}(%[m]), {cdgh}",
        ]
        for step, (pair, shared) in enumerate(zip(self.feed.pairs, self.feed.shared, strict=True)):
            source, target = (abef, cdgh) if step % 2 == 0 else (cdgh, abef)
            offset = pair if shared else pair + place
            result.append(f"vmovq {offset}(%[m]), %%xmm0\nsha256rnds2 %%xmm0, {source}, {target}")
        return result + self.finish(self.lane, abef, cdgh)


def side_by_side(memory: Memory, chains: list[Chain], groups: tuple[int, ...]) -> list[str]:
    """The chains in groups, each of which takes turns: more than four, since a turn of four has no slack."""
    result = []
    assert sum(groups) == len(chains)
    for size in groups:
        group, chains = chains[:size], chains[size:]
        streams = [chain.lines(memory, 1 + 2 * place) for place, chain in enumerate(group)]
        result += [line for turn in zip_longest(*streams) for line in turn if line]
    return result


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


def hybrid(target: Target, groups: tuple[int, ...]) -> Kernel:
    memory = Memory(4 if target.evex else 32)
    width, lanes = target.bytes, target.lanes
    nonces = memory.reserve(width, 64)
    states = memory.reserve(8 * width, 64)
    final = memory.reserve(2 * width, 64)
    window = 0 if target.window_in_registers else memory.reserve(64 * width, 64)
    feeds = [Feed(memory.reserve(2 * width, 64)), Feed(memory.reserve(2 * width, 64))]

    one = Code(target, memory)
    word = nonce_word(one, nonces)
    store_start(one, word, feeds[0].start)
    schedule = first_schedule(one, word, window)
    store_feed(one, schedule, 4, 64, feeds[0])

    two = Code(target, memory)
    schedule = second_schedule(two, window)
    for half, places in ((states + 4 * width, (7, 6, 3, 2)), (states, (5, 4, 1, 0))):
        for place, value in zip(places, transposed(two, half), strict=True):
            schedule.put(place, two.add_constant(value, Constant(0, f"MID{place}")))
    store_start(two, schedule.get(0), feeds[1].start)
    store_feed(two, schedule, 1, 61, feeds[1])
    ends = [two.load(final), two.load(final + width)]
    found(two, two.do("vshufps $0xdd, {1}, {0}, {d}", *ends))

    def keep_state(lane: int, abef: str, cdgh: str) -> list[str]:
        place = states + width * (lane % 4) + 16 * (lane // 4)
        return [f"vmovdqa {abef}, {place}(%[m])", f"vmovdqa {cdgh}, {place + 4 * width}(%[m])"]

    def keep_e(lane: int, abef: str, cdgh: str) -> list[str]:
        return [f"vmovq {abef}, {final + lane_offset(lane, width)}(%[m])"]

    start = [Constant(0, f"STATE{i}") for i in range(8)]
    chains = [Chain(feeds[1], round_0_of_second(), lane, width, keep_e) for lane in range(lanes)]
    chains += [Chain(feeds[0], start, lane, width, keep_state) for lane in range(lanes)]
    body = woven(side_by_side(memory, chains, groups), one.allocate() + two.allocate())
    return Kernel(memory, body, nonces, lanes, 2)


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
        while len(schedule.words) <= min(t + code.target.ahead, last):
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
    window = 0 if target.window_in_registers else memory.reserve(64 * target.bytes, 64)
    code = Code(target, memory)
    word = nonce_word(code, nonces)
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
    "avx512_sha": lambda: hybrid(Target("y", True, False, tuple(range(13, 32)), True), (6, 5, 5)),
    "avx512_sha_wide": lambda: hybrid(Target("z", True, False, tuple(range(13, 32)), True), (6, 5, 5, 6, 5, 5)),
    "avx512": lambda: vector(Target("z", True, True, tuple(range(32)), True, ahead=4)),
    "sha_ni": lambda: hybrid(Target("y", False, False, tuple(range(9, 16)), False), (4, 4, 4, 4)),
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
    write(folder / "nonce_generated_symbols.h", symbols_text())
    write(folder / "nonce_generated_x86.h", BANNER + "".join(kernel_text(n, build()) for n, build in KERNELS.items()))


def write(path: Path, text: str) -> None:
    """Leaves a file alone that is right, so that nothing is compiled again for it."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
