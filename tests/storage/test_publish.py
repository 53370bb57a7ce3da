from pathlib import Path

import pytest
from tests.storage.desk import Power

from tasksprint.storage import NotOurs, StorageError
from tasksprint.storage.publish import MARKER, check_target, publish


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != MARKER}


def test_a_result_is_published_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (tmp_path / "source").write_bytes(b"from a file")
    publish(target, {"part-0": tmp_path / "source", "deep/part-1": b"bytes"})
    assert content(target) == {"part-0": b"from a file", "deep/part-1": b"bytes"}
    publish(target, {"other": b"new"})
    assert content(target) == {"other": b"new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    publish(tmp_path / "out", {"a": b"1"})
    assert content(tmp_path / "out") == {"a": b"1"}


def test_anything_else_is_refused_and_kept(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("years of work")
    (tmp_path / "file").write_text("x")
    publish(tmp_path / "ours", {"a": b"1"})
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    for name in ("mine", "file", "link"):
        for attempt in (check_target, lambda target: publish(target, {"a": b"2"})):
            with pytest.raises(NotOurs, match="ours: remove it, or choose another place"):
                attempt(tmp_path / name)
    assert content(mine) == {"thesis": b"years of work"}
    with pytest.raises(StorageError, match="is no folder: make it first"):
        check_target(tmp_path / "no" / "out")


def test_a_users_own_file_in_a_result_of_ours_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "out"
    publish(target, {"a": b"old", "sub/b": b"old"})
    (target / "sub" / "notes").write_text("mine")
    with pytest.raises(NotOurs, match="has files or folders in it that are not ours"):
        publish(target, {"a": b"new"})
    assert (target / "sub" / "notes").read_text() == "mine"
    (target / "sub" / "notes").unlink()
    publish(target, {"a": b"new"})
    assert content(target) == {"a": b"new"}


def test_a_users_own_empty_folder_in_a_result_of_ours_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "out"
    publish(target, {"a": b"old", "sub/deep/b": b"old"})
    (target / "sub" / "mine").mkdir()
    for attempt in (check_target, lambda target: publish(target, {"a": b"new"})):
        with pytest.raises(NotOurs, match="has files or folders in it that are not ours"):
            attempt(target)
    assert (target / "sub" / "mine").is_dir()
    (target / "sub" / "mine").rmdir()
    publish(target, {"a": b"new"})
    assert content(target) == {"a": b"new"}


@pytest.mark.parametrize("name", [".out.new", ".out.old"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_in_the_way_beside_the_target_is_found_at_the_start(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / name
    if kind == "file":
        place.write_text("mine")
    elif kind == "link":
        place.symlink_to(tmp_path)
    else:
        place.mkdir()
        (place / "thesis").write_text("mine")
    with pytest.raises(NotOurs, match="is in the way and is not ours: remove it, or choose another place"):
        check_target(tmp_path / "out")
    assert place.exists()


@pytest.mark.parametrize("place", ["/proc/x", "{}/" + "n" * 252])
def test_a_place_where_no_folder_can_be_made_is_found_at_the_start(tmp_path: Path, place: str) -> None:
    with pytest.raises(StorageError, match="^cannot write .*; choose another place for the output$"):
        check_target(Path(place.format(tmp_path)))
    check_target(tmp_path / "out")
    assert list(tmp_path.iterdir()) == [], "the try leaves nothing"


def test_a_marker_that_a_crash_has_cut_is_ours(tmp_path: Path) -> None:
    publish(tmp_path / "whole", {"a": b"1", "b": b"1"})
    marked = (tmp_path / "whole" / MARKER).read_bytes()
    for cut in (*(marked[:size] for size in range(len(marked) + 1)), bytes(len(marked)), marked[:9] + bytes(20)):
        (tmp_path / ".out.new").mkdir()
        (tmp_path / ".out.new" / MARKER).write_bytes(cut)
        publish(tmp_path / "out", {"a": b"1"})
    assert content(tmp_path / "out") == {"a": b"1"}
    assert not (tmp_path / ".out.new").exists()
    (tmp_path / ".out.new").mkdir()
    (tmp_path / ".out.new" / MARKER).write_bytes(b"somebody else's")
    with pytest.raises(NotOurs):
        check_target(tmp_path / "out")


def test_the_marker_is_durable_before_anything_else_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def synced(path: Path) -> None:
        seen.append((path.name, sorted(each.name for each in (tmp_path / ".out.new").iterdir())))

    monkeypatch.setattr("tasksprint.storage.publish._sync", synced)
    publish(tmp_path / "out", {"a": b"1"})
    assert seen == [(MARKER, [MARKER]), ("a", [MARKER, "a"])]


def test_bad_names_and_missing_sources_leave_the_old_result(tmp_path: Path) -> None:
    target = tmp_path / "out"
    publish(target, {"a": b"old"})
    for files in ({"../x": b""}, {MARKER: b""}, {"a": tmp_path / "gone"}):
        with pytest.raises(StorageError):
            publish(target, files)
        assert content(target) == {"a": b"old"}
    publish(target, {"a": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Power(monkeypatch)
    seen = []
    for step in range(100):
        parent = tmp_path / str(step)
        parent.mkdir()
        target = parent / "out"
        publish(target, {"a": b"old", "b": b"old"})
        power.cut_after(step)
        try:
            publish(target, {"a": b"new", "c": b"new"})
        except (StorageError, OSError):
            assert power.gone
        gone = power.gone
        power.restore()
        seen.append(content(target) if target.exists() else None)
        assert seen[-1] in (None, {"a": b"old", "b": b"old"}, {"a": b"new", "c": b"new"})
        if seen[-1] is None:
            assert content(parent / ".out.old") == {"a": b"old", "b": b"old"}
        with pytest.raises(StorageError):
            publish(target, {"..": b""})
        assert target.exists(), "the next one begins by putting the old one back"
        publish(target, {"a": b"newer"})
        assert [path.name for path in parent.iterdir()] == ["out"]
        if not gone:
            assert seen[-1] == {"a": b"new", "c": b"new"}
            assert None in seen
            return
    raise AssertionError("the power was cut for ever")
