"""A row that comes to a person who is there already: what of it is theirs from now on, and what is kept as a conflict."""

from psycopg import sql

from ..consolidate import address_part, chosen, has_address, said
from ..field_map import ADDRESS_KEYS, DEFAULT_COUNTRY, FIELD_MAP, Field, Rule, Table, fields_of
from ..sources import Sources
from .from_legacy import profile_value

# What a customers row brings to a person who is there already. With `wins` its values are the person's from now on, else
# the person's stay and those that lose are kept as conflicts. Sums add up, and no consent is widened.
ABSORB = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_absorb(p profiles, n customers, wins boolean) RETURNS profiles
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    q profiles := p;
BEGIN
    {values}
    q.updated_at := greatest(q.updated_at, n.updated_at AT TIME ZONE 'UTC');
    RETURN q;
END
$$
"""
)
LOST = sql.SQL(
    """INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, {label}, {rule}, to_jsonb(q.{name}), 'profiles', p.id::text, to_jsonb({value}), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;"""
)


def _absorbed(sources: Sources, field: Field) -> sql.Composable:
    name = sql.Identifier(field.column)
    value = profile_value(sources, Table.CUSTOMERS, field)
    parts: dict[str, sql.Composable] = {
        "name": name,
        "value": value,
        "said": said(field, value),
        "chosen": chosen(field, value),
        "own": chosen(field, sql.SQL("q.{}").format(name)),
        "label": sql.Literal(field.column),
    }
    rule = "consent" if field.rule is Rule.VERIFIED else "shape" if field.rule is Rule.UNION else field.rule.value
    parts["lost"] = LOST.format(rule=sql.Literal(rule), **parts)
    match field.rule:
        case Rule.FIRST:
            text = """IF ({chosen} IS NOT NULL) THEN
        IF wins OR {own} IS NULL THEN
            q.{name} := {value};
        ELSIF {value} IS DISTINCT FROM q.{name} THEN
            {lost}
        END IF;
    END IF;"""
        case Rule.SUM:
            text = "q.{name} := q.{name} + coalesce(n.{name}, 0);"
        case Rule.GREATEST:
            text = "q.{name} := greatest(q.{name}, {value});"
        case Rule.LEAST:
            text = "q.{name} := least(q.{name}, {value});"
        case Rule.UNION:
            text = """q.{name} := unification_union(ARRAY[q.{name}, unification_list(n.{name})]);
    IF jsonb_typeof(n.{name}) <> 'array' AND unification_json(n.{name}) IS NOT NULL THEN
        {lost}
    END IF;"""
        case Rule.NOTES:
            text = "q.{name} := unification_notes_changed(q.{name}, NULL, n.{name});"
        case Rule.CONSENT:
            text = """q.{name} := q.{name} AND {value};
    IF {value} AND NOT q.{name} THEN
        {lost}
    END IF;"""
        case Rule.VERIFIED:
            text = """IF wins THEN
        q.{name} := {value};
    ELSIF {value} AND NOT q.{name} THEN
        {lost}
    END IF;"""
        case _:
            raise NotImplementedError(field.rule)
    return sql.SQL(text).format(**parts)


BLOCK = tuple(field for field in FIELD_MAP if field.rule is Rule.BLOCK)


def _absorb(sources: Sources) -> sql.Composed:
    fields = [f for f in fields_of(Table.CUSTOMERS) if f.rule is not Rule.BLOCK and f.column != "updated_at"]
    own_address = sql.SQL(" OR ").join(
        sql.SQL("{} IS NOT NULL").format(chosen(field, sql.Identifier("q", field.column))) for field in BLOCK
    )
    taken = sql.SQL("\n            ").join(
        sql.SQL("q.{} := {};").format(sql.Identifier(f.column), first_value(sources, f)) for f in BLOCK
    )
    lost = sql.SQL("\n            ").join(
        sql.SQL(
            "IF ({chosen} IS NOT NULL AND {value} IS DISTINCT FROM q.{name}) THEN\n            {lost}\n            END IF;"
        ).format(
            chosen=chosen(f, profile_value(sources, Table.CUSTOMERS, f)),
            value=profile_value(sources, Table.CUSTOMERS, f),
            name=sql.Identifier(f.column),
            lost=LOST.format(
                rule=sql.Literal("block"),
                label=sql.Literal(f.column),
                name=sql.Identifier(f.column),
                value=profile_value(sources, Table.CUSTOMERS, f),
            ),
        )
        for f in BLOCK
    )
    block = sql.SQL(
        """IF {has_address} THEN
        IF wins OR NOT ({own_address}) THEN
            {taken}
        ELSE
            {lost}
        END IF;
    END IF;"""
    ).format(has_address=has_address(sources, "n"), own_address=own_address, taken=taken, lost=lost)
    return ABSORB.format(values=sql.SQL("\n    ").join([block, *(_absorbed(sources, field) for field in fields)]))


def first_value(sources: Sources, field: Field) -> sql.Composable:
    """What the only row `n` of a person makes of a column: blanks say nothing, a JSON address fills blank columns."""
    value = profile_value(sources, Table.CUSTOMERS, field)
    own = said(field, value)
    match field.rule:
        case Rule.BLOCK if field.column in ADDRESS_KEYS:
            part = address_part(sources.address("n"), field)
            if field.default is None:
                return sql.SQL("coalesce({}, {})").format(own, part)
            return sql.SQL("coalesce(nullif({0}, {1}), {2}, {0})").format(own, sql.Literal(DEFAULT_COUNTRY), part)
        case Rule.SUM:
            return sql.SQL("coalesce({}, 0)").format(value)
        case Rule.UNION:
            return sql.SQL("unification_list({})").format(value)
    if field.default is not None:
        return sql.SQL("coalesce({}, {})").format(own, sql.Literal(field.default))
    return own


def statements(sources: Sources) -> list[sql.Composable]:
    """The functions of this module."""
    return [_absorb(sources)]
