"""What speaks for two profiles being one person, and how much: weights, and the statement that adds them up.

Everything is computed by PostgreSQL without extensions, so that it comes out the same on every server.
"""

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config.collation import folding

# Points out of 100. Of each line of names and of birth dates one holds at most.
WEIGHTS: dict[str, int] = {
    "phone": 35,  # the same digits
    "email": 35,  # the same address to write to
    "same_name": 30,  # the same words in any order, with or without accents
    "similar_name": 25,  # both parts alike, or an initial or a shorter form
    "other_first_name": -80,  # a twin, a child, somebody else in the house
    "birth_date": 25,
    "birth_date_slip": -5,  # one digit, or day and month exchanged
    "other_birth_date": -60,
    "address": 25,  # the same house, streets alike
    "linked": 40,  # the old application said so
}
IN_WORDS: dict[str, str] = {
    "phone": "same phone",
    "email": "same address to write to",
    "same_name": "same name",
    "similar_name": "similar name",
    "other_first_name": "other first name",
    "birth_date": "same birth date",
    "birth_date_slip": "birth date alike",
    "other_birth_date": "other birth date",
    "address": "same house",
    "linked": "linked by the old application",
}
SUGGESTED_FROM = 50
# A number or a house that so many share says nothing: a shop's own, a placeholder, a tower.
MOST_PER_KEY = 20

# `match_likeness` is Dice's coefficient of the pairs of neighbouring letters, 0 to 1: one letter more, less or other in a
# short name leaves it above 0.5.
CREATE_FUNCTIONS = r"""
CREATE OR REPLACE FUNCTION match_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT btrim(regexp_replace(regexp_replace(normalize(lower(value{collation}), NFKD), '[\u0300-\u036f]', '', 'g'),
        '[\s!-/:-@\[-`{{-~]+', ' ', 'g'))
$$;
CREATE OR REPLACE FUNCTION match_likeness(one text, other text) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    WITH pairs AS (
        SELECT DISTINCT 1 AS side, substr(' ' || one || ' ', i, 2) AS letters FROM generate_series(1, length(one) + 1) AS i
        UNION ALL
        SELECT DISTINCT 2, substr(' ' || other || ' ', i, 2) FROM generate_series(1, length(other) + 1) AS i
    ), shared AS (SELECT count(*) AS sides FROM pairs GROUP BY letters)
    SELECT CASE WHEN one = other THEN 1 ELSE 2.0 * count(*) FILTER (WHERE sides = 2) / nullif(sum(sides), 0) END FROM shared
$$;
CREATE OR REPLACE FUNCTION match_phone(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(digits) >= 7 AND digits !~ '^(.)\1*$' THEN right(digits, 10) END
    FROM regexp_replace(regexp_replace(value, '(x|ext|#).*$', '', 'i'), '[^0-9]', '', 'g') AS digits
$$;
CREATE OR REPLACE FUNCTION match_street(address text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(match_fold(address),
        '\mstreet\M', 'st', 'g'), '\mavenue\M', 'ave', 'g'), '\mroad\M', 'rd', 'g'), '\mdrive\M', 'dr', 'g'),
        '\m(apartment|suite|unit)\M', 'apt', 'g')
$$;
CREATE OR REPLACE FUNCTION match_house(address text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(substring(street FROM '[0-9]+'), nullif(left(replace(street, ' ', ''), 12), ''))
    FROM match_street(address) AS street
$$;
CREATE OR REPLACE FUNCTION match_words(first_name text, last_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(word, ' ' ORDER BY word COLLATE "C")
    FROM regexp_split_to_table(match_fold(concat_ws(' ', first_name, last_name)), ' ') AS word
    WHERE match_fold(first_name) <> '' AND match_fold(last_name) <> ''
$$;
CREATE OR REPLACE FUNCTION match_initials(first_name text, last_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(letter, '' ORDER BY letter COLLATE "C")
    FROM (VALUES (left(match_fold(first_name), 1)), (left(match_fold(last_name), 1))) AS initials (letter)
    HAVING min(length(letter)) > 0 AND count(letter) = 2
$$;
"""
DROP_FUNCTIONS = """
DROP FUNCTION match_initials(text, text);
DROP FUNCTION match_words(text, text);
DROP FUNCTION match_house(text);
DROP FUNCTION match_street(text);
DROP FUNCTION match_phone(text);
DROP FUNCTION match_likeness(text, text);
DROP FUNCTION match_fold(text);
"""


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the functions that keys and weights are computed with."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(CREATE_FUNCTIONS).format(collation=folding(connection)))


# What two profiles have to share before anything else of them is looked at: each is a hash of
KEYS: dict[str, sql.SQL] = {
    "phone": sql.SQL("match_phone(p.phone)"),
    "born": sql.SQL("p.date_of_birth::text || ' ' || match_initials(p.first_name, p.last_name)"),
    "home": sql.SQL(
        "coalesce(nullif(replace(match_fold(p.postal_code), ' ', ''), ''), match_fold(p.city)) || ' '"
        " || match_house(p.address) || ' ' || match_initials(p.first_name, p.last_name)"
    ),
}

# One of a pair, folded: every condition below reads these.
_SIDE = sql.SQL(
    r"""SELECT p.id, p.created_at, p.date_of_birth AS born, match_phone(p.phone) AS phone,
            nullif(match_fold(p.first_name), '') AS first, nullif(match_fold(p.last_name), '') AS last,
            match_words(p.first_name, p.last_name) AS words, nullif(match_street(p.address), '') AS street,
            match_house(p.address) AS house, nullif(replace(match_fold(p.postal_code), ' ', ''), '') AS postal,
            nullif(match_fold(p.city), '') AS city, u.tenant_id,
            regexp_replace(lower(coalesce(nullif(btrim(p.contact_email), ''), u.email)), '^\s+|\s+$', '', 'g') AS email,
            u.email IS NOT NULL AND u.password_hash NOT LIKE '!%%' AS can_log_in
        FROM profiles AS p JOIN users AS u ON u.id = p.user_id
        WHERE p.id = {id} AND p.merged_into_id IS NULL AND p.erased_at IS NULL"""
)
_ALIKE = "({0} = {1} OR starts_with({0}, {1}) OR starts_with({1}, {0}) OR match_likeness({0}, {1}) >= 0.5)"
_FIRST = _ALIKE.format("a.first", "b.first")
_LAST = _ALIKE.format("a.last", "b.last")
_SLIP = """(to_char(a.born, 'YYYYDDMM') = to_char(b.born, 'YYYYMMDD') OR (
            SELECT count(*) FROM generate_series(1, 8) AS i
            WHERE substr(to_char(a.born, 'YYYYMMDD'), i, 1) <> substr(to_char(b.born, 'YYYYMMDD'), i, 1)) = 1)"""
CONDITIONS: dict[str, str] = {
    "phone": "a.phone = b.phone",
    "email": "a.email = b.email",
    "same_name": "a.words = b.words",
    "similar_name": f"a.words <> b.words AND {_FIRST} AND {_LAST}",
    "other_first_name": f"a.words IS DISTINCT FROM b.words AND NOT {_FIRST}",
    "birth_date": "a.born = b.born",
    "birth_date_slip": f"a.born <> b.born AND {_SLIP}",
    "other_birth_date": f"a.born <> b.born AND NOT {_SLIP}",
    "address": "a.house = b.house AND match_likeness(a.street, b.street) >= 0.8"
    " AND coalesce(a.postal = b.postal, true) AND (a.postal = b.postal OR coalesce(match_likeness(a.city, b.city) >= 0.7, true))",
    "linked": "x.linked",
}


def scored(pairs: sql.Composable) -> sql.Composed:
    """Rows of `pairs` (one_id, other_id, linked) with `evidence` and `score`, and who would be merged into whom.

    `survivor_id` can log in, or else came first. Without pairs of two tenants, and of those who were merged or erased.
    """
    cells = sql.SQL(", ").join(
        sql.SQL("{}, CASE WHEN {} THEN {} END").format(
            sql.Literal(name), sql.SQL(CONDITIONS[name]), sql.Literal(weight)
        )
        for name, weight in WEIGHTS.items()
    )
    return sql.SQL(
        """
    SELECT one_id, other_id, evidence, score, survivor_id, CASE survivor_id WHEN one_id THEN other_id ELSE one_id END AS merged_id
    FROM (
        SELECT x.one_id, x.other_id, jsonb_strip_nulls(jsonb_build_object({cells})) AS evidence,
            CASE WHEN (a.can_log_in, b.created_at, b.id) > (b.can_log_in, a.created_at, a.id) THEN a.id ELSE b.id END AS survivor_id
        FROM ({pairs}) AS x
        CROSS JOIN LATERAL ({one}) AS a
        CROSS JOIN LATERAL ({other}) AS b
        WHERE a.tenant_id IS NOT DISTINCT FROM b.tenant_id
    ) AS weighed CROSS JOIN LATERAL (
        SELECT greatest(0, least(100, coalesce(sum(value::integer), 0))) AS score FROM jsonb_each_text(evidence)
    ) AS total"""
    ).format(
        cells=cells,
        pairs=pairs,
        one=_SIDE.format(id=sql.SQL("x.one_id")),
        other=_SIDE.format(id=sql.SQL("x.other_id")),
    )
