"""A small legacy `users` table, as older and current installations have it, and what tests ask of a table."""

from importlib import import_module
from typing import Any, Literal

from django.db import connection
from django.db.migrations.state import ProjectState
from psycopg import sql

Variant = Literal["current", "older"]

_CURRENT = """
CREATE TYPE user_role_simple AS ENUM ('super_admin', 'tenant_admin', 'store_manager', 'staff', 'customer');
CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email varchar(255) NOT NULL UNIQUE,
    password_hash varchar(255) NOT NULL,
    first_name varchar(100),
    marketing_consent boolean DEFAULT false,
    role user_role_simple DEFAULT 'customer',
    active boolean DEFAULT true,
    email_verified boolean DEFAULT false,
    phone_verified boolean DEFAULT false,
    age_verified boolean DEFAULT false,
    terms_accepted boolean DEFAULT false,
    tenant_id uuid,
    profile_id uuid,
    session_id varchar(255),
    last_login timestamp,
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp DEFAULT CURRENT_TIMESTAMP,
    shoe_size integer NOT NULL DEFAULT 42 CHECK (shoe_size > 0)
);
CREATE INDEX idx_users_session ON users (session_id);
CREATE TABLE carts (id integer PRIMARY KEY, user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE);
INSERT INTO users (email, password_hash, role) VALUES
    ('Ann@x.com', '$2b$10$dummy.hash.for.orphaned.customers', 'staff'), ('ann@x.com', '$2a$10$x', NULL);
INSERT INTO carts SELECT 1, id FROM users WHERE email = 'Ann@x.com';
"""


def make_users(variant: Variant = "current") -> None:
    """The older one has a varchar role with the default 'user', and no tenant_id."""
    text = _CURRENT
    if variant == "older":
        text = text.replace("role user_role_simple DEFAULT 'customer'", "role varchar(50) DEFAULT 'user'").replace(
            "    tenant_id uuid,\n", ""
        )
    with connection.cursor() as cursor:
        cursor.execute(text)


def forwards(*apps: str) -> None:
    """Apply the 0001_initial of each app, and nothing that the migration graph would run with it."""
    _run(apps, back=False)


def backwards(*apps: str) -> None:
    """Reverse the last of `apps`; the others are what it depends on."""
    _run(apps, back=True)


def _run(apps: tuple[str, ...], *, back: bool) -> None:
    state = ProjectState()
    for app in apps:
        migration = import_module(f"{app}.migrations.0001_initial").Migration("0001_initial", app)
        if not back:
            with connection.schema_editor() as editor:
                state = migration.apply(state, editor)
        elif app == apps[-1]:
            with connection.schema_editor() as editor:
                migration.unapply(state, editor)
        else:
            state = migration.mutate_state(state)


def rows(query: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchall()


def shape(table: str) -> dict[str, list[tuple[Any, ...]]]:
    """Columns in order with type, default and NOT NULL; constraints; indexes; triggers."""
    return {
        "columns": rows(
            "SELECT column_name, data_type, udt_name, character_maximum_length, column_default, is_nullable"
            " FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
            table,
        ),
        "constraints": rows(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype <> 'n' ORDER BY 1",  # PostgreSQL 18 lists NOT NULL too
            table,
        ),
        "indexes": rows("SELECT indexdef FROM pg_indexes WHERE tablename = %s ORDER BY 1", table),
        "triggers": rows("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass ORDER BY 1", table),
    }


def storage(table: str) -> list[tuple[Any, ...]]:
    """Where each row lies and who wrote it, and the table's file: all stay when nothing is rewritten."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT pg_relation_filenode('{0}'::regclass), ctid::text, xmin::text, cmin::text"
                " FROM {0} ORDER BY ctid"
            ).format(sql.Identifier(table))
        )
        return cursor.fetchall()
