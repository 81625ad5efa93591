"""Pages say everything the reports say, to people, without a server, a script, or a green light for want of data."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from assets_tests.worlds.year.reports import DIGEST, VERDICTS, drifted, keep_all, report
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.monitoring import report_plots, report_store
from clinical_assets.monitoring.pages import write_cohort_page
from clinical_assets.monitoring.report_type import ReportType, StoredReport
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.monitoring.traffic_lights import signal_of
from clinical_assets.reporting.formats import prose, words

_VOID = {"meta", "img", "br", "link", "hr", "input"}


class Outline(HTMLParser):
    """Tags that are closed in order, and every address that a page asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("href", "src")]
        self.ids |= {str(value) for name, value in attrs if name == "id"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: Path) -> Outline:
    found = Outline()
    found.feed(page.read_text(encoding="utf-8"))
    assert found.open == []
    return found


@pytest.mark.parametrize("number", range(7))
def test_every_report_stands_on_the_page_with_its_light(
    small_spec: CohortSpec, settings: Settings, number: int
) -> None:
    keep_all(settings, small_spec.name, number=number, history=3)
    page = write_cohort_page(settings, small_spec, champion=DIGEST)
    text, found = page.read_text(encoding="utf-8"), outline(page)
    for name, verdicts in VERDICTS.items():
        kept = report_store.latest(settings, small_spec.name, name)
        assert kept is not None
        signal = signal_of(kept)
        assert f'class="badge {signal.colour}">{signal.word}<' in text
        assert prose(kept.summary) in text
        assert name in found.ids
        assert verdicts[number % len(verdicts)] == kept.verdict
    assert "SYNTHETIC" in text
    assert all(each.startswith(("#", "data:image/png;base64,", "../index.html")) for each in found.addresses)
    assert {each[1:] for each in found.addresses if each.startswith("#")} <= found.ids
    assert "<script" not in text


def test_a_recommendation_shows_its_rule_and_evidence(small_spec: CohortSpec, settings: Settings) -> None:
    report_store.keep(settings, small_spec.name, "update_recommendation", report("update_recommendation", "refit"))
    text = write_cohort_page(settings, small_spec, champion=DIGEST).read_text(encoding="utf-8")
    for shown in ("rule that decided", "closed test", "p = 7.8e-10", "AUROC gain cross validated", "sha256:0c0c"):
        assert shown in text


def test_groups_have_their_labels_in_summary_table_evidence_and_news(
    small_spec: CohortSpec, settings: Settings
) -> None:
    plain = small_spec.model_dump(mode="json", by_alias=True)
    plain["tables"]["subjects"]["columns"]["sex"]["categories"] = {"f": "Woman", "m": "Man"}
    spec = CohortSpec.model_validate(plain)
    keep_all(settings, spec.name, number=0, history=1)
    found = report("fairness_report", "fail") | {"summary": "1 fails. Failing: tpr_difference[sex=f]."}
    report_store.keep(settings, spec.name, "fairness_report", found)
    text = write_cohort_page(settings, spec, champion=DIGEST).read_text(encoding="utf-8")
    assert re.search(r"Failing: [\w ]+\[sex=f: Woman\]", text)
    assert not re.findall(r"sex=f(?!: Woman)", text)
    assert text.count("sex=f: Woman") >= 4


def test_prose_has_no_code_names(small_spec: CohortSpec, settings: Settings) -> None:
    keep_all(settings, small_spec.name, number=1, history=2)
    page = write_cohort_page(settings, small_spec, champion=DIGEST)
    visible = re.sub(
        r"<style>.*?</style>|<code>.*?</code>|<[^>]+>", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert not re.findall(r"\b[a-z]+_[a-z_]+\b", visible)
    assert "age (years)" in visible
    assert "AUROC" in visible


def test_a_report_that_declares_no_more_than_it_must_has_its_section_and_its_table(
    small_spec: CohortSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ReportType("made_up_report", place=50, label="Made up", alert="drift", table="months")
    monkeypatch.setitem(BY_NAME, plain.name, plain)
    monkeypatch.setattr(report_store, "NAMES", (*report_store.NAMES, plain.name))
    for share, verdict in ((0.95, "sound"), (0.5, "alarm")):
        kept = report(plain.name, verdict) | {"report": {"months": [{"month": "2026-05", "known": share}]}}
        report_store.keep(settings, small_spec.name, plain.name, kept)
    text = write_cohort_page(settings, small_spec, champion=DIGEST).read_text(encoding="utf-8")
    assert "Made up: was sound, is alarm." in text
    assert re.search(r"<td[^>]*>2026-05</td>\s*<td[^>]*>0\.5</td>", text)


def test_what_drifts_is_drawn_and_named_as_news(small_spec: CohortSpec, settings: Settings) -> None:
    report_store.keep(settings, small_spec.name, "drift_report", report("drift_report", "stable"))
    report_store.keep(settings, small_spec.name, "data_quality_report", report("data_quality_report", "sound"))
    first = write_cohort_page(settings, small_spec, champion=DIGEST).read_text(encoding="utf-8")
    assert "Made for the first time: Data quality, Drift." in first
    assert "<svg" not in first
    report_store.keep(settings, small_spec.name, "drift_report", report("drift_report", "drift"))
    report_store.keep(settings, small_spec.name, "data_quality_report", report("data_quality_report", "sound"))
    then = write_cohort_page(settings, small_spec, champion=DIGEST).read_text(encoding="utf-8")
    drawn = drifted(0.6).drifted
    assert "Drift: was stable, is drift; newly drifting: " in then
    assert "Unchanged: Data quality (sound)." in then
    for name in drawn:
        assert f'aria-label="Shares of {words(name)}' in then
    report_store.keep(settings, small_spec.name, "drift_report", report("drift_report", "stable"))
    last = write_cohort_page(settings, small_spec, champion=DIGEST).read_text(encoding="utf-8")
    assert "was drift, is stable; drifting no longer: age (years)" in last


def test_a_quiet_year_is_drawn_flat(
    small_spec: CohortSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, tuple[float, float]] = {}
    whole = report_plots.png

    def looked_at(figure: Figure) -> bytes:
        limits.update({axes.get_title(loc="left"): axes.get_ylim() for axes in figure.axes})
        return whole(figure)

    monkeypatch.setattr(report_plots, "png", looked_at)
    for past in range(3):
        content = report("drift_report", "stable", number=0)
        report_store.keep(
            settings, small_spec.name, "drift_report", {**content, "metrics": {"psi_max": 0.01 + past / 1e3}}
        )
    write_cohort_page(settings, small_spec, champion=DIGEST)
    low, high = limits["largest PSI of a feature"]
    assert low <= 0
    assert high >= 0.4


def test_a_report_about_an_earlier_champion_says_so(small_spec: CohortSpec, settings: Settings) -> None:
    keep_all(settings, small_spec.name, number=0)
    assert "About an earlier champion" in write_cohort_page(settings, small_spec, champion="sha256:new").read_text()
    assert "About an earlier champion" not in write_cohort_page(settings, small_spec, champion=DIGEST).read_text()


def test_without_reports_the_page_says_that_nothing_was_judged(small_spec: CohortSpec, settings: Settings) -> None:
    page = write_cohort_page(settings, small_spec, champion=None)
    text = page.read_text(encoding="utf-8")
    outline(page)
    assert "No champion yet" in text
    assert text.count(">no report<") == len(report_store.NAMES)
    assert 'class="badge green"' not in text


def test_text_from_records_cannot_become_markup(small_spec: CohortSpec, settings: Settings) -> None:
    content = {**report("drift_report", "drift"), "summary": "<script>alert(1)</script>"}
    report_store.keep(settings, small_spec.name, "drift_report", content)
    assert "<script" not in write_cohort_page(settings, small_spec, champion=DIGEST).read_text(encoding="utf-8")


def _judged(verdict: str) -> StoredReport:
    return StoredReport(made_at="now", verdict=verdict, summary="-", bundle_digest=DIGEST)


def test_a_verdict_that_nobody_thought_of_is_red() -> None:
    assert signal_of(_judged("odd")).colour == "red"
    assert signal_of(None).colour == "grey"
    for verdict in ("insufficient", "wait"):
        assert signal_of(_judged(verdict)).colour == "grey"
