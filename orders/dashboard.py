"""The dashboard's panels about sales: 30 days, today included, of the viewer's tenant; a super_admin's are everybody's."""

import datetime
from decimal import Decimal

from django.http import HttpRequest
from django.utils import formats

from accounts.models import User
from accounts.staff_admin import viewer
from profiles import figures
from profiles.panels import TEMPLATE, Chart, Tile, address
from profiles.workplace import Context, Panel, add_panel

from .analytics import selectors
from .analytics.rollup import today
from .analytics.selectors import Scope

NEEDS = "orders.view_analytics"
PERIOD = "30d"


def sales(request: HttpRequest) -> Context:
    found = selectors.revenue(_scope(viewer(request)), PERIOD)
    days = {day["date"]: Decimal(str(day["revenue"])) for day in found["data"]}
    count = sum(day["orders"] for day in found["data"])
    summary = found["summary"]
    best = f"{summary['peak_revenue']:,.2f}" if summary["peak_day"] else "none"
    on = formats.date_format(summary["peak_day"], "MONTH_DAY_FORMAT") if summary["peak_day"] else ""
    says = f"Revenue by day: {summary['total']:,.2f} in all, the best day {best} {on}".rstrip() + "."
    return {
        "tiles": [
            Tile(
                "Revenue", f"{summary['total']:,.2f}", address("orders_order"), f"{summary['average_daily']:,.2f} a day"
            ),
            Tile("Orders", f"{count:,}", address("orders_order")),
            Tile("Best day", best, note=on),
        ],
        "chart": Chart("Revenue", days, says),
    }


def new_customers(request: HttpRequest) -> Context:
    last = today()
    first = last - datetime.timedelta(days=selectors.DAYS[PERIOD] - 1)
    came = figures.new_people(viewer(request), first, last)
    total = sum(came.values())
    return {
        "tiles": [
            Tile("New customers", f"{total:,}", address("profiles_profile", created_after=first.isoformat())),
            Tile("Today", f"{came[last]:,}", address("profiles_profile", created_after=last.isoformat())),
        ],
        "chart": Chart("New customers", came, f"New customers by day: {total:,} in all, {came[last]:,} today."),
    }


def _scope(by: User) -> Scope:
    return Scope(tenant_id=None if by.is_superuser else by.tenant_id, every_tenant=by.is_superuser)


add_panel(Panel("sales", "Sales of 30 days", NEEDS, TEMPLATE, sales, place=20))
add_panel(Panel("new-customers", "New customers of 30 days", NEEDS, TEMPLATE, new_customers, place=30))
