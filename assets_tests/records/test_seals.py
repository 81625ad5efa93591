"""What the database alone cannot forge: an entry without this installation's seal is found, and nothing follows it."""

from __future__ import annotations

import base64
import dataclasses
import stat
from collections.abc import Callable
from typing import ClassVar

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assets_tests.records.conftest import run_without_guards
from clinical_assets.foundation.settings import Settings
from clinical_assets.records import schema
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.installation import KEY_FILE, TRUSTED_FILE, LocalSigner, installation_signer
from clinical_assets.records.ledger.anchors import Anchor
from clinical_assets.records.ledger.appending import seal_of
from clinical_assets.records.ledger.entries import Entry, entry_hash
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.ledger.witness_places import witness_place
from clinical_assets.records.ledger.witnesses import compare, newest_head


def _forge(ledger: Ledger, seal: Callable[[str], str | None], **changes: object) -> None:
    """A plain INSERT with everything right that the database tells: number, hash, the entry before."""
    head = ledger.newest(1)[0]
    fields = {
        "seq": head.seq + 1,
        "at": head.at,
        "actor": "mallory",
        "action": "promotion",
        "cohort": "a_ward",
        "digest": "sha256:" + "1" * 64,
        "reason": None,
        "facts": "{}",
        "previous": head.hash,
        **changes,
    }
    hash_ = entry_hash(**fields)  # type: ignore[arg-type]
    with ledger.database.engine.begin() as connection:
        connection.execute(schema.ledger.insert().values(**fields, hash=hash_, seal=seal(hash_)))


def _of_a_stranger(hash_: str) -> str:
    return seal_of(hash_, LocalSigner(Ed25519PrivateKey.generate()))


@pytest.mark.parametrize("seal", [lambda _: None, _of_a_stranger, lambda _: "no seal", lambda _: "é"])
def test_an_entry_that_somebody_inserts_is_found_never_anchored_and_nothing_follows_it(
    ledger: Ledger, seal: Callable[[str], str | None]
) -> None:
    ledger.append("review", actor="ann")
    _forge(ledger, seal)
    report = ledger.verify()
    assert not report.intact
    assert report.first_bad == 2
    with pytest.raises(RecordsError, match="not written by this installation"):
        ledger.append("review", actor="ann")
    newest = ledger.anchors.newest()
    assert newest is not None
    assert newest.seq == 1


def test_the_seal_of_another_entry_does_not_do(ledger: Ledger) -> None:
    first = ledger.append("review", actor="ann")
    _forge(ledger, lambda _: first.seal)
    assert ledger.verify().first_bad == 2
    with pytest.raises(RecordsError, match="not written by this installation"):
        ledger.append("review", actor="ann")


def test_an_entry_of_ours_whose_process_ended_before_the_anchor_is_anchored_by_the_next(ledger: Ledger) -> None:
    ledger.append("review", actor="ann")
    _forge(ledger, lambda hash_: seal_of(hash_, installation_signer(ledger.database.settings)), action="review")
    assert ledger.verify().intact
    ledger.append("review", actor="ann")
    newest = ledger.anchors.newest()
    assert newest is not None
    assert newest.seq == 3
    assert ledger.verify(every_seal=True).intact


def test_a_seal_that_was_changed_in_the_middle_is_found_when_every_seal_is_checked(
    ledger: Ledger, tamper: Callable[[str], None]
) -> None:
    for _ in range(3):
        ledger.append("review", actor="ann")
    tamper("UPDATE ledger SET seal = (SELECT seal FROM ledger WHERE seq = 3) WHERE seq = 2")
    # The newest seal is one of all entries: their content is right.
    assert ledger.verify().intact
    report = ledger.verify(every_seal=True)
    assert (report.intact, report.first_bad) == (False, 2)


def test_seals_that_were_taken_away_are_missed(ledger: Ledger, tamper: Callable[[str], None]) -> None:
    for _ in range(3):
        ledger.append("review", actor="ann")
    tamper("UPDATE ledger SET seal = NULL WHERE seq < 3")
    assert ledger.verify().first_bad == 3
    tamper("UPDATE ledger SET seal = NULL")
    assert "No entry has a seal" in str(ledger.verify().problem)


def test_without_its_key_an_installation_adds_nothing_and_says_so(local: Ledger) -> None:
    local.append("review", actor="ann")
    path = local.database.settings.keys / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    with pytest.raises(RecordsError, match="is missing"):
        local.append("review", actor="ann")
    assert not path.exists()
    assert "key is missing" in str(local.verify().problem)


def test_the_key_of_another_machine_counts_when_it_is_trusted(local: Ledger) -> None:
    local.append("review", actor="ann")
    other = LocalSigner(Ed25519PrivateKey.generate())
    _forge(local, lambda hash_: seal_of(hash_, other))
    assert not local.verify().intact
    line = base64.b64encode(other.public_key()).decode()
    (local.database.settings.keys / TRUSTED_FILE).write_text(line + "\n", encoding="ascii")
    assert local.append("review", actor="ann").seq == 3
    assert local.verify(every_seal=True).intact


class Token:
    """Stands where a token of PKCS#11 would: signs, and never hands its key out."""

    made: ClassVar[list[Settings]] = []
    _key = Ed25519PrivateKey.generate()

    def __init__(self, settings: Settings) -> None:
        self.made.append(settings)

    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def test_the_key_may_be_in_the_environment_or_behind_a_class_and_then_lies_in_no_file(settings: Settings) -> None:
    raw = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
    for changes in ({"installation_key": raw}, {"installation_signer": f"{__name__}:Token"}):
        mine = dataclasses.replace(settings, data=settings.data / next(iter(changes)), **changes)  # type: ignore[arg-type]
        ledger = Ledger(RecordsDatabase(mine))
        ledger.append("review", actor="ann")
        assert ledger.verify(every_seal=True).intact
        assert not (mine.keys / KEY_FILE).exists()
    assert raw not in repr(mine)
    assert Token.made


@pytest.mark.parametrize("changes", [{"installation_key": "short"}, {"installation_signer": "nowhere:Nothing"}])
def test_a_key_that_cannot_be_used_is_named_by_its_variable(settings: Settings, changes: dict[str, str]) -> None:
    ledger = Ledger(RecordsDatabase(dataclasses.replace(settings, **changes)))  # type: ignore[arg-type]
    with pytest.raises(RecordsError, match="CLINICAL_ASSETS_INSTALLATION_"):
        ledger.append("review", actor="ann")


def test_a_ledger_written_anew_with_the_installations_own_key_contradicts_a_witness_outside(local: Ledger) -> None:
    entries = [local.append("review", actor="ann", facts={"n": number}) for number in range(3)]
    outside = local.database.settings.data.parent / "outside" / "heads.jsonl"
    place = witness_place(str(outside))
    place.add(newest_head(local.database).line())
    local.append("review", actor="ann")
    place.add(newest_head(local.database).line())
    assert compare(local.database, place.lines(), where="outside").agreeing == 2
    # Root: every entry, hash, seal and anchor is written anew, in order.
    settings = local.database.settings
    _write_anew(local, entries)
    local.anchors.path.write_text("", encoding="ascii")
    local.anchors.add(_head(local))
    assert local.verify(every_seal=True).intact
    report = compare(RecordsDatabase(settings), place.lines(), where="outside")
    assert report.agreeing == 0
    assert "Entry 3" in str(report.problem)
    lines = outside.read_text(encoding="ascii").splitlines()
    outside.write_text(lines[0].replace('"seq":3', '"seq":2') + "\n", encoding="ascii")
    assert compare(RecordsDatabase(settings), place.lines(), where="outside").problem
    outside.write_text(lines[0].replace("sha256:", "sha256:0", 1)[:-1] + "}\n", encoding="ascii")
    with pytest.raises(RecordsError, match="is no witness"):
        compare(RecordsDatabase(settings), place.lines(), where="outside")


def _head(ledger: Ledger) -> Anchor:
    head = ledger.newest(1)[0]
    return Anchor(head.seq, head.hash, head.at)


def _write_anew(ledger: Ledger, entries: list[Entry]) -> None:
    settings = ledger.database.settings
    run_without_guards(settings, "DELETE FROM ledger")
    previous, signer = "sha256:" + "0" * 64, installation_signer(settings)
    with ledger.database.engine.begin() as connection:
        for entry in entries:
            fields = {**entry.to_json(), "actor": "mallory", "facts": "{}", "previous": previous, "at": entries[0].at}
            del fields["hash"], fields["seal"]
            previous = entry_hash(**fields)
            connection.execute(sa.insert(schema.ledger).values(**fields, hash=previous, seal=seal_of(previous, signer)))
