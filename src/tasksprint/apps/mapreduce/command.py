"""The word count on the command line: arguments from paths, and the answer for a person.

This runs at the submitter, the only place where folders are listed: a scheduler has copies on several
machines, and what they see must be equal.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tasksprint.apps.mapreduce.plan import output_name

__all__ = ["InputError", "arguments", "input_bytes", "output_name", "summary"]

MIB = 1 << 20
SPLIT_MIN_BYTES = 1 * MIB
SPLIT_MAX_BYTES = 64 * MIB
SPLITS = 32  # map tasks, about, between those limits
PART_BYTES = 64 * MIB  # of input for each reduce task, about
PARTS_MIN = 2
PARTS_MAX = 64
TOP_WORDS = 10
OPTIONS = ("split_bytes", "parts", "top")
LISTING_BYTES = 900 << 10  # the arguments of a job go through the log


class InputError(ValueError):
    """The input cannot be counted; the text says which, why, and what to do."""


def arguments(
    paths: Sequence[str | os.PathLike[str]],
    *,
    split_bytes: int | None = None,
    parts: int | None = None,
    top: int = TOP_WORDS,
) -> dict[str, Any]:
    """The job's arguments for these files and folders; InputError when they cannot be counted.

    Folders are walked in the order of names, and only their regular files count.  A file that is named twice
    counts twice, as for `cat`.  Among the paths, `split_bytes=N`, `parts=N` and `top=N` are options.
    """
    paths, options = separated(paths)
    split_bytes, parts = options.get("split_bytes", split_bytes), options.get("parts", parts)
    top = options.get("top", top)
    if not paths:
        raise InputError("nothing to count: name a file or a folder")
    listing = grouped(entry for path in paths for entry in listed(path))
    total = sum(size for _, entries in listing for _, size, _ in entries)
    if total == 0:
        raise InputError(f"nothing to count: no file in {', '.join(paths)} has a byte in it")
    args = {
        "files": listing,
        "split_bytes": checked("split_bytes", default_split(total) if split_bytes is None else split_bytes, 1, 1 << 40),
        "parts": checked("parts", default_parts(total) if parts is None else parts, 1, 10_000),
        "top": checked("top", top, 1, 1_000),
    }
    size = len(json.dumps(args, ensure_ascii=False).encode())
    if size > LISTING_BYTES:
        count = sum(len(entries) for _, entries in listing)
        raise InputError(
            f"the list of {count:,} files takes {size >> 10:,} KiB, more than {LISTING_BYTES >> 10} KiB: "
            "join small files into larger ones, or count the folders one after another"
        )
    return args


def default_split(total_bytes: int) -> int:
    """Bytes a map task: it depends on the input alone, so the answer's pieces do too."""
    return min(SPLIT_MAX_BYTES, max(SPLIT_MIN_BYTES, -(-total_bytes // SPLITS)))


def default_parts(total_bytes: int) -> int:
    """Reduce tasks, and files of the result."""
    return min(PARTS_MAX, max(PARTS_MIN, -(-total_bytes // PART_BYTES)))


def separated(words: Sequence[str | os.PathLike[str]]) -> tuple[list[str], dict[str, int]]:
    """Paths, and options among them; what exists as a file is a path."""
    paths: list[str] = []
    options: dict[str, int] = {}
    for each in words:
        word = os.fspath(each)
        name, equals, value = word.partition("=")
        if not equals or name not in OPTIONS or os.path.lexists(word):
            paths.append(word)
        elif value.isascii() and value.isdigit():
            options[name] = int(value)
        else:
            raise InputError(f"{name} is a number of at least 1, not {value!r}")
    return paths, options


def checked(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise InputError(f"{name} must be {least:,} to {most:,}, not {value:,}")
    return value


def grouped(entries: Iterable[tuple[Any, Any, int, str]]) -> list[Any]:
    """`[[folder, [[name, size, mtime], ...]], ...]`: each folder is written once, not with each file."""
    listing: list[Any] = []
    for folder, name, size, mtime in entries:
        if not listing or listing[-1][0] != folder:
            listing.append([folder, []])
        listing[-1][1].append([name, size, mtime])
    return listing


def listed(path: str) -> Iterator[tuple[Any, Any, int, str]]:
    """(folder, name, size, mtime) of each file that `path` stands for."""
    if not path:
        raise InputError("cannot count '', an empty name: write . for the folder where you are")
    absolute = os.path.abspath(path)
    try:
        found = os.stat(absolute)
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    if stat.S_ISDIR(found.st_mode):
        yield from walked(absolute)
    elif stat.S_ISREG(found.st_mode):
        yield entry(absolute, found)
    else:
        raise InputError(f"cannot count {path}: it is neither a file nor a folder")


def walked(folder: str) -> Iterator[tuple[Any, Any, int, str]]:
    """The regular files below a folder, in the order of names; links to files count, links to folders do not."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda each: os.fsencode(each.name))
    except OSError as error:
        raise InputError(f"cannot read {folder}: {reason(error)}") from None
    for each in found:
        try:
            if each.is_dir(follow_symlinks=False):
                yield from walked(each.path)
            elif each.is_file():
                yield entry(each.path, each.stat())
        except OSError as error:
            raise InputError(f"cannot read {each.path}: {reason(error)}") from None


def entry(path: str, found: os.stat_result) -> tuple[Any, Any, int, str]:
    if not os.access(path, os.R_OK):
        raise InputError(f"cannot read {path}: permission denied")
    folder, name = os.path.split(path)
    return encoded(folder), encoded(name), found.st_size, str(found.st_mtime_ns)


def encoded(path: str) -> Any:
    """A path as JSON carries it: text, or `{"hex": ...}` when it is no UTF-8."""
    raw = os.fsencode(path)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"hex": raw.hex()}


def reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def input_bytes(args: dict[str, Any]) -> int:
    """How many bytes the job will read: what its progress is measured against."""
    return sum(size for _, entries in args["files"] for _, size, _ in entries)


def summary(values: dict[str, Any]) -> list[str]:
    """The job's values for a person: the table, and the totals under it."""
    table = values["table"]
    width = max((len(f"{count:,}") for _, count in table), default=0)
    lines = [f"{count:>{width},}  {word}" for word, count in table]
    return [*lines, f"{values['words']:,} words, {values['distinct']:,} distinct"]
