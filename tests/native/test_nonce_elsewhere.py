"""The kernels outside Python: under sanitizers, and ARMv8's under an emulator where a cross compiler is installed.

No machine of ours has ARM's SHA2 instructions; `apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross
qemu-user-static` lets this test run them all the same.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasksprint.native import nonce

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "src" / "_native"
BLOCK = json.loads((Path(__file__).parent / "data" / "bitcoin_headers.json").read_text())["headers"][20]
HEADER = bytes.fromhex(BLOCK["header"])
CASES = [
    (BLOCK["nonce"] - 13, 40, 0xFFFF << 208),
    (0, 1, (1 << 256) - 1),
    (7, 5000, (1 << 256) >> 6),
    ((1 << 32) - 70, 70, (1 << 256) // 5),
]


def lines_of(folder, compiler, emulator, options):
    subprocess.run([sys.executable, NATIVE / "nonce_generate.py", folder], check=True)
    for header in NATIVE.glob("nonce_kernels*.h"):
        shutil.copy(header, folder)
    program = folder / "harness"
    source = ROOT / "tests" / "native" / "nonce_harness.c"
    subprocess.run([compiler, *options, "-Wall", "-I", folder, "-o", program, source], check=True)
    for start, count, target in CASES:
        arguments = [HEADER.hex(), target.to_bytes(32, "little").hex(), str(start), str(count)]
        answer = subprocess.run([*emulator, program, *arguments], capture_output=True, text=True, check=True)
        wanted = nonce.search(HEADER, start, count, target, kernel="python")
        found = " ".join([str(count), *(f"{number}:{digest.hex()}" for number, digest in wanted.hits)])
        yield {line.split(" ", 1)[0]: line.split(" ", 1)[1] == found for line in answer.stdout.splitlines()}


def test_armv8(tmp_path):
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64-static")
    if not compiler or not emulator:
        pytest.skip("no aarch64 compiler and emulator")
    for outcome in lines_of(tmp_path, compiler, [emulator], ["-O3", "-static"]):
        assert outcome == {"arm_sha2": True, "portable": True}


def test_without_the_instructions_of_today(tmp_path):
    """An old x86 processor sees only the portable kernel; nothing else may run there."""
    compiler, emulator = shutil.which("gcc"), shutil.which("qemu-x86_64-static")
    if not compiler or not emulator:
        pytest.skip("no emulator of x86")
    for outcome in lines_of(tmp_path, compiler, [emulator, "-cpu", "Nehalem"], ["-O2", "-static"]):
        assert outcome == {"portable": True}


def test_under_sanitizers(tmp_path):
    compiler = shutil.which("gcc")
    if not compiler:
        pytest.skip("no gcc")
    options = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    for outcome in lines_of(tmp_path, compiler, [], options):
        assert outcome == {name: True for name in nonce.kernels() if name != "python"}
