"""The statements of deciding conflicts: what a profile's cell was and becomes, and the way back."""

from psycopg import sql

from .merge_rules import FIELDS, Rule
from .pairs import JSON_NOT_NULL

# Columns whose value can be taken: what a rule decides alone, a sum or a consent, is nobody's choice.
TAKEABLE = tuple(
    name for name, rule in FIELDS.items() if rule in (Rule.FIRST, Rule.BLOCK, Rule.MERGE, Rule.UNION, Rule.NOTES)
)

# A pointer's steps; `/` is the key ''.
STEPS = """(SELECT coalesce(array_agg(replace(replace(step, '~1', '/'), '~0', '~') ORDER BY place), '{{}}')
        FROM unnest((string_to_array({0}, '/'))[2:]) WITH ORDINALITY AS s (step, place))"""

# What becomes of the profile is computed before it is written, as its columns will hold it. A path whose object is gone
# leads nowhere. An address to write to that is the login's is not written down twice.
TAKE_THEM = sql.SQL(
    """
INSERT INTO conflict_decisions (batch, profile_id, field, path, verdict, before, after, decided_by, via)
SELECT %(batch)s, x.profile_id, x.field, x.path, 'take',
    CASE WHEN x.path = '' THEN (SELECT jsonb_object_agg(name, x.now -> name) FROM jsonb_object_keys(x.patch) AS name)
        WHEN x.now -> x.field #> x.steps IS NULL THEN '{{}}'
        ELSE jsonb_build_object(x.field, x.now -> x.field #> x.steps) END,
    CASE WHEN x.path = '' THEN (
        SELECT jsonb_object_agg(name, to_jsonb(jsonb_populate_record(x.p, x.patch)) -> name)
        FROM jsonb_object_keys(x.patch) AS name) ELSE jsonb_build_object(x.field, x.value) END,
    %(by)s, %(via)s
FROM (
    SELECT p, to_jsonb(p) AS now, f.profile_id, f.field, f.path, f.other_value AS value, {steps} AS steps, CASE
        WHEN t.address IS NOT NULL THEN t.address::jsonb
        WHEN f.field = 'contact_email' AND lower(btrim(f.other_value #>> '{{}}')) = lower(u.email)
            THEN '{{"contact_email": null}}'
        ELSE jsonb_build_object(f.field, f.other_value) END AS patch
    FROM unnest(%(ids)s::bigint[], %(addresses)s::text[]) AS t (id, address)
    JOIN field_conflicts AS f ON f.id = t.id
    JOIN profiles AS p ON p.id = f.profile_id JOIN users AS u ON u.id = p.user_id
) AS x
WHERE x.path = '' OR jsonb_typeof(x.now -> x.field #> x.steps[:cardinality(x.steps) - 1]) = 'object'
RETURNING id, profile_id
"""
).format(steps=sql.SQL(STEPS).format(sql.SQL("f.path")))

KEEP_THEM = """
WITH kept AS MATERIALIZED (
    SELECT f.id, f.profile_id, f.field, f.path, nextval(pg_get_serial_sequence('conflict_decisions', 'id')) AS decision_id
    FROM field_conflicts AS f WHERE f.id = ANY(%(ids)s)
), made AS (
    INSERT INTO conflict_decisions (id, batch, profile_id, field, path, verdict, decided_by, via)
    SELECT decision_id, %(batch)s, profile_id, field, path, 'keep', %(by)s, %(via)s FROM kept
)
UPDATE field_conflicts AS f SET decision_id = kept.decision_id, resolved_by_id = %(by)s, resolved_at = now()
FROM kept WHERE f.id = kept.id
"""

RESOLVE = """
UPDATE field_conflicts AS f SET decision_id = d.id, resolved_by_id = %(by)s, resolved_at = now()
FROM unnest(%(conflicts)s::bigint[], %(decisions)s::bigint[]) AS d (conflict_id, id) WHERE f.id = d.conflict_id
"""


def _written_from(side: str) -> sql.Composed:
    """The update of the profiles of the decisions `ids`, one per profile, to what `side` of each says."""
    names = [sql.Identifier(name) for name in TAKEABLE]
    return sql.SQL(
        """
UPDATE profiles AS p SET ({names}, updated_at) = (
    SELECT {values}, greatest(now(), p.updated_at) FROM jsonb_populate_record(p, CASE
        WHEN d.path = '' THEN d.{side}
        WHEN d.{side} ? d.field THEN
            jsonb_build_object(d.field, jsonb_set(to_jsonb(p) -> d.field, {steps}, d.{side} -> d.field))
        ELSE jsonb_build_object(d.field, (to_jsonb(p) -> d.field) #- {steps}) END) AS r
)
FROM conflict_decisions AS d WHERE d.id = ANY(%(ids)s) AND d.profile_id = p.id AND d.verdict = 'take'
"""
    ).format(
        names=sql.SQL(", ").join(names),
        values=sql.SQL(", ").join(
            sql.SQL("coalesce(r.{}, 'null')" if name in JSON_NOT_NULL else "r.{}").format(sql.Identifier(name))
            for name in TAKEABLE
        ),
        side=sql.Identifier(side),
        steps=sql.SQL(STEPS).format(sql.SQL("d.path")),
    )


WRITE, GIVE_BACK = _written_from("after"), _written_from("before")

REFUSALS = sql.SQL(
    """
SELECT id, reason FROM (
    SELECT d.id, CASE
        WHEN d.undone_at IS NOT NULL THEN 'It was undone already.'
        WHEN p.erased_at IS NOT NULL THEN 'The person was erased since.'
        WHEN p.merged_into_id IS NOT NULL
            OR EXISTS (SELECT FROM field_conflicts AS f WHERE f.decision_id = d.id AND f.profile_id <> d.profile_id)
            THEN 'The profile was merged since. Take that merge back first.'
        WHEN CASE WHEN d.path = ''
            THEN EXISTS (SELECT FROM jsonb_each(d.after) AS a WHERE to_jsonb(p) -> a.key IS DISTINCT FROM a.value)
            ELSE d.after <> '{{}}' AND to_jsonb(p) -> d.field #> {steps} IS DISTINCT FROM d.after -> d.field END
            THEN concat(d.field, d.path, ' was edited since. Edit the profile instead.')
        END AS reason
    FROM conflict_decisions AS d JOIN profiles AS p ON p.id = d.profile_id WHERE d.id = ANY(%(ids)s)
) AS judged WHERE reason IS NOT NULL
"""
).format(steps=sql.SQL(STEPS).format(sql.SQL("d.path")))
MARK_UNDONE = "UPDATE conflict_decisions SET undone_at = now(), undone_by = %(by)s WHERE id = ANY(%(ids)s)"
OPEN_AGAIN = """
UPDATE field_conflicts SET decision_id = NULL, resolved_by_id = NULL, resolved_at = NULL WHERE decision_id = ANY(%(ids)s)
"""
