"""From each page of a cohort a reader comes to the others, by relative links that open."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assets_tests.worlds.links import followed, links_of
from assets_tests.worlds.ward.released import Releasable, first_release, put_in_environment
from assets_tests.worlds.ward.trained import COHORT
from assets_tests.worlds.year.reports import keep_all
from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.governance.gates.regulatory import gate as regulatory
from clinical_assets.modelling.trainings.card_files import words_of, write_card
from clinical_assets.observability.linked_pages import refresh_pages


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releasable:
    """A first model with its dossier and card."""
    released = put_in_environment(first_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)
    write_card(released.candidate.spec, released.candidate.training)
    return released


def pages_of(made: Releasable) -> dict[str, Path]:
    reports = made.settings.data / "reports"
    dossier = dossier_folder.place_of(made.settings, COHORT, made.candidate.digest)
    places = {
        "card": made.candidate.training.report / "model_card.md",
        "dossier": dossier / "index.html",
        "monitoring": reports / COHORT / "index.html",
        "all cohorts": reports / "index.html",
    }
    return {name: path.resolve() for name, path in places.items()}


def test_card_dossier_monitoring_and_index_lead_to_one_another(made: Releasable) -> None:
    keep_all(made.settings, COHORT, number=1)
    refresh_pages(made.candidate.handle)
    pages = pages_of(made)
    card_of_dossier = pages["dossier"].parent / "model_card.md"
    for name, page in pages.items():
        others = {path for other, path in pages.items() if other != name}
        if name == "dossier":  # its own copy of the card is what was signed
            others = {card_of_dossier, *others} - {pages["card"]}
        assert links_of(page) >= others, name


def test_every_relative_link_that_is_reached_from_the_index_opens_also_where_the_data_folder_was_moved_to(
    made: Releasable, tmp_path: Path
) -> None:
    keep_all(made.settings, COHORT, number=1)
    index = refresh_pages(made.candidate.handle).all_cohorts
    reached = followed(index)
    assert set(pages_of(made).values()) <= set(reached)
    shutil.move(made.settings.data, tmp_path / "moved")
    assert len(followed(tmp_path / "moved" / "reports" / "index.html")) == len(reached)


def test_before_reports_and_dossier_nothing_leads_nowhere(made: Releasable) -> None:
    pages = pages_of(made)
    shutil.rmtree(pages["dossier"].parent)
    followed(refresh_pages(made.candidate.handle).all_cohorts)
    assert links_of(pages["card"]) == {pages["monitoring"], pages["all cohorts"]}


def test_links_are_no_words_of_the_card(made: Releasable) -> None:
    card = pages_of(made)["card"]
    said = card.read_text()
    for _ in range(2):
        refresh_pages(made.candidate.handle)
        assert words_of(card) == said
    assert card.read_text().startswith(said)
    assert card.read_text().count("<!-- links -->") == 1
    current = next(each for each in regulatory._card(made.candidate) if each.criterion == "card_current")
    assert current.verdict == "pass"
