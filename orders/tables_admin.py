"""The admin's page of tables, for super admins; the room of the old world adds what it knows."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.staff_admin import viewer
from config import protection
from profiles.workplace import Panel

from .protection import TABLES
from .tables import releases, tables

# A permission that only who is above all roles has.
NEEDS = "orders.see_tables"
parts: list[Panel] = []


def show(request: HttpRequest) -> HttpResponse:
    """Every table with rows, size, owner, dependents and protection. PermissionDenied for anybody but a super admin."""
    if not viewer(request).is_superuser:
        raise PermissionDenied
    found = protection.in_force(connection, TABLES)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Tables",
        "protection": found,
        "tables": tables(connection, found),
        "releases": releases(connection),
        "parts": [{"panel": panel, **panel.show(request)} for panel in parts],
    }
    return TemplateResponse(request, "orders/tables.html", context)
