"""The accounts' calls as a client makes them: JSON over the whole stack of middleware."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.mail import EmailMessage
from rest_framework.test import APIClient

AUTH = "/api/auth/"


def post(path: str, body: Any, *, token: str | None = None, ip: str = "192.0.2.1", **headers: str) -> Any:
    extra: dict[str, Any] = {"REMOTE_ADDR": ip, **headers}
    if token is not None:
        extra["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return APIClient(raise_request_exception=False).post(AUTH + path, body, **extra)


def me(token: str | None) -> Any:
    headers = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token is not None else {}
    return APIClient(raise_request_exception=False).get(AUTH + "me/", **headers)


def login(email: str, password: str, **kwargs: Any) -> Any:
    return post("token/", {"email": email, "password": password}, **kwargs)


def linked(message: EmailMessage) -> dict[str, str]:
    """What the link of a mail hands to its page, which passes it on to the API."""
    (address,) = re.findall(r"https?://\S+", str(message.body))
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
