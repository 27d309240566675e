"""What the landing page shows. It asks the book-keeping, and counts a table only where that is cheap."""

import datetime
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count

from config.postgresql.counts import of_table
from legacy_customers.unification import backup, identity
from legacy_customers.unification.contract import state
from profiles.models import FieldConflict, MergeSuggestion

from .models import Attachment, CustomerIdentity, Phase, Range, VerificationRun
from .unification.sources import LEGACY_TABLES, existing_tables
from .unification.verify import EVERY, PHASES

NEW_TABLES = ("users", "profiles", "profile_aliases", "orders")

CASES = {
    "linked": "The row names an existing user: it is that user's.",
    "matched": (
        "A guest whose address is that of exactly one verified account, and no birth date contradicts it: "
        "merged into that account."
    ),
    "new_user": (
        "Guests with an address that is nobody's login: one new account per address, claimed by password reset."
    ),
    "separate": (
        "Everything else (an unverified account has the address, several have it, it is no address, birth "
        "dates contradict): a person apart, who cannot log in. Nothing is guessed."
    ),
}
STEPS = {
    "fingerprint": "Columns, constraints, indexes and triggers of the legacy tables are noted.",
    "backup": "The five legacy tables are copied in one snapshot, counted and hashed.",
    "capture": "What the old application writes meanwhile is noted, to be carried over at the end.",
    "old_trigger": "The trigger that copies users into customers will pass over the accounts of guests.",
    "identity": "Every legacy row gets its person; guests get an account.",
    "consolidate": "One profile per person, by the field map; every other old id becomes an alias.",
    "conflicts": "Every value that lost is recorded, every likely pair is suggested.",
    "orders": "Orders that named only a customer get that customer's user.",
    "sync": "From now on each application sees what the other one writes.",
}


@dataclass(frozen=True)
class TableCount:
    """Rows of a table; `estimated` where it is too large to count for a page."""

    table: str
    rows: int
    estimated: bool = False


@dataclass(frozen=True)
class Case:
    """How many customers rows fell under one case of identity, and what that means."""

    name: str
    meaning: str
    rows: int


@dataclass(frozen=True)
class ConflictCount:
    field: str
    rule: str
    count: int


@dataclass(frozen=True)
class SuggestionCount:
    reason: str
    open: int
    decided: int


@dataclass(frozen=True)
class ArchivedCount:
    table: str
    reason: str
    rows: int


@dataclass(frozen=True)
class Step:
    """A phase. `seconds` is None until it has ended; `ranges` is (done, planned) where it works in ranges."""

    name: str
    meaning: str
    rows: int
    seconds: float | None
    ranges: tuple[int, int] | None


@dataclass(frozen=True)
class Check:
    """`not_applicable` says since when there is nothing left to hold against."""

    name: str
    meaning: str
    not_applicable: str
    passed: bool
    rows: int
    explained: int
    differences: int


@dataclass(frozen=True)
class Cells:
    """Where the legacy cells that say something are."""

    total: int
    carried: int
    conflicts: int
    defaults: int
    archived: int
    changed: int
    nowhere: int


@dataclass(frozen=True)
class Verification:
    run_id: int
    taken_at: datetime.datetime
    passed: bool
    checks: tuple[Check, ...]
    cells: Cells | None


@dataclass(frozen=True)
class Overview:
    """The whole page. `todo` says what to run next, where something is left to run."""

    database: str
    todo: str
    command: str
    before: tuple[TableCount, ...]
    after: tuple[TableCount, ...]
    cases: tuple[Case, ...]
    conflicts: tuple[ConflictCount, ...]
    suggestions: tuple[SuggestionCount, ...]
    archived: tuple[ArchivedCount, ...]
    steps: tuple[Step, ...]
    verification: Verification | None

    @property
    def conflict_total(self) -> int:
        return sum(conflict.count for conflict in self.conflicts)


@dataclass(frozen=True)
class Document:
    """A text of the repository that the page links to."""

    name: str
    title: str
    text: str


def overview() -> Overview:
    """Everything that the landing page shows, of a database in whatever state."""
    tables = existing_tables(connection)
    phases = _phases() if "unification_phases" in tables else {}
    verification = last_verification() if "unification_verifications" in tables else None
    todo, command = _todo(tables, phases, verification)
    return Overview(
        database=connection.settings_dict["NAME"],
        todo=todo,
        command=command,
        before=_before(phases),
        after=tuple(_count(table) for table in NEW_TABLES if table in tables) if phases else (),
        cases=_cases(phases),
        conflicts=_conflicts() if "field_conflicts" in tables else (),
        suggestions=_suggestions() if "merge_suggestions" in tables else (),
        archived=_archived() if "legacy_attachments" in tables else (),
        steps=_steps(phases) if "unification_ranges" in tables else (),
        verification=verification,
    )


@dataclass(frozen=True)
class Standing:
    """The unification in short, for the staff's dashboard: what it made of what."""

    before: tuple[TableCount, ...]
    after: tuple[TableCount, ...]
    cases: tuple[Case, ...]


def standing() -> Standing | None:
    """None where no old database was taken over."""
    tables = existing_tables(connection)
    phases = _phases() if "unification_phases" in tables else {}
    if not _has_legacy(phases):
        return None
    return Standing(
        before=_before(phases),
        after=tuple(_count(table) for table in NEW_TABLES if table in tables),
        cases=_cases(phases),
    )


def documents() -> dict[str, Document]:
    """The README, the change log and every page of docs/, by the name in the address."""
    root = settings.BASE_DIR
    found = [path for path in (root / "README.md", root / "CHANGELOG.md") if path.is_file()]
    found += sorted((root / "docs").glob("*.md"))
    pages = {}
    for path in found:
        text = path.read_text(encoding="utf-8")
        title = next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), path.stem)
        pages[path.stem.lower()] = Document(path.relative_to(root).as_posix(), title, text)
    return pages


def _todo(tables: set[str], phases: dict[str, Phase], verification: Verification | None) -> tuple[str, str]:
    if "unification_phases" not in tables or "profiles" not in tables:
        if set(LEGACY_TABLES) <= tables:
            return "A legacy database, as it was found. Nothing has been changed yet.", "manage.py migrate"
        return (
            "This database is empty. Make the tables, or load a sample shop first and then make them.",
            "manage.py load_legacy_sample && manage.py migrate",
        )
    contracted = state.done(connection)
    if "customers_view" not in _views() and "customers_view" not in contracted:
        return "The migration has not finished. It resumes where it stopped.", "manage.py migrate"
    if not _has_legacy(phases):
        return "", ""
    if [name for name in PHASES if name not in phases or phases[name].finished_at is None]:
        return "The unification has not finished. It resumes where it stopped.", "manage.py migrate"
    if verification is None:
        return "The unification has finished. Nobody has verified it yet.", "manage.py verify_unification"
    return "", ""


def _views() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'v' AND pg_table_is_visible(oid)")
        return {name for (name,) in cursor.fetchall()}


def _phases() -> dict[str, Phase]:
    """The phases by name, in the order of their start."""
    return {phase.name: phase for phase in Phase.objects.order_by("started_at", "name")}


def _has_legacy(phases: dict[str, Phase]) -> bool:
    return bool(phases.get("fingerprint") and phases["fingerprint"].detail)


def _detail(phases: dict[str, Phase], name: str) -> dict[str, Any]:
    detail: dict[str, Any] = phases[name].detail if name in phases else {}
    return detail


def _before(phases: dict[str, Phase]) -> tuple[TableCount, ...]:
    backed_up = _detail(phases, backup.PHASE).get("tables", {})
    return tuple(TableCount(table, backed_up[table]["rows"]) for table in LEGACY_TABLES if table in backed_up)


def _count(table: str) -> TableCount:
    found = of_table(connection, table)
    return TableCount(table, found.rows, found.estimated)


def _cases(phases: dict[str, Phase]) -> tuple[Case, ...]:
    counts = _detail(phases, identity.PHASE).get("cases", {})
    if not counts:
        return ()
    labels = dict(CustomerIdentity.Case.choices)
    return tuple(Case(str(labels[name]), meaning, counts.get(name, 0)) for name, meaning in CASES.items())


def _conflicts() -> tuple[ConflictCount, ...]:
    rules = dict(FieldConflict.Rule.choices)
    counts = FieldConflict.objects.values_list("field", "rule").annotate(n=Count("id")).order_by("-n", "field")
    return tuple(ConflictCount(field, str(rules.get(rule, rule)), n) for field, rule, n in counts)


def _suggestions() -> tuple[SuggestionCount, ...]:
    counts = dict.fromkeys(MergeSuggestion.Reason.values, (0, 0))
    for reason, status, n in MergeSuggestion.objects.values_list("reason", "status").annotate(n=Count("id")):
        is_open = status == MergeSuggestion.Status.OPEN
        before = counts.get(reason, (0, 0))
        counts[reason] = (before[0] + n * is_open, before[1] + n * (not is_open))
    labels = dict(MergeSuggestion.Reason.choices)
    return tuple(
        SuggestionCount(str(labels.get(reason, reason)), *numbers) for reason, numbers in counts.items() if any(numbers)
    )


def _archived() -> tuple[ArchivedCount, ...]:
    reasons = dict(Attachment.Reason.choices)
    counts = (
        Attachment.objects.filter(user_id=None)
        .values_list("source", "reason")
        .annotate(n=Count("id"))
        .order_by("source", "reason")
    )
    return tuple(ArchivedCount(source, str(reasons.get(reason, reason)), n) for source, reason, n in counts)


def _steps(phases: dict[str, Phase]) -> tuple[Step, ...]:
    if not _has_legacy(phases):
        return ()
    ranges: dict[str, tuple[int, int]] = {}
    for name, planned, done in Range.objects.values_list("phase").annotate(
        planned=Count("id"), done=Count("finished_at")
    ):
        phase = name.partition(":")[0]
        before = ranges.get(phase, (0, 0))
        ranges[phase] = (before[0] + done, before[1] + planned)
    return tuple(
        Step(
            phase.name,
            STEPS.get(phase.name, ""),
            phase.rows,
            (phase.finished_at - phase.started_at).total_seconds() if phase.finished_at else None,
            ranges.get(phase.name),
        )
        for phase in phases.values()
        if phase.name != "fingerprint"
    )


def last_verification() -> Verification | None:
    """What the judge said last; None before the first time."""
    run = VerificationRun.objects.order_by("-taken_at", "-id").first()
    if run is None:
        return None
    # A report is jsonb, which forgets the order; the checks that we know come in ours.
    meanings = {check.__name__: (check.__doc__ or "").splitlines()[0] for check in EVERY}
    found: dict[str, Any] = run.report.get("checks", {})
    names = [*(name for name in meanings if name in found), *(name for name in found if name not in meanings)]
    checks = tuple(
        Check(
            name,
            meanings.get(name, ""),
            found[name].get("not_applicable", ""),
            found[name]["passed"],
            found[name]["rows"],
            found[name]["explained"],
            found[name]["differences"],
        )
        for name in names
    )
    balance = run.report.get("balance") or []
    columns = ("cells", "carried", "superseded", "defaults", "archived", "traced", "unexplained")
    cells = Cells(*(sum(line[column] for line in balance) for column in columns)) if balance else None
    return Verification(run.pk, run.taken_at, run.passed, checks, cells)
