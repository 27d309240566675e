"""The OpenAPI document: what drf-spectacular cannot know by itself."""

import re
from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from .json import PROBLEM


class FieldProblemSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="A dotted path into the body; '' for the whole.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable: programs decide by it.")
    detail = serializers.CharField(help_text="What is wrong, and the way out, for people.")
    instance = serializers.CharField(required=False)
    errors = FieldProblemSerializer(many=True, required=False)


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "accounts.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A person's JWT (see /api/auth/token/), or the API key of a till or a server (upk_…).",
        }


class Schema(AutoSchema):
    """Every call says in a line what it does, and which problems it can answer with."""

    def get_summary(self) -> str | None:
        """The description's first sentence: all that one sees of a call before opening it."""
        first = re.match(r"(.+?)(?:\.|:)?(?:(?<=[.:])\s|$)", " ".join(self.get_description().split()))
        return super().get_summary() or (first[1] if first else None)

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._map_serializer_field(field, direction, bypass_extensions)
        if isinstance(field, serializers.ListSerializer):
            # How long a list of objects may be, which is said of lists of values only.
            bounds = {"minItems": field.min_length, "maxItems": field.max_length}
            found |= {name: value for name, value in bounds.items() if value is not None}
        return found

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        found = super()._get_response_bodies(direction)
        wanted = getattr(self.view, "access", {}).get(self.method)
        codes = {"400", "406", "503"}
        if "{" in self.path:
            codes.add("404")
        if getattr(self.view, "throttle_scope", None):
            codes.add("429")
        if wanted is not None and not wanted.public:
            codes |= {"401", "403"}
        if self.method in {"POST", "PUT", "PATCH", "DELETE"}:
            codes |= {"409", "413", "415"}
        codes |= {str(code) for code in getattr(self.view, "problems", {}).get(self.method, ())}
        for code in sorted(codes - found.keys()):
            found[code] = self._get_response_for_code(ProblemSerializer, code, [PROBLEM], direction)
        return dict(sorted(found.items()))
