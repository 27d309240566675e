"""Corrections by a file: the dry run names every difference and every problem; then all of it is written, or nothing."""

import datetime
import threading
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.roles import Role
from config.api.problems import Problem
from profiles.models import Correction, CorrectionLine, Profile, ProfileHistory
from profiles.services import corrections, merging, privacy, profile_service
from profiles.sheets import upload
from profiles.sheets.comparison import compare
from tests.databases import rows
from tests.factories import UserFactory, person
from tests.profiles.sheets.files import exported, written

pytestmark = pytest.mark.django_db
TENANT = uuid.UUID("10000000-0000-4000-8000-000000000001")


def boss(**columns: Any) -> User:
    return UserFactory(**{"role": Role.SUPER_ADMIN, "email": "boss@example.com", **columns})


def dry_run(content: bytes | str, by: User) -> Correction:
    return corrections.dry_run(content.encode() if isinstance(content, str) else content, file_name="a.csv", by=by)


def problems(found: Correction) -> list[tuple[int, str, str]]:
    return [
        (line.line, problem["column"], problem["detail"])
        for line in found.lines.order_by("line")
        for problem in line.problems
    ]


def refusal(work: Any, *args: Any, **given: Any) -> tuple[int, str, str]:
    with pytest.raises(Problem) as refused:
        work(*args, **given)
    return refused.value.status_code, refused.value.code, refused.value.text


def test_dry_run_shows_old_and_new_and_writes_nobody() -> None:
    by, ann = boss(), person(first_name="Ann", phone="1", tags=["a"], date_of_birth=datetime.date(1980, 1, 2))
    person(first_name="Olga")
    before = rows("SELECT p::text FROM profiles AS p ORDER BY id")
    people = exported(by, pk__in=[ann.pk])
    people[0] |= {"first_name": "Anna", "phone": "", "tags": "a; b", "date_of_birth": "1980-02-01"}
    found = dry_run(written(people), by)
    (line,) = found.lines.all()
    assert (line.line, line.profile_id, line.problems) == (2, ann.pk, [])
    assert line.before == {"first_name": "Ann", "phone": "1", "tags": ["a"], "date_of_birth": "1980-01-02"}
    assert line.after == {"first_name": "Anna", "phone": None, "tags": ["a", "b"], "date_of_birth": "1980-02-01"}
    assert (found.people, found.refused, found.read, found.status) == (1, 0, 1, "open")
    assert found.cells == {"first_name": 1, "phone": 1, "tags": 1, "date_of_birth": 1}
    assert rows("SELECT p::text FROM profiles AS p ORDER BY id") == before


def test_all_differences_are_written_signed_and_the_lines_go() -> None:
    by, ann, olga = boss(), person(first_name="Ann", price_range={"min": 1}), person(marketing_consent=True, phone="7")
    untouched = person(first_name="Cid")
    before = rows("SELECT p::text FROM profiles AS p WHERE id = %s", untouched.pk)
    people = {row["id"]: row for row in exported(by)}
    people[str(ann.pk)] |= {"first_name": "Anna", "price_range": "", "preferences": '{"tea": [1.5]}'}
    people[str(olga.pk)] |= {"marketing_consent": "FALSE"}
    found = dry_run(written(people.values()), by)
    done = corrections.apply(found.pk, by=by)
    assert (done.status, done.people, CorrectionLine.objects.count()) == ("applied", 2, 0)
    ann.refresh_from_db()
    olga.refresh_from_db()
    assert (ann.first_name, ann.price_range, ann.preferences) == ("Anna", None, {"tea": [1.5]})
    assert (olga.marketing_consent, olga.phone) == (False, "7")
    assert rows("SELECT p::text FROM profiles AS p WHERE id = %s", untouched.pk) == before
    entry = ProfileHistory.objects.filter(profile=olga).latest("id")
    assert (entry.via, entry.changed_by) == ("import", by.pk)
    assert set(entry.changes) == {"marketing_consent", "updated_at"}
    assert rows("SELECT count(*) FROM profiles WHERE price_range = 'null'::jsonb") == [(0,)]


def test_file_by_hand_with_the_column_that_it_corrects_is_enough() -> None:
    by, ann = boss(), person(phone="1", notes="kept")
    found = dry_run(f"id;phone\n\n{ann.pk};'+1 613\n", by)
    assert problems(found) == []
    corrections.apply(found.pk, by=by)
    ann.refresh_from_db()
    assert (ann.phone, ann.notes) == ("+1 613", "kept")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The file is empty. Begin with an export of the list."),
        (b"\xef\xbb\xbf\r\n", "The file is empty. Begin with an export of the list."),
        (b"id,phone\n", "The file has no lines but the header. Nobody would change."),
        (
            "id,phone\n1,é".encode("latin-1"),
            "The file is not UTF-8 (byte 11). In a spreadsheet, save it as “CSV UTF-8”.",
        ),
        (b"id,phone\n1,\0", "The file holds NUL characters: it is no CSV. In a spreadsheet, save it as “CSV UTF-8”."),
        (b"phone\n1", "There is no column id, which says whom a line is about. Begin with an export of the list."),
        (b"id,phone,phone\n1,2,3", "The column 'phone' is there 2 times. Leave one."),
        (b"id,Fone\n1,2", "There is no column 'Fone'. Do you mean 'phone'?"),
        (b'id,phone\n"1', "Line 2 is no CSV: unexpected end of data. Save the file as CSV again."),
    ],
)
def test_bad_file_is_refused_as_a_whole_with_the_way_out(content: bytes, told: str) -> None:
    by = boss()
    found = dry_run(content, by)
    assert found.problems == [told]
    assert refusal(corrections.apply, found.pk, by=by)[:2] == (409, "has_problems")


def test_unknown_column_without_a_like_names_those_that_there_are() -> None:
    (told,) = dry_run("id,zzzzzz\n1,2", boss()).problems
    assert told.startswith("There is no column 'zzzzzz'. There are: address, city, ")


def test_other_encodings_of_spreadsheets_are_read() -> None:
    by, ann = boss(), person()
    found = dry_run(f"id\tcity\r\n{ann.pk}\tZürich\r\n".encode("utf-16"), by)
    assert [line.after for line in found.lines.all()] == [{"city": "Zürich"}]


def test_each_bad_line_is_told_with_its_value_and_the_way_out() -> None:
    by, ann, erased = boss(), person(first_name="Ann", loyalty_points=5, is_verified=True), person()
    survivor, shell = person(), person()
    merging.merge(survivor.pk, shell.pk, token=merging.preview(survivor.pk, shell.pk).token, by=None, via="api")
    privacy.erase(erased.pk, reason="asked", by=None, via="api")
    nobody = uuid.uuid4()
    lines = [
        "id,first_name,date_of_birth,is_verified,language,loyalty_points,preferences",
        f"{ann.pk},Anna,2/1/1980,perhaps,far too long,6,{{",
        f"{ann.pk},Anna,,,,5,",
        f"{nobody},x,,,,,",
        f"{erased.pk},x,,,,,",
        f"{shell.pk},x,,,,,",
        "12,x,,,,,",
        ",x,,,,,",
        "one,two",
    ]
    found = dry_run("\n".join(lines), by)
    assert problems(found) == [
        (2, "date_of_birth", "“2/1/1980” value has an invalid date format. It must be in YYYY-MM-DD format."),
        (2, "is_verified", "'perhaps' is neither true nor false. Write one of them."),
        (2, "language", "Ensure this value has at most 10 characters (it has 12)."),
        (2, "loyalty_points", "loyalty_points is there to be read. Leave it as it was ('5'), or leave it out."),
        (
            2,
            "preferences",
            "preferences is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1). "
            "Write it as the export does, or leave it as it is.",
        ),
        (3, "id", "Line 2 is about the same person. Leave one of them."),
        (4, "id", f"There is no person {nobody}. Copy the id from an export, or leave the line out."),
        (5, "id", "The person's data was erased. Leave the line out."),
        (6, "id", f"The id leads to {survivor.pk} by now: they are one person. Export again."),
        (7, "id", "'12' is no id. Copy it from an export."),
        (8, "id", upload.NO_ID),
        (9, "id", "The line has 2 cells, the header 7. Put quotes around a cell with a separator in it."),
    ]
    assert found.lines.get(line=2).problems[0]["value"] == "2/1/1980"
    assert (found.refused, found.people, found.ignored) == (8, 1, ["loyalty_points"])
    before = rows("SELECT p::text FROM profiles AS p ORDER BY id")
    assert refusal(corrections.apply, found.pk, by=by) == (
        409,
        "has_problems",
        "8 lines have a problem. Nothing was written: repair the file, and hand it in again.",
    )
    assert rows("SELECT p::text FROM profiles AS p ORDER BY id") == before


def test_what_others_changed_since_the_export_is_told_and_not_overwritten() -> None:
    by, ann, till = boss(), person(phone="1", city="Bern"), UserFactory(email="till@example.com", role=Role.STAFF)
    people = exported(by, pk=ann.pk)
    profile_service.update_profile(ann.user_id, {"phone": "2"}, by=till, via="api")
    profile_service.update_loyalty_points(ann.user_id, 5, "a sale")
    at = ProfileHistory.objects.filter(profile=ann, changes__has_key="phone").latest("id").changed_at
    people[0] |= {"phone": "3", "city": "Basel"}
    found = dry_run(written(people), by)
    assert problems(found) == [
        (
            2,
            "phone",
            f"phone was changed since the export, by till@example.com at {at:%Y-%m-%d %H:%M} UTC, from '1' to '2'. "
            "Export again, and repeat the change on that.",
        )
    ]
    # What the file does not touch may have changed: points do all day.
    people[0]["phone"] = "2"
    found = dry_run(written(people), by)
    assert (problems(found), [line.after for line in found.lines.all()]) == ([], [{"city": "Basel"}])
    people[0]["version"] = ""
    assert problems(dry_run(written(people), by)) == [
        (2, "version", "The line has no version. Leave the cell as the export has it.")
    ]


def test_change_between_dry_run_and_apply_stops_all_of_it() -> None:
    by, ann, olga = boss(), person(phone="1"), person(phone="1")
    found = dry_run(f"id,phone\n{ann.pk},2\n{olga.pk},2\n", by)
    profile_service.update_profile(olga.user_id, {"city": "Bern"})  # not what the file changes
    Profile.objects.filter(pk=olga.pk).update(phone="9")
    assert refusal(corrections.apply, found.pk, by=by) == (
        409,
        "changed_since",
        f"Line 3: phone of {olga.pk} was changed since the dry run. Nothing was written. "
        "Hand the file in again to see what it would change now.",
    )
    ann.refresh_from_db()
    assert (ann.phone, Correction.objects.get().status) == ("1", "open")
    Profile.objects.filter(pk=olga.pk).update(phone="1")
    corrections.apply(found.pk, by=by)
    assert set(Profile.objects.filter(pk__in=[ann.pk, olga.pk]).values_list("phone", flat=True)) == {"2"}


def test_person_who_was_merged_or_left_the_tenant_since_stops_all_of_it() -> None:
    by = boss(role=Role.TENANT_ADMIN, tenant_id=TENANT)
    ann, olga = person(tenant_id=TENANT, phone="1"), person(tenant_id=TENANT)
    found = dry_run(f"id,phone\n{ann.pk},2\n", by)
    User.objects.filter(pk=ann.user_id).update(tenant_id=None)
    assert refusal(corrections.apply, found.pk, by=by)[1] == "changed_since"
    User.objects.filter(pk=ann.user_id).update(tenant_id=TENANT)
    merging.merge(olga.pk, ann.pk, token=merging.preview(olga.pk, ann.pk).token, by=None, via="api")
    code, text = refusal(corrections.apply, found.pk, by=by)[1:]
    assert (code, text.partition(" was ")[0]) == ("changed_since", f"Line 2: the person of {ann.pk}")


def test_correction_is_decided_once_and_by_who_handed_it_in() -> None:
    by, ann = boss(), person(phone="1")
    found = dry_run(f"id,phone\n{ann.pk},2\n", by)
    other = UserFactory(role=Role.SUPER_ADMIN)
    for work in (corrections.get, corrections.apply, corrections.discard):
        assert refusal(work, found.pk, by=other)[:2] == (404, "not_found")
    corrections.apply(found.pk, by=by)
    for work in (corrections.apply, corrections.discard):
        status, code, text = refusal(work, found.pk, by=by)
        assert (status, code) == (409, "decided")
        assert text.startswith("It was applied at ")
    dropped = dry_run(f"id,phone\n{ann.pk},3\n", by)
    corrections.discard(dropped.pk, by=by)
    assert (CorrectionLine.objects.count(), refusal(corrections.apply, dropped.pk, by=by)[1]) == (0, "decided")
    nothing = dry_run(f"id,phone\n{ann.pk},2\n", by)
    assert refusal(corrections.apply, nothing.pk, by=by)[1] == "nothing_to_do"


def test_people_and_columns_that_the_reader_may_not_see_are_unknown() -> None:
    by = boss(role=Role.STORE_MANAGER, tenant_id=TENANT)
    stranger = person(medical_conditions=["asthma"])
    (told,) = dry_run(f"id,medical_conditions\n{stranger.pk},x\n", by).problems
    assert told.startswith("There is no column 'medical_conditions'.")
    found = dry_run(f"id,phone\n{stranger.pk},x\n", by)
    assert problems(found) == [
        (2, "id", f"There is no person {stranger.pk}. Copy the id from an export, or leave the line out.")
    ]


def test_file_that_is_too_large_is_refused_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    by = boss()
    people = [person() for _ in range(3)]
    content = "id,city\n" + "".join(f"{profile.pk},Bern\n" for profile in people)
    monkeypatch.setattr(corrections, "MOST_PEOPLE", 2)
    found = dry_run(content, by)
    assert found.problems == ["The file changes 3 people; 2 are the most in one go. Split it."]
    assert (found.lines.count(), refusal(corrections.apply, found.pk, by=by)[1]) == (2, "has_problems")
    monkeypatch.setattr(upload, "MOST_LINES", 2)
    assert refusal(dry_run, content, by) == (
        400,
        "too_large",
        "The file has more than 2 lines. Leave out people who stay as they are, or split it.",
    )
    monkeypatch.setattr(upload, "MOST_BYTES", 20)
    assert refusal(dry_run, content, by)[2].startswith("The file is larger than 20 bytes. Leave out ")


def test_number_of_queries_does_not_grow_with_the_file() -> None:
    by, people = boss(), [person() for _ in range(6)]

    def asked(n: int) -> int:
        content = "id,city\n" + "".join(f"{profile.pk},Bern {n}\n" for profile in people[:n])
        with CaptureQueriesContext(connection) as queries:
            corrections.apply(dry_run(content, by).pk, by=by)
        return len(queries)

    assert asked(2) == asked(6)


def test_dry_run_that_nobody_decided_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    by, ann = boss(), person()
    old = dry_run(f"id,phone\n{ann.pk},2\n", by)
    Correction.objects.filter(pk=old.pk).update(uploaded_at=timezone.now() - datetime.timedelta(hours=25))
    new = dry_run(f"id,phone\n{ann.pk},3\n", by)
    old.refresh_from_db()
    assert (old.status, [line.correction_id for line in CorrectionLine.objects.all()]) == ("discarded", [new.pk])


def test_erasure_takes_corrections_along_that_are_open() -> None:
    by, ann, olga = boss(), person(phone="zz1"), person()
    found = dry_run(f"id,phone\n{ann.pk},zz2\n{olga.pk},2\n", by)
    privacy.erase(ann.pk, reason="asked", by=None, via="api")
    found.refresh_from_db()
    assert (found.status, CorrectionLine.objects.count()) == ("discarded", 0)


def test_person_who_is_erased_during_the_dry_run_leaves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    by, ann, olga = boss(), person(phone="zz1"), person()

    def compared(*args: Any, **given: Any) -> Any:
        yield from compare(*args, **given)
        privacy.erase(ann.pk, reason="asked", by=None, via="api")

    monkeypatch.setattr(corrections, "compare", compared)
    found = dry_run(f"id,phone\n{ann.pk},zz2\n{olga.pk},2\n", by)
    assert [line.profile_id for line in found.lines.all()] == [olga.pk]


@pytest.mark.django_db(transaction=True)
def test_correction_that_is_applied_twice_at_once_is_written_once() -> None:
    by, ann = boss(), person(phone="1")
    found = dry_run(f"id,phone\n{ann.pk},2\n", by)
    given: list[str] = []

    def work() -> None:
        try:
            given.append(corrections.apply(found.pk, by=by).status)
        except Problem as problem:
            given.append(problem.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(given) == ["applied", "decided", "decided", "decided"]
    assert ProfileHistory.objects.filter(profile=ann, via="import").count() == 1
