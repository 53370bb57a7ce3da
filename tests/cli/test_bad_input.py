"""Whatever is wrong with a command line, a file, an address or a secret: one line that says what to do, and no harm."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop  # noqa: F401
from tests.cli.by_hand import LIMIT_S, PROGRAM, SECRET, TASKSPRINT, framed, one_line

from tasksprint.apps import find
from tasksprint.cli import asking, commands, following, job, local, run, submit  # noqa: F401  (loaded before rights go)
from tasksprint.cli.local import free_ports
from tasksprint.limits import WIRE_VERSION
from tasksprint.storage import publish  # noqa: F401
from tasksprint.wire import messages as wire

NOBODY = 65_534
Refused = Callable[..., str]


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The one line of a command that must fail; quicker, in this process."""
    monkeypatch.chdir(tmp_path)

    def refused(*words: str, code: int = 2) -> str:
        monkeypatch.setattr(sys, "argv", ["tasksprint", *words])
        with pytest.raises(SystemExit) as ended:
            commands.run_program()
        assert isinstance(ended.value.code, int)
        return one_line(capsys.readouterr().err, ended.value.code, code)

    return refused


@pytest.fixture
def open_folder(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder that others may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        monkeypatch.chdir(name)
        yield Path(name)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, to whom everything is readable."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


# --- the command line -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nonsense", "no command 'nonsense'; there are: run, coordinator"),
        ("run", "name an app ("),
        ("run nonsense", "'nonsense' is no app ("),
        ("run missing.py", "no Python file and no folder"),
        ("run wordcount", "name a file or a folder"),
        ("run wordcount missing", "cannot read missing: no such file"),
        ("run wordcount empty", "no file in empty has a byte"),
        ("run wordcount /dev/null", "neither a file nor a folder"),
        ("run wordcount full parts=many", "parts is a number"),
        ("run wordcount --args {", "--args is no JSON"),
        ("run wordcount full --args {}", "not both"),
        ("run program.py x", "'x' is not name=value"),
        ("run program.py --args {x}", "--args is no JSON"),
        ("run program.py x=1 --args {}", "not both"),
        ("run program.py --seed -1", "--seed"),
        ("run program.py --replicas 2", "'2' is not one of '1', '3', '5'"),
        ("run program.py --clients 0", "--clients"),
        ("run program.py --output missing/folder", "missing is no folder"),
        ('run ""', "name an app ("),
        ('run wordcount ""', "an empty name: write . for the folder where you are"),
        ('run wordcount full ""', "an empty name"),
        ('run wordcount full --output ""', "an empty name: write . for the folder where you are"),
        ('run program.py --data-dir ""', "an empty name"),
        ('run program.py --trace ""', "an empty name"),
        ('run --scheduler x --node y --files ""', "an empty name"),
        ('run "" --scheduler x --node y', "'' is not name=value"),
        ('run roots x --box 0 1 --plot ""', "an empty name"),
        ('client --coordinators a:1 --folder ""', "an empty name"),
        ("run --scheduler x", "go together"),
        ("run --scheduler ' --node y", "is no command"),
        ("run program.py --nonsense", "--nonsense"),
        ("status", "--coordinators"),
        ("status --coordinators nonsense", "write host:port"),
        ("status --coordinators ,", "is empty"),
        ("status --coordinators a:0", "port 0"),
        ("status --coordinators a:99999", "write host:port"),
        ("status --coordinators a:1 --timeout 0", "--timeout"),
        ("why --coordinators a:1", "JOB"),
        ("why --coordinators a:1 j", "'j' is no job id"),
        ("coordinator --id 1", "--peers"),
        ("coordinator --id 1 --peers nonsense", "'nonsense' is not ID=host:port"),
        ("coordinator --id 1 --peers 1=a", "write host:port"),
        ("coordinator --id 1 --peers 1=", "is empty"),
        ("coordinator --id 1 --peers 0=a:1", "ID from 1 to 255"),
        ("coordinator --id 1 --peers ²=a:1", "ID from 1 to 255"),
        ("coordinator --id 1 --peers 1=a:1,1=b:2", "named twice"),
        ("coordinator --id 1 --peers 1=a:1,2=a:1", "each with its own address"),
        ("coordinator --id 1 --peers ,", "names 0 coordinators"),
        ("coordinator --id 4 --peers 1=a:1,2=b:2", "--id 4 is not among --peers: 1, 2"),
        ("client --coordinators a:1 --listen nonsense", "--listen: 'nonsense' is no address"),
        ("sim --plant nonsense", "no plant 'nonsense'"),
        ("check-node '", "is no command"),
        ("check-scheduler x --args {", "--args is no JSON"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    words: str, said: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_text("a word")
    (tmp_path / "program.py").write_text(PROGRAM)
    assert said in refused(*("" if word == '""' else word for word in words.split()))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_unreadable_file_is_named(kind: str, refused: Refused, open_folder: Path) -> None:
    path = open_folder / "input"
    if kind == "file":
        path.write_text("secret words")
    else:
        path.mkdir()
    path.chmod(0)
    find("wordcount").command()  # loaded before rights go
    try:
        with as_nobody():
            assert "input: permission denied" in refused("run", "wordcount", "input")
    finally:
        path.chmod(0o700)


def test_a_place_that_cannot_be_written_is_named_before_any_work(refused: Refused, open_folder: Path) -> None:
    (open_folder / "full").write_text("a word")
    (open_folder / "closed").mkdir(mode=0o555)
    find("wordcount").command()
    with as_nobody():
        assert "may not be written to" in refused("run", "wordcount", "full"), "the default is here"
        said = refused("run", "wordcount", "full", "--output", "closed/out")
    assert "may not be written to: choose another place" in said


def test_a_data_dir_that_cannot_be_is_named(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "file").touch()
    for place in ("/proc/nothing", "file/below"):
        assert "cannot write to" in refused("run", "program.py", "--data-dir", place, code=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("all my work")
    assert "not empty and holds no cluster" in refused("run", "program.py", "--data-dir", "mine")
    assert (tmp_path / "mine" / "thesis").read_text() == "all my work"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "secret").touch(0o600)
    (tmp_path / "old" / "cluster.json").write_text('{"cluster": "c", "coordinators": ["a:1", "b:1", "c:1"]}')
    assert "cluster of 3 coordinators: use --replicas 3" in refused("run", "program.py", "--data-dir", "old")
    (tmp_path / "old" / "cluster.json").write_text('{"cluster": 7')
    assert "cannot be read" in refused("run", "program.py", "--data-dir", "old")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "has no tasksprint.toml"),
        ("scheduler = ", "tasksprint.toml: "),
        ("scheduler = 'a.py'", "node is missing"),
        ("scheduler = 'a.py'\nnode = 7", "node must be a command"),
        ("scheduler = 'a.py'\nnode = ['a', 7]", "node must be a command"),
        ("scheduler = 'a.py'\nnode = []", "node must be a command"),
        ("scheduler = 'a.py'\nnode = ''", "the node's command is empty"),
        ("scheduler = 'a.py'\nnode = \"'\"", "is no command"),
        ("scheduler = 'a.py'\nnode = 'a.py'\nnodes = 'b.py'", "unknown field 'nodes'"),
        ("scheduler = 'a.py'\nnode = 'a.py'\nargs = [1]", "args must be a table"),
        ("scheduler = 'a.py'\nnode = 'a.py'\nfiles = 'a.py'", "files a list of names"),
        ("scheduler = 'a.py'\nnode = 'a.py'\nfiles = ['../a.py']", "no relative name"),
        ("scheduler = 'a.py'\nnode = 'a.py'\nfiles = ['b.py']", "b.py"),
        (b"scheduler = '\xff'", "tasksprint.toml: "),
    ],
)
def test_a_bad_tasksprint_toml(text: str | bytes | None, said: str, refused: Refused, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "a.py").write_text(PROGRAM)
    if text is not None:
        (folder / "tasksprint.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert said in refused("run", "app")


TWO = PROGRAM + "class T(Scheduler):\n    def init(self, args): self.finish('the second')\n"


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("text", "said"),
    [("import math", "has no class that extends tasksprint.Scheduler"), (TWO, "name one, as program.py:")],
)
def test_a_python_file_without_or_with_two_schedulers(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(text)
    done = subprocess.run(
        [*TASKSPRINT, "run", "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 1 and said in done.stderr, done.stderr
    if text is TWO:
        done = subprocess.run(
            [*TASKSPRINT, "run", "program.py:T"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert (done.returncode, done.stdout) == (0, '"the second"\n'), done.stderr


# --- help --------------------------------------------------------------------------------------------------

HEAVY = ("rich", "uvloop", "msgspec", "numpy", "psutil", "asyncio", "tasksprint.view", "tasksprint.wire")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['tasksprint', '--help']\nfrom tasksprint.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in commands.COMMANDS)


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_each_command_has_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tasksprint", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        commands.run_program()
    assert not ended.value.code
    assert f"Usage: tasksprint {name}" in capsys.readouterr().out


# --- nobody there, or somebody else --------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_bytes(SECRET)
    return path


def test_coordinators_that_do_not_answer(refused: Refused, secret: Path) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        address = f"{nobody},127.0.0.1:{silent.getsockname()[1]}"
        common = ["--coordinators", address, "--secret-file", str(secret), "--timeout", "0.4"]
        for words in (["status"], ["logs", "0" * 32], ["submit", "--job", "0" * 32]):
            said = refused(*words, *common, code=1)
            assert "no coordinator answered within 0.4 s" in said
            assert nobody in said and "is a majority of the cluster running?" in said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no secret in"),
        (lambda path: path.write_bytes(b"short"), "16 to 4096 are needed"),
        (lambda path: (path.write_bytes(SECRET), path.chmod(0o644)), "chmod 600"),
        (lambda path: path.mkdir(), "no plain file"),
    ],
)
def test_a_secret_that_cannot_be_used(
    make: Callable[[Path], object], said: str, refused: Refused, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if said.startswith("16"):
        path.touch(0o600)
    make(path)
    for words in (["status"], ["client"]):
        assert said in refused(*words, "--coordinators", "a:1", "--secret-file", str(path), code=1)


def test_a_cluster_of_another_version_is_told_apart(refused: Refused, secret: Path) -> None:
    """An old coordinator, played by hand: it says its version, and reads no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def old() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                hello = wire.Hello(WIRE_VERSION + 1, "tasksprint", "submit", "coordinator 1", b"n" * 32)
                connection.sendall(framed(wire.encode(hello)))
                connection.recv(4096)

        thread = threading.Thread(target=old)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        said = refused("status", "--coordinators", address, "--secret-file", str(secret), code=1)
        thread.join(LIMIT_S)
    assert f"version {WIRE_VERSION + 1} meets version {WIRE_VERSION}: install one release everywhere" in said


@pytest.mark.cluster
def test_a_client_that_nobody_takes_in_says_what_it_waits_for(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_bytes(SECRET)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    words = ["client", "--coordinators", address, "--folder", "client", "--secret-file", "secret"]
    with subprocess.Popen([*TASKSPRINT, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as client:
        try:
            assert client.stderr is not None
            said = client.stderr.readline()
        finally:
            client.terminate()
    assert f": no coordinator takes it in yet ({address}: nobody listens there" in said
    assert said.endswith("); it goes on trying\n")
