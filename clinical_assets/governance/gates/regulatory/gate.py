"""The regulatory gate: is everything on file that says what the model is, where it came from, and that it may be used?

Card, description, lineage, snapshots, reproduction, de-identification, change control and the audit ledger. Each
criterion is a question of yes or no about evidence; numbers about the model itself are the other gates' business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from clinical_assets.cohorts.card_statements import says_nothing
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.candidate import provenance_check, reproduction
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.change import kind_of_change
from clinical_assets.governance.candidate.kept_description import differing_paths, kept_facts
from clinical_assets.governance.candidate.reproduction import Reproduction, environment
from clinical_assets.governance.gates.change_criteria import judge_change
from clinical_assets.governance.gates.data_quality.identifier_checks import deidentified
from clinical_assets.governance.gates.regulatory import tripod
from clinical_assets.governance.verdicts.verdict import LASTING, Gate, Outcome, Verdict
from clinical_assets.governance.verdicts.verdict_store import VerdictsChanged, latest_verdicts
from clinical_assets.governance.verdicts.yes_no_verdicts import verdict, yes_or_no
from clinical_assets.modelling.trainings.card import card_json, open_points
from clinical_assets.modelling.trainings.card_files import CARD_JSON, CARD_MARKDOWN, markdown_beside, words_of
from clinical_assets.records.ledger.ledger import Ledger

_GATE: Gate = "regulatory"
_SHOWN = 20
_SAME_AGAIN = "Restored from its snapshots and trained again, the model has the same digest."


def evaluate(candidate: ReleaseCandidate, *, fresh: bool = False) -> tuple[Verdict, ...]:
    """Judge a candidate.

    Making the model again costs one training. A verdict on file that the same bundle came out equal, by the same code
    and versions on this machine, is taken instead, and says so.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The trained bundle that is judged, with its cohort, training and records.
    fresh : bool
        Make the model again in any case.
    """
    return (
        *_card(candidate),
        _intended_use(candidate),
        *_lineage(candidate),
        *_snapshots(candidate),
        _reproducible(candidate, fresh=fresh),
        *deidentified(candidate),
        *_change(candidate),
        _ledger(candidate),
    )


def _card(candidate: ReleaseCandidate) -> Iterator[Verdict]:
    cure = f"Materialize model_card of {candidate.cohort} again."
    report, spec, results = candidate.training.report, candidate.spec, candidate.training.results
    try:
        card = dict(json.loads((report / CARD_JSON).read_text(encoding="utf-8")))
        text = words_of(report / CARD_MARKDOWN)
    except FileNotFoundError as error:
        yield verdict(
            "card_complete",
            "fail",
            f"There is no model card beside this training: {Path(error.filename).name} is missing. {cure}",
        )
        return
    except (ValueError, TypeError):
        yield verdict("card_complete", "fail", f"The model card cannot be read. {cure}")
        return
    yield yes_or_no(
        "card_complete",
        tripod.card_gaps(card, spec),
        good=f"The card holds all {len(tripod.COMPUTED)} computed items of TRIPOD+AI.",
        cure=f"{cure} What is then still missing was not kept by this training: train again.",
        items=[f"{item.number} {item.asks}" for item in tripod.COMPUTED],
    )
    now = json.loads(json.dumps(card_json(spec, results)))
    stale = tuple(f"{name} of the card is not what it is now" for name in now if card.get(name) != now[name])
    if card.get("results", {}).get("bundle_digest") != candidate.digest:
        stale = ("the card is that of another bundle", *stale)
    if text != markdown_beside(spec, candidate.training):
        stale = (*stale, f"{CARD_MARKDOWN} does not say what {CARD_JSON} says")
    yield yes_or_no(
        "card_current",
        stale,
        good="Both forms of the card say what description, results and bundle say now.",
        cure=cure,
    )
    yield _written(candidate)


def _written(candidate: ReleaseCandidate) -> Verdict:
    empty, shown = tripod.unwritten(candidate.spec), tripod.demonstrated(candidate.spec)
    reasons = []
    if empty:
        reasons.append(f"The description says nothing under {', '.join(empty)}.")
    if shown:
        reasons.append(f"It says 'demonstration' under {', '.join(shown)}: nobody answers for that.")
    if reasons:
        reasons.append(
            f"Write it and materialize model_card of {candidate.cohort}; words on the card need no training."
        )
    return verdict(
        "card_written_by_person",
        "insufficient" if reasons else "pass",
        " ".join(reasons)
        or "The description holds what a person must say of the model. Further points of the card are listed for a "
        "reader; no computer can judge them.",
        evidence={"on the card": list(open_points(candidate.spec)), "tripod": dict(tripod.FOR_A_PERSON)},
    )


def _intended_use(candidate: ReleaseCandidate) -> Verdict:
    wrong = tuple(
        f"{name} says nothing" for name in ("intended_use", "not_for") if says_nothing(getattr(candidate.spec, name))
    )
    return yes_or_no(
        "intended_use",
        wrong,
        good="Intended use, and uses for which the model must not be taken, are stated.",
        cure="Write for whom, when and for what decision the model is meant, and train again.",
        intended_use=candidate.spec.intended_use,
        not_for=candidate.spec.not_for,
    )


def _lineage(candidate: ReleaseCandidate) -> Iterator[Verdict]:
    made = candidate.bundle.description.provenance
    retrain = f"Train {candidate.cohort} again."
    yield yes_or_no(
        "lineage_complete",
        provenance_check.provenance_gaps(candidate),
        good="Data, description, SQL, code and libraries that the model came from are on file by digest and version.",
        cure=retrain,
        provenance=made.to_json(),
    )
    facts, kept = candidate.spec.training_facts(), kept_facts(candidate)
    changed: tuple[str, ...] = ()
    if value_digest(facts) != made.spec_digest:
        paths = () if kept is None else differing_paths(kept, facts, depth=6)
        changed = (f"the description was changed since the training{': ' if paths else ''}{', '.join(paths[:8])}",)
    yield yes_or_no(
        "description_unchanged",
        changed,
        good="The description is the one that the model was trained with.",
        cure=f"{retrain} Or take the change back.",
    )
    yield yes_or_no(
        "description_kept",
        () if kept is not None else ("the description that the model was trained with is not beside it unchanged",),
        good="The description that the model was trained with is kept beside it.",
        cure=retrain,
    )
    for part, model in (("features", candidate.sql.feature_model), ("outcome", candidate.sql.outcome_model)):
        wrong: tuple[str, ...] = ()
        try:
            statement = candidate.sql.compile(model).sql
        except ClinicalAssetsError as error:
            wrong = (f"{model} no longer compiles: {error.message}",)
        else:
            if value_digest(statement) != getattr(made, f"{part}_sql_digest"):
                wrong = (f"the statement of {model} was changed since the training",)
            elif part == "features" and statement.rstrip() != candidate.bundle.statement.rstrip():
                wrong = (f"the bundle serves another statement than {model}",)
        yield yes_or_no(
            f"{part}_sql_unchanged",
            wrong,
            good=f"The statement of {model}, compiled now, has the digest that the training noted.",
            cure=f"{retrain} Or take the change back.",
        )


def _snapshots(candidate: ReleaseCandidate) -> Iterator[Verdict]:
    for state in provenance_check.snapshot_states(candidate):
        criterion, evidence = f"snapshot_restorable[{state.table}]", {"digest": state.digest}
        if state.problem is None:
            said = f"The snapshot of {state.table} has the content of its digest and can be restored."
            yield verdict(criterion, "pass", said, n=state.rows, evidence=evidence)
        elif state.redacted_at is not None:
            said = (
                f"A subject was erased from the snapshot of {state.table} on {state.redacted_at}: the model came from "
                f"records that no longer exist. Train {candidate.cohort} again."
            )
            yield verdict(criterion, "fail", said, evidence={**evidence, "redacted_at": state.redacted_at})
        else:
            said = f"{state.problem} Restore the file from a backup, or train {candidate.cohort} again."
            yield verdict(criterion, "fail", said, evidence=evidence)


def _reproducible(candidate: ReleaseCandidate, *, fresh: bool) -> Verdict:
    if not fresh:
        earlier = _earlier(candidate)
        if earlier is not None:
            return earlier
    came_to = reproduction.reproduce(candidate)
    outcome, reason = _told(came_to, candidate.cohort)
    evidence = {
        "fresh": True,
        "expected": came_to.expected,
        "found": came_to.found,
        "differences": list(came_to.differences[:_SHOWN]),
        "environment": came_to.environment,
        "seconds": round(came_to.seconds, 1),
        **({LASTING: _SAME_AGAIN} if outcome == "pass" else {}),
    }
    return verdict("reproducible", outcome, reason, evidence=evidence)


def _told(came_to: Reproduction, cohort: str) -> tuple[Outcome, str]:
    shown = "; ".join(came_to.differences[:5])
    if came_to.status == "equal":
        return "pass", _SAME_AGAIN
    if came_to.status == "different":
        return "fail", (
            f"Trained again from the same snapshots by the same versions on this machine, another model came out "
            f"({shown}). Find out what was changed, and train {cohort} again."
        )
    if came_to.status == "impossible":
        return "fail", f"The model cannot be made again: {shown} Put that right, or train {cohort} again."
    return "insufficient", (
        f"Digests of models are compared on one machine with one set of versions: {shown}. Compare on the same machine "
        f"with the versions of the training, or train {cohort} again here."
    )


def _earlier(candidate: ReleaseCandidate) -> Verdict | None:
    """An equal reproduction on file, made by what is installed here now."""
    try:
        run = latest_verdicts(candidate.records, bundle_digest=candidate.digest).get(_GATE)
    except VerdictsChanged:
        return None  # no evidence; the cure is to evaluate again, which is what happens
    found = [each for each in run.verdicts if each.criterion == "reproducible"] if run is not None else []
    if run is None or not found or found[0].verdict != "pass":
        return None
    evidence = dict(found[0].evidence)
    if evidence.get("environment") != environment(candidate.bundle) or evidence.get("found") != candidate.digest:
        return None
    at = evidence.get("reproduced_at", run.evaluated_at)
    return verdict(
        "reproducible",
        "pass",
        f"Restored from its snapshots and trained again on {at[:10]} by the same code and versions, the model had the "
        "same digest.",
        evidence={**evidence, "fresh": False, "reproduced_at": at, LASTING: _SAME_AGAIN},
    )


def _change(candidate: ReleaseCandidate) -> tuple[Verdict, ...]:
    try:
        return judge_change(candidate, kind_of_change(candidate))
    except ClinicalAssetsError as error:
        cure = f" {error.cure}" if error.cure else ""
        return (verdict("change_control", "fail", f"What serves cannot be compared with: {error.message}{cure}"),)


def _ledger(candidate: ReleaseCandidate) -> Verdict:
    report = Ledger(candidate.records).verify()
    counted = {"entries": report.entries, "anchored": report.anchored, "first_bad": report.first_bad}
    if report.intact:
        said = f"All {report.entries} entries of the audit ledger follow from one another and from their anchors."
        lasting = "All entries of the audit ledger follow from one another and from their anchors."
        return verdict("ledger_intact", "pass", said, n=report.entries, evidence={**counted, LASTING: lasting})
    where = f" at entry {report.first_bad}" if report.first_bad is not None else ""
    said = (
        f"The audit ledger is not whole{where}: {report.problem} Restore it from a backup and find out who changed it."
    )
    return verdict("ledger_intact", "fail", said, n=report.entries, evidence=counted)
