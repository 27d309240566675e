"""Views that go wrong in every way, for the tests of this folder."""

from django.db import connection
from django.urls import path
from rest_framework import exceptions, generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.access import OWN, PUBLIC
from accounts.models import User
from config.api.json import Made
from config.api.pagination import CursorPages
from config.api.problems import Problem, conflict, not_found

FAILURES = {
    "problem": Problem(
        "too_late", "The shop closed at 18:00. Come back tomorrow.", status=409, headers={"X-Wait": "1"}
    ),
    "conflict": conflict("taken", "The number 7 is taken."),
    "missing": not_found("thing", "7"),
    "nested": exceptions.ValidationError({"items": [{}, {"price": ["A price is needed."]}]}),
    "throttled": exceptions.Throttled(wait=2.5),
    "unforeseen": RuntimeError("the cause, which nobody outside may read"),
}
STATEMENTS = {
    "range": "SELECT 99999999999::int",
    "unique": "INSERT INTO api_keys (user_id, name, prefix, digest)"
    " SELECT id, 'n', 'p', 'same' FROM users, generate_series(1, 2)",
    "gone": "SELECT pg_terminate_backend(pg_backend_pid())",
}


class Fail(APIView):
    access = {"GET": PUBLIC, "POST": PUBLIC}

    def get(self, request: Request, how: str) -> Response:
        if how in STATEMENTS:
            with connection.cursor() as cursor:
                cursor.execute(STATEMENTS[how])
        raise FAILURES[how]


class Echo(APIView):
    access = {"GET": OWN, "POST": PUBLIC, "PUT": PUBLIC}

    def get(self, request: Request) -> Response:
        return Response(Made(b'{"made":[1.50]}'))

    def post(self, request: Request) -> Response:
        return Response(request.data)


class Undeclared(APIView):
    def get(self, request: Request) -> Response:
        return Response("never")


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ("email",)


class Users(generics.ListAPIView):
    access = {"GET": PUBLIC}
    queryset = User.objects.all()
    serializer_class = UserSerializer
    pagination_class = CursorPages


urlpatterns = [
    path("api/fail/<str:how>/", Fail.as_view()),
    path("api/echo/", Echo.as_view()),
    path("api/undeclared/", Undeclared.as_view()),
    path("api/users/", Users.as_view()),
]
