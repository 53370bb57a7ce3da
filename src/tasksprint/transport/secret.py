"""The cluster's secret: a file that only its owner may read, the same bytes on every machine of the cluster."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

SECRET_BYTES = 32
SECRET_MAX_BYTES = 4_096
SECRET_MIN_BYTES = 16


class SecretError(Exception):
    """One line that says what is wrong with the file and what to do."""


def read_secret(path: Path, *, create: bool = False) -> bytes:
    """The secret, without white space around it.  `create`: make one when there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        if create:
            return make_secret(path)
        raise SecretError(f"no secret in {path}: copy the file from another machine of the cluster") from None
    except OSError as error:
        raise SecretError(f"cannot read the secret {path}: {error.strerror}") from None
    try:
        _check(path, os.fstat(descriptor))
        data = os.read(descriptor, SECRET_MAX_BYTES + 1).strip()
    finally:
        os.close(descriptor)
    if not SECRET_MIN_BYTES <= len(data) <= SECRET_MAX_BYTES:
        raise SecretError(
            f"the secret {path} has {len(data)} bytes, {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} are needed: "
            "copy the file from another machine, or remove it and have a new one made"
        )
    return data


def make_secret(path: Path) -> bytes:
    """A new one, whole or not there at all.  When another process was quicker, its secret is read."""
    data = secrets.token_hex(SECRET_BYTES).encode()
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, data + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return read_secret(path)
        finally:
            os.unlink(temporary)
    except OSError as error:
        raise SecretError(f"cannot make the secret {path}: {error.strerror}; choose another place for it") from error
    return data


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"the secret {path} is no plain file: choose one that is")
    if status.st_mode & 0o077:
        raise SecretError(f"the secret {path} may be read by others: run `chmod 600 {path}`, and change it if they did")
    if status.st_uid not in (os.geteuid(), 0):
        raise SecretError(f"the secret {path} belongs to another user: make one of your own")
