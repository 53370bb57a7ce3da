"""The genetic operators: both twins give the same words, and the words have the right statistics."""

import threading

import numpy as np
import pytest

from tasksprint.native import genome, genome_plain

compiled = pytest.importorskip("tasksprint.native._genome")


@pytest.fixture(params=["compiled", "plain"])
def operators(request, monkeypatch):
    monkeypatch.setattr(genome, "_kernel", compiled if request.param == "compiled" else genome_plain)
    return genome


def population(size, width, dtype, seed=1):
    words = genome.draws(genome.stream(seed, 0, 0), size * width)
    return (words >> np.uint64(64 - np.dtype(dtype).itemsize * 8)).astype(dtype).reshape(size, width)


def both(call):
    outputs = []
    for kernel in (compiled, genome_plain):
        before, genome._kernel = genome._kernel, kernel
        try:
            outputs.append(call())
        finally:
            genome._kernel = before
    return outputs


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("width", [1, 2, 3, 10])
@pytest.mark.parametrize("probability", [0.0, 0.0001, 0.01, 0.3, 0.5])
def test_twins_agree_on_a_generation(dtype, width, probability):
    parents = population(501, width, dtype)
    fitness = genome.uniform(genome.stream(2, 0, 0), 501)
    one, two = both(lambda: genome.generation(parents, fitness, probability, 3, 4, 5))
    assert one.dtype == dtype
    assert np.array_equal(one, two)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize(("low", "window"), [(0, None), (3, 7), (5, 16), (0, 32), (31, 1)])
@pytest.mark.parametrize("carry", [False, True])
def test_twins_agree_on_flips_in_a_window(dtype, low, window, carry):
    def flipped():
        words = population(300, 2, dtype)
        words[:40] = 0
        words[40:80] = np.iinfo(dtype).max
        count = genome.flip(words, 0.2, 77, low=low, window=window, carry=carry)
        return words, count

    (one, first), (two, second) = both(flipped)
    assert first == second > 0
    assert np.array_equal(one, two)


def test_twins_agree_on_draws_selection_and_averages():
    fitness = np.array([0.5, np.nan, -np.inf, 0.5, 2.0, -0.0, 0.0])
    assert np.array_equal(*both(lambda: genome.draws(9, 1000, first=17)))
    assert np.array_equal(*both(lambda: genome.select(fitness, 5, 999)))
    words = population(7, 2, np.uint64)
    ones, twos = genome.select(fitness, 5, 99), genome.select(fitness, 6, 99)
    assert np.array_equal(*both(lambda: genome.average(words, ones, twos)))
    assert compiled.mix(12345) == genome_plain.mix(12345) == genome.genome_mix(12345)


def test_draws_are_counted(operators):
    key = operators.stream(1, 2, 3)
    assert np.array_equal(operators.draws(key, 10)[4:], operators.draws(key, 6, first=4))
    assert len({operators.stream(*parts) for parts in np.ndindex(5, 5, 5)}) == 125


def test_draws_of_a_known_key(operators):
    """splitmix64 from state 0: numbers that anybody can check against another implementation."""
    assert [hex(n) for n in operators.draws(0, 3)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_uniform_numbers_fill_the_interval(operators):
    numbers = operators.uniform(operators.stream(1, 0, 0), 40_000)
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    assert counts.sum() == 40_000
    assert abs(counts - 2000).max() < 200


def test_flips_have_the_probability_asked_for(operators):
    for probability in (0.002, 0.01, 0.2):
        words = np.zeros((5000, 2), dtype=np.uint32)
        flips = operators.flip(words, probability, operators.stream(8, 0, 0))
        expected = words.size * 32 * probability
        assert abs(flips - expected) < 5 * np.sqrt(expected)
        assert int(np.unpackbits(words.view(np.uint8)).sum()) == flips
        by_bit = [int((words >> np.uint32(bit) & np.uint32(1)).sum()) for bit in range(32)]
        assert max(abs(n - expected / 32) for n in by_bit) < 5 * np.sqrt(expected / 32)


def test_the_window_bounds_the_flips(operators):
    words = np.zeros((1000, 1), dtype=np.uint64)
    operators.flip(words, 0.5, 3, low=10, window=5)
    assert words.max() < 2**15
    assert np.all(words & np.uint64(2**10 - 1) == 0)
    assert words.any()


def test_carries_cross_the_cliff_and_stop_at_the_ends(operators):
    words = np.full((4000, 1), 2**31 - 1, dtype=np.uint32)  # one below the cliff: only a carry reaches 2**31
    operators.flip(words, 0.02, 5, carry=True)
    assert (words == 2**31).any()
    ends = np.zeros((4000, 1), dtype=np.uint32)
    ends[2000:] = 2**32 - 1
    operators.flip(ends, 0.01, 6, carry=True)
    untouched = int((ends[:2000] == 0).sum()), int((ends[2000:] == 2**32 - 1).sum())
    assert min(untouched) > 1400


def test_selection_prefers_the_fitter(operators):
    fitness = np.arange(100.0)
    parents = operators.select(fitness, 4, 20_000)
    assert abs(parents.mean() - 66) < 1.5  # the greater of two uniform numbers
    assert np.all(operators.select(np.array([np.nan, np.nan]), 4, 50) < 2)
    mixed = operators.select(np.array([1.0, np.nan, 1.0, np.nan]), 4, 4000)
    assert np.isin(mixed, (1, 3)).mean() < 0.55


def test_averages_do_not_overflow(operators):
    for dtype in (np.uint32, np.uint64):
        top = np.iinfo(dtype).max
        words = np.array([[top], [top - 1], [0]], dtype=dtype)
        children = operators.average(words, np.array([0, 0, 0, 2]), np.array([0, 1, 2, 2]))
        assert children[:, 0].tolist() == [top, top - 1, top // 2, 0]


def test_generations_reach_the_top(operators):
    words = population(400, 2, np.uint32)
    for number in range(30):
        distance = np.abs(words.astype(np.float64) / 2**32 - 0.3).sum(axis=1)
        words = operators.generation(words, -distance, 0.01, 1, 1, number)
    assert np.median(np.abs(words / 2**32 - 0.3)) < 0.01


def test_wrong_arguments_say_what_is_wrong(operators):
    words = population(4, 2, np.uint32)
    with pytest.raises(TypeError, match="uint32 or uint64"):
        operators.generation(words.astype(np.float64), np.zeros(4), 0.01, 1, 1, 1)
    with pytest.raises(ValueError, match="4 individuals need as many fitnesses"):
        operators.generation(words, np.zeros(3), 0.01, 1, 1, 1)
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        operators.flip(words, 0.7, 1)
    with pytest.raises(ValueError, match="in place"):
        operators.flip(words[::2], 0.1, 1)
    with pytest.raises(ValueError, match="bits 30 to 33"):
        operators.flip(words, 0.1, 1, low=30, window=4)
    with pytest.raises(ValueError, match="beyond the 4"):
        operators.average(words, np.array([4]), np.array([0]))
    with pytest.raises(ValueError, match="table of their own"):
        operators.generation(words, np.zeros(4), 0.01, 1, 1, 1, out=words)
    with pytest.raises(ValueError, match="1 to 2"):
        operators.select(np.array([]), 1, 1)
    with pytest.raises(ValueError, match="at least one coordinate"):
        operators.generation(np.zeros((3, 0), np.uint32), np.zeros(3), 0.01, 1, 1, 1)


def test_threads_run_beside_each_other_with_the_same_output():
    parents, fitness = population(20_000, 2, np.uint32), genome.uniform(3, 20_000)
    expected = genome.generation(parents, fitness, 0.01, 1, 2, 3)
    outputs = [np.empty_like(parents) for _ in range(4)]
    threads = [
        threading.Thread(target=genome.generation, args=(parents, fitness, 0.01, 1, 2, 3, out)) for out in outputs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(out, expected) for out in outputs)
