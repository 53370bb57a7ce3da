import threading
from pathlib import Path

import pytest

from tasksprint.codec import DIGEST_BYTES
from tasksprint.storage import shelf as shelf_module
from tasksprint.storage import shelf_index
from tasksprint.storage.shelf import Shelf, ShelfError, digest_file, file_in, piece_digest, result_digest
from tasksprint.wire.results import Piece, Result


def value(content: bytes) -> Piece:
    return Piece(len(content), piece_digest(content), False, value=content)


def result(**pieces: Piece) -> Result:
    return Result(result_digest(pieces), pieces, sum(piece.size for piece in pieces.values()))


def made_file(folder: Path, task: int, attempt: int, content: bytes, name: str = "out") -> Piece:
    path = folder / "tasks" / f"{task}.{attempt}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return digest_file(path)


# --- digests ----------------------------------------------------------------------------------------------


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "READ_BYTES", 7)
    (tmp_path / "file").write_bytes(b"0123456789" * 10)
    piece = digest_file(tmp_path / "file")
    assert (piece.size, piece.is_file, piece.value) == (100, True, None)
    assert piece.digest == piece_digest(b"0123456789" * 10)
    assert len(piece.digest) == DIGEST_BYTES
    assert piece.read() == b"0123456789" * 10


def test_a_results_digest_depends_on_all_but_the_order_of_its_keys(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    a, b, file = value(b"1"), value(b"2"), digest_file(tmp_path / "one")
    digests = [
        result_digest(pieces)
        for pieces in ({}, {"a": a}, {"b": a}, {"a": b}, {"a": a, "b": b}, {"a": b, "b": a}, {"a": file})
    ]
    assert len(set(digests)) == len(digests)
    assert result_digest({"b": b, "a": a}) == result_digest({"a": a, "b": b})


# --- files that a node names -------------------------------------------------------------------------------


def test_a_file_must_be_a_plain_one_inside_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "1.1"
    (folder / "sub").mkdir(parents=True)
    (folder / "out").write_text("x")
    (folder / "sub" / "out").write_text("x")
    (tmp_path / "outside").write_text("x")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "way").symlink_to(tmp_path)
    assert file_in(folder, "out") == folder / "out"
    assert file_in(folder, "sub/out") == folder / "sub" / "out"
    for name in ("", "/etc/passwd", "../outside", "sub/../../outside", "./out", "sub//out", "out/", "nul\0"):
        with pytest.raises(ShelfError, match="is no file name: give one relative to the task's folder"):
            file_in(folder, name)
    for name in ("link", "way/outside"):
        with pytest.raises(ShelfError, match="leads over a link"):
            file_in(folder, name)
    with pytest.raises(ShelfError, match="'gone' is not in the task's folder .*: No such file"):
        file_in(folder, "gone")
    with pytest.raises(ShelfError, match="'sub' is no regular file"):
        file_in(folder, "sub")


# --- keeping and dropping ---------------------------------------------------------------------------------


def test_what_is_put_can_be_had_until_it_is_dropped(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 1_000_000)
    first, second = result(a=value(b"x" * 10)), result(a=value(b"y" * 20), b=value(b"z"))
    shelf.put(1, "job", 1, 1, first)
    shelf.put(1, "job", 2, 1, second)
    shelf.put(2, "other", 1, 1, first)
    assert shelf.get(1, 1, 1) is first
    assert shelf.get(1, 1, 2) is None
    assert shelf.memory == 10 + 21 + 10
    shelf.put(1, "job", 1, 1, first)
    assert shelf.memory == 41, "put twice, held once"
    shelf.drop(1, 1, 1)
    shelf.drop(1, 1, 1)
    assert shelf.get(1, 1, 1) is None
    assert shelf.memory == 31
    shelf.drop_job(1)
    shelf.drop_job(7)
    assert shelf.memory == 10
    assert shelf.get(2, 1, 1) is first


def test_a_dropped_result_takes_the_tasks_folder_with_it_and_nothing_else(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 1_000)
    shelf.put(1, "job", 7, 1, result(f=made_file(tmp_path, 7, 1, b"f", "deep/out"), v=value(b"v")))
    shelf.put(1, "job", 7, 2, result(f=made_file(tmp_path, 7, 2, b"f")))
    (tmp_path / "loose").write_text("x")
    shelf.put(1, "job", 8, 1, result(f=digest_file(tmp_path / "loose")))
    (tmp_path / "tasks" / "7.1" / "scratch").write_text("left by the node")
    shelf.drop(1, 7, 1)
    shelf.remover.settle()
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["7.2"]
    shelf.drop(1, 8, 1)
    shelf.remover.settle()
    assert not (tmp_path / "loose").exists()
    shelf.drop_job(1)
    shelf.remover.settle()
    assert list((tmp_path / "tasks").iterdir()) == []


def test_who_drops_does_not_wait_for_the_file_system(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 1_000)
    busy, over = threading.Event(), threading.Event()
    shelf.remover._thread.submit(lambda: (busy.set(), over.wait(20)))  # a file system that takes its time
    assert busy.wait(20)
    made = made_file(tmp_path, 7, 1, b"f")
    shelf.put(1, "job", 7, 1, result(f=made))
    shelf.drop_job(1)
    assert shelf.get(1, 7, 1) is None
    assert made.path is not None and made.path.exists()
    over.set()
    shelf.close()
    assert not made.path.parent.exists(), "what was asked for is done before the end"


def test_above_the_limit_the_largest_go_to_disk_and_read_the_same(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 80_000)
    results = [result(a=value(bytes([i]) * (1_000 * i)), b=value(b"small")) for i in range(1, 20)]
    for i, each in enumerate(results):
        shelf.put(1, "job", i, 1, each)
        assert shelf.memory <= 80_000
    spilled = [each for each in results if each.pieces["a"].path is not None]
    assert shelf.spills == len(spilled) > 0
    assert max(each.size for each in results) == max(each.size for each in spilled)
    for i, each in enumerate(results, 1):
        piece = each.pieces["a"]
        assert piece.read() == bytes([i]) * (1_000 * i)
        assert piece.digest == piece_digest(piece.read())
        assert not piece.is_file
        assert (piece.value is None) == (piece.path is not None)
    shelf.drop_job(1)
    assert shelf.memory == 0
    shelf.remover.settle()
    assert [path.name for path in (tmp_path / "shelf").iterdir()] == ["index"]


def test_values_too_small_to_spill_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 100)
    shelf.put(1, "job", 1, 1, result(a=value(b"x" * 500)))
    assert (shelf.spills, shelf.memory) == (0, 500)


def test_a_full_disk_costs_memory_not_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    shelf = Shelf(tmp_path / "shelf", 100)
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(shelf_index.os, "write", full)
    held = result(a=value(b"x" * 5_000))
    shelf.put(1, "job", 1, 1, held)
    assert held.pieces["a"].read() == b"x" * 5_000
    assert shelf.memory == 5_000
    monkeypatch.undo()
    shelf.put(1, "job", 2, 1, result(a=value(b"y" * 2_000)))
    assert shelf.memory == 0


# --- another life ---------------------------------------------------------------------------------------------


def test_results_with_files_are_found_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 100_000)
    kept = result(f=made_file(tmp_path, 1, 1, b"file"), v=value(b"value" * 1_000))
    shelf.put(5, "job", 1, 1, kept)
    shelf.put(5, "job", 2, 1, result(v=value(b"values alone are made again")))
    shelf.put(5, "job", 3, 1, result(f=made_file(tmp_path, 3, 1, b"dropped")))
    shelf.drop(5, 3, 1)
    for _ in range(2):  # the second life leaves as much as the first
        again = Shelf(tmp_path / "shelf", 100_000)
        ((name, found),) = again.held()
        assert name == ("job", 1, 1)
        assert (found.digest, found.size) == (kept.digest, kept.size)
        assert {key: piece.read() for key, piece in found.pieces.items()} == {"f": b"file", "v": b"value" * 1_000}
        assert again.get(5, 1, 1) is found
        assert again.memory == 5_000
        again.close()
    shelf = Shelf(tmp_path / "shelf", 100_000)
    shelf.drop_job(5)
    assert Shelf(tmp_path / "shelf", 100_000).held() == []


def test_what_an_earlier_life_kept_is_dropped_by_the_name_that_it_is_offered_under(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 100_000)
    for task in (1, 2):
        shelf.put(5, "job", task, 1, result(f=made_file(tmp_path, task, 1, b"file")))
    shelf.close()
    again = Shelf(tmp_path / "shelf", 100_000)
    again.drop_held([("job", 2, 1), ("another", 1, 1), ("job", 1, 7)])
    assert again.get(5, 2, 1) is None and again.get(5, 1, 1) is not None
    again.close()
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["1.1"]
    assert [name for name, _ in Shelf(tmp_path / "shelf", 100_000).held()] == [("job", 1, 1)]


def test_a_file_that_changed_or_went_is_not_offered(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 100_000)
    for task in range(4):
        shelf.put(1, "job", task, 1, result(f=made_file(tmp_path, task, 1, b"file")))
    shelf.close()
    (tmp_path / "tasks" / "0.1" / "out").unlink()
    (tmp_path / "tasks" / "1.1" / "out").write_bytes(b"longer than before")
    (tmp_path / "tasks" / "2.1" / "out").rename(tmp_path / "elsewhere")
    (tmp_path / "tasks" / "2.1" / "out").symlink_to(tmp_path / "elsewhere")
    again = Shelf(tmp_path / "shelf", 100_000)
    assert [name for name, _ in again.held()] == [("job", 3, 1)]


def test_after_another_boot_the_bytes_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path / "shelf", 100_000)
    for task in range(2):
        shelf.put(1, "job", task, 1, result(f=made_file(tmp_path, task, 1, b"file")))
    shelf.close()
    lost = tmp_path / "tasks" / "1.1" / "out"
    times = lost.stat()
    lost.write_bytes(bytes(4))
    shelf_module.os.utime(lost, ns=(times.st_atime_ns, times.st_mtime_ns))
    monkeypatch.setattr(shelf_index, "boot_id", lambda: "another boot")
    assert [name for name, _ in Shelf(tmp_path / "shelf", 100_000).held()] == [("job", 0, 1)]


def test_a_torn_or_damaged_index_gives_what_stands_before(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 100_000)
    for task in range(3):
        shelf.put(1, "job", task, 1, result(f=made_file(tmp_path, task, 1, b"file")))
    shelf.close()
    index = tmp_path / "shelf" / "index"
    whole = index.read_bytes()
    counts = []
    for cut in range(0, len(whole) + 1, 7):
        index.write_bytes(whole[:cut])
        counts.append(len(shelf_index.read(index).puts))
    assert counts == sorted(counts)
    assert {0, 1, 2} <= set(counts)
    index.write_bytes(b"\xff" * 100)
    assert Shelf(tmp_path / "shelf", 100_000).held() == []


def test_the_index_does_not_grow_for_ever(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 100_000)
    piece = made_file(tmp_path, 0, 1, b"file")
    sizes = []
    for task in range(1, 3_000):
        shelf.put(1, "job", task, 1, result(f=Piece(piece.size, piece.digest, True, path=piece.path)))
        if task > 10:
            kept = shelf._kept[1, task - 10, 1].result.pieces
            kept.clear()  # type: ignore[attr-defined]  # the file is shared: let it lie
            shelf.drop(1, task - 10, 1)
        sizes.append((tmp_path / "shelf" / "index").stat().st_size)
    assert sizes[-1] < max(sizes)
