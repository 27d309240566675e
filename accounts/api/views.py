"""Accounts: register, log in and out, passwords, addresses, oneself."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import lockout
from accounts.models import ApiKey
from accounts.selectors import describe
from accounts.services import passwords, registration, sessions, verification

from . import serializers as bodies
from .access import OWN, PUBLIC, caller

TAGS = ["Accounts"]
NOT_KEPT = {"Cache-Control": "no-store"}  # answers that hold tokens
NO_CONTENT: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
TOKENS_EXAMPLE = OpenApiExample(
    "Tokens", {"access": "eyJhbGciOi…", "refresh": "eyJhbGciOi…"}, response_only=True, status_codes=["200"]
)
RESET_ASKED = "If an active account has this address, a mail with a link to set a new password is on its way to it."


def given(body: type[Serializer], request: Request) -> dict[str, Any]:
    """The checked body."""
    found = body(data=request.data)
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


class Public(APIView):
    """Needs no login, and looks at none: an expired token in the header must not keep anybody from getting another."""

    authentication_classes = ()
    access = {"POST": PUBLIC}
    throttle_scope = "auth"


class RegisterView(Public):
    @extend_schema(
        operation_id="auth_register",
        tags=TAGS,
        request=bodies.RegistrationSerializer,
        responses={201: bodies.RegisteredSerializer},
        examples=[
            OpenApiExample(
                "A customer",
                {"email": "ann@example.com", "password": "correct horse 7", "first_name": "Ann", "last_name": "Lee"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Make a customer's account and log it in; a mail asks to confirm the address."""
        user = registration.register(**given(bodies.RegistrationSerializer, request))
        session = sessions.open_session(user)
        return Response({**describe(user), **asdict(session)}, status=201, headers=NOT_KEPT)


class TokenView(Public):
    problems = {"POST": (401,)}

    @extend_schema(
        operation_id="auth_token",
        tags=TAGS,
        request=bodies.CredentialsSerializer,
        responses=bodies.TokensSerializer,
        examples=[
            OpenApiExample(
                "A customer", {"email": "ann@example.com", "password": "correct horse 7"}, request_only=True
            ),
            TOKENS_EXAMPLE,
        ],
    )
    def post(self, request: Request) -> Response:
        """Log in. After repeated failures the address is locked for a while from where they came (429)."""
        body = given(bodies.CredentialsSerializer, request)
        return Response(asdict(sessions.log_in(request._request, **body)), headers=NOT_KEPT)


class TokenRefreshView(Public):
    problems = {"POST": (401,)}

    @extend_schema(
        operation_id="auth_token_refresh",
        tags=TAGS,
        request=bodies.RefreshSerializer,
        responses=bodies.TokensSerializer,
        examples=[
            OpenApiExample("The token of the login", {"refresh": "eyJhbGciOi…"}, request_only=True),
            TOKENS_EXAMPLE,
        ],
    )
    def post(self, request: Request) -> Response:
        """New tokens for a refresh token, which is used up."""
        tokens = sessions.refresh(given(bodies.RefreshSerializer, request)["refresh"])
        return Response(asdict(tokens), headers=NOT_KEPT)


class TokenBlacklistView(Public):
    problems = {"POST": (401,)}

    @extend_schema(
        operation_id="auth_token_blacklist", tags=TAGS, request=bodies.RefreshSerializer, responses={200: NO_CONTENT}
    )
    def post(self, request: Request) -> Response:
        """Log out: the refresh token works no more."""
        sessions.log_out(given(bodies.RefreshSerializer, request)["refresh"])
        return Response({})


class PasswordResetView(Public):
    @extend_schema(
        operation_id="auth_password_reset",
        tags=TAGS,
        request=bodies.PasswordResetSerializer,
        responses={202: bodies.DoneSerializer},
        examples=[
            OpenApiExample("Whoever has this address", {"email": "ann@example.com"}, request_only=True),
            OpenApiExample("Asked", {"detail": RESET_ASKED}, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Ask for a mail with a link to set a new password: how a guest claims the account made for them, too.

        The answer is the same whether somebody has the address or not.
        """
        passwords.ask_for_reset(given(bodies.PasswordResetSerializer, request)["email"])
        return Response({"detail": RESET_ASKED}, status=202)


class PasswordResetConfirmView(Public):
    @extend_schema(
        operation_id="auth_password_reset_confirm",
        tags=TAGS,
        request=bodies.PasswordResetConfirmSerializer,
        responses=bodies.DoneSerializer,
        examples=[
            OpenApiExample(
                "What the link holds",
                {
                    "uid": "0b0cbbf2-6d2c-4f2b-9d0b-3c1f0b1f6a01",
                    "token": "d0l5cx-4c1f0b1f6a01",
                    "password": "correct horse 7",
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Set the new password with what the link holds, once; it ends all sessions and verifies the address."""
        account = passwords.reset(**given(bodies.PasswordResetConfirmSerializer, request))
        lockout.forgive(request._request, account.email or "")
        return Response({"detail": "The new password is set. Log in with it: POST /api/auth/token/."})


class PasswordChangeView(APIView):
    access = {"POST": OWN}
    throttle_scope = "auth"

    @extend_schema(
        operation_id="auth_password_change",
        tags=TAGS,
        request=bodies.PasswordChangeSerializer,
        responses=bodies.TokensSerializer,
    )
    def post(self, request: Request) -> Response:
        """Set another password; it ends all sessions, and the answer begins another. An API key may not do this."""
        if isinstance(request.auth, ApiKey):
            raise PermissionDenied("A password is changed by who logs in with it, not with an API key.")
        body = given(bodies.PasswordChangeSerializer, request)
        user = passwords.change(caller(request), **body, by=caller(request))
        return Response(asdict(sessions.open_session(user)), headers=NOT_KEPT)


class EmailVerifyView(Public):
    @extend_schema(
        operation_id="auth_email_verify",
        tags=TAGS,
        request=bodies.EmailVerificationSerializer,
        responses=bodies.DoneSerializer,
    )
    def post(self, request: Request) -> Response:
        """Confirm an address with what the link in its mail holds."""
        account = verification.verify(given(bodies.EmailVerificationSerializer, request)["token"])
        return Response({"detail": f"The address {account.email} is verified."})


class EmailVerifyResendView(APIView):
    access = {"POST": OWN}
    throttle_scope = "auth"

    @extend_schema(
        operation_id="auth_email_verify_resend", tags=TAGS, request=None, responses={202: bodies.DoneSerializer}
    )
    def post(self, request: Request) -> Response:
        """Ask for the mail that confirms the address once more."""
        verification.send(caller(request))
        return Response({"detail": f"A mail is on its way to {caller(request).email}."}, status=202)


class MeView(APIView):
    access = {"GET": OWN}

    @extend_schema(operation_id="auth_me", tags=TAGS, responses=bodies.AccountSerializer)
    def get(self, request: Request) -> Response:
        """Who is logged in."""
        return Response(describe(caller(request)))
