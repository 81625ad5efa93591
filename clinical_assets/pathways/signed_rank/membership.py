"""Which gene is in which set, laid out for a walk over genes.

What belongs here: the index that turns gene sets (lists of gene positions) inside out. What does not: names,
files and size limits of gene sets (``gene_sets``) and the walk itself (``kernel``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.pathways.signed_rank.layout import BLOCK


class GeneSetIndexError(ClinicalAssetsError):
    """Gene sets whose positions do not fit the matrix."""


@dataclass(frozen=True)
class MembershipIndex:
    """Gene sets, turned inside out: for each gene the sets that hold it.

    Attributes
    ----------
    n_genes, n_sets, n_memberships : int
    sizes : int64 array, shape (n_sets,)
        Genes of each set.
    genes : uint64 array
        Positions of the genes that are in at least one set, ascending.
    starts : uint64 array, shape (len(genes) + 1,)
        Where each such gene's list begins in ``members``.
    members : uint16 or uint32 array
        Set numbers, gene by gene, each list filled to a multiple of `BLOCK` with the numbers
        ``n_sets .. n_sets + BLOCK - 1``.
    """

    n_genes: int
    n_sets: int
    n_memberships: int
    sizes: NDArray[np.int64]
    genes: NDArray[np.uint64]
    starts: NDArray[np.uint64]
    members: NDArray[np.unsignedinteger]

    @property
    def largest(self) -> int:
        """Genes in the largest set, 0 without sets."""
        return int(self.sizes.max(initial=0))


def membership_index(gene_sets: Sequence[ArrayLike], *, n_genes: int) -> MembershipIndex:
    """Build the index once; it can be used for any number of calls with the same genes.

    Parameters
    ----------
    gene_sets : sequence of integer arrays
        Positions (0 to n_genes - 1) of each set's genes, each at most once. A set may be empty.
    n_genes : int
        Columns of the difference matrix.

    Raises
    ------
    GeneSetIndexError
        Positions that are no integers, lie outside the matrix, or occur twice in a set; more than
        2**30 genes.

    Examples
    --------
    Set 0 holds genes 0 and 2, set 1 gene 2 alone:

    >>> index = membership_index([[0, 2], [2]], n_genes=3)
    >>> index.sizes.tolist(), index.genes.tolist()
    ([2, 1], [0, 2])
    >>> begin, end = index.starts[1:].tolist()
    >>> [int(s) for s in index.members[begin:end] if s < index.n_sets]  # sets of the second gene in use, gene 2
    [0, 1]
    """
    from clinical_assets.pathways.signed_rank import kernel

    if not 0 <= n_genes < 2**30:
        raise GeneSetIndexError(f"{n_genes} genes: the index holds 0 to 2**30 - 1", cure="split the matrix")
    arrays = [np.asarray(s) for s in gene_sets]
    for number, array in enumerate(arrays):
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise GeneSetIndexError(
                f"gene set {number} has shape {array.shape} and type {array.dtype}",
                cure="give each set as a one-dimensional array of integer gene positions",
            )
    sizes = np.array([a.size for a in arrays], dtype=np.int64)
    flat = (
        np.concatenate([a for a in arrays if a.size]).astype(np.int64, copy=False)
        if sizes.sum()
        else np.empty(0, dtype=np.int64)
    )
    if flat.size and (flat.min() < 0 or flat.max() >= n_genes):
        at = int(np.flatnonzero((flat < 0) | (flat >= n_genes))[0])
        number = int(np.searchsorted(np.cumsum(sizes), at, side="right"))
        raise GeneSetIndexError(
            f"gene set {number} names gene position {int(flat[at])}, but the matrix has {n_genes} genes",
            cure="build the positions from the same gene list as the matrix",
        )
    counts = np.bincount(flat, minlength=n_genes)
    genes = np.flatnonzero(counts)
    starts = np.zeros(genes.size + 1, dtype=np.uint64)
    starts[1:] = np.cumsum(-(-counts[genes] // BLOCK) * BLOCK)
    free = np.zeros(n_genes, dtype=np.uint64)
    free[genes] = starts[:-1]
    n_sets = len(arrays)
    kind = np.uint16 if n_sets + BLOCK <= 2**16 else np.uint32
    filling = np.arange(n_sets, n_sets + BLOCK, dtype=kind)
    members: NDArray[np.unsignedinteger] = np.tile(filling, int(starts[-1]) // BLOCK)
    kernel.fill_members(flat.view(np.uint64), sizes, free, members)
    # Sets arrive in ascending order, so a gene named twice by a set stands beside itself.
    beside = np.flatnonzero(members[1:] == members[:-1]) + 1
    repeated = beside[starts[np.searchsorted(starts, beside)] != beside]
    if repeated.size:
        gene = int(genes[np.searchsorted(starts, repeated[0], side="right") - 1])
        raise GeneSetIndexError(
            f"gene set {int(members[repeated[0]])} names gene position {gene} twice",
            cure="list each gene once per set (np.unique)",
        )
    return MembershipIndex(
        n_genes=n_genes,
        n_sets=n_sets,
        n_memberships=int(flat.size),
        sizes=sizes,
        genes=genes.astype(np.uint64),
        starts=starts,
        members=members,
    )
