"""The HTTP API next to a plain FastAPI and asyncpg one, over real HTTP, on one database, in one run.

    python benchmarks/api.py [--people N] [--database NAME] [--seconds S] [--rounds R] [--only CALL …]

Makes a legacy database of N people (default 1,000,000; about three orders each) on the configured server, takes it over,
and serves it by granian and by uvicorn, one worker each, ours as docs/runbook.md says. `--database` makes it under that
name, unless it is there, keeps it, and works on a copy. PostgreSQL is taken as it is configured.

Before a call is measured, both servers are asked it, and must agree. Then they take turns, warm, in rounds. For each call:
requests per second of one core, by the web server's own processor time, or the median answer of one connection; the ratio,
the median of the rounds' ratios, with their range; and the goal, for analytics also an answer within a second. Beside them
what one request costs the processor, in µs: the web server's and, where PostgreSQL runs on this machine and nobody else
asks it, the database's. Exit code 1: a goal is missed.
"""

import argparse
import io
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

import psutil  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from psycopg import sql  # noqa: E402

from accounts.models import User  # noqa: E402
from legacy_customers.sample import people  # noqa: E402
from tests.databases import rows, temporary_database  # noqa: E402

CONNECTIONS = 8
# The sample's orders end on a fixed day; what is asked of a shop is mostly its last days.
UP_TO_TODAY = """
UPDATE orders SET created_at = created_at + (localtimestamp - (SELECT max(created_at) FROM orders WHERE created_at < 'infinity'))
"""


@contextmanager
def database(name: str | None, count: int) -> Iterator[None]:
    """A unified database under Django's connection: a new one, or a copy of `name`, which is made where it is not there."""
    if name is None:
        with temporary_database():
            fill(count)
            yield
        return
    if not rows("SELECT 1 FROM pg_database WHERE datname = %s", name):
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        configured = connection.settings_dict["NAME"]
        connection.close()
        connection.settings_dict["NAME"] = name
        fill(count)
        connection.close()
        connection.settings_dict["NAME"] = configured
    with temporary_database(name):
        yield


def fill(count: int) -> None:
    """A legacy database of so many people, taken over."""
    with transaction.atomic():
        people.generate(connection, count)
        with connection.cursor() as cursor:
            cursor.execute(UP_TO_TODAY)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM FULL orders")
        cursor.execute("VACUUM ANALYZE")  # or PostgreSQL does it while the take-over wants its locks
    call_command("migrate", verbosity=0)
    call_command("roll_up_sales", verbosity=0, stdout=io.StringIO())
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def url() -> str:
    """The database's address, as both servers take it."""
    params = connection.get_connection_params()
    user, password = params.get("user", ""), params.get("password", "")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    host = params.get("host", "")
    where = f"{login}/{params['dbname']}?host={host}" if host.startswith("/") else None
    return f"postgres://{where or login + host + ':' + str(params.get('port') or 5432) + '/' + params['dbname']}"


class Server:
    """A web server in a process group of its own, on a free port; its CPU time is that of the whole group."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [part.format(port=self.port) for part in command],
            env={**os.environ, **environment},
            cwd=HERE.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def cpu(self) -> float:
        """Seconds of CPU that the server has used so far."""
        root = psutil.Process(self.process.pid)
        return sum(t.user + t.system for t in (p.cpu_times() for p in (root, *root.children(recursive=True))))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class Client:
    """A kept-alive HTTP/1.1 connection that does no more than it must."""

    def __init__(self, port: int, token: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port, self.token = port, token

    def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head_bytes, _, content = answer.partition(b"\r\n\r\n")
        headers = head_bytes.lower()
        if b"transfer-encoding: chunked" in headers:
            while not content.endswith(b"0\r\n\r\n"):
                content += self._more()
        else:
            length = int(headers.partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(content) < length:
                content += self._more()
        return int(head_bytes.split(b" ", 2)[1]), content

    def _more(self) -> bytes:
        if not (more := self.socket.recv(1 << 16)):
            raise ConnectionError("The server hung up.")
        return more


class Database:
    """The processor time of PostgreSQL, all its processes together; None where it does not run on this machine."""

    def __init__(self) -> None:
        host = connection.get_connection_params().get("host") or "/"
        self.postmaster = None
        if host.startswith("/") or host in ("127.0.0.1", "localhost", "::1"):
            self.postmaster = psutil.Process(rows("SELECT pg_backend_pid()")[0][0]).parent()

    def cpu(self) -> float | None:
        if self.postmaster is None:
            return None
        # Who has ended meanwhile is among what its parent's children used.
        used = self.postmaster.cpu_times()
        total = used.children_user + used.children_system
        for child in self.postmaster.children():
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                total += times.user + times.system
        return total


@dataclass
class Figures:
    """What one server did for one call in one round; times in seconds."""

    requests: int = 0
    web: float = 0.0
    database: float | None = None
    times: list[float] = field(default_factory=list)

    def rate(self, measure: str) -> float:
        """Requests per second: of one core, or of one connection by the median answer."""
        return self.requests / self.web if measure == PER_CORE else 1 / statistics.median(self.times)


PER_CORE, MEDIAN = "per core", "median"
Request = Callable[[], tuple[str, str, bytes]]


def load(server: Server, token: str, make: Request, seconds: float, connections: int, database: Database) -> Figures:
    """Call as fast as the server answers, for so long (each connection at least once)."""
    figures, errors, lock = Figures(), [], threading.Lock()
    clients = [Client(server.port, token) for _ in range(connections)]
    until = time.monotonic() + seconds

    def work(client: Client) -> None:
        times = []
        while True:
            request = make()
            started = time.perf_counter()
            status, content = client.call(*request)
            times.append(time.perf_counter() - started)
            if status >= 400:
                errors.append(f"{request[0]} {request[1]}: {status} {content[:300]!r}")
            if errors or time.monotonic() > until:
                break
        with lock:
            figures.times += times
            figures.requests += len(times)

    web, stored = server.cpu(), database.cpu()
    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures.web = server.cpu() - web
    if stored is not None:
        figures.database = (database.cpu() or 0.0) - stored
    if errors:
        raise SystemExit(errors[0])
    return figures


Answer = Any  # JSON


@dataclass(frozen=True)
class Call:
    """The same call to both. `goal` is of the ratio, `within` of our median answer in seconds.

    `agree` tells from both answers what must be equal of them.
    """

    name: str
    ours: Request
    plain: Request
    goal: float | None
    agree: Callable[[Answer, Answer], bool]
    measure: str = MEDIAN
    within: float | None = None


def get(*paths: str) -> Request:
    """GET of one of these, in turn."""
    turn = iter(())  # type: Iterator[str]
    lock = threading.Lock()

    def make() -> tuple[str, str, bytes]:
        nonlocal turn
        with lock:
            path = next(turn, None)
            if path is None:
                turn = iter(paths)
                path = next(turn)
        return "GET", path, b""

    return make


def sale(path: str, customers: list[uuid.UUID]) -> Request:
    """A sale of two lines to one of the customers, under a receipt number of its own."""

    def make() -> tuple[str, str, bytes]:
        price = 5 + secrets.randbelow(500) / 100
        subtotal = round(2 * price + 3.5, 2)
        tax = round(subtotal * 0.13, 2)
        total = round(subtotal + tax, 2)
        body = {
            "store_id": "store_001",
            "cashier_id": "cashier_001",
            "customer_id": str(secrets.choice(customers)),
            "items": [
                {
                    "product": {"id": "p-1", "sku": "TEA-1", "name": "Tea", "price": price, "category": "Drinks"},
                    "quantity": 2,
                },
                {
                    "product": {"id": "p-2", "sku": "CUP-1", "name": "Cup", "price": 3.5, "category": "Ware"},
                    "quantity": 1,
                },
            ],
            "subtotal": subtotal,
            "discounts": 0,
            "tax": tax,
            "total": total,
            "payment_method": "cash",
            "payment_details": {"cash_amount": total, "change_given": 0},
            "status": "completed",
            "receipt_number": f"R-{uuid.uuid4().hex}",
        }
        return "POST", path, json.dumps(body).encode()

    return make


def page_1000(server: Server, token: str) -> str:
    """Where the list's page 1,000 begins: followed page by page, as a client does."""
    client = Client(server.port, token)
    path = "/api/profiles/?page_size=50"
    for _ in range(999):
        status, content = client.call("GET", path)
        following = json.loads(content)["next"] if status == 200 else None
        if not following:
            raise SystemExit(f"{path}: {status}, no next page. Page 1,000 takes 50,000 profiles.")
        path = "/" + following.split("/", 3)[3]
    return path


def same_person(ours: Answer, plain: Answer) -> bool:
    """All columns that both have; money and times are written in several ways."""
    for name in plain.keys() - {"email"}:  # ours is the contact address, where there is one
        one, other = ours[name], plain[name]
        if name == "total_spent":
            one, other = float(one), float(other)
        elif name in ("created_at", "updated_at", "last_order_date") and one and other:
            one, other = datetime.fromisoformat(one), datetime.fromisoformat(other)
        if one != other:
            return False
    return True


def same_people(ours: Answer, plain: Answer) -> bool:
    """The same in the same order."""
    return [person["id"] for person in ours] == [person["id"] for person in plain]


def both(ours: Answer, plain: Answer) -> bool:
    """Ours has more in it, and what it counts is defined more closely: that both answered is all there is to compare."""
    return bool(ours) and bool(plain)


def sold(ours: Answer, plain: Answer) -> bool:
    """Each is in the database, with its two lines."""
    return all(
        rows("SELECT jsonb_array_length(items) FROM orders WHERE id = %s", answer["id"]) == [(2,)]
        for answer in (ours, plain)
    )


def calls(server: Server, token: str) -> Iterator[Call]:
    ids = [
        row[0]
        for row in rows("SELECT p.id FROM profiles AS p JOIN customers AS c ON c.id = p.id ORDER BY p.id LIMIT 2000")
    ]
    yield Call(
        "get by id",
        get(*(f"/api/profiles/{one}/" for one in ids)),
        get(*(f"/profiles/{one}" for one in ids)),
        1.0,
        same_person,
        PER_CORE,
    )

    def same_page(ours: Answer, plain: Answer) -> bool:
        return len(plain) == 50 and same_people(ours["results"], plain)

    yield Call("list of 50", get("/api/profiles/?page_size=50"), get("/profiles?limit=50"), 1.0, same_page, PER_CORE)
    logins, phones = rows(
        "SELECT array_agg(split_part(u.email, '@', 1)), array_agg(p.phone) FROM (SELECT * FROM users WHERE email IS NOT NULL"
        " ORDER BY md5(id::text) LIMIT 20) AS u JOIN profiles AS p ON p.user_id = u.id"
    )[0]
    for name, words, goal in (
        ("search for a login", logins, 50.0),
        ("search for a phone", [phone for phone in phones if phone], 50.0),
        # What some thousands have: the newest ten are soon found by whoever reads all from the newest on.
        ("search for a frequent word", [login[:7] for login in logins], None),
    ):
        quoted = [quote(word) for word in words]
        yield Call(
            name,
            get(*(f"/api/customers/search?q={word}" for word in quoted)),
            get(*(f"/search?q={word}" for word in quoted)),
            goal,
            lambda ours, plain: len(plain) > 0 and same_people(ours["customers"], plain),
        )
    yield Call("page 1,000", get(page_1000(server, token)), get("/profiles?limit=50&offset=49950"), 20.0, same_page)
    start, end = rows(
        "SELECT (max(created_at) - interval '60 days')::date, max(created_at)::date FROM orders"
        " WHERE created_at < now()"
    )[0]
    for name, ours, plain in (
        ("dashboard", "dashboard", "dashboard"),
        ("revenue of a year", "revenue?period=1y", "revenue?days=365"),
        ("products", "products?limit=10", "products?limit=10"),
        ("customers", "customers", "customers"),
        (
            "sales of 60 days",
            f"sales?period=custom&start_date={start}&end_date={end}",
            f"sales?start={start}&end={end}",
        ),
    ):
        paths = get(f"/api/analytics/{ours}"), get(f"/analytics/{plain}")
        yield Call(f"analytics: {name}", *paths, 1.0, both, within=1.0)
    yield Call("a sale", sale("/api/pos/transactions", ids), sale("/transactions", ids), 0.7, sold, PER_CORE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--database", help="is kept; made where it is not there")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load per call, server and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="calls whose name begins so")
    options = parser.parse_args()
    with database(options.database, options.people):
        counts = rows("SELECT (SELECT count(*) FROM profiles), (SELECT count(*) FROM orders), version()")[0]
        print(f"{counts[0]:,} profiles, {counts[1]:,} orders; {counts[2].partition(' (')[0]}; {os.cpu_count()} cores")
        print(f"{'':28} {'requests/s, ours':>17} {'plain':>8} {'ratio (range)':>20} {'goal':>5} {'':6}"
              f" {'median ms':>10} {'plain':>8}   web µs + db µs, ours | plain")  # fmt: skip
        staff, _ = User.objects.get_or_create(
            email="benchmark@example.com", defaults={"role": "super_admin", "password": "!"}
        )
        os.environ["SECRET_KEY"] = "benchmark-" + "x" * 40
        environment = {
            "DATABASE_URL": url(),
            "DEBUG": "false",
            "SECURE_SSL_REDIRECT": "false",
            "CONN_MAX_AGE": "600",
            "CACHE_URL": "dummycache://",  # figures of many people may be a minute old otherwise
            "THROTTLE_SEARCH": "1000000/s",
            "THROTTLE_EXPORT": "1000000/s",
            "ACCESS_TOKEN_MINUTES": "600",
        }
        token = subprocess.run(
            [sys.executable, "-c", _TOKEN, str(staff.pk)],
            env={**os.environ, **environment},
            cwd=HERE.parent,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        ours = Server(
            [sys.executable, "-m", "granian", "--interface", "wsgi", "config.wsgi:application", "--port", "{port}",
             "--workers", "1", "--blocking-threads", "4", "--no-log"],
            environment,
        )  # fmt: skip
        plain = Server(
            [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "plain_api:app", "--port", "{port}",
             "--log-level", "warning", "--no-access-log"],
            {"DATABASE_URL": url()},
        )  # fmt: skip
        try:
            met = [
                compare(call, ours, plain, token, options)
                for call in calls(ours, token)
                if not options.only or call.name.startswith(tuple(options.only))
            ]
        finally:
            ours.stop()
            plain.stop()
    sys.exit(not all(met))


_TOKEN = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from rest_framework_simplejwt.tokens import AccessToken
from accounts.models import User
print(AccessToken.for_user(User.objects.get(pk=sys.argv[1])))
"""


def compare(call: Call, ours: Server, plain: Server, token: str, options: argparse.Namespace) -> bool:
    """Whether both agree, then rounds, the servers in turn, and the call's line; whether it meets its goals."""
    servers = (ours, call.ours), (plain, call.plain)
    clients = Client(ours.port, token), Client(plain.port, token)
    for _ in range(3):
        requests = call.ours(), call.plain()
        found = [client.call(*request) for client, request in zip(clients, requests, strict=True)]
        if max(status for status, _ in found) >= 400 or not call.agree(*(json.loads(content) for _, content in found)):
            raise SystemExit(f"{call.name}: the answers to {requests} differ: {found}"[:5000])
    database, connections = Database(), CONNECTIONS if call.measure == PER_CORE else 1
    for server, make in servers:  # warm
        load(server, token, make, 1.0, connections, database)
    rounds = [
        [load(server, token, make, options.seconds, connections, database) for server, make in servers]
        for _ in range(options.rounds)
    ]
    ratios = sorted(one.rate(call.measure) / other.rate(call.measure) for one, other in rounds)
    ratio = statistics.median(ratios)
    rates = [statistics.median(found.rate(call.measure) for found in side) for side in zip(*rounds, strict=True)]
    medians = [statistics.median(each for found in side for each in found.times) for side in zip(*rounds, strict=True)]
    met = (call.goal is None or ratio >= call.goal) and (call.within is None or medians[0] < call.within)
    spread = f"{ratio:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
    goal = "" if call.goal is None else f"{call.goal:g}"
    print(
        f"{call.name:28} {rates[0]:17.1f} {rates[1]:8.1f} {spread:>20} {goal:>5} {'' if not goal else 'met' if met else 'MISSED':6}"
        f" {medians[0] * 1000:10.2f} {medians[1] * 1000:8.2f}   {' | '.join(map(costs, zip(*rounds, strict=True)))}",
        flush=True,
    )
    return met


def costs(rounds: Sequence[Figures]) -> str:
    """What a request costs the processor, in µs."""
    requests = sum(found.requests for found in rounds)
    web = sum(found.web for found in rounds) / requests * 1e6
    if rounds[0].database is None:
        return f"{web:,.0f}"
    return f"{web:,.0f} + {sum(found.database or 0.0 for found in rounds) / requests * 1e6:,.0f}"


if __name__ == "__main__":
    main()
