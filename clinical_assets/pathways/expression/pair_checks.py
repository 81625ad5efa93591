"""Whether two samples are a pair of one person at all: what the values themselves say.

What belongs here: checks that stop a subject or let it pass with a doubt, and the places of all samples in a plane for
a picture. What does not: names and counts of samples (``pairing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clinical_assets.foundation.types import FloatArray

#: Agreement with the others below which a subject's samples look exchanged, or are doubtful; above the last, the others
#: agree. A subject without the change that others share lies around 0, which is no doubt.
SWAPPED, AGAINST, OTHERS_AGREE = -0.5, -0.25, 0.3
#: Share of varying genes with the very same value in both samples: one sample twice, or nearly so.
SAME, NEARLY_SAME = 0.99, 0.5
#: Share of zeros above which a sample of counts or intensities holds next to nothing.
EMPTY = 0.95
#: Fewer subjects than this cannot say what is usual.
ENOUGH = 4
#: Over fewer genes than this, equal values may be chance.
ENOUGH_GENES = 20


@dataclass(frozen=True)
class PairVerdict:
    """What the values say about one subject's pair.

    Attributes
    ----------
    place : int
        The subject's position.
    kind : {"failed", "doubtful"}
        A failed pair takes no part; a doubtful one does, and is shown.
    reason : str
        Without names of samples.
    """

    place: int
    kind: Literal["failed", "doubtful"]
    reason: str


def raw_verdicts(control: FloatArray, affected: FloatArray, *, non_negative: bool) -> tuple[PairVerdict, ...]:
    """Samples that are constant or empty, equal to each other, or to the sample of another subject.

    Parameters
    ----------
    control, affected : arrays, shape (n_genes, n_subjects)
        Values before normalisation.
    non_negative : bool
        True for counts and linear values, where zero means that nothing was seen.
    """
    if control.shape[0] < ENOUGH_GENES:
        return ()
    found: list[PairVerdict] = []
    varying = np.ptp(np.hstack([control, affected]), axis=1) > 0
    seen: dict[bytes, list[int]] = {}
    for place in range(control.shape[1]):
        pair = (control[:, place], affected[:, place])
        for name, values in zip(("control", "affected"), pair, strict=True):
            seen.setdefault(np.ascontiguousarray(values).tobytes(), []).append(place)
            if float(np.ptp(values)) == 0:
                found.append(PairVerdict(place, "failed", f"the {name} sample has one value for all genes"))
            elif non_negative and float((values == 0).mean()) > EMPTY:
                share = float((values == 0).mean())
                found.append(
                    PairVerdict(place, "failed", f"the {name} sample is empty: {share:.0%} of its genes are 0")
                )
        same = float((pair[0] == pair[1])[varying].mean()) if varying.any() else 0.0
        # In counts most genes that are not expressed agree by being 0.
        if non_negative:
            expressed = varying & (pair[0] + pair[1] > 0)
            same = float((pair[0] == pair[1])[expressed].mean()) if expressed.any() else 0.0
        if same >= SAME:
            found.append(PairVerdict(place, "failed", f"both samples are the same: {same:.1%} of the genes are equal"))
        elif same >= NEARLY_SAME:
            found.append(PairVerdict(place, "doubtful", f"{same:.0%} of the genes are equal in both samples"))
    for places in seen.values():
        if len(set(places)) > 1:
            said = f"a sample is the same as that of {len(set(places)) - 1} other subjects"
            found.extend(PairVerdict(place, "failed", said) for place in sorted(set(places)))
    return tuple(found)


def agreement(differences: FloatArray) -> FloatArray:
    """Correlation of each subject's differences with the gene-wise median of all others', shape (n_subjects,).

    Parameters
    ----------
    differences : array, shape (n_subjects, n_genes)
        Affected minus control, log2; at least 2 subjects. NaN where a subject's differences do not vary.

    Examples
    --------
    >>> import numpy as np
    >>> d = np.random.default_rng(0).normal(size=200) + np.random.default_rng(1).normal(size=(5, 200)) / 2
    >>> d[2] = -d[2]  # the two samples of one subject were exchanged
    >>> [round(float(r), 1) for r in agreement(d)]
    [0.8, 0.8, -0.9, 0.8, 0.8]
    """
    result = np.full(differences.shape[0], np.nan)
    for place, own in enumerate(differences):
        others = np.median(np.delete(differences, place, axis=0), axis=0)
        if np.ptp(own) > 0 and np.ptp(others) > 0:
            result[place] = np.corrcoef(own, others)[0, 1]
    return result


def swap_verdicts(differences: FloatArray) -> tuple[PairVerdict, ...]:
    """Subjects whose changes run against those that all others share, as when the two samples were exchanged.

    Where the others do not agree among themselves (median correlation below .3), nothing can be said, and nothing is.
    """
    if differences.shape[0] < ENOUGH or differences.shape[1] < ENOUGH_GENES:
        return ()
    seen = agreement(differences)
    usual = float(np.nanmedian(seen)) if np.isfinite(seen).any() else 0.0
    if usual < OTHERS_AGREE:
        return ()
    found: list[PairVerdict] = []
    for place, value in enumerate(seen):
        said = f"its changes correlate {value:+.2f} with those of the others, which do so with {usual:+.2f}"
        if value <= SWAPPED:
            found.append(PairVerdict(place, "failed", f"the two samples look exchanged: {said}"))
        elif value <= AGAINST:
            found.append(PairVerdict(place, "doubtful", said))
    return tuple(found)


def sample_plane(control: FloatArray, affected: FloatArray) -> tuple[FloatArray, FloatArray, tuple[float, float]]:
    """All samples on their first two principal components.

    Parameters
    ----------
    control, affected : arrays, shape (n_subjects, n_genes)
        log2 values.

    Returns
    -------
    control, affected : arrays, shape (n_subjects, 2)
    shares : (float, float)
        Variance that each component explains.
    """
    samples = np.vstack([control, affected])
    centred = samples - samples.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((samples.shape[0], 2))
    n = min(2, size.size)
    places[:, :n] = left[:, :n] * size[:n]
    total = float((size**2).sum())
    shares = [float(s**2 / total) if total else 0.0 for s in [*size[:2], 0.0, 0.0][:2]]
    half = control.shape[0]
    return places[:half], places[half:], (shares[0], shares[1])


def by_place(verdicts: Sequence[PairVerdict], kind: Literal["failed", "doubtful"]) -> dict[int, str]:
    """Reasons of one kind by the subject's position, joined."""
    found: dict[int, list[str]] = {}
    for verdict in verdicts:
        if verdict.kind == kind:
            found.setdefault(verdict.place, []).append(verdict.reason)
    return {place: "; ".join(reasons) for place, reasons in found.items()}
