"""What staff see of a person and on the dashboard. Each app adds its own tabs and panels, in its admin module."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse
from psycopg import sql

from accounts.models import User

from .models import Profile

Context = Mapping[str, Any]


@dataclass(frozen=True)
class Tab:
    """A tab of the person's page, at /admin/profiles/profile/<id>/<name>/, for who has the permission `needs`.

    `show` gives what the template is rendered with or, after a POST, the answer. The template is the tab's content alone.
    """

    name: str
    title: str
    needs: str
    template: str
    show: Callable[[HttpRequest, Profile], Context | HttpResponse]
    place: int = 100  # small ones come first


@dataclass(frozen=True)
class Panel:
    """A panel of the dashboard, for who has the permission `needs`. `show` gives what its template is rendered with."""

    name: str
    title: str
    needs: str
    template: str
    show: Callable[[HttpRequest], Context]
    place: int = 100
    wide: bool = False  # the whole width, not a half of it


tabs: dict[str, Tab] = {}
panels: dict[str, Panel] = {}
# Conditions over profiles AS p: whom %(number)s, a number on some paper, leads to. Each needs an index.
numbers: list[sql.Composable] = []

Part = TypeVar("Part", Tab, Panel)


def add_tab(tab: Tab) -> None:
    tabs[tab.name] = tab


def add_panel(panel: Panel) -> None:
    panels[panel.name] = panel


def add_number(condition: sql.Composable) -> None:
    numbers.append(condition)


def tabs_for(user: User) -> list[Tab]:
    return _seen(tabs.values(), user)


def panels_for(user: User) -> list[Panel]:
    return _seen(panels.values(), user)


def _seen(parts: Iterable[Part], user: User) -> list[Part]:
    return sorted((part for part in parts if user.has_perm(part.needs)), key=lambda part: part.place)
