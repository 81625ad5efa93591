"""How often the search for leaks accuses an honest table, and how often it finds a leak made of several columns.

Honest tables are made up: 150 to 2,500 rows, 6 to 30 columns (measurements, lognormal values, pairs of day numbers with
a common cause, counts, flags, grades), correlated by a common factor, missing at random or by age; events 5 to 50 %.
The outcome is logistic in some of the columns and one difference of two, so strong that the true risk ranks with an
AUROC of .6 to .99: a quarter of the tables are stronger than most clinical models. Nothing in them knows the outcome.

Leaking tables are honest ones to which a leak is added. Counted is what training would refuse: single columns, pairs, a
shallow tree, and the nested scores of logistic regression and LightGBM.

Usage: python benchmarks/leak_false_alarms.py [--tables 200] [--leaking 25] [--workers 1] [--cost]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import synthetic_cohort

if TYPE_CHECKING:
    import polars as pl

    from clinical_assets.cohorts.spec import CohortSpec

Floats = np.ndarray
CANDIDATES = ("logistic_ridge", "lightgbm")
LEAKS = ("comparison", "comparison, 1 % wrong", "equality", "exclusive or", "two of three flags")


@dataclass(frozen=True)
class Table:
    """What training reads, without a warehouse."""

    frame: pl.DataFrame
    feature_columns: tuple[str, ...]
    key: tuple[str, ...] = ("person",)
    subject: str = "person"
    protected: tuple[str, ...] = ()
    digest: str = "sha256:made-up"

    def protected_column(self, attribute: str) -> str:
        """Protected attributes are not looked at here."""
        return attribute


def description(names: tuple[str, ...]) -> CohortSpec:
    """A cohort whose day numbers have a unit, and whose other columns have none."""
    from clinical_assets.cohorts.spec import CohortSpec

    columns: dict[str, Any] = {"person": {"type": "integer", "role": "identifier", "description": "Number."}}
    for name in names:
        columns[name] = {"type": "number", "description": "Made up."} | ({"unit": "d"} if "days" in name else {})
    columns["event"] = {"type": "boolean", "role": "target", "description": "Made up."}
    source = {"kind": "file", "path": "none.csv"}
    return CohortSpec.model_validate(
        synthetic_cohort.description(
            {"source": source, "key": ["person"], "columns": columns},
            modelling={
                "candidates": list(CANDIDATES),
                "search": {"trials": 1, "inner_folds": 2, "outer_folds": 3},
            },
            decisions={
                "costs": {"false_positive": 1, "false_negative": 4, "rationale": "None."},
                "tiers": [{"name": "Low", "lower": 0, "action": "a"}, {"name": "High", "lower": 0.2, "action": "b"}],
            },
        )
    )


def honest(seed: int, *, rows: int | None = None, features: int | None = None) -> tuple[dict[str, Floats], Floats]:
    """Columns by name, NaN where missing, and the outcome of an honest table."""
    draw = np.random.default_rng(seed)
    n = rows or int(draw.choice([150, 300, 600, 1200, 2500]))
    p = features or int(draw.integers(6, 31))
    factor = draw.normal(size=n)
    columns: dict[str, Floats] = {}
    while len(columns) < p:
        z = draw.uniform(0, 0.8) * factor + draw.normal(size=n)
        place = len(columns)
        match draw.choice(["measured", "lognormal", "days", "count", "flag", "grade"]):
            case "measured":
                columns[f"x{place}"] = 100 + 15 * z
            case "lognormal":
                columns[f"x{place}"] = np.exp(z)
            case "days":
                begun = np.round(200 + 60 * z)
                columns[f"x{place}_days"] = begun
                columns[f"x{place + 1}_days"] = np.round(begun + draw.normal(0, draw.choice([1, 10, 60]), n))
            case "count":
                columns[f"x{place}"] = draw.poisson(np.exp(0.5 * z)).astype(float)
            case "flag":
                columns[f"x{place}"] = (z > draw.uniform(-1, 1.5)).astype(float)
            case _:
                columns[f"x{place}"] = np.digitize(z, [-0.5, 0.5, 1.5]).astype(float)
    names = list(columns)
    scaled = {name: (x - x.mean()) / (x.std() or 1.0) for name, x in columns.items()}
    used = draw.choice(names, size=min(len(names), int(draw.integers(2, 9))), replace=False)
    weights = draw.normal(size=used.size)
    linear = np.sum([w * scaled[name] for w, name in zip(weights, used, strict=True)], axis=0)
    one, two = draw.choice(names, size=2, replace=False)
    linear = linear + draw.normal() * (scaled[one] - scaled[two])
    linear = linear / (linear.std() or 1.0) * draw.choice([0.4, 1.0, 2.0, 5.0])
    share = draw.uniform(0.05, 0.5)
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if (1 / (1 + np.exp(-(linear + middle)))).mean() > share else (middle, high)
    y = (draw.random(n) < 1 / (1 + np.exp(-(linear + low)))).astype(np.int64)
    for name in names:
        kind = draw.choice(["never", "at random", "by factor"])
        chance = 0.1 if kind == "at random" else 0.3 / (1 + np.exp(-2 * factor)) if kind == "by factor" else 0.0
        columns[name] = np.where(draw.random(n) < chance, np.nan, columns[name])
    return columns, y


def leaking(seed: int, kind: str) -> tuple[dict[str, Floats], Floats]:
    """An honest table with a leak of several columns."""
    columns, y = honest(seed)
    draw = np.random.default_rng(seed + 1_000_000)
    n = y.size
    match kind:
        case "equality":
            columns["last_days"] = np.round(draw.uniform(30, 300, n))
            apart = draw.choice([-1, 1], n) * draw.integers(1, 80, n)
            columns["planned_days"] = columns["last_days"] + np.where(y, apart, 0)
        case "exclusive or":
            columns["arm"] = draw.integers(0, 2, n).astype(float)
            columns["unblinded"] = np.where(y == 1, 1 - columns["arm"], columns["arm"])
        case "two of three flags":
            # An event is adjudicated when two of three reviewers say so; each of them errs alone.
            dissent = draw.integers(0, 6, n)
            for place, name in enumerate(("first_review", "second_review", "third_review")):
                columns[name] = np.where(dissent == place, 1 - y, y).astype(float)
        case _:
            observed = np.round(draw.uniform(30, 300, n))
            wrong = draw.random(n) < (0.01 if "wrong" in kind else 0)
            columns["observed_days"] = observed
            columns["contact_days"] = observed + np.where((y == 1) ^ wrong, -1, 1) * draw.integers(1, 60, n)
    return columns, y


def table_of(columns: dict[str, Floats], y: Floats) -> Table:
    """As training reads it."""
    import polars as pl

    frame = pl.DataFrame({"person": np.arange(y.size), **columns, "outcome": y})
    return Table(frame.with_columns(pl.col(list(columns)).fill_nan(None)), tuple(columns))


def accused(columns: dict[str, Floats], y: Floats) -> tuple[list[str], float]:
    """Kinds of leak that training would refuse or ask about, and the best candidate's nested AUROC."""
    from clinical_assets.modelling.leakage.leakage import find_leaks, find_model_leaks
    from clinical_assets.modelling.search.search import nested
    from clinical_assets.modelling.search.spaces import start
    from clinical_assets.modelling.table.inputs import model_input
    from clinical_assets.modelling.table.row_losses import mean_auroc
    from clinical_assets.modelling.table.splits import split_holdout

    table, spec = table_of(columns, y), description(tuple(columns))
    leaks = find_leaks(table, spec)
    found = [leak.kind for leak in leaks if leak.action != "warn"]
    data = model_input(table, spec)
    train = data.rows(split_holdout(data.frame, subject=table.subject, share=spec.modelling.holdout_share).train)
    if np.bincount(train.y, minlength=2).min() < 6:
        return found, float("nan")
    best = 0.0
    for name in CANDIDATES:

        def score(rest: Any, name: str = name) -> Floats:
            return nested((name,), rest, modelling=spec.modelling, fixed=start(name, rest.n))[name].risk

        risk = score(train)
        best = max(best, mean_auroc(train.y, risk))
        more = find_model_leaks(train, spec, name, risk, score, found=leaks)
        found += [f"joint ({name})" for leak in more if leak.action != "warn"]
    return found, best


def _honest(seed: int) -> tuple[list[str], float]:
    return accused(*honest(seed))


def _leaking(job: tuple[int, str]) -> tuple[list[str], float]:
    return accused(*leaking(*job))


def cost() -> None:
    """Seconds of the search before any fit, on tables of two sizes."""
    from clinical_assets.modelling.leakage.leakage import find_leaks

    for rows, features in ((1_000, 20), (10_000, 60)):
        columns, y = honest(7, rows=rows, features=features)
        table, spec = table_of(columns, y), description(tuple(columns))
        find_leaks(replace(table, frame=table.frame.head(300)), spec)  # imports
        begun = time.perf_counter()
        find_leaks(table, spec)
        print(f"{rows:,} x {len(columns)}: {time.perf_counter() - begun:.2f} s")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--leaking", type=int, default=25)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cost", action="store_true")
    chosen = parser.parse_args()
    if chosen.cost:
        cost()
        return
    with ProcessPoolExecutor(chosen.workers) as pool:
        told = list(pool.map(_honest, range(chosen.tables)))
        alarms = Counter(kind for kinds, _ in told for kind in set(kinds))
        strong = sum(area > 0.95 for _, area in told)
        print(f"honest tables: {chosen.tables}, of which the best candidate ranks above .95: {strong}")
        print(f"accused: {sum(bool(kinds) for kinds, _ in told)} {dict(alarms)}")
        print([seed for seed, (kinds, _) in enumerate(told) if kinds])
        for kind in LEAKS:
            told = list(pool.map(_leaking, [(seed, kind) for seed in range(chosen.leaking)]))
            alarms = Counter(one for kinds, _ in told for one in set(kinds))
            print(f"{kind}: found in {sum(bool(kinds) for kinds, _ in told)} of {chosen.leaking} {dict(alarms)}")


if __name__ == "__main__":
    main()
