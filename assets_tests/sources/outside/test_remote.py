"""Downloads against a real server that breaks off, ignores ranges, fails, or serves something else."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assets_tests.sources.conftest import Load
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.outside import remote
from clinical_assets.sources.outside.remote import fetch

CONTENT = b"id,blob\n" + b"".join(b"%d,%s\n" % (i, random.Random(i).randbytes(40).hex().encode()) for i in range(4000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does, request by request, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which each of the next answers breaks off
    statuses: list[int] = field(default_factory=list)  # statuses of the next answers, before any content
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", "/files/records.csv")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if state.statuses:
                self.send_response(state.statuses.pop(0))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            if start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut = state.cuts.pop(0) if state.cuts else None
            self.wfile.write(body[:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(1)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/files/records.csv"
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def kept(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.downloads.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_once_and_kept_under_its_digest(load: Load, server: Server, settings: Settings) -> None:
    for _ in range(2):
        loaded = load(kind="url", url=server.url, sha256=SHA256)
        assert len(loaded.rows) == 4000
        assert (loaded.files[0].name, loaded.files[0].sha256) == ("records.csv", SHA256)
    assert server.asked == [None]
    assert kept(settings) == [f"{SHA256}.csv"]


def test_an_interrupted_download_goes_on_where_it_stopped(server: Server, settings: Settings) -> None:
    server.cuts = [100_000, 50_000]
    seen: list[tuple[int, int | None]] = []
    found = fetch(server.url, SHA256, settings=settings, progress=lambda *at: seen.append(at), pause_s=0)
    assert found.path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert kept(settings) == [f"{SHA256}.csv"]


def test_what_came_is_kept_for_the_next_process(server: Server, settings: Settings) -> None:
    server.cuts = [100_000] + [0] * (remote._ATTEMPTS - 1)
    with pytest.raises(SourceError, match="100000 bytes came") as caught:
        fetch(server.url, SHA256, settings=settings, pause_s=0)
    assert "goes on where it stopped" in str(caught.value.cure)
    assert kept(settings) == [f"{SHA256}.partial"]
    assert fetch(server.url, SHA256, settings=settings, pause_s=0).path.read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=100000-"


def test_a_server_without_ranges_sends_everything_again(server: Server, settings: Settings) -> None:
    server.ranges, server.cuts = False, [100_000]
    assert fetch(server.url, SHA256, settings=settings, pause_s=0).path.read_bytes() == CONTENT


@pytest.mark.parametrize("rest", [b"stale bytes of another version", CONTENT + b"and more", CONTENT])
def test_a_partial_file_that_does_not_fit_is_fetched_anew(server: Server, settings: Settings, rest: bytes) -> None:
    settings.downloads.mkdir(parents=True)
    (settings.downloads / f"{SHA256}.partial").write_bytes(rest)
    assert fetch(server.url, SHA256, settings=settings, pause_s=0).path.read_bytes() == CONTENT


def test_other_bytes_than_promised_are_refused_and_removed(server: Server, settings: Settings) -> None:
    server.content = b"<html>Please log in</html>"
    found = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(SourceError, match=rf"26 bytes with SHA-256 {found}.*promises {SHA256}"):
        fetch(server.url, SHA256, settings=settings, pause_s=0)
    assert kept(settings) == []


def test_a_kept_file_that_was_damaged_is_not_trusted(server: Server, settings: Settings) -> None:
    path = fetch(server.url, SHA256, settings=settings).path
    path.write_bytes(CONTENT[:-1])
    assert fetch(server.url, SHA256, settings=settings).path.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_offline_a_kept_file_is_used_and_a_missing_one_refused(server: Server, settings: Settings, load: Load) -> None:
    offline = replace(settings, offline=True)
    with pytest.raises(SourceError, match="downloads are forbidden") as caught:
        fetch(server.url, SHA256, settings=offline)
    assert f"{SHA256}.csv" in str(caught.value.cure)
    assert server.asked == []
    fetch(server.url, SHA256, settings=settings)
    assert fetch(server.url, SHA256, settings=offline).path.read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server: Server, settings: Settings) -> None:
    server.statuses = [503, 429]
    assert fetch(server.url, SHA256, settings=settings, pause_s=0).path.is_file()
    assert len(server.asked) == 3
    server.statuses = [404, 404]
    with pytest.raises(SourceError, match="answered 404"):
        fetch(server.url, "0" * 64, settings=settings, pause_s=0)
    assert len(server.asked) == 4


def test_redirects_are_followed(server: Server, settings: Settings) -> None:
    url = server.url.replace("/files/records.csv", "/moved/records.csv")
    assert fetch(url, SHA256, settings=settings).path.read_bytes() == CONTENT


def test_messages_and_logs_show_no_user_password_or_query(
    server: Server, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.url.replace("//", "//nurse:hunter2@") + "?token=s3cret"
    server.cuts = [10]
    with caplog.at_level(logging.INFO, logger="clinical_assets"), pytest.raises(SourceError) as caught:
        fetch(url, "0" * 64, settings=settings, pause_s=0)
    shown = str(caught.value) + caplog.text
    assert "127.0.0.1" in shown
    assert "broke off" in shown
    assert not any(secret in shown for secret in ("nurse", "hunter2", "s3cret"))


@pytest.mark.parametrize("url", ["ftp://host/x.csv", "file:///etc/passwd", "http:///x.csv"])
def test_only_http_and_https_are_fetched(settings: Settings, url: str) -> None:
    with pytest.raises(SourceError, match="no http or https address"):
        fetch(url, SHA256, settings=settings)


def test_nobody_listening_is_told_after_the_last_attempt(settings: Settings) -> None:
    with pytest.raises(SourceError, match=f"in {remote._ATTEMPTS} attempts; 0 bytes came"):
        fetch("http://127.0.0.1:9/x.csv", SHA256, settings=settings, pause_s=0)


def test_several_readers_at_once_fetch_a_file_once(server: Server, settings: Settings) -> None:
    sizes: list[int] = []
    threads = [
        threading.Thread(target=lambda: sizes.append(fetch(server.url, SHA256, settings=settings).path.stat().st_size))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [len(CONTENT)] * 4
    assert server.asked == [None]
