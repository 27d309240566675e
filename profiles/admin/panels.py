"""The dashboard's panels about people: how many there are, and what waits for a decision."""

from django.http import HttpRequest

from accounts.staff_admin import viewer
from profiles import figures
from profiles.panels import TEMPLATE, Table, Tile, address
from profiles.workplace import Context, Panel, add_panel

from .conflicts import called

MOST = 10  # fields


def people(request: HttpRequest) -> Context:
    by = viewer(request)
    tiles = [Tile("People", str(figures.people(by) or "too many to count"), address("profiles_profile"))]
    if by.has_perm("profiles.view_mergesuggestion"):
        pairs = figures.open_suggestions(by)
        tiles.append(Tile("Possible duplicates", str(pairs), address("profiles_mergesuggestion")))
    return {"tiles": tiles}


def conflicts(request: HttpRequest) -> Context:
    found = figures.open_conflicts(viewer(request))
    rows = [
        [
            (called(one.field), address("profiles_fieldconflict", field=one.field)),
            (str(one.count), ""),
        ]
        for one in found[:MOST]
    ]
    if len(found) > MOST:
        rest = address("profiles_fieldconflict")
        rows.append([(f"and {len(found) - MOST} more fields", rest), ("", "")])
    return {"tables": [Table("", ("Field", "Undecided"), rows)] if rows else [], "empty": "Everything is decided."}


add_panel(Panel("people", "People", "profiles.view_profile", TEMPLATE, people, place=10))
add_panel(Panel("conflicts", "Conflicts by field", "profiles.view_fieldconflict", TEMPLATE, conflicts, place=40))
