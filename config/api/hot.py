"""The calls that are asked most: answered before Django's machinery, which plain JSON has no use for."""

import io
import logging
import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import request_finished
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.urls import Resolver404, resolve

from .json import Made
from .middleware import PREFIX, finish

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_ID = re.compile(r"(.+/)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?")
# What of a request Django reads to refuse its host, to send it to https, or to choose headers.
_FRAMING = ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme", "HTTP_X_FORWARDED_PROTO")
_LONGEST_BODY = 100_000


class HotGet:
    """For an APIView whose address ends with a uuid: `hot_get(authorization, id)` answers a GET, or says None.

    Whatever is not plain success (no login, no right, nobody there) is the ordinary way's: errors have one source.
    """

    hot_get: Callable[[str, UUID], tuple[Made, Headers] | None]


class HotPost:
    """For an APIView of one address: `hot_post(authorization, body)` answers a POST with 201, or says None.

    The ordinary way then does it all again, also after an error: it may write only what is written once however often
    it is asked.
    """

    hot_post: Callable[[str, bytes], tuple[Made, Headers] | None]


class HotFirst:
    """The WSGI application: the hot calls, and Django's for all that they do not answer."""

    def __init__(self, django: Application) -> None:
        self.django = django
        self.frame = lru_cache(maxsize=256)(_frame)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = _call(environ)
        frame = self.frame(*map(environ.get, _FRAMING)) if call else None
        if call is None or frame is None:
            return self.django(environ, start_response)
        status, ask = call
        try:
            found = ask()
        except Exception:
            logger.warning("%s takes the ordinary way", environ["PATH_INFO"], exc_info=True)
            found = None
        # As after every request: a connection that is too old, or broken, is closed.
        request_finished.send(sender=self.__class__)
        if found is None:
            return self.django(environ, start_response)
        content, headers = found
        start_response(status, [*frame, *headers, ("Content-Length", str(len(content)))])
        return [content]


def _call(environ: Environ) -> tuple[str, Callable[[], tuple[Made, Headers] | None]] | None:
    """What would answer the request, and with which status; None where that is no hot call."""
    method, path, authorization = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION")
    accept = environ.get("HTTP_ACCEPT", "*/*")
    if authorization is None or environ.get("QUERY_STRING") or not ("*/*" in accept or "application/json" in accept):
        return None
    if method == "GET" and (named := _ID.fullmatch(path)):
        view = _view(f"{named[1]}{_NOBODY}/")
        return ("200 OK", partial(view.hot_get, authorization, UUID(named[2]))) if isinstance(view, HotGet) else None
    # Whoever sends a key has it kept with the answer, which is not for here.
    sort = environ.get("CONTENT_TYPE", "").partition(";")[0].strip()
    if method == "POST" and sort == "application/json" and "HTTP_IDEMPOTENCY_KEY" not in environ:
        view = _view(path if path.endswith("/") else f"{path}/")
        size = environ.get("CONTENT_LENGTH") or ""
        if not isinstance(view, HotPost) or not size.isdecimal() or int(size) > _LONGEST_BODY:
            return None
        body = environ["wsgi.input"].read(int(size))
        environ["wsgi.input"] = io.BytesIO(body)
        return "201 Created", partial(view.hot_post, authorization, body)
    return None


_NOBODY = UUID(int=0)


@lru_cache(maxsize=256)
def _view(address: str) -> HotGet | HotPost | None:
    """The view at an address, if it has hot calls."""
    try:
        view = getattr(resolve(address).func, "view_class", None)
    except Resolver404:
        return None
    return view() if view is not None and issubclass(view, HotGet | HotPost) else None


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
