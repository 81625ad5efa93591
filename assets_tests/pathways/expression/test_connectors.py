"""Connectors to published material: what they make of it, and what they say when it is not there."""

from __future__ import annotations

import importlib.util
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_assets.pathways.expression.connectors import (
    gene_mapping,
    go_biological_process,
    influenza_challenge,
    influenza_vaccine,
)
from clinical_assets.pathways.expression.expression import ExpressionError
from clinical_assets.pathways.expression.gene_sets import GeneSetError
from clinical_assets.pathways.expression.pairing import pair_samples


@pytest.fixture
def org_db(tmp_path: Path) -> Path:
    """A database of the shape of org.Hs.eg.sqlite, with three genes."""
    path = tmp_path / "org.Hs.eg.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            create table metadata (name, value);
            insert into metadata values ('GOSOURCEDATE', '2022-07-01');
            create table genes (_id integer primary key, gene_id);
            insert into genes values (1, '7157'), (2, '4609'), (3, '672');
            create table gene_info (_id integer, gene_name, symbol);
            insert into gene_info values (1, 'p53', 'TP53'), (2, 'myc', 'MYC'), (3, 'brca', 'BRCA1');
            create table ensembl (_id integer, ensembl_id);
            insert into ensembl values (1, 'ENSG00000141510'), (2, 'ENSG00000136997'), (2, 'ENSG00000999999');
            create table go_bp_all (_id integer, go_id, evidence);
            insert into go_bp_all values (1, 'GO:1', 'IEA'), (1, 'GO:1', 'IDA'), (2, 'GO:1', 'IEA'), (3, 'GO:2', 'IEA');
            """
        )
    db.close()
    return path


@pytest.fixture
def go_db(tmp_path: Path) -> Path:
    path = tmp_path / "GO.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript("create table go_term (go_id, term); insert into go_term values ('GO:1', 'cell death');")
    db.close()
    return path


def test_go_sets_name_each_gene_once_with_the_date_of_the_ontology(org_db: Path, go_db: Path) -> None:
    before = org_db.read_bytes()
    sets = go_biological_process(org_db, go_db=go_db)
    assert sets.names == ("cell death (GO:1)", "GO:2")
    assert sets.genes == (("MYC", "TP53"), ("BRCA1",))
    assert sets.source.version == "GO 2022-07-01"
    assert go_biological_process(org_db, identifier="entrez").genes == (("4609", "7157"), ("672",))
    assert org_db.read_bytes() == before


def test_only_unambiguous_identifiers_are_mapped(org_db: Path) -> None:
    assert gene_mapping(org_db, source="symbol", to="ensembl") == {"TP53": "ENSG00000141510"}
    assert gene_mapping(org_db, source="ensembl", to="symbol")["ENSG00000999999"] == "MYC"


def test_a_wrong_or_missing_database_is_refused_and_not_created(tmp_path: Path, go_db: Path) -> None:
    with pytest.raises(GeneSetError, match="no such table"):
        go_biological_process(go_db)
    with pytest.raises(GeneSetError, match="is not there"):
        go_biological_process(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_without_the_rdata_package_the_connector_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fluExample.RData").write_bytes(b"stands for the file")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ExpressionError, match=r"rdata is not installed[\s\S]*clinical-assets\[rdata\]"):
        influenza_challenge(tmp_path / "fluExample.RData")


@dataclass(frozen=True)
class Coordinate:
    values: np.ndarray


class Eset:
    """What rdata makes of an R matrix with names: values with dims and coords."""

    dims = ("dim_0", "dim_1")

    def __init__(self, values: np.ndarray, genes: list[str], samples: list[str]) -> None:
        self.values = values
        self.coords = {"dim_0": Coordinate(np.array(genes)), "dim_1": Coordinate(np.array(samples))}


def test_the_challenge_cohort_is_two_samples_of_each_subject(tmp_path: Path) -> None:
    path = tmp_path / "fluExample.RData"
    path.write_bytes(b"stands for the file")
    values = np.arange(24.0).reshape(4, 6) / 3
    content = {
        "eset.full": Eset(values, ["TP53", "MYC", "MX1", "OAS1"], [f"GSM{i}" for i in range(6)]),
        "flu.meta": {
            "SampleID": [f"GSM{i}" for i in range(6)],
            "Subject": ["flu001"] * 3 + ["flu002"] * 3,
            "Hours.Numeric": [0.0, 5.0, 77.0, 77.0, 5.0, 0.0],
            "Condition": ["sx"] * 3 + ["asx"] * 3,
            "Gender": ["Female"] * 3 + ["Male"] * 3,
            "Age": [29] * 3 + [28] * 3,
        },
    }
    matrix, sheet = influenza_challenge(path, read=lambda _path, _names: content)
    paired = pair_samples(matrix, sheet, control="0 h", affected="77 h")
    np.testing.assert_array_equal(paired.differences, [values[:, 2] - values[:, 0], values[:, 3] - values[:, 5]])
    assert paired.labels == ("symptomatic", "asymptomatic")
    assert paired.covariates["age_years"].to_list() == [29, 28]
    with pytest.raises(ExpressionError, match=r"no samples at 6 h[\s\S]*\[5, 77\]"):
        influenza_challenge(path, hours=6, read=lambda _path, _names: content)


def test_the_vaccine_cohorts_are_joined_with_the_study_as_batch(tmp_path: Path) -> None:
    path = tmp_path / "fluVaccine.RData"
    path.write_bytes(b"stands for the file")
    esets, pheno = {}, {}
    for k, study in enumerate(("GSE59635", "GSE59654")):
        values = np.arange(12.0).reshape(3, 4) / 7 + k
        esets[study] = Eset(values, ["TP53", "MYC", "MX1"], [f"S{k}{s}.{d}" for s in "ab" for d in ("d0", "d7")])
        pheno[study] = {
            "subjectId": [f"S{k}a"] * 2 + [f"S{k}b"] * 2,
            "bloodDrawDay": ["d0", "d7"] * 2,
            "responder": ["low"] * 2 + ["high"] * 2,
        }

    def read(_path: Path, _names: tuple[str, ...]) -> dict[str, Any]:
        return {"fluVaccine": {"esets": esets, "phenoData": pheno}}

    paired = pair_samples(*influenza_vaccine(path, read=read), control="d0", affected="d7")
    assert paired.labels == ("low", "high", "low", "high")
    assert paired.batches[0] == ("GSE59635", "GSE59635")
    np.testing.assert_allclose(paired.differences, 1 / 7)
    assert len(influenza_vaccine(path, studies=("GSE59654",), read=read)[0].samples) == 4
    with pytest.raises(ExpressionError, match="no study"):
        influenza_vaccine(path, studies=("GSE1",), read=read)
