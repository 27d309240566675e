"""Who can log in to the sample databases: one login per role, one password for all."""

from typing import NamedTuple

PASSWORD = "sample-password-1"
# bcrypt of PASSWORD at the cost the old application used; constant, so that two loads are equal.
PASSWORD_HASH = "$2b$10$fM.4K/aaZPYEx3IyjxlQZeGCIerHHWrKdCSKbuVVGzNj0ei1y/kfi"
PASSWORD_HASH_2A = "$2a$" + PASSWORD_HASH.removeprefix("$2b$")
# What the earlier script gave to guests; no password matches it.
PLACEHOLDER_HASH = "$2b$10$dummy.hash.for.orphaned.customers"


class Login(NamedTuple):
    """A user of `--story shop`."""

    email: str
    password: str
    role: str


LOGINS = (
    Login("admin@example.com", PASSWORD, "super_admin"),
    Login("tenant@example.com", PASSWORD, "tenant_admin"),
    Login("manager@example.com", PASSWORD, "store_manager"),
    Login("staff@example.com", PASSWORD, "staff"),
    Login("customer@example.com", PASSWORD, "customer"),
)
