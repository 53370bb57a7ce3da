"""Samples of one cell of the box: what travels from task to task, and from client to client, as a prerequisite.

A row is a point in unit coordinates with its residuals, and whether a polish has started there. As a piece it is text:
the hexadecimal bytes of the floats, so that nothing is rounded on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasksprint.apps.roots.problem import Array, norms


@dataclass
class Population:
    points: Array
    residuals: Array
    tried: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def empty(cls, dimensions: int, equations: int) -> Population:
        return cls(np.empty((0, dimensions)), np.empty((0, equations)), np.empty(0, dtype=bool))

    @classmethod
    def fresh(cls, points: Array, residuals: Array) -> Population:
        return cls(points, residuals, np.zeros(len(points), dtype=bool))

    @classmethod
    def joined(cls, parts: Sequence[Population]) -> Population:
        return cls(
            np.concatenate([part.points for part in parts]),
            np.concatenate([part.residuals for part in parts]),
            np.concatenate([part.tried for part in parts]),
        )

    @property
    def sizes(self) -> Array:
        return norms(self.residuals)

    def chosen(self, rows: Any) -> Population:
        return Population(self.points[rows], self.residuals[rows], self.tried[rows])

    def as_piece(self) -> dict[str, Any]:
        return {
            "shape": [len(self), self.points.shape[1], self.residuals.shape[1]],
            "points": self.points.astype("<f8").tobytes().hex(),
            "residuals": self.residuals.astype("<f8").tobytes().hex(),
            "tried": np.packbits(self.tried).tobytes().hex(),
        }

    @classmethod
    def from_piece(cls, piece: dict[str, Any]) -> Population:
        count, dimensions, equations = piece["shape"]
        points = np.frombuffer(bytes.fromhex(piece["points"]), dtype="<f8").reshape(count, dimensions)
        residuals = np.frombuffer(bytes.fromhex(piece["residuals"]), dtype="<f8").reshape(count, equations)
        tried = np.unpackbits(np.frombuffer(bytes.fromhex(piece["tried"]), dtype=np.uint8), count=count)
        return cls(points.astype(np.float64), residuals.astype(np.float64), tried.astype(bool))
