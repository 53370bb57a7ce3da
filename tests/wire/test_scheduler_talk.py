import json

import pytest
from tests.transcripts.replay import Conversation, conversations, line

from tasksprint.limits import ARGS_BYTES, PART_ACTIONS, SAVE_BYTES, SCHEDULER_PART_BYTES
from tasksprint.view.operations import (
    Fail,
    Finish,
    KillTask,
    Release,
    SetTimer,
    StartTask,
    pack_actions,
    unpack_actions,
)
from tasksprint.view.records import Event
from tasksprint.wire import scheduler_talk
from tasksprint.wire.scheduler_talk import Part, Saved, SchedulerError, SchedulerTalk


@pytest.mark.parametrize("conversation", conversations("scheduler.jsonl"), ids=lambda each: each.name)
def test_transcript(conversation: Conversation) -> None:
    talk = SchedulerTalk()
    for who, message, error in conversation.turns:
        if who == "coordinator":
            if "events" in message:
                talk.asked_events(message["events"][-1]["seq"])
            elif "save" in message:
                talk.asked_save()
        elif error:
            with pytest.raises(SchedulerError) as caught:
                talk.hear(line(message))
            assert error in str(caught.value)
        else:
            talk.hear(line(message))
    assert error or not talk.owes


def ready() -> SchedulerTalk:
    talk = SchedulerTalk()
    talk.hear(b'{"ready":{"version":1}}')
    return talk


def answer(*actions: dict[str, object]) -> bytes:
    return json.dumps({"answers": [{"seq": 1, "actions": actions}]}).encode()


def test_actions_become_those_of_the_log() -> None:
    talk = ready()
    talk.asked_events(1)
    part = talk.hear(
        b'{"answers":[{"seq":1,"actions":['
        b'{"action":"start_task","task":1,"name":"a"},'
        b'{"action":"start_task","task":2,"name":"b","args":{"x": 1.50},"prerequisites":[[1,"k"]],"keys":["y"],'
        b'"replicas":2,"retries":0,"timeout_s":0.5,"cores":0,"labels":["big"],"side_effects":true,"cause":1},'
        b'{"action":"kill_task","task":1},{"action":"release","task":2},'
        b'{"action":"set_timer","name":"t","delay_s":1.5},'
        b'{"action":"finish","values":{"z": [ ]},"files":[[2,"y"]]},{"action":"fail","error":"no"}]}]}'
    )
    assert isinstance(part, Part)
    assert (part.seq, part.part, part.more) == (1, 0, False)
    ((seq, actions),) = part.answers
    assert seq == 1
    assert actions == unpack_actions(pack_actions(actions)) == [
        StartTask(1, "a", b"null"),
        StartTask(2, "b", b'{"x": 1.50}', [(1, "k")], ["y"], 2, 0, 500, 0, ["big"], True, 1),
        KillTask(1), Release(2), SetTimer("t", 1500), Finish(b'{"z": [ ]}', [(2, "y")]), Fail("no"),
    ]  # fmt: skip


def test_parts_are_counted_and_answers_without_actions_left_out() -> None:
    talk = ready()
    talk.asked_events(2)
    talk.asked_events(3)
    release = b'{"action":"release","task":1}'
    lines = [
        b'{"answers":[{"seq":1,"actions":[%b]},{"seq":1,"actions":[%b]}],"more":true}' % (release, release),
        b'{"answers":[{"seq":1,"actions":[%b]},{"seq":2}],"more":false}' % release,
        b'{"answers":[{"seq":3}]}',
    ]
    parts = [talk.hear(each) for each in lines]
    assert [(part.seq, part.part, part.more, [seq for seq, _ in part.answers]) for part in parts] == [
        (2, 0, True, [1]), (2, 1, False, [1]), (3, 0, False, [])
    ]  # fmt: skip
    assert len(parts[0].answers[0][1]) == 2


def test_events_carry_raw_values() -> None:
    text = scheduler_talk.events(
        [
            Event(1, "init", 5, values={"args": b'{"n": 1.50}'}),
            Event(2, "client_joined", 6, client="c"),
            Event(3, "client_dead", 6, client="c"),
            Event(4, "task_done", 7, task=9, name="m", values={'a"b': b"[ ]", "c": b"2"}),
            Event(5, "task_failed", 8, task=9, name="m", error='no "way"\n'),
            Event(6, "timer", 9, name="t"),
        ]
    )
    assert b'"args":{"n": 1.50}' in text
    assert json.loads(text)["events"] == [
        {"event": "init", "seq": 1, "now": 5, "args": {"n": 1.5}},
        {"event": "client_joined", "seq": 2, "now": 6, "client": "c"},
        {"event": "client_dead", "seq": 3, "now": 6, "client": "c"},
        {"event": "task_done", "seq": 4, "now": 7, "task": 9, "name": "m", "values": {'a"b': [], "c": 2}},
        {"event": "task_failed", "seq": 5, "now": 8, "task": 9, "name": "m", "error": 'no "way"\n'},
        {"event": "timer", "seq": 6, "now": 9, "name": "t"},
    ]


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ([{"action": "release", "task": 1}] * (PART_ACTIONS + 1), "split it with more=true"),
        ([{"action": "fail", "error": "x" * SCHEDULER_PART_BYTES}] * 2, "split it with more=true"),
        ([{"action": "start_task", "task": 1, "name": "a", "args": "x" * ARGS_BYTES}], "pass large things as results"),
        ([{"action": "finish", "values": "x" * ARGS_BYTES}], "finish with files"),
        (
            [{"action": "start_task", "task": 1, "name": "a", "prerequisites": [[10**6, "x" * 100]] * 10_000}],
            "very many prerequisites in stages",
        ),
    ],
)
def test_what_is_too_large(actions: list[dict[str, object]], error: str) -> None:
    talk = ready()
    talk.asked_events(1)
    with pytest.raises(SchedulerError) as caught:
        talk.hear(answer(*actions))
    assert error in str(caught.value)


def test_one_large_action_is_a_part_of_its_own() -> None:
    talk = ready()
    talk.asked_events(1)
    assert isinstance(talk.hear(answer({"action": "start_task", "task": 1, "name": "a", "args": "x" * 900_000})), Part)


def test_saved_states() -> None:
    talk = ready()
    talk.restored(7)
    for _ in range(3):
        talk.asked_save()
    assert talk.hear(b'{"saved":{"a": 1.0}}') == Saved(7, b'{"a": 1.0}')
    assert talk.hear(b'{"saved":null,"error":"a lock"}') == Saved(7, None, "a lock")
    assert "more than 8" in talk.hear(b'{"saved":"%b"}' % (b"x" * SAVE_BYTES)).error
