"""The word count of real text, beside a multiprocessing.Pool with a Counter for each block; one line of JSON.

The text is this Python's own standard library, repeated to the size that is asked for.  Ours is the whole command
(`tasksprint run wordcount`: cluster up, three stages, result published, cluster down); the peer is the pool's map and
merge alone, without writing anything.  Both are run in turn, `--rounds` times; medians, and the median of the ratios.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path

BLOCK_BYTES = 8 << 20


def make_text(path: Path, mib: int) -> None:
    """Standard library sources, again and again."""
    sources = b"".join(each.read_bytes() for each in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    with path.open("wb") as file:
        while file.tell() < mib << 20:
            file.write(sources[: (mib << 20) - file.tell()])


def count(block: tuple[str, int]) -> Counter[bytes]:
    """The words that start in the block at this offset."""
    path, start = block
    with open(path, "rb") as file:
        file.seek(max(start - 1, 0))
        data = file.read(BLOCK_BYTES + (start > 0))
        if start > 0:
            data = data[1:] if data[:1].isspace() else data.split(None, 1)[1]
        while not data[-1:].isspace() and (more := file.read(1)):
            data += more
    return Counter(data.split())


def pool_count(pool: multiprocessing.pool.Pool, path: Path) -> tuple[float, int]:
    began = time.monotonic()
    total: Counter[bytes] = Counter()
    for part in pool.imap_unordered(count, [(str(path), at) for at in range(0, path.stat().st_size, BLOCK_BYTES)]):
        total.update(part)
    return time.monotonic() - began, sum(total.values())


def our_count(path: Path, folder: Path, replicas: int) -> tuple[float, int]:
    began = time.monotonic()
    command = [sys.executable, "-m", "tasksprint", "run", "wordcount", "--replicas", str(replicas), str(path)]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True)
    words = int(done.stdout.splitlines()[-1].split()[0].replace(",", ""))
    return time.monotonic() - began, words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, multiprocessing.get_context("spawn").Pool(2) as pool:
        path = Path(name) / "text"
        make_text(path, options.mib)
        pairs = []
        for _ in range(options.rounds):
            ours, words = our_count(path, Path(name), options.replicas)
            theirs, peer_words = pool_count(pool, path)
            assert words == peer_words, f"{words} words, the pool counts {peer_words}"
            pairs.append((ours, theirs))
    print(
        json.dumps(
            {
                "mib": options.mib,
                "replicas": options.replicas,
                "seconds": round(statistics.median(ours for ours, _ in pairs), 2),
                "pool_seconds": round(statistics.median(theirs for _, theirs in pairs), 2),
                "ratio": round(statistics.median(ours / theirs for ours, theirs in pairs), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
