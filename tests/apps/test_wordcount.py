"""The word count's parts on real files, beside what tr, sort and uniq make of them."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from tasksprint import apps
from tasksprint.apps.mapreduce import command, plan, words
from tasksprint.apps.mapreduce.plan import Range
from tasksprint.sdk.faults import described


def shell_counts(paths):
    """The word counts by the usual tools: `word TAB count` lines, sorted bytewise."""
    words = r"""for file; do tr -s ' \t\n\v\f\r' '\n' <"$file"; echo; done | grep -a -v '^$' | sort | uniq -c"""
    script = words + r""" | sed -e 's/^ *\([0-9]*\) \(.*\)$/\2\t\1/' | sort"""
    command_line = ["sh", "-c", script, "sh", *map(str, paths)]
    return subprocess.run(command_line, capture_output=True, env={**os.environ, "LC_ALL": "C"}, check=True).stdout


def run_job(args, folder):
    """The whole job in this process, by the scheduler's plan. Returns (values, output lines, bytes read)."""
    read, pieces = [], []
    for number, ranges in enumerate(plan.tasks(args["files"], args["split_bytes"])):
        ranges = [Range(*each) for each in json.loads(json.dumps(ranges))]
        task = folder / f"map-{number}"
        task.mkdir()
        pieces.append([task / name for name in words.count_ranges(ranges, args["parts"], task, read.append)])
    outputs, tops, totals = [], [], []
    for part in range(args["parts"]):
        outputs.append(folder / plan.output_name(part))
        tops.append(folder / f"top-{part}")
        totals.append(words.merge([each[part] for each in pieces], outputs[-1], tops[-1], args["top"]))
    table = [[words.shown(word), count] for word, count in words.rank(tops, args["top"])]
    values = {"table": table, "words": sum(t[0] for t in totals), "distinct": sum(t[1] for t in totals)}
    lines = sorted(b"".join(each.read_bytes() for each in outputs).splitlines(keepends=True))
    return values, b"".join(lines), sum(read)


def make_files(folder, seed, count=12):
    source = random.Random(seed)
    vocabulary = ["the", "of", "naïve", "señor", "x", "long" * 30, "\x01", "a" * 15, "a" * 16, *map(str, range(200))]
    for number in range(count):
        place = folder / f"folder {number % 3}"
        place.mkdir(exist_ok=True)
        text = "".join(
            source.choice(vocabulary) + source.choice([" ", "\n", "\t", "\r\n", "  ", "\v", "\f"])
            for _ in range(source.randint(0, 3_000))
        )
        (place / f"file-{number}.txt").write_text(text + source.choice(["", "end"]), encoding="utf-8", newline="")
    return sorted(folder.rglob("*.txt"), key=os.fsencode)


@pytest.mark.parametrize("split", [1, 5, 97, 4_096, 1 << 20])
def test_the_answer_is_that_of_the_usual_tools_wherever_files_are_cut(tmp_path, split):
    texts, work = tmp_path / "texts", tmp_path / "work"
    texts.mkdir()
    work.mkdir()
    paths = make_files(texts, seed=split, count=2 if split < 10 else 12)
    if split < 10:
        for path in paths:
            path.write_bytes(path.read_bytes()[:150])
    args = command.arguments([texts], split_bytes=split, parts=3)
    values, lines, read = run_job(args, work)
    assert lines == shell_counts(paths)
    assert read == command.input_bytes(args) == sum(path.stat().st_size for path in paths)
    assert values["words"] == sum(int(line.split(b"\t")[1]) for line in lines.splitlines())
    assert values["distinct"] == len(lines.splitlines())


def test_words_longer_than_every_buffer_and_range(tmp_path):
    text = b"short " + b"x" * 1_500_000 + b" " + b"y" * 700_000 + b"\n" + b"x" * 1_500_000
    path = tmp_path / "long.txt"
    path.write_bytes(text)
    for split in (100_000, 256 << 10, 10 << 20):
        work = tmp_path / str(split)
        work.mkdir()
        values, lines, _ = run_job(command.arguments([path], split_bytes=split, parts=2), work)
        assert lines == b"short\t1\n" + b"x" * 1_500_000 + b"\t2\n" + b"y" * 700_000 + b"\t1\n"
        assert values["table"][0] == ["x" * 59 + "…", 2]


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "binary"
    path.write_bytes(bytes(range(256)) * 50)
    (tmp_path / "work").mkdir()
    values, lines, _ = run_job(command.arguments([path], split_bytes=999, parts=1), tmp_path / "work")
    assert lines.splitlines()[0] == bytes([*range(9)]) + b"\t1" or values["words"] == 151
    assert all(text.isprintable() for text, _ in values["table"])


def test_ranks_are_by_count_and_then_by_bytes(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"b b a a d c c c \xff \xff")
    (tmp_path / "work").mkdir()
    args = command.arguments([path], parts=4, top=4)
    assert run_job(args, tmp_path / "work")[0]["table"] == [["c", 3], ["a", 2], ["b", 2], ["\\xff", 2]]


def test_the_pieces_depend_on_the_words_alone(tmp_path):
    (tmp_path / "one").write_bytes(b"to be or not to be")
    (tmp_path / "two").write_bytes(b"\n\nbe be\tnot or to   to ")
    pieces = []
    for name in ("one", "two"):
        (tmp_path / f"{name}-work").mkdir()
        args = command.arguments([tmp_path / name])
        (ranges,) = plan.tasks(args["files"], args["split_bytes"])
        names = words.count_ranges(ranges, 2, tmp_path / f"{name}-work", lambda _: None)
        pieces.append([(tmp_path / f"{name}-work" / each).read_bytes() for each in names])
    assert pieces[0] == pieces[1]


# --- the plan ------------------------------------------------------------------------------------------


def test_ranges_cover_each_file_once():
    listing = [["/a", [["x", 1_000, ""], ["empty", 0, ""], ["y", 17, ""]]], ["/b", [["z", 100, ""]]]]
    for split in (1, 7, 100, 333, 5_000):
        covered = {}
        for task in plan.tasks(listing, split):
            assert sum(each.end - each.begin for each in task) <= split
            for each in task:
                assert covered.get(each.path, 0) == each.begin < each.end
                covered[each.path] = each.end
        assert covered == {"/a/x": 1_000, "/a/y": 17, "/b/z": 100}


def test_small_files_share_a_task_but_not_too_many():
    listing = [["/folder", [[f"file-{number}", 1, ""] for number in range(1_201)]]]
    assert [len(task) for task in plan.tasks(listing, 1 << 20)] == [500, 500, 201]
    long = [["/" + "f" * 4_000, [[f"file-{number}", 1, ""] for number in range(100)]]]
    assert all(len(json.dumps(task)) < 128 << 10 for task in plan.tasks(long, 1 << 20))


# --- arguments -----------------------------------------------------------------------------------------


def test_folders_are_listed_in_the_order_of_names(tmp_path):
    for name in ("b/2", "b/10", "a", "c/d/e"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    args = command.arguments([tmp_path])
    found = [os.path.relpath(path, tmp_path) for path, _, _ in plan.files(args["files"])]
    assert found == ["a", "b/10", "b/2", "c/d/e", "link"]
    assert args == command.arguments([str(tmp_path)])


def test_relative_paths_are_made_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("one two")
    assert [path for path, _, _ in plan.files(command.arguments(["text"])["files"])] == [str(tmp_path / "text")]


def test_names_that_are_no_utf8_are_carried(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xffolder"
    os.mkdir(folder)
    with open(folder + b"/n\xe4me", "wb") as file:
        file.write(b"a a b")
    (tmp_path / "work").mkdir()
    args = json.loads(json.dumps(command.arguments([os.fsdecode(folder)])))
    assert run_job(args, tmp_path / "work")[1] == b"a\t2\nb\t1\n"


def test_input_that_cannot_be_counted(tmp_path):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for paths, message in (
        ([], "name a file or a folder"),
        ([tmp_path / "missing"], "cannot read .*missing: no such file or directory"),
        ([empty], "no file in .*empty has a byte in it"),
        ([tmp_path / "pipe"], "neither a file nor a folder"),
    ):
        with pytest.raises(command.InputError, match=message):
            command.arguments(paths)


def test_unreadable_input(tmp_path, monkeypatch):
    (tmp_path / "text").write_text("words")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(command.InputError, match="cannot read .*text: permission denied"):
        command.arguments([tmp_path])


def test_options_out_of_range(tmp_path):
    (tmp_path / "text").write_text("words")
    for options in ({"split_bytes": 0}, {"parts": 10_001}, {"top": 0}):
        with pytest.raises(command.InputError, match="must be 1 to"):
            command.arguments([tmp_path], **options)


def test_options_among_the_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("words")
    Path("top=3").write_text("words")
    args = command.arguments(["split_bytes=2", "text", "parts=7", "top=3"])
    assert (args["split_bytes"], args["parts"], args["top"]) == (2, 7, 10)
    assert command.input_bytes(args) == 10
    with pytest.raises(command.InputError, match="parts is a number of at least 1, not 'many'"):
        command.arguments(["text", "parts=many"])


def test_a_list_of_files_that_is_too_long(tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / f"file-{number}").write_text("words")
    monkeypatch.setattr(command, "LISTING_BYTES", 1_000)
    with pytest.raises(command.InputError, match="the list of 50 files takes"):
        command.arguments([tmp_path])


def test_a_file_that_changes_after_it_was_listed(tmp_path):
    path = tmp_path / "text"
    path.write_text("some words")
    (ranges,) = plan.tasks(command.arguments([path])["files"], 1 << 20)

    def fails():
        with pytest.raises(words.InputChanged) as raised:
            words.count_ranges(ranges, 1, tmp_path, lambda _: None)
        return str(raised.value)

    path.write_text("some words more")
    assert "has 15 bytes; it had 10" in fails()
    path.write_text("other word")
    os.utime(path, ns=(1, 1))
    assert "was written to after the job was submitted" in fails()


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"word " * 200_000)
    (ranges,) = plan.tasks(command.arguments([path])["files"], 10 << 20)
    with pytest.raises(words.InputChanged, match="was cut short"):
        words.count_ranges(ranges, 1, tmp_path, lambda read: os.truncate(path, 10))


def test_a_file_that_is_gone_is_said_without_a_traceback(tmp_path):
    path = tmp_path / "text"
    gone = Range(str(path), 0, 5, 5, "")
    with pytest.raises(words.InputChanged, match="which was there when the job was submitted: no such file") as raised:
        words.count_ranges([gone], 1, tmp_path, lambda read: None)
    assert described(raised.value) == (str(raised.value), "")


# --- the registry --------------------------------------------------------------------------------------


def test_apps_are_found_by_name():
    app = apps.find("wordcount")
    assert app.command() is command
    assert app.scheduler[-2:] == ["tasksprint.apps.mapreduce.scheduler", "scheduler"]
    assert app.node[0] == "@python"
    with pytest.raises(apps.UnknownApp, match="no app is named 'wordcuont'; there are: .*wordcount"):
        apps.find("wordcuont")


def test_the_summary_is_for_a_person():
    values = {"table": [["the", 12_345], ["of", 7]], "words": 12_352, "distinct": 2}
    assert command.summary(values) == ["12,345  the", "     7  of", "12,352 words, 2 distinct"]
