"""The model card as files beside a training's report: Markdown and JSON, and once more with its pictures inside."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.canonical import readable_json
from clinical_assets.modelling.trainings.card import PICTURES, card_json, card_markdown
from clinical_assets.modelling.trainings.trainings import Training

CARD_MARKDOWN, CARD_JSON = "model_card.md", "model_card.json"
# What follows are links to other files of the installation, and no words of the card.
_LINKS = "\n<!-- links -->\n"


@dataclass(frozen=True)
class Card:
    """A written card.

    Attributes
    ----------
    files : tuple of Path
        Markdown and JSON.
    embedded : str
        The Markdown with its pictures as data addresses, for a page that has no files beside it.
    """

    files: tuple[Path, Path]
    embedded: str


def write_card(spec: CohortSpec, training: Training) -> Card:
    """Write ``model_card.md`` and ``model_card.json`` into a training's report."""
    folder = training.report
    markdown, plain = folder / CARD_MARKDOWN, folder / CARD_JSON
    markdown.write_text(markdown_beside(spec, training), encoding="utf-8")
    plain.write_text(readable_json(card_json(spec, training.results)) + "\n", encoding="utf-8")

    def inside(name: str) -> str:
        return f"data:image/png;base64,{base64.b64encode((folder / f'{name}.png').read_bytes()).decode()}"

    embedded = card_markdown(spec, training.results, picture=inside, pictures=_drawn(training))
    return Card(files=(markdown, plain), embedded=embedded)


def markdown_beside(spec: CohortSpec, training: Training) -> str:
    """The card as Markdown, as it must lie beside the pictures of a training."""
    return card_markdown(spec, training.results, picture=lambda name: f"{name}.png", pictures=_drawn(training))


def link_card(card: Path, links: Mapping[str, Path]) -> None:
    """Give a card links to other files, in place of those that it has.

    Parameters
    ----------
    card : Path
        A ``model_card.md``.
    links : mapping
        Label to a file that is there.
    """
    told = " · ".join(
        f"[{label}]({Path(os.path.relpath(path, card.parent)).as_posix()})" for label, path in links.items()
    )
    write_whole(card, f"{words_of(card)}{_LINKS}\n{told}\n")


def words_of(card: Path) -> str:
    """What a card says, without its links to other files."""
    return card.read_text(encoding="utf-8").partition(_LINKS)[0]


def _drawn(training: Training) -> list[str]:
    return [name for name in PICTURES if (training.report / f"{name}.png").exists()]
