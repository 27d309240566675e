"""A page as an answer: JSON that PostgreSQL made, between the addresses of the pages around it."""

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.utils.urls import replace_query_param

from config.api.json import Made
from profiles.keyset import Cursor, Listing, Page


def asked(serializer: type[Serializer], request: Request) -> dict[str, Any]:
    """The query's parameters; of one that comes twice, the last. Unknown ones are refused."""
    found: dict[str, Any] = _parser(serializer).run_validation(request.query_params.dict())
    return found


_PARSERS: dict[type[Serializer], Serializer] = {}


def _parser(serializer: type[Serializer]) -> Serializer:
    """One for all requests: it keeps nothing of them, and making its fields costs more than using them."""
    if serializer not in _PARSERS:
        _PARSERS[serializer] = serializer()
    return _PARSERS[serializer]


def cursor(text: str | None, listing: Listing, ordering: str) -> Cursor | None:
    return Cursor.read(text, listing, ordering) if text else None


def answer(request: Request, page: Page, **more: Any) -> Response:
    around: Mapping[str, Any] = {"next": _address(request, page.next), "previous": _address(request, page.previous)}
    head = orjson.dumps({**more, **around})
    return Response(Made(head[:-1] + b',"results":[' + ",".join(page.rows).encode() + b"]}"))


def _address(request: Request, cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    return str(replace_query_param(request.build_absolute_uri(), "cursor", str(cursor)))
