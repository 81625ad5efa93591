"""What a description says reaches what is computed: mapping, gene list, scoring, budget."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.descriptions import paired as paired_description
from clinical_assets.cohorts.paired.paired import PairedCohortSpec
from clinical_assets.pathways.expression.expression import ExpressionError
from clinical_assets.pathways.inputs.study_inputs import (
    ablated_family,
    budget,
    open_expression,
    open_gene_sets,
    scoring_method,
)
from clinical_assets.pathways.scores.bidirectional import BidirectionalScoring
from clinical_assets.pathways.scores.scores import SignedRankScoring
from clinical_assets.pathways.study.sweep import full_families

GENES = [f"ENSG{i:011d}" for i in range(40)]
SUBJECTS = [f"s{i}" for i in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four subjects with Ensembl genes, and a database that knows all but the last gene by symbol."""
    rng = np.random.default_rng(1)
    samples = [f"{s}.{c}" for s in SUBJECTS for c in ("d0", "d7")]
    pl.DataFrame({"gene": GENES, **{s: rng.uniform(2, 12, 40) for s in samples}}).write_csv(tmp_path / "m.csv")
    pl.DataFrame(
        {
            "sample": samples,
            "subject": [s.split(".")[0] for s in samples],
            "condition": [s.split(".")[1] for s in samples],
            "label": ["high"] * 4 + ["low"] * 4,
        }
    ).write_csv(tmp_path / "s.csv")
    (tmp_path / "sets.gmt").write_text("all\tmade up\t" + "\t".join(f"SYM{i}" for i in range(39)) + "\n")
    with sqlite3.connect(tmp_path / "org.sqlite") as database:
        database.execute("create table gene_info (_id integer, symbol text)")
        database.execute("create table ensembl (_id integer, ensembl_id text)")
        database.executemany("insert into gene_info values (?, ?)", [(i, f"SYM{i}") for i in range(39)])
        database.executemany("insert into ensembl values (?, ?)", list(enumerate(GENES)))
    return tmp_path


def described(**changed: Any) -> PairedCohortSpec:
    parts: dict[str, Any] = {"conditions": {"control": "d0", "affected": "d7"}, "positive": "high", **changed}
    return PairedCohortSpec.model_validate(paired_description("four", **parts))


def mapped(**more: Any) -> dict[str, Any]:
    mapping = {"org_db": "org.sqlite", "to": "symbol"}
    return {"kind": "file", "matrix": "m.csv", "samples": "s.csv", "mapping": mapping, **more}


def test_genes_are_translated_by_the_described_database_and_what_it_does_not_know_is_counted(folder: Path) -> None:
    paired = open_expression(described(expression=mapped()), folder)
    assert paired.genes == tuple(f"SYM{i}" for i in range(39))
    assert paired.identifier_kind == "symbol"
    assert any("mapped from ensembl to symbol; 1 genes without a match dropped" in s for s in paired.statements)
    plain = open_expression(described(), folder)
    np.testing.assert_array_equal(paired.control, plain.control[:, :39])
    sets = open_gene_sets(described(), folder, identifiers=paired.identifier_kind)
    assert set(sets.genes[0]) == set(paired.genes)


def test_a_fixed_gene_list_replaces_the_filter(folder: Path) -> None:
    (folder / "genes.txt").write_text("\n".join([*GENES[:7], "", ""]))
    paired = open_expression(described(normalisation={"genes": "genes.txt"}), folder)
    assert paired.genes == tuple(GENES[:7])
    with pytest.raises(ExpressionError, match=r"gene list absent\.txt cannot be read"):
        open_expression(described(normalisation={"genes": "absent.txt"}), folder)


def test_scoring_and_budget_are_what_the_description_says() -> None:
    spec = described(
        scoring={"zero_method": "pratt", "correction": False, "correlation": 0.1},
        study={
            "sweep": "full",
            "families": ["logistic_regression", "gradient_booster"],
            "outer": "leave_one_out",
            "permutations": 7,
            "level": 0.2,
            "primary": {"design": "pathways", "family": "logistic_regression"},
            "ablation": {"family": "gradient_booster"},
        },
    )
    method = scoring_method(spec)
    assert isinstance(method, SignedRankScoring)
    assert (method.zero_method, method.correction, method.correlation) == ("pratt", False, 0.1)
    both_ways = scoring_method(described(scoring={"method": "bidirectional", "correlation": 0.1}))
    assert both_ways == BidirectionalScoring(correlation=0.1)
    with pytest.raises(ValueError, match="zero_method belongs to the signed-rank test"):
        described(scoring={"method": "bidirectional", "zero_method": "pratt"})
    plan = budget(spec.study, Path())
    full = {family.name: family for family in full_families()}
    assert plan.families == (full["logistic regression"], full["gradient booster"])
    assert plan.outer == "leave_one_out"
    assert plan.primary == ("pathways", "logistic regression")
    assert ablated_family(spec.study, Path()) == full["gradient booster"]
    assert budget(described(study={"permutations": 0}).study, Path()).primary is None
