"""What an asset is made from besides other assets: parts of the description, SQL, files, deliveries, erasures.

An asset that says so here carries, as tags of each materialisation, one short digest per part and per asset that it was
made from. Where all of them are what they would be now, and the code is the same, making it again would change nothing:
``launch.due`` compares them before a run. An asset that says nothing looks at records, people or the clock, and is
never known to be unchanged.

What belongs here: naming the parts. They may say too much (a title that nothing depends on) and never too little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.cohorts.sources_spec import FileSource, PackagedSource, RPackageSource, SqlSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.defs.resources import Platform
from clinical_assets.foundation.canonical import hex_of, value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.sources.files import Found, file_state, places, search_files
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.records.ledger.ledger import LedgerAction

#: Beginning of the tags of a materialisation; the name of a part or of an asset follows.
TAG = "made_from/"
#: Tag of a materialisation that names its content.
DATA_VERSION = "dagster/data_version"
#: What of the ledger changes the records that an ingestion takes in.
_CHANGES: tuple[LedgerAction, ...] = ("batch", "outcomes", "withdrawal", "erasure")
#: Keys of a table's description that say where its records come from, not what they promise.
_WHERE = frozenset({"source"})
_WORDS = frozenset({"owner", "intended_use", "not_for", "approval", "access", "pccp", "monitoring", "card"})
_USES = frozenset({"title", "disease", "decisions", "modelling"})


@dataclass(frozen=True)
class MadeFrom:
    """What one computation reads besides other assets.

    Attributes
    ----------
    parts : callable
        Plain values by the name of the part, as they are now; lower case letters and hyphens.
    exists : callable
        Whether what it made is still there.
    also : tuple of str
        Assets whose data version counts although no edge of the graph leads from them.
    """

    parts: Callable[[Any], Mapping[str, object]]
    exists: Callable[[Any], bool]
    also: tuple[str, ...] = ()

    def digests(self, opened: Any) -> dict[str, str]:
        """Short digest of each part as it is now."""
        return {name: short(value_digest(value)) for name, value in self.parts(opened).items()}


def short(digest: str) -> str:
    """A digest or data version as the value of a tag: 32 characters."""
    return hex_of(value_digest(digest))[:32]


@dataclass(frozen=True)
class Ingredients:
    """All that an asset is made from: see ``MadeFrom``, the assets that it reads, and how its cohort is opened."""

    made_from: MadeFrom
    assets: tuple[str, ...]
    opened: Callable[[Platform, str], Any]


#: By the name of the asset; filled when assets are declared.
MADE_FROM: dict[str, Ingredients] = {}


def data_version(instance: dg.DagsterInstance, asset: str, partition: str) -> str | None:
    """The data version of an asset's newest materialisation; None where there is none."""
    newest = newest_materialization(instance, asset, partition)
    return None if newest is None else (newest[1].tags or {}).get(DATA_VERSION)


def newest_materialization(
    instance: dg.DagsterInstance, asset: str, partition: str
) -> tuple[int, dg.AssetMaterialization] | None:
    """Storage number and content of an asset's newest materialisation for a cohort; None where there is none."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition])
    found = instance.fetch_materializations(wanted, limit=1).records
    made = found[0].asset_materialization if found else None
    return None if made is None else (found[0].storage_id, made)


def made_from_tags(
    made_from: MadeFrom, read: Sequence[str], context: dg.AssetExecutionContext, cohort: Any
) -> dict[str, str]:
    """The tags of a materialisation that is about to be made; none where what it reads cannot be told."""
    try:
        parts = made_from.digests(cohort)
    except ClinicalAssetsError:
        return {}  # what is made says it in its own words; without tags it is never taken for unchanged
    found = {name: data_version(context.instance, name, context.partition_key) for name in read}
    return {f"{TAG}{name}": value for name, value in parts.items()} | {
        f"{TAG}{name}": short(version) for name, version in found.items() if version is not None
    }


def source_parts(cohort: CohortHandle) -> dict[str, object]:
    """What raw tables are made from: where records come from, the files as they lie there, later deliveries."""
    spec = cohort.spec
    tables = {
        name: {
            **table.model_dump(mode="json", include={"source", "subject", "recorded"}),
            "columns": {
                column: [each.source_name, each.type, list(each.role)] for column, each in table.columns.items()
            },
        }
        for name, table in spec.tables.items()
    }
    ledger = {
        action: [entry.seq for entry in cohort.ledger.newest(1, cohort=cohort.name, action=action)]
        for action in _CHANGES
    }
    return {
        "sources": {"kind": spec.data.kind, "subject": spec.subject, "zone": spec.timezone, "tables": tables},
        "files": {name: _files(cohort, name) for name in spec.tables},
        "deliveries-and-erasures": ledger,
    }


def record_parts(cohort: CohortHandle) -> dict[str, object]:
    """What validated and refused records are made from, besides raw ones: everything said of tables and columns."""
    return {"tables": _tables(cohort.spec)}


def feature_parts(cohort: CohortHandle) -> dict[str, object]:
    """What features and outcomes are made from: the compiled statements, and all but what is decided with them."""
    project = cohort.sql
    plain = _without(cohort.spec, _WORDS | _USES)
    statements = [project.compile(name).sql for name in (project.feature_model, project.outcome_model)]
    notes = {name: each.model_dump(mode="json") for name, each in cohort.spec.modelling.notes.items()}
    return {
        "tables": _tables(cohort.spec),
        "description": plain,
        "sql": statements,
        **({"notes": notes} if notes else {}),
    }


def overview_parts(cohort: CohortHandle) -> dict[str, object]:
    """What the cohort in one row is made from."""
    plain = _without(cohort.spec, _WORDS | _USES)
    return {"description": plain, "sql": cohort.sql.compile("cohort_overview").sql}


def model_parts(cohort: CohortHandle) -> dict[str, object]:
    """What a training is made from: the facts and the libraries that stand in its provenance."""
    from clinical_assets.modelling.trainings.trainings import libraries

    facts = cohort.spec.training_facts()
    return {
        "libraries": libraries(cohort.spec),
        "decisions": facts.pop("decisions"),
        "modelling": facts.pop("modelling"),
        "tables": facts.pop("tables"),
        "description": facts,
    }


def card_parts(cohort: CohortHandle) -> dict[str, object]:
    """What a model card is made from: the whole description."""
    return {"description": cohort.spec.canonical()}


def has_warehouse(cohort: CohortHandle) -> bool:
    """Whether the cohort's tables are there."""
    return cohort.warehouse.exists()


def has_training(cohort: CohortHandle) -> bool:
    """Whether the folder of the cohort's trainings is there, with its tables."""
    from clinical_assets.modelling.trainings.trainings import models_folder

    return cohort.warehouse.exists() and models_folder(cohort.settings, cohort.name).exists()


def _tables(spec: CohortSpec) -> dict[str, Any]:
    tables = {name: table.model_dump(mode="json", exclude=set(_WHERE)) for name, table in spec.tables.items()}
    return {"kind": spec.data.kind, "subject": spec.subject, "zone": spec.timezone, "tables": tables}


def _without(spec: CohortSpec, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in spec.canonical().items() if name not in names | {"tables"}}


def _files(cohort: CohortHandle, table: str) -> object:
    """State of a table's files; of a database a moment, because nothing but asking it tells whether it changed."""
    source = cohort.spec.tables[table].source
    if isinstance(source, SqlSource):
        import time

        return {"asked": time.time_ns()}
    if isinstance(source, PackagedSource):
        from clinical_assets.sources.packaged import find_packaged

        found: tuple[Found, ...] = (find_packaged(source.package, source.file, extra=source.extra),)
    elif isinstance(source, RPackageSource):
        from clinical_assets.sources.r_packages.r_source import archive_of

        found = (archive_of(source, settings=cohort.settings, folder=cohort.entry.folder),)
    elif isinstance(source, FileSource):
        found = search_files(source.path, **places(cohort.settings, cohort.entry.folder))
    else:
        return []  # an address is fetched once and named by its digest; a generator by its seed
    return [[each.name, *file_state(each.path)] for each in found]
