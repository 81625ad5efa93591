"""Champions are verified before they answer, and swapped without a dropped or a mixed answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import polars as pl
import pytest

from assets_tests.serving.conftest import Client
from assets_tests.worlds.ward.api_server import path_of, record
from assets_tests.worlds.ward.released import Releasable, flip_a_byte
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.promotion import promotion
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.champion.champion_pointer import bundle_of, serving_folder, warm_place
from clinical_assets.serving.scoring.champions import ChampionKeeper, NotServed
from clinical_assets.serving.service import PredictionService
from clinical_assets.workspace import Workspace


def risk_by(bundle: Bundle) -> float:
    values = {name: [value] for name, value in record().items() if name in bundle.feature_columns}
    return float(bundle.score(pl.DataFrame(values))[0])


def test_promotion_and_rollback_under_traffic_drop_and_mix_no_answer(
    client: Client, service: PredictionService, released: Releasable
) -> None:
    first = service.keeper.current(COHORT).bundle.digest
    answers: list[httpx.Response] = []
    done = asyncio.Event()

    async def ask(http: httpx.AsyncClient) -> None:
        while not done.is_set():
            answers.append(await http.post(path_of("predict"), json={"records": [record()]}))

    def swap() -> None:
        for _ in range(2):
            released.approve()
            released.promote()
            service.keeper.look()
            assert service.keeper.current(COHORT).bundle.digest != first
            promotion.rollback(released.settings, COHORT, actor="duty", reason="A drill.")
            service.keeper.look()
            assert service.keeper.current(COHORT).bundle.digest == first

    async def all_of_it() -> None:
        async with client() as http:
            callers = [asyncio.create_task(ask(http)) for _ in range(3)]
            try:
                await asyncio.to_thread(swap)
            finally:
                done.set()
                await asyncio.gather(*callers)

    asyncio.run(all_of_it())
    assert {each.status_code for each in answers} == {200}
    said = {(each.json()["model"]["digest"], each.json()["predictions"][0]["risk"]) for each in answers}
    assert len(said) == 2
    assert said == {(digest, risk_by(bundle_of(released.settings, digest))) for digest, _ in said}


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
