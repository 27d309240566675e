"""Old paths that go on working: every answer says since when they are superseded, until when they stay, and by what."""

import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from . import usage


class Superseded(APIView):
    """A mixin, first among the bases. `successor` is the path that takes over, with the ids of this one in braces."""

    successor: ClassVar[str]

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Errors too: a client that is refused has to move all the same, and is still there."""
        response = super().finalize_response(request, response, *args, **kwargs)
        deprecation, sunset = announced(settings.API_DEPRECATED_ON, settings.API_SUNSET_ON)
        response["Deprecation"] = deprecation
        response["Sunset"] = sunset
        # Whatever stood in the path is text of the caller's.
        ids = {name: quote(str(value), safe="") for name, value in self.kwargs.items()}
        response["Link"] = f'<{self.successor.format(**ids)}>; rel="successor-version"'
        if response.status_code != 405:
            usage.count(request)
        return response


@lru_cache
def announced(deprecated_on: str, sunset_on: str) -> tuple[str, str]:
    """The values of Deprecation (RFC 9745) and Sunset (RFC 8594) for two dates, each from midnight UTC on.

    Errors: ImproperlyConfigured where one is no date, or the sunset comes first.
    """
    deprecated, sunset = (
        _midnight(name, text) for name, text in (("API_DEPRECATED_ON", deprecated_on), ("API_SUNSET_ON", sunset_on))
    )
    if sunset < deprecated:
        raise ImproperlyConfigured(
            f"API_SUNSET_ON ({sunset_on}) is before API_DEPRECATED_ON ({deprecated_on}). Give a later date."
        )
    return f"@{int(deprecated.timestamp())}", format_datetime(sunset, usegmt=True)


def _midnight(name: str, text: str) -> datetime.datetime:
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is {text!r}, which is no date. Write it as 2026-11-23.") from error
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


# Asked once at the start, so that a wrong date stops the server and not its first caller.
announced(settings.API_DEPRECATED_ON, settings.API_SUNSET_ON)
