"""Campaigns: many seeds hold, a seed repeats exactly, whatever the hash seed of the process."""

import os
import subprocess
import sys

import pytest

from tasksprint.sim.campaign import run_seed, run_seeds

SEEDS = 28  # of both worlds


def test_some_seeds_hold_every_promise() -> None:
    totals = run_seeds(0, SEEDS)
    assert [f"seed {failed.seed}: {failed.failure}" for failed in totals.failures] == []
    assert totals.seeds == SEEDS
    assert totals.counters["election"] > SEEDS
    assert totals.counters["attempt run"] > 100
    assert totals.virtual_ms > SEEDS * 12_000


@pytest.mark.parametrize("seed", [4, 6, 7])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    one, other = run_seed(seed), run_seed(seed, trace=True)
    assert one.trace_hash == other.trace_hash
    assert (one.counters, one.virtual_ms) == (other.counters, other.virtual_ms)
    assert len(other.trace) > 100
    assert one.trace == []


def test_different_seeds_give_different_worlds() -> None:
    assert len({run_seed(seed).trace_hash for seed in (1, 2, 3)}) == 3


def test_the_trace_does_not_depend_on_the_hash_seed_of_the_process() -> None:
    code = "from tasksprint.sim.campaign import run_seed\nfor s in (4, 5, 6, 9): print(run_seed(s).trace_hash)"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=True, timeout=100,
        ).stdout
        for hash_seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1]
    assert len(runs[0].split()) == 4


def test_a_failure_says_which_checker_found_it_and_repeats() -> None:
    one, other = (run_seed(1, plant="reply-before-sync") for _ in range(2))
    assert not one.ok
    assert one.checker == "synced"
    assert (one.failure, one.trace_hash) == (other.failure, other.trace_hash)
    assert run_seed(1).ok, "the plant is gone afterwards"


def test_a_campaign_names_what_never_came_up() -> None:
    assert "leader crashed" in run_seeds(4, 1).silent
