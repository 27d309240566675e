"""UTCTimestampField: UTC wall-clock in the database, aware UTC in Python, whatever the session says."""

import datetime
from collections.abc import Iterator
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.backends.postgresql.operations import DatabaseOperations
from django.db.models import F, Max, Value
from django.db.models.functions import Coalesce, ExtractHour, TruncDate, TruncDay, TruncMonth
from django.utils import timezone

from accounts.models import User
from tests.accounts.legacy import rows

pytestmark = pytest.mark.django_db

SESSIONS = ["UTC", "America/New_York", "Asia/Kolkata"]
# 23:30 on New Year's Eve in New York is the next year in UTC.
MOMENT = datetime.datetime(2024, 1, 1, 4, 30, 0, 123456, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(params=["timestamp", "timestamptz"])
def column(request: pytest.FixtureRequest, db: None) -> str:
    """The type of users.created_at: today's, and the one it gets at last."""
    with connection.cursor() as cursor:
        if request.param == "timestamptz":
            cursor.execute("SELECT set_config('TimeZone', 'UTC', true)")
            cursor.execute("ALTER TABLE users ALTER created_at DROP DEFAULT, ALTER created_at TYPE timestamptz")
    return str(request.param)


@pytest.fixture(params=SESSIONS)
def session(request: pytest.FixtureRequest, column: str) -> Iterator[str]:
    if column == "timestamptz" and request.param != "UTC":
        request.param = "UTC"  # Django itself reads timestamptz right only in its own session's zone
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [request.param])
    yield request.param
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', 'UTC', true)")


def stored() -> list[str]:
    """The wall-clock times in the column, in UTC."""
    (kind,) = rows("SELECT pg_typeof(created_at)::text FROM users LIMIT 1")[0]
    zone = " AT TIME ZONE 'UTC'" if kind.endswith("with time zone") else ""
    return [text for (text,) in rows(f"SELECT (created_at{zone})::text FROM users ORDER BY email")]


def test_writes_and_reads_are_the_same_in_every_session(session: str) -> None:
    local = MOMENT.astimezone(NEW_YORK)
    one = User.objects.create(email="a@x.com", created_at=local)
    several = User.objects.bulk_create([User(email=f"{n}@x.com", created_at=local) for n in range(2)])
    User.objects.filter(pk=several[0].pk).update(created_at=local)
    User.objects.bulk_update(several[1:], ["email"])
    assert stored() == ["2024-01-01 04:30:00.123456"] * 3
    one.refresh_from_db()
    assert one.created_at == MOMENT
    assert one.created_at.utcoffset() == datetime.timedelta(0)
    one.save()
    assert stored() == ["2024-01-01 04:30:00.123456"] * 3


def test_filters_and_order_are_the_same_in_every_session(session: str) -> None:
    later = MOMENT + datetime.timedelta(hours=1)
    User.objects.bulk_create([User(email="b@x.com", created_at=later), User(email="a@x.com", created_at=MOMENT)])
    users = User.objects.order_by("created_at")
    assert [user.email for user in users] == ["a@x.com", "b@x.com"]
    assert users.filter(created_at=MOMENT.astimezone(NEW_YORK)).get().email == "a@x.com"
    assert users.filter(created_at__gt=MOMENT).get().email == "b@x.com"
    assert users.filter(created_at__in=[later, None]).get().email == "b@x.com"
    assert users.filter(created_at__range=(MOMENT, later)).count() == 2
    assert users.filter(created_at__lt=F("created_at") + datetime.timedelta(1)).count() == 2
    assert User.objects.aggregate(latest=Max("created_at")) == {"latest": later}
    assert users.values_list(Coalesce("last_login", "created_at"), flat=True)[0] == MOMENT


def test_bulk_update_of_the_time_itself(column: str) -> None:
    users = User.objects.bulk_create([User(email=f"{n}@x.com") for n in range(2)])
    for user in users:
        user.created_at = MOMENT.astimezone(NEW_YORK)
    User.objects.bulk_update(users, ["created_at"])
    User.objects.filter(email="0@x.com").update(created_at=F("created_at") + datetime.timedelta(hours=1))
    assert stored() == ["2024-01-01 05:30:00.123456", "2024-01-01 04:30:00.123456"]


def test_database_default_is_utc_in_any_session() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', 'Asia/Kolkata', true)")
        cursor.execute("INSERT INTO users (password_hash) VALUES ('!')")
        cursor.execute("SELECT created_at = now() AT TIME ZONE 'UTC' FROM users")
        assert cursor.fetchone() == (True,)
        cursor.execute("SELECT set_config('TimeZone', 'UTC', true)")
    assert abs(timezone.now() - User.objects.get().created_at) < datetime.timedelta(minutes=1)


def test_null_stays_null(column: str) -> None:
    user = User.objects.create(email="a@x.com", created_at=None)
    user.refresh_from_db()
    assert user.created_at is None
    assert User.objects.filter(created_at=None).get() == user


@pytest.mark.parametrize("text", ["infinity", "-infinity", "0044-03-15 12:00:00 BC", "12024-01-01 00:00:00"])
def test_dates_beyond_python_survive_a_round_trip(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO users (password_hash, created_at) VALUES ('!', %s)", [text])
    user = User.objects.get()
    user.save()
    User.objects.bulk_update([user], ["created_at"])
    copy = User.objects.bulk_create([User(created_at=user.created_at), User(created_at=MOMENT)])[0]
    assert rows("SELECT created_at::text FROM users WHERE id IN (%s, %s)", user.pk, copy.pk) == [(text,)] * 2
    assert User.objects.filter(created_at=user.created_at).count() == 2


def dates(zone: Any) -> dict[str, Any]:
    """What date lookups make of MOMENT in `zone`."""
    with timezone.override(zone):
        users = User.objects.all()
        local = MOMENT.astimezone(zone)
        return {
            "date": users.filter(created_at__date=local.date()).exists(),
            "year": users.filter(created_at__year=local.year).exists(),
            "year from": users.filter(created_at__year__gt=local.year - 1).exists(),
            "month": users.filter(created_at__month=local.month).exists(),
            "hour": users.filter(created_at__hour=local.hour).exists(),
            "time": users.filter(created_at__time=local.time()).exists(),
            "trunc": users.values_list(TruncDay("created_at"), flat=True)[0],
            "trunc to date": users.values_list(TruncDate("created_at"), flat=True)[0],
            "named zone": users.values_list(TruncMonth("created_at", tzinfo=ZoneInfo("Asia/Kolkata")), flat=True)[0],
            "extract": users.values_list(ExtractHour("created_at"), flat=True)[0],
            "years": list(users.datetimes("created_at", "year")),
            "dates": list(users.dates("created_at", "day")),
            "coalesced": users.values_list(
                TruncDate(Coalesce("created_at", Value(MOMENT, output_field=User._meta.get_field("created_at")))),
                flat=True,
            )[0],
        }


def expected(zone: Any, columns_zone: Any) -> dict[str, Any]:
    local = MOMENT.astimezone(zone)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        **dict.fromkeys(("date", "year", "year from", "month", "hour", "time"), True),
        "trunc": day,
        "trunc to date": local.date(),
        "named zone": datetime.datetime(2024, 1, 1, tzinfo=columns_zone),
        "extract": local.hour,
        "years": [day.replace(month=1, day=1)],
        "dates": [local.date()],
        "coalesced": local.date(),
    }


@pytest.mark.xfail(
    type(connection.ops) is DatabaseOperations,
    reason="Django's own operations do not cast to timestamptz first",
)
@pytest.mark.parametrize("zone", [UTC, NEW_YORK, ZoneInfo("Asia/Kolkata")])
def test_date_lookups_follow_the_current_time_zone(column: str, zone: Any) -> None:
    User.objects.create(email="a@x.com", created_at=MOMENT)
    assert dates(zone) == expected(zone, ZoneInfo("Asia/Kolkata"))
