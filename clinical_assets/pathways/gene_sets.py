"""Gene sets: reading GMT files, and fitting them to the genes that were measured.

What belongs here: the types, the GMT reader, size limits, collapse of identical sets, provenance. What does not: sets
from a database (``connectors``) and the index of the kernel (``membership``).
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.pathways.membership import MembershipIndex, membership_index

GZIP_MAGIC = b"\x1f\x8b"


class GeneSetError(ClinicalAssetsError):
    """A gene-set file that cannot be used, or sets that do not fit the measured genes."""


@dataclass(frozen=True)
class Provenance:
    """Where something came from.

    Attributes
    ----------
    file : str
        Name of the file, without its folder.
    sha256 : str
        Of the file as it lies on disk (compressed, if it is).
    version : str or None
        What the user or the file itself says, such as ``"MSigDB 2026.1"``; None if nobody said.
    kind : str
        Format or database, such as ``"GMT"``.
    """

    file: str
    sha256: str
    version: str | None
    kind: str


def provenance(path: Path, *, version: str | None, kind: str) -> Provenance:
    """Digest of a file. Raises `GeneSetError` if it cannot be read."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise GeneSetError(f"{path.name} cannot be read: {error.strerror}", cure="check the path") from error
    return Provenance(file=path.name, sha256=digest, version=version, kind=kind)


@dataclass(frozen=True)
class GeneSetCollection:
    """Gene sets as they were supplied.

    Attributes
    ----------
    names : tuple of str
        Unique.
    descriptions : tuple of str
        Second GMT column; often a web address or empty.
    genes : tuple of tuple of str
        Identifiers of each set, each once, in the file's order.
    source : Provenance
    repeated_genes : int
        Identifiers that a set named more than once; each was counted once.
    """

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    genes: tuple[tuple[str, ...], ...]
    source: Provenance
    repeated_genes: int = 0


@dataclass(frozen=True)
class MeasuredGeneSets:
    """Gene sets fitted to a list of measured genes: what every score is computed from.

    Attributes
    ----------
    names, descriptions : tuple of str
        Of the sets kept, in the file's order.
    positions : tuple of int64 arrays
        Ascending positions in `genes`.
    genes : tuple of str
        The measured genes, in the order of the matrix.
    collapsed : tuple of (str, tuple of str)
        Kept name, and the names of sets that hold the same measured genes and were left out for it.
    too_small, too_large : tuple of str
        Sets outside the limits, by name.
    min_size, max_size : int
        Limits on the number of *measured* genes, both included.
    source : Provenance
    """

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    positions: tuple[NDArray[np.int64], ...]
    genes: tuple[str, ...]
    collapsed: tuple[tuple[str, tuple[str, ...]], ...]
    too_small: tuple[str, ...]
    too_large: tuple[str, ...]
    min_size: int
    max_size: int
    source: Provenance

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Measured genes of each set."""
        return np.array([p.size for p in self.positions], dtype=np.int64)

    @cached_property
    def index(self) -> MembershipIndex:
        """The kernel's index, made at first use."""
        return membership_index(self.positions, n_genes=len(self.genes))

    def statement(self) -> str:
        """What was kept and why, in one sentence."""
        dropped = sum(len(others) for _, others in self.collapsed)
        version = f", version {self.source.version}" if self.source.version else ""
        return (
            f"{len(self.names):,} gene sets of {self.min_size} to {self.max_size} measured genes from "
            f"{self.source.file} (SHA-256 {self.source.sha256[:12]}{version}); {len(self.too_small):,} too small, "
            f"{len(self.too_large):,} too large, {dropped:,} identical to a kept set after filtering."
        )


def read_gmt(path: str | Path, *, version: str | None = None, encoding: str = "utf-8-sig") -> GeneSetCollection:
    """Read a GMT file: one set a line, tab-separated name, description, genes. Gzip is recognised by content.

    Parameters
    ----------
    path : path
    version : str, optional
        Release of the collection, kept as provenance: GMT files do not say it themselves.
    encoding : str
        UTF-8 with or without a byte-order mark by default.

    Returns
    -------
    GeneSetCollection
        Empty lines and empty cells are skipped; a gene repeated within a set counts once.

    Raises
    ------
    GeneSetError
        With file and line: unreadable bytes, a line without tabs, an empty or repeated name; or no set at all.
    """
    path = Path(path)
    source = provenance(path, version=version, kind="GMT")
    raw = path.read_bytes()
    if raw[:2] == GZIP_MAGIC:
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError) as error:
            raise GeneSetError(f"{path.name} is a damaged gzip file: {error}", cure="fetch it again") from error
    names: dict[str, int] = {}
    descriptions, genes, repeated = [], [], 0
    for number, line in enumerate(raw.splitlines(), start=1):
        where = f"{path.name}, line {number}"
        try:
            text = line.decode(encoding if number == 1 else encoding.removesuffix("-sig"))
        except UnicodeDecodeError as error:
            raise GeneSetError(
                f"{where}: byte {error.start + 1} is not {encoding}",
                cure="say which encoding the file has, for instance encoding='latin-1'",
            ) from error
        if not text.strip():
            continue
        cells = [cell.strip() for cell in text.split("\t")]
        if len(cells) < 2:
            raise GeneSetError(
                f"{where}: {text[:40]!r} has no tab", cure="separate name, description and genes by tabs"
            )
        name = cells[0]
        if not name:
            raise GeneSetError(f"{where}: the set has no name", cure="write a name into the first column")
        if name in names:
            raise GeneSetError(
                f"{where}: the name {name!r} already stands in line {names[name]}",
                cure="rename one of the two or remove it",
            )
        names[name] = number
        members = [cell for cell in cells[2:] if cell]
        once = tuple(dict.fromkeys(members))
        repeated += len(members) - len(once)
        descriptions.append(cells[1])
        genes.append(once)
    if not names:
        raise GeneSetError(f"{path.name} holds no gene set", cure="check that this is the right file")
    return GeneSetCollection(
        names=tuple(names),
        descriptions=tuple(descriptions),
        genes=tuple(genes),
        source=source,
        repeated_genes=repeated,
    )


def measured_gene_sets(
    collection: GeneSetCollection, genes: Sequence[str], *, min_size: int = 15, max_size: int = 500
) -> MeasuredGeneSets:
    """Keep the sets of suitable size, counted on measured genes, and collapse those that became identical.

    Parameters
    ----------
    collection : GeneSetCollection
    genes : sequence of str
        The matrix's genes: unique, the same kind of identifier as in the sets.
    min_size, max_size : int
        Both included; 15 to 500 as in the study.

    Raises
    ------
    GeneSetError
        Limits that contradict each other, repeated genes, or no set left (with the share of names that matched,
        since the usual cause is another kind of identifier).
    """
    if not 1 <= min_size <= max_size:
        raise GeneSetError(f"size limits {min_size} to {max_size}", cure="choose 1 <= min_size <= max_size")
    place = {gene: i for i, gene in enumerate(genes)}
    if len(place) != len(genes):
        raise GeneSetError(f"{len(genes) - len(place)} measured genes are repeated", cure="make them unique first")
    kept: dict[bytes, int] = {}
    others: dict[int, list[str]] = {}
    chosen: list[tuple[str, str, NDArray[np.int64]]] = []
    small, large = [], []
    for name, description, members in zip(collection.names, collection.descriptions, collection.genes, strict=True):
        found = np.array(sorted(place[g] for g in members if g in place), dtype=np.int64)
        if found.size < min_size:
            small.append(name)
        elif found.size > max_size:
            large.append(name)
        elif (twin := kept.get(found.tobytes())) is not None:
            others.setdefault(twin, []).append(name)
        else:
            kept[found.tobytes()] = len(chosen)
            chosen.append((name, description, found))
    if not chosen:
        named = {g for members in collection.genes for g in members}
        matched = len(named & place.keys())
        raise GeneSetError(
            f"no set of {collection.source.file} has {min_size} to {max_size} measured genes; {matched:,} of its "
            f"{len(named):,} genes are among the {len(place):,} measured",
            cure="use sets with the matrix's kind of identifier (see expression.map_identifiers), or other limits",
        )
    return MeasuredGeneSets(
        names=tuple(c[0] for c in chosen),
        descriptions=tuple(c[1] for c in chosen),
        positions=tuple(c[2] for c in chosen),
        genes=tuple(genes),
        collapsed=tuple((chosen[i][0], tuple(names)) for i, names in sorted(others.items())),
        too_small=tuple(small),
        too_large=tuple(large),
        min_size=min_size,
        max_size=max_size,
        source=collection.source,
    )


def genes_in_sets(sets: MeasuredGeneSets) -> int:
    """How many of the measured genes are in at least one of the sets."""
    return int(np.unique(np.concatenate(sets.positions)).size)
