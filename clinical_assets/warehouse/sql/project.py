"""The SQL models as one cohort sees them: list, render, compile, describe, run, trace.

What belongs here: the face that assets and the command line use. The work is done by the modules beside it. Tests of
models are run by ``tests``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.sql.docs import ModelDocs, read_docs
from clinical_assets.warehouse.sql.errors import explain
from clinical_assets.warehouse.sql.files import ModelFile, find_models, resolve
from clinical_assets.warehouse.sql.guard.confined import write_result
from clinical_assets.warehouse.sql.lineage import ColumnOrigin, Lineage, trace
from clinical_assets.warehouse.sql.model import CompiledModel
from clinical_assets.warehouse.sql.models import Compiler
from clinical_assets.warehouse.sql.schema import BOOKKEEPING, empty_database, readable_schema
from clinical_assets.warehouse.store.sql_text import quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb


class ModelColumn(NamedTuple):
    """One column that a model yields: its name, DuckDB type and description with unit."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class ModelRun:
    """What running a model wrote.

    Attributes
    ----------
    name : str
        ``layer.name``, the table that was replaced.
    rows : int
        Its rows.
    seconds : float
        How long it took.
    """

    name: str
    rows: int
    seconds: float


class SqlProject:
    """Every SQL model that a cohort can use.

    Parameters
    ----------
    sql_folders : sequence of Path
        Search path of folders with models; the first that knows a name wins.
    spec : CohortSpec
        The cohort.

    Notes
    -----
    Files are read when a model is first asked for and kept; make a new project to see changed files.
    """

    def __init__(self, sql_folders: Sequence[Path], spec: CohortSpec) -> None:
        self.spec = spec
        self._models = find_models(sql_folders)
        self._compiled: dict[str, CompiledModel] = {}
        self._docs: dict[str, ModelDocs] = {}
        self._types: dict[str, dict[str, str]] = {}
        self._lineage: dict[str, Lineage] = {}
        self._words = {
            name: f"How often {note} says {word!r}." for name, (note, word) in spec.modelling.word_features.items()
        }

    @property
    def feature_model(self) -> str:
        """Id of the cohort's feature model."""
        return f"features.{self.spec.features}"

    @property
    def outcome_model(self) -> str:
        """Id of the cohort's outcome model."""
        return f"outcomes.{self.spec.outcome}"

    def models(self) -> tuple[ModelFile, ...]:
        """Every model, by layer and name."""
        return tuple(self._models.values())

    def model(self, name: str) -> ModelFile:
        """The file of ``layer.name``, or of a bare name that one layer alone has."""
        return resolve(self._models, name)

    def docs(self, name: str) -> ModelDocs:
        """What is written beside a model; empty when nothing is."""
        model = self.model(name)
        if model.id not in self._docs:
            self._docs[model.id] = read_docs(model)
        return self._docs[model.id]

    def render(self, name: str) -> str:
        """A model after Jinja, its references still names."""
        return Compiler(self._models, self.spec).render(name).text

    def compile(self, name: str) -> CompiledModel:
        """A model as one self-contained statement.

        Raises
        ------
        SqlModelError
            Naming file and line.
        """
        identifier = self.model(name).id
        if identifier not in self._compiled:
            self._compiled[identifier] = Compiler(self._models, self.spec).compile(identifier)
        return self._compiled[identifier]

    def compile_for(self, connection: duckdb.DuckDBPyConnection, name: str) -> CompiledModel:
        """As ``compile``, for one connection: bookkeeping tables that it does not have yet count as empty."""
        compiled = self.compile(name)
        wanted = [relation for relation in compiled.relations if relation in BOOKKEEPING]
        absent = frozenset(relation for relation in wanted if not _exists(connection, relation))
        return Compiler(self._models, self.spec, absent=absent).compile(compiled.name) if absent else compiled

    def types(self, name: str) -> dict[str, str]:
        """DuckDB type of every column that a model yields, found by binding it to empty tables.

        Raises
        ------
        SqlModelError
            Naming file and line of an unknown column or function, or of types that do not fit.
        """
        compiled = self.compile(name)
        if compiled.name not in self._types:
            with empty_database(self.spec) as connection:
                self._types[compiled.name] = bound_types(connection, compiled)
        return self._types[compiled.name]

    def lineage(self, name: str) -> dict[str, tuple[ColumnOrigin, ...]]:
        """Validated columns (table, column) of which each of a model's columns is made; untraced ones are left out."""
        return self.traced(name).columns

    def traced(self, name: str) -> Lineage:
        """As ``lineage``, with plain copies and with the columns whose origin could not be followed."""
        compiled = self.compile(name)
        if compiled.name not in self._lineage:
            outputs = self.types(name)
            self._lineage[compiled.name] = trace(compiled.sql, readable_schema(self.spec), outputs=outputs)
        return self._lineage[compiled.name]

    def columns(self, name: str) -> tuple[ModelColumn, ...]:
        """What a model yields.

        A column is described by the YAML beside the model; if it says nothing, by the description of the recorded
        column that it copies; failing that, by the columns that it is made of.
        """
        docs, lineage = self.docs(name), self.traced(name)
        return tuple(
            ModelColumn(column, kind, self._description(column, docs, lineage))
            for column, kind in self.types(name).items()
        )

    def run(self, warehouse: Warehouse, name: str) -> ModelRun:
        """Write a model as table ``layer.name`` of the cohort's warehouse, in one transaction."""
        self.compile(name)
        with warehouse.exclusive(), warehouse.writer() as connection:
            return self.run_on(connection, name)

    def run_on(self, connection: duckdb.DuckDBPyConnection, name: str) -> ModelRun:
        """Write a model as table ``layer.name`` on a connection; the transaction is the caller's."""
        started = time.perf_counter()
        compiled = self.compile_for(connection, name)
        layer, bare = compiled.name.split(".")
        table = f"{quoted(layer)}.{quoted(bare)}"
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(layer)}")
        write_result(connection, table, compiled)
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
        return ModelRun(name=compiled.name, rows=int(rows), seconds=time.perf_counter() - started)

    def _description(self, column: str, docs: ModelDocs, lineage: Lineage) -> str:
        if column in self._words:
            return self._words[column]
        written = docs.column(column)
        if written is not None and written.description:
            return _with_unit(written.description, written.unit)
        origins = lineage.columns.get(column.lower(), ())
        described = [
            (table, name, self.spec.tables[table].columns[name])
            for table, name in origins
            if table in self.spec.tables and name in self.spec.tables[table].columns
        ]
        if column.lower() in lineage.copies and described:
            source = described[0][2]
            return _with_unit(source.description, written.unit if written and written.unit else source.unit)
        if len(described) == 1:
            table, name, source = described[0]
            return _with_unit(f"From {table}.{name}: {source.description}", written.unit if written else None)
        names = ", ".join(f"{table}.{name}" for table, name, _ in described[:6])
        more = ", ..." if len(described) > 6 else ""
        return _with_unit(f"From {names}{more}." if names else "", written.unit if written else None)


def bound_types(connection: duckdb.DuckDBPyConnection, compiled: CompiledModel) -> dict[str, str]:
    """Names and DuckDB types of a statement's columns, without running it.

    Raises
    ------
    SqlModelError
        When DuckDB refuses the statement; names file and line.
    """
    import duckdb

    try:
        rows = connection.execute(f"DESCRIBE\n{compiled.sql}").fetchall()
    except duckdb.Error as error:
        raise explain(error, compiled, lines_before=1) from None
    return {str(row[0]): str(row[1]) for row in rows}


def _exists(connection: duckdb.DuckDBPyConnection, relation: str) -> bool:
    schema, table = relation.split(".")
    found = connection.execute(
        "SELECT count(*) FROM information_schema.tables "
        "WHERE table_catalog = current_database() AND table_schema = ? AND table_name = ?",
        [schema, table],
    ).fetchone()
    return bool(found and found[0])


def _with_unit(description: str, unit: str | None) -> str:
    return f"{description} [{unit}]".lstrip() if unit not in (None, "1") else description
