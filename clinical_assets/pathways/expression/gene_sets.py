"""Gene sets: what they are, and fitting them to the genes that were measured.

What belongs here: the types, size limits, collapse of identical sets, provenance. What does not: sets from a file
(``gene_set_files``) or a database (``connectors``), and the index of the kernel (``membership``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.canonical import file_sha256, hex_of, listing_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.pathways.expression.gene_names import looks_like_human, looks_like_mouse
from clinical_assets.pathways.signed_rank.membership import MembershipIndex, membership_index


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
    """Digest of a file, or of the names and digests of a folder's. Raises `GeneSetError` if it cannot be read."""
    try:
        if path.is_dir():
            digest = hex_of(listing_digest({each.name: file_sha256(each) for each in path.iterdir() if each.is_file()}))
        else:
            digest = file_sha256(path)
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
    remarks : tuple of str
        What was taken for something else than a gene, such as weights.
    """

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    genes: tuple[tuple[str, ...], ...]
    source: Provenance
    repeated_genes: int = 0
    remarks: tuple[str, ...] = ()


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


def measured_gene_sets(
    collection: GeneSetCollection, genes: Sequence[str], *, min_size: int = 15, max_size: int = 500
) -> MeasuredGeneSets:
    """Keep the sets of suitable size, counted on measured genes, and collapse those that became identical.

    Parameters
    ----------
    collection : GeneSetCollection
        Sets as published.
    genes : sequence of str
        The matrix's genes: unique, the same kind of identifier as in the sets.
    min_size, max_size : int
        Both included; 15 to 500 as in the study.

    Raises
    ------
    GeneSetError
        Limits that contradict each other, repeated genes, genes of mouse against sets of man or the reverse, or no set
        left (with the share of names that matched, since the usual cause is another kind of identifier).
    """
    if not 1 <= min_size <= max_size:
        raise GeneSetError(f"size limits {min_size} to {max_size}", cure="choose 1 <= min_size <= max_size")
    place = {gene: i for i, gene in enumerate(genes)}
    if len(place) != len(genes):
        raise GeneSetError(f"{len(genes) - len(place)} measured genes are repeated", cure="make them unique first")
    _refuse_other_species(collection, genes)
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


def _refuse_other_species(collection: GeneSetCollection, genes: Sequence[str]) -> None:
    """Refuse mouse symbols against human sets: what matches by accident would look like a small set."""
    named = tuple({gene for members in collection.genes for gene in members})
    for mouse, human, which in ((genes, named, "matrix"), (named, genes, "sets")):
        if looks_like_mouse(mouse) and looks_like_human(human):
            other = "sets" if which == "matrix" else "matrix"
            raise GeneSetError(
                f"the symbols of the {which} are written as those of mouse and rat (Trp53), those of the {other} as "
                "human ones (TP53)",
                cure="use sets of the same species, or translate by orthologues; changing the case would be guessing",
            )


def go_term(name: str, description: str = "") -> str | None:
    """The GO term that a set's name or description speaks of.

    >>> go_term("defense response to virus (GO:0051607)"), go_term("my own set")
    ('GO:0051607', None)
    """
    found = re.search(r"\bGO:\d{7}\b", f"{name} {description}")
    return None if found is None else found.group()


def genes_in_sets(sets: MeasuredGeneSets) -> int:
    """How many of the measured genes are in at least one of the sets."""
    return int(np.unique(np.concatenate(sets.positions)).size)
