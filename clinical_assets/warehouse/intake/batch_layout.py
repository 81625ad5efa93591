"""Batches of a source that has no header: matched by names where a batch has them, by position otherwise.

What belongs here: looking at the beginning of each file of a batch and saying how it is laid out. What does not: how a
delimited text is read (``sources.delimited``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clinical_assets.cohorts.sources_spec import CsvDialect, FileSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited.dialect import fitted_dialect
from clinical_assets.sources.delimited.encoded_text import text_file
from clinical_assets.sources.delimited.plain_text import read_head
from clinical_assets.sources.readers import format_of
from clinical_assets.warehouse.outcomes.batch_spec import later_columns


def fit_layouts(spec: CohortSpec, early: CohortSpec, *, folder: Path, names: Mapping[str, str]) -> CohortSpec:
    """The description of a batch with the layout that its files have.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description; it says which columns are only known later and may be left out.
    early : CohortSpec
        As ``batch_spec`` derives it; its files lie in `folder`.
    folder : Path
        Of the batch's copies.
    names : mapping
        Name under which a copy was delivered, for messages.

    Raises
    ------
    SourceError
        When the records of a file fit the source's columns neither with nor without later ones, or files of one
        table are laid out differently.
    """
    tables = {name: _fit(table, spec.tables[name], folder, names) for name, table in early.tables.items()}
    return early.model_copy(update={"tables": tables})


def _fit(table: Table, full: Table, folder: Path, names: Mapping[str, str]) -> Table:
    source = table.source
    if not isinstance(source, FileSource) or source.csv.columns is None:
        return table
    needed = [column.source_name or name for name, column in table.columns.items()]
    optional = [full.columns[name].source_name or name for name in later_columns(full)]
    found: dict[str, CsvDialect] = {}
    for path in sorted(folder.glob(source.path)):
        if (source.format or format_of(path.name)) != "csv":
            return table
        shown = names.get(str(path.relative_to(folder)), path.name)
        head = read_head(text_file(shown, path, source.csv.encoding))
        if not head.text.strip():
            continue  # reading it says that it is empty
        found[shown] = fitted_dialect(
            shown, head.text, whole=head.whole, dialect=source.csv, needed=needed, optional=optional
        )
    layouts = list(found.values())
    if any(layout != layouts[0] for layout in layouts):
        odd = next(name for name, layout in found.items() if layout != layouts[0])
        raise SourceError(
            f"{odd} is laid out otherwise than {next(iter(found))}: one of them has a header, or columns that the "
            "other lacks.",
            cure="Put files of one layout into the inbox at a time.",
        )
    if not layouts:
        return table
    return table.model_copy(update={"source": source.model_copy(update={"csv": layouts[0]})})
