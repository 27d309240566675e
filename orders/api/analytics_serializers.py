"""What the analytics calls take and give."""

import datetime
import uuid
from typing import Any

from rest_framework import serializers

from config.api.problems import Problem, not_found
from orders.analytics.selectors import DAYS

TODAY, YESTERDAY, WEEK, MONTH, CUSTOM = "today", "yesterday", "week", "month", "custom"
PERIODS = (TODAY, YESTERDAY, WEEK, MONTH, CUSTOM)


def no_such_tenant(tenant: uuid.UUID) -> Problem:
    return not_found("tenant", tenant)


def days_of(asked: dict[str, Any], today: datetime.date) -> tuple[datetime.date, datetime.date]:
    """First and last day of the period that was asked for; week and month are the last 7 and 30 days, today included."""
    match asked["period"]:
        case "custom":
            return asked["start_date"], asked["end_date"]
        case "yesterday":
            yesterday = today - datetime.timedelta(days=1)
            return yesterday, yesterday
        case "week" | "month":
            return today - datetime.timedelta(days=6 if asked["period"] == WEEK else 29), today
    return today, today


class ScopeQuery(serializers.Serializer):
    tenant_id = serializers.UUIDField(
        required=False, help_text="One tenant's figures. Without: the caller's own; a super_admin's, all."
    )
    store_id = serializers.CharField(
        required=False,
        max_length=100,
        help_text="One store's figures: a uuid, or a name such as store_001. Wins over X-Store-ID.",
    )


class RevenueQuery(ScopeQuery):
    period = serializers.ChoiceField(choices=list(DAYS), default="30d", help_text="How many days, today included.")


class ProductsQuery(ScopeQuery):
    limit = serializers.IntegerField(min_value=1, max_value=200, default=10)
    period = serializers.ChoiceField(choices=list(DAYS), required=False, help_text="Without: all that was ever sold.")


class SalesQuery(ScopeQuery):
    period = serializers.ChoiceField(
        choices=list(PERIODS),
        required=False,
        help_text="week and month are the last 7 and 30 days, today included. Without: today or, with dates, custom.",
    )
    start_date = serializers.DateField(required=False, help_text="The first day; for the period custom.")
    end_date = serializers.DateField(required=False, help_text="The last day, included; for the period custom.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        dated = "start_date" in attrs or "end_date" in attrs
        attrs.setdefault("period", CUSTOM if dated else TODAY)
        if attrs["period"] == CUSTOM:
            for name in ("start_date", "end_date"):
                if name not in attrs:
                    raise serializers.ValidationError(
                        {name: f"The period custom needs its {name}, as 2026-11-23."}, "required"
                    )
            if attrs["start_date"] > attrs["end_date"]:
                raise serializers.ValidationError(
                    {"end_date": f"{attrs['end_date']} is before start_date, {attrs['start_date']}."}
                )
        return attrs


class DayRevenueSerializer(serializers.Serializer):
    date = serializers.DateField()
    revenue = serializers.FloatField()


class DashboardRevenueSerializer(serializers.Serializer):
    total = serializers.FloatField()
    trend = serializers.FloatField(
        help_text="Percent, against the 30 days before; 0 where there is nothing to compare."
    )
    chart_data = DayRevenueSerializer(many=True, help_text="30 days, the last one today.")


class RecentOrderSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    order_number = serializers.CharField()
    customer = serializers.CharField()
    total = serializers.FloatField()
    status = serializers.CharField()
    time = serializers.DateTimeField()


class DashboardOrdersSerializer(serializers.Serializer):
    total = serializers.IntegerField()
    trend = serializers.FloatField()
    recent = RecentOrderSerializer(many=True)
    average_value = serializers.FloatField()


class DashboardCustomersSerializer(serializers.Serializer):
    total = serializers.IntegerField()
    trend = serializers.FloatField()
    new = serializers.IntegerField(help_text="In the 30 days.")
    new_this_week = serializers.IntegerField(help_text="In the last 7 days.")


class InventorySerializer(serializers.Serializer):
    """Always 0: kept for the page that reads it."""

    total = serializers.IntegerField()
    low_stock = serializers.IntegerField()
    out_of_stock = serializers.IntegerField()


class DashboardProductSerializer(serializers.Serializer):
    name = serializers.CharField()
    sales = serializers.FloatField(help_text="Units.")
    revenue = serializers.FloatField()


class DashboardMetricsSerializer(serializers.Serializer):
    average_cart_size = serializers.FloatField(help_text="Units per order.")
    return_rate = serializers.FloatField(help_text="Percent of orders of which something was given back.")


class DashboardSerializer(serializers.Serializer):
    revenue = DashboardRevenueSerializer()
    orders = DashboardOrdersSerializer()
    customers = DashboardCustomersSerializer()
    inventory = InventorySerializer()
    sales_by_category = serializers.DictField(
        child=serializers.FloatField(), help_text="Percent of the lines' revenue."
    )
    top_products = DashboardProductSerializer(many=True)
    metrics = DashboardMetricsSerializer()


class RevenueDaySerializer(DayRevenueSerializer):
    orders = serializers.IntegerField()
    average_order = serializers.FloatField()


class RevenueSummarySerializer(serializers.Serializer):
    total = serializers.FloatField()
    average_daily = serializers.FloatField()
    peak_day = serializers.DateField(allow_null=True)
    peak_revenue = serializers.FloatField()


class RevenueSerializer(serializers.Serializer):
    period = serializers.CharField()
    data = RevenueDaySerializer(many=True)
    summary = RevenueSummarySerializer()


class TopProductSerializer(serializers.Serializer):
    name = serializers.CharField()
    category = serializers.CharField()
    units = serializers.FloatField()
    revenue = serializers.FloatField(help_text="Before tax, after the line's discount and what was given back.")


class CategorySerializer(serializers.Serializer):
    category = serializers.CharField()
    units = serializers.FloatField()
    revenue = serializers.FloatField()


class ProductsSerializer(serializers.Serializer):
    top_products = TopProductSerializer(many=True)
    categories_performance = CategorySerializer(many=True)


class SegmentsSerializer(serializers.Serializer):
    """Disjoint: vip, else new, else regular (3 orders and more), else occasional."""

    vip = serializers.IntegerField()
    regular = serializers.IntegerField()
    occasional = serializers.IntegerField()
    new = serializers.IntegerField()


class LocationSerializer(serializers.Serializer):
    city = serializers.CharField()
    customers = serializers.IntegerField()


class DemographicsSerializer(serializers.Serializer):
    age_groups = serializers.DictField(child=serializers.IntegerField())
    top_locations = LocationSerializer(many=True)


class CustomersSerializer(serializers.Serializer):
    total_customers = serializers.IntegerField()
    new_customers_30d = serializers.IntegerField()
    returning_customers_30d = serializers.IntegerField(help_text="Bought in the 30 days, and not for the first time.")
    customer_lifetime_value = serializers.FloatField(help_text="What somebody who bought has spent, on average.")
    retention_rate = serializers.FloatField(help_text="Percent of who bought that bought again.")
    segments = SegmentsSerializer()
    demographics = DemographicsSerializer()


class PeriodSerializer(serializers.Serializer):
    start_date = serializers.DateField()
    end_date = serializers.DateField()
    period_type = serializers.CharField()


class SalesSummarySerializer(serializers.Serializer):
    total_orders = serializers.IntegerField()
    total_revenue = serializers.FloatField()
    average_order_value = serializers.FloatField()
    total_tax = serializers.FloatField()
    total_discounts = serializers.FloatField()


class SoldProductSerializer(serializers.Serializer):
    product_name = serializers.CharField()
    sku = serializers.CharField(allow_null=True)
    units_sold = serializers.FloatField()
    revenue = serializers.FloatField()


class SalesSerializer(serializers.Serializer):
    period = PeriodSerializer()
    summary = SalesSummarySerializer()
    top_products = SoldProductSerializer(many=True)
