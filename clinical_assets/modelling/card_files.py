"""The model card as files beside a training's report: Markdown and JSON, and once more with its pictures inside."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.modelling.card import PICTURES, card_json, card_markdown

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.modelling.trainings import Training


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
    drawn = [name for name in PICTURES if (folder / f"{name}.png").exists()]
    text = card_markdown(spec, training.results, picture=lambda name: f"{name}.png", pictures=drawn)
    markdown, plain = folder / "model_card.md", folder / "model_card.json"
    markdown.write_text(text, encoding="utf-8")
    content = json.dumps(card_json(spec, training.results), indent=1, ensure_ascii=False, allow_nan=False)
    plain.write_text(content + "\n", encoding="utf-8")

    def inside(name: str) -> str:
        return f"data:image/png;base64,{base64.b64encode((folder / f'{name}.png').read_bytes()).decode()}"

    return Card(
        files=(markdown, plain),
        embedded=card_markdown(spec, training.results, picture=inside, pictures=drawn),
    )
