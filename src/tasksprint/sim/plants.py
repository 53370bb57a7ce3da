"""All planted bugs, by name: `PLANTS` says what each does, `planted` puts one in force."""

from tasksprint.sim import plants_agreement, plants_cluster, plants_view  # noqa: F401  (they register their plants)
from tasksprint.sim.planting import PLANTS, planted

__all__ = ["PLANTS", "planted"]
