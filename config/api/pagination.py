"""Pages by cursor: page 1,000 costs what page 1 does, and nothing is counted."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework import pagination
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from .problems import Problem


class CursorPages(pagination.CursorPagination):
    """`?cursor=…&page_size=…` (50, at most 200); the answer has next and previous as whole addresses."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = ("-created_at", "-id")

    def decode_cursor(self, request: Request) -> Any:
        try:
            cursor = super().decode_cursor(request)
        except NotFound as error:
            raise _bad_cursor(request) from error
        if cursor is not None and cursor.position is None and not cursor.offset and not cursor.reverse:
            # It says nothing: ours always do.
            raise _bad_cursor(request)
        return cursor

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """A cursor may be well-formed and its position none that the column can hold."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValidationError, DataError, ValueError, TypeError) as error:
            raise _bad_cursor(request) from error


def _bad_cursor(request: Request) -> Problem:
    value = request.query_params.get("cursor", "")
    return Problem("bad_cursor", f"The cursor {value[:80]!r} is none of ours. Begin again without one.")
