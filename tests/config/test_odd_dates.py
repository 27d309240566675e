"""Infinity, BC and years above 9999: read without an error, written back as they were."""

import copy
import datetime as dt
import json
import pickle
from typing import Any

import psycopg
import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models
from django.test.utils import isolate_apps
from django.utils import timezone

from config.postgresql.odd_dates import OddDate, OddTimestamp, OddTimestamptz

DATES = [
    "infinity",
    "-infinity",
    "10000-01-01",
    "5874897-12-31",
    "0001-12-31 BC",
    "4714-11-24 BC",
    "12345-02-28",
]
TIMESTAMPS = [
    "infinity",
    "-infinity",
    "10000-01-01 00:00:00",
    "294276-12-31 23:59:59.999999",
    "0001-12-31 23:59:59.5 BC",
    "4714-11-24 00:00:00 BC",
    "123456-02-29 12:30:00.000001",
]
TIMESTAMPTZS = [
    "infinity",
    "-infinity",
    "10000-01-01 00:00:00+00",
    "294276-12-31 23:59:59.999999+00",
    "0044-03-15 12:00:00.25+00 BC",
    "4714-11-24 00:00:00+00 BC",
]
ALL = [("date", text) for text in DATES]
ALL += [("timestamp", text) for text in TIMESTAMPS]
ALL += [("timestamptz", text) for text in TIMESTAMPTZS]

TYPES = {"date": OddDate, "timestamp": OddTimestamp, "timestamptz": OddTimestamptz}
BOUNDS = {
    "date": (dt.date.min, dt.date.max),
    "timestamp": (dt.datetime.min, dt.datetime.max),
    "timestamptz": (dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)),
}

pytestmark = pytest.mark.usefixtures("empty_database")


def select(query: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        row = cursor.fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


@pytest.mark.parametrize(("kind", "text"), ALL)
def test_value_that_python_cannot_hold_is_read_at_the_bound_with_its_text(kind: str, text: str) -> None:
    value = select(f"SELECT '{text}'::{kind}")
    assert type(value) is TYPES[kind]
    assert (str(value), value.isoformat(), f"{value:%Y}", value.text) == (text,) * 4
    early = text == "-infinity" or text.endswith("BC")
    least, greatest = BOUNDS[kind]
    assert (value <= least, value >= greatest) == (early, not early)


@pytest.mark.parametrize(("kind", "text"), ALL)
def test_value_survives_copies_and_keeps_its_text(kind: str, text: str) -> None:
    value = select(f"SELECT '{text}'::{kind}")
    for same in (
        copy.copy(value),
        copy.deepcopy(value),
        pickle.loads(pickle.dumps(value)),
        value.replace(day=1),
    ):
        assert (type(same), same.text, same == value, same != value) == (type(value), text, True, False)
    assert {value: 1}[copy.copy(value)] == 1
    assert value != BOUNDS[kind][0]
    assert value != BOUNDS[kind][1]
    assert json.loads(json.dumps(value, cls=DjangoJSONEncoder)) == text


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("kind", "text"), ALL)
def test_value_goes_back_as_the_same_text_in_either_format(kind: str, text: str, binary: bool) -> None:
    """Through a cursor with parameters bound by the server: the only one that knows the binary format."""
    connection.ensure_connection()
    placeholder = "%b" if binary else "%t"
    with psycopg.Cursor(connection.connection) as cursor:
        value = cursor.execute(f"SELECT '{text}'::{kind}", binary=binary).fetchone()[0]
        assert str(value) == text
        query = f"SELECT {placeholder}::text, pg_typeof({placeholder}) = '{kind}'::regtype"
        assert cursor.execute(query, [value, value]).fetchone() == (text, True)


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_usual_values_are_what_they_were(kind: str) -> None:
    value = select(f"SELECT '2024-02-29'::{kind}")
    expected = {
        "date": dt.date(2024, 2, 29),
        "timestamp": dt.datetime(2024, 2, 29),
        "timestamptz": dt.datetime(2024, 2, 29, tzinfo=dt.UTC),
    }[kind]
    assert (type(value), value) == (type(expected), expected)
    for bound in BOUNDS[kind]:
        assert select("SELECT %s", bound) == bound
        assert type(select("SELECT %s", bound)) is type(bound)


def test_lists_that_mix_odd_and_usual_values_are_written_in_either_order() -> None:
    odd, usual = OddTimestamptz("infinity"), dt.datetime(2024, 2, 29, tzinfo=dt.UTC)
    for values in ([odd, usual], [usual, odd]):
        assert select("SELECT %s", values) == values


def test_another_context_of_the_same_types_keeps_psycopgs_dumpers() -> None:
    """Registering ours must not make them the dumpers of every date, timestamp and timestamptz."""
    connection.ensure_connection()
    adapters = connection.connection.adapters
    for name in TYPES:
        dumper = adapters.get_dumper_by_oid(adapters.types[name].oid, psycopg.pq.Format.TEXT)
        assert dumper.__module__.startswith("psycopg")


def test_time_zones_come_and_go_without_changing_the_moment() -> None:
    stored = OddTimestamptz("0044-03-15 12:00:00.25+00 BC")
    naive = timezone.make_naive(stored)
    assert (type(naive), naive.text) == (OddTimestamp, "0044-03-15 12:00:00.25 BC")
    assert timezone.make_aware(naive) == stored
    assert naive.astimezone() == stored
    assert stored.astimezone(timezone.get_fixed_timezone(120)) is stored
    assert timezone.localtime(stored) is stored
    assert stored.date() == OddDate("0044-03-15 BC")
    assert timezone.make_naive(OddTimestamptz("infinity")) == OddTimestamp("infinity")
    assert timezone.make_aware(OddTimestamp("-infinity")).date() == OddDate("-infinity")


def test_arithmetic_stays_beyond_pythons_dates() -> None:
    day = dt.timedelta(days=1)
    for odd in (OddDate("infinity"), OddTimestamp("infinity"), OddTimestamptz("-infinity")):
        assert odd + day is odd
        assert day + odd is odd
        assert odd - day is odd
    assert OddTimestamptz("infinity") - timezone.now() > day
    assert timezone.now() - OddTimestamptz("-infinity") > day
    assert OddDate("infinity") - dt.date(2024, 2, 29) > day


# Django says so of every `timestamp` column; the value is right all the same.
@pytest.mark.filterwarnings("ignore:.*received a naive datetime:RuntimeWarning")
@isolate_apps("tests.config")
@pytest.mark.parametrize("bulk", [False, True])
def test_model_instance_saved_again_changes_no_odd_date(bulk: bool) -> None:
    class Event(models.Model):  # noqa: DJ008
        name = models.TextField()
        born = models.DateField()
        naive = models.DateTimeField()
        zoned = models.DateTimeField()

        class Meta:
            app_label = "config"

    rows = list(zip(DATES[:6], TIMESTAMPS[:6], TIMESTAMPTZS, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE config_event (id bigserial PRIMARY KEY, name text NOT NULL DEFAULT '',"
            " born date NOT NULL, naive timestamp NOT NULL, zoned timestamptz NOT NULL)"
        )
        cursor.executemany("INSERT INTO config_event (born, naive, zoned) VALUES (%s, %s, %s)", rows)

    def stored() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, born::text, naive::text, zoned::text FROM config_event ORDER BY id")
            return cursor.fetchall()

    events = list(Event.objects.order_by("pk"))
    for event in events:
        event.name = "saved"
        if not bulk:
            event.save()
    if bulk:
        Event.objects.all().delete()
        Event.objects.bulk_create(events)
        Event.objects.bulk_update(events, ["name", "born", "naive", "zoned"])
    assert stored() == [("saved", *row) for row in rows]
    for event in events:
        assert Event.objects.filter(born=event.born, zoned=event.zoned).get() == event
        assert [type(value) for value in (event.born, event.zoned)] == [OddDate, OddTimestamptz]
    assert {str(event.zoned) for event in Event.objects.iterator(chunk_size=2)} == set(TIMESTAMPTZS)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("10000-01-01 02:30:00+02:30", "10000-01-01 00:00:00+00"),
        ("10000-01-01 00:00:00.5-05", "10000-01-01 05:00:00.5+00"),
        ("0001-12-31 23:00:00+00:17:30 BC", "0001-12-31 22:42:30+00 BC"),
    ],
)
@pytest.mark.parametrize("placeholder", ["%b", "%t"])
def test_offset_that_another_session_read_is_heeded(text: str, utc: str, placeholder: str) -> None:
    connection.ensure_connection()
    with psycopg.Cursor(connection.connection) as cursor:
        assert cursor.execute(f"SELECT {placeholder}::text", [OddTimestamptz(text)]).fetchone() == (utc,)


def test_text_that_is_no_date_is_still_an_error() -> None:
    """A DateStyle that psycopg cannot read must not be taken for an odd date."""
    with connection.cursor() as cursor:
        cursor.execute("SET datestyle = 'Postgres, MDY'")
        cursor.execute("SELECT '2024-02-29 12:00'::timestamptz")
        with pytest.raises(NotImplementedError):
            cursor.fetchone()
