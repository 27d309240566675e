"""Who outside our knowledge still uses what a step is about to drop, by name: nothing is dropped from under anybody.

What PostgreSQL keeps in its catalogue is certain: views, foreign keys, policies, functions that are bound to a relation.
The text of a function is searched for the names: such a function may use them, and an application's own queries are in no
catalogue at all; those are for the usage evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.utils import CursorWrapper

from ..old_trigger import FUNCTION as OLD_FUNCTION


@dataclass(frozen=True)
class Dropped:
    """What goes: whole relations, or `columns` of one that stays."""

    relations: Sequence[str]
    columns: Sequence[str] = ()


# What of ours hangs on old tables goes before them. `ours` are views of ours, `dropped` the relations' oids.
CATALOGUE = """
WITH dropped AS (
    SELECT c.oid, c.relname, c.reltype FROM pg_class AS c WHERE c.relname = ANY(%(relations)s) AND pg_table_is_visible(c.oid)
), used AS (
    SELECT d.classid, d.objid, t.relname FROM pg_depend AS d JOIN dropped AS t
        ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
    WHERE d.deptype = 'n' AND (cardinality(%(columns)s::text[]) = 0 OR EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = t.oid AND a.attnum = d.refobjsubid AND a.attname = ANY(%(columns)s)))
    UNION
    SELECT d.classid, d.objid, t.relname FROM pg_depend AS d JOIN dropped AS t ON d.refclassid = 'pg_type'::regclass
    JOIN pg_type AS row ON row.oid = d.refobjid AND t.reltype IN (row.oid, row.typelem)
    WHERE d.deptype = 'n' AND cardinality(%(columns)s::text[]) = 0
)
SELECT DISTINCT format('%%s uses %%s', CASE
    WHEN v.oid IS NOT NULL THEN format('%%s %%s', CASE v.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END,
        v.oid::regclass)
    WHEN k.oid IS NOT NULL THEN format('foreign key %%s of %%s', k.conname, k.conrelid::regclass)
    ELSE pg_describe_object(used.classid, used.objid, 0) END, used.relname)
FROM used
LEFT JOIN pg_rewrite AS r ON used.classid = 'pg_rewrite'::regclass AND r.oid = used.objid
LEFT JOIN pg_class AS v ON v.oid = r.ev_class
LEFT JOIN pg_constraint AS k ON used.classid = 'pg_constraint'::regclass AND k.oid = used.objid
LEFT JOIN pg_trigger AS g ON used.classid = 'pg_trigger'::regclass AND g.oid = used.objid
LEFT JOIN pg_proc AS p ON used.classid = 'pg_proc'::regclass AND p.oid = used.objid
WHERE coalesce(v.oid NOT IN (SELECT oid FROM dropped) AND v.relname <> 'customers_view'
        AND v.relname NOT LIKE 'protection\\_of\\_%%', true)
    AND coalesce(k.conrelid NOT IN (SELECT oid FROM dropped)
        AND NOT (k.contype = 'f' AND k.conrelid = to_regclass('orders')), true)
    AND coalesce(g.tgname NOT LIKE 'unification%%' AND (cardinality(%(columns)s::text[]) > 0
        OR g.tgrelid NOT IN (SELECT oid FROM dropped)), true)
    AND coalesce(p.proname NOT LIKE 'unification%%' AND p.proname NOT LIKE 'customers\\_view%%', true)
ORDER BY 1
"""
RULES = """
SELECT format('rule %%s on %%s', r.rulename, c.relname) FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
WHERE c.relname = ANY(%(relations)s) AND pg_table_is_visible(c.oid) AND r.rulename <> '_RETURN'
    AND cardinality(%(columns)s::text[]) = 0 ORDER BY 1
"""
PUBLICATIONS = """
SELECT format('publication %%s publishes %%s', p.pubname, c.relname) FROM pg_publication_rel AS r
JOIN pg_publication AS p ON p.oid = r.prpubid JOIN pg_class AS c ON c.oid = r.prrelid
WHERE c.relname = ANY(%(relations)s) AND pg_table_is_visible(c.oid) AND cardinality(%(columns)s::text[]) = 0 ORDER BY 1
"""
# A function's text is no proof: it names the table, and where columns go, one of those, too.
TEXTS = """
SELECT format('function %%s names %%s', p.oid::regprocedure, name.relation)
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
CROSS JOIN unnest(%(relations)s::text[]) AS name (relation)
WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
    AND p.prosrc ~* format('\\m%%s\\M', name.relation)
    AND (cardinality(%(columns)s::text[]) = 0 OR EXISTS (
        SELECT FROM unnest(%(columns)s::text[]) AS part (name) WHERE p.prosrc ~* format('\\m%%s\\M', part.name)))
    AND p.proname NOT LIKE 'unification%%' AND p.proname NOT LIKE 'customers\\_view%%' AND p.proname <> %(known)s
    AND p.proname NOT LIKE 'protection\\_%%'
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1
"""


def bound(cursor: CursorWrapper, dropped: Dropped) -> list[str]:
    """Objects of others that PostgreSQL itself would not let go."""
    params = _params(dropped)
    found: list[str] = []
    for query in (CATALOGUE, RULES, PUBLICATIONS):
        cursor.execute(query, params)
        found += [line for (line,) in cursor.fetchall()]
    return found


def named(cursor: CursorWrapper, dropped: Dropped) -> list[str]:
    """Functions of others whose text names what goes."""
    cursor.execute(TEXTS, _params(dropped))
    return [line for (line,) in cursor.fetchall()]


def _params(dropped: Dropped) -> dict[str, Any]:
    return {"relations": list(dropped.relations), "columns": list(dropped.columns), "known": OLD_FUNCTION}
