"""Clients of the HTTP API for tests."""

from typing import Any

from rest_framework.test import APIClient

from accounts.models import User
from accounts.roles import Role
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
