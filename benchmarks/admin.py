"""What each page of the workplace costs at two sizes, in one run: queries should be no more, and time at most twice as long.

    python benchmarks/admin.py [--people N] [--rounds R] [--only TEXT]

Takes over two generated legacy databases on the configured server, of 1,000 and of N people (default 1,000,000; about three orders
each), gives everybody a change and points, and asks each page 2 × R times (default R = 5) in this process, as a
super_admin. Prints queries and the best milliseconds on both, their ratio, and which pages miss the goal; exits with 1 if
one does.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
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

from accounts.models import User  # noqa: E402
from accounts.roles import Role  # noqa: E402
from legacy_customers.sample import people  # noqa: E402
from profiles.keyset import Cursor  # noqa: E402
from profiles.pages import NEWEST  # noqa: E402
from profiles.workplace import tabs  # noqa: E402
from tests.databases import one, rows, run, temporary_database  # noqa: E402

SMALL, GOAL = 1_000, 2.0
LIST = "/admin/profiles/profile/"

# One person in fifty has a tag, one order in ten a receipt, everybody a change and an entry in the ledger; nobody agrees to text
# messages. Without triggers: they would take a lock for each person.
FILL = (
    "SET session_replication_role = replica",
    "UPDATE profiles SET sms_consent = false, tags = CASE WHEN get_byte(uuid_send(id), 15) < 5 THEN '[\"rare\"]' ELSE tags END",
    "UPDATE orders SET receipt_number = 'R-' || order_number WHERE get_byte(uuid_send(id), 15) < 26",
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
WHERE p.phone IS NOT NULL AND p.last_name IS NOT NULL AND u.email IS NOT NULL LIMIT 1
"""
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
    texts |= {"old id": alias, "nobody": "zzzqqq", "common part": "an"}
    found |= {f"find: {what}": f"{LIST}?{urlencode({'q': text})}" for what, text in texts.items() if text}
    found |= {f"find: {query}": f"{LIST}?{query}" for query in FILTERS}
    found["person"] = f"{LIST}{person}/change/"
    found |= {f"person: {tab}": f"{LIST}{person}/{tab}/" for tab in tabs}
    for model in admin.site._registry:
        label = model._meta.label_lower
        found.setdefault(f"list: {label}", reverse(f"admin:{label.replace('.', '_')}_changelist"))
    found["order"] = f"/admin/orders/order/{order}/change/"
    found["orders: number"] = f"/admin/orders/order/?{urlencode({'q': number})}"
    found["accounts: part of an address"] = f"/admin/accounts/user/?{urlencode({'q': email[:6]})}"
    found["points of somebody"] = f"/admin/profiles/loyaltyentry/?q={person}"
    found["dashboard"] = "/admin/"
    return found


@contextmanager
def taken_over(count: int) -> Iterator[str]:
    """A database of so many people, unified; gives its name."""
    with temporary_database() as name:
        with transaction.atomic():
            people.generate(connection, count)
        call_command("migrate", verbosity=0)
        for statement in FILL:
            run(statement)
        User.objects.create_user("bench@example.com", "correct horse 7", role=Role.SUPER_ADMIN)
        run("VACUUM ANALYZE")
        yield name


def use(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


def measure(addresses: list[str], names: list[str], rounds: int) -> list[tuple[int, float]]:
    """Queries and the best milliseconds of the same page in each database, in turns: whatever else the machine does, does
    it to both. The first two answers after a change warm what is kept between requests."""
    counts: list[int] = [0] * len(names)
    times: list[list[float]] = [[] for _ in names]
    for _ in range(rounds):
        for place, (name, address) in enumerate(zip(names, addresses, strict=True)):
            use(name)
            client = Client(SERVER_NAME="localhost")
            client.force_login(User.objects.get(email="bench@example.com"), "accounts.backends.AddressBackend")
            with CaptureQueriesContext(connection) as queries:
                answer = client.get(address)
            if answer.status_code != 200:
                raise SystemExit(f"{address} answered {answer.status_code}")
            counts[place] = len(queries)
            for _ in range(2):
                began = time.perf_counter()
                client.get(address)
                times[place].append(1000 * (time.perf_counter() - began))
    return [(count, min(each)) for count, each in zip(counts, times, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="a part of the pages' names")
    options = parser.parse_args()
    settings.DEBUG = False
    found: dict[str, list[tuple[int, float]]] = {}
    with ExitStack() as databases:
        names = [databases.enter_context(taken_over(count)) for count in (SMALL, options.people)]
        addresses: dict[str, list[str]] = {}
        for name in names:
            use(name)
            for page, address in pages().items():
                addresses.setdefault(page, []).append(address)
        for page, both in addresses.items():
            if options.only in page and len(both) == len(names):
                found[page] = measure(both, names, options.rounds)
        use(names[-1])
    missed = []
    print(f"{'page':<48}{'queries':>12}{'ms at 1,000':>14}{f'ms at {options.people:,}':>18}{'ratio':>8}")
    for page, sizes in found.items():
        (few, fast), (many, slow) = sizes
        good = many <= few and slow <= GOAL * fast
        missed += [] if good else [page]
        count = f"{few}" if few == many else f"{few} / {many}"
        print(f"{page:<48}{count:>12}{fast:>14.1f}{slow:>18.1f}{slow / fast:>7.2f}{'' if good else ' *'}")
    print(f"goal: no more queries, at most {GOAL} ×; missed: {', '.join(missed) or 'none'}")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
