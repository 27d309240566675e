"""Rows that come, go and change hands while the sync is on: whose they are, and that nobody is lost."""

import json
import threading
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from accounts.services import registration
from config.api.problems import Problem
from legacy_customers.models import LegacyDeletion, MovedLogin
from legacy_customers.sample.persons import row_id
from legacy_customers.unification.verify import verify
from profiles.models import FieldConflict, MergeSuggestion, Profile, ProfileAlias
from tests.databases import one, rows, run
from tests.legacy_customers.test_sync import LINKED, LINKED_USER, MERGED, MERGED_INTO, customer, profile, shared, undone

__all__ = ["shared", "undone"]

GUEST = row_id("guest_alone", "customers")
VERIFIED, VERIFIED_USER = row_id("guest_of_verified_user", "customers"), row_id("guest_of_verified_user", "users")
WITHOUT_ROW = row_id("user_without_customers_row", "users")
APART = row_id("guest_contradicts_user", "customers", 2)


def guest(email: str, **columns: Any) -> uuid.UUID:
    """A customers row as a guest checkout of the old application makes it."""
    names = ["email", *columns]
    found: uuid.UUID = one(
        f"INSERT INTO customers ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id",
        email,
        *columns.values(),
    )
    return found


def legacy_user(email: str, **columns: Any) -> uuid.UUID:
    """A users row as a registration of the old application makes it."""
    names = ["email", "password_hash", *columns]
    found: uuid.UUID = one(
        f"INSERT INTO users ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id",
        email,
        "$2b$10$x",
        *columns.values(),
    )
    return found


def person_of(customer_id: uuid.UUID) -> Profile:
    found: Profile = Profile.objects.by_customer_id(customer_id).select_related("user").get()
    return found


def case_of(customer_id: uuid.UUID) -> tuple[Any, ...]:
    return rows('SELECT "case", position, reason FROM legacy_identities WHERE customer_id = %s', customer_id)[0]


# --- new users ----------------------------------------------------------------------------------------------------


def test_a_user_of_the_old_application_has_a_profile_and_a_customers_row_at_once(undone: None) -> None:
    user = legacy_user("new@example.com", first_name="Nia", phone="+1", marketing_consent=True, phone_verified=True)
    [(id_,)] = rows("SELECT id FROM customers WHERE user_id = %s", user)
    found = Profile.objects.get(user_id=user)
    assert (found.pk, found.first_name, found.phone, found.marketing_consent, found.is_verified) == (
        *(id_, "Nia", "+1", True, True),
    )
    assert rows("SELECT email, first_name, marketing_consent, is_verified FROM customers WHERE id = %s", id_) == [
        ("new@example.com", "Nia", True, True)
    ]


def test_a_user_of_the_new_application_has_one_profile_and_a_customers_row_of_its_id(undone: None) -> None:
    user = User.objects.create_user("django@example.com", "correct horse 7")
    assert rows("SELECT id, email FROM customers WHERE user_id = %s", user.pk) == [
        (user.profile.pk, "django@example.com")
    ]
    many = User.objects.bulk_create([User(email=f"many{n}@example.com", password="x") for n in range(3)])
    run(
        "INSERT INTO users (email, password_hash) SELECT concat('sql', n, '@example.com'), 'x' FROM generate_series(1, 3) AS n"
    )
    assert Profile.objects.filter(user__in=many).count() == 3
    assert (
        one(
            "SELECT count(*) FROM users AS u JOIN profiles AS p ON p.user_id = u.id JOIN customers AS c ON c.id = p.id"
            " WHERE u.email LIKE 'many_@example.com' OR u.email LIKE 'sql_@example.com'"
        )
        == 6
    )


def test_copy_brings_users_and_guests(undone: None) -> None:
    with connection.cursor() as cursor:
        with cursor.copy("COPY users (email, password_hash) FROM STDIN") as copy:
            copy.write("copied1@example.com\t$2b$x\ncopied2@example.com\t$2b$x\n")
        with cursor.copy("COPY customers (email, loyalty_points) FROM STDIN") as copy:
            copy.write("copied.guest@example.com\t4\ncopied.guest@example.com\t5\n")
    assert Profile.objects.filter(user__email__startswith="copied").count() == 3
    assert Profile.objects.get(user__email="copied.guest@example.com").loyalty_points == 9


def test_a_login_that_differs_in_case_is_suggested(undone: None) -> None:
    user = legacy_user("LINKED@example.com")
    assert MergeSuggestion.objects.filter(profile__user_id=user, other_profile_id=LINKED, reason="same_login").exists()


# --- new guests ---------------------------------------------------------------------------------------------------


def test_a_guest_with_an_address_of_their_own_gets_an_account(undone: None) -> None:
    id_ = guest(" New.Guest@example.com", first_name="Gil", loyalty_points=3, address='{"city": "Oslo"}')
    found = person_of(id_)
    assert (found.pk, found.user.email, found.first_name, found.loyalty_points, found.city) == (
        *(id_, "New.Guest@example.com", "Gil", 3, "Oslo"),
    )
    assert not found.user.has_usable_password()
    assert case_of(id_) == ("new_user", 1, None)


def test_guests_who_share_an_address_are_one_person(undone: None) -> None:
    first = guest("two.visits@example.com", first_name="Ann", loyalty_points=3, marketing_consent=True)
    second = guest("TWO.visits@example.com ", first_name="Anna", phone="+1", loyalty_points=4)
    found = person_of(second)
    assert (found.pk, found.first_name, found.phone, found.loyalty_points, found.marketing_consent) == (
        *(first, "Ann", "+1", 7, False),
    )
    assert FieldConflict.objects.get(profile=found, field="first_name").other_value == "Anna"
    assert customer("phone", first) == "+1"
    assert ProfileAlias.objects.get(pk=second).profile_id == first


def test_guests_who_contradict_each_other_stay_apart(undone: None) -> None:
    first = guest("born@example.com", date_of_birth="1980-01-01")
    second = guest("born@example.com", date_of_birth="1990-01-01")
    assert person_of(second).pk == second != first
    assert case_of(second) == ("separate", 1, "birth_date")
    assert MergeSuggestion.objects.filter(profile_id=second, other_profile_id=first, reason="birth_date").exists()


def test_a_guest_of_a_verified_user_is_matched_and_one_of_an_unverified_user_is_not(undone: None) -> None:
    email = one("SELECT email FROM users WHERE id = %s", VERIFIED_USER)
    before = profile("loyalty_points", VERIFIED)
    matched = guest(email, loyalty_points=5)
    assert (person_of(matched).pk, profile("loyalty_points", VERIFIED)) == (VERIFIED, before + 5)
    assert case_of(matched)[0] == "matched"
    apart = guest("guest.of.unverified.user@example.com", notes="private")
    assert (person_of(apart).pk, person_of(apart).contact_email) == (apart, "guest.of.unverified.user@example.com")
    assert case_of(apart)[::2] == ("separate", "unverified_address")


@pytest.mark.parametrize("email", ["", "  ", "none", "a@b@example.com", "x" * 250 + "@e.io"])
def test_a_guest_without_a_usable_address_stays_apart(undone: None, email: str) -> None:
    id_ = guest(email)
    assert (person_of(id_).pk, person_of(id_).user.email, person_of(id_).contact_email) == (id_, None, email)


def test_a_row_for_a_user_without_one_stands_for_them(undone: None) -> None:
    id_ = one(
        "INSERT INTO customers (user_id, email, last_name) VALUES (%s, 'x@example.com', 'Row') RETURNING id",
        WITHOUT_ROW,
    )
    found = Profile.objects.get(user_id=WITHOUT_ROW)
    assert (found.last_name, found.contact_email) == ("Row", "x@example.com")
    assert ProfileAlias.objects.get(pk=id_).profile_id == found.pk
    # What the row did not say is filled in, and later writes reach it.
    assert customer("first_name", id_) == "Uma"
    Profile.objects.filter(pk=found.pk).update(city="Oslo")
    assert customer("city", id_) == "Oslo"


def test_the_recommenders_row_and_a_session_are_attached(undone: None) -> None:
    id_ = guest("attached@example.com")
    run(
        "INSERT INTO customer_profiles (customer_id, preferences, interaction_count) VALUES (%s, '{\"a\": 1}', 2)",
        str(id_).upper(),
    )
    assert (profile("preferences", id_), profile("interaction_count", id_)) == ('{"a": 1}', 2)
    run("INSERT INTO user_profiles (session_id, needs) VALUES ('late', '[\"sleep\"]')")
    assert rows(
        "SELECT user_id, reason FROM legacy_attachments WHERE source = 'user_profiles' ORDER BY id DESC LIMIT 1"
    ) == [(None, "nobody")]
    run("UPDATE users SET session_id = 'late' WHERE id = %s", LINKED_USER)
    assert json.loads(profile("needs")) == ["sleep"]
    run("INSERT INTO customer_profiles (customer_id) VALUES ('chat-77')")


def test_a_session_from_before_is_attached_when_its_user_logs_in_and_its_first_values_stay(undone: None) -> None:
    nobodys, session = rows(
        "SELECT a.key, p.session_id FROM legacy_attachments AS a JOIN user_profiles AS p ON p.id::text = a.key"
        " WHERE a.source = 'user_profiles' AND a.reason = 'nobody' AND unification_text(p.session_id) IS NOT NULL"
        " ORDER BY a.key LIMIT 1"
    )[0]
    run("UPDATE profiles SET language = 'fr' WHERE id = %s", LINKED)
    run("UPDATE users SET session_id = %s WHERE id = %s", session, LINKED_USER)
    assert one("SELECT user_id FROM legacy_attachments WHERE key = %s", nobodys) == LINKED_USER
    assert profile("language") == "fr"
    language = one("SELECT language FROM user_profiles WHERE id::text = %s", nobodys)
    kept = FieldConflict.objects.filter(profile_id=LINKED, field="user_profiles.language")
    assert list(kept.values_list("other_value", flat=True)) == ([language] if language not in (None, "fr") else [])


# --- a guest's address --------------------------------------------------------------------------------------------


def test_the_old_application_may_register_an_address_that_a_guest_has(undone: None) -> None:
    id_ = guest("taken@example.com", first_name="Guest")
    user = legacy_user("taken@example.com", first_name="Owner")
    found = person_of(id_)
    assert (found.user.email, found.contact_email, found.first_name) == (None, "taken@example.com", "Guest")
    assert Profile.objects.get(user_id=user).first_name == "Owner"
    assert MergeSuggestion.objects.filter(
        profile_id=id_, other_profile__user_id=user, reason="unverified_address"
    ).exists()


def test_a_registration_here_is_told_to_claim_the_guests_account(undone: None) -> None:
    guest("claim@example.com")
    with pytest.raises(Problem) as refused:
        registration.register(email="claim@example.com", password="correct horse 7")
    assert refused.value.code == "email_taken"


def test_an_address_in_use_is_refused_as_before(undone: None) -> None:
    with pytest.raises(IntegrityError, match="users_email_key"), transaction.atomic():
        legacy_user("linked@example.com")


def test_another_address_of_a_guest_moves_the_account(undone: None) -> None:
    id_ = guest("typo@example.com")
    run("UPDATE customers SET email = 'right@example.com' WHERE id = %s", id_)
    assert (person_of(id_).user.email, person_of(id_).contact_email) == ("right@example.com", None)
    run("UPDATE customers SET email = 'linked@example.com' WHERE id = %s", id_)
    assert (person_of(id_).user.email, person_of(id_).contact_email) == (None, "linked@example.com")
    assert MergeSuggestion.objects.filter(profile_id=id_, other_profile_id=LINKED).exists()


# --- links --------------------------------------------------------------------------------------------------------


def test_a_guest_who_is_linked_goes_up_in_the_account(undone: None) -> None:
    id_ = guest("to.be.linked@example.com", phone="+7", loyalty_points=6)
    run("INSERT INTO orders (order_number, customer_id) VALUES ('L-1', %s)", id_)
    points = Profile.objects.get(user_id=WITHOUT_ROW).loyalty_points
    run("UPDATE customers SET user_id = %s WHERE id = %s", WITHOUT_ROW, id_)
    found = person_of(id_)
    assert (found.user_id, found.loyalty_points) == (WITHOUT_ROW, points + 6)
    assert one("SELECT user_id FROM orders WHERE order_number = 'L-1'") == WITHOUT_ROW
    run("UPDATE customers SET loyalty_points = 8 WHERE id = %s", id_)
    assert Profile.objects.get(user_id=WITHOUT_ROW).loyalty_points == points + 8


def test_a_link_that_goes_or_contradicts_moves_nobody(undone: None) -> None:
    run("UPDATE customers SET user_id = NULL WHERE id = %s", LINKED)
    assert person_of(LINKED).user_id == LINKED_USER
    run("UPDATE customers SET user_id = %s WHERE id = %s", WITHOUT_ROW, LINKED)
    assert person_of(LINKED).user_id == LINKED_USER
    assert MergeSuggestion.objects.filter(profile_id=LINKED, reason="linked").exists()
    run("UPDATE customers SET city = 'Oslo' WHERE id = %s", LINKED)
    assert profile("city") == "Oslo"


# --- rows that go -------------------------------------------------------------------------------------------------


def test_a_deleted_customers_row_keeps_resolving(undone: None) -> None:
    run("DELETE FROM reviews WHERE customer_id = %s", LINKED)
    run("DELETE FROM customers WHERE id = %s", LINKED)
    assert person_of(LINKED).first_name == "Lena"
    assert LegacyDeletion.objects.get(source="customers", key=str(LINKED)).row["first_name"] == "Lena"
    Profile.objects.filter(pk=LINKED).update(city="Oslo")
    assert customer("id") is None
    run(
        "INSERT INTO customers (id, user_id, email, loyalty_points) VALUES (%s, %s, 'linked@example.com', 4)",
        LINKED,
        LINKED_USER,
    )
    assert (profile("loyalty_points"), person_of(LINKED).pk, customer("city")) == (4, LINKED, "Oslo")


def test_a_deleted_user_leaves_the_person(undone: None) -> None:
    user = legacy_user("leaving@example.com", first_name="Lee")
    [(id_,)] = rows("SELECT id FROM customers WHERE user_id = %s", user)
    run("INSERT INTO orders (order_number, customer_id, total_amount) VALUES ('D-1', %s, 5)", id_)
    run("DELETE FROM users WHERE id = %s", user)
    found = person_of(id_)
    assert (found.first_name, found.user.email, found.contact_email) == ("Lee", None, "leaving@example.com")
    assert MovedLogin.objects.get(pk=user).moved_to == found.user_id
    assert one("SELECT user_id FROM orders WHERE order_number = 'D-1'") == found.user_id
    run("UPDATE customers SET phone = '+6' WHERE id = %s", id_)
    assert profile("phone", id_) == "+6"
    assert legacy_user("leaving@example.com") != user


def test_a_user_from_before_is_deleted_where_the_old_world_allowed_it(undone: None) -> None:
    user = row_id("linked_row_with_another_address", "users")
    run("DELETE FROM users WHERE id = %s", user)
    assert (
        person_of(row_id("linked_row_with_another_address", "customers")).contact_email == "where.to.write@example.com"
    )
    with pytest.raises(IntegrityError, match="orders_user_id_fkey"), transaction.atomic():
        run("DELETE FROM users WHERE id = %s", LINKED_USER)


def test_a_customers_row_with_another_id_is_the_same_persons(undone: None) -> None:
    id_, new_id = guest("moves@example.com", loyalty_points=5), uuid.uuid4()
    run("UPDATE customers SET id = %s, city = 'Oslo', loyalty_points = 7 WHERE id = %s", new_id, id_)
    found = person_of(new_id)
    assert (found.pk, found.city, found.loyalty_points) == (id_, "Oslo", 7)
    run("UPDATE profiles SET city = 'Turin', loyalty_points = 8 WHERE id = %s", id_)
    assert rows("SELECT city, loyalty_points FROM customers WHERE id = %s", new_id) == [("Turin", 8)]
    assert LegacyDeletion.objects.get(source="customers", key=str(id_)).row["loyalty_points"] == 5
    assert verify(connection).passed


def test_a_chat_that_turns_out_to_be_a_customers_brings_what_it_held(undone: None) -> None:
    id_ = guest("chats@example.com")
    run("INSERT INTO customer_profiles (customer_id, interaction_count) VALUES ('chat-1', 4)")
    run("UPDATE customer_profiles SET customer_id = %s WHERE customer_id = 'chat-1'", str(id_))
    assert person_of(id_).interaction_count == 4
    run(
        "UPDATE customer_profiles SET customer_id = upper(customer_id), interaction_count = 5 WHERE customer_id = %s",
        str(id_),
    )
    assert person_of(id_).interaction_count == 5
    assert verify(connection).passed


def test_a_user_profiles_row_with_another_id_is_the_same_persons(undone: None) -> None:
    user = legacy_user("session@example.com", session_id="s-moves")
    run("INSERT INTO user_profiles (session_id, needs) VALUES ('s-moves', '[\"rest\"]')")
    run("UPDATE user_profiles SET id = gen_random_uuid(), needs = '[\"sleep\"]' WHERE session_id = 's-moves'")
    found = Profile.objects.get(user_id=user)
    assert found.needs == ["sleep"]
    Profile.objects.filter(pk=found.pk).update(needs=["sleep", "focus"])
    assert json.loads(one("SELECT needs FROM user_profiles WHERE session_id = 's-moves'")) == ["sleep", "focus"]
    assert verify(connection).passed


def test_deleted_attached_rows_and_orders_are_kept(undone: None) -> None:
    run("DELETE FROM customer_profiles WHERE customer_id = %s", str(LINKED))
    run("DELETE FROM orders WHERE id = %s", row_id("linked", "orders"))
    assert json.loads(profile("preferences")) == {"theme": "dark"}
    assert set(LegacyDeletion.objects.values_list("source", flat=True)) == {"customer_profiles", "orders"}
    Profile.objects.filter(pk=LINKED).update(interaction_count=9)
    assert rows("SELECT interaction_count FROM customer_profiles WHERE customer_id = %s", str(LINKED)) == [(5,)]


# --- orders -------------------------------------------------------------------------------------------------------


def order(number: str, **columns: Any) -> tuple[Any, Any]:
    names = ["order_number", *columns]
    run(f"INSERT INTO orders ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})", number, *columns.values())
    return rows("SELECT user_id, customer_id FROM orders WHERE order_number = %s", number)[0]


def test_each_application_finds_the_others_orders(undone: None) -> None:
    assert order("A", customer_id=MERGED) == (VERIFIED_USER, MERGED)
    assert order("B", user_id=LINKED_USER) == (LINKED_USER, LINKED)
    assert order("C", user_id=WITHOUT_ROW) == (WITHOUT_ROW, None)
    assert order("D") == (None, None)


def test_an_order_that_names_two_people_keeps_its_user_and_a_conflict_holds_the_other(undone: None) -> None:
    assert order("E", user_id=LINKED_USER, customer_id=MERGED_INTO) == (LINKED_USER, MERGED_INTO)
    conflict = FieldConflict.objects.get(field="orders.customer_id")
    assert (conflict.profile_id, conflict.other_value) == (LINKED, str(VERIFIED_USER))


def test_an_order_follows_its_customer_and_its_user(undone: None) -> None:
    order("F", customer_id=LINKED)
    run("UPDATE orders SET customer_id = %s WHERE order_number = 'F'", MERGED)
    assert one("SELECT user_id FROM orders WHERE order_number = 'F'") == VERIFIED_USER
    run("UPDATE orders SET user_id = %s WHERE order_number = 'F'", LINKED_USER)
    assert one("SELECT customer_id FROM orders WHERE order_number = 'F'") == LINKED


def test_an_order_that_comes_with_its_guest_in_one_statement_has_a_person_at_the_end(undone: None) -> None:
    run(
        "WITH c AS (INSERT INTO customers (email) VALUES ('one.statement@example.com') RETURNING id)"
        " INSERT INTO orders (order_number, customer_id) SELECT 'G', id FROM c"
    )
    run("SET CONSTRAINTS ALL IMMEDIATE")
    assert one("SELECT user_id FROM orders WHERE order_number = 'G'") == one(
        "SELECT id FROM users WHERE email = 'one.statement@example.com'"
    )


# --- at once ------------------------------------------------------------------------------------------------------


def test_guests_with_one_address_who_come_at_once_are_one_person(shop: str) -> None:
    ready = threading.Barrier(6)
    errors: list[BaseException] = []

    def come() -> None:
        try:
            ready.wait()
            guest("at.once@example.com", loyalty_points=1)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Profile.objects.get(user__email="at.once@example.com").loyalty_points == 6
