"""What a task knows when it starts and tells when it ends: known roots, sightings, new roots, open clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots import judge
from tasksprint.apps.roots.evolve import Keys, Variation
from tasksprint.apps.roots.problem import Array, Function, Meter, Problem, norms

SAME = 1e-7  # of the box: two crossings nearer than this are one
BLURRED = 1e-3  # of the box: how well a root is known where the function is flat around it, at worst
OPEN_MAX = 8


@dataclass
class Root:
    """A root in unit coordinates. `signs` are the function's on both sides, in one unknown."""

    at: Array
    size: float
    kind: str
    multiplicity: int | None = None
    signs: tuple[float, float] | None = None
    sightings: int = 0  # how often it was met before this task
    blur: float | None = None  # of the box: how well it is known, where the operators alone found it

    def as_piece(self) -> dict[str, Any]:
        piece: dict[str, Any] = {"at": self.at.tolist(), "size": self.size, "kind": self.kind}
        piece["multiplicity"] = self.multiplicity
        if self.signs is not None:
            piece["signs"] = list(self.signs)
        if self.blur is not None:
            piece["blur"] = self.blur
        return piece

    @classmethod
    def from_piece(cls, piece: Mapping[str, Any]) -> Root:
        signs = piece.get("signs")
        return cls(
            np.array(piece["at"], dtype=np.float64),
            float(piece["size"]),
            str(piece["kind"]),
            piece["multiplicity"],
            (float(signs[0]), float(signs[1])) if signs else None,
            int(piece.get("sightings", 0)),
        )

    def distance(self, at: Array) -> float:
        return float(np.abs(self.at - at).max())


@dataclass
class Work:
    """One task's world: the meter, the keys of its random numbers, what is known, and what it finds."""

    problem: Problem
    meter: Meter
    keys: Keys
    known: list[Root]
    quiet: float
    polish: bool
    cell_low: Array
    cell_high: Array
    variation: Variation = field(default_factory=Variation)
    roots: list[Root] = field(default_factory=list)
    sightings: list[int] = field(default_factory=list)  # numbers of known roots, then of new ones
    open: list[dict[str, Any]] = field(default_factory=list)
    continuum: list[float] | None = None
    poles: int = 0
    misses: int = 0
    polished: int = 0
    twins: list[Array] = field(default_factory=list)  # where a second root is to be expected, beside one just found
    hits: int = 0  # polishes that ended in a root, known or new
    judged: int = 0
    _places: Array = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def begin(cls, args: Mapping[str, Any], function: Function | None) -> Work:
        problem = Problem.from_arguments(args["problem"], function)
        meter = Meter(problem, int(args["allowance"]))
        cell = args.get("cell") or {"low": [0.0] * problem.dimensions, "high": [1.0] * problem.dimensions}
        return cls(
            problem,
            meter,
            Keys(int(args["seed"]), int(args["number"])),
            [Root.from_piece(piece) for piece in args["known"]],
            float(args["quiet"] or 0.0),
            bool(args["polish"]),
            np.array(cell["low"]),
            np.array(cell["high"]),
            Variation(*args.get("variation", ())),
        )

    def all_roots(self) -> list[Root]:
        return self.known + self.roots

    def places(self) -> Array:
        count = len(self.known) + len(self.roots)
        if len(self._places) != count:
            self._places = np.array([root.at for root in self.all_roots()]).reshape(count, self.problem.dimensions)
        return self._places

    def meet(self, at: Array, size: float) -> int | None:
        """The number of the root that this point is, if it is one that we have.

        Points nearer than the resolution are one root. Farther apart they still are where the function is flat: as far
        as the closeness epsilon if the residual between them is no higher than at them.
        """
        places = self.places()
        if not len(places):
            return None
        away = np.abs(places - at).max(axis=1)
        nearest = int(np.argmin(away))
        if away[nearest] <= SAME:
            return nearest
        root = self.all_roots()[nearest]
        if away[nearest] > self.closeness() or root.kind == judge.CROSSING:
            return None
        if away[nearest] <= SAME * 100:
            return nearest
        middle = float(norms(self.meter(0.5 * (root.at + at)[None]))[0])
        return nearest if middle <= 4.0 * max(size, root.size, self.quiet) else None

    def sight(self, at: Array) -> None:
        """A polish was broken off on its way into a known root."""
        self.sightings.append(int(np.argmin(np.abs(self.places() - at).max(axis=1))))
        self.hits += 1

    def radii(self) -> Array:
        """How far around each root nothing is sought, in the box's units.

        It grows with each time that the root was met, since then its surroundings are better known; at most a third of
        the gap to the next root, and a twentieth of the box.
        """
        roots, places = self.all_roots(), self.places()
        wide = np.array([min(0.05, 0.002 * root.sightings) for root in roots])
        if len(roots) < 2:
            return wide
        gaps = np.abs(places[:, None, :] - places[None, :, :]).max(axis=2)
        np.fill_diagonal(gaps, np.inf)
        return np.asarray(np.minimum(wide, gaps.min(axis=1) / 3.0))

    def known_at(self, points: Array) -> NDArray[np.bool_]:
        """Which points lie around a root where nothing is sought."""
        if not self.all_roots() or not len(points):
            return np.zeros(len(points), dtype=bool)
        places, radii = self.places(), self.radii()
        inside = np.ones((len(points), len(places)), dtype=bool)
        for axis in range(points.shape[1]):
            inside &= np.abs(points[:, None, axis] - places[None, :, axis]) < radii
        return np.asarray(inside.any(axis=1))

    def closeness(self) -> float:
        """The closeness epsilon in unit coordinates, by the widest side."""
        widest = max(high - low for low, high in zip(self.problem.lo, self.problem.hi, strict=True))
        return min(0.05, self.problem.closeness / widest)

    def candidate(self, at: Array, residuals: Array, upright: bool = False) -> bool:
        """A polished point of a system: met before, judged, and kept if it is a root. Tells whether it was either.

        `upright`: more than noise may be left of the residual, where the equations stand upright.
        """
        size = float(norms(residuals[None])[0])
        number = self.meet(at, size)
        if number is not None:
            self.sightings.append(number)
            self.hits += 1
            return True
        if self.meter.left < 2 * len(at) + 8 or self.continuum is not None:
            return False
        self.judged += 1
        verdict = judge.is_root(self.meter, at, size, self.quiet, self.keys, self.judged, upright)
        if verdict.plateau:
            self.continuum = at.tolist()
            return True
        if not verdict.root:
            self.misses += 1
            return False
        kind, multiplicity, free, weak = judge.kind_of(self.meter, at, residuals)
        if len(free) and judge.is_continuum(self.meter, at, free, max(self.quiet, 10.0 * size)):
            if len(residuals) > 1 and size > 100.0 * self.quiet:  # the floor of a valley, above noise
                self.misses += 1
                return False
            self.continuum = at.tolist()
            return True
        self.sightings.append(len(self.known) + len(self.roots))
        self.roots.append(Root(at, size, kind, multiplicity))
        self.hits += 1
        if kind == judge.CROSSING and len(at) > 1 and self.meter.left >= 2:
            twin = judge.twin_of(self.meter, at, residuals, weak)
            if twin is not None:
                self.twins.append(twin)
        return True

    def leave_open(self, at: Array, size: float, spread: float, going: bool = False) -> None:
        """A low place that is no root yet: the scheduler may send a population there; one still `going` goes on."""
        if np.isfinite(size):
            place = {"at": at.tolist(), "size": float(size), "spread": float(spread)}
            self.open.append({**place, "going": True} if going else place)

    def report(self) -> dict[str, Any]:
        self.open.sort(key=lambda row: (row["size"], row["at"]))
        return {
            "roots": [root.as_piece() for root in self.roots],
            "sightings": self.sightings,
            "open": self.open[:OPEN_MAX],
            "continuum": self.continuum,
            "poles": self.poles,
            "misses": self.misses,
            "polished": self.polished,
            "hits": self.hits,
            "quiet": self.quiet,
            "used": self.meter.used,
        }
