"""The first page: the panels that the apps have added."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.staff_admin import viewer
from profiles.workplace import panels_for

admin.site.index_template = "profiles/dashboard.html"


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Each panel with what it shows, as far as the viewer may see it."""
    shown = [{"panel": panel, **panel.show(request)} for panel in panels_for(viewer(request))]
    return {**context, "title": "Dashboard", "panels": shown}
