"""/api/profiles/{id}/export and /erase: all that is held on a person, or nothing personal any more."""

from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.access import Access, caller
from accounts.api.serializers import Body, Text
from config.api.problems import Problem, not_found
from profiles import selectors
from profiles.services import privacy

from .serializers import Flag

TAGS = ["Profiles"]


class EraseSerializer(Body):
    reason = Text(max_length=1000, help_text="Why, without naming anybody: it stays.")
    confirm = Flag(help_text="true: it cannot be taken back.")


class ErasedSerializer(serializers.Serializer):
    profile_id = serializers.UUIDField()
    erased_at = serializers.DateTimeField()
    reason = serializers.CharField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Rows that were emptied, by table.")


class ExportView(APIView):
    """By the profile's id, an alias or a users id."""

    access = {"GET": Access("profiles.export_profile", own=True)}
    throttle_scope = "export"

    @extend_schema(
        operation_id="profiles_export",
        tags=TAGS,
        responses=OpenApiResponse(
            OpenApiTypes.OBJECT,
            description="Lists by name: accounts, profiles, aliases, orders, order_events, refunds, loyalty, history, "
            "conflicts, suggestions, merges, privacy_events, corrections, kept_answers, sessions, api_keys, logins; and legacy, "
            "with the old tables' rows.",
        ),
    )
    def get(self, request: Request, profile_id: UUID) -> Response:
        """All that is held on a person, as a file. People export themselves: without the shop's notes and tags."""
        by = caller(request)
        person = selectors.seen(profile_id, by)
        if person.user_id != by.pk and not by.has_perm("profiles.export_profile"):
            raise not_found("profile", profile_id)
        return Response(
            privacy.export(person.id, by=by, via="api"),
            headers={"Content-Disposition": f'attachment; filename="profile-{person.id}.json"'},
        )


class EraseView(APIView):
    """By the profile's id, an alias or a users id."""

    access = {"POST": Access("profiles.erase_profile")}

    @extend_schema(operation_id="profiles_erase", tags=TAGS, request=EraseSerializer, responses=ErasedSerializer)
    def post(self, request: Request, profile_id: UUID) -> Response:
        """Take a person's data away for good; sales figures stay. Asked again, it answers what was done."""
        body = EraseSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        if body.validated_data["confirm"] is not True:
            detail = "An erasure cannot be taken back. Send true if you mean it."
            error = {"field": "confirm", "code": "not_confirmed", "detail": detail}
            raise Problem("invalid", f"confirm: {detail}", errors=[error])
        by = caller(request)
        person = selectors.seen(profile_id, by)
        done = privacy.erase(person.id, reason=body.validated_data["reason"], by=by, via="api")
        return Response(
            {"profile_id": done.profile_id, "erased_at": done.at, "reason": done.reason, "counts": done.counts}
        )
