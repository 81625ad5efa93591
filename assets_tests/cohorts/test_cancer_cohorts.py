"""The family of published cancer cohorts says what its files hold: each number is counted again from the file alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from assets_tests.worlds.tables.shipped import CATALOGUE, Built, build_cohort, own_settings, packaged
from clinical_assets.cohorts.sources_spec import PackagedSource, RPackageSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.sources.r_packages.debian import FOLDER
from clinical_assets.sources.r_packages.r_source import absent_packages

FAMILY = CATALOGUE.members("cancer_cohorts")
PACKAGED = tuple(name for name in FAMILY if isinstance(CATALOGUE.spec(name).subjects.source, PackagedSource))
IN_R = tuple(name for name in FAMILY if isinstance(CATALOGUE.spec(name).subjects.source, RPackageSource))
SINGLE = ("breast_cancer_diagnosis", "breast_cancer_recurrence", "colon_cancer_recurrence", "lung_cancer_survival")
DAYS_PER = {"days": 1, "months": 30.4375, "years": 365.25}
#: Where archives of Debian's packages lie, if somebody fetched them for the tests.
ARCHIVES = Path("data")


def counted(spec: CohortSpec) -> tuple[int, int, int]:
    """Patients of the file, events within the horizon, and censored before it; read without the platform."""
    source, columns = spec.subjects.source, spec.subjects.columns
    assert isinstance(source, PackagedSource)
    table = pl.read_csv(packaged("oncodatasets", source.file), infer_schema_length=0)
    time, event = (str(columns[name].source_name) for name in ("follow_up", "is_event"))
    days = pl.col(time).cast(pl.Float64, strict=False) * DAYS_PER[str(spec.vars["time_unit"])]
    happened = pl.col(event).str.to_lowercase().is_in(["1", "true"])
    horizon = spec.prediction.horizon_days
    return (
        table.height,
        table.filter(happened & (days <= horizon)).height,
        table.filter(~happened & (days < horizon)).height,
    )


def numbers_told(spec: CohortSpec) -> tuple[int, int, int]:
    """Patients, events and censored, as the first limit says them."""
    told = re.search(r"(\d+) patients, (\d+) [\w ]+ within the horizon; (?:(\d+)|none)", spec.data.limits[0])
    assert told is not None
    return int(told[1]), int(told[2]), int(told[3] or 0)


def test_the_family_holds_no_file_twice_and_none_that_says_simulated() -> None:
    files = {CATALOGUE.spec(name).subjects.source.file for name in PACKAGED}  # type: ignore[union-attr]
    assert len(PACKAGED) == len(files) == 10
    # Simulated by its own documentation, although its columns look like a registry's.
    assert "data/cervical_cancer_patients.csv" not in files
    tables = {CATALOGUE.spec(name).subjects.source.model_dump_json() for name in IN_R}
    assert len(tables) == len(IN_R) == len(FAMILY) - 10


def test_real_cohorts_are_of_twenty_five_sites_and_more() -> None:
    sites = {code[:3] for name in (*FAMILY, *SINGLE) for code in CATALOGUE.spec(name).disease.icd10 if code[0] == "C"}
    # C77 is where a tumour of the breast has spread to; C10, C30, C85 share a cohort with a neighbour.
    assert len(sites - {"C77", "C10", "C30", "C85"}) >= 25


@pytest.mark.parametrize("name", PACKAGED)
def test_a_member_states_its_own_numbers_and_says_when_they_are_small(name: str) -> None:
    spec = CATALOGUE.spec(name)
    patients, events, censored = counted(spec)
    told = " ".join(spec.data.limits)
    numbers = {int(number) for number in re.findall(r"\b\d+\b", told)}
    assert {patients, events} <= numbers
    assert censored in numbers or "none was censored before" in told
    assert ("mall n" in told) == (patients < 100)


@pytest.mark.parametrize("name", FAMILY)
def test_a_member_is_real_with_source_licence_moment_and_rule_for_the_censored(name: str) -> None:
    spec = CATALOGUE.spec(name)
    assert spec.family == "cancer_cohorts"
    assert spec.data.kind == "real"
    assert spec.time_to_event is not None
    assert re.search(r"\b(19|20)\d\d\b|GSE\d+", spec.data.source)
    assert "never bundled" in spec.data.licence
    assert "censored before the horizon" in (spec.prediction.censoring or "")
    assert spec.protected or any("fairness" in limit for limit in spec.data.limits)


@pytest.mark.parametrize("name", IN_R)
def test_a_member_from_an_r_package_says_which_archive_it_needs_and_when_it_is_small(name: str) -> None:
    spec = CATALOGUE.spec(name)
    source = spec.subjects.source
    assert isinstance(source, RPackageSource)
    assert source.package in spec.data.source
    patients, events, _ = numbers_told(spec)
    assert 0 < events < patients
    assert ("mall n" in spec.data.limits[0]) == (patients < 100)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_R)
def test_a_member_from_an_r_package_holds_what_it_says(tmp_path: Path, name: str) -> None:
    pytest.importorskip("rdata")
    spec = CATALOGUE.spec(name)
    lacking = absent_packages(spec.tables, settings=own_settings(ARCHIVES), folder=None)
    if lacking:
        pytest.skip(f"clinical-assets fetch {' '.join(lacking)}")
    (tmp_path / FOLDER).symlink_to((ARCHIVES / FOLDER).resolve())
    settings = replace(own_settings(tmp_path), source_folders=(ARCHIVES.resolve(),))
    cohort = build_cohort(name, settings)
    patients, events, censored = numbers_told(spec)
    assert cohort.build.used + sum(cohort.build.exclusions.values()) == patients
    assert cohort.build.outcome_counts[spec.target.classes[1]] == events
    assert cohort.build.exclusions.get("censored before the horizon", 0) == censored


@pytest.mark.slow
def test_a_member_is_built_and_holds_the_men_of_another_copy_of_the_same_study(
    built: Callable[[str], Built],
) -> None:
    cohort = built("larynx_cancer_survival")
    other = pl.read_csv(packaged("lifelines", "datasets/larynx.csv")).select(
        "age", "time", "death", stage=1 + pl.col("Stage_II") + 2 * pl.col("Stage_III") + 3 * pl.col("Stage_IV")
    )
    own = cohort.query("SELECT age_years, follow_up, CAST(is_event AS INTEGER), stage FROM validated.subjects")
    assert sorted(own.rows()) == sorted(other.rows())
    patients, events, censored = counted(cohort.spec)
    assert cohort.build.used == patients - censored
    assert cohort.build.outcome_counts["dead"] == events
    assert cohort.build.exclusions == {"censored before the horizon": censored}
