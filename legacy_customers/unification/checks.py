"""The checks of verify_unification: each reads one snapshot and says what it saw and what is wrong.

The evidence is the backups, which are hashed and never written again. A value that differs from what the consolidation
made of them is right only where profile_history leads from the one to the other.
"""

from collections.abc import Callable

from psycopg import sql

from config import protection

from . import backup, old_trigger, protect, retention, sync
from .agreement import both_sides_agree
from .conservation import Tally
from .consolidate import others, profile_rows, several_attachments, several_customers
from .field_map import AUTH_COLUMNS, FIELD_MAP, Table
from .snapshot import SAMPLES, Outcome, Snapshot
from .sources import BACKUP_KEYS, LEGACY_TABLES, columns_of
from .sync.to_legacy import LOGIN_COLUMNS

# Every user that the unification had before it, the old ones and the guests' new ones: `src`, and `u`, its legacy row.
KNOWN_USERS = sql.SQL(
    "(SELECT NULL::tid AS place, id FROM users) AS src{others}"
    " LEFT JOIN legacy_moved_logins AS moved ON moved.moved_to = src.id"
    " LEFT JOIN backup_users AS u ON u.id = coalesce(moved.user_id, src.id)"
)
NO_MORE = sql.SQL("")
OF_OTHERS = sql.SQL(" JOIN others ON others.user_id = src.id")
ATTACHED_SINCE = "SELECT EXISTS (SELECT FROM legacy_attachments WHERE attached_at IS NOT NULL)"
AT_THE_TAKE_OVER = sql.SQL(
    "legacy_attachments AS MATERIALIZED (SELECT * FROM legacy_attachments WHERE attached_at IS NULL)"
)
IS_KNOWN = sql.SQL("(u.id IS NOT NULL OR c.id IS NOT NULL)")


def profiles_equal_users(snapshot: Snapshot) -> Outcome:
    """As many profiles as users."""
    users, profiles = snapshot.count("users"), snapshot.count("profiles")
    samples = [f"{users:,} users, {profiles:,} profiles"] if users != profiles else []
    return Outcome(users, 0, abs(users - profiles), samples)


def users_without_profile(snapshot: Snapshot) -> Outcome:
    """Every user has a profile."""
    return snapshot.named(
        "SELECT 'users ' || u.id FROM users AS u WHERE NOT EXISTS (SELECT FROM profiles AS p WHERE p.user_id = u.id)",
        snapshot.count("users"),
    )


def customers_view_answers(snapshot: Snapshot) -> Outcome:
    """customers_view gives a row per profile, and every column of it can be read."""
    if not columns_of(snapshot.connection, "customers_view"):
        return Outcome(0, 1, 1, ["customers_view does not exist"])
    rows, _ = snapshot.one("SELECT count(*), sum(hash_record_extended(v, 0)) FROM customers_view AS v")
    profiles = snapshot.count("profiles")
    samples = [f"{profiles:,} profiles, {rows:,} rows in customers_view"] if rows != profiles else []
    return Outcome(rows, profiles, abs(rows - profiles), samples)


# The profiles that were merged since, with the survivor whom their aliases, orders and conflicts belong to from then on. A
# merge is known by the trace that it left in history; a survivor is never merged itself.
MERGED = sql.SQL(
    """
    SELECT p.id, p.user_id, s.id AS survivor_id, s.user_id AS survivor_user_id
    FROM profiles AS p JOIN profiles AS s ON s.id = p.merged_into_id AND s.merged_into_id IS NULL
    WHERE p.merged_into_id IS NOT NULL AND EXISTS (
        SELECT FROM profile_history AS h
        WHERE h.profile_id = p.id AND h.changes -> 'merged_into_id' ->> 'new' = s.id::text)"""
)


def old_ids_resolve(snapshot: Snapshot) -> Outcome:
    """Every old customers id leads to exactly one profile, its person's, by id, alias or merge."""
    return snapshot.named(
        sql.SQL(
            """
            SELECT 'customers ' || c.id FROM backup_customers AS c
            LEFT JOIN legacy_identities AS i ON i.customer_id = c.id
            LEFT JOIN profiles AS p ON p.user_id = i.user_id
            LEFT JOIN profile_aliases AS a ON a.id = c.id
            LEFT JOIN ({merged}) AS m ON m.id = p.id
            WHERE p.merged_into_id IS DISTINCT FROM m.survivor_id OR CASE
                WHEN p.id = c.id THEN a.id IS NULL
                ELSE a.profile_id = coalesce(m.survivor_id, p.id)
                    AND NOT EXISTS (SELECT FROM profiles AS other WHERE other.id = c.id)
            END IS NOT TRUE"""
        ).format(merged=MERGED),
        snapshot.count("backup_customers"),
        snapshot.backed_up["customers"]["rows"],
    )


# A change of a cell by anybody is in profile_history. An unbroken chain, each old value the new one before it, explains
# what it leads to; where a link is missing somebody wrote past the triggers, and nothing is explained.
TRACES = sql.SQL(
    """
    SELECT profile_id, field, (array_agg(old ORDER BY id))[1] AS first_old,
        (array_agg(new ORDER BY id DESC))[1] AS last_new
    FROM (
        SELECT h.id, h.profile_id, c.key AS field, c.value -> 'old' AS old, c.value -> 'new' AS new,
            lag(c.value -> 'new', 1, c.value -> 'old') OVER (PARTITION BY h.profile_id, c.key ORDER BY h.id)
                IS DISTINCT FROM c.value -> 'old' AS broken
        FROM profile_history AS h CROSS JOIN LATERAL jsonb_each(h.changes) AS c
    ) AS links
    GROUP BY profile_id, field HAVING NOT bool_or(broken)"""
)


def values_as_ruled(snapshot: Snapshot) -> Outcome:
    """Every column of every profile is what the field map makes of the backups, or history says why not."""
    assert snapshot.sources is not None
    backups = snapshot.sources.backups()
    columns = ["contact_email", *(f.column for f in FIELD_MAP)]
    work_tables = {
        "others": others(backups),
        "several_customers": several_customers(backups),
        "several_attachments": several_attachments(backups),
    }

    def compared(select: sql.Composable, rest: sql.Composable = NO_MORE) -> tuple[sql.Composed, sql.Composed]:
        """The expected rows `e` next to the profiles `p`: of those who are alone, which workers may read, and of the others."""
        new_id = sql.SQL("NULL::uuid")
        statement = sql.SQL("{select} FROM ({rows}) AS e LEFT JOIN profiles AS p ON p.user_id = e.user_id{rest}")
        alone = profile_rows(backups, KNOWN_USERS.format(others=NO_MORE), IS_KNOWN, True, new_id)
        not_alone = profile_rows(backups, KNOWN_USERS.format(others=OF_OTHERS), IS_KNOWN, False, new_id)
        # Where rows were attached since, those of the take-over alone stand for the table.
        attached = AT_THE_TAKE_OVER if snapshot.one(ATTACHED_SINCE)[0] else NO_MORE
        return (
            sql.SQL("{with_}{statement}").format(
                with_=sql.SQL("WITH {} ").format(attached) if attached is not NO_MORE else NO_MORE,
                statement=statement.format(select=select, rows=alone, rest=rest),
            ),
            sql.SQL(
                """
        WITH {attached} others AS MATERIALIZED ({others}),
        several_customers AS MATERIALIZED ({several_customers}),
        several_attachments AS MATERIALIZED ({several_attachments})
        {statement}"""
            ).format(
                attached=sql.SQL("{}, ").format(attached) if attached is not NO_MORE else NO_MORE,
                statement=statement.format(select=select, rows=not_alone, rest=rest),
                **work_tables,
            ),
        )

    different = {
        name: sql.SQL("{} IS DISTINCT FROM {}").format(sql.Identifier("e", name), sql.Identifier("p", name))
        for name in columns
    } | {"id": sql.SQL("(p.id IS NULL OR e.id <> p.id)")}
    select = sql.SQL("SELECT count(*), {}").format(
        sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE {})").format(condition) for condition in different.values())
    )
    seen, *counts = map(sum, zip(*(snapshot.one(statement) for statement in compared(select)), strict=True))
    outcome = Outcome(seen, snapshot.backed_up["users"]["rows"])
    wrong = [name for name, count in zip(different, counts, strict=True) if count]
    if not wrong:
        return outcome
    cells = sql.SQL(", ").join(
        sql.SQL("({}, {}, to_jsonb({}), to_jsonb({}))").format(
            sql.Literal(name), different[name], sql.Identifier("e", name), sql.Identifier("p", name)
        )
        for name in wrong
    )
    found = snapshot.all(
        sql.SQL(
            """
            SELECT x.field, x.profile_id,
                t.first_old IS NOT DISTINCT FROM coalesce(x.old, 'null')
                    AND t.last_new IS NOT DISTINCT FROM coalesce(x.new, 'null')
            FROM (({alone}) UNION ALL ({others})) AS x
            LEFT JOIN ({traces}) AS t ON t.profile_id = x.profile_id AND t.field = x.field
            ORDER BY 1, 2"""
        ).format(
            traces=TRACES,
            **dict(
                zip(
                    ("alone", "others"),
                    compared(
                        sql.SQL("SELECT coalesce(p.id, e.id) AS profile_id, c.field, c.old, c.new"),
                        sql.SQL(
                            " CROSS JOIN LATERAL (VALUES {cells}) AS c (field, differs, old, new)"
                            # Most rows are as ruled, and are spared the taking apart.
                            " WHERE ({any_differs}) AND c.differs"
                        ).format(cells=cells, any_differs=sql.SQL(" OR ").join(different[name] for name in wrong)),
                    ),
                    strict=True,
                )
            ),
        )
    )
    unexplained = [f"profiles {profile_id}: {name}" for name, profile_id, explained in found if not explained]
    outcome.explained = len(found) - len(unexplained)
    outcome.differences, outcome.samples = len(unexplained), unexplained[:SAMPLES]
    return outcome


def cells_conserved(snapshot: Snapshot, balance: list[Tally]) -> Outcome:
    """Every cell of every legacy row that says something is carried, superseded with a conflict, or archived."""
    outcome = Outcome(expected=sum(table["rows"] for table in snapshot.backed_up.values()))
    for line in balance:
        outcome.differences += line.unexplained
        outcome.explained += line.traced
        outcome.samples += line.samples
    outcome.rows = sum(rows for rows in {line.table: line.rows for line in balance}.values()) + snapshot.count(
        "backup_orders"
    )
    outcome.samples = outcome.samples[:SAMPLES]
    return outcome


# The rows that add up, by their person.
SUMMED: dict[tuple[str, ...], str] = {
    ("loyalty_points", "total_spent", "order_count"): """
        SELECT i.user_id, c.loyalty_points, c.total_spent, c.order_count
        FROM legacy_identities AS i JOIN backup_customers AS c ON c.id = i.customer_id""",
    ("interaction_count",): """
        SELECT a.user_id, r.interaction_count FROM legacy_attachments AS a JOIN (
            SELECT 'customer_profiles' AS source, customer_id::text AS key, interaction_count
            FROM backup_customer_profiles
            UNION ALL SELECT 'user_profiles', id::text, interaction_count FROM backup_user_profiles
        ) AS r ON r.source = a.source AND r.key = a.key WHERE a.user_id IS NOT NULL AND a.attached_at IS NULL""",
}


def sums_conserved(snapshot: Snapshot) -> Outcome:
    """Points, money, orders and interactions of each person's rows add up to the profile's."""
    total = Outcome()
    for names, rows in SUMMED.items():
        columns = {name: sql.Identifier(name) for name in names}
        sums = sql.SQL("SELECT user_id, {} FROM ({}) AS r GROUP BY user_id").format(
            sql.SQL(", ").join(sql.SQL("coalesce(sum({0}), 0) AS {0}").format(c) for c in columns.values()),
            sql.SQL(rows),
        )
        found = snapshot.named(
            sql.SQL(
                """
                SELECT concat('profiles ', p.id, ': ', x.field) FROM ({sums}) AS s
                LEFT JOIN profiles AS p ON p.user_id = s.user_id
                CROSS JOIN LATERAL (VALUES {cells}) AS x (field, old, new)
                LEFT JOIN ({traces}) AS t ON t.profile_id = p.id AND t.field = x.field
                WHERE ({differ}) AND x.old IS DISTINCT FROM x.new
                    AND ((t.first_old #>> '{{}}')::numeric = x.old AND (t.last_new #>> '{{}}')::numeric = x.new)
                        IS NOT TRUE"""
            ).format(
                sums=sums,
                cells=sql.SQL(", ").join(
                    sql.SQL("({}, s.{c}::numeric, p.{c}::numeric)").format(sql.Literal(name), c=c)
                    for name, c in columns.items()
                ),
                traces=TRACES,
                differ=sql.SQL(" OR ").join(
                    sql.SQL("s.{c} IS DISTINCT FROM p.{c}").format(c=c) for c in columns.values()
                ),
            ),
            snapshot.one(sql.SQL("SELECT count(DISTINCT user_id) FROM ({}) AS r").format(sql.SQL(rows)))[0],
        )
        total.rows += found.rows
        total.differences += found.differences
        total.samples += found.samples
    total.samples = total.samples[:SAMPLES]
    return total


def orders_keep_their_person(snapshot: Snapshot) -> Outcome:
    """No order is lost, each has the user of its customer, or whom that one was merged into, and its money."""
    return snapshot.named(
        sql.SQL(
            """
            SELECT concat('orders ', b.id, CASE
                WHEN o.id IS NULL THEN ': lost'
                WHEN o.total_amount IS DISTINCT FROM b.total_amount THEN ': total_amount'
                ELSE ': user_id' END)
            FROM backup_orders AS b
            LEFT JOIN orders AS o ON o.id = b.id
            LEFT JOIN legacy_identities AS i ON i.customer_id = b.customer_id
            CROSS JOIN LATERAL (SELECT CASE
                WHEN b.user_id IS NULL THEN i.user_id
                WHEN EXISTS (SELECT FROM users AS u WHERE u.id = b.user_id) THEN b.user_id
                ELSE coalesce((SELECT moved_to FROM legacy_moved_logins WHERE user_id = b.user_id), i.user_id)
                END AS user_id) AS due
            WHERE (o.id IS NULL OR o.total_amount IS DISTINCT FROM b.total_amount
                OR o.user_id IN (SELECT m.user_id FROM ({merged}) AS m)
                OR (o.user_id = b.user_id) IS NOT TRUE AND o.user_id IS DISTINCT FROM due.user_id
                    AND NOT EXISTS (SELECT FROM ({merged}) AS m
                        WHERE m.user_id = due.user_id AND m.survivor_user_id = o.user_id))
                AND NOT CASE WHEN o.id IS NULL THEN EXISTS (
                    SELECT FROM legacy_deletions AS d WHERE d.source = 'orders' AND d.key = b.id::text)
                ELSE EXISTS (
                    SELECT FROM legacy_writes AS w
                    WHERE w.source = 'orders' AND w.key = o.id::text AND w.hash = unification_sync_hash(o)) END
            UNION ALL
            SELECT concat('orders ', o.id, ': user_id') FROM orders AS o
            JOIN legacy_identities AS i ON i.customer_id = o.customer_id
            WHERE o.user_id IS NULL AND NOT EXISTS (SELECT FROM backup_orders AS b WHERE b.id = o.id)"""
        ).format(merged=MERGED),
        snapshot.count("backup_orders"),
        snapshot.backed_up["orders"]["rows"],
    )


def disagreeing_orders_recorded(snapshot: Snapshot) -> Outcome:
    """Where an order's user and its customer's are two, the user stands and a conflict holds the other."""
    return snapshot.named(
        """
        SELECT 'orders ' || b.id FROM backup_orders AS b
        JOIN users AS u ON u.id = b.user_id
        JOIN legacy_identities AS i ON i.customer_id = b.customer_id
        LEFT JOIN field_conflicts AS f ON f.field = 'orders.user_id' AND f.other_row = b.id::text
            AND (f.other_value = to_jsonb(i.user_id) OR f.other_value IN (
                SELECT to_jsonb(moved.user_id) FROM legacy_moved_logins AS moved WHERE moved.moved_to = i.user_id))
        WHERE b.user_id IS NOT NULL AND b.customer_id IS NOT NULL AND i.user_id <> u.id AND f.id IS NULL""",
        snapshot.count("backup_orders"),
    )


def backups_untouched(snapshot: Snapshot) -> Outcome:
    """The backups are complete, have their keys and guards, and hold the very cells that were hashed."""
    outcome = Outcome()
    guarded = {
        name
        for (name,) in snapshot.all(
            "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indisvalid"
            " WHERE t.tgname = 'unification_never_written' AND t.tgenabled IN ('O', 'A')"
        )
    }
    for table in LEGACY_TABLES:
        name = f"backup_{table}"
        if table not in snapshot.backed_up or not columns_of(snapshot.connection, name):
            outcome.differences += 1
            outcome.samples.append(f"{name} is missing")
            continue
        known = snapshot.backed_up[table]
        rows, digest = backup.count_and_hash(snapshot.connection, snapshot.cursor, name)
        outcome.rows += rows
        outcome.expected += known["rows"]
        noted = known.get("hash", "none yet")
        if (rows, digest) != (known["rows"], noted):
            outcome.differences += 1
            outcome.samples.append(f"{name}: {rows:,} rows, hash {digest}; backed up {known['rows']:,}, {noted}")
        if name not in guarded:
            outcome.differences += 1
            outcome.samples.append(f"{name} has lost its key or its guard")
    return outcome


def legacy_rows_in_step(snapshot: Snapshot) -> Outcome:
    """Every legacy row is as it was backed up, or as a write that the sync saw left it; one that is gone was seen to go."""
    total = Outcome()
    for table in Table:
        columns = [
            name for name in snapshot.backed_up[table]["columns"] if table != "users" or name not in LOGIN_COLUMNS
        ]
        key = sql.Identifier(BACKUP_KEYS[table])
        as_row = sql.SQL(", ").join(map(sql.Identifier, columns))
        found = snapshot.named(
            sql.SQL(
                """
                SELECT concat({label}, coalesce(b.{key}, l.{key}))
                FROM (SELECT {key}, ROW({columns}) AS cells FROM {backup}) AS b
                FULL JOIN (SELECT {key}, ROW({columns}) AS cells, r FROM {table} AS r) AS l ON l.{key} = b.{key}
                LEFT JOIN legacy_writes AS w ON w.source = {source} AND w.key = l.{key}::text
                WHERE (b.{key} IS NULL OR l.{key} IS NULL OR NOT b.cells *= l.cells) AND CASE
                    WHEN l.{key} IS NULL THEN NOT EXISTS (
                        SELECT FROM legacy_deletions AS d WHERE d.source = {source} AND d.key = b.{key}::text)
                    ELSE w.hash IS DISTINCT FROM unification_sync_hash(l.r) AND NOT ({new_login})
                    END"""
            ).format(
                label=sql.Literal(f"{table} "),
                source=sql.Literal(str(table)),
                key=key,
                columns=as_row,
                backup=sql.Identifier(f"backup_{table}"),
                table=sql.Identifier(table),
                # An account that says nothing of a person was made here, and is no row of the old world.
                new_login=sql.SQL("b.id IS NULL AND w.id IS NULL" if table is Table.USERS else "false"),
            ),
            snapshot.backed_up[table]["rows"],
        )
        total.rows += found.rows
        total.differences += found.differences
        total.samples += found.samples
    total.samples = total.samples[:SAMPLES]
    return total


def new_rows_resolve(snapshot: Snapshot) -> Outcome:
    """Every row that came since has its person: a customers id leads to one profile, a user has one of their own."""
    return snapshot.named(
        sql.SQL(
            """
            SELECT 'customers ' || c.id FROM customers AS c
            LEFT JOIN legacy_identities AS i ON i.customer_id = c.id
            LEFT JOIN profiles AS p ON p.user_id = i.user_id
            LEFT JOIN profile_aliases AS a ON a.id = c.id
            WHERE NOT EXISTS (SELECT FROM backup_customers AS b WHERE b.id = c.id)
                AND (p.id IS NULL OR (p.id = c.id OR a.profile_id = coalesce(p.merged_into_id, p.id)) IS NOT TRUE)
            UNION ALL
            SELECT concat('customer_profiles ', r.customer_id) FROM customer_profiles AS r WHERE NOT EXISTS (
                SELECT FROM legacy_attachments AS a WHERE a.source = 'customer_profiles' AND a.key = r.customer_id::text)
            UNION ALL
            SELECT concat('user_profiles ', r.id) FROM user_profiles AS r WHERE NOT EXISTS (
                SELECT FROM legacy_attachments AS a WHERE a.source = 'user_profiles' AND a.key = r.id::text)"""
        ),
        snapshot.count("customers"),
    )


_NOT_JUDGED = {"last_login", "session_id", "profile_id"}


def logins_unchanged(snapshot: Snapshot) -> Outcome:
    """Passwords, roles and every other cell of a login are what they were, or history says who changed them."""
    assert snapshot.sources is not None
    legacy = snapshot.backed_up["users"]["columns"]
    names = [name for name in ("email", *AUTH_COLUMNS) if name in legacy and name not in _NOT_JUDGED]
    cells = sql.SQL(", ").join(
        sql.SQL("({}, to_jsonb({}), to_jsonb({}))").format(
            sql.Literal(f"users.{name}"), sql.Identifier("b", name), sql.Identifier("u", name)
        )
        for name in names
    )
    columns = sql.SQL(", ")
    changed = snapshot.named(
        sql.SQL(
            """
            SELECT concat(c.field, ' of users ', b.id) FROM backup_users AS b
            LEFT JOIN users AS u ON u.id = b.id
            LEFT JOIN legacy_moved_logins AS moved ON moved.user_id = b.id
            LEFT JOIN profiles AS p ON p.user_id = b.id
            CROSS JOIN LATERAL (VALUES {cells}) AS c (field, old, new)
            LEFT JOIN ({traces}) AS t ON t.profile_id = p.id AND t.field = c.field
            WHERE moved.user_id IS NULL AND ROW({before}) IS DISTINCT FROM ROW({after}) AND c.old IS DISTINCT FROM c.new
                AND (c.field = 'users.password_hash' AND t.field IS NOT NULL
                    OR t.first_old = coalesce(c.old, 'null') AND t.last_new = coalesce(c.new, 'null')) IS NOT TRUE"""
        ).format(
            cells=cells,
            traces=TRACES,
            before=columns.join(sql.Identifier("b", name) for name in names),
            after=columns.join(sql.Identifier("u", name) for name in names),
        ),
        snapshot.count("backup_users"),
        snapshot.backed_up["users"]["rows"],
    )
    raised = snapshot.named(
        """
        SELECT concat('users.', x.field, ' of users ', u.id, ', made for a guest') FROM users AS u
        JOIN profiles AS p ON p.user_id = u.id
        CROSS JOIN LATERAL (VALUES
            ('role', u.role::text IS DISTINCT FROM 'customer'), ('password_hash', u.password_hash NOT LIKE '!%'),
            ('email_verified', u.email_verified), ('phone_verified', u.phone_verified),
            ('email', u.email IS NOT NULL AND EXISTS (
                SELECT FROM legacy_identities AS i WHERE i.user_id = u.id AND i."case" = 'separate'))
        ) AS x (field, raised)
        WHERE x.raised AND u.id IN (SELECT user_id FROM legacy_identities WHERE "case" IN ('new_user', 'separate'))
            AND NOT EXISTS (
                SELECT FROM profile_history AS h WHERE h.profile_id = p.id AND h.changes ? concat('users.', x.field))""",
        0,
    )
    changed.differences += raised.differences
    changed.samples = (changed.samples + raised.samples)[:SAMPLES]
    return changed


def consents_not_widened(snapshot: Snapshot) -> Outcome:
    """Nobody's profile consents to what one of the copies refused, unless history shows that it was given since."""
    return snapshot.named(
        sql.SQL(
            """
            SELECT DISTINCT concat('profiles ', p.id, ': ', x.field) FROM (
                SELECT id AS user_id, 'marketing_consent' AS field FROM backup_users
                WHERE marketing_consent IS NOT TRUE
                UNION ALL
                SELECT i.user_id, refused.field FROM backup_customers AS c
                JOIN legacy_identities AS i ON i.customer_id = c.id
                CROSS JOIN LATERAL (
                    SELECT 'marketing_consent' WHERE c.marketing_consent IS NOT TRUE
                    UNION ALL SELECT 'sms_consent' WHERE c.sms_consent IS NOT TRUE
                ) AS refused (field)
            ) AS x
            JOIN profiles AS p ON p.user_id = x.user_id
                AND CASE x.field WHEN 'sms_consent' THEN p.sms_consent ELSE p.marketing_consent END
            LEFT JOIN ({traces}) AS t ON t.profile_id = p.id AND t.field = x.field
            WHERE (t.last_new = 'true') IS NOT TRUE"""
        ).format(traces=TRACES),
        snapshot.count("profiles"),
    )


def constraints_validated(snapshot: Snapshot) -> Outcome:
    """Every constraint is checked, every index valid, and each profile's own keys are there."""
    rows = snapshot.one(
        "SELECT count(*) FROM pg_constraint WHERE conrelid = ANY(ARRAY['users', 'profiles', 'orders',"
        " 'profile_aliases', 'field_conflicts', 'merge_suggestions']::regclass[])"
    )[0]
    return snapshot.named(
        """
        WITH ours AS (SELECT unnest(ARRAY['users', 'profiles', 'orders', 'profile_aliases', 'field_conflicts',
            'merge_suggestions']::regclass[]) AS oid)
        SELECT concat(conrelid::regclass, ': ', conname, ' is not validated')
        FROM pg_constraint WHERE conrelid IN (SELECT oid FROM ours) AND NOT convalidated
        UNION ALL
        SELECT concat(indrelid::regclass, ': ', indexrelid::regclass, ' is not valid')
        FROM pg_index WHERE indrelid IN (SELECT oid FROM ours) AND NOT (indisvalid AND indisready)
        UNION ALL
        SELECT concat(k.t, ': no ', k.what) FROM (VALUES
            ('profiles', 'p', 'id', 'primary key on id'), ('profiles', 'u', 'user_id', 'unique key on user_id'),
            ('profiles', 'f', 'user_id', 'foreign key to users'), ('orders', 'f', 'user_id', 'foreign key to users'),
            ('profile_aliases', 'p', 'id', 'primary key on id')) AS k (t, type, col, what)
        WHERE NOT EXISTS (SELECT FROM pg_constraint c JOIN pg_attribute a
            ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] AND cardinality(c.conkey) = 1
            WHERE c.conrelid = k.t::regclass AND c.contype = k.type::"char" AND a.attname = k.col)""",
        rows,
    )


def old_trigger_gone(snapshot: Snapshot) -> Outcome:
    """No trigger on users makes customers rows any more."""
    found = old_trigger.find(snapshot.connection)
    return Outcome(differences=len(found), samples=[f"trigger {name} on users" for name, _, _ in found])


def sync_in_force(snapshot: Snapshot) -> Outcome:
    """Every trigger of the two-way sync is there and awake, and no change waits to be carried over."""
    found = sync.health(snapshot.connection)
    samples = found.faults + ([f"{found.handovers:,} changes wait to be carried over"] if found.handovers else [])
    return Outcome(found.triggers, found.triggers, len(found.faults) + found.handovers, samples[:SAMPLES])


def protection_in_force(snapshot: Snapshot) -> Outcome:
    """No table can be lost by accident, by the best means that this role has: it is named."""
    found = protection.in_force(snapshot.connection, protect.ALL)
    rows = len(found.guards)
    note = ". ".join([f"by {found.means}", *found.missing])
    return Outcome(rows, max(rows, 1), len(found.faults), found.faults[:SAMPLES], note=note)


def backups_in_their_time(snapshot: Snapshot) -> Outcome:
    """The backups, which hold personal data, are not kept longer than was set down."""
    found = retention.find(snapshot.connection)
    if found is None:
        return Outcome(0, 1, 1, ["nothing says until when the backups are kept"])
    over = [str(found)] if found.is_over else []
    return Outcome(len(found.tables), 0, len(over), over, note="" if over else str(found))


ALWAYS: tuple[Callable[[Snapshot], Outcome], ...] = (
    profiles_equal_users,
    users_without_profile,
    customers_view_answers,
    constraints_validated,
    protection_in_force,
)
WITH_LEGACY: tuple[Callable[[Snapshot], Outcome], ...] = (
    backups_untouched,
    backups_in_their_time,
    old_ids_resolve,
    values_as_ruled,
    sums_conserved,
    orders_keep_their_person,
    disagreeing_orders_recorded,
    consents_not_widened,
    logins_unchanged,
    legacy_rows_in_step,
    new_rows_resolve,
    both_sides_agree,
    old_trigger_gone,
    sync_in_force,
)
