"""A study is one MLflow run that names no person, keeps its models and can be repeated from what it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assets_tests.worlds.descriptions import paired
from assets_tests.worlds.tables.shipped import own_settings
from clinical_assets.cohorts.paired.paired import PairedCohortSpec
from clinical_assets.modelling.tracking.mlflow_runs import open_run
from clinical_assets.pathways.experiments.input_archive import (
    ArchivedInput,
    ArchiveError,
    archive_inputs,
    restore_inputs,
)
from clinical_assets.pathways.experiments.kept_studies import KeptStudyError, differences, kept_studies, one_study
from clinical_assets.pathways.experiments.portable_models import PortableModelError, portable_model, score_with
from clinical_assets.pathways.experiments.tracked_study import record_study
from clinical_assets.pathways.study.designs import StudyData
from clinical_assets.pathways.study.study import Budget, micro_cohort_study
from clinical_assets.pathways.study.study_results import StudyResult
from clinical_assets.pathways.study.sweep import Booster, Family, Forest, Logistic

FAMILIES: tuple[Family, ...] = (
    Forest(n_estimators=(5,), max_features=("sqrt",), criterion=("gini",), max_depth=(5,)),
    Logistic(c=(0.1, 1.0)),
    Booster(n_estimators=(5,), max_depth=(1,)),
)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_model_without_a_pickle_scores_a_subject_that_the_study_has_not_seen(data: StudyData, family: Family) -> None:
    design = data.design("pathways")
    seen = np.arange(15)
    graph, about = portable_model(design.rows(seen), data.y[seen], family, family.configurations[0], seed=3)
    expected = family.predict_one(family.configurations[0], design.x[:15], data.y[:15], design.x[15:], seed=3)
    back = np.arange(len(design.features))[::-1]
    names = [design.features[i] for i in back]
    np.testing.assert_allclose(score_with(graph, about, names, design.x[15:][:, back]), expected, atol=1e-6)
    assert portable_model(design.rows(seen), data.y[seen], family, family.configurations[0], seed=3)[0] == graph
    with pytest.raises(PortableModelError, match="1 features of the model are missing"):
        score_with(graph, about, names[1:], design.x[15:][:, back[1:]])


def described(folder: Path) -> PairedCohortSpec:
    (folder / "sub").mkdir(parents=True)
    for name in ("sub/m.csv", "s.csv", "sets.gmt"):
        (folder / name).write_text(f"content of {name}", encoding="utf-8")
    return PairedCohortSpec.model_validate(
        paired("pairs", expression={"kind": "file", "matrix": "sub/m.csv", "samples": "s.csv"})
    )


def test_inputs_are_kept_under_their_digest_and_given_back_whole(tmp_path: Path) -> None:
    spec = described(tmp_path / "in")
    kept = archive_inputs(spec, tmp_path / "in", cohort_folder=tmp_path / "state")
    assert [one.path for one in kept] == ["sub/m.csv", "s.csv", "sets.gmt"]
    (tmp_path / "in" / "s.csv").write_text("another sheet", encoding="utf-8")
    again = archive_inputs(spec, tmp_path / "in", cohort_folder=tmp_path / "state")
    assert [a == b for a, b in zip(kept, again, strict=True)] == [True, False, True]
    restore_inputs(kept, cohort_folder=tmp_path / "state", into=tmp_path / "out")
    assert (tmp_path / "out" / "s.csv").read_text(encoding="utf-8") == "content of s.csv"
    archived = tmp_path / "state" / "inputs" / kept[0].sha256
    archived.write_text("changed by hand", encoding="utf-8")
    with pytest.raises(ArchiveError, match=r"'sub/m\.csv' is not what its digest says"):
        restore_inputs(kept, cohort_folder=tmp_path / "state", into=tmp_path / "out")
    archived.unlink()
    with pytest.raises(ArchiveError, match="not in the archive any more"):
        restore_inputs(kept, cohort_folder=tmp_path / "state", into=tmp_path / "out")
    with pytest.raises(ArchiveError, match="leads out"):
        restore_inputs((ArchivedInput("../x", "0" * 64, 1),), cohort_folder=tmp_path, into=tmp_path / "out")


@pytest.fixture(scope="module")
def result(data: StudyData) -> StudyResult:
    return micro_cohort_study(data, budget=Budget(families=FAMILIES, permutations=0), seed=1)


def test_every_configuration_is_a_nested_run_and_studies_of_all_runs_stay(
    data: StudyData, result: StudyResult, tmp_path: Path
) -> None:
    settings = own_settings(tmp_path / "data")
    for number, scores in enumerate(("sha256:a", "sha256:b")):
        run = open_run(settings, cohort="pairs", dagster_run_id=f"run{number}", synthetic=True)
        record_study(
            run,
            data,
            result,
            FAMILIES,
            digests={"study": "sha256:s", "scores": scores},
            description="name: pairs\n",
            inputs=(ArchivedInput("m.csv", "0" * 64, 3),),
            facts="{}",
            pictures={"precision and recall, random forest": b"png"},
            plan={"folds": 5},
            report="<p>page</p>",
        )
        run.close("FINISHED")
    newest, oldest = kept_studies(settings, ["pairs", "never run"])
    assert newest.started >= oldest.started
    assert newest.synthetic
    assert newest.headline == result.headline()
    row = result.rows[0]
    recall = newest.metrics["one_transcriptome/random_forest/left_out/recall"]
    assert recall == row.honest.performance.recall.value
    changed = differences(oldest, newest)
    assert changed == {"scores digest": ("sha256:a", "sha256:b")}
    with pytest.raises(KeptStudyError, match="0 studies have a run id"):
        one_study([newest, oldest], "zzz")
    client = run.client
    nested = client.search_runs([run.experiment], f"tags.`mlflow.parentRunId` = '{run.run_id}'")
    assert len(nested) == 4 * sum(len(family.configurations) for family in FAMILIES)
    chosen = [one for one in nested if one.data.tags["chosen"] == "yes"]
    assert len(chosen) == len(result.rows)
    for one in chosen:
        study = next(
            row.study
            for row in result.rows
            if (row.design, row.family) == (one.data.params["design"], one.data.params["family"])
        )
        measured = one.data.metrics["balanced_accuracy"]
        assert measured == study.cross_validated.balanced_accuracy.value
        assert one.data.metrics["seconds"] > 0
    history = client.get_metric_history(run.run_id, "importance/pathways/random_forest")
    values = [point.value for point in sorted(history, key=lambda point: point.step)]
    assert values == sorted(values, reverse=True)
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file() and path.suffix in (".json", ".csv", ".yaml"):
            assert not any(subject in path.read_text(encoding="utf-8") for subject in data.subjects)
