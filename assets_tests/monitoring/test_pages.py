"""Pages say everything the reports say, to people, without a server, a script, or a green light for want of data."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from assets_tests.monitoring.made_reports import DIGEST, VERDICTS, keep_all, report
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.monitoring import kept_reports
from clinical_assets.monitoring.pages import write_cohort_page, write_platform_page
from clinical_assets.monitoring.signals import signal_of
from clinical_assets.settings import Settings

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
        kept = kept_reports.latest(settings, small_spec.name, name)
        assert kept is not None
        signal = signal_of(kept)
        assert f'class="light {signal.colour}">{signal.word}<' in text
        assert kept["summary"] in text
        assert name in found.ids
        assert verdicts[number % len(verdicts)] == kept["verdict"]
    assert "SYNTHETIC" in text
    assert all(each.startswith(("#", "data:image/png;base64,", "../index.html")) for each in found.addresses)
    assert {each[1:] for each in found.addresses if each.startswith("#")} <= found.ids
    assert "<script" not in text


def test_a_recommendation_shows_its_rule_and_evidence(small_spec: CohortSpec, settings: Settings) -> None:
    kept_reports.keep(settings, small_spec.name, "update_recommendation", report("update_recommendation", "refit"))
    text = write_cohort_page(settings, small_spec, champion=DIGEST).read_text(encoding="utf-8")
    for words in ("rule that decided", "closed test", "p = 7.8e-10", "auroc gain cross validated", "sha256:0c0c"):
        assert words in text


def test_a_report_about_an_earlier_champion_says_so(small_spec: CohortSpec, settings: Settings) -> None:
    keep_all(settings, small_spec.name, number=0)
    assert "About an earlier champion" in write_cohort_page(settings, small_spec, champion="sha256:new").read_text()
    assert "About an earlier champion" not in write_cohort_page(settings, small_spec, champion=DIGEST).read_text()


def test_without_reports_the_page_says_that_nothing_was_judged(small_spec: CohortSpec, settings: Settings) -> None:
    page = write_cohort_page(settings, small_spec, champion=None)
    text = page.read_text(encoding="utf-8")
    outline(page)
    assert "No champion yet" in text
    assert text.count(">no report<") == len(VERDICTS)
    assert 'class="light green"' not in text


def test_text_from_records_cannot_become_markup(small_spec: CohortSpec, settings: Settings) -> None:
    content = {**report("drift_report", "drift"), "summary": "<script>alert(1)</script>"}
    kept_reports.keep(settings, small_spec.name, "drift_report", content)
    assert "<script" not in write_cohort_page(settings, small_spec, champion=DIGEST).read_text(encoding="utf-8")


def test_a_verdict_that_nobody_thought_of_is_red() -> None:
    assert signal_of({"verdict": "odd"}).colour == "red"
    assert signal_of(None).colour == "grey"
    for verdict in ("insufficient", "wait"):
        assert signal_of({"verdict": verdict}).colour == "grey"


def test_the_platform_page_lists_every_cohort_with_a_light_a_report(settings: Settings) -> None:
    catalogue = Catalogue.from_settings(settings)
    names = catalogue.names()
    for number, name in enumerate(names[:3]):
        keep_all(settings, name, number=number)
        write_cohort_page(settings, catalogue.spec(name), champion=DIGEST)
    page = write_platform_page(settings, catalogue, since={names[0]: "2026-05-01T10:00:00+00:00"})
    text, found = page.read_text(encoding="utf-8"), outline(page)
    assert len(re.findall(r'<span class="light', text)) == len(names) * len(VERDICTS)
    assert found.addresses == [f"{name}/index.html" for name in names[:3]]
    assert all((page.parent / each).exists() for each in found.addresses)
    assert "2026-05-01" in text
