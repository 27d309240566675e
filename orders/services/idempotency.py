"""The header Idempotency-Key: a request that is sent again is answered again, and done once."""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
from django.db import connection, transaction
from rest_framework.request import Request

from accounts.models import User
from config.api.json import JSONRenderer, Made
from config.api.problems import Problem, conflict

# What one act answers: HTTP status and body.
Answer = tuple[int, Any]

_TAKE = """
INSERT INTO idempotency_keys (caller, key, digest, status, answer) VALUES (%s, %s, %s, NULL, NULL)
ON CONFLICT (caller, key) DO NOTHING RETURNING id
"""
_KEEP = "UPDATE idempotency_keys SET status = %s, answer = to_jsonb(%s::text) WHERE id = %s"
_FIRST = "SELECT digest, status, answer #>> '{}' FROM idempotency_keys WHERE caller = %s AND key = %s"


def digest_of(*parts: Any) -> str:
    """SHA-256 of JSON values, whatever the order of their keys. Problem 400 where they are nested beyond measure."""
    try:
        return hashlib.sha256(orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()
    except orjson.JSONEncodeError as error:
        raise Problem("bad_request", "The body is nested more than 250 levels deep. Send it flatter.") from error


def key_of(request: Request) -> str | None:
    """The request's key; None without the header. Errors: Problem 400 where it cannot be one."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not 1 <= len(key) <= 200 or not key.isascii() or not key.isprintable():
        raise Problem("bad_idempotency_key", "Idempotency-Key is 1 to 200 printable ASCII characters: send a UUID.")
    return key


def once(request: Request, act: Callable[[], Answer], *, by: User | None) -> Answer:
    """What `act` answers, in one transaction with it; the first answer where the caller sent the key before.

    A second request with the key waits until the first is done; after a failed one the key is free again.
    Errors: Problem 409 where the key was used for another method, path or body.
    """
    key = key_of(request)
    if key is None:
        return act()
    caller = str(by.pk) if by is not None else ""
    digest = digest_of(request.method, request.path, request.data)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TAKE, (caller, key, digest))
        taken = cursor.fetchone()
        if taken is None:
            cursor.execute(_FIRST, (caller, key))
            first = cursor.fetchone()
            if first is None or first[0] != digest:
                raise conflict(
                    "idempotency_key_reused",
                    f"Idempotency-Key {key!r} was used for another request. Send a new key with a new request.",
                )
            return int(first[1]), Made(first[2].encode())
        status, body = act()
        rendered = JSONRenderer().render(body)
        cursor.execute(_KEEP, (status, rendered.decode(), taken[0]))
        return status, Made(rendered)
