"""The command line answers people in words and programs in JSON; what cannot be done names its cure and no stack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from assets_tests.worlds.team.cohorts import MARK, SUBJECTS, Team, listing
from assets_tests.worlds.team.runs import BROKEN, EVENTLESS, KILLED, SOUND, SideBySide
from clinical_assets.cli import context, main
from clinical_assets.records.place import FILE

REAL = "heart_disease"


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """The command line in this process, in the environment of the team."""

    def __init__(self, capfd: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capfd, self.patch = capfd, patch

    def __call__(self, *arguments: str) -> Said:
        context.workspace.cache_clear()
        self.patch.setattr(sys, "argv", ["clinical-assets", *arguments])
        self._capfd.readouterr()
        code: int | str | None = 0
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
        said = self._capfd.readouterr()
        assert isinstance(code, int)
        return Said(code, said.out, said.err)

    def refuses(self, *arguments: str) -> str:
        """The error of a command that must not work; it has a cure, no stack, and exit code 1."""
        said = self(*arguments)
        assert said.code == 1
        assert said.out == ""
        assert said.err.startswith("Error: ")
        assert "\nCure: " in said.err
        assert "Traceback" not in said.err
        return said.err


@pytest.fixture(scope="module")
def team(side_by_side: SideBySide, tmp_path_factory: pytest.TempPathFactory) -> SideBySide:
    """The cohorts that were materialised, in a folder that these tests may change."""
    data = tmp_path_factory.mktemp("cli") / "data"
    shutil.copytree(side_by_side.data, data, ignore=shutil.ignore_patterns(FILE))
    # Pseudonym keys and the ledger's anchors lie apart; without them the ledger is not whole.
    shutil.copytree(side_by_side.data.with_name("data-keys"), data.with_name("data-keys"))
    return replace(side_by_side, data=data)


@pytest.fixture
def shell(team: SideBySide, capfd: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """The command line on the team's cohorts."""
    with team.environment() as patch:
        yield Shell(capfd, patch)


class TestCohorts:
    def test_list_shows_the_teams_and_the_shipped_ones_and_what_there_is(self, shell: Shell) -> None:
        rows = {row["cohort"]: row for row in shell("cohorts", "list", "--json").json()}
        assert {SOUND, BROKEN, EVENTLESS, KILLED, REAL, "clinical_trial_dropout"} <= set(rows)
        sound = rows[SOUND]
        assert (sound["records"], sound["units"], sound["used"], sound["events"]) == ("synthetic", 60, 55, 20)
        assert (sound["model"], sound["champion"], sound["waits_for"], sound["owner"]) == (None, None, [], "Ward Seven")
        assert all(name == name.lower() and " " not in name for row in rows.values() for name in row)
        assert (rows[REAL]["records"], rows[REAL]["units"]) == ("real", None)
        told = shell("cohorts", "list").out
        assert SOUND in told
        assert REAL in told
        # Of a family with nothing there yet a line, and every member on demand.
        assert "of family cancer_risk are not materialised yet" in told
        assert "testis_cancer_risk" not in told
        assert "testis_cancer_risk" in shell("cohorts", "list", "--all").out

    def test_one_wrong_description_does_not_hide_the_others(self, shell: Shell, tmp_path: Path) -> None:
        (tmp_path / "ward_wrong.yaml").write_text("name: ward_wrong\ntitel: Wrong\n")
        (tmp_path / "docker-compose.yaml").write_text("services: {}\n")
        (tmp_path / "families").mkdir()
        (tmp_path / "families" / "site.yaml").write_text("name: ${name}\n")
        (tmp_path / "families" / "site.csv").write_text("name,hospital\nsite_a,North\nsite_b\n,East\n")
        shell.patch.setenv("CLINICAL_ASSETS_CATALOGUE", str(tmp_path))
        rows = {row["cohort"]: row["error"] for row in shell("cohorts", "list", "--json").json()}
        assert "ward_wrong.yaml:2: titel: unknown key" in rows["ward_wrong"]
        assert rows[REAL] is None
        said = shell("cohorts", "list")
        assert REAL in said.out
        assert "broken ward_wrong: `clinical-assets cohorts check ward_wrong` says why." in said.err
        assert "site.csv:3: the line has 1 values" in rows["site_b"]
        notes = " ".join(said.err.split())
        assert "docker-compose.yaml is left out: 'docker-compose' cannot be the name of a cohort" in notes
        assert "site.csv:4: the line names no cohort" in notes
        states = {finding["text"]: finding["state"] for finding in shell("doctor", "--json").json()}
        assert next(state for text, state in states.items() if "docker-compose" in text) == "warn"
        assert next(state for text, state in states.items() if "site.csv:4" in text) == "fail"
        assert next(state for text, state in states.items() if "site.csv:3" in text) == "fail"

    def test_show_tells_what_the_cohort_is_for_and_that_it_is_made_up(self, shell: Shell) -> None:
        told = shell("cohorts", "show", SOUND).out
        for words in ("SYNTHETIC RECORDS", "One week after admission.", "height_m", "It is made up."):
            assert words in told
        described = shell("cohorts", "show", SOUND, "--json").json()
        assert described["tables"]["subjects"]["columns"]["height_m"]["unit"] == "m"
        assert described["described_in"].endswith(f"{SOUND}.yaml")

    def test_check_accepts_what_is_right_and_names_file_line_and_cure_of_what_is_not(
        self, shell: Shell, tmp_path: Path
    ) -> None:
        sound, real = shell("cohorts", "check", SOUND, REAL, "--json").json()
        (note,) = sound.pop("notes")  # the ward's tiers are milder than its costs
        assert "reaches to 0.5" in note
        assert sound == {"cohort": SOUND, "valid": True, "error": None}
        assert real == {"cohort": REAL, "valid": True, "error": None, "notes": []}
        wrong = Team("ward_wrong")
        wrong.description["tables"]["subjects"]["columns"]["height_m"]["uint"] = "m"
        path = wrong.write(tmp_path)
        line = next(n for n, text in enumerate(path.read_text().splitlines(), start=1) if "uint" in text)
        said = shell("cohorts", "check", str(path), SOUND, "--json")
        assert said.code == 1
        (first, second) = said.json()
        assert (first["valid"], second["valid"]) == (False, True)
        assert f"ward_wrong.yaml:{line}: tables.subjects.columns.height_m.uint: unknown key" in first["error"]
        assert "Did you mean `unit`?" in first["error"]
        told = shell("cohorts", "check", str(path), SOUND)
        assert told.code == 1
        assert f"ok    {SOUND}" in told.out
        assert "wrong" in told.err
        assert "Traceback" not in told.err

    def test_check_runs_the_tests_beside_the_models_on_no_records(self, shell: Shell, tmp_path: Path) -> None:
        path = Team("ward_untested").write(tmp_path)
        tests = tmp_path / "features" / "ward_week.yml"
        value = yaml.safe_load(tests.read_text())
        value["models"][0]["tests"] = [{"expression": "weight_kg > 0"}]
        tests.write_text(yaml.safe_dump(value))
        said = shell("cohorts", "check", str(path), "--json")
        assert said.code == 1
        assert "weight_kg" in said.json()[0]["error"]

    def test_schema_is_printed_or_written_where_it_is_wanted(self, shell: Shell, tmp_path: Path) -> None:
        printed = shell("cohorts", "schema").json()
        assert printed["title"] == "CohortSpec"
        assert shell("cohorts", "schema", str(tmp_path / "schema.json")).code == 0
        assert json.loads((tmp_path / "schema.json").read_text()) == printed
        assert "is not a folder" in shell.refuses("cohorts", "schema", str(tmp_path / "no" / "schema.json"))


class TestSql:
    def test_list_names_the_file_of_each_model(self, shell: Shell, team: SideBySide) -> None:
        rows = {(row["layer"], row["model"]): row["file"] for row in shell("sql", "list", SOUND, "--json").json()}
        # The model that is called like the cohort lies beside its description.
        assert rows["features", SOUND] == str(team.catalogue / f"{SOUND}.sql")
        assert ("outcomes", "fixed_horizon") in rows

    def test_render_prints_a_statement_that_the_warehouse_answers(self, shell: Shell) -> None:
        statement = shell("sql", "render", SOUND).out
        assert "{{" not in statement
        rows = shell("warehouse", "query", SOUND, f"SELECT count(*) AS n FROM ({statement})", "--json").json()
        assert rows == [{"n": SUBJECTS}]

    def test_run_makes_the_table(self, shell: Shell) -> None:
        assert shell("sql", "run", SOUND, "cohort_overview", "--json").json()["rows"] == 1
        assert shell("sql", "run", SOUND).out.strip().endswith(f"{SUBJECTS} rows")

    def test_test_counts_what_breaks_a_promise_and_shows_no_identifier(self, shell: Shell, team: SideBySide) -> None:
        rows = shell("sql", "test", SOUND, "--json").json()
        assert {row["test"] for row in rows} == {
            "not_null",
            "unique",
            "relationships",
            "accepted_values",
            "expression",
        }
        assert {row["failures"] for row in rows} == {0}
        file = team.cohort(SOUND).warehouse.path
        before = file.read_bytes()
        try:
            with team.cohort(SOUND).warehouse.writer() as connection:
                connection.execute("INSERT INTO validated.subjects FROM validated.subjects WHERE _row = 1")
            said = shell("sql", "test", SOUND, "--json")
            told = shell("sql", "test", SOUND)
        finally:
            file.write_bytes(before)
        assert (said.code, told.code) == (1, 1)
        assert [(row["test"], row["failures"]) for row in said.json() if row["failures"]] == [
            ("unique", 1),
            ("accepted_values", 2),
            ("unique", 1),
        ]
        assert MARK not in said.out + told.out

    def test_lineage_leads_each_column_back_to_the_validated_ones(self, shell: Shell) -> None:
        found = shell("sql", "lineage", SOUND, "--json").json()
        assert found["is_male"] == ["subjects.sex"]
        assert found["systolic_bp_mean_mmhg"] == ["visits.systolic_bp_mmhg"]
        assert "subjects.sex" in shell("sql", "lineage", SOUND).out

    def test_an_unknown_model_is_refused_with_near_names(self, shell: Shell) -> None:
        assert "ward_sound" in shell.refuses("sql", "render", SOUND, "ward_sund")


class TestWarehouse:
    def test_tables_are_listed_with_their_rows(self, shell: Shell) -> None:
        rows = {row["table"]: row["rows"] for row in shell("warehouse", "tables", SOUND, "--json").json()}
        assert rows["validated.subjects"] == rows["model.features"] == SUBJECTS
        assert shell("warehouse", "tables", REAL, "--json").json() == []
        assert "clinical-assets materialize heart_disease" in shell("warehouse", "tables", REAL).out

    def test_a_question_is_answered_and_a_change_refused(self, shell: Shell) -> None:
        question = "SELECT sex, count(*) AS n FROM validated.subjects GROUP BY sex ORDER BY sex"
        answer = shell("warehouse", "query", SOUND, question, "--json").json()
        assert answer == [{"sex": "f", "n": 30}, {"sex": "m", "n": 30}]
        short = shell("warehouse", "query", SOUND, "SELECT age_years FROM validated.subjects", "--limit", "2")
        assert "58 more rows" in short.out
        assert "cannot answer" in shell.refuses("warehouse", "query", SOUND, "DROP TABLE validated.subjects")
        assert "warehouse tables" in shell.refuses("warehouse", "query", SOUND, "SELECT * FROM nothing")
        assert f"materialize {REAL}" in shell.refuses("warehouse", "query", REAL, "SELECT 1")

    def test_a_snapshot_brings_the_raw_table_back(self, shell: Shell, team: SideBySide) -> None:
        (kept,) = [row for row in shell("warehouse", "snapshots", SOUND, "--json").json() if row["table"] == "visits"]
        assert kept["rows"] == 3 * SUBJECTS
        with team.cohort(SOUND).warehouse.writer() as connection:
            connection.execute("DELETE FROM raw.visits")
        beginning = kept["digest"][:20]
        answer = shell("warehouse", "restore", SOUND, "visits", beginning, "--json").json()
        assert (answer["table"], answer["rows"]) == ("raw.visits", 3 * SUBJECTS)
        rows = shell("warehouse", "query", SOUND, "SELECT count(*) AS n FROM raw.visits", "--json").json()
        assert rows == [{"n": 3 * SUBJECTS}]
        assert "sha256:00" in shell.refuses("warehouse", "restore", SOUND, "visits", "sha256:00")

    def test_encrypt_is_refused_without_a_key_and_done_with_one(self, shell: Shell) -> None:
        assert "no key is configured" in shell.refuses("warehouse", "encrypt", EVENTLESS)
        shell.patch.setenv("CLINICAL_ASSETS_KEY", "a key for this test alone")
        refused = shell.refuses("warehouse", "query", EVENTLESS, "SELECT 1")
        assert f"clinical-assets warehouse encrypt {EVENTLESS}" in refused
        assert shell("warehouse", "encrypt", EVENTLESS, "--json").json() == {"warehouse": True, "snapshots": 2}
        assert shell("warehouse", "query", EVENTLESS, "SELECT 1 AS one", "--json").json() == [{"one": 1}]
        shell.patch.delenv("CLINICAL_ASSETS_KEY")
        assert "is encrypted, and no key is configured" in shell.refuses("warehouse", "query", EVENTLESS, "SELECT 1")


def test_doctor_finds_nothing_wrong_here_and_names_a_folder_that_cannot_be_written(
    shell: Shell, tmp_path: Path
) -> None:
    found = {row["topic"]: row for row in shell("doctor", "--json").json()}
    assert found["dagster instance"]["text"] == "5 runs stored"
    assert found["catalogue"]["text"].endswith(" cohorts in 2 folders")
    assert {row["state"] for row in found.values()} <= {"ok", "warn"}
    (tmp_path / "file").write_text("")
    shell.patch.setenv("CLINICAL_ASSETS_DATA", str(tmp_path / "file" / "data"))
    said = shell("doctor", "--json")
    assert said.code == 1
    failed = [row for row in said.json() if row["state"] == "fail"]
    assert {row["topic"] for row in failed} == {"data folder", "instance"}
    assert all(row["cure"] for row in failed)
    assert "cannot be written: Not a directory" in shell.refuses("materialize", SOUND)
    assert "Not a directory" in shell.refuses("warehouse", "restore", SOUND, "visits", "sha256:00")


@pytest.mark.parametrize(
    "command",
    [
        ("cohorts", "show"),
        ("sql", "render"),
        ("sql", "test"),
        ("warehouse", "tables"),
        ("warehouse", "snapshots"),
        ("materialize",),
        ("results",),
    ],
)
def test_an_unknown_cohort_is_refused_with_near_names(shell: Shell, command: tuple[str, ...]) -> None:
    assert f"Cure: Did you mean {SOUND}" in shell.refuses(*command, "ward_sund")


def test_a_wrong_use_is_told_before_anything_is_run(shell: Shell, team: SideBySide) -> None:
    before = listing(team.data)
    for arguments, words in (
        (("materialize",), "name cohorts, or give --all or --family"),
        (("materialize", SOUND, "--all"), "name cohorts, or give --all or --family"),
        (("materialize", "--all", "--family", "cancer"), "name cohorts, or give --all or --family"),
        (("materialize", "--family", "cancer", "--job", "study_micro_cohort"), "micro-cohorts have no families"),
        (("materialize", SOUND, "--job", "ingest"), "no job is called 'ingest'"),
        (("materialize", SOUND, "--select", "feature"), "has no asset 'feature'"),
    ):
        said = shell(*arguments)
        assert said.code == 2
        assert words in " ".join(said.err.replace("│", " ").split())
        assert "Traceback" not in said.err
    assert listing(team.data) == before


class Alone:
    """The installed command in processes of its own, with a home and a working folder that must stay empty."""

    def __init__(self, folder: Path) -> None:
        self.data, self.catalogue = folder / "data", folder / "catalogue"
        self.elsewhere = [folder / name for name in ("home", "working", "temporary")]
        for place in (self.catalogue, *self.elsewhere):
            place.mkdir()

    def __call__(self, *arguments: str) -> Said:
        own = {"CLINICAL_ASSETS_DATA": self.data, "CLINICAL_ASSETS_CATALOGUE": self.catalogue}
        own |= {"HOME": self.elsewhere[0], "TMPDIR": self.elsewhere[2]}
        unset = {"DAGSTER_HOME", "MPLCONFIGDIR", "CLINICAL_ASSETS_KEY", "CLINICAL_ASSETS_KEY_FILE"}
        inherited = {name: value for name, value in os.environ.items() if name not in unset}
        done = subprocess.run(
            [str(Path(sys.executable).with_name("clinical-assets")), *arguments],
            cwd=self.elsewhere[1],
            env={**inherited, **{name: str(path) for name, path in own.items()}},
            capture_output=True,
            text=True,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)


def test_a_command_of_its_own_prints_its_run_and_writes_nothing_outside_the_data_folder(tmp_path: Path) -> None:
    alone = Alone(tmp_path)
    Team("ward_alone").write(alone.catalogue)
    written = listing(alone.catalogue)
    (run,) = alone("materialize", "ward_alone", "--select", "raw_records", "--json").json()
    assert (run["cohort"], run["success"], run["error"]) == ("ward_alone", True, None)
    assert (alone.data / "warehouse" / "ward_alone.duckdb").exists()
    assert listing(*alone.elsewhere) == set()
    assert listing(alone.catalogue) == written


def test_the_stack_is_shown_when_it_is_asked_for(tmp_path: Path) -> None:
    said = Alone(tmp_path)("cohorts", "show", "nobody", "--debug")
    assert said.code == 1
    assert "Traceback" in said.err
    assert "SpecError: No cohort is called 'nobody'" in said.err
