"""The landing page."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.landing, name="landing"),
    path("docs/<slug:name>/", views.document, name="document"),
]
