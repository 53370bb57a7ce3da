"""Tasks through us and through Ray, in turn on one machine: one task's round trip, and many tasks at once.

    python3 -m venv ray && ray/bin/pip install ray
    python bench/beside_ray.py --ray ray/bin/python

Each round starts one of the two, measures, and stops it before the other's turn.  Ours: three coordinators with their
journals on the disk of `--folder`, a client, two nodes; a round trip is a decision that the scheduler takes and hears
the end of, both of them durable at a majority.  Ray's: `ray.get(f.remote(i))` from the driver, two workers, nothing
durable.  Ray looks for its address by asking the outside, so it is run in a network of its own that has the loopback
alone, where the system lets us (`unshare`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from tasksprint.cli.bench_tasks import Ours, disk
from tasksprint.cli.local import LocalCluster

LIMIT_S = 120
RAY = """
import json, sys, time, ray
trips, many = int(sys.argv[1]), int(sys.argv[2])
ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False, _node_ip_address="127.0.0.1")
echo = ray.remote(lambda value: value)
assert ray.get([echo.remote(value) for value in range(100)]) == list(range(100))
times = []
for value in range(trips):
    began = time.monotonic()
    assert ray.get(echo.remote(value)) == value
    times.append(time.monotonic() - began)
began = time.monotonic()
assert ray.get([echo.remote(value) for value in range(many)]) == list(range(many))
print("measured " + json.dumps({"trips": times, "seconds": time.monotonic() - began, "version": ray.__version__}))
"""


def ray_round(python: str, trips: int, many: int) -> dict[str, Any]:
    command = [python, "-c", RAY, str(trips), str(many)]
    alone = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode == 0:
        command = [*alone, *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    for line in done.stdout.splitlines():
        if line.startswith("measured "):
            measured: dict[str, Any] = json.loads(line.removeprefix("measured "))
            return measured
    raise SystemExit(f"Ray has measured nothing: {(done.stderr or done.stdout)[-500:]}")


async def our_round(folder: Path, trips: int, many: int) -> dict[str, Any]:
    async with LocalCluster(replicas=3, clients=1, slots=2, data_dir=folder) as cluster:
        ours = Ours(cluster)
        try:
            await ours.job("independent", 100)
            each = await ours.job("round_trip", trips)
            return {"trips": each["trips"], "seconds": (await ours.job("independent", many))["seconds"]}
        finally:
            await ours.close()


def row(measured: dict[str, Any], many: int) -> dict[str, float]:
    trips = sorted(measured["trips"])
    percentile = {f"p{percent}_ms": round(trips[len(trips) * percent // 100] * 1e3, 2) for percent in (50, 99)}
    return {**percentile, "tasks_per_s": round(many / measured["seconds"])}


def main() -> None:
    parser = argparse.ArgumentParser(description="Tasks through us and through Ray, in turn.")
    parser.add_argument("--ray", required=True, metavar="PYTHON", help="a Python that has Ray")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trips", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the journals lie: a real disk")
    options = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory(prefix=".tasksprint-bench-", dir=options.folder) as place:
        print(json.dumps(disk(Path(place))), flush=True)
        for number in range(options.rounds):
            mine = uvloop.run(our_round(Path(place) / f"{number}", options.trips, options.tasks))
            theirs = ray_round(options.ray, options.trips, options.tasks)
            pairs.append((row(mine, options.tasks), row(theirs, options.tasks)))
            print(json.dumps({"ours": pairs[-1][0], "ray": pairs[-1][1], "version": theirs["version"]}), flush=True)
    for name in ("p50_ms", "p99_ms", "tasks_per_s"):
        mine, theirs = (statistics.median(pair[side][name] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(ours[name] / ray[name] for ours, ray in pairs)
        print(f"{name}: ours {mine:g}, Ray {theirs:g}, ours/Ray {ratio:.2f}")


if __name__ == "__main__":
    main()
