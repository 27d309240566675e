"""Bodies of the accounts' calls."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.hashers import MAX_BYTES

MAX_PASSWORD = 1000  # characters; the old application took long ones, of which 72 bytes count


class _Text:
    """A text, and no number in its place."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")  # type: ignore[attr-defined]
        return super().to_internal_value(data)  # type: ignore[misc]


class Text(_Text, serializers.CharField):
    pass


class Email(_Text, serializers.EmailField):
    pass


class Password(Text):
    """As typed: blanks at its ends belong to it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(write_only=True, trim_whitespace=False, max_length=MAX_PASSWORD, **kwargs)


@extend_schema_field(
    {
        "type": "string",
        "writeOnly": True,
        "minLength": 8,
        "maxLength": MAX_BYTES,
        "pattern": "[^0-9]",
        "format": "password",
    }
)
class NewPassword(Password):
    """What else makes it strong enough, the validators say."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=8, **kwargs)


class Body(serializers.Serializer):
    """Refuses members that it does not know, by name."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = [str(name) for name in data if name not in self.fields] if isinstance(data, Mapping) else []
        if unknown:
            text = f"There is no such field here. Possible: {', '.join(self.fields)}."
            errors = {name: [serializers.ErrorDetail(text, "unknown_field")] for name in unknown[:20]}
            raise serializers.ValidationError(errors)
        return super().to_internal_value(data)


class BodySchema(OpenApiSerializerExtension):
    target_class = Body
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        found = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        found.pop("description", None)  # Body's own
        return {**found, "additionalProperties": False}


class RegistrationSerializer(Body):
    email = Email(max_length=254)
    password = NewPassword()
    first_name = Text(max_length=100, required=False, allow_blank=True)
    last_name = Text(max_length=100, required=False, allow_blank=True)


class CredentialsSerializer(Body):
    email = Text(max_length=1000, trim_whitespace=False, help_text="As stored, or in another case spelling.")
    password = Password()


class RefreshSerializer(Body):
    refresh = Text(max_length=10_000, trim_whitespace=False)


class PasswordResetSerializer(Body):
    email = Text(max_length=1000, trim_whitespace=False)


class PasswordResetConfirmSerializer(Body):
    uid = serializers.UUIDField(help_text="From the link of the mail.")
    token = Text(max_length=1000, trim_whitespace=False, help_text="From the link of the mail.")
    password = NewPassword()


class PasswordChangeSerializer(Body):
    password = Password(help_text="The present one.")
    new_password = NewPassword()


class EmailVerificationSerializer(Body):
    token = Text(max_length=10_000, trim_whitespace=False, help_text="From the link of the mail.")


class TokensSerializer(serializers.Serializer):
    access = serializers.CharField(help_text="For the header `Authorization: Bearer …`, for some minutes.")
    refresh = serializers.CharField(help_text="For one call of token/refresh/, which answers with two new ones.")


class AccountSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    email = serializers.CharField(allow_null=True)
    role = serializers.CharField(allow_null=True)
    tenant_id = serializers.UUIDField(allow_null=True)
    email_verified = serializers.BooleanField()
    phone_verified = serializers.BooleanField()
    age_verified = serializers.BooleanField()
    terms_accepted = serializers.BooleanField()
    profile_id = serializers.UUIDField(allow_null=True, help_text="The id that customers' calls know this person by.")
    first_name = serializers.CharField(allow_null=True)
    last_name = serializers.CharField(allow_null=True)


class RegisteredSerializer(AccountSerializer, TokensSerializer):
    """The account, and its first session."""


class DoneSerializer(serializers.Serializer):
    detail = serializers.CharField()
