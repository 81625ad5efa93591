"""Names of subjects in the prediction log, computed in memory: an answer cannot wait for a file of keys.

What belongs here: naming a person, or one of their units, by HMAC-SHA256 (RFC 2104) under the cohort's lookup key, and
knowing who was erased. What does not: the pseudonyms of ledger and scores, which have a key per subject
(``pseudonyms``). Erasing takes the lines of a subject out of the log, names included.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass, replace

from clinical_assets.foundation.settings import Settings
from clinical_assets.records.keys.pseudonyms import as_texts
from clinical_assets.records.keys.subject_keys import SubjectKeys

_DIGITS = 32
#: Seconds that an answer waits for a process that holds the keys.
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class _Known:
    stamp: tuple[int, int, int]
    key: bytes
    tombstones: frozenset[bytes]


class SubjectNames:
    """Names of the subjects of one cohort; threads may ask at the same time.

    Parameters
    ----------
    settings : Settings
        Names the folder of keys.
    cohort : str
        Name of the cohort. The same person has unrelated names in two cohorts.
    """

    def __init__(self, settings: Settings, cohort: str) -> None:
        patient = replace(settings, lock_patience_s=min(settings.lock_patience_s, _PATIENCE_S))
        self._keys = SubjectKeys(patient, cohort)
        self._mutex = threading.Lock()
        self._known: _Known | None = None

    def subject(self, identifier: object) -> str:
        """Name of a subject: ``s1_`` and 32 hexadecimal digits.

        Raises
        ------
        PseudonymError
            The identifier is neither a whole number nor a text.
        SubjectKeyError
            Another process holds the keys.
        """
        return f"s1_{self._mac('subject', _text(identifier))}"

    def unit(self, key: tuple[object, ...]) -> str:
        """Name of a prediction unit, from the values of its key: ``u1_`` and 32 hexadecimal digits; errors as above."""
        parts = [str(each).strip().replace("\\", "\\\\").replace("|", "\\|") for each in key]
        return f"u1_{self._mac('unit', '|'.join(parts))}"

    def is_erased(self, identifier: object) -> bool:
        """Whether a subject was erased; errors as `subject`."""
        known = self._current()
        if not known.tombstones:
            return False
        found = hmac.digest(known.key, _text(identifier).encode(), hashlib.sha256)
        return found in known.tombstones

    def _mac(self, what: str, text: str) -> str:
        message = f"prediction log|{what}|{text}".encode()
        return hmac.digest(self._current().key, message, hashlib.sha256).hex()[:_DIGITS]

    def _current(self) -> _Known:
        """Key and tombstones, read again when the file has changed: an erasure counts from the next answer on."""
        with self._mutex:
            if self._known is None or self._known.stamp != self._stamp():
                with self._keys.open() as connection:
                    row = connection.execute("SELECT key FROM lookup_key").fetchone()
                    gone = connection.execute("SELECT lookup FROM tombstones").fetchall()
                assert row is not None  # opening makes it
                self._known = _Known(self._stamp(), bytes(row[0]), frozenset(bytes(each[0]) for each in gone))
            return self._known

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._keys.path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (found.st_ino, found.st_mtime_ns, found.st_size)


def _text(identifier: object) -> str:
    if isinstance(identifier, str):
        text = identifier.strip()
        if text:
            return text
    return str(as_texts([identifier])[0])
