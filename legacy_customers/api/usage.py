"""Who still calls what is superseded: counted in each process, written to api_usage in batches.

The first call of a client on a day is written at once, later ones with the next call that finds the last write
`SECONDS` ago, and all at the process's end. After kill -9 the counts lack the calls since the last write, and last_at is
at most `SECONDS` early; that somebody called is never lost.
"""

import atexit
import datetime
import logging
import re
import threading
import time
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from django.db import connection, transaction
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from accounts.models import ApiKey, User

logger = logging.getLogger(__name__)

SECONDS = 5.0
# So many different clients are told apart in one process on one day; a flood of invented User-Agents is one row.
CLIENTS = 2_000
OTHERS = "(others)"
# A count waits for nobody: neither for a migration on its table nor for another process's batch.
LOCK_TIMEOUT = "500ms"

WRITE = """
INSERT INTO api_usage (day, client, caller, agent, method, route, first_at, last_at, calls)
SELECT * FROM unnest(
    %s::date[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::timestamptz[], %s::timestamptz[], %s::bigint[]
) AS counted
ON CONFLICT (day, client, caller, agent, method, route) DO UPDATE SET
    first_at = least(api_usage.first_at, excluded.first_at),
    last_at = greatest(api_usage.last_at, excluded.last_at),
    calls = api_usage.calls + excluded.calls
"""


class Calls(NamedTuple):
    """Whose calls of what, as the key of api_usage has it."""

    day: datetime.date
    client: str
    caller: str
    agent: str
    method: str
    route: str


class Counted(NamedTuple):
    first_at: datetime.datetime
    last_at: datetime.datetime
    calls: int

    def plus(self, other: "Counted") -> "Counted":
        return Counted(min(self.first_at, other.first_at), max(self.last_at, other.last_at), self.calls + other.calls)


class Counter:
    """Counts in memory, shared by the threads of a process."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._guard = threading.Lock()  # for the fields below; held for a moment only
        self._writing = threading.Lock()  # one writer at a time; no call waits for it
        self._waiting: dict[Calls, Counted] = {}
        self._known: set[Calls] = set()
        self._database = ""
        self._news = False
        self._tried_at = float("-inf")
        self._ends_with_process = False

    def count(self, calls: Calls, at: datetime.datetime) -> None:
        """Add one call, and write what waits where that is due. The database's troubles are logged, not raised."""
        with self._guard:
            self._belong_to_database()
            if any(known.day != calls.day for known in islice(self._known, 1)):
                self._known.clear()
            if calls not in self._known and len(self._known) >= CLIENTS:
                calls = calls._replace(agent=OTHERS)
            if calls not in self._known:
                self._known.add(calls)
                self._news = True
            self._add(calls, Counted(at, at, 1))
        # Asked again after a write: somebody's news may have come while it was under way.
        written = True
        while written and self._is_due() and self._writing.acquire(blocking=False):
            try:
                written = self._write()
            finally:
                self._writing.release()

    def flush(self) -> None:
        """Write what waits, after whoever is at it."""
        with self._writing:
            self._write()

    def _is_due(self) -> bool:
        return self._news or (bool(self._waiting) and time.monotonic() - self._tried_at >= self._seconds)

    def _write(self) -> bool:
        """Whether nothing failed."""
        with self._guard:
            self._belong_to_database()
            batch, self._waiting = self._waiting, {}
            self._news = False
            self._tried_at = time.monotonic()
        if not batch:
            return True
        try:
            write(batch.items())
        except Exception:
            # Whatever it is, the caller's answer is worth more than its count, which is tried again.
            logger.warning("Calls of superseded paths could not be written to api_usage", exc_info=True)
            with self._guard:
                for calls, counted in batch.items():
                    self._add(calls, counted)
            return False
        if not self._ends_with_process:
            # Registered once there is a connection, so that it runs before an embedded server is left.
            self._ends_with_process = True
            atexit.register(self._at_exit)
        return True

    def _add(self, calls: Calls, counted: Counted) -> None:
        before = self._waiting.get(calls)
        self._waiting[calls] = before.plus(counted) if before else counted

    def _belong_to_database(self) -> None:
        """Counts are those of one database; what another one's calls left here would be wrong in this one."""
        if self._database != connection.settings_dict["NAME"]:
            self._database = connection.settings_dict["NAME"]
            self._waiting.clear()
            self._known.clear()

    def _at_exit(self) -> None:
        self.flush()
        connection.close()


counter = Counter()


def write(batch: Iterable[tuple[Calls, Counted]]) -> None:
    """Add counts to api_usage, in one order for all processes, so that no two of them wait for each other."""
    rows = [(*calls, *counted) for calls, counted in sorted(batch)]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        cursor.execute(WRITE, [list(column) for column in zip(*rows, strict=True)])


def count(request: Request) -> None:
    """Count a call of a superseded path, whatever came of it."""
    try:
        now = timezone.now().astimezone(datetime.UTC)
        client, caller = _who(request)
        agent = re.match(r"[\x21-\x7e]{0,64}", request.headers.get("User-Agent", ""))
        route = _readable(request.resolver_match.route)
        counter.count(Calls(now.date(), client, caller, agent[0] if agent else "", request.method or "", route), now)
    except Exception:
        logger.warning("A call of a superseded path could not be counted", exc_info=True)


def _who(request: Request) -> tuple[str, str]:
    """The client's name and the user's id: a key's name, a role, or 'anonymous'."""
    try:
        user = request.user
    except APIException:  # a call that was refused before anybody asked for its token
        user = None
    if not isinstance(user, User):
        return "anonymous", ""
    if isinstance(request.auth, ApiKey):
        return request.auth.name, str(user.pk)
    return user.role or "no role", str(user.pk) if user.is_staff else ""


@lru_cache
def _readable(route: str) -> str:
    """Django's `api/customers/<str:customer_id>/` as documents write it."""
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)[:99]
