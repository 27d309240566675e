"""Figures for the dashboard and its pages: read from the roll-up, right to the last order."""

import datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.access import Access, caller
from orders.analytics import rollup, selectors
from orders.analytics.selectors import Scope

from . import analytics_serializers as shapes

STORE_HEADER = "X-Store-ID"
TAGS = ["Analytics"]
HEADER = OpenApiParameter(
    STORE_HEADER, str, OpenApiParameter.HEADER, description="The store, where the query names none."
)


class AnalyticsView(APIView):
    """Managers see their own tenant's figures, a super_admin everybody's."""

    access = {"GET": Access("orders.view_analytics")}
    problems = {"GET": (404,)}

    def asked(self, request: Request, serializer: type[serializers.Serializer]) -> dict[str, Any]:
        """The query, checked; what is blank is missing. The store of the query wins over the header's."""
        query = {name: value for name, value in request.query_params.items() if value.strip()}
        if "store_id" not in query and (header := request.headers.get(STORE_HEADER, "").strip()):
            query["store_id"] = header
        checked = serializer(data=query)
        checked.is_valid(raise_exception=True)
        return dict(checked.validated_data)

    def scope(self, request: Request, asked: dict[str, Any]) -> Scope:
        """Whose figures. Errors: 404 for a tenant that is not the caller's."""
        user, tenant, store = caller(request), asked.get("tenant_id"), asked.get("store_id")
        if user.is_superuser:
            return Scope(tenant_id=tenant, every_tenant=tenant is None, store=store)
        if tenant is not None and tenant != user.tenant_id:
            raise shapes.no_such_tenant(tenant)
        return Scope(tenant_id=user.tenant_id, store=store)


class DashboardView(AnalyticsView):
    @extend_schema(
        operation_id="analytics_dashboard",
        summary="The last 30 days at a glance",
        tags=TAGS,
        parameters=[shapes.ScopeQuery, HEADER],
        responses=shapes.DashboardSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = self.asked(request, shapes.ScopeQuery)
        return Response(selectors.dashboard(self.scope(request, asked)))


class RevenueView(AnalyticsView):
    @extend_schema(
        operation_id="analytics_revenue",
        summary="Revenue day by day",
        tags=TAGS,
        parameters=[shapes.RevenueQuery, HEADER],
        responses=shapes.RevenueSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = self.asked(request, shapes.RevenueQuery)
        return Response(selectors.revenue(self.scope(request, asked), asked["period"]))


class ProductsView(AnalyticsView):
    @extend_schema(
        operation_id="analytics_products",
        summary="What sells best",
        tags=TAGS,
        parameters=[shapes.ProductsQuery, HEADER],
        responses=shapes.ProductsSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = self.asked(request, shapes.ProductsQuery)
        return Response(selectors.products(self.scope(request, asked), asked["limit"], asked.get("period")))


class CustomersView(AnalyticsView):
    @extend_schema(
        operation_id="analytics_customers",
        summary="Who buys",
        tags=TAGS,
        parameters=[shapes.ScopeQuery, HEADER],
        responses=shapes.CustomersSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = self.asked(request, shapes.ScopeQuery)
        return Response(selectors.customers(self.scope(request, asked)))


class SalesView(AnalyticsView):
    @extend_schema(
        operation_id="analytics_sales",
        summary="What some days came to",
        tags=TAGS,
        parameters=[shapes.SalesQuery, HEADER],
        responses=shapes.SalesSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = self.asked(request, shapes.SalesQuery)
        first, last = shapes.days_of(asked, rollup.today())
        return Response(selectors.sales(self.scope(request, asked), first, last, asked["period"]))


class SalesTodayView(AnalyticsView):
    @extend_schema(
        operation_id="analytics_sales_today",
        summary="What today came to",
        tags=TAGS,
        parameters=[shapes.ScopeQuery, HEADER],
        responses=shapes.SalesSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = self.asked(request, shapes.ScopeQuery)
        day: datetime.date = rollup.today()
        return Response(selectors.sales(self.scope(request, asked), day, day, "today"))
