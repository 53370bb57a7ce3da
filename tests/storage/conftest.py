"""These tests sync thousands of times, and what they test is the order of things: memory will do."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.storage.desk import SYNCERS, use_syncer

from tasksprint.storage import recovery, segments

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "JOURNAL_SEGMENT_BYTES", 64 * 1024)
    monkeypatch.setattr(recovery, "JOURNAL_SEGMENT_BYTES", 64 * 1024)


@pytest.fixture(params=SYNCERS)
def _syncer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    use_syncer(monkeypatch, request.param)
