"""A report of known vulnerabilities is written only by a service that shows that it knows some."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from clinical_assets.cli.main import app
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.supply_chain import advisory_report
from clinical_assets.governance.supply_chain.advisory_report import (
    KNOWN_VULNERABLE,
    AdvisoriesUnreachable,
    report_of,
    write_report,
)

Answer = Callable[[str, str], dict[str, Any]]
EARLIER = json.dumps({"dependencies": [{"name": "packaging", "version": "25.0", "vulns": []}], "fixes": []})


def vulnerable(name: str) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.7.2"}]}]
    affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges, "versions": []}]
    return {"vulns": [{"id": "PYSEC-2014-8", "summary": "-", "affected": affected}]}


def knows_the_old_one(name: str, version: str) -> dict[str, Any]:
    return vulnerable(name) if (name, version) == KNOWN_VULNERABLE else {}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], None]]:
    """Start an advisory service in the protocol of OSV, which pip-audit asks."""
    servers = []

    def start(answer: Answer) -> None:
        class Service(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = json.dumps(answer(asked["package"]["name"], asked["version"])).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                return None

        server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
        monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/v1/query")

    # Two packages instead of some three hundred: each is a question of its own.
    monkeypatch.setattr(advisory_report, "installed_packages", lambda: {"jinja2": "3.1.6", "packaging": "25.0"})
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def earlier(settings: Settings) -> Settings:
    """An installation with a report of last week."""
    settings.data.mkdir(parents=True, exist_ok=True)
    report_of(settings).write_text(EARLIER)
    return settings


def test_a_service_that_knows_vulnerabilities_gives_a_report_that_the_gate_reads(
    settings: Settings, serve: Callable[[Answer], None]
) -> None:
    serve(knows_the_old_one)
    found = write_report(settings)
    assert (found.reported, found.found, found.unchecked) == (2, (), ())
    assert settings.advisories_report == report_of(settings)


def test_what_is_vulnerable_is_in_the_report(settings: Settings, serve: Callable[[Answer], None]) -> None:
    serve(lambda name, _: vulnerable(name) if name == "jinja2" else {})
    assert [(each.package, each.id) for each in write_report(settings).found] == [("jinja2", "PYSEC-2014-8")]


def test_a_service_without_advisories_writes_no_report_that_would_read_as_none_known(
    earlier: Settings, serve: Callable[[Answer], None]
) -> None:
    serve(lambda *_: {})
    with pytest.raises(AdvisoriesUnreachable, match="has no advisories"):
        write_report(earlier)
    assert report_of(earlier).read_text() == EARLIER


def test_without_a_network_the_command_ends_with_an_error_and_a_cure_and_the_earlier_report_stays(
    earlier: Settings, serve: Callable[[Answer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(knows_the_old_one)
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:9/v1/query")
    done = CliRunner().invoke(app, ["advisories"])
    assert isinstance(done.exception, AdvisoriesUnreachable)
    assert done.exit_code == 1
    assert "No advisory service could be asked" in done.exception.message
    assert "where there is a network" in str(done.exception.cure)
    assert report_of(earlier).read_text() == EARLIER
    report_of(earlier).unlink()
    with pytest.raises(AdvisoriesUnreachable):
        write_report(earlier)
    assert earlier.advisories_report is None


def test_without_pip_audit_nothing_is_asked(earlier: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advisory_report.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(AdvisoriesUnreachable) as told:
        write_report(earlier)
    assert told.value.cure == 'pip install "clinical-assets[audit]"'
    assert report_of(earlier).read_text() == EARLIER
