"""The rules of the unification in plain Python: what must come out of given legacy rows, written from the specification.

`expect` computes it from rows as JSON; `read_legacy` and `read_outcome` read the same shapes from a database. A person is
named by the users id, or, where the unification makes the account, by "made:" and the id of the primary customers row.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

Row = dict[str, Any]
Legacy = dict[str, list[Row]]

KEYS = {"users": "id", "customers": "id", "customer_profiles": "customer_id", "user_profiles": "id", "orders": "id"}


class Conflict(NamedTuple):
    """A value that lost; the values are `frozen`."""

    person: str
    field: str
    path: str
    rule: str
    chosen: Hashable
    chosen_source: tuple[str, str] | None
    other: Hashable
    other_table: str
    other_row: str


class Identity(NamedTuple):
    """Whose customers row it is, by which case, and why it was not merged."""

    person: str
    case: str
    position: int
    reason: str | None


@dataclass
class Outcome:
    """All that the unification decides."""

    identities: dict[str, Identity] = field(default_factory=dict)
    attachments: dict[tuple[str, str], tuple[str | None, str | None]] = field(default_factory=dict)
    profile_ids: dict[str, str | None] = field(default_factory=dict)  # None: a new one
    profiles: dict[str, dict[str, Hashable]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    conflicts: set[Conflict] = field(default_factory=set)
    suggestions: set[tuple[str, str, str]] = field(default_factory=set)
    orders: dict[str, str | None] = field(default_factory=dict)
    made_users: dict[str, tuple[str | None, bool | None]] = field(default_factory=dict)

    def differences(self, other: "Outcome") -> list[str]:
        """Every difference in words; `self` is what was expected."""
        found = []
        for part in ("identities", "attachments", "profile_ids", "aliases", "orders", "made_users"):
            mine, theirs = getattr(self, part), getattr(other, part)
            for key in sorted(mine.keys() | theirs.keys(), key=str):
                if mine.get(key, "-") != theirs.get(key, "-"):
                    found.append(f"{part} {key}: expected {mine.get(key, '-')}, found {theirs.get(key, '-')}")
        for person in sorted(self.profiles.keys() | other.profiles.keys()):
            expected, got = self.profiles.get(person, {}), other.profiles.get(person, {})
            for column in sorted(expected.keys() | got.keys()):
                if expected.get(column, "-") != got.get(column, "-"):
                    found.append(
                        f"profiles {person} {column}: expected {expected.get(column, '-')!r},"
                        f" found {got.get(column, '-')!r}"
                    )
        for part in ("conflicts", "suggestions"):
            mine, theirs = getattr(self, part), getattr(other, part)
            found += [f"{part}: expected {one}" for one in sorted(mine - theirs, key=str)]
            found += [f"{part}: found {one}" for one in sorted(theirs - mine, key=str)]
        return found


# --- values -------------------------------------------------------------------------------------------------------


def frozen(value: Any) -> Hashable:
    """A JSON value as jsonb compares it: 1 equals 1.0 and not true, keys have no order."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    if isinstance(value, int | float | Decimal):
        return ("number", Decimal(str(value)))
    if isinstance(value, list):
        return ("list", tuple(map(frozen, value)))
    return ("object", frozenset((key, frozen(item)) for key, item in value.items()))


def text_says(value: Any) -> bool:
    return value is not None and value.strip() != ""


def json_says(value: Any) -> bool:
    return not (value is None or (isinstance(value, str | list | dict) and len(value) == 0))


def address_says(value: Any) -> bool:
    return value is not None and value.strip() not in ("", "null", "{}", "[]", '""')


def known(value: Any) -> bool:
    return value is not None


def moment(text: str) -> tuple[Any, ...]:
    """A timestamp as PostgreSQL writes it, in a form that sorts: eras, years of any length and the infinities."""
    if text in ("infinity", "-infinity"):
        return (1,) if text == "infinity" else (-1,)
    text, _, era = text.partition(" ")
    year, rest = text.split("-", 1)
    return (0, -int(year) if era == "BC" else int(year), rest)


def newest_first(rows: Iterable[Row], key: str = "id") -> list[Row]:
    """By updated_at, else created_at; unknown times last; ties in the order of the keys."""
    ordered = sorted(rows, key=lambda row: row[key])
    timed = [row for row in ordered if row["updated_at"] or row["created_at"]]
    timed.sort(key=lambda row: moment(row["updated_at"] or row["created_at"]), reverse=True)
    return timed + [row for row in ordered if not (row["updated_at"] or row["created_at"])]


def usable(email: str) -> bool:
    """Whether a trimmed, lowered text looks like an address."""
    local, _, domain = email.partition("@")
    return (
        email.count("@") == 1
        and not any(map(str.isspace, email))
        and local != ""
        and "." in domain[1:-1]
        and len(email) <= 254
    )


def plain_lower(text: str) -> str:
    """Letter by letter, as PostgreSQL does it; Python's own lower() looks at the letters around."""
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


def spelled_uuid(text: str) -> str | None:
    """The uuid that PostgreSQL reads in a text: hyphens after any group of four digits, or none, in braces or not."""
    if text.startswith("{") and text.endswith("}") and len(text) > 1:
        text = text[1:-1]
    digits = ""
    for at, part in enumerate(re.split(r"(?<=[0-9a-fA-F])-(?=[0-9a-fA-F])", text)):
        if len(part) % 4 or (part == "" and at):
            return None
        digits += part
    if not re.fullmatch(r"[0-9a-fA-F]{32}", digits):
        return None
    digits = digits.lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def address_parts(text: str | None) -> Row:
    """The object that an address spells, if any."""
    try:
        parts = json.loads(text or "", parse_float=Decimal, parse_constant=no_constant)
        spoken = json.dumps(parts, ensure_ascii=False, default=str)
        spoken.encode()  # half a surrogate pair is no character
    except ValueError:
        return {}
    return parts if isinstance(parts, dict) and r"\u0000" not in spoken else {}


def address_part(parts: Row, key: str, width: int) -> str | None:
    """A part that is a text or a number, says something and fits its column."""
    value = parts.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    text = value if isinstance(value, str) else f"{value:f}" if isinstance(value, Decimal) else str(value)
    return text if text_says(text) and len(text) <= width else None


def merged(newer: Row, older: Row) -> Row:
    """Two preferences: the newer wins key by key, at any depth; a blank wins over nothing but a blank."""
    result = dict(older)
    for key, value in newer.items():
        before = older.get(key)
        if key not in older or (not json_says(value) and not json_says(before)):
            result[key] = value
        elif json_says(value):
            both = isinstance(value, dict) and isinstance(before, dict)
            result[key] = merged(value, before) if both else value
    return result


def lost_paths(source: Any, result: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Key path, chosen and losing value of whatever `source` says and `result` does not."""
    if isinstance(source, dict) and isinstance(result, dict):
        for key, value in source.items():
            yield from lost_paths(value, result.get(key), (*path, key))
    elif json_says(source) and frozen(source) != frozen(result):
        yield path, result, source


def at_path(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


# --- the person ---------------------------------------------------------------------------------------------------

# Customers' columns that follow "first": the linked row, the login, guests newest first.
ALSO_IN_USERS = {"first_name": text_says, "last_name": text_says, "phone": text_says, "date_of_birth": known}
BLOCK = {"address": None, "city": 100, "state": 50, "postal_code": 20, "country": 100}
ADDRESS_KEYS = {"city": "city", "state": "province", "postal_code": "postal_code", "country": "country"}


class Source(NamedTuple):
    """A row, the table it stands in, and its key."""

    table: str
    key: str
    row: Row


@dataclass
class Person:
    """All legacy rows of one person; `customers` and `attached` with the decisive row first."""

    name: str
    login: Row | None = None
    case: str | None = None
    customers: list[Row] = field(default_factory=list)
    attached: list[Source] = field(default_factory=list)

    @property
    def users_row(self) -> list[Source]:
        return [Source("users", self.login["id"], self.login)] if self.login else []

    @property
    def linked(self) -> list[Source]:
        return self._customers[:1] if self.case == "linked" else []

    @property
    def _customers(self) -> list[Source]:
        return [Source("customers", row["id"], row) for row in self.customers]

    @property
    def guests(self) -> list[Source]:
        return self._customers[len(self.linked) :]

    @property
    def sources(self) -> list[Source]:
        """In the order in which the rules ask them."""
        return self.linked + self.users_row + self.guests + self.attached

    def having(self, column: str, *tables: str) -> list[Source]:
        return [source for source in self.sources if source.table in tables and column in source.row]


def consolidate(person: Person) -> tuple[dict[str, Any], list[Conflict]]:
    """The profile of a person, column by column, and the values that lost."""
    profile: dict[str, Any] = {}
    conflicts: list[Conflict] = []

    def holder(sources: list[Source], column: str, value: Any, path: tuple[str, ...] = ()) -> tuple[str, str] | None:
        if value is None:
            return None
        for table, key, row in sources:
            if frozen(at_path(row[column], path)) == frozen(value):
                return table, key
        return None

    def loses(
        column: str, rule: str, source: Source, other: Any, winner: tuple[str, str] | None, chosen: Any, path: str = ""
    ) -> None:
        conflicts.append(
            Conflict(person.name, column, path, rule, frozen(chosen), winner, frozen(other), source.table, source.key)
        )

    def first(column: str, says: Callable[[Any], bool], *tables: str, default: str | None = None) -> None:
        sources = person.having(column, *tables)
        telling = [source for source in sources if says(source.row[column]) and source.row[column] != default]
        profile[column] = telling[0].row[column] if telling else default
        for source in telling[1:]:
            if frozen(source.row[column]) != frozen(profile[column]):
                loses(column, "first", source, source.row[column], telling[0][:2], profile[column])

    def shaped(column: str, shape: type, *tables: str) -> list[Source]:
        """The sources with the right shape; the others are remembered for `misshapen`."""
        return [source for source in person.having(column, *tables) if isinstance(source.row[column], shape)]

    def misshapen(column: str, shape: type, *tables: str) -> None:
        for source in person.having(column, *tables):
            value = source.row[column]
            if json_says(value) and not isinstance(value, shape):
                winner = holder(person.having(column, *tables), column, profile[column])
                loses(column, "shape", source, value, winner, profile[column])

    def union(column: str, *tables: str) -> None:
        entries: dict[Hashable, Any] = {}
        sources = [s for table in tables for s in shaped(column, list, table)]
        for source in sources:
            for entry in source.row[column]:
                entries.setdefault(frozen(entry), entry)
        profile[column] = list(entries.values())
        misshapen(column, list, *tables)

    def total(column: str, *tables: str) -> None:
        profile[column] = sum((source.row[column] or 0 for source in person.having(column, *tables)), start=0)

    for column, says in ALSO_IN_USERS.items():
        first(column, says, "customers", "users")
    first("customer_type", text_says, "customers", "user_profiles", default="regular")
    first("preferred_payment_method", text_says, "customers")
    for column in ("experience_level", "language", "timezone"):
        first(column, text_says, "user_profiles")

    # The address, as one block.
    rows = person.having("city", "customers")
    told = [
        (
            source,
            {
                column: source.row[column]
                if (address_says if column == "address" else text_says)(source.row[column])
                else None
                for column in BLOCK
            },
        )
        for source in rows
    ]
    blocks = [
        (source, cells)
        for source, cells in told
        if any(value not in ((None, "USA") if column == "country" else (None,)) for column, value in cells.items())
    ]
    if blocks:
        winner, block = blocks[0][0], dict(blocks[0][1])
        parts = address_parts(block["address"])
        for column, key in ADDRESS_KEYS.items():
            part = address_part(parts, key, BLOCK[column] or 0)
            if block[column] is None or (column == "country" and block[column] == "USA"):
                block[column] = part if part is not None else block[column]
        for source, cells in told:
            for column, value in cells.items():
                if value not in (None, block[column]) and not (column == "country" and value == "USA"):
                    chosen = block[column]
                    loses(column, "block", source, value, None if chosen is None else winner[:2], chosen)
    else:
        block = dict.fromkeys(BLOCK) | {"country": told[0][1]["country"] if told else "USA"}
    profile |= block

    for column in ("loyalty_points", "total_spent", "order_count"):
        total(column, "customers")
    total("interaction_count", "customer_profiles", "user_profiles")
    orders = [s.row["last_order_date"] for s in rows if s.row["last_order_date"]]
    profile["last_order_date"] = max(orders, key=moment, default=None)
    for column, extreme in (("created_at", min), ("updated_at", max)):
        times = [source.row[column] for source in person.sources if source.row[column]]
        profile[column] = extreme(times, key=moment, default=None)

    # Preferences, newest first.
    preferences: Row = {}
    sources = shaped("preferences", dict, "customer_profiles", "user_profiles")
    for source in sources:
        preferences = merged(preferences, source.row["preferences"])
    profile["preferences"] = preferences
    for source in sources:
        for path, chosen, other in lost_paths(source.row["preferences"], preferences):
            pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)
            where = holder(sources, "preferences", chosen, path)
            loses("preferences", "merge", source, other, where, chosen, pointer)
    misshapen("preferences", dict, "customer_profiles", "user_profiles")

    for column in ("needs", "medical_conditions", "preferred_categories", "preferred_effects"):
        union(column, "user_profiles")
    union("tags", "customers")
    union("purchase_history", "customer_profiles", "user_profiles")

    ranges = shaped("price_range", dict, "user_profiles")
    ranges = [source for source in ranges if json_says(source.row["price_range"])]
    profile["price_range"] = ranges[0].row["price_range"] if ranges else None
    for source in ranges[1:]:
        if frozen(source.row["price_range"]) != frozen(profile["price_range"]):
            value = source.row["price_range"]
            loses("price_range", "first", source, value, ranges[0][:2], profile["price_range"])
    misshapen("price_range", dict, "user_profiles")

    # Notes, oldest first; a row that does not know when it was made comes last.
    by_age = sorted(rows, key=lambda s: s.key)
    by_age = sorted((s for s in by_age if s.row["created_at"]), key=lambda s: moment(s.row["created_at"])) + [
        s for s in by_age if not s.row["created_at"]
    ]
    notes = dict.fromkeys(s.row["notes"] for s in by_age if text_says(s.row["notes"]))
    profile["notes"] = "\n\n".join(notes) if notes else None

    # Consents, and the like.
    marketing = person.having("marketing_consent", "customers", "users")
    profile["marketing_consent"] = all(s.row["marketing_consent"] is True for s in marketing)
    profile["sms_consent"] = bool(rows) and all(s.row["sms_consent"] is True for s in rows)
    if person.linked:
        profile["is_verified"] = person.linked[0].row["is_verified"] is True
    elif rows:
        profile["is_verified"] = all(s.row["is_verified"] is True for s in rows)
    else:
        assert person.login
        profile["is_verified"] = True in (person.login["email_verified"], person.login["phone_verified"])
    for column, copies in (("marketing_consent", marketing), ("sms_consent", rows), ("is_verified", rows)):
        for source in copies:
            if source.row[column] is True and not profile[column]:
                loses(column, "consent", source, True, holder(copies, column, False), False)

    return profile, conflicts


# --- the unification ----------------------------------------------------------------------------------------------


def contradict(one: Any, other: Any) -> bool:
    return one is not None and other is not None and one != other


def expect(legacy: Legacy, lower: Callable[[str], str] = plain_lower) -> Outcome:
    """What must come out of `legacy`; `lower` is the database's notion of lower case."""

    def spelled(email: str) -> str:
        return lower(email.strip())

    outcome = Outcome()
    users = {row["id"]: row for row in legacy["users"]}
    logins: dict[str, list[Row]] = defaultdict(list)
    for user in legacy["users"]:
        logins[spelled(user["email"])].append(user)
    people = {user_id: Person(user_id, user) for user_id, user in users.items()}

    # Linked rows, then guests by the account or the address that would make them one person.
    linked: dict[str, Row] = {}
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    separate: list[tuple[Row, str | None]] = []
    for row in legacy["customers"]:
        if row["user_id"] in users:
            linked[row["user_id"]] = row
            people[row["user_id"]].customers.append(row)
            people[row["user_id"]].case = "linked"
    for row in legacy["customers"]:
        if row["user_id"] in users:
            continue
        email = spelled(row["email"])
        accounts = logins.get(email, [])
        if not usable(email):
            separate.append((row, None))
        elif not accounts:
            groups["new_user", email].append(row)
        elif len(accounts) > 1:
            separate.append((row, "shared_address"))
        elif accounts[0]["email_verified"] is not True:
            separate.append((row, "unverified_address"))
        elif contradict(row["date_of_birth"], accounts[0]["date_of_birth"]) or contradict(
            row["date_of_birth"], linked.get(accounts[0]["id"], {}).get("date_of_birth")
        ):
            separate.append((row, "birth_date"))
        else:
            groups["matched", accounts[0]["id"]].append(row)

    reasons: dict[str, str | None] = {}
    accounts_of: dict[str, list[str]] = defaultdict(list)
    for (case, who), rows in groups.items():
        rows = newest_first(rows)
        reference = next((row["date_of_birth"] for row in rows if row["date_of_birth"] is not None), None)
        separate += [(row, "birth_date") for row in rows if contradict(row["date_of_birth"], reference)]
        merging = [row for row in rows if not contradict(row["date_of_birth"], reference)]
        if case == "new_user":
            primary = merging[0]
            name = f"made:{primary['id']}"
            people[name] = Person(name, case=case, customers=merging)
            outcome.made_users[name] = (primary["email"].strip(), primary["is_active"])
            accounts_of[who].append(name)
        else:
            people[who].customers += merging
            people[who].case = people[who].case or "matched"
    for row, reason in separate:
        name = f"made:{row['id']}"
        people[name] = Person(name, case="separate", customers=[row])
        outcome.made_users[name] = (None, row["is_active"])
        reasons[name] = reason
    for user in users.values():
        accounts_of[spelled(user["email"])].append(user["id"])

    owner: dict[str, str] = {}
    for person in people.values():
        for position, row in enumerate(person.customers, 1):
            owner[row["id"]] = person.name
            case = "matched" if person.case == "linked" and position > 1 else person.case
            assert case
            outcome.identities[row["id"]] = Identity(person.name, case, position, reasons.get(person.name))
            if position > 1:
                outcome.aliases[row["id"]] = person.name
        outcome.profile_ids[person.name] = person.customers[0]["id"] if person.customers else None

    _attach(legacy, outcome, people, owner, logins, spelled)

    for person in people.values():
        profile, conflicts = consolidate(person)
        primary = person.customers[0] if person.customers else None
        profile["contact_email"] = None
        if person.case == "separate":
            assert primary
            profile["contact_email"] = primary["email"]
        elif person.case == "linked":
            assert primary
            assert person.login
            another = spelled(primary["email"]) != spelled(person.login["email"])
            if text_says(primary["email"]) and another:
                profile["contact_email"] = primary["email"]
        active = person.login["active"] if person.login else outcome.made_users[person.name][1]
        for row in person.customers:
            if row["is_active"] is not None and row["is_active"] is not active:
                conflicts.append(
                    Conflict(
                        person.name,
                        "users.active",
                        "",
                        "login",
                        frozen(active),
                        ("users", person.name),
                        frozen(row["is_active"]),
                        "customers",
                        row["id"],
                    )
                )
        outcome.profiles[person.name] = {column: frozen(value) for column, value in profile.items()}
        outcome.conflicts |= set(conflicts)

    for name, reason in reasons.items():
        if reason:
            for account in accounts_of[spelled(people[name].customers[0]["email"])]:
                outcome.suggestions.add((name, account, reason))
    for email, same in logins.items():
        ids = sorted(user["id"] for user in same)
        if email:
            outcome.suggestions |= {(other, ids[0], "same_login") for other in ids[1:]}

    for order in legacy["orders"]:
        customers_user = owner.get(order["customer_id"])
        own = order["user_id"] if order["user_id"] in users else None
        outcome.orders[order["id"]] = own or customers_user
        if own and customers_user and own != customers_user:
            outcome.conflicts.add(
                Conflict(
                    own,
                    "orders.user_id",
                    "",
                    "order",
                    frozen(own),
                    ("orders", order["id"]),
                    frozen(customers_user),
                    "customers",
                    order["id"],
                )
            )
    return outcome


def _attach(
    legacy: Legacy,
    outcome: Outcome,
    people: dict[str, Person],
    owner: dict[str, str],
    logins: dict[str, list[Row]],
    spelled: Callable[[str], str],
) -> None:
    """Hand the recommender's and the sessions' rows to their persons, and say why the others have none."""
    found: dict[str, list[Source]] = defaultdict(list)

    def decide(source: str, key: str, row: Row, person: str | None, reason: str | None) -> None:
        outcome.attachments[source, key] = (person, None if person else reason)
        if person:
            found[person].append(Source(source, key, row))

    for row in legacy["customer_profiles"]:
        customer = spelled_uuid(row["customer_id"])
        decide("customer_profiles", row["customer_id"], row, owner.get(customer or ""), "no_customer")
    for row in legacy["user_profiles"]:
        carriers = [
            user["id"]
            for user in legacy["users"]
            if text_says(user["session_id"]) and user["session_id"] == row["session_id"]
        ]
        email = spelled(row["email"] or "")
        accounts = logins.get(email, []) if usable(email) else []
        person, reason = None, "nobody"
        if carriers:
            person, reason = (carriers[0], "") if len(carriers) == 1 else (None, "several")
        elif len(accounts) > 1:
            reason = "several"
        elif accounts:
            person = accounts[0]["id"] if accounts[0]["email_verified"] is True else None
            reason = "unverified"
        decide("user_profiles", row["id"], row, person, reason)
    for name, sources in found.items():
        # One table's rows before the other's where the times are equal.
        order = {id(row): at for at, row in enumerate(newest_first(_keyed(sources), "order_key"))}
        people[name].attached = sorted(sources, key=lambda source: order[id(source.row)])


def _keyed(sources: list[Source]) -> list[Row]:
    for source in sources:
        source.row["order_key"] = (source.table, source.key)
    return [source.row for source in sources]


# --- reading ------------------------------------------------------------------------------------------------------

PROFILE_TIMES = ("last_order_date", "created_at", "updated_at")
_TIMES = ", ".join(f"'{name}', to_jsonb(p.{name} AT TIME ZONE 'UTC')" for name in PROFILE_TIMES)


def _select(connection: BaseDatabaseWrapper, statement: str) -> list[Any]:
    """The rows of a statement that gives one json column."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT found::text FROM ({statement}) AS rows (found)")
        return [json.loads(text, parse_float=Decimal) for (text,) in cursor.fetchall()]


def read_legacy(connection: BaseDatabaseWrapper, prefix: str = "backup_") -> Legacy:
    """The legacy rows; an address that an older installation holds as JSON comes as the text that it is, or spells."""
    legacy = {table: _select(connection, f"SELECT to_jsonb(t) FROM {prefix}{table} AS t") for table in KEYS}
    texts = dict(_select(connection, f"SELECT jsonb_build_array(id, address::text) FROM {prefix}customers"))
    for row in legacy["customers"]:
        if not isinstance(row["address"], str):
            row["address"] = texts[row["id"]]
    return legacy


def database_lower(connection: BaseDatabaseWrapper, legacy: Legacy) -> Callable[[str], str]:
    """PostgreSQL's lower() for every address in `legacy`, under the collation that knows more than ASCII."""
    emails = {(row.get("email") or "").strip() for rows in legacy.values() for row in rows}
    with connection.cursor() as cursor:
        cursor.execute("SELECT e, unification_email(e) FROM unnest(%s::text[]) AS e", [sorted(emails)])
        found = dict(cursor.fetchall())
    return found.__getitem__


def read_outcome(connection: BaseDatabaseWrapper) -> Outcome:
    """What the database holds, in the shape of `expect`; `legacy_identities` says which accounts were made."""
    outcome = Outcome()
    profiles = _select(
        connection,
        f"SELECT to_jsonb(p) - ARRAY['search_text', 'merged_into_id', 'erased_at', 'legacy_extra'] || jsonb_build_object({_TIMES}) FROM profiles AS p",
    )
    users = {row["id"]: row for row in _select(connection, "SELECT to_jsonb(u) FROM users AS u")}
    identities = _select(connection, "SELECT to_jsonb(i) FROM legacy_identities AS i")
    cases = {row["user_id"]: row["case"] for row in identities}
    made = {user_id for user_id, case in cases.items() if case in ("new_user", "separate")}
    names: dict[Any, str] = {None: ""}
    names |= {p["user_id"]: f"made:{p['id']}" if p["user_id"] in made else p["user_id"] for p in profiles}
    by_profile = {p["id"]: names[p["user_id"]] for p in profiles}
    with_customers = {row["user_id"] for row in identities}

    def name(user_id: str | None) -> str | None:
        return None if user_id is None else names[user_id]

    for row in identities:
        outcome.identities[row["customer_id"]] = Identity(
            names[row["user_id"]], row["case"], row["position"], row["reason"]
        )
    for row in _select(connection, "SELECT to_jsonb(a) FROM legacy_attachments AS a"):
        outcome.attachments[row["source"], row["key"]] = (name(row["user_id"]), row["reason"])
    for profile in profiles:
        person = names[profile["user_id"]]
        outcome.profile_ids[person] = profile["id"] if profile["user_id"] in with_customers else None
        outcome.profiles[person] = {
            column: frozen(value) for column, value in profile.items() if column not in ("id", "user_id")
        }
    for row in _select(connection, "SELECT to_jsonb(a) FROM profile_aliases AS a"):
        outcome.aliases[row["id"]] = by_profile[row["profile_id"]]
    for row in _select(connection, "SELECT to_jsonb(f) FROM field_conflicts AS f"):
        of_order = row["field"] == "orders.user_id"
        source = (row["chosen_table"], names.get(row["chosen_row"], row["chosen_row"]))
        outcome.conflicts.add(
            Conflict(
                by_profile[row["profile_id"]],
                row["field"],
                row["path"],
                row["rule"],
                frozen(row["chosen_value"]),
                None if source == (None, "") else source,
                frozen(names[row["other_value"]] if of_order else row["other_value"]),
                row["other_table"],
                row["other_row"],
            )
        )
    for row in _select(connection, "SELECT to_jsonb(s) FROM merge_suggestions AS s"):
        outcome.suggestions.add((by_profile[row["profile_id"]], by_profile[row["other_profile_id"]], row["reason"]))
    for row in _select(connection, "SELECT to_jsonb(o) FROM orders AS o"):
        outcome.orders[row["id"]] = name(row["user_id"])
    for user_id in made:
        outcome.made_users[names[user_id]] = (users[user_id]["email"], users[user_id]["active"])
    return outcome
