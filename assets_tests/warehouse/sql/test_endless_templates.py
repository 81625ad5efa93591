"""A template ends: loops, calls, products and its text have limits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from assets_tests.worlds.tables.sql_cohorts import project_of
from clinical_assets.foundation.errors import SqlModelError

R = "range(99999)"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (f"{{% for a in {R} %}}{{% for b in {R} %}}{{% set c = a %}}{{% endfor %}}{{% endfor %}}", "within 1 seconds"),
        ("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", "within 1 sec"),
        (f"{{% for a in {R} %}}{{% for b in {R} %}}x{{% endfor %}}{{% endfor %}}", "characters|within 1 seconds"),
        ("{{ 'x' * 10 ** 12 }}", "too large"),
        ("{{ [1] * 10 ** 12 }}", "too large"),
        ("{{ 10 ** 10 ** 10 }}", "too large"),
        ("{{ lipsum(n=10) }}", "is undefined"),
    ],
)
def test_a_template_that_does_not_end_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, words: str
) -> None:
    monkeypatch.setenv("CLINICAL_ASSETS_MAX_TEMPLATE_SECONDS", "1")
    started = time.monotonic()
    with pytest.raises(SqlModelError, match=words) as caught:
        project_of(tmp_path, {"staging/m.sql": f"SELECT 1 AS a\n-- {template}"}).render("m")
    assert "m.sql" in caught.value.message
    assert time.monotonic() - started < 20


def test_loops_know_their_length_and_end_as_before(tmp_path: Path) -> None:
    template = "SELECT {% for n in [1, 2, 3] %}{{ n }} AS c{{ n }}{{ '' if loop.last else ', ' }}{% endfor %}"
    template += "{% for n in range(2) %}, {{ loop.length * n }} AS d{{ loop.index }}{% endfor %}"
    text = project_of(tmp_path, {"staging/m.sql": template}).render("m")
    assert text == "SELECT 1 AS c1, 2 AS c2, 3 AS c3, 0 AS d1, 2 AS d2"
