from pathlib import Path

import pytest

from tasksprint.transport.secret import SecretError, make_secret, read_secret


def test_one_is_made_when_asked_for_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    with pytest.raises(SecretError, match="no secret in .*: copy the file from another machine"):
        read_secret(path)
    secret = read_secret(path, create=True)
    assert len(secret) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_secret(path) == read_secret(path, create=True) == secret
    assert make_secret(path) == secret, "who comes second takes the first one's"
    assert [each.name for each in path.parent.iterdir()] == ["secret"]
    assert read_secret(tmp_path / "other", create=True) != secret


def test_white_space_around_it_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b" 0123456789abcdef\n")
    path.chmod(0o400)
    assert read_secret(path) == b"0123456789abcdef"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o610, 0o666])
def test_one_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    make_secret(path)
    path.chmod(mode)
    with pytest.raises(SecretError, match=f"may be read by others: run `chmod 600 {path}`"):
        read_secret(path, create=True)


def test_one_that_is_too_short_too_long_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for data in (b"", b"short", b"x" * 5_000):
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(SecretError, match="16 to 4096 are needed"):
            read_secret(path)
    with pytest.raises(SecretError, match="is no plain file"):
        read_secret(tmp_path)
    with pytest.raises(SecretError, match="cannot read the secret"):
        read_secret(tmp_path / "secret" / "below", create=True)
