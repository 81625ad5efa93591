"""Exports: complete, private, recorded, and good enough to check the chain without the database."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.installation import installation_signer
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.entries import GENESIS
from clinical_assets.records.ledger.ledger import Ledger


def _fill(ledger: Ledger) -> None:
    for number in range(4):
        ledger.append("review", actor="änn", reason='a "b",\nc', facts={"number": number, "é": None})


def test_a_stranger_can_check_the_chain_from_the_lines(ledger: Ledger, tmp_path: Path) -> None:
    _fill(ledger)
    path = tmp_path / "ledger.jsonl"
    assert ledger.export(path, format="jsonl", actor="inspector") == 4
    # What the installation gives to an inspector beside the file: 32 bytes.
    key = Ed25519PublicKey.from_public_bytes(installation_signer(ledger.database.settings).public_key())
    previous = GENESIS
    for line in path.read_text(encoding="ascii").splitlines():
        fields = json.loads(line)
        hash_ = fields.pop("hash")
        assert fields.pop("previous") == previous
        seal = base64.b64decode(fields.pop("seal"))
        key.verify(seal, b"clinical_assets ledger seal, version 1\n" + hash_.encode())
        content = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        assert hash_ == "sha256:" + hashlib.sha256((previous + content).encode()).hexdigest()
        previous = hash_
    assert previous == ledger.entries()[3].hash


# A seal, in base64, may begin like a formula; such a cell begins with an apostrophe.
QUOTE = {True: "'", False: ""}


def test_the_table_has_the_same_content(ledger: Ledger, tmp_path: Path) -> None:
    _fill(ledger)
    path = tmp_path / "ledger.csv"
    assert ledger.export(path, format="csv") == 4
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        {
            key: "" if value is None else f"{QUOTE[str(value)[:1] == '+']}{value}"
            for key, value in {**e.to_json(), "facts": canonical(e.facts)}.items()
        }
        for e in ledger.entries(limit=4)
    ]
    assert rows == expected


@pytest.mark.parametrize("reason", ['=HYPERLINK("http://a.example","x")', "+1", "-1", "@SUM(A1)", "\t=1", "＝1"])
def test_no_cell_is_a_formula_in_a_spreadsheet_and_the_lines_keep_the_words(
    ledger: Ledger, tmp_path: Path, reason: str
) -> None:
    ledger.append("review", actor="ann", reason=reason, facts={})
    ledger.export(tmp_path / "ledger.csv", format="csv")
    with (tmp_path / "ledger.csv").open(encoding="utf-8", newline="") as file:
        (row,) = list(csv.DictReader(file))
    assert row["reason"] == f"'{reason}"
    ledger.export(tmp_path / "ledger.jsonl", format="jsonl")
    first = (tmp_path / "ledger.jsonl").read_text(encoding="ascii").splitlines()[0]
    assert json.loads(first)["reason"] == reason


def test_an_export_is_private_and_in_the_ledger_with_its_digest(local: Ledger, tmp_path: Path) -> None:
    _fill(local)
    path = tmp_path / "out.jsonl"
    local.export(path, format="jsonl", actor="inspector")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    entry = local.newest(1)[0]
    assert (entry.action, entry.actor) == ("export", "inspector")
    assert entry.facts == {"file": "out.jsonl", "format": "jsonl", "entries": 4}
    assert entry.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert local.verify().intact


def test_an_export_that_cannot_be_recorded_leaves_no_file(
    local: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(local)

    def refuse(*_: object, **__: object) -> None:
        raise RecordsError("refused")

    monkeypatch.setattr(Ledger, "append", refuse)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(RecordsError, match="refused"):
        local.export(folder / "ledger.csv", format="csv")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["", "missing/ledger.csv"])
def test_a_file_that_cannot_be_written_is_named_and_not_recorded(local: Ledger, tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordsError, match=r"No such file|is a folder"):
        local.export(tmp_path / name, format="csv")
    assert local.entries() == ()
