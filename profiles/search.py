"""The search column: what a person is found by, folded once by the database and, where it can, indexed by trigrams."""

import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.db import DatabaseError, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config import indexes
from config.collation import folding

# Each part on a line of its own, so that nothing is found across two; the phone as typed, then its digits. In SQL it would be
# parsed anew by every statement that writes a profile, which costs more than the calls of a bulk statement do.
CREATE_FUNCTION = """
CREATE OR REPLACE FUNCTION search_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(value{collation})
$$;
CREATE OR REPLACE FUNCTION profile_search_text(first_name text, last_name text, email text, phone text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN lower((coalesce(first_name, '') || ' ' || coalesce(last_name, '') || E'\\n' || coalesce(email, '') || E'\\n'
        || coalesce(phone, '') || E'\\n' || translate(coalesce(phone, ''), translate(coalesce(phone, ''), '0123456789', ''), '')){collation});
END
$$;
"""
DROP_FUNCTION = """
DROP FUNCTION IF EXISTS profile_search_text(text, text, text, text);
DROP FUNCTION IF EXISTS search_fold(text);
"""


class SearchText(models.GeneratedField):
    """A text made by the database out of names, contact address and phone."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["expression"] = models.Func(
            "first_name", "last_name", "contact_email", "phone", function="profile_search_text"
        )
        kwargs["output_field"] = models.TextField()
        kwargs["db_persist"] = True
        super().__init__(**kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for made_here in ("expression", "output_field", "db_persist"):
            del kwargs[made_here]
        return name, path, args, kwargs


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the functions that the column and its queries fold text with."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(CREATE_FUNCTION).format(collation=folding(connection)))


def resolved(name: str) -> sql.Composed:
    """The profile's id that the value `name` leads to: a profile's own, else an alias, else a user's; of a profile that was
    merged into another, that one's. Each is one step into one index."""
    return sql.SQL(
        """coalesce(
        (SELECT coalesce(merged_into_id, id) FROM profiles WHERE id = {id}),
        (SELECT coalesce(q.merged_into_id, q.id) FROM profile_aliases AS a JOIN profiles AS q ON q.id = a.profile_id
            WHERE a.id = {id}),
        (SELECT coalesce(merged_into_id, id) FROM profiles WHERE user_id = {id})
    )"""
    ).format(id=sql.Placeholder(name))


WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
# What a phone number is typed with beside its digits.
_PHONE = re.compile(r"[0-9\s()+./\\-]+")


def escaped(text: str) -> str:
    """A text for LIKE in which nothing is a wildcard."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def conditions(text: str, params: dict[str, Any], numbers: Sequence[sql.Composable] = ()) -> list[sql.Composable]:
    """Conditions over profiles AS p, users AS u that together find `text` and of which each row meets one at most.

    Each has an index of its own: OR would have none. A blank text finds everybody. Every word must be somewhere in
    the name, the contact address or the phone, or in the login; digits that are typed like a phone also in the
    phone's digits. The plain LIKE is what the index is asked; what comes with it makes it exact. `numbers` are conditions
    of whom %(number)s leads to: the text, where it is one word.
    """
    words = text.split()
    if not words:
        return [sql.SQL("true")]
    with suppress(ValueError):
        params["wanted"] = uuid.UUID(text.strip())
        return [sql.SQL("p.id = {}").format(resolved("wanted"))]
    digits = "".join(letter for letter in text if letter in "0123456789")
    typed_like_a_phone = bool(digits and _PHONE.fullmatch(text))
    if typed_like_a_phone:
        words = [text.strip()]
    found = [_every(sql.SQL("p.search_text"), words, "word", params)]
    if typed_like_a_phone and words != [digits]:
        params["digits"], params["digits_only"] = f"%{digits}%", f"\n[0-9]*{digits}[0-9]*$"
        phone = sql.SQL("p.search_text LIKE %(digits)s AND p.search_text ~ %(digits_only)s")
        found.append(sql.SQL("{} AND NOT ({})").format(phone, found[0]))
    in_login = _every(sql.SQL("search_fold(u.email)"), words, "word", params)
    for other in (in_login, *(numbers if len(text.split()) == 1 else ())):
        # IS NOT TRUE: of nobody's login it is neither.
        found.append(sql.SQL("{} AND ({}) IS NOT TRUE").format(other, sql.SQL(" OR ").join(_sides(found))))
    if numbers:
        params["number"] = text.strip()
    return found


def _sides(found: list[sql.Composable]) -> list[sql.Composable]:
    return [sql.SQL("({})").format(condition) for condition in found]


def _every(column: sql.Composable, words: list[str], name: str, params: dict[str, Any]) -> sql.Composable:
    """The column holds every word. Folded by the database as the column is."""
    parts = []
    for number, word in enumerate(words):
        params[f"{name}{number}"] = f"%{escaped(word)}%"
        parts.append(sql.SQL("{} LIKE search_fold({})").format(column, sql.Placeholder(f"{name}{number}")))
    return sql.SQL(" AND ").join(parts)


PROFILES_INDEX, LOGINS_INDEX = "profiles_search", "users_login_search"
# The index by which people of a tag are found: table and what follows.
TAGS_INDEX = "profiles_tags"
TAGS_DEFINITION = "profiles USING gin (tags jsonb_path_ops)"
# Who logs in is looked up by the whole address, in any case spelling.
LOGIN_INDEX = "users_login"
# Operator classes are found by their schema, which need not be in the search path.
_OPERATORS = """
SELECT quote_ident(nspname) || '.gin_trgm_ops' FROM pg_opclass JOIN pg_namespace AS n ON n.oid = opcnamespace
WHERE opcname = 'gin_trgm_ops' LIMIT 1
"""
# Told apart by its comment from one that was there before us, which stays when we go.
_OURS = "Installed by migration profiles.0003_search, which takes it away again."


def create_index(connection: BaseDatabaseWrapper, name: str, *, concurrently: bool = False) -> bool:
    """The trigram index of profiles or logins; whether there is one now.

    pg_trgm is asked for where it is missing. Refused, or not to be had on this server: no index, and the same results.
    What a broken CONCURRENTLY left is built anew.
    """
    table, expression = {
        PROFILES_INDEX: ("profiles", "search_text"),
        LOGINS_INDEX: ("users", "search_fold(email)"),
    }[name]
    operators = _trigrams(connection)
    if operators is None:
        return False
    definition = sql.SQL("{} USING gin (({}) {})").format(
        sql.Identifier(table),
        sql.SQL(expression),
        sql.SQL(operators),  # as PostgreSQL quoted it
    )
    if concurrently:
        indexes.build_concurrently(connection, name, definition)
        return True
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {}").format(sql.Identifier(name), definition))
    return True


def create_login_index(connection: BaseDatabaseWrapper) -> None:
    """The index of whole addresses. Outside of a transaction."""
    indexes.build_concurrently(connection, LOGIN_INDEX, sql.SQL("users (search_fold(email))"))


def drop_index(connection: BaseDatabaseWrapper, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(name)))


def drop_extension(connection: BaseDatabaseWrapper) -> None:
    """Take pg_trgm away where it came with us and nobody else uses it by now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT obj_description(oid, 'pg_extension') = %s FROM pg_extension WHERE extname = 'pg_trgm'", [_OURS]
        )
        found = cursor.fetchone()
        if found is not None and found[0]:
            with suppress(DatabaseError), transaction.atomic(using=connection.alias):
                cursor.execute("DROP EXTENSION pg_trgm")


def _trigrams(connection: BaseDatabaseWrapper) -> str | None:
    """The operator class; None where pg_trgm cannot be had."""
    with connection.cursor() as cursor:
        cursor.execute(_OPERATORS)
        found = cursor.fetchone()
        if found is None:
            # Not there (feature_not_supported, undefined_file) or not ours to install (insufficient_privilege).
            with suppress(DatabaseError), transaction.atomic(using=connection.alias):
                cursor.execute("CREATE EXTENSION pg_trgm")
                cursor.execute(sql.SQL("COMMENT ON EXTENSION pg_trgm IS {}").format(sql.Literal(_OURS)))
            cursor.execute(_OPERATORS)
            found = cursor.fetchone()
    return str(found[0]) if found else None
