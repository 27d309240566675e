"""Clients of the HTTP API for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from accounts.roles import Role
from config.api.hot import HotFirst
from tests.factories import UserFactory


def client_for(user: User | None) -> APIClient:
    """A client that is logged in as `user`; with None nobody is."""
    client = APIClient()
    if user is not None:
        client.force_authenticate(user)
    return client


def client_as(role: Role, **columns: Any) -> APIClient:
    """A client logged in as somebody new with that role; its `.user` is who."""
    user = UserFactory(role=role, **columns)
    client = client_for(user)
    client.user = user
    return client


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The answer is a problem of that status and code; gives its body."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    assert isinstance(body["detail"], str)
    return body


@contextmanager
def one_connection() -> Iterator[None]:
    """Requests do not close the connection, so that a test's transaction goes on after them."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


class HotClient(APIClient):
    """A client of the WSGI application, which the others pass by; `hot` says whether the shorter way answered."""

    hot = False

    def request(self, **environ: Any) -> Any:
        def django(environ: dict[str, Any], start_response: Any) -> Any:
            self.hot = False
            return WSGIHandler()(environ, start_response)

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            self.answered = int(status[:3]), headers

        self.hot = True
        with one_connection():
            content = b"".join(HotFirst(django)(self._base_environ(**{**environ, **self._credentials}), start_response))
        status, headers = self.answered
        response: Any = HttpResponse(content, status=status, headers=dict(headers))
        response.json = lambda: self._parse_json(response)
        return response


def hot_client(user: User) -> HotClient:
    """Such a client with a token of `user`."""
    client = HotClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(user)}")
    return client
