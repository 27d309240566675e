"""DRF's exception handler: every error of a view becomes a problem."""

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from .json import PROBLEM, ProblemRenderer
from .problems import Problem, body

logger = logging.getLogger(__name__)


def handle(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """The answer to `exc`; None for what nobody foresaw: the middleware answers 500."""
    headers: dict[str, str] = {}
    errors: list[Mapping[str, Any]] = []
    match exc:
        case Problem():
            status, code, detail, errors = exc.status_code, exc.code, exc.text, exc.errors
            headers = exc.headers
        case exceptions.ValidationError() | DjangoValidationError():
            if isinstance(exc, DjangoValidationError):
                found = exceptions.ValidationError(exc.message_dict if hasattr(exc, "error_dict") else exc.messages)
            else:
                found = exc
            errors = list(_flatten(found.detail))
            status, code = 400, "invalid"
            detail = " ".join(f"{e['field']}: {e['detail']}" if e["field"] else e["detail"] for e in errors[:5])
        case Http404():
            status, code, detail = 404, "not_found", str(exc) or "There is nothing at this address."
        case PermissionDenied():
            status, code, detail = 403, "permission_denied", str(exc) or "Your role may not do this."
        case exceptions.APIException():
            status = exc.status_code
            code, detail = _first(exc)
            detail = " ".join(filter(None, (detail, _way_out(exc, context.get("view")))))
            if exc.status_code == 401:
                headers["WWW-Authenticate"] = getattr(exc, "auth_header", "Bearer")
            if wait := getattr(exc, "wait", None):
                headers["Retry-After"] = str(math.ceil(wait))
        case DataError():
            status, code = 400, "out_of_range"
            detail = f"A value does not fit its column: {_primary(exc)}. Nothing was written."
        case IntegrityError():
            status, code = 409, "conflict"
            detail = f"The change contradicts what is stored: {_primary(exc)}. Nothing was written."
        case OperationalError() | InterfaceError():
            logger.exception("The database did not answer")
            status, code = 503, "unavailable"
            detail = "The database cannot answer at the moment. Nothing was written; try again."
            headers["Retry-After"] = "1"
        case _:
            return None
    set_rollback()
    request = context.get("request")
    if request is not None:
        # Also where the view answers otherwise, as a page or in YAML.
        request.accepted_renderer, request.accepted_media_type = ProblemRenderer(), PROBLEM
    content = body(status, code, detail, errors=errors, instance=request.path if request is not None else "")
    return Response(content, status=status, headers=headers, content_type=PROBLEM)


def _way_out(exc: exceptions.APIException, view: Any) -> str:
    """What to do about an error whose text is the framework's, and says only what is wrong."""
    match exc:
        case exceptions.NotAuthenticated():
            return (
                "Send Authorization: Bearer and a token of POST /api/auth/token/, or the API key of a till or a server."
            )
        case exceptions.MethodNotAllowed():
            return f"Possible: {', '.join(view.allowed_methods)}." if view is not None else ""
        case exceptions.UnsupportedMediaType():
            return "Send JSON, with Content-Type: application/json."
        case exceptions.NotAcceptable():
            return "Answers are application/json: let Accept allow that, or leave it out."
    return ""


def _first(exc: exceptions.APIException) -> tuple[str, str]:
    """Code and text of an error that is one, whatever its shape."""
    detail: Any = exc.detail
    while isinstance(detail, dict | list):
        if isinstance(detail, dict) and "detail" in detail:
            code = detail.get("code")
            return str(code or getattr(detail["detail"], "code", exc.default_code)), str(detail["detail"])
        detail = next(iter(detail.values() if isinstance(detail, dict) else detail), exc.default_detail)
    return str(getattr(detail, "code", exc.default_code)), str(detail)


def _flatten(detail: Any, path: str = "") -> Iterator[dict[str, Any]]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            name = "" if key == "non_field_errors" else str(key)
            yield from _flatten(value, ".".join(filter(None, (path, name))))
    elif isinstance(detail, list | tuple):
        for index, value in enumerate(detail):
            nested = isinstance(value, dict | list)
            yield from _flatten(value, ".".join(filter(None, (path, str(index)))) if nested else path)
    else:
        yield {"field": path, "code": str(getattr(detail, "code", "invalid")), "detail": str(detail)}


def _primary(exc: Exception) -> str:
    """PostgreSQL's own words, without the row's values."""
    diag = getattr(exc.__cause__, "diag", None)
    return str(getattr(diag, "message_primary", None) or exc).strip().rstrip(".")
