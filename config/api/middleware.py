"""What happens to every request under /api/ before and after its view."""

from collections.abc import Callable

from django.conf import settings
from django.core.handlers.exception import response_for_exception
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import Resolver404, ResolverMatch, resolve

from . import problems

PREFIX = "/api/"

TEXTS = {
    400: "The request cannot be read.",
    403: "Your role may not do this.",
    404: "There is nothing at {path}. See /api/docs/ for what there is.",
    405: "{method} is not possible at {path}. Possible: {allow}.",
    413: "The body is too large.",
    500: "Something went wrong on our side. Nothing was half done; the error was recorded.",
}


class ApiMiddleware:
    """Calls the API's views itself: sessions, cookies and messages are not theirs, and cost more than a short answer does.

    Paths work with and without the trailing slash, and an error is a problem whoever made it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not f"{request.path_info}/".startswith(PREFIX):
            return self.get_response(request)
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return problems.response(request, 400, "The address holds a NUL character (%00). Leave it out.")
        if not request.path_info.endswith("/"):
            request.path_info += "/"
            request.path += "/"
        response = self._answer(request)
        if response.status_code >= 400 and not response.headers.get("Content-Type", "").endswith("json"):
            response = self._as_problem(request, response)
        return finish(response)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()  # refuses a host that is not ours
            request.resolver_match = match = _leads_to(request.path_info)
            response: HttpResponse = match.func(request, *match.args, **match.kwargs)
            if isinstance(response, SimpleTemplateResponse):
                response.render()
        except Resolver404:
            return HttpResponse(status=404)
        except Exception as exception:
            # What a view foresaw it has answered itself. Recorded with its traceback, answered without.
            answer = response_for_exception(request, exception)
            return HttpResponse(status=answer.status_code)
        return response

    def _as_problem(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        allow = response.headers.get("Allow", "")
        status = response.status_code
        text = TEXTS.get(status, response.reason_phrase).format(path=request.path, method=request.method, allow=allow)
        kept = {name: response.headers[name] for name in ("Allow", "WWW-Authenticate") if name in response.headers}
        return problems.response(request, status, text, headers=kept)


_fixed: dict[tuple[str, str], ResolverMatch] = {}


def _leads_to(path: str) -> ResolverMatch:
    """What answers at a path; an address that is the same for everybody is looked for once."""
    key = settings.ROOT_URLCONF, path
    found = _fixed.get(key)
    if found is None:
        found = resolve(path)
        if not found.kwargs:
            _fixed[key] = found
    return found


def finish(response: HttpResponse) -> HttpResponse:
    """With the headers that every answer has."""
    response.headers["X-Frame-Options"] = "DENY"
    if not response.streaming:
        response.headers["Content-Length"] = str(len(response.content))
    return response
