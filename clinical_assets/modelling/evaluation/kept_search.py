"""The searches of an earlier training, kept as its scores and trials: what need not be fitted again.

Nothing of a search depends on costs, tiers or thresholds. Out-of-fold scores of every candidate and every setting tried
are kept beside the features; where rows, search and software are still the same, they are read back, and everything
that is decided from them (who wins, where to act) is computed anew, with results equal to those of a full training.

What belongs here: telling whether a search is still the same, and reading it back. What does not: where it is stored
(``stored_searches``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from clinical_assets.cohorts.decisions import Modelling
from clinical_assets.foundation.canonical import facts_digest
from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters
from clinical_assets.modelling.search.published import candidate_type
from clinical_assets.modelling.search.search import FINAL, NestedEstimate, Searched, Trial
from clinical_assets.modelling.search.spaces import space
from clinical_assets.modelling.table.inputs import ModelInput

if TYPE_CHECKING:
    import optuna
    import polars as pl

#: What of `modelling` no search reads: who competes, which rows are searched (they are compared), what is refused.
_ELSEWHERE = frozenset({"candidates", "holdout_share", "separation_limit", "split_by", "known_before"})


def search_key(train: ModelInput, modelling: Modelling, *, software: str) -> str:
    """Digest of all that the search of a candidate depends on.

    Parameters
    ----------
    train : ModelInput
        Training rows.
    modelling : Modelling
        Of the description.
    software : str
        Names the code, the libraries and the machine.
    """
    facts = {
        "software": software,
        "features": list(train.feature_columns),
        "classes": list(train.classes),
        "weighted": train.weights is not None,
        "modelling": modelling.model_dump(mode="json", exclude=set(_ELSEWHERE)),
    }
    weights = () if train.weights is None else (train.weights,)
    return facts_digest(facts, train.X, train.y, train.groups, *weights)


class Origin(NamedTuple):
    """Digest of the training that fitted a candidate, and the run that it was part of."""

    training: str
    run_id: str


@dataclass(frozen=True)
class KeptSearch:
    """Scores and trials of an earlier training.

    Attributes
    ----------
    key : str
        As `search_key` gave it.
    scores : polars.DataFrame
        As ``TrainingResult.candidate_scores``.
    trials : polars.DataFrame
        As ``search.trials_frame``; with the final search of the winner of that training.
    origins : mapping of candidate to Origin
        Who fitted each.
    """

    key: str
    scores: pl.DataFrame
    trials: pl.DataFrame
    origins: Mapping[str, Origin]

    def estimates(
        self, names: Sequence[str], train: ModelInput, key: Sequence[str], modelling: Modelling
    ) -> dict[str, NestedEstimate]:
        """Nested estimates of those candidates that have them, on rows of which ``key`` names each.

        None of an outcome that is a time to an event: risks of the censored are not kept.
        """
        found: dict[str, NestedEstimate] = {}
        if train.follow_up is not None:
            return found
        for name in names:
            rows = train.frame.select([*key, "outcome"]).join(
                self.scores.filter(self.scores["candidate"] == name),
                on=[*key, "outcome"],
                how="inner",
                maintain_order="left",
            )
            if rows.height == train.n:
                searched = self._searched(name, train, modelling)
                found[name] = _estimate(name, rows, [searched[fold] for fold in sorted(searched) if fold != FINAL])
        return found

    def final(self, name: str, train: ModelInput, modelling: Modelling) -> Searched | None:
        """The search of a candidate on all training rows; None where it had not won."""
        return self._searched(name, train, modelling).get(FINAL)

    def _searched(self, name: str, train: ModelInput, modelling: Modelling) -> dict[int, Searched]:
        kind = candidate_type(name, modelling, train.feature_columns)
        by_fold: dict[int, list[Trial]] = {}
        mine = self.trials.filter(self.trials["candidate"] == name).sort("outer_fold", "trial")
        for row in mine.iter_rows(named=True):
            read = {**row, "fold_scores": tuple(row["fold_scores"]), "parameters": _ordered(row, kind, train.n)}
            by_fold.setdefault(row["outer_fold"], []).append(Trial(**read))
        return {fold: Searched.of(trials) for fold, trials in by_fold.items()}


def _ordered(row: Mapping[str, str], kind: CandidateType, n_rows: int) -> Parameters:
    """The parameters of a trial in the order of a search, in which they are written elsewhere: here they are sorted."""
    from optuna.trial import FixedTrial

    found = json.loads(row["parameters"])
    # Asked for names, which both kinds of trial answer alike.
    asked = cast("optuna.Trial", FixedTrial(found))
    return {name: found[name] for name in space(kind, asked, n_rows)}


def _estimate(name: str, rows: pl.DataFrame, tuned: Sequence[Searched]) -> NestedEstimate:
    fold = rows["outer_fold"].to_numpy().astype(np.int64)
    classes = [column for column in rows.columns if column.startswith("probability_")]
    if classes:
        risk = np.column_stack([rows[f"probability_{number}"].to_numpy() for number in range(len(classes))])
        return NestedEstimate(name, None, risk, fold, tuple(tuned))
    return NestedEstimate(name, rows["raw_risk"].to_numpy(), rows["risk"].to_numpy(), fold, tuple(tuned))
