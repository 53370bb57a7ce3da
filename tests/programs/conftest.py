from collections.abc import Iterator

import pytest

from tasksprint.programs.keeper import Keeper


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    keeper.close()
