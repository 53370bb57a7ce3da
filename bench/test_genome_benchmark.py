"""The genetic operators under pytest-benchmark: `pytest bench/test_genome_benchmark.py`."""

import numpy as np
import pytest

from tasksprint.native import genome


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("width", [1, 2, 10])
def test_generation(benchmark, width, dtype):
    size = 10_000
    bits = np.dtype(dtype).itemsize * 8
    words = (genome.draws(1, size * width) >> np.uint64(64 - bits)).astype(dtype).reshape(size, width)
    fitness, out = genome.uniform(2, size), np.empty_like(words)
    benchmark(genome.generation, words, fitness, 0.01, 1, 1, 1, out)
    benchmark.extra_info["ns_per_individual"] = benchmark.stats.stats.min * 1e9 / size
