"""Severity of rare diseases: alone or together, with wrong labels, with and without notes.

    python -m benchmarks.rare_diseases [--repeats 20]

Synthetic cases of the generator `disease_severity` (its docstring holds the model), a logistic model of "severe or
profound", tested on 4,000 cases of papers that it has not seen. Prints three tables:

- cases per rare disease in training (5, 10, 20, 50) against the AUROC on that disease: trained on it alone, on all
  diseases without knowing which is which, and on all with the disease's mean outcome partially pooled or unpooled;
- share of wrong grades (0 to 20 %) against the AUROC on right grades, and with all cases or without those that
  cleanlab doubts;
- signs as coded, notes as TF-IDF, and both.

Intervals are 2.5 and 97.5 percentiles over repeats, each with another seed.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clinical_assets.modelling.table.pooling import learn, pooling_step
from clinical_assets.sources.synthetic.registry import generate
from clinical_assets.sources.synthetic.severity import GRADES, SIGNS, moved_to_neighbours

CASES = (5, 10, 20, 50)
NOISE = (0.0, 0.05, 0.1, 0.2)
RARE = 12
PICTURE = Path("docs/pictures/rare_diseases.png")


def table(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
    """Features (disease last), true grades 0 to 4 and the cases."""
    made = generate("disease_severity", seed=seed, parameters={"rows": rows, "diseases": 40, "label_noise": 0.0})
    cases = made["cases"]
    wide = (
        made["signs"]
        .filter("is_observed")
        .with_columns(one=pl.lit(1.0))
        .pivot("sign", index="case_id", values="one", aggregate_function="first")
    )
    rows_ = cases.join(wide, on="case_id", how="left", maintain_order="left")
    signs = np.column_stack([rows_[sign.code].fill_null(0).to_numpy() for sign in SIGNS])
    onset = np.log1p(cases["onset_years"].to_numpy())
    both = (cases["zygosity"] == "biallelic").to_numpy().astype(float)
    disease = cases["disease_id"].str.slice(4).cast(pl.Float64).to_numpy()
    y = cases["severity"].replace_strict(GRADES, range(5)).to_numpy()
    return np.column_stack([signs, onset, both, disease]), y, cases


def ridge(X: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Risks of a penalised logistic model."""
    if np.unique(y).size < 2:
        return lambda Z: np.full(len(Z), float(y.mean()))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)).fit(X, y)
    return lambda Z: model.predict_proba(Z)[:, 1]


def curves(repeats: int) -> pl.DataFrame:
    """AUROC on rare diseases by cases in training and by way of training."""
    found = []
    for repeat in range(repeats):
        X, grade, cases = table(repeat, 12_000)
        y, disease, place = (grade >= 3).astype(int), X[:, -1], X.shape[1] - 1
        random = np.random.default_rng(repeat)
        paper = cases["paper"].to_numpy()
        held = np.isin(paper, random.permutation(np.unique(paper))[: np.unique(paper).size // 2])
        sizes = {each: int(((disease == each) & ~held).sum()) for each in np.unique(disease)}
        rare = [each for each, size in sizes.items() if size >= max(CASES)][-RARE:]
        common = np.flatnonzero(~held & ~np.isin(disease, rare))
        for count in CASES:
            few = [random.permutation(np.flatnonzero((disease == each) & ~held))[:count] for each in rare]
            train = np.concatenate([common, *few])
            step = pooling_step((place,), seed=repeat)
            pooled = ridge(step.fit_transform(X[train], y[train]), y[train])
            unpooled = own_means(X[train], y[train], place)
            means = ridge(unpooled(X[train]), y[train])
            blind = ridge(X[train][:, :-1], y[train])
            for each, mine in zip(rare, few, strict=True):
                test = held & (disease == each)
                if np.unique(y[test]).size < 2:
                    continue
                alone = ridge(X[mine][:, :-1], y[mine])
                risks = {
                    "alone": alone(X[test][:, :-1]),
                    "all, disease unknown": blind(X[test][:, :-1]),
                    "all, own mean": means(unpooled(X[test])),
                    "all, pooled": pooled(step.transform(X[test])),
                }
                for way, risk in risks.items():
                    brier = float(((risk - y[test]) ** 2).mean())
                    found.append((repeat, count, way, roc_auc_score(y[test], risk), brier))
    return pl.DataFrame(found, schema=["repeat", "cases", "way", "auroc", "brier"], orient="row")


def own_means(X: np.ndarray, y: np.ndarray, place: int) -> Callable[[np.ndarray], np.ndarray]:
    """Puts each disease's own mean in its place, however few its cases."""
    pooled = learn(X, y, place)
    known = np.asarray(pooled.groups)
    own = np.array([y[X[:, place] == each].mean() for each in known])

    def apply(Z: np.ndarray) -> np.ndarray:
        values = Z.copy()
        values[:, place] = own[np.searchsorted(known, Z[:, place])]
        return values

    return apply


def noise(repeats: int) -> pl.DataFrame:
    """AUROC on right grades by share of wrong ones in training."""
    from cleanlab.filter import find_label_issues
    from sklearn.model_selection import cross_val_predict

    found = []
    for repeat in range(repeats):
        X, grade, cases = table(1000 + repeat, 4000)
        X, random = X[:, :-1], np.random.default_rng(repeat)
        paper = cases["paper"].to_numpy()
        held = np.isin(paper, random.permutation(np.unique(paper))[: np.unique(paper).size // 3])
        right = (grade >= 3).astype(int)
        for share in NOISE:
            given = moved_to_neighbours(grade, share, 5, np.random.default_rng(repeat)) >= 3
            train, y = ~held, given.astype(int)
            plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
            p = cross_val_predict(plain, X[train], y[train], cv=5, method="predict_proba")
            doubt = find_label_issues(y[train], p)
            kept = np.flatnonzero(train)[~doubt]
            for way, rows in (("all cases", np.flatnonzero(train)), ("without doubted", kept)):
                risk = ridge(X[rows], y[rows])(X[held])
                wrong = float((right[train] != y[train]).mean())
                found.append((share, wrong, float(doubt.mean()), way, roc_auc_score(right[held], risk)))
    return pl.DataFrame(found, schema=["noise", "crossed", "doubted", "way", "auroc"], orient="row")


def notes(repeats: int) -> pl.DataFrame:
    """AUROC with signs as coded, and with notes as TF-IDF beside them or alone."""
    from scipy.sparse import csr_array, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = []
    for repeat in range(repeats):
        X, grade, cases = table(2000 + repeat, 3000)
        X, y, random = X[:, :-1], (grade >= 3).astype(int), np.random.default_rng(repeat)
        paper = cases["paper"].to_numpy()
        held = np.isin(paper, random.permutation(np.unique(paper))[: np.unique(paper).size // 3])
        text = cases["note"].to_numpy()
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=5).fit(text[~held])
        coded = StandardScaler().fit(X[~held])
        parts = {
            "coded": lambda rows, c=coded, X=X: csr_array(c.transform(X[rows])),
            "TF-IDF": lambda rows, w=words, t=text: w.transform(t[rows]),
        }
        parts["coded and TF-IDF"] = lambda rows, p=dict(parts): hstack([p["coded"](rows), p["TF-IDF"](rows)])
        for way, made in parts.items():
            model = LogisticRegression(C=0.1 if way == "coded" else 1.0, max_iter=1000).fit(made(~held), y[~held])
            found.append((way, roc_auc_score(y[held], model.predict_proba(made(held))[:, 1])))
    return pl.DataFrame(found, schema=["way", "auroc"], orient="row")


def summary(frame: pl.DataFrame, by: list[str], value: str = "auroc") -> pl.DataFrame:
    """Mean and percentiles over repeats."""
    column = pl.col(value)
    return frame.group_by(by, maintain_order=True).agg(
        column.mean().round(3),
        column.quantile(0.025).round(3).alias("low"),
        column.quantile(0.975).round(3).alias("high"),
    )


def draw(frame: pl.DataFrame) -> None:
    """The learning curves as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for axis, value, label in zip(axes, ("auroc", "brier"), ("AUROC", "Brier score"), strict=True):
        for way in frame["way"].unique(maintain_order=True):
            mine = frame.filter(way=way).group_by("cases", maintain_order=True).agg(pl.col(value).mean())
            axis.plot(mine["cases"], mine[value], marker="o", label=way)
        axis.set(xscale="log", xticks=CASES, xticklabels=CASES, xlabel="cases of the disease in training", ylabel=label)
        axis.minorticks_off()
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle("SYNTHETIC: severe or profound in rare diseases, on papers not seen", fontsize=10)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Print the tables and draw the picture."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    with pl.Config(tbl_rows=50, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        learned = curves(repeats)
        means = learned.group_by("repeat", "cases", "way", maintain_order=True).mean()
        print(summary(means, ["cases", "way"]))
        print(summary(means, ["cases", "way"], "brier"))
        print(summary(noise(repeats), ["noise", "way"]))
        print(noise(2).group_by("noise", maintain_order=True).agg(pl.col("crossed", "doubted").mean().round(3)))
        print(summary(notes(repeats), ["way"]))
    draw(means)


if __name__ == "__main__":
    main()
