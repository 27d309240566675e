"""The landing page."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
