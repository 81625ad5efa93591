"""Every criterion of the regulatory gate passes on a right candidate and fails when its evidence is spoiled."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.cohorts.card_statements import REQUIRED
from clinical_assets.governance.candidate import reproduction
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.recalibration_lineage import origin_of
from clinical_assets.governance.gates.regulatory import gate as regulatory
from clinical_assets.governance.verdicts.verdict import Verdict, summary
from clinical_assets.governance.verdicts.verdict_store import store_verdicts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import TrainingProvenance
from clinical_assets.modelling.bundle.bundle_files import RUN
from clinical_assets.modelling.trainings.card import card_json
from clinical_assets.modelling.trainings.card_files import write_card as write_both
from clinical_assets.modelling.trainings.recalibrated import derive, keep_rows
from clinical_assets.modelling.trainings.reference import read_reference, relation_of
from clinical_assets.warehouse.snapshots.snapshot_files import ReplacedSnapshot, find_snapshot, write_manifest


def write_card(candidate: ReleaseCandidate, **changes: Any) -> None:
    """The card as the asset writes it, or with other parts; None takes one out."""
    write_both(candidate.spec, candidate.training)
    card = {**card_json(candidate.spec, candidate.training.results), **changes}
    kept = {name: value for name, value in card.items() if value is not None}
    (candidate.training.report / "model_card.json").write_text(json.dumps(kept), encoding="utf-8")


@pytest.fixture
def candidate(trained: Trained) -> ReleaseCandidate:
    made = trained.candidate()
    write_card(made)
    return made


@pytest.fixture
def no_reproduction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of other criteria do not pay for a training."""
    came_to = reproduction.Reproduction("equal", "-", "-", (), {}, 0.0)
    monkeypatch.setattr(reproduction, "reproduce", lambda _: came_to)


def judged(candidate: ReleaseCandidate) -> Mapping[str, Verdict]:
    return {verdict.criterion: verdict for verdict in regulatory.evaluate(candidate)}


def edited(candidate: ReleaseCandidate, **provenance: Any) -> ReleaseCandidate:
    """The candidate with another origin in bundle and report."""
    made = {**candidate.bundle.description.provenance.to_json(), **provenance}
    made = {name: value for name, value in made.items() if value is not None}
    stored = TrainingProvenance.model_validate(made)
    description = candidate.bundle.description.model_copy(update={"provenance": stored})
    bundle = replace(candidate.bundle, description=description)
    training = replace(candidate.training, results=candidate.training.results.model_copy(update={"provenance": stored}))
    return replace(candidate, bundle=bundle, training=training)


def test_a_right_candidate_passes_everything_and_its_reproduction_is_kept(candidate: ReleaseCandidate) -> None:
    first = regulatory.evaluate(candidate)
    assert summary(first) == "pass", [verdict.reason for verdict in first if verdict.verdict != "pass"]
    assert {verdict.gate for verdict in first} == {"regulatory"}
    assert not list((candidate.settings.data / "temporary").iterdir())
    made = {verdict.criterion: verdict for verdict in first}["reproducible"]
    assert made.evidence["fresh"] is True
    store_verdicts(
        candidate.records, cohort=COHORT, bundle_digest=candidate.digest, gate="regulatory", verdicts=first,
        actor="a test", run_id=None,
    )  # fmt: skip
    again = judged(candidate)["reproducible"]
    assert (again.verdict, again.evidence["fresh"]) == ("pass", False)
    kept = {**made.evidence, "environment": {**made.evidence["environment"], "python": "2.7"}}
    other = [replace(verdict, evidence=kept) if verdict is made else verdict for verdict in first]
    store_verdicts(
        candidate.records, cohort=COHORT, bundle_digest=candidate.digest, gate="regulatory", verdicts=other,
        actor="a test", run_id=None,
    )  # fmt: skip
    assert regulatory._earlier(candidate) is None


@pytest.mark.usefixtures("no_reproduction")
class TestWithoutReproduction:
    """Criteria that cost no training."""

    def test_a_missing_and_an_unreadable_card_fail(self, candidate: ReleaseCandidate) -> None:
        path = candidate.training.report / "model_card.json"
        path.write_text("{")
        assert judged(candidate)["card_complete"].verdict == "fail"
        path.unlink()
        verdict = judged(candidate)["card_complete"]
        assert (verdict.verdict, "no model card" in verdict.reason) == ("fail", True)

    def test_a_card_without_a_computed_item_fails_and_names_it(self, candidate: ReleaseCandidate) -> None:
        results = candidate.training.results.plain()
        del results["sample_size"]
        results["metrics"] = {name: value for name, value in results["metrics"].items() if name != "auroc"}
        results["subgroups"] = [row for row in results["subgroups"] if row["attribute"] != "sex"]
        write_card(candidate, results=results)
        found = judged(candidate)
        wrong = " ".join(found["card_complete"].evidence["wrong"])
        assert found["card_complete"].verdict == "fail"
        assert all(named in wrong for named in ("sample_size", "auroc", "sex"))
        assert found["card_current"].verdict == "fail"

    def test_a_card_that_is_older_than_the_description_fails(self, candidate: ReleaseCandidate) -> None:
        write_card(candidate, intended_use="Everything.")
        found = judged(candidate)
        assert (found["card_complete"].verdict, found["card_current"].verdict) == ("pass", "fail")
        assert "intended_use" in found["card_current"].reason

    def test_a_markdown_card_that_says_something_else_than_the_json_fails(self, candidate: ReleaseCandidate) -> None:
        assert judged(candidate)["card_current"].verdict == "pass"
        path = candidate.training.report / "model_card.md"
        path.write_text(path.read_text(encoding="utf-8").replace("Patients.", "Everybody."), encoding="utf-8")
        assert "model_card.md" in judged(candidate)["card_current"].reason
        path.unlink()
        assert judged(candidate)["card_complete"].verdict == "fail"

    def test_a_card_on_which_nobody_wrote_is_insufficient_and_names_every_point(self, trained: Trained) -> None:
        trained.describe(card={"users": "TBD"})
        candidate = trained.candidate()
        write_card(candidate)
        verdict = judged(candidate)["card_written_by_person"]
        assert verdict.verdict == "insufficient"
        assert "prediction.horizon_days or card.horizon" in verdict.reason
        for name in REQUIRED:
            assert f"card.{name}" in verdict.reason
        assert "**" not in (candidate.training.report / "model_card.json").read_text(encoding="utf-8")

    def test_a_demonstration_is_an_answer_behind_which_nobody_stands(self, trained: Trained) -> None:
        said = trained.candidate().spec.card
        assert said is not None
        trained.describe(card={**said.model_dump(exclude_none=True), "users": "Demonstration: nobody."})
        candidate = trained.candidate()
        write_card(candidate)
        verdict = judged(candidate)["card_written_by_person"]
        assert verdict.verdict == "insufficient"
        assert "card.users: nobody answers" in verdict.reason
        assert "card.funding" not in verdict.reason

    def test_words_on_the_card_need_a_new_card_and_no_new_training(self, trained: Trained) -> None:
        before = trained.candidate()
        write_card(before)
        said = before.spec.card
        assert said is not None
        trained.describe(card={**said.model_dump(exclude_none=True), "ethics": "Board 7, 2026."})
        told = trained.candidate()
        assert told.spec.training_facts() == before.spec.training_facts()
        found = judged(told)
        assert (found["description_unchanged"].verdict, found["card_current"].verdict) == ("pass", "fail")
        write_card(told)
        assert judged(told)["card_current"].verdict == "pass"

    def test_a_description_without_the_part_keeps_the_digest_that_it_had(self, candidate: ReleaseCandidate) -> None:
        assert "card" in candidate.spec.canonical()
        assert "card" not in candidate.spec.model_copy(update={"card": None}).canonical()

    def test_texts_that_hold_a_place_only_are_no_texts(self, trained: Trained) -> None:
        trained.describe(intended_use="TBD")
        candidate = trained.candidate()
        write_card(candidate)
        found = judged(candidate)
        assert found["card_written_by_person"].verdict == "insufficient"
        assert found["intended_use"].verdict == "fail"

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"data_digest": None}, "data_digest"),
            ({"spec_digest": "sha256:short"}, "spec_digest"),
            ({"snapshots": {}}, "table subjects"),
            ({"libraries": {}}, "libraries"),
            ({"python": ""}, "python"),
        ],
    )
    def test_a_gap_in_the_lineage_fails(self, candidate: ReleaseCandidate, change: Any, named: str) -> None:
        verdict = judged(edited(candidate, **change))["lineage_complete"]
        assert verdict.verdict == "fail"
        assert named in verdict.reason

    def test_a_changed_description_fails_and_says_in_what(self, trained: Trained) -> None:
        trained.describe(limits={"auroc_lower": 0.5}, title="Another title")
        verdict = judged(trained.candidate())["description_unchanged"]
        assert verdict.verdict == "fail"
        assert "title" in verdict.reason
        assert "decisions.limits.auroc_lower" in verdict.reason

    def test_who_signs_is_no_change_of_the_description(self, trained: Trained) -> None:
        trained.describe(approval={"valid_days": 7}, pccp={"reference": "QMS-7"}, monitoring={"minimum_n": 300})
        assert judged(trained.candidate())["description_unchanged"].verdict == "pass"

    def test_a_kept_description_that_was_edited_fails(self, candidate: ReleaseCandidate) -> None:
        path = candidate.training.report / "spec.json"
        path.write_text(path.read_text().replace("Ward patients", "Ward people"))
        assert judged(candidate)["description_kept"].verdict == "fail"

    def test_changed_sql_fails_for_the_statement_that_changed(self, trained: Trained) -> None:
        folder = trained.settings.catalogue[0] / "features"
        folder.mkdir()
        (folder / "declared_columns.sql").write_text(
            "SELECT patient_id, age_years FROM {{ source('subjects') }}\n", encoding="utf-8"
        )
        found = judged(trained.candidate())
        assert (found["features_sql_unchanged"].verdict, found["outcome_sql_unchanged"].verdict) == ("fail", "pass")

    def test_sql_that_no_longer_compiles_fails(self, trained: Trained) -> None:
        folder = trained.settings.catalogue[0] / "outcomes"
        folder.mkdir()
        (folder / "target_class.sql").write_text("SELECT FROM WHERE\n", encoding="utf-8")
        verdict = judged(trained.candidate())["outcome_sql_unchanged"]
        assert (verdict.verdict, "no longer compiles" in verdict.reason) == ("fail", True)

    def test_a_flipped_byte_in_a_snapshot_fails(self, candidate: ReleaseCandidate) -> None:
        path = _snapshot(candidate)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        found = judged(candidate)
        assert found["snapshot_restorable[subjects]"].verdict == "fail"
        assert found["snapshot_restorable[visits]"].verdict == "pass"

    def test_a_snapshot_with_other_rows_under_a_right_manifest_fails(self, candidate: ReleaseCandidate) -> None:
        import polars as pl

        path = _snapshot(candidate)
        pl.read_parquet(path).head(100).write_parquet(path)
        write_manifest(path, rows=100, columns=9)
        assert "digest" in judged(candidate)["snapshot_restorable[subjects]"].reason

    def test_a_snapshot_that_is_gone_fails(self, candidate: ReleaseCandidate) -> None:
        _snapshot(candidate).with_suffix(".json").unlink()
        assert judged(candidate)["snapshot_restorable[subjects]"].verdict == "fail"

    def test_a_snapshot_that_an_erasure_replaced_fails_and_says_retrain(self, candidate: ReleaseCandidate) -> None:
        path = _snapshot(candidate)
        other = path.with_name(f"{'0' * 64}.parquet")
        path.rename(other)
        path.with_suffix(".json").unlink()
        old = candidate.bundle.description.provenance.snapshots["subjects"]
        write_manifest(
            other, rows=900, columns=9, replaces=(ReplacedSnapshot(digest=old, at="2026-03-01T00:00:00+00:00"),)
        )
        verdict = judged(candidate)["snapshot_restorable[subjects]"]
        assert verdict.verdict == "fail"
        assert "erased" in verdict.reason
        assert "Train made_up_ward again" in verdict.reason

    def test_identifiers_in_a_feature_table_fail(self, candidate: ReleaseCandidate) -> None:
        with candidate.warehouse.writer() as connection:
            connection.execute("ALTER TABLE model.features ADD COLUMN email VARCHAR DEFAULT 'ann@ward.example'")
        verdict = judged(candidate)["safe_harbor"]
        assert verdict.verdict == "fail"
        assert "model.features.email" in verdict.reason
        assert "ann@" not in str(verdict)

    def test_ages_over_89_of_real_people_need_a_signature(self, candidate: ReleaseCandidate) -> None:
        found = judged(candidate)["safe_harbor_ages_dates_places"]
        assert (found.verdict, "synthetic" in found.reason) == ("pass", True)
        data = candidate.spec.data.model_copy(update={"kind": "real"})
        real = replace(
            candidate, handle=replace(candidate.handle, described=candidate.spec.model_copy(update={"data": data}))
        )
        found = judged(real)["safe_harbor_ages_dates_places"]
        assert found.verdict == "insufficient"
        assert "model.features.age_years" in found.reason

    def test_without_features_nothing_is_said_to_be_deidentified(self, candidate: ReleaseCandidate) -> None:
        with candidate.warehouse.writer() as connection:
            connection.execute("DROP TABLE model.features")
        assert judged(candidate)["safe_harbor"].verdict == "insufficient"

    def test_an_edited_ledger_fails(self, candidate: ReleaseCandidate) -> None:
        assert judged(candidate)["ledger_intact"].verdict == "pass"
        with sqlite3.connect(candidate.settings.records / "records.sqlite") as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f'DROP TRIGGER "{name}"')
            connection.execute("UPDATE ledger SET actor = 'mallory' WHERE seq = 1")
        verdict = judged(candidate)["ledger_intact"]
        assert (verdict.verdict, verdict.evidence["first_bad"]) == ("fail", 1)


def _snapshot(candidate: ReleaseCandidate) -> Path:
    digest = candidate.bundle.description.provenance.snapshots["subjects"]
    return find_snapshot(COHORT, "subjects", digest, settings=candidate.settings).path


def test_versions_that_differ_make_a_reproduction_incomparable(candidate: ReleaseCandidate) -> None:
    libraries = {**candidate.bundle.description.provenance.libraries, "numpy": "1.0.0"}
    found = reproduction.reproduce(edited(candidate, libraries=libraries, python="3.0.0"))
    assert found.status == "not_comparable"
    assert any("numpy was 1.0.0" in each for each in found.differences)
    assert any("python was 3.0.0" in each for each in found.differences)


def test_without_the_description_of_the_training_nothing_is_compared(trained: Trained) -> None:
    trained.describe(title="Another title")
    candidate = trained.candidate()
    (candidate.training.report / "spec.json").unlink()
    found = reproduction.reproduce(candidate)
    assert (found.status, "description" in found.differences[0]) == ("not_comparable", True)


def test_a_snapshot_that_is_gone_makes_a_reproduction_impossible(candidate: ReleaseCandidate) -> None:
    _snapshot(candidate).with_suffix(".json").unlink()
    assert reproduction.reproduce(candidate).status == "impossible"


def recalibrated(trained: Trained) -> ReleaseCandidate:
    """The newest model, derived from the trained one on later records (its own rows, with shifted outcomes)."""
    import polars as pl

    base = trained.candidate()
    with base.warehouse.reader() as connection:
        matured = read_reference(connection, base.digest).drop("part")
    matured = matured.with_columns(
        pl.when(pl.col("age_years") % 4 == 0).then(1).otherwise(pl.col("outcome")).alias("outcome")
    )
    made = derive(
        base.training, base.spec, matured, kind="intercept", settings=base.settings, run_id="a test", cause="a test"
    )
    with base.warehouse.writer() as connection:
        keep_rows(connection, made.rows, made.training.bundle().digest)
    return trained.candidate()


def test_a_recalibrated_model_is_followed_back_to_its_training(trained: Trained) -> None:
    candidate = recalibrated(trained)
    assert candidate.digest != trained.digest
    found = reproduction.reproduce(candidate)
    assert (found.status, found.found, found.differences) == ("equal", candidate.digest, ())


def test_a_recalibrated_model_with_another_map_than_its_rows_give_is_found_out(trained: Trained) -> None:
    candidate = recalibrated(trained)
    relation = relation_of(candidate.digest)
    with candidate.warehouse.writer() as connection:
        connection.execute(f"UPDATE {relation} SET outcome = 1 - outcome WHERE part = 'train' AND age_years < 50")
    (problem,) = origin_of(candidate).problems
    assert "give another map" in problem
    assert reproduction.reproduce(candidate).status == "different"
    with candidate.warehouse.writer() as connection:
        connection.execute(f"DROP TABLE {relation}")
    assert "not kept" in origin_of(candidate).problems[0]


def test_a_recalibrated_model_that_differs_in_more_than_its_map_is_found_out(trained: Trained) -> None:
    candidate = recalibrated(trained)
    wrong = {**candidate.bundle.description.recalibration.to_json(), "intercepts": [3.0]}
    problems = origin_of(reseal(candidate, threshold=0.9, recalibration=wrong)).problems
    assert "more than the recalibration" in problems[0]
    assert "graph" in problems[1]


def test_a_recalibrated_model_without_its_base_cannot_be_made_again(trained: Trained) -> None:
    candidate, base = recalibrated(trained), trained.digest
    shutil.rmtree(trained.training.folder)
    found = reproduction.reproduce(candidate)
    assert (found.status, base in found.differences[0]) == ("impossible", True)


def test_another_model_than_the_snapshots_give_is_found_out(candidate: ReleaseCandidate) -> None:
    """A bundle that was sealed again around other numbers has a right manifest, and no training that leads to it."""
    forged = reseal(candidate, threshold=0.123)
    run = json.loads((forged.bundle.folder / RUN).read_text())
    found = reproduction.reproduce(forged)
    assert found.status == "different"
    assert found.found == candidate.digest
    assert found.differences == ("bundle.json differs in threshold",)
    (forged.bundle.folder / RUN).write_text(json.dumps({**run, "processor": "another one"}))
    apart = reproduction.reproduce(forged)
    assert apart.status == "not_comparable"
    assert any("processor was another one" in each for each in apart.differences)


def reseal(candidate: ReleaseCandidate, /, **description: Any) -> ReleaseCandidate:
    """The bundle with other words in its description, under a manifest that is right again."""
    folder = candidate.bundle.folder
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **description}), encoding="utf-8")
    (folder / "manifest.json").unlink()
    run = (folder / RUN).read_bytes()
    (folder / RUN).unlink()
    bundle = Bundle._seal(folder)
    (folder / RUN).write_bytes(run)
    return replace(candidate, bundle=bundle)
