"""The dashboard's panels about the unification: what it made, whether it is right, and who still uses the old shapes."""

import datetime

from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest
from django.urls import reverse
from django.utils import formats, timezone

from profiles.panels import TEMPLATE, Table, Tile, address
from profiles.workplace import Context, Panel, add_panel

from . import selectors
from .models import CustomerIdentity, Phase
from .unification import identity, sync
from .unification.sources import existing_tables

NEEDS = "legacy_customers.view_phase"
SECONDS = 300
NOTHING = "No old database was taken over."
LISTS = {
    "users": "accounts_user",
    "profiles": "profiles_profile",
    "profile_aliases": "profiles_profilealias",
    "orders": "orders_order",
}


def unification(request: HttpRequest) -> Context:
    """People before and after, and by which rule each old customer got their person."""
    found = selectors.standing()
    if found is None:
        return {"empty": NOTHING}
    after = {count.table: count for count in found.after}
    phases = address("legacy_customers_phase")
    before = {count.table: count for count in found.before}
    customers, people = before.get("customers"), after.get("profiles")
    tiles = []
    if customers and people:
        tiles = [
            Tile("Old customers", f"{customers.rows:,}", phases),
            Tile("People now", _count(people), address("profiles_profile")),
        ]
    cases = dict(zip(CustomerIdentity.Case.labels, CustomerIdentity.Case.values, strict=True))
    return {
        "tiles": tiles,
        "tables": [
            Table(
                "Rows before",
                ("Table", "Rows"),
                [[(table, phases), (f"{count.rows:,}", "")] for table, count in before.items()],
            ),
            Table(
                "Rows after",
                ("Table", "Rows"),
                [[(table, address(LISTS[table])), (_count(count), "")] for table, count in after.items()],
            ),
            Table(
                "Whose row is whose",
                ("Case", "Old customers"),
                [
                    [
                        (case.name, address("legacy_customers_customeridentity", case__exact=cases[case.name])),
                        (f"{case.rows:,}", ""),
                    ]
                    for case in found.cases
                ],
            ),
        ],
    }


def health(request: HttpRequest) -> Context:
    """The last verification, and whether the two-way sync is awake."""
    tables = existing_tables(connection)
    if "unification_verifications" not in tables or not Phase.objects.filter(name=identity.PHASE).exists():
        return {"empty": NOTHING}
    run = selectors.last_verification()
    if run is None:
        tiles = [Tile("Last verification", "never", note="manage.py verify_unification", alarm=True)]
    else:
        failed = [check.name for check in run.checks if not check.passed]
        at = formats.localize(timezone.localtime(run.taken_at))
        tiles = [
            Tile(
                "Last verification",
                "passed" if run.passed else "failed",
                reverse("admin:legacy_customers_verificationrun_change", args=[run.run_id]),
                f"{at}: {', '.join(failed) or f'{len(run.checks)} checks'}",
                alarm=not run.passed,
            )
        ]
    if "legacy_handovers" in tables and Phase.objects.filter(name=sync.PHASE, finished_at__isnull=False).exists():
        state = sync.health(connection)
        note = "; ".join(state.faults[:3]) or f"{state.triggers} triggers; {state.handovers:,} changes in hand"
        tiles.append(Tile("Two-way sync", "faulty" if state.faults else "awake", note=note, alarm=bool(state.faults)))
    else:
        tiles.append(Tile("Two-way sync", "off"))
    return {"tiles": tiles}


# Rows that the old application wrote since the sync came on, by table and database role.
WRITES = """
SELECT source, last_by, sum(writes)::bigint, max(last_at) FROM legacy_writes WHERE writes > 0
GROUP BY source, last_by ORDER BY max(last_at) DESC LIMIT 10
"""
CALLS = """
SELECT client, agent, sum(calls)::bigint, max(last_at) FROM api_usage WHERE day > current_date - 30
GROUP BY client, agent ORDER BY max(last_at) DESC LIMIT 10
"""


def usage(request: HttpRequest) -> Context:
    """Who still writes to the old tables, since the sync came on, and who called the old API in 30 days; as of 5 minutes ago."""
    key = f"old-shapes-in-use:{connection.settings_dict['NAME']}"
    tables = cache.get_or_set(key, _usage, SECONDS)
    return {"tables": tables, "empty": "Nobody: no write to an old table, no call of the old API in 30 days."}


def _usage() -> list[Table]:
    """The number of written rows has no bound: hence not asked for each page."""
    there = existing_tables(connection)
    headers, found = ("Who", "Last", "How often"), []
    with connection.cursor() as cursor:
        if "legacy_writes" in there:
            cursor.execute(WRITES)
            rows = [
                [
                    (f"{role} to {table}", address("legacy_customers_legacywrite", source=table, writes__gt=0)),
                    (_moment(at), ""),
                    (f"{n:,}", ""),
                ]
                for table, role, n, at in cursor
            ]
            found.append(Table("Writes to old tables", headers, rows))
        if "api_usage" in there:
            cursor.execute(CALLS)
            calls = address("legacy_customers_apiusage")
            rows = [
                [(f"{client} ({agent or 'no agent'})", calls), (_moment(at), ""), (f"{n:,}", "")]
                for client, agent, n, at in cursor
            ]
            found.append(Table("Calls of the old API", headers, rows))
    return [table for table in found if table.rows]


def _moment(at: datetime.datetime) -> str:
    return str(formats.localize(timezone.localtime(at)))


def _count(count: selectors.TableCount) -> str:
    return f"{'about ' if count.estimated else ''}{count.rows:,}"


add_panel(Panel("unification", "The unification", NEEDS, TEMPLATE, unification, place=60))
add_panel(Panel("health", "Is it right?", NEEDS, TEMPLATE, health, place=50))
add_panel(Panel("old-shapes", "Who still uses the old shapes", NEEDS, TEMPLATE, usage, place=70))
