"""Somebody who can write files: rows forged, changed and removed, bits flipped, pointers put back, folders copied."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from assets_tests.campaign.counting import Count, Until
from assets_tests.worlds.ward.released import Releasable, write_by_hand
from assets_tests.worlds.ward.trained import COHORT, opened
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.dossier.folder import RUN
from clinical_assets.governance.promotion import promotion
from clinical_assets.governance.verification import verify_all
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import POINTER
from clinical_assets.records.adoption import adopt
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.place import Copied, mark

#: Does harm to a copy and says what in words; None where what it did changed nothing.
Attack = Callable[[Count, Releasable], str | None]
# What alembic and SQLite keep for themselves.
_NO_EVIDENCE = ("records_revision", "sqlite_sequence")
# Shown, and not believed: the entry by which somebody was added has the time.
_NO_EVIDENCE_COLUMNS = {("people", "created_at")}


def seen(made: Releasable) -> bool:
    """Whether a verification or whatever serves says that something is wrong."""
    try:
        promotion.serving(made.settings, COHORT)
        return not verify_all(made.settings).intact
    except (ClinicalAssetsError, sqlite3.DatabaseError):
        return True


def attack(count: Count, served: Releasable, folder: Path, ends: Until) -> None:
    """Attacks drawn at random, each on a copy of its own."""
    number = 0
    assert not seen(served.copy_to(folder / "untouched")), "a world that nobody touched is said to be wrong"
    attacks: tuple[tuple[str, Attack], ...] = (
        ("rows changed", _change),
        ("rows removed", _remove),
        ("signatures forged", _forge_signature),
        ("promotions forged", _forge_promotion),
        ("bits flipped in the records", _flip_records),
        ("bits flipped in evidence files", _flip_file),
        ("an old pointer put back", _old_pointer),
        ("the pointer removed", _no_pointer),
    )
    while number == 0 or ends:
        for kind, act in attacks:
            number += 1
            made = served.copy_to(folder / str(number))

            def trial(act: Attack = act, made: Releasable = made) -> str | None:
                done = act(count, made)
                return None if done is None or seen(made) else f"nobody saw {done}"

            count.trial(kind, trial)
            shutil.rmtree(folder / str(number))
            # One round of all kinds, however little time is left.
            if not ends and number >= len(attacks):
                return


def _tables(made: Releasable) -> dict[str, tuple[list[str], int]]:
    with closing(sqlite3.connect(made.settings.records / "records.sqlite")) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for name in names:
            if name not in _NO_EVIDENCE:
                columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
                rows = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                if rows:
                    found[name] = (columns, rows)
    return found


def _change(count: Count, made: Releasable) -> str | None:
    tables = _tables(made)
    name = count.random.choice(sorted(tables))
    columns, rows = tables[name]
    column = count.random.choice([each for each in columns if (name, each) not in _NO_EVIDENCE_COLUMNS])
    row = count.random.randrange(rows)
    where = f'rowid = (SELECT rowid FROM "{name}" LIMIT 1 OFFSET {row})'
    text = f"coalesce(\"{column}\", '') || 'x'"
    value = f'CASE typeof("{column}") WHEN \'integer\' THEN "{column}" + 1000 ELSE {text} END'
    write_by_hand(made, f'UPDATE "{name}" SET "{column}" = {value} WHERE {where}')
    return f"{name}.{column} of row {row}"


def _remove(count: Count, made: Releasable) -> str | None:
    tables = _tables(made)
    name = count.random.choice(sorted(tables))
    row = count.random.randrange(tables[name][1])
    write_by_hand(made, f'DELETE FROM "{name}" WHERE rowid = (SELECT rowid FROM "{name}" LIMIT 1 OFFSET {row})')
    return f"row {row} of {name} removed"


def _again(made: Releasable, table: str, **changes: str) -> None:
    columns = _tables(made)[table][0]
    values = ", ".join(changes.get(column, f'"{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    write_by_hand(made, f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} LIMIT 1")


def _forge_signature(_: Count, made: Releasable) -> str | None:
    _again(made, "signatures", id="'forged'", login="'eve'")
    return "a signature of nobody with a true entry's number"


def _forge_promotion(_: Count, made: Releasable) -> str | None:
    _again(made, "promotions", id="'forged'", actor="'eve'")
    return "a promotion with a true entry's number"


def _flip(count: Count, path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = count.random.randrange(len(content))
    content[place] ^= 1 << count.random.randrange(8)
    path.write_bytes(content)


def _flip_records(count: Count, made: Releasable) -> str | None:
    path = made.settings.records / "records.sqlite"
    before = _dump(path)
    _flip(count, path)
    # A bit in a free page or between cells is no content.
    return "a bit of the records' file" if _dump(path) != before else None


def _dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        try:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            tables = [row[0].decode() for row in found]
            return [repr(row) for name in sorted(tables) for row in connection.execute(f'SELECT * FROM "{name}"')]
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            return [repr(error)]


def _flip_file(count: Count, made: Releasable) -> str | None:
    settings = made.settings
    files = [
        path
        for folder in (settings.bundles, settings.dossiers, settings.serving)
        for path in sorted(folder.rglob("*"))
        # Notes on the run (times, host) are outside the digests, and nothing believes them.
        if path.is_file() and path.stat().st_size and not path.name.endswith((".lock", ".holder", RUN))
    ]
    path = count.random.choice(files)
    _flip(count, path)
    return f"a bit of {path.relative_to(settings.data)}"


def _old_pointer(_: Count, made: Releasable) -> str | None:
    path = made.settings.serving / COHORT / POINTER
    before = path.read_bytes()
    promotion.rollback(made.settings, COHORT, actor="ann", reason="A try.")
    path.write_bytes(before)
    return "the pointer of before a rollback"


def _no_pointer(_: Count, made: Releasable) -> str | None:
    (made.settings.serving / COHORT / POINTER).unlink()
    return "no pointer although a model was promoted"


def copied_folder(count: Count, served: Releasable, folder: Path) -> None:
    """A copy refuses until it is adopted, rolls back without a warm bundle, and writes nothing into the original."""

    def trial() -> str | None:
        original = served.copy_to(folder / "original")
        mark(original.settings)
        shutil.copytree(folder / "original", folder / "moved" / "to here")
        copy = Releasable(opened(folder / "moved" / "to here"))
        before = _content(folder / "original")
        previous = champion_pointer.current(copy.settings, COHORT)
        assert previous is not None
        shutil.rmtree(champion_pointer.warm_place(copy.settings, COHORT, previous.previous[0]))
        try:
            promotion.rollback(copy.settings, COHORT, actor="ann", reason="A try.")
        except Copied:
            adopt(Ledger(copy.records), actor="ann", reason="A try.")
        else:
            return "a copy changed its champion as if it were the installation"
        back = promotion.rollback(copy.settings, COHORT, actor="ann", reason="A try.")
        if champion_pointer.bundle_of(copy.settings, back).digest != previous.previous[0]:
            return "a rollback in the copy serves another bundle"
        if not verify_all(copy.settings).intact:
            return "the copy does not verify"
        return "the original was written to" if _content(folder / "original") != before else None

    count.trial("copied folders", trial)


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", ".holder", "-shm", "-wal"))
    }
