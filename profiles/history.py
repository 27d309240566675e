"""The triggers that write profile_history and the ledger of points: ORM, admin, raw SQL and customers_view leave the same trace."""

from collections.abc import Iterator, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from .loyalty import ENTER

# What of a login belongs to its person's history. That a password changed is recorded, not what it was or is.
LOGIN_COLUMNS = (
    *("email", "password_hash", "role", "active", "email_verified", "phone_verified", "age_verified", "terms_accepted"),
    "tenant_id",
)
# Whatever a profile has, but for what the database makes of the rest.
PROFILE_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = 'profiles'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""

# Who signs with a text that is no id, or that is too long, is not named; the change itself stands.
# A profile's changed columns, or its login's as `users.<column>`, as {{"column": {{"old": …, "new": …}}}}. Comparisons, group by
# group and then column by column, cost a tenth of taking two rows apart as JSON; one trigger for history and ledger costs
# one call. Times are written as UTC, so that equal times are equal texts. Who writes to users or profiles may have no rights
# on either. Two functions: what looks for those that name a column of a table reads their text.
FUNCTION = sql.SQL(
    """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
DECLARE
    found jsonb := '{{}}';
    person uuid;
    actor text := current_setting('unified.actor', true);
BEGIN
    {changes}
    IF found <> '{{}}' THEN
        {person}
    END IF;
    IF person IS NOT NULL THEN
        INSERT INTO profile_history (profile_id, changed_at, changed_by, via, changes) VALUES (
            person, clock_timestamp(), CASE WHEN actor ~ '^[0-9a-fA-F]{{8}}(-?[0-9a-fA-F]{{4}}){{3}}-?[0-9a-fA-F]{{12}}$'
                THEN actor::uuid END,
            coalesce(nullif(left(current_setting('unified.via', true), 63), ''), 'sql'), found
        );
    END IF;
    {ledger}
    RETURN NULL;
END
$$
"""
)
GROUP = 8
IN_GROUP = sql.SQL(
    """IF ({old}) IS DISTINCT FROM ({new}) THEN
        {changed}
    END IF;"""
)
CHANGED = sql.SQL(
    "IF OLD.{column} IS DISTINCT FROM NEW.{column} THEN found := found || jsonb_build_object({name}, {told}); END IF;"
)
TOLD = sql.SQL("jsonb_build_object('old', OLD.{column}, 'new', NEW.{column})")
NOT_TOLD = sql.SQL("'{{}}'::jsonb")

PROFILES_TRIGGER = """
CREATE OR REPLACE TRIGGER profile_history_of_profiles AFTER UPDATE ON profiles FOR EACH ROW
    WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION profile_changed();
"""
CREATE_TRIGGERS = (
    PROFILES_TRIGGER
    + """
CREATE TRIGGER profile_history_of_users AFTER UPDATE ON users FOR EACH ROW
    WHEN ((OLD.email, OLD.password_hash, OLD.role, OLD.active, OLD.email_verified, OLD.phone_verified,
        OLD.age_verified, OLD.terms_accepted, OLD.tenant_id) IS DISTINCT FROM
        (NEW.email, NEW.password_hash, NEW.role, NEW.active, NEW.email_verified, NEW.phone_verified,
        NEW.age_verified, NEW.terms_accepted, NEW.tenant_id))
    EXECUTE FUNCTION profile_history_record();
"""
)

DROP_TRIGGERS = """
DROP TRIGGER profile_history_of_users ON users;
DROP TRIGGER profile_history_of_profiles ON profiles;
DROP FUNCTION profile_history_record();
DROP FUNCTION profile_changed();
"""


def install_functions(connection: BaseDatabaseWrapper) -> None:
    """Render them for the columns that profiles has by now, and the ledger where it is: whoever adds one does it again."""
    with connection.cursor() as cursor:
        cursor.execute(PROFILE_COLUMNS)
        columns = [name for (name,) in cursor.fetchall()]
        cursor.execute("SELECT to_regclass('loyalty_entries') IS NOT NULL")
        has_ledger = cursor.fetchone()[0]
        cursor.execute(
            FUNCTION.format(
                name=sql.Identifier("profile_changed"),
                changes=_changes(columns, ""),
                person=sql.SQL("person := NEW.id;"),
                ledger=ENTER if has_ledger else sql.SQL(""),
            )
        )
        cursor.execute(
            FUNCTION.format(
                name=sql.Identifier("profile_history_record"),
                changes=_changes(LOGIN_COLUMNS, "users."),
                person=sql.SQL("SELECT id INTO person FROM profiles WHERE user_id = NEW.id;"),
                ledger=sql.SQL(""),
            )
        )


def _changes(columns: Sequence[str], prefix: str) -> sql.Composed:
    return sql.SQL("\n    ").join(
        IN_GROUP.format(
            old=sql.SQL(", ").join(sql.SQL("OLD.{}").format(sql.Identifier(name)) for name in group),
            new=sql.SQL(", ").join(sql.SQL("NEW.{}").format(sql.Identifier(name)) for name in group),
            changed=sql.SQL("\n        ").join(_changed(group, prefix)),
        )
        for group in (columns[start : start + GROUP] for start in range(0, len(columns), GROUP))
    )


def _changed(columns: Sequence[str], prefix: str) -> Iterator[sql.Composed]:
    for column in columns:
        cell = sql.Identifier(column)
        told = (NOT_TOLD if column == "password_hash" else TOLD).format(column=cell)
        yield CHANGED.format(column=cell, name=sql.Literal(prefix + column), told=told)
