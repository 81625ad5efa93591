"""Passwords: hashing and checking.

What belongs here: what becomes of a password. What does not: who people are (``people``), and proof with its lock
after refused attempts (``signing.login``).

Hashes are argon2id with the parameters of RFC 9106 (low memory). Minimum length without rules of composition follows
NIST SP 800-63B.
"""

from __future__ import annotations

import secrets
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from clinical_assets.governance.errors import Refused

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MINIMUM_LENGTH, _MAXIMUM_LENGTH = 12, 1024


class HashCost(NamedTuple):
    """What one guess of a password costs, by the parameters of argon2id."""

    memory_kib: int
    passes: int
    lanes: int


#: Second recommended option of RFC 9106, section 4.
RFC_9106_LOW_MEMORY = HashCost(memory_kib=65_536, passes=3, lanes=4)
#: Of new hashes and keys; those that are stored name their own.
COST = RFC_9106_LOW_MEMORY


def hash_password(password: str, *, login: str) -> str:
    """The argon2id hash of a new password.

    Raises
    ------
    Refused
        ``weak_password``: shorter than 12 characters, longer than 1,024, or made of the login.
    """
    if len(password) < MINIMUM_LENGTH:
        why = f"has fewer than {MINIMUM_LENGTH} characters"
    elif len(password) > _MAXIMUM_LENGTH:
        why = f"has more than {_MAXIMUM_LENGTH} characters"
    elif not password.casefold().replace(login.casefold(), "").strip() or len(set(password)) < 3:
        why = "is the login or one letter over and over"
    else:
        return _hasher(COST).hash(normal(password))
    raise Refused("weak_password", f"The password {why}.", cure="Take a sentence that only its owner knows.")


def check_password(stored: str, password: str) -> bool:
    """Whether a password belongs to a hash."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > _MAXIMUM_LENGTH:
        return False
    try:
        return _hasher(COST).verify(stored, normal(password))
    except InvalidHashError as error:
        raise Refused("bad_hash", "The stored password hash cannot be read.", cure="Set the password again.") from error
    except VerificationError:
        return False


@cache
def _hasher(cost: HashCost) -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes)


@cache
def nobody() -> str:
    """Hash of nobody's password: something to check when there is no person."""
    return _hasher(COST).hash(secrets.token_hex(32))


def normal(password: str) -> bytes:
    """The bytes of a password, whatever keyboard it was typed on."""
    # One keyboard writes an umlaut as one character, another as two; a terminal may hand over halves of characters.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
