import json
from html.parser import HTMLParser

import pytest

from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.monitoring.drift import drift_report
from clinical_assets.monitoring.drift_report import DriftReport
from clinical_assets.monitoring.drift_section import drift_section

from .batches import FEATURES, records


def report_of(*, shift: float = 0.5, n: int = 800) -> DriftReport:
    importance = {name: float(i + 1) for i, name in enumerate(FEATURES)}
    return drift_report(
        records(2_000, seed=1),
        records(n, seed=2, shift=shift),
        features=FEATURES,
        importance=importance,
        limits=Monitoring(),
    )


@pytest.mark.parametrize("n", [800, 50, 0])
def test_a_report_comes_back_from_json_as_it_was(n: int) -> None:
    report = report_of(n=n)
    assert DriftReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report


def test_metrics_have_bounded_names_that_do_not_change_from_batch_to_batch() -> None:
    wide = records(1_000, seed=1).with_columns(**{f"x{i}": records(1_000, seed=i)["age_years"] for i in range(40)})
    names = [*FEATURES, *(f"x{i}" for i in range(40))]
    first, second = (
        drift_report(wide, wide.sample(n, seed=1), features=names, importance=None, limits=Monitoring()).metrics()
        for n in (300, 900)
    )
    assert list(first) == list(second)
    assert len(first) <= 24
    assert all(isinstance(value, float) for value in first.values())


def test_metrics_follow_the_report_and_leave_out_what_could_not_be_had() -> None:
    drifted = report_of().metrics()
    assert drifted["drift"] == 1.0
    assert drifted["psi_max"] == max(each.distances.psi or 0.0 for each in report_of().features)
    empty = report_of(n=0).metrics()
    assert empty["records"] == 0.0
    assert "psi_max" not in empty
    # The most important features are plotted, the last ones here.
    assert next(name for name in drifted if name.startswith("psi.")) == f"psi.{FEATURES[-1]}"


class Tags(HTMLParser):
    """Tags that are open, and everything that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in ("br", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag


def test_the_section_is_whole_escapes_names_fetches_nothing_and_says_synthetic() -> None:
    batch, reference = records(800, seed=2, shift=0.9), records(2_000, seed=1)
    odd = "<b>age & more"
    report = drift_report(
        reference.rename({"age_years": odd}),
        batch.rename({"age_years": odd}),
        features=[odd, "ward"],
        importance=None,
        limits=Monitoring(),
    )
    html = drift_section(report, synthetic=True, most=1)
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    assert not tags.fetched
    assert "(synthetic data)" in html
    assert "&lt;b&gt;age &amp; more" in html
    assert "<b>age" not in html
    assert "1 of 2 features are shown" in html
    assert "<svg" in html
    assert "(synthetic data)" not in drift_section(report, synthetic=False)
    assert "○ insufficient" in drift_section(report_of(n=0), synthetic=True)
