"""Password hashes as the old application writes and reads them."""

import re
from typing import Any

import bcrypt
from django.contrib.auth.hashers import BasePasswordHasher, mask_hash

# What bcrypt hashes of a password; the library refuses longer ones instead of cutting them.
MAX_BYTES = 72
WELL_FORMED = re.compile(
    r"(?P<algorithm>\$2[aby]\$)(?P<rounds>\d\d)\$(?P<salt>[./A-Za-z0-9]{22})(?P<hash>[./A-Za-z0-9]{31})"
)


def _bytes(password: str | bytes) -> bytes:
    """The bytes that count. Raises ValueError for text that no bcrypt library agrees on."""
    if isinstance(password, str):
        try:
            password = password.encode()
        except UnicodeEncodeError as error:
            raise ValueError("The password holds half a surrogate pair. Type it again.") from error
    if b"\0" in password:
        raise ValueError("The password holds a NUL character, which bcrypt would cut it at. Leave it out.")
    return password[:MAX_BYTES]


class LegacyBcryptHasher(BasePasswordHasher):
    """Plain bcrypt; `legacy_bcrypt` and the raw hash, which alone reaches the database (PasswordHashField).

    A stored hash is never rewritten at login, whatever its rounds: the old application reads it too.
    """

    algorithm = "legacy_bcrypt"
    rounds = 12

    def salt(self) -> str:
        return bcrypt.gensalt(self.rounds).decode()

    def encode(self, password: str | bytes, salt: str) -> str:
        return self.algorithm + bcrypt.hashpw(_bytes(password), salt.encode()).decode()

    def verify(self, password: str | bytes, encoded: str) -> bool:
        """False for a hash that is none: placeholders such as `$2b$10$dummy.hash…` match no password."""
        try:
            return bcrypt.checkpw(_bytes(password), encoded.removeprefix(self.algorithm).encode())
        except ValueError:
            return False

    def decode(self, encoded: str) -> dict[str, Any]:
        """The parts of a well-formed hash; of any other the algorithm alone."""
        found = WELL_FORMED.fullmatch(encoded.removeprefix(self.algorithm))
        if found is None:
            return {"algorithm": self.algorithm}
        return {
            "algorithm": self.algorithm,
            "work_factor": int(found["rounds"]),
            "salt": found["salt"],
            "hash": found["hash"],
        }

    def safe_summary(self, encoded: str) -> dict[Any, Any]:
        parts = self.decode(encoded)
        if len(parts) == 1:
            return {"algorithm": self.algorithm, "hash": "malformed: no password matches"}
        return {**parts, "salt": mask_hash(parts["salt"]), "hash": mask_hash(parts["hash"])}

    def must_update(self, encoded: str) -> bool:
        return False

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Nothing to even out: the rounds are part of the hash and stay what they were."""
