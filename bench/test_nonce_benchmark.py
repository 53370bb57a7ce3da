"""The nonce search under pytest-benchmark: `pytest bench/test_nonce_benchmark.py`."""

import pytest

from tasksprint.native import nonce


@pytest.mark.parametrize("kernel", nonce.kernels())
def test_search(benchmark, kernel):
    count = 1 << 10 if kernel == "python" else 1 << 17
    found = benchmark(nonce.search, nonce.GENESIS, 0, count, 0, kernel=kernel)
    assert found == ([], count)
    benchmark.extra_info["mhs"] = count / benchmark.stats.stats.min / 1e6
