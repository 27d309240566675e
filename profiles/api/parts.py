"""What hangs on one profile: points, orders, analytics, history, conflicts."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.access import Access, caller
from config.api.problems import not_found
from profiles import parts, selectors
from profiles.services import conflicts, profile_service

from . import paging, serializers
from .profiles import TAGS

VIEW = Access("profiles.view_profile", own=True)


class LoyaltyView(APIView):
    access = {"GET": VIEW, "POST": Access("profiles.adjust_points")}

    @extend_schema(
        operation_id="profiles_loyalty",
        tags=TAGS,
        parameters=[serializers.PageQuery],
        responses=serializers.LoyaltyPage,
    )
    def get(self, request: Request, profile_id: UUID) -> Response:
        """The ledger of points, newest first: each change with its reason, its source and the balance after it."""
        viewer, query = caller(request), paging.asked(serializers.PageQuery, request)
        person = selectors.seen(profile_id, viewer)
        page = parts.ledger(person, viewer, **_place(query, parts.LEDGER))
        return paging.answer(request, page, balance=person.loyalty_points)

    @extend_schema(
        operation_id="profiles_loyalty_adjust",
        tags=TAGS,
        request=serializers.PointsAdjustment,
        responses={201: serializers.LoyaltyEntrySerializer},
        examples=[OpenApiExample("A gift", {"delta": 50, "reason": "birthday"}, request_only=True)],
    )
    def post(self, request: Request, profile_id: UUID) -> Response:
        """Give or take points, with a reason. What would leave the balance below zero is refused, unless it raises it."""
        by = caller(request)
        person = selectors.seen(profile_id, by)
        body = serializers.PointsAdjustment(data=request.data)
        body.is_valid(raise_exception=True)
        entry = profile_service.update_loyalty_points(person.user_id, **body.validated_data, by=by, via="api")
        assert entry is not None
        return Response({name: getattr(entry, name) for name in parts.ENTRY}, status=201)


class OrdersView(APIView):
    access = {"GET": VIEW}

    @extend_schema(
        operation_id="profiles_orders",
        tags=TAGS,
        parameters=[serializers.PageQuery],
        responses=serializers.ProfileOrderPage,
    )
    def get(self, request: Request, profile_id: UUID) -> Response:
        """A person's orders, newest first."""
        viewer, query = caller(request), paging.asked(serializers.PageQuery, request)
        person = selectors.seen(profile_id, viewer)
        return paging.answer(request, parts.orders(person, viewer, **_place(query, parts.ORDERS)))


class AnalyticsView(APIView):
    access = {"GET": VIEW}

    @extend_schema(operation_id="profiles_analytics", tags=TAGS, responses=serializers.AnalyticsSerializer)
    def get(self, request: Request, profile_id: UUID) -> Response:
        """Sums, averages and the last twelve months of a person's purchases."""
        found = selectors.analytics(profile_id, viewer=caller(request), by_user=False)
        if found is None:
            raise not_found("profile", profile_id)
        return Response(found)


class HistoryView(APIView):
    access = {"GET": Access("profiles.view_profilehistory")}

    @extend_schema(
        operation_id="profiles_history",
        tags=TAGS,
        parameters=[serializers.PageQuery],
        responses=serializers.HistoryPage,
    )
    def get(self, request: Request, profile_id: UUID) -> Response:
        """Who changed what of a profile or its login, newest first. Values of passwords are never kept."""
        viewer, query = caller(request), paging.asked(serializers.PageQuery, request)
        person = selectors.seen(profile_id, viewer)
        return paging.answer(request, parts.history(person, viewer, **_place(query, parts.HISTORY)))


class ConflictsView(APIView):
    access = {"GET": Access("profiles.view_fieldconflict")}

    @extend_schema(
        operation_id="profiles_conflicts",
        tags=TAGS,
        parameters=[serializers.ConflictQuery],
        responses=serializers.ConflictPage,
    )
    def get(self, request: Request, profile_id: UUID) -> Response:
        """Source values that lost when rows were made this profile, in the order of their recording."""
        viewer, query = caller(request), paging.asked(serializers.ConflictQuery, request)
        person = selectors.seen(profile_id, viewer)
        place = _place(query, parts.CONFLICTS)
        return paging.answer(request, parts.conflicts(person, viewer, resolved=query["resolved"], **place))


class ConflictView(APIView):
    access = {"POST": Access("profiles.change_fieldconflict"), "DELETE": Access("profiles.change_fieldconflict")}
    problems = {"POST": (404, 409), "DELETE": (404, 409)}

    @extend_schema(
        operation_id="profiles_conflict_decide",
        tags=TAGS,
        request=serializers.ConflictVerdict,
        responses=serializers.ConflictDecisionSerializer,
    )
    def post(self, request: Request, profile_id: UUID, conflict_id: int) -> Response:
        """Keep the value that stands, or take the one that lost. Consents are never taken."""
        by = caller(request)
        person = selectors.seen(profile_id, by)
        body = serializers.ConflictVerdict(data=request.data)
        body.is_valid(raise_exception=True)
        decided = conflicts.decide_one(person.id, conflict_id, body.validated_data["verdict"], by=by, via="api")
        return Response(serializers.ConflictDecisionSerializer(decided).data)

    @extend_schema(operation_id="profiles_conflict_undo", tags=TAGS, responses={204: None})
    def delete(self, request: Request, profile_id: UUID, conflict_id: int) -> Response:
        """Undo the decision: the profile has back what it had, unless it was edited since."""
        by = caller(request)
        person = selectors.seen(profile_id, by)
        conflicts.undo_conflict(person.id, conflict_id, by=by, via="api")
        return Response(status=204)


def _place(query: dict[str, Any], kind: parts.Part) -> dict[str, Any]:
    return {"limit": query["page_size"], "cursor": paging.cursor(query.get("cursor"), kind.listing, kind.ordering)}
