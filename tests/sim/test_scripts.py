"""The scripted programs, undisturbed."""

import json

import pytest

from tasksprint.sim.scripts import SCRIPTS, undisturbed


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_the_undisturbed_answer_is_a_function_of_the_seed(script: str) -> None:
    answers = [undisturbed(script, {"n": 9}, seed) for seed in (1, 1, 2)]
    assert answers[0] == answers[1]
    assert answers[0].state == ("failed" if script == "hopeless" else "done")
    if script not in ("noise", "hopeless"):
        assert answers[0].values != answers[2].values


def test_killed_and_failed_tasks_are_not_in_the_answer() -> None:
    killer = json.loads(undisturbed("killer", {"n": 9}, 1).values)
    assert sorted(killer, key=int) == ["1", "2", "4", "5", "7", "8"]
    failing = json.loads(undisturbed("failing", {"n": 8}, 1).values)
    assert [task for task, result in failing.items() if result == "failed"] == ["2", "3", "6", "7"]


def test_a_script_goes_on_from_what_it_saved() -> None:
    for kind in SCRIPTS.values():
        script, other = kind(), kind()
        script.done["1"] = {"value": 3}
        script.size = 4
        other.restore(script.save())
        assert other.save() == script.save()


def test_outputs_come_with_their_pieces() -> None:
    answer = undisturbed("shuffle", {"n": 4}, 1)
    assert sorted(answer.outputs) == [(1, "part-0"), (8, "table")]
