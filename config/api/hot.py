"""The calls that are asked most: answered without the machinery that a plain GET of JSON has no use for."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from .json import Made


class HotGet:
    """For an APIView: `hot(request, …)` answers a GET of JSON, or says None, and the view does it the ordinary way.

    It is asked first, and only where the header carries a token and JSON is welcome. Whatever is not plain success (no
    login, no right, nobody there) is the ordinary way's: errors have one source.
    """

    hot: Callable[..., tuple[Made, dict[str, str]] | None]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "GET" and "HTTP_AUTHORIZATION" in request.META:
            accept = request.META.get("HTTP_ACCEPT", "*/*")
            if "*/*" in accept or "application/json" in accept:
                found = None
                with suppress(OperationalError, InterfaceError):  # the ordinary way says so
                    found = self.hot(request, **kwargs)
                if found is not None:
                    headers = {"Vary": "Accept", **found[1]}
                    return HttpResponse(bytes(found[0]), content_type="application/json", headers=headers)
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return response
