"""Every page carries one stylesheet and a policy that lets nothing else in; text never becomes markup or template."""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError

import clinical_assets
from clinical_assets.reporting import pages
from clinical_assets.reporting.micro_cohort_views import SubjectLine, SubjectsPage
from clinical_assets.reporting.pages import render_page, render_part
from clinical_assets.reporting.views import AllCohortsPage, Badge, CohortLine

PACKAGE = Path(clinical_assets.__file__).parent
NASTY = '<script>alert(1)</script>{{ 7 * 7 }}" onerror="'


def subjects(title: str = "Who is who", *, synthetic: bool = False) -> SubjectsPage:
    return SubjectsPage(
        title, synthetic, ("before", "after"), (SubjectLine(1, title, title, 2, 3, "subject-001.html"),)
    )


def test_the_policy_admits_the_stylesheet_of_the_page_by_its_digest_and_no_script() -> None:
    text = render_page(subjects())
    policy = html.unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[0])
    style = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    # A browser reads the policy before it reads the style.
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_no_template_has_what_the_policy_would_refuse() -> None:
    refused = r"<script|\sstyle=|\son[a-z]+=|https?:|@import|url\((?!#)|\|\s*safe"
    paths = [path for path in (PACKAGE / "reporting" / "templates").rglob("*") if path.is_file()]
    assert len(paths) > 15
    for path in paths:
        # Evidently's page has a policy of its own.
        if path.parent.name != "evidently":
            assert not re.findall(refused, path.read_text(encoding="utf-8")), path.name


def test_text_is_shown_and_never_obeyed() -> None:
    text = render_page(subjects(NASTY))
    assert "<script" not in text
    assert html.unescape(text).count(NASTY) == 4  # in title, heading, name and label
    assert "49" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_a_template_that_asks_for_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from jinja2 import DictLoader

    environment = pages._environment()
    sources = {"inside": "{{ x.__class__.__mro__ }}", "missing": "{{ nowhere }}", "change": "{{ x.append(1) }}"}
    monkeypatch.setattr(environment, "loader", DictLoader(sources))
    with pytest.raises(UndefinedError):
        render_part("missing")
    for name in ("inside", "change"):
        with pytest.raises(SecurityError):
            render_part(name, x=[])


def test_synthetic_data_is_named_first_on_every_page() -> None:
    assert "<title>SYNTHETIC Who is who</title>" in render_page(subjects(synthetic=True))
    assert re.search(r'<header>\s*<p class="synthetic"', render_page(subjects(synthetic=True)))
    assert "SYNTHETIC" not in render_page(subjects())


def test_a_light_says_in_words_what_its_colour_says() -> None:
    texts = (
        "real",
        "Ward",
        "Flu (J11)",
        "ridge",
        "0.8",
        "1.1",
        "0.02",
        "90, 30",
        "5 of 5 pass",
        "serves",
        "since 2026-05-01",
        "Ann",
        "2026-05-02",
    )
    line = CohortLine("a", *texts, problems=(), links=(), badges=(Badge("red", "alarm"), Badge("grey", "no report")))
    text = render_page(AllCohortsPage("now", ("Quality", "Drift"), (line,)))
    assert '<span class="badge red">alarm</span>' in text
    assert '<span class="badge grey">no report</span>' in text


def test_html_is_made_in_this_room_alone() -> None:
    elsewhere = []
    for path in PACKAGE.rglob("*.py"):
        if "reporting" in path.relative_to(PACKAGE).parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        if any(re.search(r"</(td|tr|table|p|div|span|html|style)>", text) for text in texts):
            elsewhere.append(path.relative_to(PACKAGE).as_posix())
    assert elsewhere == []
