"""Indexes of live tables, built while writers go on, and early: whoever has nothing else to do builds them.

The migrations that want them, and take them away again, find them there.
"""

import threading

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config import indexes
from orders import till_indexes
from profiles import search

from . import throttle

# What the rules of identity look for with every new row, and what an export of a person does.
OF_THE_SYNC: dict[str, sql.SQL] = {
    "users_unification_email": sql.SQL("users (unification_email(email))"),
    "users_unification_session": sql.SQL("users (session_id) WHERE session_id IS NOT NULL"),
    "user_profiles_unification_email": sql.SQL("user_profiles (unification_email(email))"),
}


def build_for_logins(connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    """Those by which a login is looked for."""
    throttle.let_others_first(connection, stopped)
    search.create_index(connection, search.LOGINS_INDEX, concurrently=True)
    throttle.let_others_first(connection, stopped)
    search.create_login_index(connection)
    build_for_sync(connection, stopped)


def build_for_sync(connection: BaseDatabaseWrapper, stopped: threading.Event | None = None) -> None:
    """Those by which the sync looks for persons."""
    for name, definition in OF_THE_SYNC.items():
        throttle.let_others_first(connection, stopped)
        indexes.build_concurrently(connection, name, definition)


def build_for_tills(connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    """Those of orders that have no entry yet: to build them takes going through the table."""
    for name, definition in till_indexes.DEFINITIONS.items():
        throttle.let_others_first(connection, stopped)
        unique = name == till_indexes.UNIQUE
        indexes.build_concurrently(connection, name, sql.SQL(definition), unique=unique)


def drop(connection: BaseDatabaseWrapper) -> None:
    """Take away what no migration did, where the run ended before those that build them."""
    for name in (search.LOGIN_INDEX, search.LOGINS_INDEX, *OF_THE_SYNC, *till_indexes.DEFINITIONS):
        indexes.drop_concurrently(connection, name)
