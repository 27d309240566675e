"""What each page of the workplace costs at two sizes, in one run: queries should be no more, and time at most twice as long.

    python benchmarks/admin.py [--people N] [--rounds R] [--only TEXT] [--keep]

Takes over two generated legacy databases on the configured server, of 1,000 and of N people (default 1,000,000; about three orders
each), gives everybody a change and points, and asks each page 2 × R times (default R = 5) in this process, as a
super_admin and, where that is another question, as a manager who sees every fourth person. --keep leaves the databases, named
workplace_N, to the next run with it. Prints queries, rows of a list and the best milliseconds on both, their ratio, and which pages
miss the goal; exits with 1 if one does.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib import admin  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.urls import reverse  # noqa: E402
from psycopg import sql  # noqa: E402

from accounts.models import User  # noqa: E402
from accounts.roles import Role  # noqa: E402
from legacy_customers.sample import people  # noqa: E402
from profiles.keyset import Cursor  # noqa: E402
from profiles.pages import NEWEST  # noqa: E402
from profiles.workplace import tabs  # noqa: E402
from tests.databases import maintenance, one, rows, run, temporary_database  # noqa: E402

SMALL, GOAL = 1_000, 2.0
LIST = "/admin/profiles/profile/"
ADMIN, MANAGER, BACKEND = "bench@example.com", "manager@bench.example.com", "accounts.backends.AddressBackend"
# What a manager is asked differently: only people of their tenant.
OF_TENANT = (
    *(
        "find",
        "find: last name",
        "find: common part",
        "find: nobody",
        "find: email",
        "find: has_conflicts=true",
        "person",
    ),
    *("list: orders.order", "list: profiles.profilehistory", "list: profiles.loyaltyentry", "dashboard"),
    *("list: profiles.fieldconflict", "list: profiles.mergesuggestion"),
)
TENANT = "77777777-7777-4777-8777-777777777777"
# One person in fifty has a tag, one order in ten a receipt, one person in four a tenant, everybody a change and an entry in the
# ledger; nobody agrees to text messages. Without triggers: they would take a lock for each person.
FILL = (
    "SET session_replication_role = replica",
    "UPDATE profiles SET sms_consent = false, tags = CASE WHEN get_byte(uuid_send(id), 15) < 5 THEN '[\"rare\"]' ELSE tags END",
    "UPDATE orders SET receipt_number = 'R-' || order_number WHERE get_byte(uuid_send(id), 15) < 26",
    sql.SQL("UPDATE users SET tenant_id = {} WHERE get_byte(uuid_send(id), 15) < 64").format(TENANT),
    "INSERT INTO profile_history (profile_id, via, changes)"
    ' SELECT id, \'admin\', \'{"phone": {"old": "1", "new": "2"}}\' FROM profiles',
    "INSERT INTO loyalty_entries (profile_id, delta, balance, reason, source)"
    " SELECT id, 1, loyalty_points, 'a birthday', 'admin' FROM profiles",
    "RESET session_replication_role",
)
# Somebody in the middle who bought something and has old ids, and an order of theirs.
SOMEBODY = """
SELECT p.id, p.last_name, p.phone, u.email, o.order_number, o.id,
    (SELECT a.id FROM profile_aliases AS a LIMIT 1), (SELECT receipt_number FROM orders WHERE receipt_number IS NOT NULL LIMIT 1)
FROM profiles AS p JOIN users AS u ON u.id = p.user_id JOIN orders AS o ON o.user_id = u.id
WHERE p.phone IS NOT NULL AND p.last_name IS NOT NULL AND u.email IS NOT NULL AND u.tenant_id IS NOT NULL
    AND EXISTS (SELECT FROM field_conflicts AS c WHERE c.profile_id = p.id) LIMIT 1
"""
PAIR = "SELECT other_profile_id, profile_id FROM merge_suggestions WHERE status = 'open' ORDER BY score DESC, id DESC LIMIT 1"
DEEP = "SELECT created_at::text, id::text FROM profiles WHERE created_at IS NOT NULL ORDER BY created_at, id OFFSET %s LIMIT 1"
FILTERS = (
    *("customer_type=vip", "is_guest=true", "marketing_consent=true", "sms_consent=true", "is_verified=true"),
    *("has_conflicts=true", "tag=rare", "last_order_after=2024-01-01", "min_spent=100", "min_points=10"),
    *("min_spent=100000000", "is_guest=false&marketing_consent=true&min_points=1"),
)


def pages() -> dict[str, str]:
    """Each page's name and address in the database under Django's connection."""
    person, name, phone, email, number, order, alias, receipt = rows(SOMEBODY)[0]
    found = {"find": LIST}
    key, at = rows(DEEP, one("SELECT count(*) FROM profiles") // 2)[0]
    found["find: half-way back"] = f"{LIST}?{urlencode({'p': str(Cursor(NEWEST, key, at))})}"
    texts = {"last name": name, "phone": phone, "email": email, "order number": number, "receipt": receipt}
    texts |= {"old id": alias, "nobody": "zzzqqq", "nobody, of common letters": "anderson.example", "first name": "Ann"}
    texts |= {"both names": "ann fischer", "common part": "an", "common end": "@example.org", "last digits": phone[-7:]}
    found |= {f"find: {what}": f"{LIST}?{urlencode({'q': text})}" for what, text in texts.items() if text}
    found |= {f"find: {query}": f"{LIST}?{query}" for query in FILTERS}
    found["person"] = f"{LIST}{person}/change/"
    found |= {f"person: {tab}": f"{LIST}{person}/{tab}/" for tab in tabs}
    found["person: everything that is held"] = f"{LIST}{person}/privacy/?show=all"
    found["compare"] = reverse("admin:profiles_profile_merge", args=rows(PAIR)[0])
    found["first rows of a CSV file"] = f"{LIST}csv/"
    for model in admin.site._registry:
        label = model._meta.label_lower
        found |= lists(label, reverse(f"admin:{label.replace('.', '_')}_changelist"))
    found["hand in corrections"] = "/admin/profiles/correction/hand-in/"
    found["order"] = f"/admin/orders/order/{order}/change/"
    found["orders: number"] = f"/admin/orders/order/?{urlencode({'q': number})}"
    found["account"] = f"/admin/accounts/user/{one('SELECT user_id FROM profiles WHERE id = %s', person)}/change/"
    found["list: accounts.user: part of an address"] = f"/admin/accounts/user/?{urlencode({'q': email[:6]})}"
    found["list: accounts.user: common part of an address"] = "/admin/accounts/user/?q=example"
    found["conflict"] = f"/admin/profiles/fieldconflict/{one('SELECT max(id) FROM field_conflicts')}/change/"
    found["points of somebody"] = f"/admin/profiles/loyaltyentry/?q={person}"
    found["tables"] = "/admin/tables/"
    found["dashboard"] = "/admin/"
    return found


def lists(label: str, address: str) -> dict[str, str]:
    """A model's list, and the same by each choice of its filters."""
    found = {f"list: {label}": address}
    if address == LIST:
        return {}
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(email=ADMIN), BACKEND)
    answer: Any = client.get(address)
    shown = answer.context_data["cl"]
    for spec in shown.filter_specs:
        for choice in spec.choices(shown):
            if not choice["selected"]:
                found[f"list: {label}: {spec.title} {choice['display']}"] = address + choice["query_string"]
    return found


@contextmanager
def taken_over(count: int) -> Iterator[str]:
    """A database of so many people, dropped at the end; gives its name."""
    with temporary_database() as name:
        fill(count)
        yield name


def kept(count: int) -> str:
    """The same, of an earlier run or made now."""
    name, there = f"workplace_{count}", "SELECT FROM pg_database WHERE datname = %s"
    with maintenance() as server:
        made = server.execute(there, [name]).rowcount == 0
        if made:
            server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    use(name)
    if made:
        fill(count)
    return name


def fill(count: int) -> None:
    """The database under Django's connection: so many people, unified."""
    with transaction.atomic():
        people.generate(connection, count)
    call_command("migrate", verbosity=0)
    for statement in FILL:
        run(statement)
    call_command("roll_up_sales", stdout=StringIO())
    User.objects.create_user(ADMIN, "correct horse 7", role=Role.SUPER_ADMIN)
    User.objects.create_user(MANAGER, "correct horse 7", role=Role.STORE_MANAGER, tenant_id=TENANT)
    run("VACUUM ANALYZE")


def use(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


@dataclass
class Asked:
    """What a page cost on one database: queries, the best milliseconds, and how many rows its list has."""

    queries: int = 0
    ms: float = math.inf
    rows: int = 0


def measure(addresses: list[str], names: list[str], rounds: int, asking: str) -> list[Asked]:
    """The same page in each database, in turns: whatever else the machine does, does it to both. The first two answers
    after a change warm what is kept between requests."""
    found = [Asked() for _ in names]
    for _ in range(rounds):
        for cost, name, address in zip(found, names, addresses, strict=True):
            use(name)
            client = Client(SERVER_NAME="localhost")
            client.force_login(User.objects.get(email=asking), BACKEND)
            with CaptureQueriesContext(connection) as queries:
                answer = ask(client, address)
            if answer.status_code != 200:
                raise SystemExit(f"{address} answered {answer.status_code}")
            cost.queries = len(queries)
            shown = getattr(answer, "context_data", None) or {}
            cost.rows = len(shown["cl"].result_list) if "cl" in shown else 0
            for _ in range(2):
                began = time.perf_counter()
                ask(client, address)
                cost.ms = min(cost.ms, 1000 * (time.perf_counter() - began))
    return found


def ask(client: Client, address: str) -> Any:
    """The page; of a file the header and the first reading."""
    answer: Any = client.get(address)
    if answer.streaming:
        content = iter(answer.streaming_content)
        next(content), next(content)
        answer.close()
    return answer


def asked(addresses: dict[str, list[str]], part: str) -> Iterator[tuple[str, str]]:
    """The pages that both databases have, and who asks for them."""
    for page, both in addresses.items():
        if part in page and len(both) > 1:
            yield page, ADMIN
            if page in OF_TENANT:
                yield page, MANAGER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="a part of the pages' names")
    parser.add_argument("--keep", action="store_true", help="reuse the databases of the last run with it")
    options = parser.parse_args()
    settings.DEBUG = False
    missed = []
    with ExitStack() as databases:
        counts = (SMALL, options.people)
        names = [kept(count) if options.keep else databases.enter_context(taken_over(count)) for count in counts]
        addresses: dict[str, list[str]] = {}
        for name in names:
            use(name)
            for page, address in pages().items():
                addresses.setdefault(page, []).append(address)
        print(f"{'page':<72}{'queries':>9}{'rows':>9}{'ms at 1,000':>13}{f'ms at {options.people:,}':>17}{'ratio':>7}")
        full: dict[str, float] = {}  # milliseconds of each list at 1,000 with all the rows of a page
        for page, asking in asked(addresses, options.only):
            few, many = measure(addresses[page], names, options.rounds, asking)
            shown = page if asking == ADMIN else f"manager: {page}"
            kind = next((name for name in full if page.startswith(f"{name}: ")), page)
            full.setdefault(kind, few.ms)
            # Of what is rare among 1,000 the page has fewer rows there: it is held against one with as many.
            base = max(few.ms, full[kind]) if many.rows > few.rows else few.ms
            good = (many.queries <= few.queries or many.rows > few.rows) and many.ms <= GOAL * base
            missed += [] if good else [shown]
            pairs = [
                f"{a}" if a == b else f"{a} / {b}" for a, b in ((few.queries, many.queries), (few.rows, many.rows))
            ]
            mark = ("" if base == few.ms else f" of {base:.1f}") + ("" if good else " *")
            print(
                f"{shown:<72}{pairs[0]:>9}{pairs[1]:>9}{few.ms:>13.1f}{many.ms:>17.1f}{many.ms / base:>7.2f}{mark}",
                flush=True,
            )
        use(names[-1])
    print(f"goal: no more queries, at most {GOAL} ×; missed: {', '.join(missed) or 'none'}")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
