"""A bundle scores and explains like the pipeline it was made from, and notices every changed byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from sklearn.neighbors import NearestCentroid

from assets_tests.worlds.tables.survival import BY_CLASS, target_for
from assets_tests.worlds.tables.training import made_up, make_spec
from assets_tests.worlds.ward.bundle_facts import made_up_facts
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.modelling.bundle import rehearsal
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.bundle.graph.onnx_graph import build_graph
from clinical_assets.modelling.bundle.rehearsal import rehearse_export
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.kinds import KINDS
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.search.uncertainty import RiskUncertainty
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.statistics.calibration.logistic import logit

NAMES = tuple(f"f{i}" for i in range(8))


@dataclass(frozen=True)
class Model:
    """A fitted candidate with a recalibration that is not the identity."""

    name: str
    pipeline: Any
    recalibration: Recalibration
    classes: tuple[str, ...]
    imbalance: str = "none"
    feature_columns: tuple[str, ...] = NAMES

    @property
    def uncertainty(self) -> RiskUncertainty:
        return RiskUncertainty(None, "It was not fitted by a training.")

    @property
    def parameters(self) -> dict[str, Any]:
        return start(self.name, 400)

    @property
    def floor(self) -> float:
        return candidates.floor_of(self.name)


def _rows(n: int = 400, *, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(n, len(NAMES))) * 10.0 ** np.arange(-3, 5)
    latent = X @ (10.0 ** -np.arange(-3, 5)) * np.array(1.0) + rng.normal(size=n)
    y = np.digitize(latent, np.quantile(latent, np.linspace(0, 1, classes + 1)[1:-1]))
    X[:, 6] = np.round(X[:, 6])
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 7] = 5.0  # a column that never varies
    return X, y.astype(np.int64)


def _model(name: str, *, classes: int = 2, imbalance: str = "none") -> tuple[Model, np.ndarray]:
    X, y = _rows(classes=classes)
    pipeline = candidates.build(
        name, start(name, len(y)), n_classes=classes, imbalance=imbalance, seed=3, minority=int(np.bincount(y).min())
    )
    candidates.fit(pipeline, X, target_for(name, y), imbalance=imbalance)
    pairs = classes - 1
    maps = Recalibration(tuple(0.3 - 0.2 * k for k in range(pairs)), tuple(0.8 + 0.1 * k for k in range(pairs)))
    labels = tuple(f"grade {k}" for k in range(classes))
    return Model(name, candidates.without_sampler(pipeline), maps, labels, imbalance), X


def _write(folder: Path, model: Model, X: np.ndarray) -> Bundle:
    return Bundle.write(folder, model, X=X, statement="SELECT 1", facts=made_up_facts(), run={"run_id": "a"})


@pytest.fixture
def ridge(tmp_path: Path) -> tuple[Bundle, np.ndarray]:
    model, X = _model("logistic_ridge")
    return _write(tmp_path / "bundle", model, X), X


@pytest.mark.parametrize(
    ("name", "imbalance"),
    [
        *((name, "none") for name in candidates.SIMPLICITY),
        *((name, each) for name in BY_CLASS for each in ("class_weight", "smote")),
    ],
)
def test_scores_equal_the_pipeline_and_contributions_add_up(tmp_path: Path, name: str, imbalance: str) -> None:
    model, X = _model(name, imbalance=imbalance)
    bundle = _write(tmp_path / "bundle", model, X)
    fitted = model.recalibration.apply(candidates.raw_risk(model.pipeline.predict_proba(X), floor=model.floor))
    assert np.abs(bundle.score(X) - fitted).max() < 1e-5
    told = bundle.explain(X[:40])
    assert np.abs(told.base + told.contributions.sum(axis=1) - logit(bundle.score(X[:40]))).max() < 1e-4


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.single])
def test_trees_see_in_training_what_their_graph_sees(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(1)
    X, y = _rows(2_000)
    # Whole numbers of nine digits merge in single precision, and neighbours of it stand next to every split.
    X[:, 0] = 2.0**26 + rng.integers(0, 90, len(y))
    X[:, 1] = np.float64(np.float32(50)) + rng.integers(0, 40, len(y)) * np.spacing(np.float32(50))
    y = (rng.random(len(y)) < 0.2 + 0.6 * (X[:, 0] % 16 > 8) * (rng.integers(0, 40, len(y)) > 8)).astype(np.int64)
    setting = start(name, len(y)) | ({"n_estimators": 150, "num_leaves": 31} if name == "lightgbm" else {})
    target = target_for(name, y)
    pipeline = candidates.fit(candidates.build(name, setting, n_classes=2, seed=3), X, target, imbalance="none")
    model = Model(name, pipeline, Recalibration((0.0,), (1.0,)), ("no", "yes"))
    # Writing compares graph and pipeline; single precision leaves 1e-7 of a risk where no value changes its side.
    bundle = _write(tmp_path / "bundle", model, X)
    fitted = candidates.raw_risk(pipeline.predict_proba(X), floor=candidates.floor_of(name))
    assert np.abs(bundle.score(X) - fitted).max() < 2e-6
    told = bundle.explain(X[:300])
    if KINDS[name].explanation != "paths":  # sampled orders of columns close by themselves
        assert np.abs(told.base + told.contributions.sum(axis=1) - logit(fitted[:300])).max() < 1e-4


@pytest.mark.parametrize("name", candidates.SIMPLICITY)
def test_no_graph_holds_a_row_that_it_was_fitted_on(tmp_path: Path, name: str) -> None:
    model, X = _model(name)
    graph = onnx.load(_write(tmp_path / "bundle", model, X).folder / "model.onnx").graph
    arrays = [onnx.numpy_helper.to_array(each) for each in graph.initializer]
    for each in (attribute for node in graph.node for attribute in node.attribute):
        arrays += [np.asarray(each.floats)] + ([onnx.numpy_helper.to_array(each.t)] if each.t.dims else [])
    held = b"".join(array.astype(np.float32).tobytes() for array in arrays if array.dtype.kind == "f")
    # As the model saw them; where a value was missing its median stands in the graph by right.
    rows = np.asarray(model.pipeline[:-1].transform(X), dtype=np.float32)[~np.isnan(X).any(axis=1), :3]
    assert len(rows) > 100
    assert sum(row.tobytes() in held for row in rows) == 0, "people's values would leave with the bundle"


def test_a_model_without_a_converter_is_refused_with_its_name_and_a_cure() -> None:
    model, X = _model("logistic_ridge")
    preparation = Preparation.of(model.pipeline, n_features=X.shape[1])
    estimator = NearestCentroid().fit(model.pipeline[:-1].transform(X), _rows()[1])
    with pytest.raises(ClinicalAssetsError, match="NearestCentroid has no converter to ONNX") as refused:
        build_graph(estimator, preparation, model.recalibration, floor=0.001, n_classes=2)
    assert "modelling.candidates" in str(refused.value.cure)


def test_a_graph_that_disagrees_is_found_before_the_search_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    table, spec = made_up(200), make_spec(candidates=("logistic_ridge", "lightgbm"), trials=1)
    train_cohort(table, spec, rehearse=rehearse_export, progress=lambda *_: searched.append("x"))
    assert searched
    searched.clear()
    whole = rehearsal.build_graph
    # A converter that forgets where risks end.
    monkeypatch.setattr(rehearsal, "build_graph", lambda *given, **named: whole(*given, **{**named, "floor": 0.3}))
    with pytest.raises(BundleError, match=r"^logistic_ridge: .* differ by up to"):
        train_cohort(table, spec, rehearse=rehearse_export, progress=lambda *_: searched.append("x"))
    assert not searched


@pytest.mark.parametrize("name", BY_CLASS)
def test_more_than_two_classes_are_scored_and_explained_alike(tmp_path: Path, name: str) -> None:
    model, X = _model(name, classes=3)
    bundle = _write(tmp_path / "bundle", model, X)
    fitted = model.recalibration.apply(candidates.raw_risk(model.pipeline.predict_proba(X), floor=model.floor))
    scores = bundle.score(X)
    assert np.abs(scores - fitted).max() < 1e-5
    assert np.allclose(scores.sum(axis=1), 1)
    told = bundle.explain(X[:5])
    assert told.contributions.shape == (5, len(NAMES), 3)
    assert np.abs(told.base + told.contributions.sum(axis=1) - logit(scores[:5])).max() < 1e-4


def test_tree_contributions_are_those_of_the_library_itself(tmp_path: Path) -> None:
    model, X = _model("lightgbm")
    bundle = _write(tmp_path / "bundle", model, X)
    native = model.pipeline[-1].booster_.predict(X, pred_contrib=True)[:, :-1]
    assert np.allclose(bundle.explain(X).contributions, model.recalibration.slope * native, atol=1e-4)


def test_a_feature_that_the_model_never_saw_vary_contributes_nothing(ridge: tuple[Bundle, np.ndarray]) -> None:
    bundle, X = ridge
    assert np.abs(bundle.explain(X).contributions[:, 7]).max() < 1e-5


def test_two_equal_trainings_give_one_digest_and_other_runs_do_not_count(tmp_path: Path) -> None:
    model, X = _model("xgboost")
    first = _write(tmp_path / "one", model, X)
    again, _ = _model("xgboost")
    second = Bundle.write(
        tmp_path / "two", again, X=X, statement="SELECT 1", facts=made_up_facts(), run={"run_id": "b"}
    )
    assert first.digest == second.digest


def test_the_same_folder_is_written_twice_only_with_the_same_content(tmp_path: Path) -> None:
    model, X = _model("logistic_ridge")
    first = _write(tmp_path / "bundle", model, X)
    assert _write(tmp_path / "bundle", model, X).digest == first.digest
    other, _ = _model("naive_bayes")
    with pytest.raises(BundleError, match="another bundle"):
        _write(tmp_path / "bundle", other, X)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_bundles_named_by_their_digest_lie_beside_one_another_and_equal_ones_in_one_place(tmp_path: Path) -> None:
    model, X = _model("logistic_ridge")
    first, again, other = (
        Bundle.write(tmp_path, model, X=X, statement=statement, facts=made_up_facts(), by_digest=True)
        for statement in ("SELECT 1", "SELECT 1", "SELECT 2")
    )
    assert first.folder == again.folder == tmp_path / first.digest.removeprefix("sha256:")[:16] / "bundle"
    assert other.folder.parent.parent == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {first.folder.parent.name, other.folder.parent.name}
    )


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "features.sql"])
def test_one_flipped_bit_is_found_and_named(ridge: tuple[Bundle, np.ndarray], name: str) -> None:
    path = ridge[0].folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} was changed"):
        Bundle.load(ridge[0].folder)


def test_an_added_file_is_found(ridge: tuple[Bundle, np.ndarray]) -> None:
    (ridge[0].folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"extra\.bin"):
        Bundle.load(ridge[0].folder)


def test_a_frame_is_read_by_name_and_null_is_missing(ridge: tuple[Bundle, np.ndarray]) -> None:
    bundle, X = ridge
    frame = pl.DataFrame(X, schema=list(NAMES)).fill_nan(None).select(reversed(NAMES))
    assert np.array_equal(bundle.score(frame), bundle.score(X))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop("f2"), "lack f2"),
        (lambda f: f.with_columns(f3=pl.lit("a")), "f3 is no number"),
        (lambda f: f.with_columns(f4=pl.lit(float("inf"))), "f4 holds an infinite value"),
    ],
)
def test_features_that_no_model_can_read_are_refused_by_name(ridge: tuple[Bundle, np.ndarray], change, said) -> None:
    bundle, X = ridge
    with pytest.raises(BundleError, match=said):
        bundle.score(change(pl.DataFrame(X, schema=list(NAMES))))


@pytest.mark.parametrize(
    ("name", "classes"), [*((name, 2) for name in candidates.SIMPLICITY), *((name, 3) for name in BY_CLASS)]
)
def test_a_row_scores_alike_alone_and_in_any_company(tmp_path: Path, name: str, classes: int) -> None:
    model, X = _model(name, classes=classes)
    bundle = _write(tmp_path / "bundle", model, X)
    whole = bundle.score(X)
    for rows in (1, 2, 3, 7, 16, 65):
        parts = [bundle.score(X[start : start + rows]) for start in range(0, len(X), rows)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(bundle.score, np.array_split(X, 40)))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        *((name, k) for name in ("logistic_ridge", "logistic_elastic_net", "naive_bayes") for k in (2, 3)),
        ("cox_ridge", 2),
        ("fine_gray", 2),
    ],
)
def test_linear_models_and_naive_bayes_keep_double_precision(tmp_path: Path, name: str, classes: int) -> None:
    model, X = _model(name, classes=classes)
    fitted = model.recalibration.apply(candidates.raw_risk(model.pipeline.predict_proba(X), floor=model.floor))
    np.testing.assert_allclose(_write(tmp_path / "bundle", model, X).score(X), fitted, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "imbalance"), [("xgboost", "none"), ("xgboost", "smote"), ("xgboost_survival", "none")]
)
def test_xgboost_scores_as_in_the_training_to_the_last_bit(tmp_path: Path, name: str, imbalance: str) -> None:
    model, X = _model(name, imbalance=imbalance)
    fitted = model.recalibration.apply(candidates.raw_risk(model.pipeline.predict_proba(X), floor=model.floor))
    np.testing.assert_array_equal(_write(tmp_path / "bundle", model, X).score(X), fitted)


def test_a_booster_that_is_not_the_graphs_is_refused_when_it_scores(tmp_path: Path) -> None:
    model, X = _model("xgboost")
    good = _write(tmp_path / "good", model, X)
    opposite = candidates.build("xgboost", start("xgboost", len(X)), n_classes=2, seed=3)
    candidates.fit(opposite, X, 1 - _rows()[1], imbalance="none")
    other = replace(model, pipeline=opposite)
    work = tmp_path / "work"
    shutil.copytree(good.folder, work, ignore=shutil.ignore_patterns("manifest.json", "run.json"))
    shutil.copyfile(_write(tmp_path / "other", other, X).folder / "booster.json", work / "booster.json")
    mixed = Bundle.seal_and_move(work, tmp_path, run={})
    with pytest.raises(BundleError, match=r"xgboost: .* differ by up to 0\.\d+ in risk"):
        mixed.score(X)
    with pytest.raises(BundleError, match="differ by"):
        mixed.score(X[:1])


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.single])
def test_no_pickle_is_written_or_loaded_on_the_way_to_serving(tmp_path: Path, name: str) -> None:
    model, X = _model(name)
    seen: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith("pickle."):
            seen.append(f"{event} {arguments}")

    sys.addaudithook(hook)  # cannot be removed; the flag silences it
    folder = _write(tmp_path / "bundle", model, X).folder
    bundle = Bundle.load(folder)
    bundle.score(X)
    bundle.explain(X[:3])
    watching = False
    assert not seen
    assert {path.suffix for path in folder.iterdir()} <= {".onnx", ".json", ".sql", ".txt"}
    opcodes_of_pickle = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    assert not any(path.read_bytes().startswith(opcodes_of_pickle) for path in folder.iterdir())


def test_scoring_writes_nothing_outside_and_reports_to_nobody(ridge, tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    code = (
        "import sys; from pathlib import Path; import numpy as np; "
        "from clinical_assets.modelling.bundle.bundle import Bundle; "
        "bundle = Bundle.load(Path(sys.argv[1])); bundle.score(np.zeros((1, 8)))"
    )
    environment = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path.cwd()),
    }
    subprocess.run([sys.executable, "-c", code, str(ridge[0].folder)], check=True, env=environment)
    assert [str(path) for folder in (home, temporary) for path in folder.rglob("*")] == []


def test_the_description_is_plain_json_with_everything_a_server_needs(ridge: tuple[Bundle, np.ndarray]) -> None:
    stored = json.loads((ridge[0].folder / "bundle.json").read_text())
    assert {"cohort", "feature_columns", "classes", "recalibration", "preparation", "typical_row"} <= set(stored)
