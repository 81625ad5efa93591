"""Published material that a user fetches once: GO gene sets, identifier mappings, the influenza cohorts.

What belongs here: readers of other projects' files, given by path. Nothing here downloads anything; each function's
docstring says where the file comes from.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.foundation.errors import SourceError
from clinical_assets.pathways.expression.expression import (
    ExpressionError,
    ExpressionMatrix,
    IdentifierKind,
    expression_matrix,
)
from clinical_assets.pathways.expression.gene_sets import GeneSetCollection, GeneSetError, provenance
from clinical_assets.pathways.expression.pairing import sample_sheet
from clinical_assets.sources.r_packages.r_objects import read_objects

if TYPE_CHECKING:
    import polars as pl

RdataReader = Callable[[Path, tuple[str, ...]], dict[str, Any]]
_IDENTIFIER_SQL = {
    "symbol": "select _id, symbol as name from gene_info",
    "entrez": "select _id, gene_id as name from genes",
    "ensembl": "select _id, ensembl_id as name from ensembl",
}


def go_biological_process(
    org_db: str | Path, *, go_db: str | Path | None = None, identifier: IdentifierKind = "symbol"
) -> GeneSetCollection:
    """GO Biological Process sets from Bioconductor's human annotation database, ancestors included.

    Parameters
    ----------
    org_db : path
        ``org.Hs.eg.sqlite``. With Debian and without R: ``apt-get download r-bioc-org.hs.eg.db``,
        ``dpkg -x r-bioc-org.hs.eg.db_*.deb x``, then
        ``x/usr/lib/R/site-library/org.Hs.eg.db/extdata/org.Hs.eg.sqlite`` (Artistic-2.0).
    go_db : path, optional
        ``GO.sqlite`` from ``r-bioc-go.db``, for the names of the terms; without it a set is named by its number.
    identifier : {"symbol", "entrez", "ensembl"}
        Kind of gene identifier in the sets; the same as in the matrix that they will be used with.

    Returns
    -------
    GeneSetCollection
        Named ``"<term> (GO:nnnnnnn)"`` or ``"GO:nnnnnnn"``; version is the date the database gives for GO.

    Raises
    ------
    GeneSetError
        The file cannot be read or is another database.
    """
    path = Path(org_db)
    with _sqlite(path) as database:
        meta = dict(database.execute("select name, value from metadata"))
        rows = database.execute(
            f"select distinct g.go_id, n.name from go_bp_all g join ({_IDENTIFIER_SQL[identifier]}) n using (_id) "
            "order by g.go_id, n.name"
        ).fetchall()
    sets: dict[str, list[str]] = {}
    for go_id, name in rows:
        sets.setdefault(go_id, []).append(name)
    terms: dict[str, str] = {}
    if go_db is not None:
        with _sqlite(Path(go_db)) as database:
            terms = dict(database.execute("select go_id, term from go_term"))
    return GeneSetCollection(
        names=tuple(f"{terms[g]} ({g})" if g in terms else g for g in sets),
        descriptions=tuple(terms.get(g, "") for g in sets),
        genes=tuple(tuple(names) for names in sets.values()),
        source=provenance(path, version=f"GO {meta.get('GOSOURCEDATE', 'of unknown date')}", kind="OrgDb"),
    )


def gene_mapping(org_db: str | Path, *, source: IdentifierKind, to: IdentifierKind) -> dict[str, str]:
    """Identifiers of kind `source` to kind `to`, from the same database as `go_biological_process`.

    Only identifiers with exactly one partner are mapped; an ambiguous one would choose by accident.
    """
    with _sqlite(Path(org_db)) as database:
        rows = database.execute(
            f"select a.name, min(b.name) from ({_IDENTIFIER_SQL[source]}) a join ({_IDENTIFIER_SQL[to]}) b "
            "using (_id) group by a.name having count(distinct b.name) = 1"
        ).fetchall()
    return {str(a): str(b) for a, b in rows}


def read_rdata(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Named objects of an R data file."""
    if not path.is_file():
        raise ExpressionError(f"{path.name} is not there", cure="see the function's documentation for its source")
    try:
        content = read_objects(path.name, path.read_bytes())
    except SourceError as error:
        raise ExpressionError(error.message, cure=error.cure) from error
    missing = [n for n in names if n not in content]
    if missing:
        raise ExpressionError(f"{path.name} lacks {missing}", cure="give the file named in the documentation")
    return content


@contextlib.contextmanager
def _sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise GeneSetError(f"{path.name} is not there", cure="see the function's documentation for its source")
    # Read-only by URI: a connector must never create or change another project's file.
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        yield connection
    except sqlite3.DatabaseError as error:
        raise GeneSetError(f"{path.name}: {error}", cure="give the database named in the documentation") from error
    finally:
        connection.close()


def influenza_challenge(
    path: str | Path, *, hours: int = 77, read: RdataReader = read_rdata
) -> tuple[ExpressionMatrix, pl.DataFrame]:
    """The influenza challenge cohort: 17 subjects, 9 symptomatic and 8 not, blood before and after inoculation.

    Parameters
    ----------
    path : path
        ``fluExample.RData`` of the Bioconductor package qusage (GPL-2+), read with the package ``rdata``. With Debian:
        ``apt-get download r-bioc-qusage``, ``dpkg -x r-bioc-qusage_*.deb x``, then
        ``x/usr/lib/R/site-library/qusage/data/fluExample.RData``.
    hours : int
        The later time. At 77 h, the time of qusage's own example, interferon genes are on top; every subject has
        a sample at 0 h and at 77 h.
    read : callable
        Reads the named objects of the file.

    Returns
    -------
    matrix : ExpressionMatrix
        4,147 gene symbols, log2; all 252 samples.
    sheet : polars DataFrame
        Conditions ``"0 h"`` and ``"<hours> h"``, label symptomatic or asymptomatic, sex, age_years.

    Source: GSE30550; Huang et al. 2011, doi 10.1371/journal.pgen.1002234.
    """
    import polars as pl

    content = read(Path(path), ("eset.full", "flu.meta"))
    matrix = _matrix(content["eset.full"], Path(path))
    meta = content["flu.meta"]
    times = {int(h) for h in meta["Hours.Numeric"]}
    if hours == 0 or hours not in times:
        raise ExpressionError(
            f"{Path(path).name} has no samples at {hours} h", cure=f"choose from {sorted(times - {0})}"
        )
    sheet = pl.DataFrame(
        {
            "sample": [str(v) for v in meta["SampleID"]],
            "subject": [str(v) for v in meta["Subject"]],
            "condition": [f"{int(v)} h" for v in meta["Hours.Numeric"]],
            "label": ["symptomatic" if str(v) == "sx" else "asymptomatic" for v in meta["Condition"]],
            "sex": [str(v).lower() for v in meta["Gender"]],
            "age_years": [int(v) for v in meta["Age"]],
        }
    )
    chosen = sheet.filter(pl.col("condition").is_in(["0 h", f"{hours} h"]))
    return matrix, sample_sheet(chosen, where=Path(path).name)


VACCINE_STUDIES = ("GSE59635", "GSE59654")


def influenza_vaccine(
    path: str | Path, *, studies: tuple[str, ...] = VACCINE_STUDIES, read: RdataReader = read_rdata
) -> tuple[ExpressionMatrix, pl.DataFrame]:
    """Influenza vaccine cohorts (8 and 11 subjects), blood at day 0 and day 7, antibody response high or low.

    Parameters
    ----------
    path : path
        ``fluVaccine.RData``, from the same package as `influenza_challenge`.
    studies : tuple of {"GSE59635", "GSE59654"}
        Both by default: apart, a class has fewer than 5 subjects. The study is the ``batch`` of the sheet; both samples
        of a subject are of one study, so differences are not confounded with it, single transcriptomes are.
    read : callable
        Reads the named objects of the file.

    Returns
    -------
    matrix : ExpressionMatrix
        7,018 gene symbols, log2.
    sheet : polars DataFrame
        Conditions ``"d0"`` and ``"d7"``, label high or low, batch.
    """
    import polars as pl

    where = Path(path).name
    content = read(Path(path), ("fluVaccine",))["fluVaccine"]
    unknown = [s for s in studies if s not in content["esets"]]
    if unknown or not studies:
        raise ExpressionError(f"{where} has no study {unknown}", cure=f"choose from {sorted(content['esets'])}")
    matrices, sheets = [], []
    for study in studies:
        matrices.append(_matrix(content["esets"][study], Path(path)))
        pheno = content["phenoData"][study]
        subjects, days = [str(v) for v in pheno["subjectId"]], [str(v) for v in pheno["bloodDrawDay"]]
        sheets.append(
            pl.DataFrame(
                {
                    "sample": [f"{s}.{d}" for s, d in zip(subjects, days, strict=True)],
                    "subject": subjects,
                    "condition": days,
                    "label": [str(v) for v in pheno["responder"]],
                    "batch": [study] * len(days),
                }
            )
        )
    first = matrices[0]
    if any(m.genes != first.genes for m in matrices):
        raise ExpressionError(f"{where}: the studies measure different genes", cure="read them one at a time")
    matrix = replace(
        first,
        values=np.concatenate([m.values for m in matrices], axis=1),
        samples=tuple(s for m in matrices for s in m.samples),
    )
    return matrix, sample_sheet(pl.concat(sheets), where=where)


def _matrix(array: Any, path: Path) -> ExpressionMatrix:
    rows, columns = (tuple(str(v) for v in array.coords[d].values) for d in array.dims)
    source = provenance(path, version=None, kind="R data")
    matrix = expression_matrix(np.asarray(array.values, dtype=np.float64), rows, columns, source=source, scale="log2")
    said = "From the R package qusage; values are log2 of background-corrected, normalised array intensities."
    return replace(matrix, statements=(said, *matrix.statements))
