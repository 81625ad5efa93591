"""An error in a model names its file, its line, the line's text and a hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.tables.sql_cohorts import one_table, project_of, validated
from clinical_assets.foundation.errors import SqlModelError


def error_of(tmp_path: Path, sql: str) -> SqlModelError:
    with pytest.raises(SqlModelError) as caught:
        project_of(tmp_path / "team", {"features/m.sql": sql}).types("m")
    return caught.value


def test_an_unknown_column_is_shown_in_its_line_with_near_names(tmp_path: Path) -> None:
    error = error_of(tmp_path, "SELECT\n  subject_id,\n  age_yeras AS x\nFROM {{ source('subjects') }}")
    assert error.message == "team/features/m.sql:3: column 'age_yeras' is not known here\n     3 |   age_yeras AS x"
    assert error.cure == "Did you mean age_years?"


def test_a_column_like_no_other_is_answered_with_what_there_is(tmp_path: Path) -> None:
    error = error_of(tmp_path, "SELECT subject_id, zzzzqqqq FROM {{ source('subjects') }}")
    assert error.cure is not None
    assert "weight_kg" in error.cure
    assert "died" not in error.cure, "a hidden column is not offered"


def test_a_column_known_only_after_the_prediction_is_said_to_be_so(tmp_path: Path) -> None:
    error = error_of(tmp_path, "SELECT subject_id,\n  CAST(s.died AS INT) AS x\nFROM {{ source('subjects') }} AS s")
    assert (
        "m.sql:2: column 'died' cannot be used: validated.subjects.died exists, but its role is target" in error.message
    )
    assert "only known after the prediction" in error.message


def test_a_hidden_column_is_recognised_through_a_staging_model_in_that_models_file(tmp_path: Path) -> None:
    files = {
        "staging/s.sql": "SELECT subject_id,\n\n  ward_after\nFROM {{ source('subjects') }}",
        "features/m.sql": "SELECT * FROM {{ ref('s') }}",
    }
    with pytest.raises(SqlModelError, match=r"staging/s\.sql:3: column 'ward_after' cannot be used"):
        project_of(tmp_path, files).types("m")


def test_lines_survive_loops_blocks_comments_and_raw_text(tmp_path: Path) -> None:
    sql = """\
{# a comment
   of two lines #}
{% set names = ['age_years', 'weight_kg', 'wieght_kg'] %}
SELECT subject_id
{% for name in names -%}
    {%- if true %}
    , {{ name }}
      + 0 AS x_{{ loop.index }}
    {% endif %}
{%- endfor %}
{% raw %}
    , 1 AS y
{% endraw %}
FROM {{ source('subjects') }}
"""
    error = error_of(tmp_path, sql)
    assert "m.sql:7: column 'wieght_kg' is not known here" in error.message
    assert "Did you mean weight_kg?" in str(error)
    later = error_of(tmp_path, sql.replace("'wieght_kg'", "'age_years'").replace("1 AS y", "nothing_such AS y"))
    assert "m.sql:12: column 'nothing_such'" in later.message


def test_lines_survive_values_of_several_lines(tmp_path: Path) -> None:
    sql = "SELECT subject_id,\n{{ '1 AS a,\n2 AS b,\n' }}\n  nothing_such AS c\nFROM {{ source('subjects') }}"
    assert "m.sql:5: column 'nothing_such'" in error_of(tmp_path, sql).message


def test_broken_sql_is_shown_in_its_line(tmp_path: Path) -> None:
    error = error_of(tmp_path, "SELECT subject_id,\n  age_years b c\nFROM {{ source('subjects') }}")
    assert error.message.startswith('team/features/m.sql:2: syntax error at or near "c"\n     2 |   age_years b c')


def test_an_unknown_function_is_answered_with_a_near_one(tmp_path: Path) -> None:
    error = error_of(tmp_path, "SELECT subject_id,\n  rounnd(weight_kg) AS x\nFROM {{ source('subjects') }}")
    assert "m.sql:2: calls rounnd, which is not on the list of functions" in error.message
    assert (error.cure or "").startswith("Did you mean round")


@pytest.mark.parametrize(
    ("sql", "line", "words"),
    [
        ("SELECT 1,\n {{ nothing }}", 2, "'nothing' is undefined"),
        ("SELECT 1,\n {{ cohort.nothing }}", 2, "has no attribute 'nothing'"),
        ("SELECT 1\n\n{% for x in %}", 3, "the template cannot be read"),
        ("SELECT 1\n{% if true %}", 2, "the template cannot be read"),
        ("SELECT {{ 1 +\n'a' }}", 1, "the template cannot be filled in"),
        ("SELECT\n{{ [] | literal }}", 2, "an empty list has no SQL form"),
        ("SELECT\n{{ var('missing') }}", 2, "does not set the variable 'missing'"),
        ("SELECT *\nFROM {{ source('subject') }}", 2, "has no table 'subject'"),
        ("SELECT *\nFROM {{ ref('nothing') }}", 2, "No SQL model is called 'nothing'"),
        ("SELECT 1\n{{ refuse('not like this', 'do that') }}", 2, "not like this"),
    ],
)
def test_an_error_in_the_template_names_its_line(tmp_path: Path, sql: str, line: int, words: str) -> None:
    error = error_of(tmp_path, sql)
    assert error.message.startswith(f"team/features/m.sql:{line}: ")
    assert words in error.message


def test_an_error_at_run_time_names_the_line_and_keeps_the_value_to_itself(tmp_path: Path) -> None:
    sql = "SELECT subject_id,\n  CAST(remark AS INTEGER) AS x\nFROM {{ source('subjects') }}"
    project = project_of(tmp_path, {"features/m.sql": sql})
    connection = validated(one_table(), {"subjects": [("p1", 1, 1.0, True, "F", "MRN 1234567", False, "", 1.0)]})
    with pytest.raises(SqlModelError, match=r"m\.sql:2: Could not convert string … to INT32") as caught:
        project.run_on(connection, "m")
    assert "1234567" not in str(caught.value)


def test_no_message_shows_a_path_of_the_machine(tmp_path: Path) -> None:
    for sql in (
        "SELECT nothing FROM {{ source('subjects') }}",
        "SELECT {{ nothing }}",
        "SELEC 1",
        "SELECT 1; SELECT 2",
    ):
        assert str(tmp_path) not in str(error_of(tmp_path, sql))
