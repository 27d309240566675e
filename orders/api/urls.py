"""Addresses under /api/."""

from django.urls import URLPattern, URLResolver, path

from . import analytics, orders, till

TILL: list[URLPattern | URLResolver] = [
    path("pos/transactions/", till.TransactionsView.as_view(), name="till-transactions"),
    path("pos/transactions/park/", till.ParkView.as_view(), name="till-park"),
    path("pos/transactions/parked/", till.ParkedView.as_view(), name="till-parked"),
    path("pos/transactions/<str:transaction_id>/", till.TransactionView.as_view(), name="till-transaction"),
    path("pos/transactions/<str:transaction_id>/resume/", till.ResumeView.as_view(), name="till-resume"),
    path("pos/transactions/<str:transaction_id>/refund/", till.RefundView.as_view(), name="till-refund"),
    path(
        "pos/transactions/<str:transaction_id>/receipt/print/",
        till.PrintReceiptView.as_view(),
        name="till-receipt-print",
    ),
    path(
        "pos/transactions/<str:transaction_id>/receipt/email/",
        till.MailReceiptView.as_view(),
        name="till-receipt-email",
    ),
]

ORDERS: list[URLPattern | URLResolver] = [
    path("orders/", orders.OrdersView.as_view(), name="orders"),
    path("orders/create/", orders.OrderCreateView.as_view(), name="order-create"),
    path("orders/track/", orders.TrackView.as_view(), name="order-track"),
    path("orders/track/<path:order_number>/", orders.OrderTrackView.as_view(), name="order-track-own"),
    path("orders/by-number/<path:order_number>/", orders.OrderByNumberView.as_view(), name="order-by-number"),
    path("orders/customer/<str:customer_id>/", orders.CustomerOrdersView.as_view(), name="orders-of-customer"),
    path("orders/<str:order_id>/", orders.OrderView.as_view(), name="order"),
    path("orders/<str:order_id>/status/", orders.OrderStatusView.as_view(), name="order-status"),
    path("orders/<str:order_id>/cancel/", orders.OrderCancelView.as_view(), name="order-cancel"),
    path("orders/<str:order_id>/history/", orders.OrderHistoryView.as_view(), name="order-history"),
]

ANALYTICS: list[URLPattern | URLResolver] = [
    path("analytics/dashboard/", analytics.DashboardView.as_view(), name="analytics-dashboard"),
    path("analytics/revenue/", analytics.RevenueView.as_view(), name="analytics-revenue"),
    path("analytics/products/", analytics.ProductsView.as_view(), name="analytics-products"),
    path("analytics/customers/", analytics.CustomersView.as_view(), name="analytics-customers"),
    path("analytics/sales/", analytics.SalesView.as_view(), name="analytics-sales"),
    path("analytics/sales-today/", analytics.SalesTodayView.as_view(), name="analytics-sales-today"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    *TILL,
    *ORDERS,
    *ANALYTICS,
]
