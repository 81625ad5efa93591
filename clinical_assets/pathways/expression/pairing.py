"""Who belongs to whom: sample sheets, pairs, and the paired expression everything else starts from.

What belongs here: the sample sheet, the checks of pairs, `PairedExpression`. What does not: reading matrices
(``expression``) and the arithmetic of normalisation (``normalisation``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.expression.expression import ExpressionError, ExpressionMatrix, IdentifierKind, Scale
from clinical_assets.pathways.expression.gene_sets import Provenance
from clinical_assets.pathways.expression.normalisation import Normalisation, pairs_to_log2
from clinical_assets.pathways.expression.pair_checks import PairVerdict, by_place, raw_verdicts, swap_verdicts

if TYPE_CHECKING:
    import polars as pl

#: A median difference over all genes, in log2 units, that is worth a word: half the pathways may lean with it.
NOTABLE_SHIFT = 0.05
_FOR_SCALE: dict[Scale, Literal["tmm", "log2", "none"]] = {"counts": "tmm", "linear": "log2", "log2": "none"}
REQUIRED = ("sample", "subject", "condition")


@dataclass(frozen=True)
class RefusedSubject:
    """A subject that cannot take part, and why."""

    subject: str
    reason: str


@dataclass(frozen=True)
class PairedExpression:
    """Two log2 profiles per subject.

    Attributes
    ----------
    subjects, genes : tuple of str
    control, affected : float64 arrays, shape (n_subjects, n_genes)
        log2 expression of each subject's two samples.
    conditions : (str, str)
        What control and affected are called in the sample sheet.
    labels : tuple of str or None
        Clinical label per subject; None where the sheet has none.
    covariates : polars DataFrame
        One row per subject: the remaining columns of the sheet, from the control sample.
    batches : tuple of (str or None, str or None)
        Batch of control and affected sample.
    refused : tuple of RefusedSubject
    library_sizes : float64 array, shape (n_subjects, 2)
        Column sums before normalisation, of all genes of the matrix; NaN if the matrix came as log2.
    factors : float64 array, shape (n_subjects, 2), or None
        TMM factors.
    identifier_kind : str
    statements : tuple of str
        What was recognised, filtered and normalised, in words.
    source : Provenance
    synthetic : bool
        True: made up by a generator. Everything shown of it must say so.
    doubtful : tuple of RefusedSubject
        Subjects that take part although their values raise a doubt about the pair, and which.
    """

    subjects: tuple[str, ...]
    genes: tuple[str, ...]
    control: FloatArray
    affected: FloatArray
    conditions: tuple[str, str]
    labels: tuple[str | None, ...]
    covariates: pl.DataFrame
    batches: tuple[tuple[str | None, str | None], ...]
    refused: tuple[RefusedSubject, ...]
    library_sizes: FloatArray
    factors: FloatArray | None
    identifier_kind: IdentifierKind
    statements: tuple[str, ...]
    source: Provenance
    synthetic: bool = False
    doubtful: tuple[RefusedSubject, ...] = ()

    @property
    def differences(self) -> FloatArray:
        """Affected minus control, log2, shape (n_subjects, n_genes)."""
        return self.affected - self.control


def sample_sheet(frame: pl.DataFrame, *, where: str = "sample sheet") -> pl.DataFrame:
    """Check a sample sheet: columns sample, subject, condition; optionally label, batch; the rest are covariates.

    Raises
    ------
    ExpressionError
        With row: missing columns, empty cells in the required ones, a sample listed twice.
    """
    import polars as pl

    missing = [c for c in REQUIRED if c not in frame.columns]
    if missing:
        raise ExpressionError(f"{where} lacks the columns {missing}", cure=f"it needs {list(REQUIRED)}")
    texts = [c for c in (*REQUIRED, "label", "batch") if c in frame.columns]
    for column in ("sample", "subject"):
        if frame[column].dtype.is_float():
            raise ExpressionError(
                f"{where}: {column} is stored as decimal numbers, where 1.1 and 1.10 are the same",
                cure="store identifiers as text",
            )
    frame = frame.with_columns(pl.col(c).cast(pl.String).str.strip_chars().replace("", None) for c in texts)
    frame = frame.with_columns(pl.col(c).replace(["NA", "NaN"], None) for c in texts if c in ("label", "batch"))
    for column in REQUIRED:
        empty = frame[column].is_null().arg_true()
        if len(empty):
            raise ExpressionError(f"{where}, data row {empty[0] + 1}: {column} is empty", cure="fill it in")
    twice = frame.filter(pl.col("sample").is_duplicated())
    if twice.height:
        raise ExpressionError(f"{where}: sample {twice['sample'][0]!r} is listed twice", cure="list it once")
    return frame


def pair_samples(
    matrix: ExpressionMatrix,
    sheet: pl.DataFrame,
    *,
    control: str,
    affected: str,
    normalisation: Normalisation | None = None,
    synthetic: bool = False,
) -> PairedExpression:
    """Pair each subject's two samples and bring them to log2.

    Parameters
    ----------
    matrix : ExpressionMatrix
        Genes by samples; a sample of the sheet is one of its columns.
    sheet : polars DataFrame
        As checked by `sample_sheet`.
    control, affected : str
        Conditions to compare, such as ``"normal"`` and ``"tumour"``; samples of other conditions are left aside.
    normalisation : Normalisation, optional
        How values come to the log2 scale; by default as the scale of the matrix asks for.
    synthetic : bool
        Whether the samples are made up: carried into every result.

    Raises
    ------
    ExpressionError
        A condition that no sample has, or no complete subject. Otherwise incomplete subjects, and those whose values
        say that the two samples are no pair (`pair_checks`), are refused one by one and listed with their reason.
    """
    known = set(sheet["condition"])
    for condition in (control, affected):
        if condition not in known:
            raise ExpressionError(f"no sample has the condition {condition!r}", cure=f"choose from {sorted(known)}")
    spec = normalisation or Normalisation()
    pairs, refused = _pairs(matrix, sheet, control, affected)
    verdicts = raw_verdicts(*_values(matrix, pairs), non_negative=matrix.scale != "log2") if pairs else ()
    doubts = {pairs[place].subject: why for place, why in by_place(verdicts, "doubtful").items()}
    pairs, stopped = _without_failed(pairs, verdicts)
    refused += stopped
    _refuse_none(pairs, refused)
    paired = _normalised(matrix, sheet, pairs, (control, affected), spec)
    verdicts = swap_verdicts(paired.differences)
    for place, why in by_place(verdicts, "doubtful").items():
        doubts[pairs[place].subject] = "; ".join(filter(None, (doubts.get(pairs[place].subject), why)))
    pairs, stopped = _without_failed(pairs, verdicts)
    if stopped:
        refused += stopped
        _refuse_none(pairs, refused)
        # Filter and factors must not rest on samples that take no part.
        paired = _normalised(matrix, sheet, pairs, (control, affected), spec)
    taking_part = set(paired.subjects)
    return replace(
        paired,
        refused=tuple(refused),
        doubtful=tuple(RefusedSubject(subject, why) for subject, why in doubts.items() if subject in taking_part),
        synthetic=synthetic,
    )


@dataclass(frozen=True)
class _Pair:
    """A subject, the columns of its two samples and their rows of the sheet."""

    subject: str
    columns: tuple[int, int]
    control: dict[str, object]
    affected: dict[str, object]


def _pairs(
    matrix: ExpressionMatrix, sheet: pl.DataFrame, control: str, affected: str
) -> tuple[list[_Pair], list[RefusedSubject]]:
    column_of = {s: i for i, s in enumerate(matrix.samples)}
    near = _NearNames((*matrix.samples, *matrix.other_columns))
    pairs: list[_Pair] = []
    refused: list[RefusedSubject] = []
    for (subject,), group in sheet.group_by(["subject"], maintain_order=True):
        found, reason = _find_pair(group, control, affected, column_of, near)
        if found is None:
            refused.append(RefusedSubject(str(subject), reason))
        else:
            columns = (column_of[str(found[0]["sample"])], column_of[str(found[1]["sample"])])
            pairs.append(_Pair(str(subject), columns, *found))
    return pairs, refused


def _values(matrix: ExpressionMatrix, pairs: Sequence[_Pair]) -> tuple[FloatArray, FloatArray]:
    return matrix.values[:, [p.columns[0] for p in pairs]], matrix.values[:, [p.columns[1] for p in pairs]]


def _without_failed(
    pairs: Sequence[_Pair], verdicts: Sequence[PairVerdict]
) -> tuple[list[_Pair], list[RefusedSubject]]:
    failed = by_place(verdicts, "failed")
    stopped = [RefusedSubject(pairs[place].subject, why) for place, why in sorted(failed.items())]
    return [pair for place, pair in enumerate(pairs) if place not in failed], stopped


def _refuse_none(pairs: Sequence[_Pair], refused: Sequence[RefusedSubject]) -> None:
    if not pairs:
        first = f", for instance {refused[0].subject!r}: {refused[0].reason}" if refused else ""
        raise ExpressionError(f"no subject has both samples{first}", cure="check names in sheet and matrix")


def _normalised(
    matrix: ExpressionMatrix,
    sheet: pl.DataFrame,
    pairs: Sequence[_Pair],
    conditions: tuple[str, str],
    spec: Normalisation,
) -> PairedExpression:
    import polars as pl

    method = _FOR_SCALE[matrix.scale] if spec.method == "auto" else spec.method
    _check_method(method, matrix)
    control, affected = _values(matrix, pairs)
    raw, half = np.hstack([control, affected]), len(pairs)
    keep, filtered = _filter(matrix, raw, spec)
    logs_control, logs_affected, factors = pairs_to_log2(
        raw[keep][:, :half], raw[keep][:, half:], method=method, spec=spec
    )
    shift = np.median(logs_affected - logs_control, axis=0)
    if spec.centre:
        logs_affected = logs_affected - shift
    covariates = [c for c in sheet.columns if c not in (*REQUIRED, "label", "batch")]
    batches = tuple((_text(p.control.get("batch")), _text(p.affected.get("batch"))) for p in pairs)
    statements = [*matrix.statements, filtered, _method_statement(method, spec), _shift_statement(shift, spec)]
    crossed = sum(a != b for a, b in batches)
    if crossed:
        statements.append(f"{crossed} of {half} subjects have their two samples in different batches.")
    sizes = raw.sum(axis=0).reshape(2, half).T if matrix.scale != "log2" else np.full((half, 2), np.nan)
    return PairedExpression(
        subjects=tuple(p.subject for p in pairs),
        genes=tuple(g for g, k in zip(matrix.genes, keep, strict=True) if k),
        control=np.ascontiguousarray(logs_control.T),
        affected=np.ascontiguousarray(logs_affected.T),
        conditions=conditions,
        labels=tuple(_text(p.affected.get("label")) for p in pairs),
        covariates=pl.DataFrame(
            {"subject": [p.subject for p in pairs], **{c: [p.control[c] for p in pairs] for c in covariates}},
            strict=False,
        ),
        batches=batches,
        refused=(),
        library_sizes=sizes,
        factors=factors,
        identifier_kind=matrix.identifier_kind,
        statements=tuple(statements),
        source=matrix.source,
    )


class _NearNames:
    """Names of a matrix by what is left of them without the marks that programs exchange.

    R writes dots for dashes and an X before a leading digit. A near name is offered, never taken.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._by_core: dict[str, list[str]] = {}
        for name in names:
            self._by_core.setdefault(self._core(name), []).append(name)

    def of(self, name: str) -> str | None:
        """The one name that differs by such marks only; None if there is none, or several."""
        found = self._by_core.get(self._core(name), [])
        return found[0] if len(found) == 1 else None

    @staticmethod
    def _core(name: str) -> str:
        core = re.sub(r"[^0-9a-z]", "", name.casefold())
        return core[1:] if re.match(r"x\d", core) else core


def _find_pair(
    group: pl.DataFrame, control: str, affected: str, columns: dict[str, int], near: _NearNames
) -> tuple[tuple[dict[str, object], dict[str, object]] | None, str]:
    found: list[dict[str, object]] = []
    for condition in (control, affected):
        rows = group.filter(group["condition"] == condition).to_dicts()
        if len(rows) != 1:
            return None, f"{len(rows)} samples of condition {condition!r}, one is needed"
        name = str(rows[0]["sample"])
        if name not in columns:
            like = near.of(name)
            offered = f"; is it {like!r} there?" if like is not None else ""
            return None, f"sample {name!r} ({condition}) is not in the matrix{offered}"
        found.append(rows[0])
    if "label" in group.columns and len({row["label"] for row in found}) > 1:
        return None, f"the two samples carry different labels: {found[0]['label']!r} and {found[1]['label']!r}"
    return (found[0], found[1]), ""


def _check_method(method: str, matrix: ExpressionMatrix) -> None:
    fits = {"tmm": ("counts",), "log2": ("counts", "linear"), "none": ("log2",)}
    if matrix.scale not in fits[method]:
        raise ExpressionError(
            f"{matrix.source.file}: normalisation {method!r} does not fit the scale {matrix.scale!r}",
            cure=f"{method!r} needs {' or '.join(fits[method])}",
        )


def _filter(matrix: ExpressionMatrix, raw: FloatArray, spec: Normalisation) -> tuple[NDArray[np.bool_], str]:
    n = len(matrix.genes)
    if spec.genes is not None:
        wanted = set(spec.genes)
        absent = wanted - set(matrix.genes)
        if absent:
            raise ExpressionError(
                f"{matrix.source.file} lacks {len(absent)} genes of the fixed list, such as {min(absent)!r}",
                cure="use the list that belongs to this platform",
            )
        return np.array([g in wanted for g in matrix.genes]), f"Fixed list of {len(wanted):,} genes."
    level = (1.0 if matrix.scale == "counts" else None) if spec.min_level == "auto" else spec.min_level
    if level is None:
        return np.ones(n, dtype=bool), f"All {n:,} genes kept, no expression filter."
    values = raw / raw.sum(axis=0) * 1e6 if matrix.scale == "counts" else raw
    keep = np.asarray((values >= level).mean(axis=1) >= spec.min_share)
    if not keep.any():
        raise ExpressionError(f"no gene reaches {level:g} in {spec.min_share:.0%} of samples", cure="lower min_level")
    unit = " per million" if matrix.scale == "counts" else ""
    return keep, (
        f"{int(keep.sum()):,} of {n:,} genes kept: at least {level:g}{unit} in {spec.min_share:.0%} of the samples. "
        "The filter looks at the whole cohort; fix the gene list where scores must not change with it."
    )


def _method_statement(method: str, spec: Normalisation) -> str:
    if method == "none":
        return "Values used as they are (log2)."
    if method == "log2":
        return f"log2(x + {spec.offset:g})."
    against = "the subject's own control" if spec.reference == "own_control" else "the cohort's typical sample"
    return f"TMM against {against}, log2 counts per million with a prior of {spec.prior_count:g} reads."


def _shift_statement(shift: FloatArray, spec: Normalisation) -> str:
    beyond = int((np.abs(shift) > NOTABLE_SHIFT).sum())
    seen = (
        f"Median difference over all genes: {shift.min():+.3f} to {shift.max():+.3f} log2, beyond "
        f"{NOTABLE_SHIFT:g} in {beyond} of {shift.size} subjects"
    )
    if spec.centre:
        return seen + "; subtracted subject by subject."
    return seen + "; not subtracted" + (": their pathway scores lean to one side." if beyond else ".")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def subject_rows(paired: PairedExpression, subjects: Sequence[str]) -> PairedExpression:
    """The same for some subjects only, in the order given. Raises `ExpressionError` for an unknown one."""
    place = {s: i for i, s in enumerate(paired.subjects)}
    unknown = [s for s in subjects if s not in place]
    if unknown:
        raise ExpressionError(f"subject {unknown[0]!r} is not in the cohort", cure="name one of its subjects")
    at = [place[s] for s in subjects]
    return replace(
        paired,
        subjects=tuple(subjects),
        control=paired.control[at],
        affected=paired.affected[at],
        labels=tuple(paired.labels[i] for i in at),
        covariates=paired.covariates[at],
        batches=tuple(paired.batches[i] for i in at),
        library_sizes=paired.library_sizes[at],
        factors=None if paired.factors is None else paired.factors[at],
    )
