"""JSON in and out, by orjson, and JSON that the database has made already."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from django.conf import settings
from rest_framework import negotiation, parsers, renderers
from rest_framework.exceptions import APIException, ParseError
from rest_framework.request import Request

PROBLEM = "application/problem+json"


class Made(bytes):
    """JSON that is ready: passed through as it is."""


def _default(value: object) -> Any:
    """Money is a number on the wire, as the old clients read it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Made | memoryview):
        return orjson.Fragment(bytes(value))
    return str(value)


class JSONRenderer(renderers.BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if isinstance(data, bytes):
            return bytes(data)
        return b"" if data is None else written(data)


def written(data: Any) -> Made:
    """A value as JSON."""
    return Made(orjson.dumps(data, default=_default, option=orjson.OPT_NON_STR_KEYS))


class ProblemRenderer(JSONRenderer):
    """For callers that accept only problem+json."""

    media_type = PROBLEM
    format = "problem"


class TooLarge(APIException):
    status_code = 413
    default_code = "too_large"


class Negotiation(negotiation.DefaultContentNegotiation):
    """Who takes anything gets JSON, which most do and need no parsing of the header for."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        if request.META.get("HTTP_ACCEPT", "*/*") == "*/*":
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)


class JSONParser(parsers.BaseParser):
    """Refuses what is too long to be read, and what cannot be stored."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        most: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(most + 1)
        if len(raw) > most:
            raise TooLarge(f"The body is longer than {most:,} bytes, which is more than any call needs. Send less.")
        return read(raw)


def read(raw: bytes) -> Any:
    """The value that JSON is. Refuses what cannot be stored: NUL characters and halves of surrogate pairs."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON: {error}.") from error
    if b"\\u0000" in raw and "\0" in _all_text(found):
        raise ParseError("A text in the body holds a NUL character (\\u0000), which cannot be stored. Leave it out.")
    return found


def _all_text(value: Any) -> str:
    """All text in a JSON value, keys included."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join((*value, *map(_all_text, value.values())))
    if isinstance(value, list):
        return "".join(map(_all_text, value))
    return ""
