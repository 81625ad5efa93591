"""Words of notes: weighed as scikit-learn weighs them, the same in pipeline, plain arrays and graph."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from clinical_assets.modelling.bundle.graph.onnx_graph import FEATURES, build_graph
from clinical_assets.modelling.bundle.scorer import session_of
from clinical_assets.modelling.search.candidates import build, fit, raw_risk, without_sampler
from clinical_assets.modelling.search.kinds import kind_of
from clinical_assets.modelling.search.recalibration import IDENTITY
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.modelling.table.word_weights import WordBlock, learn_words, shared_scale

WORDS = ("seizure", "tone", "squint", "rare", "speech")


def notes(n: int, seed: int) -> list[str]:
    """Notes in which the commonest word stands in half and the rarest in two."""
    random = np.random.default_rng(seed)
    shares = (0.5, 0.3, 0.2, 0.0, 0.1)
    found = [
        [word for word, share in zip(WORDS, shares, strict=True) for _ in range(random.binomial(2, share))]
        for _ in range(n)
    ]
    found[0] += ["rare"]
    found[1] += ["rare"]
    return [" ".join(words) for words in found]


def counted(texts: list[str]) -> np.ndarray:
    return np.array([[text.split().count(word) for word in WORDS] for text in texts], dtype=float)


def test_weights_are_those_of_scikit_learns_tfidf() -> None:
    trained, new = notes(200, 1), [*notes(30, 2), ""]
    theirs = TfidfVectorizer(min_df=5).fit(trained)
    mine = learn_words(counted(trained), WordBlock(tuple(range(len(WORDS))), minimum=5))
    assert set(theirs.vocabulary_) == set(WORDS) - {"rare"}
    order = [WORDS.index(word) for word in theirs.get_feature_names_out()]
    assert mine.apply(counted(new))[:, order] == pytest.approx(theirs.transform(new).toarray(), abs=1e-14)
    assert mine.weights[WORDS.index("rare")] == 0.0


@pytest.mark.parametrize("name", ["logistic_ridge", "lightgbm", "xgboost"])
@pytest.mark.parametrize("imbalance", ["none", "smote"])
def test_pipeline_stored_steps_and_graph_give_one_risk(name: str, imbalance: str) -> None:
    random = np.random.default_rng(3)
    X = np.column_stack([random.normal(size=300), counted(notes(300, 4))])
    y = (random.random(300) < 1 / (1 + np.exp(-X[:, 0] - 2 * X[:, 1] + X[:, 2]))).astype(np.int64)
    X[random.random(300) < 0.1, 0] = np.nan
    kind = replace(kind_of(name), words=(WordBlock((1, 2, 3, 4, 5), minimum=5),), n_features=6)
    pipeline = fit(build(kind, kind.start(len(y)), n_classes=2, imbalance=imbalance), X, y, imbalance=imbalance)
    pipeline = without_sampler(pipeline)
    new = np.vstack([X[:40], [[0.1, 0, 0, 0, 0, 0]], [[np.nan, 0, 0, 0, 7, 0]], [[0.1, *[np.nan] * 5]]])
    expected = raw_risk(pipeline.predict_proba(new), floor=kind.floor)
    preparation = Preparation.from_json(json.loads(json.dumps(Preparation.of(pipeline, n_features=6).to_json())))
    stored = pipeline[-1].predict_proba(preparation.apply(new).astype(np.float32 if kind.single else np.float64))
    assert raw_risk(stored, floor=kind.floor) == pytest.approx(expected, abs=1e-6)
    graph = build_graph(pipeline[-1], preparation, IDENTITY, floor=kind.floor, n_classes=2)
    (risk,) = session_of(graph.SerializeToString()).run(None, {FEATURES: new})
    assert risk == pytest.approx(expected, abs=1e-6)
    assert np.ptp(expected) > 0.2
    # A word that too few training rows say tells nothing, however often it is said.
    twice = np.vstack([[0.1, 1, 0, 0, 0, 0], [0.1, 1, 0, 0, 9, 0]])
    assert np.ptp(pipeline.predict_proba(twice)[:, 1]) == pytest.approx(0, abs=1e-9)


def test_words_keep_their_ratio_of_spreads_and_other_columns_are_standardised() -> None:
    random = np.random.default_rng(5)
    X = np.column_stack([random.normal(3, 9, 500), random.normal(size=500), random.normal(0, 0.1, 500), np.ones(500)])
    scaled = shared_scale((1, 2), 4).fit(X).transform(X)
    assert scaled.shape == (500, 3)
    assert scaled.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert scaled[:, 0].std() == pytest.approx(1)
    assert scaled[:, 1].std() / scaled[:, 2].std() == pytest.approx(X[:, 1].std() / X[:, 2].std())
    assert (scaled[:, 1:].std(axis=0) ** 2).mean() == pytest.approx(1)
