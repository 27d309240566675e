"""The calls that are asked most: answered before Django's machinery, which a plain GET of JSON has no use for."""

import io
import logging
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import request_finished, request_started
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.urls import Resolver404, resolve

from .json import Made
from .middleware import PREFIX, finish

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_PATH = re.compile(rf"({PREFIX}(?:[a-z-]+/)+)([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})/?")
# What of a request Django reads to refuse its host, to send it to https, or to choose headers.
_FRAMING = ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme", "HTTP_X_FORWARDED_PROTO")


class HotGet:
    """For an APIView whose address ends with a uuid: `hot(authorization, id)` answers a GET, or says None.

    Whatever is not plain success (no login, no right, nobody there) is the ordinary way's: errors have one source.
    """

    hot: Callable[[str, UUID], tuple[Made, Headers] | None]


class HotFirst:
    """The WSGI application: the hot calls, and Django's for all that they do not answer."""

    def __init__(self, django: Application) -> None:
        self.django = django
        self.frame = lru_cache(maxsize=256)(_frame)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = self._answer(environ)
        if answer is None:
            return self.django(environ, start_response)
        content, headers = answer
        start_response("200 OK", [*headers, ("Content-Length", str(len(content)))])
        return [content]

    def _answer(self, environ: Environ) -> tuple[bytes, Headers] | None:
        if environ["REQUEST_METHOD"] != "GET" or "HTTP_AUTHORIZATION" not in environ or environ.get("QUERY_STRING"):
            return None
        accept = environ.get("HTTP_ACCEPT", "*/*")
        path = _PATH.fullmatch(environ["PATH_INFO"])
        if path is None or not ("*/*" in accept or "application/json" in accept):
            return None
        hot, frame = _hot(path[1]), self.frame(*map(environ.get, _FRAMING))
        if hot is None or frame is None:
            return None
        # As around every request: a connection that is too old, or broken, is closed.
        request_started.send(sender=self.__class__, environ=environ)
        try:
            found = hot(environ["HTTP_AUTHORIZATION"], UUID(path[2]))
        except Exception:
            logger.exception("%s takes the ordinary way", environ["PATH_INFO"])
            return None
        finally:
            request_finished.send(sender=self.__class__)
        return (found[0], [*frame, *found[1]]) if found else None


@lru_cache(maxsize=256)
def _hot(prefix: str) -> Callable[[str, UUID], tuple[Made, Headers] | None] | None:
    """What answers the paths that go on with an id; None where that is no hot call."""
    try:
        view = getattr(resolve(f"{prefix}{UUID(int=0)}/").func, "view_class", None)
    except Resolver404:
        return None
    return view().hot if view is not None and issubclass(view, HotGet) else None


def _frame(*framing: str | None) -> Headers | None:
    """The headers of every answer to such a request; None where Django would refuse it or send it elsewhere."""
    environ = {name: value for name, value in zip(_FRAMING, framing, strict=True) if value is not None}
    request = WSGIRequest({**environ, "REQUEST_METHOD": "GET", "PATH_INFO": PREFIX, "wsgi.input": io.BytesIO()})
    plain = finish(HttpResponse(content_type="application/json", headers={"Vary": "Accept"}))
    try:
        request.get_host()
        response = SecurityMiddleware(lambda _: plain)(request)
    except DisallowedHost:
        return None
    del plain.headers["Content-Length"]
    return list(plain.items()) if response is plain else None
