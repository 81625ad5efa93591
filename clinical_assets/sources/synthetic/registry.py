"""Synthetic records: a registry of seeded generators, each with the model that it simulates and its true coefficients.

What belongs here: the registry, parameters checked by name, and the way from a generator to a source. The generators
are in ``tabular``, ``stroke``, ``trial``, ``severity`` and ``cancer``.

Nothing that a generator makes stands for a patient; descriptions say SYNTHETIC first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from clinical_assets.cohorts.sources_spec import SyntheticSource
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import limit
from clinical_assets.sources.files import Found
from clinical_assets.sources.reading import Reading
from clinical_assets.sources.synthetic.cancer.first_cancer import first_cancer
from clinical_assets.sources.synthetic.severity import disease_severity
from clinical_assets.sources.synthetic.stroke import stroke
from clinical_assets.sources.synthetic.tabular import tabular_risk
from clinical_assets.sources.synthetic.trial import trial_dropout
from clinical_assets.sources.typed.columnar import read_parquet

Tables = dict[str, pl.DataFrame]

_MOST = "CLINICAL_ASSETS_MAX_GENERATED_ROWS"
GENERATORS: Mapping[str, Callable[..., Tables]] = {
    "tabular_risk": tabular_risk,
    "stroke": stroke,
    "first_cancer": first_cancer,
    "trial_dropout": trial_dropout,
    "disease_severity": disease_severity,
}


def generate(name: str, *, seed: int, parameters: Mapping[str, Any] | None = None) -> Tables:
    """Make the tables of a generator.

    Parameters
    ----------
    name : str
        One of ``GENERATORS``.
    seed : int
        The same seed gives the same records.
    parameters : mapping, optional
        Keyword arguments of the generator.

    Raises
    ------
    SourceError
        When the generator or a parameter is unknown or a value impossible.
    """
    generator = GENERATORS.get(name)
    if generator is None:
        raise SourceError(f"There is no generator {name!r}.", cure=f"Use one of {', '.join(sorted(GENERATORS))}.")
    given = dict(parameters or {})
    known = [key for key in inspect.signature(generator).parameters if key != "seed"]
    if unknown := sorted(set(given) - set(known)):
        raise SourceError(
            f"The generator {name!r} has no parameter {unknown[0]!r}.", cure=f"It takes {', '.join(known)}."
        )
    most = limit(_MOST)
    # Whatever counts something: rows, subjects, features.
    if over := [key for key, value in given.items() if isinstance(value, int | float) and value > most]:
        raise SourceError(
            f"The generator {name!r} is asked for {over[0]} above the limit of {most:,}.",
            cure=f"Ask for fewer, or set {_MOST}.",
        )
    try:
        return generator(seed, **given)
    except (TypeError, ValueError) as error:
        raise SourceError(
            f"The generator {name!r} cannot work with {given}: {error}", cure="Correct the parameters."
        ) from error


def read_synthetic(connection: duckdb.DuckDBPyConnection, source: SyntheticSource, *, folder: Path) -> Reading:
    """Make a generator's table ready to be read.

    A generator of several tables needs ``table`` among the parameters; tables of one seed and the same other
    parameters belong together.

    Raises
    ------
    SourceError
        When generator, parameter or table is unknown.
    """
    parameters = dict(source.parameters)
    wanted = parameters.pop("table", None)
    tables = generate(source.generator, seed=source.seed, parameters=parameters)
    if wanted is None and len(tables) == 1:
        wanted = next(iter(tables))
    if wanted not in tables:
        said = "needs to be told which table" if wanted is None else f"has no table {wanted!r}"
        raise SourceError(
            f"The generator {source.generator!r} {said}.",
            cure=f"Set `parameters: {{table: ...}}` to one of {', '.join(tables)}.",
        )
    path = folder / f"{source.generator}.parquet"
    try:
        tables[wanted].write_parquet(path, compression="lz4")
    except OSError as error:
        raise SourceError(
            f"What the generator {source.generator!r} made cannot be written: {error.strerror or error}.",
            cure="Free space in CLINICAL_ASSETS_DATA, or ask for fewer rows.",
        ) from error
    reading = read_parquet(connection, [Found(f"{source.generator}.{wanted}", path)])
    shown = "".join(f", {key} {value}" for key, value in sorted(parameters.items()))
    return Reading(
        sql=reading.sql,
        description=f"SYNTHETIC: table {wanted} of generator {source.generator}, seed {source.seed}{shown}",
        records=reading.records,
    )
