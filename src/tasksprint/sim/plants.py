"""All planted bugs, by name: `PLANTS` says what each does, `planted` puts one in force."""

from tasksprint.sim import plants_agreement  # noqa: F401  (registers its plants)
from tasksprint.sim.planting import PLANTS, planted

__all__ = ["PLANTS", "planted"]
