"""What a description says reaches what is computed: mapping, gene list, scoring, budget."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from clinical_assets.cohorts.paired import PairedCohortSpec
from clinical_assets.pathways.expression import ExpressionError
from clinical_assets.pathways.opening import ablated_family, budget, open_expression, open_gene_sets, scoring_method
from clinical_assets.pathways.sweep import full_families

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
    value: dict[str, Any] = {
        "name": "four",
        "title": "Four made-up adults",
        "disease": {"name": "Influenza", "icd10": ["J11.1"]},
        "intended_use": "Show how a description behaves.",
        "not_for": "Patients.",
        "owner": {"team": "Tests"},
        "data": {"kind": "synthetic", "source": "made here", "licence": "CC0", "limits": ["It is made up."]},
        "expression": {"kind": "file", "matrix": "m.csv", "samples": "s.csv"},
        "conditions": {"control": "d0", "affected": "d7"},
        "positive": "high",
        "gene_sets": {"kind": "gmt", "path": "sets.gmt"},
        **changed,
    }
    return PairedCohortSpec.model_validate(value)


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
            "ablation": {"family": "gradient_booster"},
        },
    )
    method = scoring_method(spec)
    assert (method.zero_method, method.correction, method.correlation) == ("pratt", False, 0.1)
    plan = budget(spec.study)
    full = {family.name: family for family in full_families()}
    assert plan.families == (full["logistic regression"], full["gradient booster"])
    assert plan.outer == "leave_one_out"
    assert plan.permuted == (("pathways", "logistic regression"),)
    assert ablated_family(spec.study) == full["gradient booster"]
    assert budget(described(study={"permutations": 0}).study).permuted == ()
