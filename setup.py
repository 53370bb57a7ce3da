"""Compiled modules of TaskSprint; everything else about the package is in pyproject.toml.

One line of `EXTENSIONS` a module: `src/_native/<name>.pyx` becomes `tasksprint.native._<name>`.
Debug builds are switched by the environment:

    TASKSPRINT_TRACE=1     line tracing, so that coverage sees the .pyx
    TASKSPRINT_SANITIZE=1  address and undefined-behaviour sanitizers (run tests with LD_PRELOAD of libasan)
"""

import os
import sys
from importlib import import_module
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

NATIVE = Path("src/_native")
EXTENSIONS = {  # name: what it includes (changes rebuild it)
    "genome": ["genome.h"],
    "nonce": ["nonce_kernels.h", "nonce_kernels_arm.h", "nonce_kernels_x86.h", "nonce_generated_x86.h"],
    "pieces": ["pieces_count.h", "pieces_merge.h", "pieces_sort.h"],
    "syncer": ["syncer.h"],
}


def switched_on(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


TRACE = switched_on("TASKSPRINT_TRACE")
SANITIZE = switched_on("TASKSPRINT_SANITIZE")

directives = {"language_level": 3, "boundscheck": False, "wraparound": False, "embedsignature": True}
compile_flags = ["-O3", "-g0", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function"]
link_flags: list[str] = []
macros: list[tuple[str, str]] = []
if TRACE:
    directives["linetrace"] = True
    macros += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
if SANITIZE:
    sanitizers = "-fsanitize=address,undefined"
    compile_flags = ["-O1", "-g", "-fno-omit-frame-pointer", sanitizers]
    link_flags.append(sanitizers)


def extension(name: str, includes: list[str]) -> Extension:
    return Extension(
        f"tasksprint.native._{name}",
        [str(NATIVE / f"{name}.pyx")],
        depends=[str(NATIVE / include) for include in includes],
        include_dirs=[str(NATIVE)],
        define_macros=macros,
        extra_compile_args=compile_flags,
        extra_link_args=link_flags,
    )


sys.path.insert(0, str(NATIVE))
import_module("nonce_generate").main(NATIVE)  # writes nonce_generated_*.h
setup(
    ext_modules=cythonize(
        [extension(name, includes) for name, includes in EXTENSIONS.items()],
        build_dir=None if TRACE else "build/cython",
        compiler_directives=directives,
        annotate=switched_on("TASKSPRINT_ANNOTATE"),
    ),
)
