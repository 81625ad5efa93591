"""A model that nothing blocks serves, is recorded once, and two promotions at once are one."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from assets_tests.governance.promotion.champions import consistent_champion, last_champion
from assets_tests.worlds.ward.released import (
    Releasable,
    promote_in_another_process,
)
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.promotion.promotion import is_recorded, recover
from clinical_assets.modelling.tracking import mlflow_store
from clinical_assets.records.ledger.ledger import Ledger


class TestPromotion:
    def test_the_first_champion_serves_is_recorded_and_rests_on_named_signatures(self, signed: Releasable) -> None:
        champion = signed.promote()
        assert consistent_champion(signed) == champion
        assert (champion.digest, champion.previous, champion.by) == (signed.candidate.digest, (), "release")
        (entry,) = Ledger(signed.records).entries(action="promotion")
        assert len(entry.facts["signatures"]) == 1
        assert entry.facts["dossier_digest"] == signed.dossier_digest
        assert entry.digest == champion.digest

    def test_promoting_what_serves_changes_nothing(self, signed: Releasable) -> None:
        assert signed.promote() == signed.promote() == consistent_champion(signed)
        assert len(Ledger(signed.records).entries(action="promotion")) == 1

    def test_the_next_champion_remembers_the_one_before(self, second: Releasable) -> None:
        first = consistent_champion(second)
        second.approve()
        champion = second.promote()
        assert champion.previous == (first.digest,)
        assert consistent_champion(second) == champion

    def test_two_promotions_at_once_queue_and_are_one(self, signed: Releasable, tmp_path: Path) -> None:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(promote_in_another_process, str(tmp_path / "release")) for _ in range(2)]
            ended = {job.result() for job in jobs}
        assert ended == {consistent_champion(signed).promotion}
        assert len(Ledger(signed.records).entries(action="promotion")) == 1

    def test_a_registry_that_does_not_answer_is_told_later(
        self, signed: Releasable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(mlflow_store, "exclusive", _no_registry)
            champion = signed.promote()
            assert last_champion(signed) == champion
            assert is_recorded(signed.settings, champion)
            told = recover(signed.settings, COHORT)
            assert told is not None
            assert told.outcome == "alias_behind"
        told = recover(signed.settings, COHORT)
        assert told is not None
        assert told.outcome == "completed"
        assert consistent_champion(signed) == champion
        assert recover(signed.settings, COHORT) is None


def _no_registry(*_: object) -> object:
    raise mlflow_store.RegistryError("The registry is down.")
