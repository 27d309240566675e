"""The admin's own pages, where they write to accounts."""

from collections.abc import Callable
from typing import Any

from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path
from unfold.sites import UnfoldAdminSite

from .authorship import sign
from .models import User
from .staff_admin import viewer

Page = Callable[[HttpRequest], HttpResponse]
_pages: dict[str, Page] = {}


def add_page(name: str, page: Page) -> None:
    """A page of no model, at /admin/<name>/, for staff; what else it asks of its caller it says itself."""
    _pages[name] = page


class StaffAdminSite(UnfoldAdminSite):
    def get_urls(self) -> list[URLPattern | URLResolver]:
        pages = [path(f"{name}/", self.admin_view(page), name=name) for name, page in _pages.items()]
        return [*pages, *super().get_urls()]

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The history names who changed the own password."""
        using = router.db_for_write(User)
        with transaction.atomic(using=using):
            sign(using=using, by=viewer(request).pk, via="admin")
            return super().password_change(request, extra_context)
