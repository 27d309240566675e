"""What panels of the dashboard are made of: numbers that lead to the list behind them, a chart by day, and tables."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import formats

TEMPLATE = "profiles/panels/panel.html"


@dataclass(frozen=True)
class Tile:
    """A number, the list behind it and what it says; `alarm` where somebody should look."""

    label: str
    value: str
    address: str = ""
    note: str = ""
    alarm: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of (text, address or ''); the last column holds numbers."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[tuple[str, str]]]


@dataclass(frozen=True)
class Chart:
    """One bar for each day. `unit` is what is counted; `says` is the chart in words, for who does not see it."""

    unit: str
    days: Mapping[datetime.date, int | Decimal]
    says: str

    @property
    def data(self) -> str:
        """As Chart.js takes it."""
        dataset = {
            "label": self.unit,
            "data": [float(number) for number in self.days.values()],
            "backgroundColor": "var(--color-primary-600)",
            "displayYAxis": True,
            "maxTicksXLimit": 7,
        }
        labels = [formats.date_format(day, "MONTH_DAY_FORMAT") for day in self.days]
        return json.dumps({"labels": labels, "datasets": [dataset]})

    @property
    def options(self) -> str:
        """Bars side by side, whose numbers can be read on either theme."""
        ticks = {"color": "#808080", "maxTicksLimit": 7}
        return json.dumps(
            {
                "animation": False,
                "responsive": True,
                "maintainAspectRatio": False,
                "plugins": {"legend": {"display": False}},
                "scales": {
                    "x": {"grid": {"display": False}, "ticks": {**ticks, "maxRotation": 0}},
                    "y": {"beginAtZero": True, "grid": {"display": True}, "ticks": {**ticks, "precision": 0}},
                },
            }
        )

    @property
    def rows(self) -> list[tuple[datetime.date, str]]:
        return [
            (day, f"{number:,.2f}" if isinstance(number, Decimal) else f"{number:,}")
            for day, number in self.days.items()
        ]


def address(model: str, **query: Any) -> str:
    """Where the list of a model is (`app_model`), as far as the query narrows it."""
    found = reverse(f"admin:{model}_changelist")
    return f"{found}?{urlencode(query)}" if query else found
