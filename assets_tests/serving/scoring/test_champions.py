"""Champions are verified before they answer, and whenever they may have changed."""

from __future__ import annotations

from typing import Any

import pytest

from assets_tests.worlds.ward.released import Releasable, flip_a_byte
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.modelling.champion.champion_pointer import serving_folder, warm_place
from clinical_assets.serving.scoring.champions import ChampionKeeper, NotServed
from clinical_assets.workspace import Workspace


def test_a_pointer_that_no_promotion_wrote_is_not_followed(workspace: Workspace, released: Releasable) -> None:
    keeper = ChampionKeeper(workspace)
    keeper.look()
    before = keeper.current(COHORT).bundle.digest
    path = serving_folder(released.settings, COHORT) / "champion.json"
    path.write_text(path.read_text().replace(before, released.candidate.digest))
    keeper.look()
    with pytest.raises(NotServed, match="was not written by a promotion"):
        keeper.current(COHORT)
    assert list(keeper.problems()) == [COHORT]


def test_a_bundle_that_was_changed_stops_answering_when_it_is_verified_again(
    workspace: Workspace, released: Releasable
) -> None:
    keeper = ChampionKeeper(workspace, verify_s=0)
    keeper.look()
    digest = keeper.current(COHORT).bundle.digest
    flip_a_byte(warm_place(released.settings, COHORT, digest) / "model.onnx")
    keeper.look()
    with pytest.raises(NotServed, match=r"model\.onnx"):
        keeper.current(COHORT)


def test_records_that_do_not_answer_stop_no_champion_that_was_verified(
    workspace: Workspace, released: Releasable, caplog: Any
) -> None:
    keeper = ChampionKeeper(workspace, verify_s=0)
    keeper.look()
    path = released.settings.records / "records.sqlite"
    kept = path.read_bytes()
    path.write_bytes(b"no database" * 1000)
    keeper.look()
    assert keeper.current(COHORT).bundle.digest
    assert "cannot be verified now" in caplog.text
    fresh = ChampionKeeper(workspace)
    fresh.look()
    with pytest.raises(NotServed):
        fresh.current(COHORT)
    path.write_bytes(kept)


def test_a_cohort_without_a_champion_says_so(workspace: Workspace) -> None:
    keeper = ChampionKeeper(workspace)
    keeper.look()
    with pytest.raises(NotServed, match="heart_disease has no champion"):
        keeper.current("heart_disease")
