"""Data of a cohort that nobody describes any more are found, deleted or given to its new name, and the ledger knows."""

from __future__ import annotations

import polars as pl
import pytest

from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.privacy.stored_cohorts import StoredCohortError, orphans, remove, rename, stored_cohorts
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.warehouse.store.warehouse import Warehouse


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    return Ledger(RecordsDatabase(settings))


def _fill(settings: Settings, name: str) -> None:
    with Warehouse(name, settings).writer() as connection:
        connection.register("frame", pl.DataFrame({"_row": [1], "patient_id": ["p1"]}))
        connection.execute("CREATE TABLE raw.subjects AS SELECT * FROM frame")
    for folder in (settings.snapshots / name / "subjects", settings.data / "models" / name, settings.inbox / name):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (settings.dossiers / name).mkdir(parents=True)
    (settings.dossiers / name / "page.html").write_text("signed")
    Pseudonyms(settings, name).erase("p9")


def test_data_that_nobody_describes_are_found_and_described_ones_are_not(settings: Settings) -> None:
    assert stored_cohorts(settings) == {}
    for name in ("old", "other"):
        _fill(settings, name)
    (found,) = orphans(settings, {"other"})
    assert found.name == "old"
    assert found.shown == "warehouse, snapshots, trainings, files in the inbox"
    assert found.size > 3


def test_a_removal_deletes_the_records_keeps_the_evidence_and_is_entered(settings: Settings, ledger: Ledger) -> None:
    for name in ("old", "other"):
        _fill(settings, name)
    before = stored_cohorts(settings)["other"]
    gone = remove(settings, ledger, "old", reason="Study ended.", actor="someone")
    assert not any(place.path.exists() for place in gone.places)
    assert stored_cohorts(settings) == {"other": before}
    assert (settings.dossiers / "old" / "page.html").exists()
    # Who was erased stays erased, should the cohort come back.
    assert Pseudonyms(settings, "old").erased(pl.Series(["p9", "p1"])).to_list() == [True, False]
    (entry,) = ledger.entries(action="removal")
    assert (entry.cohort, entry.actor, entry.reason) == ("old", "someone", "Study ended.")
    assert entry.facts["bytes"] == gone.size
    with pytest.raises(StoredCohortError, match="Nothing is stored of a cohort 'old'"):
        remove(settings, ledger, "old", reason="Again.", actor="someone")


def test_a_new_name_takes_records_and_erasures_along_and_leaves_models(settings: Settings, ledger: Ledger) -> None:
    _fill(settings, "old")
    rename(settings, ledger, "old", "new", reason="Better name.", actor="someone")
    assert Warehouse("new", settings).query("SELECT patient_id FROM raw.subjects").rows() == [("p1",)]
    assert (settings.snapshots / "new" / "subjects" / "file").exists()
    assert Pseudonyms(settings, "new").erased(pl.Series(["p9"])).to_list() == [True]
    assert stored_cohorts(settings)["old"].shown == "trainings"
    assert [entry.cohort for entry in ledger.entries(action="rename")] == ["old", "new"]
    assert ledger.verify().intact


def test_a_name_that_has_data_takes_no_others(settings: Settings, ledger: Ledger) -> None:
    for name in ("old", "new"):
        _fill(settings, name)
    with pytest.raises(StoredCohortError, match="Something of cohort new is stored already"):
        rename(settings, ledger, "old", "new", reason="Mix.", actor="someone")
    assert ledger.entries() == ()
    assert set(stored_cohorts(settings)) == {"old", "new"}


def test_what_serves_is_neither_removed_nor_renamed(settings: Settings, ledger: Ledger) -> None:
    _fill(settings, "old")
    champion = Champion(cohort="old", digest="sha256:1", since="2026-01-01", by="a", previous=(), promotion="1")
    path = champion_pointer.serving_folder(settings, "old") / champion_pointer.POINTER
    path.parent.mkdir(parents=True)
    path.write_text(champion.model_dump_json())
    with pytest.raises(StoredCohortError, match="A champion of old serves"):
        remove(settings, ledger, "old", reason="x", actor="a")
    with pytest.raises(StoredCohortError, match="A champion of old serves"):
        rename(settings, ledger, "old", "new", reason="x", actor="a")
    assert ledger.entries() == ()
    assert stored_cohorts(settings)["old"].shown.startswith("warehouse, snapshots")
