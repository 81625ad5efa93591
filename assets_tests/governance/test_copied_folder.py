"""A backup that is restored at another path: it verifies and scores, and changes a champion once it is adopted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assets_tests.worlds.ward.released import Releasable, put_in_environment, second_release
from assets_tests.worlds.ward.served import Served, new_patients
from assets_tests.worlds.ward.trained import COHORT, opened
from clinical_assets.governance.promotion import promotion
from clinical_assets.governance.promotion.promotion import PromotionRefused
from clinical_assets.governance.verification import verify_all
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.records.adoption import adopt
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.place import Copied


@pytest.fixture
def restored(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releasable:
    """Two champions one after the other, copied as a backup does; the original is gone."""
    original = second_release(tmp_path_factory).copy_to(tmp_path / "original")
    original.approve()
    original.promote()
    shutil.copytree(tmp_path / "original", tmp_path / "restored" / "to here")
    shutil.rmtree(tmp_path / "original")
    return put_in_environment(Releasable(opened(tmp_path / "restored" / "to here")), monkeypatch)


def test_a_restored_backup_verifies_scores_and_after_adoption_rolls_back_and_promotes(
    restored: Releasable, tmp_path: Path
) -> None:
    report = verify_all(restored.settings)
    assert report.intact, report
    (note,) = [part.note for part in report.parts if part.name == "installation"]
    assert note is not None
    assert str(tmp_path / "original" / "data") in note

    newest = promotion.serving(restored.settings, COHORT)
    assert newest is not None
    champion, bundle = newest
    ward = Served(restored.trained, tmp_path / "delivered")
    assert ward.score(ward.receive(*new_patients(20, seed=3)), bundle).rows == 20

    # Nothing that others would take for the original's.
    before = champion_pointer.current(restored.settings, COHORT)
    with pytest.raises(PromotionRefused) as caught:
        restored.promote()
    assert [each.code for each in caught.value.blockers] == ["copied_folder"]
    with pytest.raises(Copied, match="changes no champion"):
        promotion.rollback(restored.settings, COHORT, actor="ann", reason="A try.")
    assert champion_pointer.current(restored.settings, COHORT) == before

    adopt(Ledger(restored.records), actor="ann", reason="The disk broke; this is last night's backup.")
    # Without the warm copy the bundle comes from the registry, which must look in this folder.
    shutil.rmtree(champion_pointer.warm_place(restored.settings, COHORT, champion.previous[0]))
    back = promotion.rollback(restored.settings, COHORT, actor="ann", reason="A try.")
    assert back.digest == champion.previous[0]
    restored.approve()
    assert restored.promote().digest == champion.digest
    after = verify_all(restored.settings)
    assert after.intact, after
    assert [part.note for part in after.parts if part.note] == []
