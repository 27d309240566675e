"""/api/profiles/: who is known, and what is known of one."""

import re
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from accounts.api.access import OWN, Access, allows, caller
from accounts.api.authentication import person_with
from accounts.models import User
from config.api.hot import Headers, HotGet
from config.api.json import Made
from config.api.problems import Problem, not_found
from profiles import keyset, pages, selectors
from profiles.services import profile_service

from . import paging, serializers

TAGS = ["Profiles"]
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, required=True, description="The ETag that came with the profile, or *."
)
STAFF_EXAMPLE = OpenApiExample(
    "A new number and a tag", {"phone": "(416) 555-0100", "tags": ["vip"]}, request_only=True
)
OWN_EXAMPLE = OpenApiExample("Mail, please", {"marketing_consent": True, "language": "fr"}, request_only=True)
PROFILE = OpenApiResponse(serializers.ProfileSerializer, description="The profile. Its version is in the header ETag.")


class ProfilesView(APIView):
    access = {"GET": Access("profiles.view_profile", own=True)}
    throttle_scope = "search"

    def get_throttles(self) -> list[BaseThrottle]:
        """Searches are what costs."""
        found: list[BaseThrottle] = super().get_throttles() if self.request.query_params.get("search") else []
        return found

    @extend_schema(
        operation_id="profiles_list",
        tags=TAGS,
        parameters=[serializers.ProfileQuery],
        responses=serializers.ProfilePage,
    )
    def get(self, request: Request) -> Response:
        """Profiles that the caller may see, newest first, with filters, search and other orders."""
        viewer, query = caller(request), paging.asked(serializers.ProfileQuery, request)
        for name, permission in pages.NEEDED.items():
            if query.get(name) is not None and not viewer.has_perm(permission):
                raise Problem("permission_denied", f"{name}: your role does not see what this asks for.", status=403)
        wanted = pages.asked(
            viewer=viewer,
            ordering=query["ordering"],
            text=query["search"],
            limit=query["page_size"],
            cursor=paging.cursor(query.get("cursor"), pages.LISTING, query["ordering"]),
            filters=query,
        )
        columns = selectors.columns_for(viewer, selectors.PROFILE)
        return paging.answer(request, keyset.read(pages.LISTING, wanted, columns))


class ProfileView(HotGet, APIView):
    """One profile, by its id, an alias or a users id: the answer has the profile's own."""

    access = {
        "GET": Access("profiles.view_profile", own=True),
        "PATCH": Access("profiles.change_profile", own=True),
    }
    problems = {"PATCH": (412, 428)}

    def hot_get(self, authorization: str, wanted: UUID) -> tuple[Made, Headers] | None:
        found = person_with(authorization, lambda viewer: selectors.json_statement(wanted, viewer, selectors.PROFILE))
        if found is None or not allows(self.access["GET"], found[0]):
            return None
        return Made(found[1][0].encode()), [("ETag", f'"{found[1][1]}"')]

    @extend_schema(operation_id="profiles_retrieve", tags=TAGS, responses=PROFILE)
    def get(self, request: Request, profile_id: UUID) -> Response:
        """One profile."""
        return one(profile_id, caller(request))

    @extend_schema(
        operation_id="profiles_update",
        tags=TAGS,
        parameters=[IF_MATCH],
        request=serializers.ProfileChanges,
        responses=PROFILE,
        examples=[STAFF_EXAMPLE],
    )
    def patch(self, request: Request, profile_id: UUID) -> Response:
        """Change columns of a profile that nobody has changed since its ETag was read. People change fewer of their own."""
        return change(request, profile_id)


class MeView(APIView):
    access = {"GET": OWN, "PATCH": OWN}
    problems = {"GET": (404,), "PATCH": (404, 412, 428)}

    @extend_schema(operation_id="profiles_me", tags=TAGS, responses=PROFILE)
    def get(self, request: Request) -> Response:
        """The caller's own profile."""
        return one(caller(request).pk, caller(request))

    @extend_schema(
        operation_id="profiles_me_update",
        tags=TAGS,
        parameters=[IF_MATCH],
        request=serializers.OwnProfileChanges,
        responses=PROFILE,
        examples=[OWN_EXAMPLE],
    )
    def patch(self, request: Request) -> Response:
        """Change columns of one's own profile."""
        return change(request, caller(request).pk, own=True)


def one(profile_id: UUID, viewer: User) -> Response:
    found = selectors.customer_json(profile_id, viewer=viewer, columns=selectors.PROFILE)
    if found is None:
        raise not_found("profile", profile_id)
    body, version = found
    return Response(body, headers={"ETag": f'"{version}"'})


def change(request: Request, profile_id: UUID, *, own: bool = False) -> Response:
    by = caller(request)
    person = selectors.seen(profile_id, by)
    staff = not own and by.has_perm("profiles.change_profile")
    if not staff and person.user_id != by.pk:
        raise Problem("permission_denied", "Your role may change no profile but your own.", status=403)
    expected = _expected(request)
    body = (serializers.ProfileChanges if staff else serializers.OwnProfileChanges)(data=request.data)
    if staff and not by.has_perm(selectors.VIEW_MEDICAL):
        body.fields.pop("medical_conditions")
    body.is_valid(raise_exception=True)
    changes: dict[str, Any] = dict(body.validated_data)
    born = changes.get("date_of_birth", person.date_of_birth)
    if not staff and person.date_of_birth is not None and born != person.date_of_birth:
        text = f"The date of birth is {person.date_of_birth} already. Ask the shop to correct it."
        error = {"field": "date_of_birth", "code": "fixed", "detail": text}
        raise Problem("invalid", f"date_of_birth: {text}", errors=[error])
    profile_service.update_profile(person.user_id, changes, by=by, via="api", expected=expected)
    return one(person.id, by)


def _expected(request: Request) -> list[str] | None:
    """The versions that If-Match names; None for `*`, which is whichever there is."""
    header = request.headers.get("If-Match", "").strip()
    if not header:
        raise Problem(
            "precondition_required",
            "The header If-Match is missing: get the profile and send its ETag, so that no change of others is lost.",
            status=428,
        )
    # A weak tag (W/"…") never matches here: RFC 9110, 13.1.1.
    return None if header == "*" else re.findall(r'(?<!W/)"([^"]*)"', header)
