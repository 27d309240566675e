"""AdoptModel on tables of its own, without the migration graph."""

import pytest
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from config.adoption import AdoptionError, AdoptModel
from tests.accounts.legacy import rows, shape, storage

pytestmark = pytest.mark.usefixtures("empty_database")

BOTTLE = AdoptModel(
    name="Bottle",
    fields=[
        ("id", models.BigAutoField(primary_key=True)),
        ("label", models.CharField(max_length=20, null=True)),
        ("odd_name", models.CharField(max_length=20, db_default="100% 'pure'", db_column="Odd näme")),
        ("filled_at", models.DateTimeField(db_default=Now())),
        ("tags", models.JSONField(null=True, db_default={"a": [1]})),
        ("maker", models.CharField(max_length=20, null=True, db_index=True)),
    ],
    options={"db_table": "bottles", "indexes": [models.Index(fields=["label"], name="bottles_label")]},
)
LEGACY = """
CREATE TABLE bottles (id bigint PRIMARY KEY, label text NOT NULL, extra text);
INSERT INTO bottles VALUES (1, 'a', 'x');
"""
ADDED = ["Odd näme", "filled_at", "tags", "maker"]


def sql(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


def states(operation: AdoptModel) -> tuple[ProjectState, ProjectState]:
    before = ProjectState()
    after = before.clone()
    operation.state_forwards("cellar", after)
    return before, after


def forwards(operation: AdoptModel = BOTTLE) -> None:
    before, after = states(operation)
    with connection.schema_editor() as editor:
        operation.database_forwards("cellar", editor, before, after)


def backwards(operation: AdoptModel = BOTTLE) -> None:
    before, after = states(operation)
    with connection.schema_editor() as editor:
        operation.database_backwards("cellar", editor, after, before)


def test_everything_missing_comes_in_one_alter_that_rewrites_nothing() -> None:
    sql(LEGACY)
    stored = storage("bottles")
    with CaptureQueriesContext(connection) as queries:
        forwards()
    assert [query["sql"] for query in queries if query["sql"].startswith("ALTER")] == [
        'ALTER TABLE "bottles" ALTER COLUMN "label" DROP NOT NULL,'
        """ ADD COLUMN "Odd näme" varchar(20) DEFAULT '100% ''pure''' NOT NULL,"""
        ' ADD COLUMN "filled_at" timestamp with time zone DEFAULT (STATEMENT_TIMESTAMP()) NOT NULL,'
        """ ADD COLUMN "tags" jsonb DEFAULT '{"a": [1]}'::jsonb NULL,"""
        ' ADD COLUMN "maker" varchar(20) NULL'
    ]
    assert storage("bottles") == stored
    assert rows('SELECT id, label, extra, "Odd näme" FROM bottles') == [(1, "a", "x", "100% 'pure'")]
    assert len(shape("bottles")["indexes"]) == 1
    assert rows("SELECT table_name, action, added_columns, relaxed_columns FROM adopted_tables") == [
        ("bottles", "adopted", ADDED, ["label"])
    ]


def test_adopted_table_is_given_back_and_its_other_rows_stay_recorded() -> None:
    sql(LEGACY)
    before, stored = shape("bottles"), storage("bottles")
    forwards()
    sql("INSERT INTO adopted_tables VALUES ('other', 'created', '{}', '{}')")
    backwards()
    assert shape("bottles") == before
    assert storage("bottles") == stored
    assert rows("SELECT table_name FROM adopted_tables") == [("other",)]


def test_table_that_lacks_nothing_is_not_touched() -> None:
    forwards()
    sql("DROP TABLE adopted_tables")
    before = shape("bottles")
    with CaptureQueriesContext(connection) as queries:
        forwards()
    assert not [query["sql"] for query in queries if query["sql"].startswith("ALTER")]
    backwards()
    assert shape("bottles") == before


def test_missing_table_is_created_as_usual_and_dropped() -> None:
    forwards()
    assert len(shape("bottles")["indexes"]) == 4
    assert rows("SELECT action, added_columns FROM adopted_tables") == [("created", [])]
    backwards()
    assert rows("SELECT to_regclass('bottles'), to_regclass('adopted_tables')") == [(None, None)]


def test_same_state_as_create_model() -> None:
    plain = ProjectState()
    migrations.CreateModel(BOTTLE.name, BOTTLE.fields, BOTTLE.options).state_forwards("cellar", plain)
    assert states(BOTTLE)[1] == plain
    assert BOTTLE.reduce(migrations.DeleteModel("Bottle"), "cellar") is False


@pytest.mark.parametrize("missing", ["id", "filled_at"])
def test_missing_column_that_cannot_be_added_is_refused(missing: str) -> None:
    sql(LEGACY if missing == "filled_at" else "CREATE TABLE bottles (label text)")
    fields = [
        (name, models.DateTimeField() if name == "filled_at" and missing == name else field)
        for name, field in BOTTLE.fields
    ]
    before = shape("bottles")
    with pytest.raises(AdoptionError) as refusal:
        forwards(AdoptModel(BOTTLE.name, fields, BOTTLE.options))
    assert str(refusal.value) == (
        f"The existing table 'bottles' has no column '{missing}', which no row can do without. "
        "Add and fill it or, if that table is another one of the same name, rename the table. "
        "Then run migrate again."
    )
    assert shape("bottles") == before
    assert rows("SELECT to_regclass('adopted_tables')") == [(None,)]


def test_view_of_that_name_is_refused() -> None:
    sql("CREATE VIEW bottles AS SELECT 1 AS id")
    with pytest.raises(AdoptionError, match="'bottles' exists but is not a table"):
        forwards()


def test_table_without_record_is_never_dropped() -> None:
    forwards()
    sql("DELETE FROM adopted_tables")
    with pytest.raises(AdoptionError, match="adopted_tables has no row for 'bottles'"):
        backwards()
    sql("DROP TABLE adopted_tables")
    with pytest.raises(AdoptionError, match="adopted_tables has no row for 'bottles'"):
        backwards()
    assert rows("SELECT count(*) FROM bottles") == [(0,)]


def test_way_back_accepts_what_is_gone_already() -> None:
    sql(LEGACY)
    forwards()
    sql("ALTER TABLE bottles DROP COLUMN tags, ALTER COLUMN label SET NOT NULL")
    backwards()
    assert [name for name, *_ in shape("bottles")["columns"]] == ["id", "label", "extra"]
    forwards()
    sql("DROP TABLE bottles")
    backwards()
    assert rows("SELECT to_regclass('adopted_tables')") == [(None,)]


def test_sqlmigrate_writes_nothing() -> None:
    sql(LEGACY)
    before, after = states(BOTTLE)
    with connection.schema_editor(collect_sql=True) as editor:
        BOTTLE.database_forwards("cellar", editor, before, after)
    assert [line[:44] for line in editor.collected_sql] == ['ALTER TABLE "bottles" ALTER COLUMN "label" D']
    assert len(shape("bottles")["columns"]) == 3
    assert rows("SELECT to_regclass('adopted_tables')") == [(None,)]
