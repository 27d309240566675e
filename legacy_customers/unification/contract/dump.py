"""A dump that can be restored, of whatever a step is about to drop: written, read back, and kept with its checksum."""

import contextlib
import glob
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from config.embedded import wheel_binaries

# How its session is known to the usage evidence, also when whoever started it was killed.
APPLICATION = "unification dump"
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True)
class Tools:
    """The directory of a pg_dump that can read this server, and its major version."""

    directory: Path
    version: int

    def run(self, connection: BaseDatabaseWrapper, tool: str, *arguments: str | Path) -> str:
        """What the tool prints, run on this database. Errors: CommandError with what it complained of."""
        done = subprocess.run(
            [self.directory / tool, *arguments],
            env=_environment(connection),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"{tool} failed (exit status {done.returncode}): {done.stderr.strip()}")
        return done.stdout


def find_tools(connection: BaseDatabaseWrapper) -> Tools:
    """The oldest pg_dump that is not older than the server. Errors: CommandError naming those that were found."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        wanted = int(cursor.fetchone()[0]) // 10_000
    found = {version: directory for directory in _places() for version in _version(directory)}
    fitting = sorted(version for version in found if version >= wanted)
    if not fitting:
        raise CommandError(
            f"The server is PostgreSQL {wanted}, and there is no pg_dump of that version or a later one here (found:"
            f" {', '.join(map(str, sorted(found))) or 'none'}). Nothing is dropped without a dump. Install the client tools"
            f" of PostgreSQL {wanted} (postgresql-client-{wanted}), or set PG_BIN to the directory that holds pg_dump and"
            " pg_restore."
        )
    return Tools(found[fitting[0]], fitting[0])


def _places() -> Iterator[Path]:
    """Where the tools may be; a later one of the same version is taken first."""
    with contextlib.suppress(ImproperlyConfigured):
        yield from wheel_binaries().values()
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if (on_path := shutil.which("pg_dump")) is not None:
        yield Path(on_path).resolve().parent
        yield Path(on_path).parent
    if settings.PG_BIN:
        yield Path(settings.PG_BIN)


def _version(directory: Path) -> Iterator[int]:
    if not (os.access(directory / "pg_dump", os.X_OK) and os.access(directory / "pg_restore", os.X_OK)):
        return
    try:
        told = subprocess.run([directory / "pg_dump", "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return
    if (found := VERSION.search(told)) is not None:
        yield int(found[1])


def _environment(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """How to reach the database, as libpq's variables: a password on a command line is everybody's to read."""
    params = connection.get_connection_params()
    names = {
        **{"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"},
        **{"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"},
        **{"service": "PGSERVICE", "passfile": "PGPASSFILE"},
    }
    return (
        os.environ
        | {"PGAPPNAME": APPLICATION}
        | {variable: str(params[name]) for name, variable in names.items() if params.get(name) not in (None, "")}
    )


def write(connection: BaseDatabaseWrapper, step: str, relations: Iterable[str]) -> tuple[Path, str]:
    """Dump tables in pg_dump's custom format; gives the file and its SHA-256. Readers and writers go on meanwhile.

    It lies in UNIFICATION_DUMP_DIR, for its owner alone, and pg_restore finds each table's data in it. Errors: CommandError.
    """
    tools = find_tools(connection)
    directory = Path(settings.UNIFICATION_DUMP_DIR)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{connection.settings_dict['NAME']}-{step}-"
    for broken_off in directory.glob(f"{glob.escape(name)}*.part"):
        broken_off.unlink()
    path = directory / f"{name}{timezone.now():%Y%m%dT%H%M%S.%fZ}.dump.part"
    names = _qualified(connection, relations)
    path.touch(mode=0o600)
    try:
        tools.run(
            connection,
            "pg_dump",
            "--format=custom",
            "--no-password",
            f"--lock-wait-timeout={settings.UNIFICATION_LOCK_PATIENCE_S * 1000}",
            f"--file={path}",
            *(f'--table="{schema}"."{name}"' for schema, name in names),
        )
        listed = tools.run(connection, "pg_restore", "--list", path)
        if missing := [name for schema, name in names if f"TABLE DATA {schema} {name} " not in listed]:
            raise CommandError(f"The dump {path} does not hold {', '.join(missing)}. Nothing was dropped.")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path.rename(path.with_suffix("")), digest(path.with_suffix(""))


def _qualified(connection: BaseDatabaseWrapper, relations: Iterable[str]) -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE c.relname = ANY(%s) AND pg_table_is_visible(c.oid) ORDER BY 2",
            [list(relations)],
        )
        return list(cursor.fetchall())


def digest(path: Path) -> str:
    """The file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def restore(connection: BaseDatabaseWrapper, path: Path, sha256: str) -> None:
    """Bring back what the dump holds, in one transaction; foreign keys stay away, whose check would hold up live tables.

    Errors: CommandError where the file is gone or not as it was written.
    """
    if not path.is_file():
        raise CommandError(
            f"The dump {path} is not there any more, so this cannot be undone. Put it back, and try again."
        )
    if (now := digest(path)) != sha256:
        raise CommandError(f"The dump {path} is not as it was written (SHA-256 {now}, recorded {sha256}).")
    tools = find_tools(connection)
    with NamedTemporaryFile("w", suffix=".list") as wanted:
        entries = tools.run(connection, "pg_restore", "--list", path).splitlines(keepends=True)
        wanted.writelines(entry for entry in entries if " FK CONSTRAINT " not in entry)
        wanted.flush()
        tools.run(
            connection,
            "pg_restore",
            "--exit-on-error",
            "--single-transaction",
            "--no-owner",
            "--no-password",
            f"--use-list={wanted.name}",
            f"--dbname={connection.get_connection_params()['dbname']}",
            path,
        )
