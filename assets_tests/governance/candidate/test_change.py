"""What kind of change a candidate is, whether the plan permits it, and whether it keeps the plan's terms."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assets_tests.governance.gates.regulatory.test_gate import recalibrated, reseal
from assets_tests.worlds.ward.trained import COHORT, Trained, made_records, train_again, write_records
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.change import Change, kind_of_change
from clinical_assets.governance.candidate.recalibration_lineage import _with_map
from clinical_assets.governance.gates.change_criteria import changes_this_year, judge_change
from clinical_assets.governance.gates.regulatory import gate as regulatory
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.trainings import reference
from clinical_assets.records import schema

KINDS = ("intercept", "intercept_and_slope", "refit", "threshold", "features", "candidates")
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def serve(candidate: ReleaseCandidate, *previous: str) -> ReleaseCandidate:
    """Let a candidate serve."""
    champion_pointer.keep_warm(candidate.settings, candidate.bundle)
    champion = Champion(
        cohort=COHORT,
        digest=candidate.digest,
        since="2026-01-01T00:00:00+00:00",
        by="a test",
        previous=previous,
        promotion="p-1",
    )
    champion_pointer.switch(candidate.settings, champion)
    return replace(candidate, champion=champion)


def permit(trained: Trained, *kinds: str, **terms: Any) -> None:
    trained.describe(pccp={"reference": "QMS-7", "permitted": [{"kind": kind, **terms} for kind in kinds]})


def altered(trained: Trained, **description: Any) -> ReleaseCandidate:
    """A candidate beside the champion whose bundle says something else; champion is what was trained."""
    served = serve(trained.candidate())
    folder = served.training.folder.with_name("altered")
    shutil.copytree(served.training.folder, folder)
    bundle = replace(served.bundle, folder=folder / "bundle")
    made = reseal(replace(served, bundle=bundle), **description)
    with made.warehouse.writer() as connection:
        source, target = reference.relation_of(served.digest), reference.relation_of(made.digest)
        connection.execute(f"CREATE OR REPLACE TABLE {target} AS SELECT * FROM {source}")
    return replace(made, handle=replace(made.handle, described=trained.candidate().spec))


def judged(candidate: ReleaseCandidate) -> Mapping[str, Verdict]:
    return {each.criterion: each for each in judge_change(candidate, kind_of_change(candidate), now=NOW)}


def _recalibration(trained: Trained, **changes: Any) -> dict[str, Any]:
    return {**trained.candidate().bundle.description.recalibration.to_json(), **changes}


def test_the_first_model_is_no_change_and_passes(trained: Trained) -> None:
    change = kind_of_change(trained.candidate())
    assert (change.kind, change.permitted, change.against) == ("first", None, None)
    assert {name: each.verdict for name, each in judged(trained.candidate()).items()} == {"change_control": "pass"}


def test_what_serves_already_is_compared_with_what_served_before_it(trained: Trained) -> None:
    assert kind_of_change(serve(trained.candidate())).kind == "first"
    before = altered(trained, threshold=0.3)
    champion_pointer.keep_warm(before.settings, before.bundle)
    now = serve(trained.candidate(), before.digest)
    assert (kind_of_change(now).kind, kind_of_change(now).against) == ("threshold", before.digest)


def test_another_intercept_alone_is_a_change_of_the_intercept(trained: Trained) -> None:
    candidate = altered(trained, recalibration=_recalibration(trained, intercepts=[0.4]))
    assert kind_of_change(candidate).kind == "intercept"


def test_another_slope_is_a_change_of_intercept_and_slope(trained: Trained) -> None:
    candidate = altered(trained, recalibration=_recalibration(trained, intercepts=[0.4], slopes=[0.7]))
    change = kind_of_change(candidate)
    assert change.kind == "intercept_and_slope"
    assert "0.7" in " ".join(change.details)


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ({"threshold": 0.3}, "threshold"),
        ({"explanation": {"method": "linear", "coefficients": [1.0], "intercept": 0.0}}, "refit"),
        ({"parameters": {"C": 99}}, "refit"),
        ({"candidate": "lightgbm"}, "refit"),
        ({"classes": ["alive", "ill"]}, "other"),
        ({"action_from": 0}, "other"),
        ({"threshold": 0.3, "parameters": {"C": 99}}, "other"),
    ],
)
def test_the_kind_follows_from_what_differs(trained: Trained, description: Any, kind: str) -> None:
    assert kind_of_change(altered(trained, **description)).kind == kind


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        ({"features_sql_digest": "sha256:" + "1" * 64}, "features"),
        ({"outcome_sql_digest": "sha256:" + "1" * 64}, "other"),
        ({"spec_digest": "sha256:" + "1" * 64}, "other"),
        ({"data_digest": "sha256:" + "1" * 64}, "refit"),
        ({"libraries": {"numpy": "1"}}, "refit"),
    ],
)
def test_the_kind_follows_from_the_origin(trained: Trained, origin: Any, kind: str) -> None:
    made = {**trained.candidate().bundle.description.provenance.to_json(), **origin}
    assert kind_of_change(altered(trained, provenance=made)).kind == kind


def _retrained(trained: Trained, **description: Any) -> ReleaseCandidate:
    """A second training with another description, while the first one serves."""
    serve(trained.candidate())
    trained.describe(**description)
    return train_again(trained.settings).candidate()


def test_a_training_on_other_records_is_a_refit_and_is_measured_against_the_champion(trained: Trained) -> None:
    permit(trained, *KINDS, at_most_per_year=1)
    subjects, visits = made_records(seed=6)
    for name, rows in (("subjects", subjects), ("visits", visits)):
        write_records(trained.settings.catalogue[0], name, rows)
    candidate = _retrained(trained)
    change = kind_of_change(candidate)
    assert change.kind == "refit"
    assert change.permitted is not None
    found = judged(candidate)
    assert set(found) == {
        "change_control",
        "change_frequency",
        "change_auroc_loss",
        "change_net_benefit_loss",
        "change_calibration_slope",
        "change_calibration_intercept",
    }
    for name in ("change_auroc_loss", "change_calibration_slope"):
        verdict = found[name]
        assert verdict.ci_low is not None
        assert verdict.value is not None
        assert verdict.ci_high is not None
        assert verdict.ci_low <= verdict.value <= verdict.ci_high
        assert verdict.n
        assert verdict.events


@pytest.mark.parametrize(
    ("description", "kind", "named"),
    [
        ({"modelling": {"candidates": ["naive_bayes"], "search": {"trials": 1, "inner_folds": 2, "outer_folds": 2}}},
         "candidates", "modelling.candidates"),
        ({"limits": {"auroc_lower": 0.5}}, "other", "decisions.limits.auroc_lower"),
        ({"title": "The same under another title"}, "refit", "title"),
    ],
)  # fmt: skip
def test_the_kind_follows_from_the_description(trained: Trained, description: Any, kind: str, named: str) -> None:
    change = kind_of_change(_retrained(trained, **description))
    assert change.kind == kind
    assert named in " ".join(change.details)


def test_a_change_outside_the_plan_needs_a_signature(trained: Trained) -> None:
    permit(trained, "intercept")
    found = judged(altered(trained, parameters={"C": 99}))
    assert {name: each.verdict for name, each in found.items()} == {"change_control": "insufficient"}
    assert "'refit'" in found["change_control"].reason


def test_several_kinds_at_once_are_outside_every_plan(trained: Trained) -> None:
    permit(trained, *KINDS)
    candidate = altered(trained, threshold=0.3, parameters={"C": 99})
    assert kind_of_change(candidate).permitted is None
    assert judged(candidate)["change_control"].verdict == "insufficient"


def test_a_worse_model_fails_what_the_plan_asks_for(trained: Trained) -> None:
    """Its risks are turned around: the graph's last step has a negative slope."""
    permit(trained, "refit")
    candidate = altered(trained, parameters={"C": 99}, recalibration=_recalibration(trained, slopes=[-1.0]))
    path = candidate.bundle.folder / "model.onnx"
    path.write_bytes(_with_map(candidate.bundle, candidate.bundle.description.recalibration))
    found = judged(candidate)
    assert found["change_control"].verdict == "pass"
    for name in ("change_auroc_loss", "change_net_benefit_loss", "change_calibration_slope"):
        assert found[name].verdict == "fail", found[name].reason


def test_a_recalibration_of_the_champion_is_a_change_of_the_intercept(trained: Trained) -> None:
    champion = serve(trained.candidate()).champion
    assert kind_of_change(replace(recalibrated(trained), champion=champion)).kind == "intercept"


def test_the_same_model_loses_nothing(trained: Trained) -> None:
    permit(trained, "threshold")
    found = judged(altered(trained, threshold=0.3))
    assert found["change_net_benefit_loss"].verdict == "pass"
    assert found["change_net_benefit_loss"].value == pytest.approx(0, abs=1e-9)


def test_without_the_rows_nothing_is_said_to_be_kept(trained: Trained) -> None:
    permit(trained, "refit")
    candidate = altered(trained, parameters={"C": 99})
    with candidate.warehouse.writer() as connection:
        connection.execute(f"DROP TABLE {reference.relation_of(candidate.digest)}")
    found = judged(candidate)
    assert {found[name].verdict for name in found if name.startswith("change_auroc")} == {"insufficient"}


@pytest.mark.parametrize(("days", "kind", "first", "counted"), [
    (10, "promotion", False, 2), (400, "promotion", False, 1), (10, "rollback", False, 1), (10, "promotion", True, 1),
])  # fmt: skip
def test_changes_of_a_year_are_counted(trained: Trained, days: int, kind: str, first: bool, counted: int) -> None:
    permit(trained, "refit", at_most_per_year=1)
    candidate = trained.candidate()
    row = {
        "id": str(uuid.uuid4()),
        "cohort": COHORT,
        "kind": kind,
        "bundle_digest": "sha256:" + "2" * 64,
        "previous_digest": None if first else "sha256:" + "3" * 64,
        "at": (NOW - dt.timedelta(days=days)).isoformat(timespec="microseconds"),
        "actor": "a test",
        "ledger_seq": 1,
    }
    with candidate.records.write() as connection:
        connection.execute(sa.insert(schema.promotions).values(**row))
    change = Change("refit", (), candidate.spec.pccp.permits("refit"))
    verdict = changes_this_year(candidate, change, now=NOW)
    assert verdict.value == counted
    assert verdict.verdict == ("pass" if counted <= 1 else "fail")


def test_a_damaged_champion_fails_the_gate_and_does_not_stop_it(trained: Trained, tmp_path: Path) -> None:
    candidate = altered(trained, threshold=0.3)
    assert candidate.champion is not None
    place = champion_pointer.warm_place(candidate.settings, COHORT, candidate.champion.digest)
    (place / "bundle.json").write_text("{}")
    (verdict,) = regulatory._change(candidate)
    assert (verdict.criterion, verdict.verdict) == ("change_control", "fail")
    assert "bundle.json" in verdict.reason
