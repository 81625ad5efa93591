"""What a study found: rows judged both ways, what they give when the labels mean nothing, and the headline.

What belongs here: the shape of results, from performances of permuted studies to nulls, the headline in words. What
does not: running studies (``study``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.study.designs import Design
from clinical_assets.pathways.study.protocols import (
    HonestProtocol,
    Outer,
    PermutationNull,
    StudyProtocol,
    null_against,
    outer_splits,
    performance,
)
from clinical_assets.pathways.study.removal import OuterFold, removed_as_study
from clinical_assets.pathways.study.sweep import Family, Labels


@dataclass(frozen=True)
class Removal:
    """Features that are removed from a row, its ablation being one of the results to choose from.

    Attributes
    ----------
    design, family : str
    n_removed : int
        Most important features that are left out.
    """

    design: str
    family: str
    n_removed: int


@dataclass(frozen=True)
class AblatedRow:
    """Balanced accuracy of a row without its most important features.

    Attributes
    ----------
    design, family, n_removed
        As in `Removal`.
    study : float
        By the study's protocol: one ranking, the same configuration.
    same_configuration, new_sweep : float
        On left-out subjects, the ranking inside the training folds.
    study_fall, fall : float
        By how much the removal lowers it, by the study's protocol and on left-out subjects (same configuration).
    """

    design: str
    family: str
    n_removed: int
    study: float
    same_configuration: float
    new_sweep: float
    study_fall: float
    fall: float


@dataclass(frozen=True)
class StudyRow:
    """One design with one family, judged both ways.

    Attributes
    ----------
    design, family : str
    study : StudyProtocol
    honest : HonestProtocol
    optimism : float
        Balanced accuracy the study's protocol reports, minus the honest one.
    optimism_precision, optimism_recall : float or None
        The same for precision (None if either is not estimable) and recall.
    """

    design: str
    family: str
    study: StudyProtocol
    honest: HonestProtocol
    optimism: float
    optimism_precision: float | None
    optimism_recall: float


@dataclass(frozen=True)
class NullRow:
    """A design and family with meaningless labels, through the whole of each protocol."""

    design: str
    family: str
    study: PermutationNull
    honest: PermutationNull


@dataclass(frozen=True)
class ChoiceNull:
    """The best of all that a reader can choose from against the same with meaningless labels.

    Attributes
    ----------
    study, honest : PermutationNull
        Of the maximum over rows and their ablations, by each protocol (max-T; Westfall & Young 1993,
        ISBN 978-0-471-55761-6).
    """

    study: PermutationNull
    honest: PermutationNull


@dataclass(frozen=True)
class StudyResult:
    """A study of a micro-cohort.

    Attributes
    ----------
    rows : tuple of StudyRow
        Every design with every family.
    nulls : tuple of NullRow
        Of every row, or of the primary one alone; none without permutations.
    n, events : int
        Subjects, and those with the positive label.
    positive, negative : str
    seed : int
    n_features : dict of str to int
        Features of each design.
    synthetic : bool
    choice : ChoiceNull or None
        Of the best row or ablation; None without permutations or with a primary row.
    primary : (str, str) or None
        Design and family named beforehand.
    ablated : tuple of AblatedRow
        Rows without their top features, which the choice includes.
    falls : ChoiceNull or None
        Of the largest fall by removing the top features, by each protocol.
    """

    rows: tuple[StudyRow, ...]
    nulls: tuple[NullRow, ...]
    n: int
    events: int
    positive: str
    negative: str
    seed: int
    n_features: dict[str, int]
    synthetic: bool
    choice: ChoiceNull | None = None
    primary: tuple[str, str] | None = None
    ablated: tuple[AblatedRow, ...] = ()
    falls: ChoiceNull | None = None

    def headline(self) -> str:
        """What the study says, in words, with how little it rests on."""
        best = max(self.rows, key=lambda r: r.honest.performance.balanced_accuracy.value)
        shown = max(self.rows, key=lambda r: r.study.cross_validated.balanced_accuracy.value)
        how = f"at best ({best.design}, {best.family}; itself the best of {self.choices})"
        if self.primary is not None:
            best = shown = next(r for r in self.rows if (r.design, r.family) == self.primary)
            how = f"({best.design}, {best.family}; named beforehand)"
        honest, reported = best.honest.performance.balanced_accuracy, shown.study.cross_validated.balanced_accuracy
        mean = sum(r.optimism for r in self.rows) / len(self.rows)
        return "\n".join(
            [
                ("SYNTHETIC data. " if self.synthetic else "")
                + f"{self.n} subjects, {self.events} {self.positive}: a small cohort, every number here is uncertain.",
                f"The best of the sweep reports a balanced accuracy of {reported.value:.2f} "
                f"({shown.design}, {shown.family}).",
                f"Left-out subjects are classified with {honest.value:.2f} (95% interval {honest.ci_low:.2f} to "
                f"{honest.ci_high:.2f}) {how}.",
                f"Mean optimism of the study's protocol over {len(self.rows)} rows: {mean:+.2f}.",
                *self._null_lines(),
            ]
        )

    @property
    def choices(self) -> str:
        """What the best was chosen from, in words."""
        rows = f"{len(self.rows)} rows"
        return rows if not self.ablated else f"{rows} and {len(self.ablated)} without their top features"

    def _null_lines(self) -> list[str]:
        if self.choice is not None:
            what, study, honest = f"the best of {self.choices}", self.choice.study, self.choice.honest
        elif self.nulls:
            null = self.nulls[0]
            what, study, honest = f"{null.design}, {null.family}", null.study, null.honest
        else:
            return ["No labels were permuted: whether this is more than chance and choice was not looked at."]
        return [
            f"With permuted labels {what} still gives left-out subjects {honest.permuted.mean():.2f} on average "
            f"(largest {honest.permuted.max():.2f} of {honest.permuted.size} permutations): "
            f"p = {honest.p_value:.3f}, the choice among rows "
            f"{'included' if self.choice is not None else 'not needed, as the row was named beforehand'}.",
            f"With permuted labels the study's protocol still reports {study.permuted.mean():.2f} on average (largest "
            f"{study.permuted.max():.2f}; p = {study.p_value:.3f}).",
            *self._fall_lines(),
        ]

    def _fall_lines(self) -> list[str]:
        if self.falls is None:
            return []
        study, honest = self.falls.study, self.falls.honest
        return [
            f"Without the top features the study's number falls by {study.observed:.2f} at most; with permuted labels, "
            f"where no feature means anything, by {study.permuted.mean():.2f} on average (p = {study.p_value:.3f}). "
            f"On left-out subjects it falls by {honest.observed:.2f}, with permuted labels by "
            f"{honest.permuted.mean():.2f} (p = {honest.p_value:.3f})."
        ]


def ablated_row(
    table: Design,
    y: Labels,
    family: Family,
    removal: Removal,
    *,
    study: StudyProtocol,
    honest: HonestProtocol,
    outer: Outer,
    n_folds: int,
    repeats: int,
    inner_folds: int,
    seed: int,
) -> AblatedRow:
    """Remove the top features from a row that was judged both ways, as `ablation.ablation` does."""
    n = removal.n_removed
    after = removed_as_study(table, y, family, n, seed=seed, before=study).cross_validated.balanced_accuracy.value
    seen, same, anew = np.zeros(y.size), np.zeros(y.size), np.zeros(y.size)
    splits = outer_splits(y, outer=outer, n_folds=n_folds, repeats=repeats, seed=seed)
    for number, (_, (train, test)) in enumerate(splits):
        fold = OuterFold(table, y, family, train, test, seed + number)
        found = fold.ablated(n, (), inner_folds=inner_folds, known=honest.chosen[number])
        seen[test] += 1
        same[test] += np.asarray(found["same"])
        anew[test] += np.asarray(found["anew"])
    kept = performance(y, same / seen).balanced_accuracy.value
    return AblatedRow(
        removal.design,
        removal.family,
        n,
        study=after,
        same_configuration=kept,
        new_sweep=performance(y, anew / seen).balanced_accuracy.value,
        study_fall=study.cross_validated.balanced_accuracy.value - after,
        fall=honest.performance.balanced_accuracy.value - kept,
    )


def row_nulls(names: Sequence[tuple[str, str]], observed: FloatArray, permuted: FloatArray) -> tuple[NullRow, ...]:
    """Nulls of every row.

    Parameters
    ----------
    names : sequence of (design, family)
        Of the rows.
    observed : float64 array, shape (n_rows, 2)
        Balanced accuracy by the study's protocol and on left-out subjects.
    permuted : float64 array, shape (B, n_rows, 2)
        The same with permuted labels.
    """
    return tuple(
        NullRow(*name, null_against(float(observed[i, 0]), permuted[:, i, 0]), _honest(observed, permuted, i))
        for i, name in enumerate(names)
    )


def _honest(observed: FloatArray, permuted: FloatArray, i: int) -> PermutationNull:
    return null_against(float(observed[i, 1]), permuted[:, i, 1])


def best_of_all(
    observed: FloatArray,
    permuted: FloatArray,
    ablated: Sequence[AblatedRow],
    permuted_ablated: Sequence[Sequence[AblatedRow]],
) -> tuple[ChoiceNull, ChoiceNull | None]:
    """The null of the best of rows and ablations, and that of the largest fall; the latter without ablations is None.

    Parameters
    ----------
    observed, permuted
        As in `row_nulls`.
    ablated : sequence of AblatedRow
        With the true labels.
    permuted_ablated : sequence of sequence of AblatedRow
        The same for each permutation.
    """
    best = _with_ablations(observed, ablated)
    null = np.array([_with_ablations(rows, one) for rows, one in zip(permuted, permuted_ablated, strict=True)])
    choice = ChoiceNull(null_against(best[0], null[:, 0]), null_against(best[1], null[:, 1]))
    if not ablated:
        return choice, None
    fall, falls = _largest_falls(ablated), np.array([_largest_falls(one) for one in permuted_ablated])
    return choice, ChoiceNull(null_against(fall[0], falls[:, 0]), null_against(fall[1], falls[:, 1]))


def _with_ablations(rows: FloatArray, ablated: Sequence[AblatedRow]) -> tuple[float, float]:
    study, honest = (float(value) for value in rows.max(axis=0))
    by_study = [study, *(one.study for one in ablated)]
    return max(by_study), max([honest, *(max(one.same_configuration, one.new_sweep) for one in ablated)])


def _largest_falls(ablated: Sequence[AblatedRow]) -> tuple[float, float]:
    return max(one.study_fall for one in ablated), max(one.fall for one in ablated)


def ablated_of(facts: Sequence[dict[str, Any]]) -> tuple[AblatedRow, ...]:
    """Ablated rows from their plain values."""
    return tuple(AblatedRow(**one) for one in facts)
