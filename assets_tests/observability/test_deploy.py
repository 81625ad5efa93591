"""What lies in ``deploy/`` fits the exporter: every metric and label it names exists, every expression is PromQL.

``promtool`` is asked where it is installed; without it, names and labels are still held against the exporter.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clinical_assets.observability.metrics.exporter import HOST, PORT
from clinical_assets.observability.metrics.metrics import METRICS, PREFIX

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "clinical_assets.json"
RULES = DEPLOY / "prometheus" / "alerts.yml"
#: Labels that Prometheus itself adds.
ADDED = {"job", "instance", "alertname", "alertstate"}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$cohort", ".*")


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_every_metric_and_label_of_an_expression_is_one_of_the_exporter(where: str, expression: str) -> None:
    named = re.findall(rf"{PREFIX}(\w+)(?:\{{([^}}]*)\}})?", expression)
    assert named or "up{" in expression, where
    labels = {label for name, _ in named for label in METRICS[name].labels} | ADDED
    for name, selector in named:
        assert name in METRICS, where
        chosen = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert chosen <= {*METRICS[name].labels, *ADDED}, where
    for grouped in re.findall(r"(?:by|on|group_left|without)\s*\(([^)]*)\)", expression):
        assert {each.strip() for each in grouped.split(",") if each.strip()} <= labels, where


def test_the_dashboard_shows_every_metric_that_means_something_to_a_person() -> None:
    text = DASHBOARD.read_text()
    # What only rules need.
    left_out = {"verdicts_changed", "report_timestamp_seconds", "ledger_verified_timestamp_seconds"}
    left_out |= {"inbox_oldest_timestamp_seconds", "evidence_verified_timestamp_seconds"}
    assert {name for name in METRICS if PREFIX + name not in text} == left_out


def test_panels_have_ids_of_their_own_a_word_of_help_and_do_not_lie_on_each_other() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not taken & cells, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert {target["refId"] for target in panel["targets"]} >= {"A"}


def test_every_rule_says_how_grave_it_is_and_what_to_do_and_is_tested() -> None:
    tested = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        # Some are tested by a pattern of their names.
        assert rule["alert"] in tested or rule["alert"].startswith("ClinicalAssetsLedger")


def test_prometheus_looks_where_the_exporter_listens() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"{HOST}:{PORT}"]}]
    assert f'job="{job["job_name"]}"' in RULES.read_text()


def test_provisioning_files_name_what_the_dashboard_needs() -> None:
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/clinical_assets.yml").read_text())
    assert [each["type"] for each in source["datasources"]] == ["prometheus"]
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/clinical_assets.yml").read_text())
    assert provider["providers"][0]["type"] == "file"
    variables = {each["name"] for each in dashboard()["templating"]["list"]}
    assert {name for name in re.findall(r"\$\{?(\w+)", DASHBOARD.read_text()) if name != "__all"} <= variables


@needs_promtool
def test_promtool_accepts_configuration_and_rules_and_the_rules_do_what_their_tests_say() -> None:
    assert PROMTOOL is not None
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            [PROMTOOL, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_parses_every_expression(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    written = [{"record": f"expression_{number}", "expr": text} for number, (_, text) in enumerate(EXPRESSIONS)]
    file = tmp_path / "expressions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": written}]}))
    done = subprocess.run([PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [{"record": "a", "expr": "sum(("}]}]}))
    assert subprocess.run([PROMTOOL, "check", "rules", str(file)], capture_output=True, check=False).returncode != 0
