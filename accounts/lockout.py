"""Lock-out after repeated failures: whom an attempt was for, where it came from, and what a locked caller is told."""

import ipaddress
import math
from collections.abc import Mapping
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from rest_framework.throttling import BaseThrottle

from config.api.problems import Problem

MAX_USERNAME = 255  # what the attempts' column holds
UNKNOWN_IP = "0.0.0.0"


def username(request: HttpRequest | None, credentials: Mapping[str, Any] | None) -> str:
    """The address that was tried, as one text whatever its case; the admin's form names it username."""
    given = credentials or (request.POST if request is not None else {})
    return _folded(str(given.get("email") or given.get("username") or ""))


def client_ip(request: HttpRequest) -> str:
    """Where the request comes from: as the throttles see it, so X-Forwarded-For counts only behind NUM_PROXIES."""
    given = str(BaseThrottle().get_ident(request) or "")
    for text in (given, given.rpartition(":")[0].strip("[]")):  # some proxies add the port
        try:
            found = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            continue
        return str(getattr(found, "ipv4_mapped", None) or found)
    return UNKNOWN_IP


def seconds_left(request: HttpRequest, credentials: Mapping[str, Any] | None) -> int:
    """Until enough failures have become old for another attempt, at least 1."""
    attempts = AccessAttempt.objects.filter(username=username(request, credentials), ip_address=client_ip(request))
    now, cool_off = timezone.now(), get_cool_off(request)
    recent = list(
        attempts.filter(attempt_time__gt=now - cool_off)
        .order_by("attempt_time")
        .values_list("attempt_time", "failures_since_start")
    )
    total = sum(failures for _, failures in recent)
    for time, failures in recent:
        total -= failures
        if total < settings.AXES_FAILURE_LIMIT:
            return max(1, math.ceil((time + cool_off - now).total_seconds()))
    return 1


def refusal(request: HttpRequest, address: str) -> Problem | None:
    """What the API answers to a login that just failed, where its address is locked by now."""
    if not getattr(request, "axes_locked_out", False):
        return None
    wait = seconds_left(request, {"email": address})
    return Problem(
        "locked_out",
        "Too many failed logins with this address from where you are. "
        f"Try again in {math.ceil(wait / 60)} min, or set a new password: POST /api/auth/password/reset/.",
        status=429,
        headers={"Retry-After": str(wait)},
    )


def page(request: HttpRequest, original: HttpResponse | None, credentials: Mapping[str, Any] | None) -> HttpResponse:
    """The same for the admin, from the lock-out's middleware."""
    wait = seconds_left(request, credentials)
    shown = render(request, "accounts/locked.html", {"minutes": math.ceil(wait / 60)}, status=429)
    shown.headers["Retry-After"] = str(wait)
    return shown


def forgive(request: HttpRequest, address: str) -> None:
    """Forget the caller's failures with this address: a new password, set through a mail to it, has made up for them."""
    AxesProxyHandler.reset_attempts(username=_folded(address), ip_address=client_ip(request))


def _folded(address: str) -> str:
    return address.strip().lower()[:MAX_USERNAME]
