"""What preflight says beside what stops a take-over: warnings, the forecast, the command; and that it writes nothing."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg import sql

from legacy_customers.sample.schema import extra_tables, schema
from legacy_customers.sample.stories import Story, load_story
from legacy_customers.unification import functions, preflight
from legacy_customers.unification.preflight import Assessment, assess, cautions, forecast
from legacy_customers.unification.preflight.addresses import spelling, usable, uuid_of
from legacy_customers.unification.preflight.found import Caution, Found
from tests.databases import another_session, one, rows, run, until

A, B, C, D, E, F, G = (f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "abcdef1")
GONE = "99999999-9999-4999-8999-999999999999"
SERVER = {"W016", "W017", "W019"}  # what depends on the machine


@pytest.fixture
def legacy(empty_database: str) -> None:
    run(schema("older"))  # without foreign keys, so that ids can dangle
    run(
        "ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey; DROP TRIGGER create_customer_on_user_insert ON users"
    )


def told() -> dict[str, list[Caution]]:
    """The warnings by code, but for those that the machine gives reason to."""
    found: dict[str, list[Caution]] = {}
    for caution in assess(connection).cautions:
        if caution.code not in SERVER:
            found.setdefault(caution.code, []).append(caution)
    return found


def test_a_tidy_database_gives_no_reason_to_say_anything(legacy: None) -> None:
    assert told() == {}


ODD_ROWS = f"""
INSERT INTO users (id, email, password_hash, email_verified) VALUES
    ('{A}', 'Ann@x.com', '!', true), ('{B}', ' ann@X.com', '!', true), ('{C}', 'carl@x.com', '!', false),
    ('{D}', 'dora@x.com', '!', true);
INSERT INTO customers (id, user_id, email, tags) VALUES
    ('{A}', '{A}', 'Ann@x.com', '[]'), ('{B}', '{GONE}', 'carl@X.com', '"vip"'), ('{C}', NULL, 'ANN@x.com', '{{}}'),
    ('{D}', NULL, 'dora@x.com', '[1]'), ('{E}', NULL, ' ', 'null'), ('{F}', NULL, 'no address', '""'),
    ('{G}', NULL, 'new@x.com', '{{"a": 1}}');
INSERT INTO customer_profiles (customer_id, preferences, purchase_history) VALUES
    ('{A}', '[1]', '[]'), (upper('{B}'), '{{}}', '{{"a": 1}}'), ('chat-1', '{{}}', '[]'), ('{GONE}', '{{}}', '[]');
INSERT INTO user_profiles (id, session_id, price_range, needs) VALUES ('{A}', 's', '[1, 2]', '[]'), ('{B}', 't', NULL, '7');
INSERT INTO orders (id, order_number, user_id, customer_id) VALUES
    ('{A}', '1', '{GONE}', '{A}'), ('{B}', '2', '{A}', '{GONE}'), ('{C}', '3', NULL, '{G}'), ('{D}', '4', NULL, NULL);
"""


def test_every_odd_row_is_counted_and_named(legacy: None) -> None:
    run(ODD_ROWS)
    found = {code: [(caution.problem, caution.samples) for caution in many] for code, many in told().items()}
    assert found == {
        "W006": [
            ("2 users have an address that differs from another user's in case or white space alone.", (A, B)),
        ],
        "W007": [("2 guests have the address of a login that is not verified, or of several logins.", (B, C))],
        "W008": [("2 guests have no usable address: blank, without @ or a dot, or too long.", (E, F))],
        "W009": [("1 customers name a user who is gone (user_id).", (B,))],
        "W010": [("1 orders name a user who is gone (user_id).", (A,))],
        "W011": [("1 orders name a customer who is gone (customer_id).", (B,))],
        "W012": [("2 customer_profiles have a key that is no customer's.", (f"'{GONE}'", "'chat-1'"))],
        "W013": [
            ("2 values of customers.tags are not a JSON array.", (G, B)),
            ("1 values of customer_profiles.preferences are not a JSON object.", (A,)),
            ("1 values of customer_profiles.purchase_history are not a JSON array.", (B.upper(),)),
            ("1 values of user_profiles.needs are not a JSON array.", (B,)),
            ("1 values of user_profiles.price_range are not a JSON object.", (A,)),
        ],
    }


def test_what_is_attached_to_the_tables_is_named(legacy: None) -> None:
    run(
        "CREATE VIEW buyers AS SELECT id FROM customers; CREATE MATERIALIZED VIEW logins AS SELECT email FROM users;"
        " CREATE TABLE carts (id integer, user_id uuid CONSTRAINT carts_of REFERENCES users (id));"
        " CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER audit AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note();"
        " CREATE RULE kept AS ON DELETE TO users DO ALSO NOTHING;"
        " ALTER TABLE customers ADD COLUMN shoe_size integer; ALTER TABLE user_profiles ENABLE ROW LEVEL SECURITY;"
        " CREATE PUBLICATION feed FOR TABLE orders, users;"
        " CREATE FUNCTION ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        " CREATE EVENT TRIGGER watched ON ddl_command_end EXECUTE FUNCTION ddl()"
    )
    assert {code: caution.samples for code, [caution] in told().items()} == {
        "W002": ("buyers on customers", "logins on users"),
        "W003": ("carts_of of carts to users",),
        "W004": ("trigger audit on orders", "rule kept on users"),
        "W005": ("customers.shoe_size",),
        "W014": ("publication feed of orders, users",),
        "W015": ("user_profiles",),
        "W021": ("watched",),
    }


def test_a_transaction_that_is_open_for_long_is_named(legacy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cautions, "LONG", "0 seconds")
    with another_session(application_name="a report") as other:
        other.execute("SELECT 1")
        [caution] = told()["W001"]
        assert len(caution.samples) == 1
        pid, user = other.info.backend_pid, other.info.user
        assert re.fullmatch(
            rf"pid {pid} \({user}, a report, idle in transaction\) since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\+00",
            caution.samples[0],
        )
    until("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'a report'")
    assert told() == {}


def test_time_limits_of_the_role_are_named(legacy: None) -> None:
    run("SET statement_timeout = '1min'; SET idle_in_transaction_session_timeout = '5s'")
    [caution] = told()["W020"]
    assert caution.samples == ("idle_in_transaction_session_timeout = 5s", "statement_timeout = 1min")


def test_few_free_connections_are_told(legacy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cautions, "CONNECTIONS", 100_000)
    [caution] = [caution for caution in assess(connection).cautions if caution.code == "W016"]
    assert re.fullmatch(r"Of max_connections = \d+, \d+ are free; a take-over uses up to 100000\.", caution.problem)


class Pooler:
    """A relay that gives its clients process ids of its own, as a pooler does."""

    def __init__(self, directory: Path, server: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(directory / ".s.PGSQL.5432"))
        self.listener.listen()
        self.server = server
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.server)
        threading.Thread(target=self.relay, args=[client, server], daemon=True).start()
        self.relay(server, client, change=True)

    def relay(self, source: socket.socket, target: socket.socket, change: bool = False) -> None:
        while data := source.recv(65536):
            if change:
                data = re.sub(rb"K\x00\x00\x00\x0c....", b"K\x00\x00\x00\x0c\x00\x00\x00\x07", data, flags=re.DOTALL)
            target.sendall(data)
        with suppress(OSError):  # the other direction may have ended it already
            target.shutdown(socket.SHUT_RDWR)


def test_a_pooler_in_between_is_told(legacy: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    params = connection.get_connection_params()
    if not str(params.get("host", "")).startswith("/"):
        pytest.skip("needs a server that listens on a Unix socket")
    directory = tmp_path_factory.mktemp("p")
    Pooler(directory, f"{params['host']}/.s.PGSQL.{params.get('port', 5432)}")
    relayed = connection.get_new_connection({**params, "host": str(directory), "port": 5432})
    own, connection.connection = connection.connection, relayed
    try:
        [caution] = cautions.pooler(Found(connection, {}, {}))
    finally:
        connection.connection = own
        relayed.close()
    assert re.fullmatch(
        r"A pooler is between here and the server: it says process 7, the server says \d+\.", caution.problem
    )


# --- forecast -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", ["seed", "shop"])
def test_the_forecast_is_what_migrate_then_does(story: Story, empty_database: str) -> None:
    load_story(connection, story)
    expected = assess(connection).forecast
    assert expected is not None
    assert expected.exact
    assert expected.rows == {table: one(f"SELECT count(*) FROM {table}") for table in expected.rows}
    assert expected.rate_from == "measured on 2 cores with default settings"
    call_command("migrate", verbosity=0)
    made = "SELECT count(*) FROM legacy_identities WHERE position = 1 AND \"case\" IN ('new_user', 'separate')"
    assert expected.accounts_for_guests == one(made)
    assert expected.profiles == one("SELECT count(*) FROM profiles")
    assert expected.orders_repointed == one("SELECT rows FROM unification_phases WHERE name = 'orders'")
    again = assess(connection)
    assert again.fits
    assert again.forecast is not None
    assert (again.forecast.profiles, again.forecast.orders_repointed) == (expected.profiles, 0)
    assert again.forecast.rate_from == "the run on record in unification_phases"


def test_what_a_take_over_made_is_not_held_against_the_next_look(shop: str) -> None:
    found = {caution.code: caution.samples for caution in assess(connection).cautions}
    assert found["W003"] == (
        "carts_customer_id_fkey of carts to customers",
        "reviews_customer_id_fkey of reviews to customers",
        "sessions_user_id_fkey of sessions to users",
    )
    assert found["W005"] == ("users.referral_code", "customers.loyalty_tier")
    assert "W004" not in found


def test_very_large_tables_are_estimated_and_that_is_said(
    legacy: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(ODD_ROWS)
    run("ANALYZE")
    monkeypatch.setattr(forecast, "COUNTED_UP_TO", 6)
    expected = assess(connection).forecast
    assert expected is not None
    assert not expected.exact
    # Of seven customers five have no user_id, of four orders two.
    assert (expected.rows["customers"], expected.accounts_for_guests, expected.orders_repointed) == (7, 5, 2)
    call_command("preflight_unification")
    assert "  profiles                      9  (estimated from statistics)\n" in capsys.readouterr().out


def test_a_disk_that_is_too_small_stops_it_and_a_small_one_is_told(
    legacy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = assess(connection).forecast
    assert expected is not None
    needed = expected.bytes_needed
    monkeypatch.setattr(forecast, "_free", lambda found: (needed - 1, None))
    assert [blocker.code for blocker in assess(connection).blockers] == ["B017"]
    monkeypatch.setattr(forecast, "_free", lambda found: (needed + 1, None))
    assessment = assess(connection)
    assert assessment.fits
    assert "W017" in [caution.code for caution in assessment.cautions]
    monkeypatch.setattr(forecast, "_free", lambda found: (None, "the server is on another machine"))
    assert not {"B017", "W017"} & {
        finding.code for finding in (*assess(connection).blockers, *assess(connection).cautions)
    }


ODD_TEXTS = [
    *("", " ", "Ann@X.com", "\u00a0\u2003ann@x.com\u3000", "\u001cann@x.com\u0085", "ÄNN@x.com", "ann@x", "a@b@c.de"),
    *(
        "an n@x.com",
        "a" * 249 + "@x.com",
        "a" * 248 + "@x.com",
        "ann@x.com.",
        "ann@.com",
        "\u200bann@x.com",
        "中@例.公司",
    ),
    *(A, A.upper(), A.replace("-", ""), f"{{{A}}}", A[:-1], f"{A} ", "chat-1"),
]


def test_the_expressions_are_the_rules_functions(empty_database: str) -> None:
    functions.install(connection)
    values = sql.SQL("SELECT v, {}, {}, {}::text FROM unnest(%s::text[]) AS v").format
    column = sql.SQL("v")
    spelled = spelling(connection, column)
    expressions = rows(values(spelled, usable(spelled), uuid_of(column)), ODD_TEXTS)
    installed = rows(
        "SELECT v, unification_email(v), unification_usable(unification_email(v)), unification_uuid(v)::text"
        " FROM unnest(%s::text[]) AS v",
        ODD_TEXTS,
    )
    assert expressions == installed


# --- it writes nothing ------------------------------------------------------------------------------------------------


def test_postgresql_itself_refuses_every_write_of_preflight(legacy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def writes(found: Found) -> Iterator[Caution]:
        found.rows("INSERT INTO users (email, password_hash) VALUES ('a@x.com', '!') RETURNING id")
        yield from ()

    monkeypatch.setattr(cautions, "CHECKS", (writes,))
    with pytest.raises(CommandError) as refusal:
        call_command("preflight_unification")
    assert str(refusal.value) == ("It could not finish: cannot execute INSERT in a read-only transaction")
    assert refusal.value.returncode == 1
    assert one("SELECT count(*) FROM users") == 0
    run("INSERT INTO users (email, password_hash) VALUES ('a@x.com', '!')")  # the session itself is not read-only


# --- the command ------------------------------------------------------------------------------------------------------


def test_exit_status_zero_and_a_table_where_it_fits(legacy: None, capsys: pytest.CaptureFixture[str]) -> None:
    run(ODD_ROWS)
    call_command("preflight_unification")
    printed = capsys.readouterr().out
    assert (
        f"  W009 1 customers name a user who is gone (user_id).\n     Seen: {B}\n     Way out: They count as" in printed
    )
    assert "  rows of customers             7\n" in printed
    assert "  accounts for guests           5\n" in printed
    assert re.search(r"\nIt fits: 0 in the way, \d+ to know\. Database test_\w+, PostgreSQL ", printed)


def test_exit_status_three_where_something_is_in_the_way(legacy: None, capsys: pytest.CaptureFixture[str]) -> None:
    run("DROP TABLE user_profiles")
    with pytest.raises(SystemExit) as ended:
        call_command("preflight_unification")
    assert ended.value.code == 3
    printed = capsys.readouterr().out
    assert "In the way\n  B003 Table user_profiles is missing" in printed
    assert "Forecast" not in printed
    assert "\nIt does not fit yet: 1 in the way, " in printed


@pytest.mark.parametrize("target", ["file", "-"])
def test_json_holds_all_of_it(legacy: None, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(ODD_ROWS)
    path = tmp_path / "preflight.json"
    call_command("preflight_unification", json="-" if target == "-" else str(path))
    printed = capsys.readouterr().out
    report: dict[str, Any] = json.loads(printed if target == "-" else path.read_text(encoding="utf-8"))
    assert list(report) == ["taken_at", "database", "server_version", "fits", "blockers", "warnings", "forecast"]
    assert (report["fits"], report["blockers"]) == (True, [])
    assert {
        "code": "W009",
        "problem": "1 customers name a user who is gone (user_id).",
        "way_out": "They count as guests. Their user_id stays as it is.",
        "samples": [B],
    } in report["warnings"]
    assert sorted(report["forecast"]) == sorted(
        [
            *("rows", "exact", "accounts_for_guests", "profiles", "orders_repointed", "bytes", "bytes_needed"),
            *("free_bytes", "free_bytes_unknown_because", "rows_per_second", "rate_from", "seconds"),
        ]
    )
    assert report["forecast"]["bytes_needed"] == sum(report["forecast"]["bytes"].values())


def test_an_empty_database_fits_and_has_no_forecast(empty_database: str) -> None:
    assessment = assess(connection)
    assert (assessment.fits, assessment.cautions, assessment.forecast) == (True, [], None)


def test_migrate_tells_warnings_and_forecast_before_it_writes(
    legacy: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(extra_tables())
    real, seen = preflight.assess, []

    def looked(*arguments: Any) -> Assessment:
        seen.append(one("SELECT to_regclass('django_migrations')"))
        return real(*arguments)

    monkeypatch.setattr(preflight, "assess", looked)
    call_command("migrate", verbosity=1)
    assert seen == [None]
    printed = capsys.readouterr().out
    assert "    W002 Views read the legacy tables.\n" in printed
    assert printed.index("W002") < printed.index("    forecast: 0 rows, 0 profiles, 0 s, ") < printed.index("Applying")
