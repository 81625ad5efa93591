"""Dagster components by which a project declares cohorts and families in ``defs.yaml``, and takes in the platform.

What belongs here: the types and what `dg scaffold defs` writes for them. The attributes of a component are a
description like any other (``cohorts``); the catalogue finds it in the folder by itself (``cohorts.registry``), and the
partitioned assets are those of every cohort. What a component adds to the graph is its documentation: one external
asset per cohort, which says what is predicted, for whom, from which records, and who answers for it.
"""

from __future__ import annotations

import csv
import logging
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import yaml
from dagster.components import Scaffolder, ScaffoldRequest
from pydantic import RootModel

from clinical_assets.cohorts.loading import COMPONENT_FILE, EXAMPLE, described_name, json_schema
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.definitions import load
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.modelling.search.kinds import KINDS

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec

_log = logging.getLogger(__name__)
# The feature model that needs no SQL of its own.
_FEATURES = "declared_columns"


class _Attributes(RootModel[dict[str, Any]]):
    """Attributes as written: the catalogue checks them, so that a wrong description fails alone."""


class CohortAttributes(_Attributes):
    """The description of a cohort; see docs/cohorts.md for every key."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema of a description, for `dg check yaml`, editors and the documentation in the UI."""
        del args, kwargs
        schema = _with_items(json_schema(sorted(KINDS)))
        # The folder's name is the cohort's.
        return {**schema, "required": [key for key in schema["required"] if key != "name"]}


def _with_items(part: Any) -> Any:
    """A schema in which every array has ``items``: Dagster asks for them when it makes a sample."""
    if isinstance(part, list):
        return [_with_items(each) for each in part]
    if not isinstance(part, dict):
        return part
    filled = {key: _with_items(value) for key, value in part.items()}
    return {"items": {}, **filled} if part.get("type") == "array" else filled


class FamilyAttributes(_Attributes):
    """The template of a family: a description in which ``${column}`` stands for a value of the table of members."""


class _Described(dg.Component):
    """A folder whose ``defs.yaml`` describes cohorts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def load(cls, attributes: Any, context: dg.ComponentLoadContext) -> _Described:
        """The component of the folder that Dagster loads."""
        del attributes  # read by the catalogue, with lines
        return cls(Path(context.component_path.file_path))

    @classmethod
    @abstractmethod
    def get_model_cls(cls) -> type[_Attributes]:
        """Schema of the attributes."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """One external asset per cohort; a cohort whose description is wrong says so in its own."""
        del context
        catalogue = Catalogue((self.folder,))
        for note in catalogue.notes:
            _log.warning("%s %s", note.text, note.cure)
        return dg.Definitions(assets=[_documentation(catalogue, name) for name in catalogue.names()])


class CohortScaffolder(Scaffolder):
    """Writes a description to be changed."""

    def scaffold(self, request: ScaffoldRequest) -> None:
        """Make ``defs.yaml`` in the folder that was asked for."""
        _write_yaml(request, {**EXAMPLE, "features": _FEATURES})


class FamilyScaffolder(Scaffolder):
    """Writes a template and its table of members."""

    def scaffold(self, request: ScaffoldRequest) -> None:
        """Make ``defs.yaml`` and ``<family>.csv`` in the folder that was asked for."""
        subjects = {**EXAMPLE["tables"]["subjects"], "source": {"kind": "file", "path": "${name}.csv"}}
        template = {**EXAMPLE, "title": "Readmission at ${hospital}", "features": _FEATURES}
        _write_yaml(request, {**template, "tables": {"subjects": subjects}})
        name = described_name(request.target_path / COMPONENT_FILE)
        with (request.target_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [("name", "hospital"), (f"{name}_north", "North Hospital"), (f"{name}_south", "South Hospital")]
            )


@dg.scaffold_with(CohortScaffolder)
class Cohort(_Described):
    """A cohort: people, what is known of them at a moment, and what is predicted.

    The folder is named like the cohort; ``attributes`` is its description, with the keys of docs/cohorts.md. Its SQL
    models and files lie beside ``defs.yaml``. The cohort is a partition of every asset from `raw_records` to
    `model_card`: `clinical-assets materialize NAME --job train_cohort`, or Materialize in the UI with its partition.
    """

    @classmethod
    def get_model_cls(cls) -> type[_Attributes]:
        """The schema of a description."""
        return CohortAttributes


@dg.scaffold_with(FamilyScaffolder)
class CohortFamily(_Described):
    """A family: many alike cohorts from one template and one table.

    ``attributes`` is a description in which ``${column}`` stands for the member's value in ``<family>.csv`` beside it,
    one line per cohort with its ``name``. Each member is a partition, a warehouse file and a model of its own.
    """

    @classmethod
    def get_model_cls(cls) -> type[_Attributes]:
        """Any mapping: what the template makes of each line is checked as a description."""
        return FamilyAttributes


class ClinicalPlatform(dg.Component):
    """Every asset, check, job, sensor and schedule of the platform, in a project of its user.

    One per project; it has no attributes. Its cohorts are those of the shipped catalogue and of the folders that
    ``CLINICAL_ASSETS_CATALOGUE`` names.
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of ``clinical_assets.definitions``; a tree of components of their own they must not bring."""
        del context
        loaded = load()
        return dg.Definitions(
            assets=loaded.assets,
            schedules=loaded.schedules,
            sensors=loaded.sensors,
            jobs=loaded.jobs,
            resources=loaded.resources,
            executor=loaded.executor,
            loggers=loaded.loggers,
            asset_checks=loaded.asset_checks,
        )


def _write_yaml(request: ScaffoldRequest, attributes: dict[str, Any]) -> None:
    request.target_path.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(
        {"type": request.type_name, "attributes": attributes},
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=110,
    )
    (request.target_path / COMPONENT_FILE).write_text(text, encoding="utf-8")


def _documentation(catalogue: Catalogue, name: str) -> dg.AssetSpec:
    key = dg.AssetKey(["cohort", name])
    group = "descriptions"
    try:
        spec = catalogue.spec(name)
    except ClinicalAssetsError as error:
        _log.warning("%s", error)
        return dg.AssetSpec(key, group_name=group, description=f"**Broken description**\n\n```\n{error}\n```")
    return dg.AssetSpec(
        key,
        group_name=group,
        description=_words(spec),
        owners=[f"team:{spec.owner.team.lower().replace(' ', '-')}"],
        kinds={"yaml"},
        tags={"records": spec.data.kind},
        metadata={
            "partition": name,
            "disease": spec.disease.name,
            "icd10": ", ".join(spec.disease.icd10),
            "prediction": spec.prediction.moment,
            "horizon_days": spec.prediction.horizon_days,
            "source": spec.data.source,
            "licence": spec.data.licence,
        },
    )


def _words(spec: CohortSpec) -> str:
    return _paragraphs(
        f"**{spec.title}**",
        "Synthetic records." if spec.data.kind == "synthetic" else None,
        spec.intended_use,
        f"Not for: {spec.not_for}",
        f"Predicted: {spec.target.description}",
        "Limits of the data:\n\n" + "\n".join(f"- {limit}" for limit in spec.data.limits),
    )


def _paragraphs(*texts: str | None) -> str:
    return "\n\n".join(text for text in texts if text)
