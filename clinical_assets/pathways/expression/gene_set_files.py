"""Files of gene sets: GMT and GMX, as they come.

What belongs here: reading. What does not: fitting sets to measured genes (``gene_sets``).

Tabs separate the cells, or commas where a file has no tab; cells may be quoted; genes may carry a weight after a comma
(``TP53,1.0``), which is not used. A GMT file without descriptions is recognised by its second cells: they are genes of
other sets.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from clinical_assets.pathways.expression.gene_sets import GeneSetCollection, GeneSetError, provenance

GZIP_MAGIC = b"\x1f\x8b"
_WEIGHT = re.compile(r"(.+),[+-]?\d*\.?\d+(e[+-]?\d+)?$", re.IGNORECASE)
#: From this share of second cells that are genes of other sets, a file has no descriptions.
_NO_DESCRIPTIONS = 0.5


def read_gmt(
    path: str | Path, *, version: str | None = None, encoding: str = "utf-8-sig", descriptions: bool | None = None
) -> GeneSetCollection:
    """Read a GMT file, one set a line: name, description, genes; or a GMX file (by its ending), one set a column.

    Parameters
    ----------
    path : path
        Plain or gzip-compressed file.
    version : str, optional
        Release of the collection, kept as provenance: GMT files do not say it themselves.
    encoding : str
        UTF-8 with or without a byte-order mark by default.
    descriptions : bool, optional
        Whether the second cells are descriptions; recognised from the genes when it is not said.

    Returns
    -------
    GeneSetCollection
        Empty lines and empty cells are skipped; a gene repeated within a set counts once. Weights and missing
        descriptions stand in its remarks.

    Raises
    ------
    GeneSetError
        With file and line: unreadable bytes, a line without separators, an empty or repeated name; or no set at all.
    """
    path = Path(path)
    columns = ".gmx" in (suffix.lower() for suffix in path.suffixes[-2:])
    source = provenance(path, version=version, kind="GMX" if columns else "GMT")
    lines = list(_lines(path, encoding))
    separator = "\t" if columns or not lines or any("\t" in text for _, text in lines) else ","
    sets = [(number, _cells(text, separator, f"{path.name}, line {number}")) for number, text in lines]
    if columns:
        turned = zip_longest(*(cells for _, cells in sets), fillvalue="")
        sets = [(number, list(cells)) for number, cells in enumerate(turned, start=1)]
    where = f"{path.name}, {'column' if columns else 'line'}"
    names: dict[str, int] = {}
    for number, cells in sets:
        name = cells[0]
        if not name:
            raise GeneSetError(f"{where} {number}: the set has no name", cure="write a name before its genes")
        if name in names:
            raise GeneSetError(
                f"{where} {number}: the name {name!r} already stands in {where.split()[-1]} {names[name]}",
                cure="rename one of the two or remove it",
            )
        names[name] = number
    if not names:
        raise GeneSetError(f"{path.name} holds no gene set", cure="check that this is the right file")
    rest = [cells[1:] for _, cells in sets]
    if descriptions is None:
        descriptions = not _second_cells_are_genes(rest)
    members = [[cell for cell in cells[1 if descriptions else 0 :] if cell] for cells in rest]
    weights = sum(1 for genes in members for gene in genes if _WEIGHT.match(gene))
    bare = [[found.group(1) if (found := _WEIGHT.match(gene)) else gene for gene in genes] for genes in members]
    once = tuple(tuple(dict.fromkeys(genes)) for genes in bare)
    remarks = [] if descriptions else ["The second cells are genes: the file has no descriptions."]
    remarks += [f"{weights:,} weights behind genes are not used."] if weights else []
    return GeneSetCollection(
        names=tuple(names),
        descriptions=tuple(cells[0] if descriptions and cells else "" for cells in rest),
        genes=once,
        source=source,
        repeated_genes=sum(map(len, bare)) - sum(map(len, once)),
        remarks=tuple(remarks),
    )


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Lines that hold something, with their numbers."""
    raw = path.read_bytes()
    if raw[:2] == GZIP_MAGIC:
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError) as error:
            raise GeneSetError(f"{path.name} is a damaged gzip file: {error}", cure="fetch it again") from error
    for number, line in enumerate(raw.splitlines(), start=1):
        try:
            text = line.decode(encoding if number == 1 else encoding.removesuffix("-sig"))
        except UnicodeDecodeError as error:
            raise GeneSetError(
                f"{path.name}, line {number}: byte {error.start + 1} is not {encoding}",
                cure="say which encoding the file has, for instance encoding='latin-1'",
            ) from error
        if text.strip():
            yield number, text


def _cells(text: str, separator: str, where: str) -> list[str]:
    cells = next(csv.reader([text], delimiter=separator)) if '"' in text else text.split(separator)
    if len(cells) < 2 and separator not in text:
        raise GeneSetError(f"{where}: {text[:40]!r} has no tab", cure="separate name, description and genes by tabs")
    return [cell.strip() for cell in cells]


def _second_cells_are_genes(rest: list[list[str]]) -> bool:
    """Whether most second cells are genes of some set."""
    genes = {cell for cells in rest for cell in cells[1:] if cell}
    second = [cells[0] for cells in rest if cells]
    return bool(second) and sum(cell in genes for cell in second) >= _NO_DESCRIPTIONS * len(second)
