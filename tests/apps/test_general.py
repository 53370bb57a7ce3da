"""MapReduce for a user's functions: the same answer however it is cut, combined or spilled."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tasksprint.apps.mapreduce import general
from tasksprint.apps.mapreduce.general import MapReduce
from tasksprint.sdk import File


class Plain(MapReduce):
    """A node outside its process: its folder is given, progress is added up."""

    folder = Path()

    def __init__(self):
        self.read = 0

    def progress(self, fraction=None, *, read=0):
        self.read += read


class Count(Plain):
    def map(self, path, line):
        for word in line.split():
            yield word, 1

    def reduce(self, word, counts):
        yield word, sum(counts)


class CombinedCount(Count):
    def combine(self, word, counts):
        yield word, sum(counts)


class InOrder(Plain):
    """All lines under one key: they must come as they stand in the files."""

    def map(self, path, line):
        yield [len(line) % 2, None], {"line": line}

    def reduce(self, key, values):
        yield key[0], "|".join(value["line"] for value in values)


def run(node, paths, folder, maps=3, parts=2):
    """The whole job in this process. Returns the lines of all outputs, sorted."""

    def task(name):
        node.folder = folder / name
        node.folder.mkdir()
        return node.folder

    def opened(result):
        files = {key: File(node.folder / str(value)) for key, value in result.items() if isinstance(value, File)}
        return {**result, **files}

    task("list")
    shares = node.list_files(paths, maps)
    assert list(shares) == [f"share-{share}" for share in range(maps)]
    mapped = []
    for number, share in enumerate(shares.values()):
        task(f"map-{number}")
        mapped.append(opened(node.map_files(share, parts)))
    lines = []
    for part in range(parts):
        task(f"reduce-{part}")
        result = opened(node.reduce_part(*[each[f"part-{part}"] for each in mapped], part=part))
        found = result["output"].read_text().splitlines()
        assert len(found) == result["records"]
        lines += found
    return sorted(lines)


@pytest.fixture
def texts(tmp_path):
    source = random.Random(3)
    vocabulary = ["the", "of", "a", "naïve", "word", "list"]
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(7):
        lines = [" ".join(source.choices(vocabulary, k=source.randint(0, 9))) for _ in range(90)]
        (folder / f"text-{number}").write_text("\n".join(lines) + source.choice(["", "\n"]), encoding="utf-8")
    return folder


@pytest.mark.parametrize("held", [50, 400, general.VALUES_HELD])
@pytest.mark.parametrize("kind", [Count, CombinedCount])
def test_the_answer_is_the_same_however_it_is_made(kind, held, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(general, "VALUES_HELD", held)
    paths = sorted(texts.iterdir())
    wanted = Counter(word for path in paths for word in path.read_text(encoding="utf-8").split())
    for maps, parts in ((1, 1), (3, 2), (20, 5)):
        folder = tmp_path / f"{maps}-{parts}"
        folder.mkdir()
        node = kind()
        assert run(node, [str(texts)], folder, maps, parts) == sorted(f"{word}\t{n}" for word, n in wanted.items())
        assert node.read == sum(path.stat().st_size for path in paths)


@pytest.mark.parametrize("held", [20, general.VALUES_HELD])
def test_values_come_in_the_order_of_the_input(held, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(general, "VALUES_HELD", held)
    lines = [line for path in sorted(texts.iterdir()) for line in path.read_text(encoding="utf-8").splitlines()]
    wanted = [f"{odd}\t" + "|".join(line for line in lines if len(line) % 2 == odd) for odd in (0, 1)]
    assert run(InOrder(), [str(texts)], tmp_path, maps=11) == wanted


def test_a_node_without_map_says_so(texts, tmp_path):
    with pytest.raises(NotImplementedError, match=r"Plain defines no map\(self, path, line\)"):
        run(Plain(), [str(texts)], tmp_path)
