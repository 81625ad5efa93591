"""What a candidate model is: how it is built, what is tuned, how simple and how costly it is, how it is explained.

What belongs here: the form that every candidate declares. The candidates themselves are the modules of
``clinical_assets.modelling.search.kinds``, one each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import optuna

    from clinical_assets.modelling.table.word_weights import WordBlock

Parameters = dict[str, int | float]
#: How a score is broken down by feature; see ``modelling.bundle.contributions``.
ExplanationMethod = Literal["linear", "linear_hazard", "naive_bayes", "lightgbm", "xgboost", "xgboost_hazard", "paths"]


@dataclass(frozen=True)
class CandidateType:
    """One model that may compete.

    Attributes
    ----------
    name : str
        As descriptions write it; never changed, because bundles and reports hold it.
    simplicity : int
        Rank, unique, the simplest first: how few parameters a reader has to believe, and whether contributions are
        exact. Of candidates that tie the simplest wins.
    cost : int
        Rank of the time of one search, unique, the cheapest first. The costliest is started first, so that the last
        job to end is a short one.
    model : callable
        ``(parameters, n_classes, seed)`` to an unfitted classifier of scikit-learn's interface, one thread, seeded.
        Its ``fit`` takes ``sample_weight``, for ``class_weight`` and for cohorts with case weights. skl2onnx can
        convert it, and the graph holds no row that it was fitted on. Libraries are imported inside.
    space : callable
        ``(trial, n_rows)`` to the parameters of one trial, when models are fitted on about `n_rows` rows.
    start : callable
        ``n_rows`` to the setting of the first trial, inside the space.
    focal : callable or None
        As `model`, fitted by focal loss; None where it cannot be.
    half_budget : bool
        Gets half the trials: one or two settings that matter little, or a slow fit.
    floor : float
        Raw risks are kept this far from 0 and 1 before their log-odds are taken; below 0.01.
    reads_missing : bool
        Takes NaN as it is, so that nothing stands before it (but with SMOTE, which cannot measure distances to NaN).
    flags_missing : bool
        Gets a 0/1 flag for each column that had missing values, beside the medians.
    scaled : bool
        Gets standardised columns.
    single : bool
        Reads its columns in single precision, as its graph does: a tree fitted in double precision sends values on the
        two sides of a split to one side of the graph's.
    given : bool
        A formula that stands: nothing is searched or weighed, and no column may be dropped before it.
    recalibrated : bool
        Whether its risks are mapped to the cohort's.
    timed : bool
        Learns from times to events, and from everybody at risk (``modelling.survival``): for outcomes that are times.
        Nothing balances its classes.
    competing : bool
        Of those, one for outcomes with competing events.
    pooled : tuple of int
        Places of the features that name a group and are replaced by the group's mean; the description says which.
    words : tuple of WordBlock
        Features that count the words of a note, and are weighed as TF-IDF; the description says which.
    doubted_weight : float
        What a row counts whose label is doubted while it is fitted; 1 where nothing is doubted.
    n_features : int
        Of the table that it is fitted on; known where the description names words.
    explanation : str
        Which exact method breaks a score down for two classes; ``paths`` samples and suits every model.
    libraries : tuple of str
        Modules that `model` imports beside scikit-learn, named like their packages: loaded once before threads ask for
        them, and named with their versions in the provenance of a bundle.
    """

    name: str
    simplicity: int
    cost: int
    model: Callable[[Parameters, int, int], Any]
    space: Callable[[optuna.Trial, int], Parameters]
    start: Callable[[int], Parameters]
    focal: Callable[[Parameters, int, int], Any] | None = None
    half_budget: bool = False
    floor: float = 1e-6
    reads_missing: bool = False
    flags_missing: bool = True
    scaled: bool = True
    single: bool = False
    given: bool = False
    recalibrated: bool = True
    timed: bool = False
    competing: bool = False
    pooled: tuple[int, ...] = ()
    words: tuple[WordBlock, ...] = ()
    doubted_weight: float = 1.0
    n_features: int = 0
    explanation: ExplanationMethod = "paths"
    libraries: tuple[str, ...] = ()


#: A registered candidate by its name, or what a candidate declares.
AnyCandidate = str | CandidateType
