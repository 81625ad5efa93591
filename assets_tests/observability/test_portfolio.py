"""A cohort's line says what its stores say, names what cannot be read, and its links lead to files that are there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from assets_tests.worlds.ward.released import Releasable, administrator, first_release, put_in_environment
from assets_tests.worlds.ward.trained import COHORT
from assets_tests.worlds.year.reports import keep_all
from clinical_assets.governance.promotion.promotion import retire
from clinical_assets.monitoring import report_store
from clinical_assets.observability.portfolio import PortfolioEntry, portfolio, write_portfolio
from clinical_assets.workspace import Workspace


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releasable:
    """A first model that nobody has signed."""
    return put_in_environment(first_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)


def line(made: Releasable) -> PortfolioEntry:
    return next(each for each in portfolio(Workspace(made.settings)) if each.cohort == COHORT)


def test_a_model_is_followed_from_waiting_to_serving_to_retirement(made: Releasable) -> None:
    waiting = line(made)
    results = made.candidate.training.results
    assert (waiting.model, waiting.auroc, waiting.n) == (
        results.selected,
        results.metrics["auroc"].to_json(),
        results.holdout.n,
    )
    assert set(waiting.gates.values()) == {"pass"}
    assert (waiting.waits_for, waiting.champion, waiting.signed_by) == (("1 signature of reviewer",), None, ())
    assert waiting.release == "waits for 1 signature of reviewer"
    made.judge(bias="insufficient")
    assert line(made).release == "waits for 1 waiver, 1 signature of reviewer"
    made.judge(bias="fail")
    failed = line(made)
    assert failed.release == "blocked: gate_failed, unsigned"
    assert failed.failed[0].startswith("bias/")
    assert failed.gate_words.endswith(f"(failed: {', '.join(failed.failed)})")
    made.judge()
    made.approve()
    made.promote()
    served = line(made)
    assert (served.champion, served.release) == (made.candidate.digest, "serves")
    assert served.signed_by == ("Bob Brook (reviewer)",)
    retire(made.settings, COHORT, actor="root", reason="Alarms.", by=administrator(made.records))
    retired = line(made)
    assert (retired.champion, retired.champion_words[:8], retired.release[:9]) == (None, "retired ", "waits for")


def test_a_line_has_site_calibration_and_net_benefit_with_their_intervals(made: Releasable) -> None:
    found = line(made)
    metrics, disease = made.candidate.training.results.metrics, made.candidate.spec.disease
    assert found.site == f"{disease.name} ({', '.join(disease.icd10)})"
    for name, words, form in (("calibration_slope", found.slope, "z,.3f"), ("net_benefit", found.benefit, ".2g")):
        measure = metrics[name]
        ends = (measure.value, measure.ci_low, measure.ci_high)
        assert words == "{} ({} to {})".format(*(f"{end:{form}}" for end in ends))
    page = write_portfolio(Workspace(made.settings)).read_text(encoding="utf-8")
    assert all(words in page for words in (found.site, found.slope, found.benefit))


def test_the_page_has_a_line_for_every_cohort_and_links_that_open(made: Releasable) -> None:
    keep_all(made.settings, COHORT, number=1)
    (made.candidate.training.report / "model_card.md").write_text("# Card", encoding="utf-8")
    entries = portfolio(Workspace(made.settings))
    page = write_portfolio(Workspace(made.settings), entries)
    text = page.read_text(encoding="utf-8")
    for each in entries:
        assert f'<th scope="row">{each.cohort}' in text
    addresses = re.findall(r'href="([^"]+)"', text)
    assert {Path(each).name for each in addresses} >= {"model_card.md", "index.html"}
    assert all((page.parent / each).is_file() for each in addresses)
    cohorts = sum(not each.is_micro_cohort for each in entries)
    assert len(re.findall('class="badge', text)) == len(report_store.NAMES) * cohorts
    assert "SYNTHETIC" not in text.partition("<main>")[0]


def test_what_cannot_be_read_is_said_in_its_line_and_hides_no_other(made: Releasable) -> None:
    (made.candidate.training.report / "results.json").write_text("{", encoding="utf-8")
    entries = portfolio(Workspace(made.settings))
    broken = next(each for each in entries if each.cohort == COHORT)
    assert len(broken.problems) == 1
    assert all(replace(each, problems=[]) == each for each in entries if each.cohort != COHORT)
    assert broken.problems[0] in write_portfolio(Workspace(made.settings), entries).read_text(encoding="utf-8")


def test_a_broken_description_has_a_line_and_hides_no_other(made: Releasable) -> None:
    (made.settings.catalogue[0] / "ward_wrong.yaml").write_text("name: ward_wrong\n", encoding="utf-8")
    entries = {each.cohort: each for each in portfolio(Workspace(made.settings))}
    assert "ward_wrong.yaml" in entries["ward_wrong"].problems[0]
    assert entries[COHORT].problems == []
    assert "ward_wrong" in write_portfolio(Workspace(made.settings)).read_text(encoding="utf-8")
