"""/api/profiles/merge/: what making one profile of two would do, and doing it."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.access import Access, caller
from accounts.api.serializers import Body, Text
from accounts.models import User
from config.api.problems import not_found
from profiles.models import Profile, ProfileMerge
from profiles.selectors import VIEW_MEDICAL
from profiles.services import merging, unmerging
from profiles.services.merge_rules import BOTH, CHOOSABLE, OTHER, SURVIVOR, Rule

from .serializers import Flag

TAGS = ["Profiles"]
MEDICAL = "medical_conditions"


class Choices(serializers.DictField):
    """Whose value of a column stands, for any of those that a merge leaves to choice."""

    child = serializers.ChoiceField([SURVIVOR, OTHER])

    def __init__(self, **kwargs: Any) -> None:
        text = f"Columns and whose value stands, where the rule's is not wanted: {', '.join(sorted(CHOOSABLE))}."
        super().__init__(help_text=text, **kwargs)


class PairSerializer(Body):
    survivor_id = serializers.UUIDField(help_text="The profile that stays.")
    other_id = serializers.UUIDField(help_text="The profile that is merged into it; its login is closed.")
    choices = Choices(required=False)
    confirm = Flag(required=False, help_text="true: one person, although the birth dates contradict each other.")


class MergeSerializer(PairSerializer):
    token = Text(max_length=64, help_text="The preview's, made with the same choices.")


class FindingSerializer(serializers.Serializer):
    code = serializers.CharField()
    detail = serializers.CharField()


class MergedFieldSerializer(serializers.Serializer):
    field = serializers.CharField()
    rule = serializers.ChoiceField([str(rule) for rule in Rule])
    survivor = serializers.JSONField(allow_null=True)
    other = serializers.JSONField(allow_null=True)
    chosen = serializers.JSONField(allow_null=True)
    source = serializers.ChoiceField([SURVIVOR, OTHER, BOTH], help_text="Whose value it is.")
    by_choice = serializers.BooleanField()
    choosable = serializers.BooleanField()
    loses = serializers.BooleanField(help_text="A value goes, and is kept as a conflict.")
    hidden = serializers.BooleanField(help_text="Your role does not see the values.")


class MovesSerializer(serializers.Serializer):
    orders = serializers.IntegerField()
    aliases = serializers.IntegerField()
    conflicts = serializers.IntegerField()
    suggestions = serializers.IntegerField()
    merged_profiles = serializers.IntegerField(help_text="Profiles that were merged into the other before.")
    loyalty_points = serializers.IntegerField()
    total_spent = serializers.FloatField()
    order_count = serializers.IntegerField()
    interaction_count = serializers.IntegerField()


class MergePreviewSerializer(serializers.Serializer):
    survivor_id = serializers.UUIDField()
    other_id = serializers.UUIDField()
    fields = MergedFieldSerializer(many=True)
    moves = MovesSerializer()
    blockers = FindingSerializer(many=True, help_text="While there is one, merging is refused.")
    warnings = FindingSerializer(many=True)
    token = serializers.CharField(help_text="For the merge. It fits as long as nothing of this changes.")


class MergedSerializer(serializers.Serializer):
    merge_id = serializers.IntegerField()
    survivor_id = serializers.UUIDField()
    other_id = serializers.UUIDField()
    merged_at = serializers.DateTimeField()


def _profile(profile_id: UUID, viewer: User) -> UUID:
    """A profile of the viewer's tenant; a merged one too, so that the answer can say that it is. Problem 404."""
    if not Profile.objects.known_to(viewer).filter(pk=profile_id).exists():
        raise not_found("profile", profile_id)
    return profile_id


def _asked(body: type[PairSerializer], request: Request) -> dict[str, Any]:
    """The body, with both profiles among those that the caller sees, and no choice of what the caller does not see."""
    parsed = body(data=request.data)
    parsed.is_valid(raise_exception=True)
    asked: dict[str, Any] = dict(parsed.validated_data)
    viewer = caller(request)
    for name in ("survivor_id", "other_id"):
        _profile(asked[name], viewer)
    if MEDICAL in asked.get("choices", {}) and not viewer.has_perm(VIEW_MEDICAL):
        text = "Your role does not see medical conditions: it cannot choose between them. Leave it out."
        raise serializers.ValidationError({"choices": {MEDICAL: [serializers.ErrorDetail(text, "invalid_choice")]}})
    return asked


class MergePreviewView(APIView):
    access = {"POST": Access("profiles.merge_profile")}
    problems = {"POST": (404,)}

    @extend_schema(
        operation_id="profiles_merge_preview", tags=TAGS, request=PairSerializer, responses=MergePreviewSerializer
    )
    def post(self, request: Request) -> Response:
        """What merging two profiles would do, field by field, what would move, and what stands in the way. Writes nothing."""
        asked = _asked(PairSerializer, request)
        found = merging.preview(
            asked["survivor_id"],
            asked["other_id"],
            choices=asked.get("choices"),
            confirm=asked.get("confirm", False),
        )
        medical = caller(request).has_perm(VIEW_MEDICAL)
        fields = []
        for decision in found.decisions:
            hidden = decision.field == MEDICAL and not medical
            values = (decision.survivor, decision.other, decision.chosen) if not hidden else (None, None, None)
            fields.append(
                {
                    "field": decision.field,
                    "rule": str(decision.rule),
                    **dict(zip(("survivor", "other", "chosen"), values, strict=True)),
                    "source": decision.source if not hidden else BOTH,
                    "by_choice": decision.by_choice,
                    "choosable": decision.field in CHOOSABLE and not hidden,
                    "loses": bool(decision.lost) and not hidden,
                    "hidden": hidden,
                }
            )
        return Response(
            {
                "survivor_id": found.survivor_id,
                "other_id": found.other_id,
                "fields": fields,
                "moves": found.moves,
                "blockers": [{"code": entry.code, "detail": entry.detail} for entry in found.blockers],
                "warnings": [{"code": entry.code, "detail": entry.detail} for entry in found.warnings],
                "token": found.token,
            }
        )


class MergeView(APIView):
    access = {"POST": Access("profiles.merge_profile")}
    problems = {"POST": (404,)}

    @extend_schema(operation_id="profiles_merge", tags=TAGS, request=MergeSerializer, responses=MergedSerializer)
    def post(self, request: Request) -> Response:
        """Make one profile of two, as the preview with this token said. The other's id leads to the survivor from then on."""
        asked = _asked(MergeSerializer, request)
        done = merging.merge(
            asked["survivor_id"],
            asked["other_id"],
            token=asked["token"],
            choices=asked.get("choices"),
            confirm=asked.get("confirm", False),
            by=caller(request),
            via="api",
        )
        return Response(
            {
                "merge_id": done.pk,
                "survivor_id": done.survivor_id,
                "other_id": done.other_id,
                "merged_at": done.merged_at,
            }
        )


class UnmergeView(APIView):
    access = {"DELETE": Access("profiles.merge_profile")}
    problems = {"DELETE": (404, 409)}

    @extend_schema(operation_id="profiles_unmerge", tags=TAGS, responses={204: None})
    def delete(self, request: Request, merge_id: int) -> Response:
        """Take a merge back: what it moved goes back, what was written since stays. The last one into a profile first."""
        by = caller(request)
        seen = Profile.objects.known_to(by)
        if not ProfileMerge.objects.filter(pk=merge_id, survivor__in=seen).exists():
            raise not_found("merge", merge_id)
        unmerging.unmerge(merge_id, by=by, via="api")
        return Response(status=204)
