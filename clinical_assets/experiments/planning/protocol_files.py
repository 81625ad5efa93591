"""Protocols beside the cohorts: ``experiments/<name>.yaml`` in the folder of the cohort's description.

What belongs here: finding, reading and drafting these files. What does not: what stands in them (``protocol``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.experiments.planning.checklist import ITEMS
from clinical_assets.experiments.planning.protocol import ExperimentProtocol
from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.yaml_lines import Document, parse, read_yaml
from clinical_assets.workspace import CohortHandle

FOLDER = "experiments"
#: Group of whoever has no value.
UNKNOWN = "unknown"


def groups_of(spec: CohortSpec, attribute: str) -> tuple[str, ...]:
    """Groups of a protected attribute by its description, and ``unknown``; of a number, that alone."""
    column = spec.subjects.columns[attribute]
    named = ("False", "True") if column.type == "boolean" else tuple(str(each) for each in column.categories or ())
    return (*named, UNKNOWN)


def protocol_path(cohort: CohortHandle, name: str) -> Path:
    """Where a protocol lies, or is to lie."""
    return cohort.entry.folder / FOLDER / f"{name}.yaml"


def read_protocol(cohort: CohortHandle, path: Path) -> ExperimentProtocol:
    """Read and check a protocol, also against the cohort's description.

    Raises
    ------
    SpecError
        Names file, line, key and cure.
    """
    document = read_yaml(path)
    protocol = parse(ExperimentProtocol, document, noun="protocol", example={"name": path.stem})
    _refuse_misfit(protocol, cohort.spec, document)
    return protocol


def write_draft(path: Path, content: dict[str, Any]) -> None:
    """Write a draft for people to complete.

    Raises
    ------
    SpecError
        There is a file already.
    """
    if path.exists():
        raise SpecError(f"{path} exists.", cure="Choose another name; a protocol that was signed stays as it is.")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    head = "# Draft of a protocol: complete what says TODO, review every number, then sign it:\n"
    sign = f"#   clinical-assets experiment start {content['cohort']} {content['name']} --as LOGIN\n"
    write_whole(path, head + sign + text)


def _refuse_misfit(protocol: ExperimentProtocol, spec: CohortSpec, document: Document) -> None:
    """What only the description can tell."""

    def refuse(loc: tuple[str | int, ...], what: str, cure: str) -> SpecError:
        return SpecError(f"{document.path}:{document.line(loc)}: {'.'.join(map(str, loc))}: {what}", cure=cure)

    if protocol.name != document.path.stem:
        raise refuse(("name",), f"the file is called {document.path.name}.", "Give both the same name.")
    if protocol.cohort != spec.name:
        raise refuse(("cohort",), f"the cohort is {spec.name}.", f"Write {spec.name}.")
    if len(spec.target.classes) != 2:
        raise refuse(("cohort",), "its outcome has several classes.", "Experiments compare two classes only.")
    column = protocol.unit.column
    if column is not None and column not in spec.subjects.columns:
        raise refuse(("unit", "column"), f"the subject table has no column {column}.", "Name one that it has.")
    for place, guardrail in enumerate(protocol.guardrails):
        if guardrail.attribute is not None and not _has_groups(spec, guardrail.attribute):
            raise refuse(
                ("guardrails", place, "attribute"),
                f"{guardrail.attribute} is no protected attribute with groups.",
                f"Name one of {', '.join(spec.protected) or 'none: the description has none'}.",
            )
    _refuse_unwritten(protocol, refuse)


def _has_groups(spec: CohortSpec, attribute: str) -> bool:
    return attribute in spec.protected and len(groups_of(spec, attribute)) > 1


def _refuse_unwritten(
    protocol: ExperimentProtocol, refuse: Callable[[tuple[str | int, ...], str, str], SpecError]
) -> None:
    """What a draft leaves to a person."""
    for key, text in protocol.items.items():
        if key not in ITEMS:
            raise refuse(("items", key), "is no item.", f"Name one of {', '.join(sorted(ITEMS))}.")
        if "TODO" in text:
            raise refuse(("items", key), "is not written yet.", "Say it, or leave the item out.")
    for field in ("title", "hypothesis"):
        if "TODO" in getattr(protocol, field):
            raise refuse((field,), "is not written yet.", "Say it in a sentence.")
