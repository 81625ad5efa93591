"""The page of a bundle alone: the same answer, from a folder, on no record."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from assets_tests.serving.conftest import Client
from assets_tests.serving.pages import conftest
from assets_tests.serving.pages.conftest import PATIENT, Browser
from assets_tests.serving.pages.test_lists import HEADER
from assets_tests.serving.pages.test_patients import text_of
from assets_tests.worlds.ward.api_server import path_of, record
from assets_tests.worlds.ward.released import Releasable, flip_a_byte
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.trainings.trainings import RESULTS
from clinical_assets.serving.pages.app import bundle_app
from clinical_assets.serving.pages.patients.bundle_desk import NoDescription, _labels, described_by

FORM = f"/cohorts/{COHORT}"


@pytest.fixture
def carried(released: Releasable, tmp_path: Path) -> Path:
    """The training of the champion, copied to a laptop that has nothing else."""
    served = champion_pointer.last(released.settings, COHORT)
    assert served is not None
    training = released.trained.candidate(served.digest).training.folder
    return Path(shutil.copytree(training, tmp_path / "laptop"))


@pytest.fixture
def empty(tmp_path: Path, released: Releasable) -> Catalogue:
    """A catalogue that describes nothing of this."""
    folder = tmp_path / "no cohorts"
    folder.mkdir()
    return Catalogue.from_settings(replace(released.settings, catalogue=(folder,)))


def at(folder: Path, catalogue: Catalogue, what: Callable[[Browser], Awaitable[Any]]) -> Any:
    app = bundle_app(folder, catalogue)

    async def opened() -> Any:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return await what(Browser(http))

    return asyncio.run(opened())


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "BASE", "")


def test_a_bundle_answers_as_the_server_does_and_says_that_it_is_on_no_record(
    carried: Path, empty: Catalogue, client: Client
) -> None:
    async def ask(browser: Browser) -> list[str]:
        await browser.open(FORM)
        pages = [browser.page, (await browser.send(FORM, PATIENT)).text]
        await browser.open(f"{FORM}/list")
        files = {"file.subjects": ("a.csv", f"{HEADER}\nX00001,54,f,north,1.7,1.0,0.2,false", "text/csv")}
        response = await browser.http.post(f"{FORM}/list", data={"form": browser.hidden("form")}, files=files)
        return [*pages, response.text]

    async def api() -> Any:
        async with client() as http:
            return (await http.post(path_of("predict"), json={"records": [record()]})).json()["predictions"][0]

    before = {path: path.stat().st_mtime_ns for path in carried.rglob("*")}
    form, answer, listed = at(carried / "bundle", empty, ask)
    known = asyncio.run(api())
    for page in (form, answer, listed):
        assert "Not on record." in page
        assert "Sign out" not in page
    text = text_of(answer)
    assert f"Tier: {known['tier']}" in text
    assert f"{100 * known['risk']:.1f}".removesuffix(".0") in text
    assert 'name="acted"' not in answer
    assert before == {path: path.stat().st_mtime_ns for path in carried.rglob("*")}


def test_a_form_of_another_page_is_refused_here_too(carried: Path, empty: Catalogue) -> None:
    async def forge(browser: Browser) -> list[int]:
        foreign = await browser.http.post(FORM, data=PATIENT)
        named = await browser.http.get(FORM, headers={"host": "evil.example"})
        return [foreign.status_code, named.status_code]

    assert at(carried / "bundle", empty, forge) == [403, 400]


def test_a_changed_bundle_and_one_without_its_description_are_not_opened(carried: Path, empty: Catalogue) -> None:
    kept = carried / "report" / "spec.json"
    facts = json.loads(kept.read_text(encoding="utf-8"))
    kept.write_text(json.dumps({**facts, "title": "Another"}), encoding="utf-8")
    with pytest.raises(NoDescription) as refused:
        bundle_app(carried / "bundle", empty)
    assert "CLINICAL_ASSETS_CATALOGUE" in str(refused.value.cure)
    flip_a_byte(carried / "bundle" / "bundle.json")
    with pytest.raises(BundleError):
        bundle_app(carried / "bundle", empty)


def test_the_catalogue_helps_where_the_report_does_not_lie_beside_the_bundle(
    tmp_path: Path, released: Releasable
) -> None:
    # The newest model was made from the description of now.
    alone = shutil.copytree(released.trained.candidate().bundle.folder, tmp_path / "alone")
    assert bundle_app(Path(alone), released.trained.catalogue) is not None


def test_features_that_sql_makes_are_called_by_what_the_report_beside_the_bundle_says(
    carried: Path, empty: Catalogue
) -> None:
    bundle = Bundle.load(carried / "bundle")
    report = carried / "report" / RESULTS
    kept = json.loads(report.read_text(encoding="utf-8"))
    name, spec = bundle.feature_columns[0], described_by(bundle, empty)
    columns = {column: each for column, each in spec.subjects.columns.items() if column != name}
    subjects = spec.subjects.model_copy(update={"columns": columns})
    spec = spec.model_copy(update={"tables": spec.tables | {spec.subject_table: subjects}})
    report.write_text(json.dumps(kept | {"feature_labels": {name: "Seizure (HP:0001250)."}}), encoding="utf-8")
    assert _labels(spec, bundle)[name].text == "Seizure (HP:0001250)"
    # A report of another bundle says nothing of this one.
    other = {"feature_labels": {name: "Something else."}, "bundle_digest": "sha256:other"}
    report.write_text(json.dumps(kept | other), encoding="utf-8")
    assert _labels(spec, bundle)[name].text != "Something else"
