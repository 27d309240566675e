"""The trigger that writes history and ledger: every column, and databases that had it in two."""

from importlib import import_module

import pytest
from django.db import connection

from profiles.models import LoyaltyEntry, Profile, ProfileHistory
from tests.databases import one, run
from tests.factories import UserFactory, person

pytestmark = pytest.mark.django_db

# Another value than a column has, by its type.
OTHER = {
    "boolean": "NOT {0}",
    "bigint": "{0} + 1",
    "numeric": "{0} + 1",
    "date": "'1970-01-02'",
    "jsonb": "CASE jsonb_typeof({0}) WHEN 'array' THEN '[\"x\"]'::jsonb ELSE '{{\"x\": 1}}' END",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 hour'",
    "uuid": "%s",
}
COLUMNS = [f.column for f in Profile._meta.concrete_fields if not f.generated and not f.primary_key]


@pytest.mark.parametrize("column", COLUMNS)
def test_change_of_any_column_is_recorded_and_nothing_else(column: str) -> None:
    profile = person()
    kind = one(
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'profiles' AND column_name = %s", column
    )
    other = UserFactory()
    named = other.profile.pk if column == "merged_into_id" else other.pk
    if column == "user_id":
        other.profile.delete()
    value = OTHER.get(kind, "'changed'").format(column)
    run(f"UPDATE profiles SET {column} = {value} WHERE id = %s", *([named] if "%s" in value else []), profile.pk)
    trace = ProfileHistory.objects.get(profile=profile)
    assert set(trace.changes) == {column}
    assert trace.changes[column]["new"] != trace.changes[column]["old"]
    run("SET LOCAL timezone = 'UTC'")
    assert one(
        f"SELECT h.changes -> %s -> 'new' = to_jsonb(p.{column}) FROM profile_history AS h"
        " JOIN profiles AS p ON p.id = h.profile_id WHERE h.id = %s",
        column,
        trace.pk,
    )


def test_ledger_that_had_a_trigger_of_its_own_is_written_once() -> None:
    run(
        "CREATE FUNCTION loyalty_entries_record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO loyalty_entries (profile_id, delta, balance, reason, source)"
        " VALUES (NEW.id, 1, 1, 'twice', 'old'); RETURN NULL; END $$"
    )
    run(
        "CREATE TRIGGER loyalty_entries_of_profiles AFTER UPDATE ON profiles FOR EACH ROW"
        " WHEN (OLD.loyalty_points <> NEW.loyalty_points) EXECUTE FUNCTION loyalty_entries_record()"
    )
    with connection.schema_editor() as schema_editor:
        import_module("profiles.migrations.0016_cheap_triggers").replace(None, schema_editor)
    profile = person()
    run("UPDATE profiles SET loyalty_points = loyalty_points + 7 WHERE id = %s", profile.pk)
    assert list(LoyaltyEntry.objects.filter(profile=profile).values_list("delta", "balance")) == [(7, 7)]
