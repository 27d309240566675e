"""What is held on a person: all of it as one JSON, or none of it any more. Both are recorded.

A person is a profile with the shells that were merged into it. What other apps hold they add, or erase, by the signals.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.auth.hashers import make_password
from django.db import connections, transaction
from django.dispatch import Signal
from psycopg import sql

from accounts.authorship import sign
from accounts.models import User
from accounts.roles import STAFF_ROLES
from config.api.json import Made
from config.api.problems import Problem, conflict, not_found
from profiles.merged_orders import KEEP_DATES
from profiles.models import PrivacyEvent, Profile
from profiles.selectors import STAFF_ONLY, VIEW_MEDICAL

from .pairs import one_at_a_time

# Arguments: user_ids, profile_ids (lists of uuid), hidden (columns that the caller may not see), using. Receivers give a
# mapping of names to JSON texts, or None.
person_exported = Signal()
# Arguments: user_ids, profile_ids, order_ids, emails (as they were), using. Sent in the erasure's transaction, after the
# profile and the login were emptied and before history is. Receivers give a mapping of tables to rows, or None.
person_erased = Signal()


@dataclass(frozen=True)
class _Person:
    """Everything that is one person; the profile itself comes first."""

    profile_ids: list[uuid.UUID]
    user_ids: list[uuid.UUID]


def _person(profile_id: uuid.UUID, using: str) -> _Person:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT id, user_id FROM profiles WHERE id = %(id)s OR merged_into_id = %(id)s"
            " ORDER BY merged_into_id IS NOT NULL, id",
            {"id": profile_id},
        )
        found = cursor.fetchall()
    if not found or found[0][0] != profile_id:
        raise not_found("profile", profile_id)
    return _Person([row[0] for row in found], [row[1] for row in found])


def _answers(signal: Signal, person: _Person, using: str, **given: Any) -> Iterator[dict[str, Any]]:
    """What the receivers give."""
    for _, answer in signal.send(
        sender=Profile, user_ids=person.user_ids, profile_ids=person.profile_ids, using=using, **given
    ):
        yield cast("dict[str, Any]", answer or {})


# --- export -------------------------------------------------------------------------------------------------------

# Each section: what a row shows, of which rows, in which order. Legacy times have no zone: they are given one. `hidden` are
# columns that the caller may not see; `own` is true where people ask about themselves, and learn nobody else's id.
SECTIONS: dict[str, str] = {
    "accounts": """SELECT jsonb_build_object('id', u.id, 'email', u.email, 'role', u.role::text, 'active', u.active,
            'email_verified', u.email_verified, 'phone_verified', u.phone_verified, 'age_verified', u.age_verified,
            'terms_accepted', u.terms_accepted, 'tenant_id', u.tenant_id, 'last_login', u.last_login::timestamptz,
            'created_at', u.created_at::timestamptz, 'updated_at', u.updated_at::timestamptz), u.id::text
        FROM users AS u WHERE u.id = ANY(%(users)s)""",
    "profiles": """SELECT to_jsonb(p) - 'search_text' - %(hidden)s::text[], concat(p.merged_into_id, p.id)
        FROM profiles AS p WHERE p.id = ANY(%(profiles)s)""",
    "aliases": """SELECT jsonb_build_object('id', a.id, 'profile_id', a.profile_id), a.id::text
        FROM profile_aliases AS a WHERE a.profile_id = ANY(%(profiles)s)""",
    "orders": """SELECT to_jsonb(o) - %(staff)s::text[] - 'content_digest'
            || jsonb_build_object('created_at', o.created_at::timestamptz, 'updated_at', o.updated_at::timestamptz), o.id::text
        FROM orders AS o WHERE o.user_id = ANY(%(users)s)""",
    "order_events": """SELECT to_jsonb(e) - %(staff)s::text[], lpad(e.id::text, 20, '0')
        FROM order_events AS e JOIN orders AS o ON o.id = e.order_id WHERE o.user_id = ANY(%(users)s)""",
    "refunds": """SELECT to_jsonb(r) - %(staff)s::text[], r.id::text
        FROM refunds AS r JOIN orders AS o ON o.id = r.order_id WHERE o.user_id = ANY(%(users)s)""",
    "loyalty": """SELECT to_jsonb(l) - %(staff)s::text[], lpad(l.id::text, 20, '0')
        FROM loyalty_entries AS l WHERE l.profile_id = ANY(%(profiles)s)""",
    "history": """SELECT to_jsonb(h) - %(staff)s::text[]
            || jsonb_build_object('changes', h.changes - %(hidden)s::text[]), lpad(h.id::text, 20, '0')
        FROM profile_history AS h
        WHERE h.profile_id = ANY(%(profiles)s) AND h.changes - %(hidden)s::text[] <> '{}'""",
    "conflicts": """SELECT to_jsonb(f) - %(staff)s::text[], lpad(f.id::text, 20, '0')
        FROM field_conflicts AS f WHERE f.profile_id = ANY(%(profiles)s) AND f.field <> ALL(%(hidden)s::text[])""",
    "conflict_decisions": """SELECT to_jsonb(d) - %(staff)s::text[], lpad(d.id::text, 20, '0')
        FROM conflict_decisions AS d
        WHERE d.profile_id = ANY(%(profiles)s) AND d.field <> ALL(%(hidden)s::text[])""",
    "suggestions": """SELECT to_jsonb(s), lpad(s.id::text, 20, '0') FROM merge_suggestions AS s
        WHERE NOT %(own)s AND (s.profile_id = ANY(%(profiles)s) OR s.other_profile_id = ANY(%(profiles)s))""",
    "merges": """SELECT to_jsonb(m) - %(staff)s::text[] || jsonb_build_object(
            'choices', m.choices - %(hidden)s::text[],
            'before', jsonb_build_object('survivor', (m.before -> 'survivor') - %(hidden)s::text[],
                'other', (m.before -> 'other') - %(hidden)s::text[]),
            'after', jsonb_build_object('survivor', (m.after -> 'survivor') - %(hidden)s::text[])),
            lpad(m.id::text, 20, '0')
        FROM profile_merges AS m WHERE m.survivor_id = ANY(%(profiles)s) OR m.other_id = ANY(%(profiles)s)""",
    "privacy_events": """SELECT to_jsonb(e) - %(staff)s::text[], lpad(e.id::text, 20, '0')
        FROM privacy_events AS e WHERE e.profile_id = ANY(%(profiles)s)""",
    "corrections": """SELECT jsonb_build_object('file', c.file_name, 'uploaded_at', c.uploaded_at, 'line', l.line,
            'before', l.before - %(hidden)s::text[], 'after', l.after - %(hidden)s::text[]), lpad(l.id::text, 20, '0')
        FROM correction_lines AS l JOIN corrections AS c ON c.id = l.correction_id
        WHERE l.profile_id = ANY(%(profiles)s) AND l.after - %(hidden)s::text[] <> '{}'""",
    "kept_answers": """SELECT jsonb_build_object('key', i.key, 'created_at', i.created_at, 'answer', i.answer), concat(i.created_at)
        FROM idempotency_keys AS i WHERE i.caller = ANY(SELECT u::text FROM unnest(%(users)s::uuid[]) AS u)""",
    "sessions": """SELECT jsonb_build_object('created_at', t.created_at, 'expires_at', t.expires_at), lpad(t.id::text, 20, '0')
        FROM token_blacklist_outstandingtoken AS t WHERE t.user_id = ANY(%(users)s)""",
    "api_keys": """SELECT to_jsonb(k) - 'digest', lpad(k.id::text, 20, '0')
        FROM api_keys AS k WHERE k.user_id = ANY(%(users)s)""",
    "logins": """SELECT jsonb_build_object('at', a.attempt_time, 'ip_address', a.ip_address, 'user_agent', a.user_agent,
            'failed', a.failed), concat(a.attempt_time)
        FROM (SELECT username, attempt_time, ip_address, user_agent, false AS failed FROM axes_accesslog
            UNION ALL SELECT username, attempt_time, ip_address, user_agent, true FROM axes_accessattempt
            UNION ALL SELECT username, attempt_time, ip_address, user_agent, true FROM axes_accessfailurelog) AS a
        WHERE lower(a.username) IN (SELECT lower(u.email) FROM users AS u WHERE u.id = ANY(%(users)s))""",
}
SECTION = sql.SQL(
    "SELECT coalesce(jsonb_agg(found.cells ORDER BY found.at), '[]')::text, count(*) FROM ({rows}) AS found (cells, at)"
)
# Who of the staff did it, and where a rule found a value, is not about the person.
STAFF_COLUMNS = (
    "cashier_id",
    "cashier_code",
    "processed_by",
    "changed_by",
    "created_by",
    "resolved_by_id",
    *("merged_by", "unmerged_by", "decided_by", "undone_by"),
    "by",
)


def export(profile_id: uuid.UUID, *, by: User, via: str, using: str = "default") -> Made:
    """All that is held on a person, as one JSON object of lists; recorded as a PrivacyEvent.

    Medical conditions are in it for who may see them, and for the person; people do not get the notes and tags that the
    shop made about them, nor who of the staff did something.
    """
    with transaction.atomic(using=using):
        person = _person(profile_id, using)
        own = by.pk in person.user_ids
        hidden = set() if own or by.has_perm(VIEW_MEDICAL) else {"medical_conditions"}
        staff = by.has_perm("profiles.view_profile")
        if not staff:
            hidden |= STAFF_ONLY
        params: dict[str, Any] = {
            "users": person.user_ids,
            "profiles": person.profile_ids,
            "hidden": sorted(hidden),
            "own": not staff,
            "staff": [] if staff else list(STAFF_COLUMNS),
        }
        parts, counts = [], {}
        with connections[using].cursor() as cursor:
            for name, rows in SECTIONS.items():
                cursor.execute(SECTION.format(rows=sql.SQL(rows)), params)
                text, counts[name] = cursor.fetchone()
                parts.append(f'"{name}":{text}')
            for given in _answers(person_exported, person, using, hidden=sorted(hidden)):
                parts += [f'"{name}":{text}' for name, text in given.items()]
            cursor.execute("SELECT to_jsonb(now())::text")
            at = cursor.fetchone()[0]
        PrivacyEvent.objects.using(using).create(
            profile_id=profile_id,
            kind=PrivacyEvent.Kind.EXPORT,
            by=by.pk,
            via=via,
            counts={name: count for name, count in counts.items() if count},
        )
    return Made(f'{{"profile_id":"{profile_id}","exported_at":{at},{",".join(parts)}}}'.encode())


# --- erasure ------------------------------------------------------------------------------------------------------

# What a profile holds when nobody is behind it any more.
NEUTRAL: dict[str, str] = {
    **dict.fromkeys(
        ("contact_email", "first_name", "last_name", "phone", "date_of_birth", "address", "city", "state"), "NULL"
    ),
    "postal_code": "NULL",
    "country": "'USA'",
    "customer_type": "'regular'",
    **dict.fromkeys(("preferred_payment_method", "experience_level", "price_range", "language", "timezone"), "NULL"),
    "legacy_extra": "NULL",
    "notes": "NULL",
    "preferences": "'{}'",
    **dict.fromkeys(("needs", "medical_conditions", "preferred_categories", "preferred_effects"), "'[]'"),
    **dict.fromkeys(("purchase_history", "tags"), "'[]'"),
    **dict.fromkeys(("marketing_consent", "sms_consent", "is_verified"), "false"),
}
# Sales figures, and what says nothing about anybody: their changes stay in history with their values.
KEPT = (
    *("id", "user_id", "loyalty_points", "total_spent", "order_count", "interaction_count", "last_order_date"),
    *("created_at", "updated_at", "merged_into_id", "erased_at"),
    *("users.role", "users.active", "users.tenant_id", "users.password_hash", "users.email_verified"),
    *("users.phone_verified", "users.age_verified", "users.terms_accepted"),
)
PAID = ("cash_amount", "card_amount", "change_given")  # of payment_details
IMPERSONAL_CONFLICTS = ("users.active", "orders.user_id")

# In order. Each under the name of its table, for the count.
STATEMENTS: tuple[tuple[str, str], ...] = (
    (
        "profiles",
        "UPDATE profiles SET {neutral}, updated_at = now(), erased_at = now() WHERE id = ANY(%(profiles)s)",
    ),
    (
        "users",
        """UPDATE users SET email = NULL, active = false, email_verified = false, phone_verified = false,
            age_verified = false, terms_accepted = false, last_login = NULL, updated_at = now() AT TIME ZONE 'UTC'
        WHERE id = ANY(%(users)s)""",
    ),
    # Amounts and items stay: they are the shop's books.
    (
        "orders",
        """UPDATE orders SET delivery_address = NULL, special_instructions = NULL, customer_code = NULL,
            cart_session_id = NULL, payment_details = CASE WHEN jsonb_typeof(payment_details) = 'object' THEN (
                SELECT jsonb_object_agg(d.key, d.value) FROM jsonb_each(payment_details) AS d WHERE d.key = ANY(%(paid)s)
            ) END
        WHERE id = ANY(%(orders)s)""",
    ),
    ("order_events", "UPDATE order_events SET notes = '' WHERE order_id = ANY(%(orders)s) AND notes <> ''"),
    ("refunds", "UPDATE refunds SET reason = '' WHERE order_id = ANY(%(orders)s) AND reason <> ''"),
    # Answers that were kept for a repeated request show the order, or the person.
    (
        "idempotency_keys",
        """DELETE FROM idempotency_keys WHERE caller = ANY(%(user_texts)s)
            OR jsonb_path_query_array(answer, 'strict $.**') ?| %(ids)s::text[]""",
    ),
    (
        "field_conflicts",
        """UPDATE field_conflicts SET chosen_value = NULL, other_value = NULL, path = CASE path WHEN '' THEN '' ELSE
                concat('/', id) END, resolved_at = coalesce(resolved_at, now())
        WHERE profile_id = ANY(%(profiles)s) AND field <> ALL(%(impersonal)s)""",
    ),
    (
        "conflict_decisions",
        """UPDATE conflict_decisions SET before = '{{}}', after = '{{}}', path = CASE path WHEN '' THEN '' ELSE
                concat('/', id) END
        WHERE profile_id = ANY(%(profiles)s)""",
    ),
    ("duplicate_keys", "DELETE FROM duplicate_keys WHERE profile_id = ANY(%(profiles)s)"),
    (
        "merge_suggestions",
        """UPDATE merge_suggestions SET status = 'dismissed', decided_by_id = %(actor)s, decided_at = now()
        WHERE status = 'open' AND (profile_id = ANY(%(profiles)s) OR other_profile_id = ANY(%(profiles)s))""",
    ),
    (
        "profile_merges",
        """UPDATE profile_merges SET before = '{{}}', after = '{{}}', choices = '{{}}'
        WHERE survivor_id = ANY(%(profiles)s) OR other_id = ANY(%(profiles)s)""",
    ),
    # Corrections that nobody has decided yet show what is there and what shall be.
    (
        "corrections",
        """UPDATE corrections SET status = 'discarded', decided_at = now() WHERE status = 'open' AND id IN (
            SELECT correction_id FROM correction_lines WHERE profile_id = ANY(%(profiles)s))""",
    ),
    (
        "correction_lines",
        """DELETE FROM correction_lines WHERE correction_id IN (
            SELECT correction_id FROM correction_lines WHERE profile_id = ANY(%(profiles)s))""",
    ),
    # Nobody comes in any more.
    (
        "token_blacklist_blacklistedtoken",
        """INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at)
        SELECT t.id, now() FROM token_blacklist_outstandingtoken AS t
        WHERE t.user_id = ANY(%(users)s) ON CONFLICT DO NOTHING""",
    ),
    ("api_keys", "UPDATE api_keys SET revoked_at = now() WHERE user_id = ANY(%(users)s) AND revoked_at IS NULL"),
    # Where the address was written down beside the person's own rows.
    ("axes_accessattempt", "DELETE FROM axes_accessattempt WHERE lower(username) = ANY(%(emails)s)"),
    ("axes_accesslog", "DELETE FROM axes_accesslog WHERE lower(username) = ANY(%(emails)s)"),
    ("axes_accessfailurelog", "DELETE FROM axes_accessfailurelog WHERE lower(username) = ANY(%(emails)s)"),
    (
        "django_admin_log",
        "UPDATE django_admin_log SET object_repr = object_id WHERE object_id = ANY(%(person_texts)s)",
    ),
)

# That a column changed stays, what it was and became does not: each change is from and to what it is now, so that the
# chain of changes still leads to the value that is there.
EMPTY_HISTORY = """
UPDATE profile_history AS h SET changes = (
    SELECT jsonb_object_agg(c.key, CASE WHEN c.key = ANY(%(kept)s) THEN c.value
        ELSE jsonb_build_object('old', x.now -> c.key, 'new', x.now -> c.key) END)
    FROM jsonb_each(h.changes) AS c)
FROM (
    SELECT p.id, to_jsonb(p) || jsonb_build_object('users.email', u.email) AS now
    FROM profiles AS p JOIN users AS u ON u.id = p.user_id WHERE p.id = ANY(%(profiles)s)
) AS x
WHERE h.profile_id = x.id AND h.changes - %(kept)s::text[] <> '{}'
"""


def erase(profile_id: uuid.UUID, *, reason: str, by: User | None, via: str, using: str = "default") -> PrivacyEvent:
    """Take the personal data of a person away everywhere; sales figures stay. Done twice, it was done once.

    Problem 400: no reason; 404; 409: the person is on the staff (staff_account), was merged into another (merged), or is
    being written to (busy).
    """
    if not reason.strip():
        detail = "An erasure is recorded with its reason. Say why, without naming anybody."
        raise Problem(
            "invalid", f"reason: {detail}", errors=[{"field": "reason", "code": "required", "detail": detail}]
        )
    with one_at_a_time(profile_id), transaction.atomic(using=using), connections[using].cursor() as cursor:
        person = _person(profile_id, using)
        orders = _lock(cursor, person)
        # Whoever was merged into them while we waited belongs to them too.
        person = _person(profile_id, using)
        profile = Profile.objects.using(using).get(pk=profile_id)
        if profile.erased_at is not None:
            return PrivacyEvent.objects.using(using).filter(profile=profile, kind=PrivacyEvent.Kind.ERASE).latest("id")
        if profile.merged_into_id is not None:
            raise conflict(
                "merged", f"Profile {profile_id} was merged into {profile.merged_into_id}. Erase that one: it is both."
            )
        _refuse_staff(cursor, person)
        sign(using=using, by=by.pk if by else None, via=via)
        emails = _emails(cursor, person)
        counts = _empty(cursor, person, orders, emails, by)
        for given in _answers(person_erased, person, using, order_ids=orders, emails=emails):
            counts |= given
        cursor.execute(EMPTY_HISTORY, {"profiles": person.profile_ids, "kept": list(KEPT)})
        counts["profile_history"] = cursor.rowcount
        return PrivacyEvent.objects.using(using).create(
            profile=profile,
            kind=PrivacyEvent.Kind.ERASE,
            by=by.pk if by else None,
            via=via,
            reason=reason.strip(),
            counts={name: count for name, count in counts.items() if count},
        )


def _lock(cursor: Any, person: _Person) -> list[uuid.UUID]:
    """The person's orders, then the profiles, then the logins, each by id; gives the orders."""
    statement = "SELECT id FROM orders WHERE user_id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
    cursor.execute(statement, [person.user_ids])
    cursor.execute("SELECT id FROM profiles WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [person.profile_ids])
    cursor.execute(statement + " NOWAIT", [person.user_ids])
    orders = [row[0] for row in cursor.fetchall()]
    cursor.execute("SELECT id FROM users WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [person.user_ids])
    return orders


def _refuse_staff(cursor: Any, person: _Person) -> None:
    cursor.execute("SELECT id, role::text FROM users WHERE id = ANY(%s) ORDER BY id", [person.user_ids])
    for user_id, role in cursor.fetchall():
        if role in STAFF_ROLES:
            raise conflict(
                "staff_account",
                f"User {user_id} is a {role}. Make the account a customer's first, then erase it.",
            )


def _emails(cursor: Any, person: _Person) -> list[str]:
    """Every address under which the person is or was known, in lower case."""
    cursor.execute(
        """
        SELECT DISTINCT lower(found.email) FROM (
            SELECT e.email FROM profiles AS p JOIN users AS u ON u.id = p.user_id
            CROSS JOIN LATERAL (VALUES (u.email), (p.contact_email)) AS e (email) WHERE p.id = ANY(%(profiles)s)
            UNION ALL
            SELECT v.value FROM profile_history AS h
            CROSS JOIN LATERAL jsonb_each(h.changes) AS c
            CROSS JOIN LATERAL jsonb_each_text(c.value) AS v
            WHERE h.profile_id = ANY(%(profiles)s) AND c.key IN ('users.email', 'contact_email')
        ) AS found (email)
        WHERE btrim(found.email) <> '' ORDER BY 1""",
        {"profiles": person.profile_ids},
    )
    return [row[0] for row in cursor.fetchall()]


def _empty(cursor: Any, person: _Person, orders: list[uuid.UUID], emails: list[str], by: User | None) -> dict[str, int]:
    """Rows that were emptied, by table."""
    person_texts = [str(value) for value in (*person.profile_ids, *person.user_ids)]
    params = {
        "profiles": person.profile_ids,
        "users": person.user_ids,
        "orders": orders,
        "emails": emails,
        "user_texts": [str(value) for value in person.user_ids],
        "person_texts": person_texts,
        "ids": [*person_texts, *map(str, orders)],
        "paid": list(PAID),
        "impersonal": list(IMPERSONAL_CONFLICTS),
        "actor": by.pk if by else None,
    }
    neutral = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.SQL(value)) for name, value in NEUTRAL.items()
    )
    counts = {}
    cursor.execute(KEEP_DATES, ["on"])
    for table, statement in STATEMENTS:
        cursor.execute(sql.SQL(statement).format(neutral=neutral), params)
        counts[table] = cursor.rowcount
    cursor.execute(KEEP_DATES, ["off"])
    for user_id in person.user_ids:
        cursor.execute("UPDATE users SET password_hash = %s WHERE id = %s", [make_password(None), user_id])
    return counts
