import os
from pathlib import Path

import msgspec
import pytest

from tasksprint.limits import PROGRAM_BYTES
from tasksprint.storage.programs import (
    _MAGIC,
    PackedFile,
    ProgramError,
    content_hash,
    pack_program,
    read_packed,
    unpack_program,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "program"
    (folder / "lib" / "__pycache__").mkdir(parents=True)
    (folder / "node.sh").write_text("#!/bin/sh\n")
    (folder / "node.sh").chmod(0o755)
    (folder / "lib" / "wörter.txt").write_text("x")
    (folder / "lib" / "__pycache__" / "x.pyc").write_text("left out")
    (folder / "empty").mkdir()
    return folder


def packed(*files: tuple[str, bytes]) -> bytes:
    return _MAGIC + msgspec.msgpack.encode([PackedFile(name, False, content) for name, content in files])


def test_what_goes_in_comes_out(folder: Path, tmp_path: Path) -> None:
    data = pack_program(folder)
    unpack_program(data, tmp_path / "out")
    unpack_program(data, tmp_path / "out")  # over itself
    names = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert names == ["lib/wörter.txt", "node.sh"]
    assert os.access(tmp_path / "out" / "node.sh", os.X_OK)
    assert not os.access(tmp_path / "out" / "lib" / "wörter.txt", os.X_OK)
    assert pack_program(tmp_path / "out") == data
    assert len(content_hash(data)) == 64


def test_the_same_files_give_the_same_bytes(folder: Path) -> None:
    data = pack_program(folder)
    os.utime(folder / "node.sh", (1, 1))
    (folder / "node.sh").chmod(0o700)
    assert pack_program(folder) == data
    assert pack_program(folder, ["node.sh", "lib", "lib/wörter.txt"]) == data
    assert pack_program(folder, ["node.sh"]) != data


def test_what_cannot_travel_is_said_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="cannot read .*gone: No such file"):
        pack_program(folder, ["gone"])
    with pytest.raises(ProgramError, match="no relative name"):
        pack_program(folder, ["../secret"])
    with pytest.raises(ProgramError, match="holds no program files"):
        pack_program(folder / "empty")
    (folder / "big").write_bytes(bytes(PROGRAM_BYTES))
    with pytest.raises(ProgramError, match="name larger things by a path"):
        pack_program(folder)
    (folder / "big").unlink()
    (folder / "link").symlink_to("node.sh")
    with pytest.raises(ProgramError, match="link is neither a file nor a folder"):
        pack_program(folder)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up", "a/../../up", "a//b", "./a", "", "a/", "a\0b", "a\\b", "x" * 2_000]
)
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="no relative name of plain parts"):
        unpack_program(packed((name, b"")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        _MAGIC + b"\xff",
        packed(("a", b""))[:-1],
        packed(("b", b""), ("a", b"")),
        packed(("a", b""), ("a", b"")),
        packed(("a", b""), ("a/b", b"")),
        bytes(PROGRAM_BYTES + 1),
    ],
)
def test_bytes_that_are_no_program_are_refused(data: bytes) -> None:
    with pytest.raises(ProgramError):
        read_packed(data)


def test_a_link_that_is_there_already_is_not_followed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (out / "lib").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProgramError, match="lib is a link: remove it"):
        unpack_program(packed(("first", b""), ("lib/deep/x", b"")), out)
    assert [path.name for path in out.iterdir()] == ["lib"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_every_cut_of_the_bytes_is_refused(folder: Path) -> None:
    data = pack_program(folder)
    for end in range(len(data)):
        with pytest.raises(ProgramError):
            read_packed(data[:end])
