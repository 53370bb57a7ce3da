"""How sure we are that nothing is missing: Good and Turing's estimate, from how often each root was met.

Each polish that ends in a root is one draw. The share of draws that met a root never met before or after estimates how
likely the next draw is to meet a root still unknown; Chao's formula turns the counts of roots met once and twice into
an estimate of how many are missing. Both speak of roots that draws can reach: a needle between all samples is not
counted.
"""

from __future__ import annotations


def coverage(sightings: list[int]) -> dict[str, float]:
    """Coverage from 0 (nothing was met twice) to 1, draws, roots met once, and the roots estimated to be missing."""
    draws = sum(sightings)
    once = sum(1 for count in sightings if count == 1)
    twice = sum(1 for count in sightings if count == 2)
    share = 1.0 - once / draws if draws else 0.0
    missing = once * (once - 1) / (2.0 * (twice + 1))
    return {"coverage": round(share, 6), "draws": draws, "once": once, "missing": round(missing, 3)}
