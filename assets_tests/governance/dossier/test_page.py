"""The page of a dossier stands alone, can be read by everybody, and says what a signer must know."""

from __future__ import annotations

import base64
import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from assets_tests.worlds.ward.dossiers import VERDICTS, judge
from assets_tests.worlds.ward.trained import Trained
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.dossier import page as dossier_page
from clinical_assets.governance.dossier.dossier import write_dossier
from clinical_assets.governance.dossier.page import is_beyond
from clinical_assets.governance.dossier.stored_dossier import Dossier
from clinical_assets.governance.verdicts.verdict import LABELS, Verdict
from clinical_assets.modelling.trainings.card import PICTURES
from clinical_assets.reporting.formats import number

NASTY = "<script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp; {{ 7 * 7 }}"


@dataclass
class Page(HTMLParser):
    """Elements with their attributes, headings in order, and the text that a reader sees."""

    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._hidden = 0
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture
def candidate(trained: Trained) -> ReleaseCandidate:
    found = trained.candidate()
    judge(found)
    return found


@pytest.fixture
def dossier(candidate: ReleaseCandidate) -> Dossier:
    return write_dossier(candidate)


@pytest.fixture
def page(dossier: Dossier) -> Page:
    return Page(dossier.index.read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_outside_and_nothing_runs(page: Page) -> None:
    addresses = [value for _, attributes in page.elements for name, value in attributes.items() if name in _LOADING]
    assert addresses
    beside = [str(each["href"]) for each in page.all("a")]  # they load nothing before somebody follows them
    addresses = [each for each in addresses if each not in beside]
    assert not [each for each in addresses if not str(each).startswith("data:image/png;base64,")]
    assert not [each for each in beside if ":" in each or each.startswith("/")]
    assert not page.all("script", "link", "iframe", "object", "embed", "base", "form")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    for part in ("http://", "https://", "url(", "@import", "javascript:"):
        assert part not in page.source


_LOADING = {"src", "href", "srcset", "action", "data", "poster", "background"}


def test_every_picture_of_the_report_is_embedded_byte_for_byte_with_words_for_those_who_do_not_see_it(
    page: Page, candidate: ReleaseCandidate, dossier: Dossier
) -> None:
    drawn = {name: candidate.training.report / f"{name}.png" for name in PICTURES}
    expected = [path.read_bytes() for path in drawn.values() if path.exists()]
    pictures = page.all("img")
    assert expected
    assert [base64.b64decode(str(each["src"]).partition(",")[2]) for each in pictures] == expected
    assert all(str(each["alt"]).startswith("Synthetic records. ") for each in pictures)
    assert {path.name for path in (dossier.folder / "pictures").iterdir()} == {
        path.name for path in drawn.values() if path.exists()
    }


def test_headings_tables_and_links_are_made_for_readers_of_every_kind(page: Page, candidate: ReleaseCandidate) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(each.get("scope") in ("col", "row") for each in page.all("th"))
    identifiers = Counter(each["id"] for _, each in page.elements if "id" in each)
    assert set(identifiers.values()) == {1}
    addresses = [str(each["href"]) for each in page.all("a")]
    wanted = {each[1:] for each in addresses if each.startswith("#")}
    assert {each for each in addresses if not each.startswith("#")} == {
        "model_card.md",
        "../../../reports/index.html",
        f"../../../reports/{candidate.cohort}/index.html",
    }
    wanted |= {str(each["aria-labelledby"]) for _, each in page.elements if "aria-labelledby" in each}
    assert wanted <= set(identifiers)
    assert [each.get("lang") for each in page.all("html")] == ["en"]
    assert page.all("main")


def test_the_first_part_says_what_is_signed_and_what_stands_in_the_way(
    page: Page, candidate: ReleaseCandidate, dossier: Dossier
) -> None:
    top = page.text[: page.text.index("What stands in the way")]
    spec = candidate.spec
    for told in (spec.title, spec.intended_use, spec.not_for, candidate.cohort, candidate.digest, "1 × reviewer"):
        assert told in top
    for label in LABELS.values():
        assert label in top
    assert "1 criterion failed" in top
    assert "data_quality/label_noise" in top
    assert f"Digest to sign (this dossier): {dossier.digest}" in top
    assert f"clinical-assets approve {candidate.cohort} \\ --digest {dossier.digest} \\ --as LOGIN" in top
    assert "Trained by ann" in " ".join(top.split()) or "Trained byann" in top


def test_every_verdict_is_shown_with_word_value_interval_limit_counts_and_reason(page: Page) -> None:
    for verdicts in VERDICTS.values():
        for each in verdicts:
            assert each.criterion in page.text
            assert each.reason in page.text
            for shown in (each.limit, each.n, each.events):
                assert shown is None or str(shown) in page.text
            assert each.value is None or number(each.value) in page.text
    assert "0.740 to 0.870" in page.text
    classes = Counter(str(each.get("class")) for each in page.all("tr"))
    outcomes = Counter(verdict.verdict for verdicts in VERDICTS.values() for verdict in verdicts)
    assert classes["pass"] == outcomes["pass"]
    # A failure's value lies beyond its limit, and its row says so.
    assert classes["fail beyond"] == outcomes["fail"]
    # Colour is never alone: the word stands in every badge.
    assert page.source.count("✗ fail") == page.source.count('class="badge red"') > 0
    assert page.source.count("? insufficient") == page.source.count('class="badge amber"') > 0


def test_waivers_stand_before_the_gates_each_with_its_reason_and_the_command(page: Page) -> None:
    waivers = page.text[page.text.rindex("Could not be judged") : page.text.rindex("Verdicts, gate by gate")]
    assert "data_quality/label_noise: Too few rows to tell; add some." in waivers
    assert "--gate data_quality --criterion label_noise" in waivers
    # Each command begins a line of its own, so that it can be copied.
    assert page.source.count("\nclinical-assets waive ") == 1
    assert all(
        "clinical-assets" not in line[1:] for line in re.findall(r"^clinical-assets.*$", page.source, re.MULTILINE)
    )


def test_several_waivers_are_given_by_one_command(candidate: ReleaseCandidate) -> None:
    judge(candidate, bias=(Verdict("bias", "group_size[sex=f]", "insufficient", "Too few."),))
    page = Page(write_dossier(candidate).index.read_text(encoding="utf-8"))
    assert page.source.count("\nclinical-assets waive ") == 1
    assert re.search(r"clinical-assets waive [^<]*\n  --all \\", page.source)


def test_the_page_says_what_the_model_is_who_took_part_and_who_answers(page: Page, candidate: ReleaseCandidate) -> None:
    results = candidate.training.results.plain()
    for term in results["model_terms"]["terms"]:
        assert f"{term['coefficient']:.6g}" in page.text
    for row in results["table_one"]["rows"]:
        assert all(cell in page.text for cell in row["cells"])
    assert "Nurses of a ward that does not exist." in page.text
    assert f"{results['participants']['used']:,} used" in page.text
    assert "higher value, higher risk" in page.text
    assert "PrimaryIntendedUsers" in page.text


def test_synthetic_records_and_small_samples_are_called_so(page: Page) -> None:
    assert page.text.startswith("SYNTHETIC Release dossier")
    assert "SYNTHETIC DATA." in page.text
    assert "(small sample)" in page.text  # 900 rows with a quarter held out have fewer than 100 events
    assert "40 small" in page.text


def test_a_model_without_a_champion_says_so(page: Page) -> None:
    assert "No champion yet" in page.text


def test_text_of_descriptions_and_verdicts_is_shown_and_never_obeyed(
    trained: Trained, candidate: ReleaseCandidate
) -> None:
    trained.describe(title=NASTY, intended_use=NASTY, not_for=NASTY, owner={"team": NASTY})
    nasty = Verdict("bias", f"tpr_difference[{NASTY}]", "insufficient", NASTY, limit=NASTY)
    other = trained.candidate()
    judge(other, bias=(nasty,), data_quality=VERDICTS["data_quality"][:1])
    page = Page(write_dossier(other).index.read_text(encoding="utf-8"))
    assert not page.all("script")
    assert all(str(each["src"]).startswith("data:image/png") for each in page.all("img"))
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count(NASTY) >= 6
    assert "'\"'\"'" in page.text  # a criterion with quotes is quoted for the shell in the command to waive it


def test_print_has_page_breaks_and_its_own_sizes(page: Page) -> None:
    style = page.source.partition("<style>")[2].partition("</style>")[0]
    assert "@media print" in style
    assert "break-before: page" in style
    assert "@page" in style


def test_nothing_is_green_whose_value_lies_beyond_its_limit(candidate: ReleaseCandidate) -> None:
    odd = Verdict("bias", "gap[sex=m]", "pass", "Chance cannot be ruled out.", value=-1.29, limit="-0.7..0.7", n=40)
    judge(candidate, bias=(VERDICTS["bias"][1], odd))
    page = Page(write_dossier(candidate).index.read_text(encoding="utf-8"))
    assert "Passed with a value beyond its limit: bias/gap[sex=m]" in page.text
    assert "Bias ✓ pass" in page.text
    row = page.source.partition('<tr role="row" class="pass beyond">')[2].partition("</tr>")[0]
    assert "gap" in row
    assert "badge green" not in row
    assert "value beyond its limit" in row
    # Neither is the gate, in the overview and above its criteria.
    assert len(re.findall(r'badge amber">✓ pass', page.source)) == 3


def test_passes_are_folded_and_what_needs_a_person_is_not(page: Page) -> None:
    folded = " ".join(re.findall(r"<details>.*?</details>", page.source, flags=re.DOTALL))
    for verdicts in VERDICTS.values():
        for each in verdicts:
            assert (each.reason in folded) is (each.verdict == "pass")
    order = [
        "Headline figures",
        "What needs a person first",
        "To sign",
        "Performance on the holdout",
        "Verdicts, gate by",
    ]
    places = [page.text.rindex(words) for words in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("value", "limit", "beyond"),
    [
        (0.59, ">= 0.6", True),
        (0.6, ">= 0.6", False),
        (0.0, "> 0", True),
        (3.0, "<= 5 MB", False),
        (5.1, "<= 5 MB", True),
        (1.0, "= 0", True),
        (0.0, "= 0", False),
        (-0.71, "-0.7..0.7", True),
        (1.25, "0.8..1.25", False),
        (2e-6, "<= 1e-06", True),
        (None, ">= 0.6", False),
        (7.0, "in the plan", False),
        (7.0, None, False),
    ],
)
def test_a_value_is_held_against_the_limit_as_it_is_written(
    value: float | None, limit: str | None, beyond: bool
) -> None:
    assert is_beyond(value, limit) is beyond


def test_a_change_of_layout_makes_no_new_dossier(
    dossier: Dossier, candidate: ReleaseCandidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dossier.index.read_bytes()
    drawn = dossier_page.render_page
    monkeypatch.setattr(dossier_page, "render_page", lambda page: drawn(page).replace("</main>", "<hr></main>"))
    assert write_dossier(candidate) == dossier
    assert dossier.index.read_bytes() == before
    judge(candidate, bias=VERDICTS["bias"][1:])
    after = write_dossier(candidate)
    assert after.digest != dossier.digest
    assert b"<hr>" in after.index.read_bytes()
