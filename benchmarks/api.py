"""The HTTP API next to a plain FastAPI and asyncpg one, over real HTTP, on one database, in one run.

    python benchmarks/api.py [--people N] [--database NAME] [--seconds S] [--only CALL …]

Makes a legacy database of N people (default 1,000,000; about three orders each) on the configured server, takes it over,
and serves it by granian and by uvicorn, one worker each. `--database` takes one that is there, and keeps it. The servers
take turns. Prints for each call: requests per second of one core (the web server's own CPU time), the median answer in ms,
their ratio, and its goal.
"""

import argparse
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

import psutil  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

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
    """A unified database under Django's connection."""
    if name:
        connection.close()
        connection.settings_dict["NAME"] = name
        yield
        return
    with temporary_database():
        with transaction.atomic():
            people.generate(connection, count)
            with connection.cursor() as cursor:
                cursor.execute(UP_TO_TODAY)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM FULL orders")
        call_command("migrate", verbosity=0)
        call_command("roll_up_sales", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        yield


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


@dataclass
class Figures:
    """What one server did for one call."""

    requests: int = 0
    cpu: float = 0.0
    times: list[float] = field(default_factory=list)

    @property
    def per_core(self) -> float:
        return self.requests / self.cpu if self.cpu else 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.times) * 1000


Request = Callable[[], tuple[str, str, bytes]]


def load(server: Server, token: str, make: Request, seconds: float, connections: int, figures: Figures) -> None:
    """Call as fast as the server answers, for so long (each connection at least once)."""
    errors: list[str] = []
    until = time.monotonic() + seconds
    lock = threading.Lock()

    def work() -> None:
        client = Client(server.port, token)
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

    before = server.cpu()
    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures.cpu += server.cpu() - before
    if errors:
        raise SystemExit(errors[0])


@dataclass(frozen=True)
class Call:
    """The same call to both; `measure` is per_core or median (answers of one connection)."""

    name: str
    ours: Request
    plain: Request
    goal: float
    measure: str = "per_core"


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
    )
    yield Call("list of 50", get("/api/profiles/?page_size=50"), get("/profiles?limit=50"), 1.0)
    logins, phones = rows(
        "SELECT array_agg(split_part(u.email, '@', 1)), array_agg(p.phone) FROM (SELECT * FROM users WHERE email IS NOT NULL"
        " ORDER BY md5(id::text) LIMIT 20) AS u JOIN profiles AS p ON p.user_id = u.id"
    )[0]
    for name, words, goal in (
        ("search for a login", logins, 50.0),
        ("search for a phone", [phone for phone in phones if phone], 50.0),
        ("search, a word of many", [login[:7] for login in logins], 1.0),
    ):
        quoted = [quote(word) for word in words]
        yield Call(
            name,
            get(*(f"/api/customers/search?q={word}" for word in quoted)),
            get(*(f"/search?q={word}" for word in quoted)),
            goal,
            "median",
        )
    yield Call("page 1,000", get(page_1000(server, token)), get("/profiles?limit=50&offset=49950"), 20.0, "median")
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
        yield Call(f"analytics: {name}", get(f"/api/analytics/{ours}"), get(f"/analytics/{plain}"), 1.0, "median")
    yield Call("a sale", sale("/api/pos/transactions", ids), sale("/transactions", ids), 0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--database", help="a unified database that is there already")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load per call, server and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="calls whose name begins so")
    options = parser.parse_args()
    with database(options.database, options.people):
        counts = rows("SELECT (SELECT count(*) FROM profiles), (SELECT count(*) FROM orders)")[0]
        print(f"{counts[0]:,} profiles, {counts[1]:,} orders")
        staff, _ = User.objects.get_or_create(
            email="benchmark@example.com", defaults={"role": "super_admin", "password": "!"}
        )
        os.environ["SECRET_KEY"] = "benchmark-" + "x" * 40
        environment = {
            "DATABASE_URL": url(),
            "DEBUG": "false",
            "SECURE_SSL_REDIRECT": "false",
            "CONN_MAX_AGE": "600",
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
        connection.close()
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
            compare(ours, plain, token, options)
        finally:
            ours.stop()
            plain.stop()


_TOKEN = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from rest_framework_simplejwt.tokens import AccessToken
from accounts.models import User
print(AccessToken.for_user(User.objects.get(pk=sys.argv[1])))
"""


def compare(ours: Server, plain: Server, token: str, options: argparse.Namespace) -> None:
    """Each call in rounds, the servers in turn, and its line."""
    print(f"{'call':30} {'ours':>10} {'plain':>10} {'ratio':>8} {'goal':>6}   median ms ours / plain")
    for call in calls(ours, token):
        if options.only and not any(call.name.startswith(name) for name in options.only):
            continue
        figures = Figures(), Figures()
        connections = 1 if call.measure == "median" else CONNECTIONS
        for server, make in ((ours, call.ours), (plain, call.plain)):  # warm
            load(server, token, make, 0.5, connections, Figures())
        for _ in range(options.rounds):
            for server, make, into in ((ours, call.ours, figures[0]), (plain, call.plain, figures[1])):
                load(server, token, make, options.seconds, connections, into)
        if call.measure == "per_core":
            values = figures[0].per_core, figures[1].per_core
            ratio = values[0] / values[1]
        else:
            values = 1000 / figures[0].median, 1000 / figures[1].median
            ratio = values[0] / values[1]
        print(
            f"{call.name:30} {values[0]:10.1f} {values[1]:10.1f} {ratio:8.2f} {call.goal:6.1f}"
            f"   {figures[0].median:9.2f} / {figures[1].median:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
