"""Addresses under /api/ that other paths have superseded."""

from django.urls import path

from . import customers, transactions

urlpatterns = [
    path("customers/", customers.CustomersView.as_view(), name="old-customers"),
    path("customers/search/", customers.CustomerSearchView.as_view(), name="old-customers-search"),
    path("customers/verify-age/", customers.VerifyAgeView.as_view(), name="old-customers-verify-age"),
    path("customers/<str:customer_id>/", customers.CustomerView.as_view(), name="old-customer"),
    path("customers/<str:customer_id>/orders/", customers.CustomerOrdersView.as_view(), name="old-customer-orders"),
    path("customers/<str:customer_id>/loyalty/", customers.CustomerLoyaltyView.as_view(), name="old-customer-loyalty"),
    path("customers/<str:customer_id>/stats/", customers.CustomerStatsView.as_view(), name="old-customer-stats"),
    *transactions.urlpatterns,
]
