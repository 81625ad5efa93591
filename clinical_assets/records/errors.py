"""The errors of the database of records: what a driver or a file system says, as a person can use it.

What belongs here: turning a refusal into words and a cure, without any part of a server's address. What does not:
deciding what is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import DATA, LOCK_PATIENCE, RECORDS_URI

# Words of SQLite and of PostgreSQL, and what to do about them; the first that occurs counts.
_CURES = (
    (("is locked", "lock timeout", "is busy"), f"Let the other process end, or allow more time with {LOCK_PATIENCE}."),
    (("readonly", "read-only"), "Let this account write the file and its folder."),
    (("disk is full", "no space left", "could not extend"), "Free some space and start again; nothing was recorded."),
    (("unable to open",), f"Let this account read and write the folder, or point {DATA} elsewhere."),
    (("disk i/o error",), "Check the disk (a full one says this too), then start again; nothing was recorded."),
    (("malformed", "not a database", "could not decode"), "Restore the database of records from its newest backup."),
    (("append-only",), "Add a new record that corrects the old one; records are never changed or removed."),
    (("permission denied",), "Grant the account SELECT and INSERT on the tables of records, and UPDATE on people."),
    (("no such table", "does not exist"), "Restore the database of records from its newest backup."),
    (("constraint", "duplicate key"), "Read what is recorded already and record something that goes with it."),
)


class RecordsError(ClinicalAssetsError):
    """The database of records, its ledger or its anchors refuse, or cannot be used."""


@contextlib.contextmanager
def refusals_of(url: sa.URL) -> Iterator[None]:
    """Turn what SQLAlchemy raises within the block into a ``RecordsError``."""
    try:
        yield
    except SQLAlchemyError as error:
        # `from None`: the causes of a server's refusal repeat its address.
        if url.get_backend_name() == "sqlite":
            raise _refusal(error, url) from error
        raise _refusal(error, url) from None
    except UnicodeDecodeError:
        # SQLite's own words about a damaged schema repeat its bytes.
        raise RecordsError(
            f"The database of records {url.database} is malformed: its schema holds what is no text.",
            cure="Restore the database of records from its newest backup.",
        ) from None


def _refusal(error: SQLAlchemyError, url: sa.URL) -> RecordsError:
    if url.get_backend_name() == "sqlite":
        said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        return RecordsError(f"The database of records {url.database}: {said}.", cure=_cure(said))
    # What the server says about a statement is passed on; a failed connection is described with the address in it.
    words = _server_words(error)
    if words is None:
        return RecordsError(
            f"The server named by {RECORDS_URI} does not answer, or does not let this account in.",
            cure=f"Check that it runs, and address, account and password in {RECORDS_URI}.",
        )
    return RecordsError(f"The database of records named by {RECORDS_URI}: {words}.", cure=_cure(words))


def _server_words(error: SQLAlchemyError) -> str | None:
    words: str | None = getattr(getattr(getattr(error, "orig", None), "diag", None), "message_primary", None)
    # Without words of the server, an operational error is a connection that failed or broke.
    return words if words or isinstance(error, OperationalError) else type(error).__name__


def _cure(said: str) -> str:
    text = said.lower()
    return next(
        (cure for words, cure in _CURES if any(word in text for word in words)),
        "Check the database of records; `clinical-assets audit verify` says whether it is whole.",
    )
