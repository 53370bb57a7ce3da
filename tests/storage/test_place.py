"""Where a journal may be made: in a new folder, an empty one, or where one is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasksprint.storage import Journal, NotOurs, check_place


def test_a_new_folder_an_empty_one_and_one_with_a_journal(tmp_path: Path) -> None:
    check_place(tmp_path / "new")
    check_place(tmp_path)
    Journal.open(tmp_path, cluster="c", replica=1).close()
    (tmp_path / "jobs").mkdir()
    (tmp_path / "a person's notes").touch()
    check_place(tmp_path)


@pytest.mark.parametrize("names", [["lock"], ["lock", "jobs"], ["secret"], ["lost+found"], ["journal-0000000001.tmp"]])
def test_what_is_there_before_a_journal_does_not_count(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    check_place(tmp_path)


@pytest.mark.parametrize("names", [["thesis"], ["jobs"], ["lock", "jobs", "thesis"]])
def test_somebodys_files_keep_it_out(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(NotOurs, match=rf"is not empty \({names[-1]}\) and holds no journal"):
        check_place(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names)
