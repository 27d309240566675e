"""Errors as RFC 9457 problem+json: a stable code, what is wrong, where, what to do."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from rest_framework import exceptions

from .json import PROBLEM

# Codes of errors that nobody of ours raised, by status.
CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    428: "precondition_required",
    429: "throttled",
    500: "internal_error",
    503: "unavailable",
}


class Problem(exceptions.APIException):
    """An error with a code of its own. `detail` says what is wrong, names the value and the way out.

    `errors` are [{field, code, detail}], where single fields are to blame; `field` is a dotted path into the body.
    """

    status_code = 400

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 400,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.code = code
        self.text = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})


def not_found(what: str, value: object) -> Problem:
    """404: there is none, or it is not the caller's to see; the answer is the same."""
    return Problem("not_found", f"There is no {what} {value!s}.", status=404)


def conflict(code: str, detail: str) -> Problem:
    """409: the request is well-formed, but the state that it finds does not allow it."""
    return Problem(code, detail, status=409)


def body(
    status: int, code: str, detail: str, *, errors: Sequence[Mapping[str, Any]] = (), instance: str = ""
) -> dict[str, Any]:
    """The members of a problem."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if instance:
        problem["instance"] = instance
    if errors:
        problem["errors"] = list(errors)
    return problem


def response(
    request: HttpRequest, status: int, detail: str, *, code: str = "", headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """A problem outside DRF."""
    content = body(status, code or CODES.get(status, "error"), detail, instance=request.path)
    return HttpResponse(orjson.dumps(content), status=status, content_type=PROBLEM, headers=dict(headers or {}))
