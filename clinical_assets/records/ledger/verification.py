"""Whether the audit ledger is whole: every entry against its hash, the one before, and the anchors.

What belongs here: reading everything once, in order, and naming the first entry that is wrong. What does not: mending.

What is found, and by what:

- a changed field: the entry's hash; a missing, added or moved entry: its number, and the hash before;
- a chain that was written anew, with right hashes: the anchors disagree from there on;
- entries cut off at the end: the anchors go on;
- an anchor that was edited: later anchors, which depend on all entries before them, still agree;
- anchors that were taken out: more than one transaction stands between two anchors (see ``anchors``);
- an entry that somebody wrote who has the database but not the installation's key: its seal (see ``appending``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clinical_assets.records.ledger.anchors import Anchor, AnchorLine, Anchors
from clinical_assets.records.ledger.appending import is_sealed
from clinical_assets.records.ledger.entries import GENESIS, entry_hash
from clinical_assets.records.ledger.facts.privacy import KeyRotationFacts
from clinical_assets.records.schema import ledger as table

AT_ONCE = 5_000


@dataclass(frozen=True)
class ChainReport:
    """What a verification found.

    Attributes
    ----------
    intact : bool
        True when every entry and every anchor is as it was written.
    entries : int
        Entries that were read and are right, from the first on.
    head : str or None
        Hash of the last of them.
    first_bad : int or None
        Number of the first entry that is changed, missing, moved or added.
    problem : str or None
        What is wrong, for a person.
    anchored : int
        Number of the newest entry that an anchor confirms; 0 when none does.
    note : str or None
        What a person should know though nothing is wrong.
    anchors_lost : bool
        True when the entries are right and only anchors are missing.
    sealed : int
        Entries that have a seal; those of version 1 have none.
    """

    intact: bool
    entries: int
    head: str | None
    first_bad: int | None
    problem: str | None
    anchored: int
    note: str | None = None
    anchors_lost: bool = False
    sealed: int = 0


def verify(
    connection: sa.Connection,
    anchors: Anchors,
    *,
    shared: bool,
    keys: tuple[bytes, ...],
    every_seal: bool = False,
    unsealed: bool = False,
    at_once: int = AT_ONCE,
) -> ChainReport:
    """Read all entries and anchors once, a few thousand at a time; others may write meanwhile.

    Parameters
    ----------
    anchors : Anchors
        What lies apart from the database.
    connection : sqlalchemy.Connection
        One view of the database.
    shared : bool
        A server keeps the records, so that other machines have anchors of their own.
    keys : tuple of bytes
        Public keys whose seals count.
    every_seal : bool
        Check each seal, not only the newest, which is one of all entries before it.
    unsealed : bool
        No entry has a seal yet: the ledger is of version 1, and is being upgraded.
    at_once : int
        Entries that are held in memory together.

    Raises
    ------
    RecordsError
        When the database or the file of anchors cannot be read.
    """
    if connection.dialect.name == "sqlite":
        # A byte that is no UTF-8 is a change to be named, not a reason to stop.
        driver: Any = connection.connection.driver_connection
        text_factory = driver.text_factory
        driver.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        # Anchors in the file before the view of the database is fixed belong to entries within that view.
        committed = anchors.length()
        connection.execute(sa.select(sa.func.max(table.c.seq)))
        seals = _Seals(keys, every=every_seal, none_yet=unsealed)
        walk = _Walk(_Lines(anchors.lines(until=anchors.length())), seals, file=str(anchors.path), shared=shared)
        rows = connection.execute(sa.select(table).order_by(table.c.seq), execution_options={"yield_per": at_once})
        for row in rows:
            if not walk.step(row):
                break
        return walk.report(committed)
    finally:
        if connection.dialect.name == "sqlite":
            driver.text_factory = text_factory


@dataclass
class _Seals:
    """What the seals of the entries so far say."""

    keys: tuple[bytes, ...]
    every: bool
    none_yet: bool
    sealed: int = 0
    newest: tuple[int, str, str] | None = None

    def problem_of(self, row: Any) -> str | None:
        """What is wrong with the seal of the next entry, as far as one entry tells."""
        if row.seal is None:
            if self.sealed:
                return f"Entry {row.seq} has no seal: it was not written by this installation."
            return None
        if self.none_yet:
            return f"Entry {row.seq} has a seal, which version 1 did not write."
        if self.sealed == 0 and row.seq > 1 and row.action != "upgrade":
            return f"Entry {row.seq} is the first with a seal, and no upgrade: seals before it were taken away."
        self.sealed += 1
        self.newest = (row.seq, row.hash, row.seal)
        if self.every and not is_sealed(row.hash, row.seal, self.keys):
            return self._strange(row.seq)
        return None

    def end(self, entries: int) -> tuple[int, str] | None:
        """What is wrong when all entries were seen: the number of an entry, and words."""
        if self.none_yet or entries == 0:
            return None
        if self.newest is None:
            return 1, "No entry has a seal: they were taken away, or the upgrade of the database was not finished."
        seq, hash_, seal = self.newest
        return None if is_sealed(hash_, seal, self.keys) else (seq, self._strange(seq))

    def _strange(self, seq: int) -> str:
        if not self.keys:
            return "The seals cannot be checked: this installation's key is missing from the folder of keys."
        return f"Entry {seq} was not sealed by this installation, nor by a key that it trusts."


class _Lines:
    """Lines of the anchor file, with a look at the next one."""

    def __init__(self, lines: Iterator[AnchorLine]) -> None:
        self._lines = lines
        self.next = next(lines, None)

    def take(self) -> AnchorLine:
        line = self.next
        assert line is not None
        self.next = next(self._lines, None)
        return line


@dataclass
class _Walk:
    """Where the verification stands."""

    lines: _Lines
    seals: _Seals
    file: str
    shared: bool
    count: int = 0
    head: str = GENESIS
    first_bad: int | None = None
    problem: str | None = None
    anchored: int = 0
    # Anchors that disagree since the last one that agreed: the first entry they may concern, and their line.
    disputed: tuple[int, int, int] | None = None
    # Only the first of each is kept: there may be as many as entries.
    edited: str | None = None
    gap: tuple[int, int] | None = None
    restarted: int | None = None
    unanchored_at: str | None = None
    several: bool = False
    torn: bool = False

    def step(self, row: sa.Row[Any]) -> bool:
        """Take the next row; False when it is wrong and nothing behind it needs to be looked at."""
        expected = self.count + 1
        if row.seq != expected:
            return self._bad(
                min(row.seq, expected),
                f"Entry {expected} is missing; the next one is {row.seq}."
                if row.seq > expected
                else f"Entry {row.seq} stands before the first one.",
            )
        fields = row._asdict()
        kept, _ = fields.pop("hash"), fields.pop("seal")
        if not all(value is None or isinstance(value, str) for name, value in fields.items() if name != "seq"):
            return self._bad(expected, f"Entry {expected} was changed: a field is no text any more.")
        if row.previous != self.head:
            return self._bad(expected, f"Entry {expected} does not follow from the entry before it.")
        if entry_hash(**fields) != kept:
            return self._bad(expected, f"Entry {expected} was changed: its content does not have its hash.")
        if strange := self.seals.problem_of(row):
            return self._bad(expected, strange)
        self.count, self.head = expected, kept
        self._note_transaction(row)
        self._compare(Anchor(seq=expected, hash=kept, at=row.at))
        return True

    def report(self, committed: int) -> ChainReport:
        """The result, when all rows were seen; ``committed`` is the length of the anchors before the rows were read."""
        problem, first_bad = self.problem, self.first_bad
        if problem is None:
            first_bad, problem = self._cut_off(committed)
        if self.disputed is not None and (first_bad is None or self.disputed[0] < first_bad):
            first, last, number = self.disputed
            first_bad = first
            which = f"Entry {last}" if first == last else f"One of the entries {first} to {last}"
            problem = (
                f"{which} is not the one that was anchored (line {number} of {self.file}), and no later anchor "
                "agrees: the ledger was written anew from there, or the anchor was edited."
            )
        if problem is None and (strange := self.seals.end(self.count)):
            first_bad, problem = strange
        lost = False
        if problem is None and self.edited:
            problem = self.edited
        elif problem is None and not self.shared:
            problem = self._lost()
            lost = problem is not None
        return ChainReport(
            intact=problem is None,
            entries=self.count,
            head=self.head if self.count else None,
            first_bad=first_bad,
            problem=problem,
            anchored=self.anchored,
            note=self._note() if problem is None else None,
            anchors_lost=lost,
            sealed=self.seals.sealed,
        )

    def _bad(self, seq: int, problem: str) -> bool:
        self.first_bad, self.problem = seq, problem
        return False

    def _note_transaction(self, row: sa.Row[Any]) -> None:
        if self.unanchored_at is None:
            self.unanchored_at = row.at
        elif row.at != self.unanchored_at:
            self.several = True
        if row.action == "key_rotation" and _restarts(row.facts):
            self.gap, self.several, self.restarted = None, False, row.seq

    def _compare(self, entry: Anchor) -> None:
        while (line := self.lines.next) is not None and (line.seq is None or line.seq <= entry.seq):
            self.lines.take()
            if line.seq is None or line.seq < entry.seq or line.seq == self.anchored:
                self._not_an_anchor(line)
            elif line.content == entry.line():
                self._agreed(entry)
            elif self.disputed is None:
                self.disputed = (self.anchored + 1, entry.seq, line.number)

    def _agreed(self, entry: Anchor) -> None:
        if self.disputed is not None:
            number = self.disputed[2]
            said = f"Line {number} of {self.file} was edited: anchors behind it agree with the ledger."
            self.edited = self.edited or said
            self.disputed = None
        elif self.several:
            self.gap = self.gap or (self.anchored + 1, entry.seq)
        self.anchored, self.unanchored_at, self.several = entry.seq, None, False

    def _not_an_anchor(self, line: AnchorLine) -> None:
        if line.seq is None and self.lines.next is None and not line.content.endswith(b"\n"):
            self.torn = True
            return
        what = "is no anchor" if line.seq is None else "is out of order"
        self.edited = self.edited or f"Line {line.number} of {self.file} {what}: the file was edited."

    def _cut_off(self, committed: int) -> tuple[int | None, str | None]:
        """Anchors that go on where the entries end."""
        last = None
        while self.lines.next is not None:
            line = self.lines.take()
            if line.seq is None or line.seq <= self.count:
                self._not_an_anchor(line)
            elif line.start < committed:
                last = max(line.seq, last or 0)
        if last is None:
            return None, None
        gone = f"Entry {last} is" if last == self.count + 1 else f"Entries {self.count + 1} to {last} are"
        return self.count + 1, (
            f"{gone} missing at the end of the ledger: {self.file} has anchors up to {last}. The ledger was cut "
            "off, or the database restored from an older copy."
        )

    def _lost(self) -> str | None:
        if self.count and self.anchored == 0 and (self.several or self.gap) and not self.torn:
            return (
                f"No anchor of entries 1 to {self.count} is left: {self.file} is missing or was emptied. Restore it; "
                "if it is lost, `clinical-assets audit restart-anchors` begins it anew."
            )
        if self.several:
            return (
                f"The anchors end with entry {self.anchored}, but entries up to {self.count} were committed in several "
                f"transactions: {self.file} was shortened, or replaced by an older copy."
            )
        if self.gap:
            first, last = self.gap
            return (
                f"Anchors of entries {first} to {last} are missing from {self.file}: lines were taken out, or the file "
                "was lost for a while. The entries themselves are right."
            )
        return None

    def _note(self) -> str | None:
        notes = []
        if self.restarted is not None:
            notes.append(f"The anchors were begun anew at entry {self.restarted}, which says by whom and why.")
        behind = self.count - self.anchored
        if behind:
            notes.append(
                f"The newest {behind} {'entry is' if behind == 1 else 'entries are'} not anchored yet: a process ended "
                "between commit and anchor, or is about to write it. The next entry anchors again."
            )
        if self.torn:
            notes.append(f"The last line of {self.file} was cut while it was written; the next entry mends it.")
        if self.shared and (self.gap or self.several):
            notes.append("Some transactions have no anchor on this machine: other machines use this server too.")
        return " ".join(notes) or None


def _restarts(text: str) -> bool:
    """Whether an entry about keys says that the anchors were begun anew."""
    facts = KeyRotationFacts.found(text)
    return facts is not None and facts.anchors == "restarted"
