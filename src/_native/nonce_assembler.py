"""An assembler for straight-line vector code: constants in memory, virtual registers, a linear scan.

`nonce_generate` writes the nonce search with it.  Values are virtual registers; a linear scan over the finished
code gives them real ones (`Code.allocate`).  A constant that depends on the header is named by a symbol that C
computes; the code knows only its slot in the kernel's memory, and a table says what to put there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Constant:
    """A number plus at most one symbol that is known when the header is."""

    number: int = 0
    symbol: str = "ZERO"

    def __add__(self, other: Constant) -> Constant:
        assert "ZERO" in (self.symbol, other.symbol), "two symbols in one constant need a symbol of their own"
        return Constant((self.number + other.number) & MASK, self.symbol if other.symbol == "ZERO" else other.symbol)


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
    ahead: int = 0  # words that are computed before the round that needs them

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
