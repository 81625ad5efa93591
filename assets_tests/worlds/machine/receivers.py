"""Receivers of alerts on this machine: an SMTP server and an HTTP server that keep what they get, in threads."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_string
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class MailSink:
    """What an SMTP server was told: messages, envelopes, and the commands before them."""

    port: int = 0
    commands: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    #: Receivers that are not known here.
    refuse: tuple[str, ...] = ()


@contextlib.contextmanager
def mail_sink(*, port: int = 0) -> Iterator[MailSink]:
    """An SMTP server (RFC 5321) without encryption, with AUTH PLAIN."""
    sink = MailSink()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 sink")
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                sink.commands.append(line)
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    self.say("250-sink")
                    self.say("250 AUTH PLAIN")
                elif verb == "AUTH":
                    self.say("235 welcome")
                elif verb == "RCPT" and any(f"<{each}>" in line for each in sink.refuse):
                    self.say("550 nobody here of that name")
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        lines.append(text.removeprefix(".") if text.startswith("..") else text)
                    sink.messages.append(message_from_string("\n".join(lines)))
                    self.say("250 kept")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", port), Handler) as server:
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join(10)


@dataclass
class WebSink:
    """What an HTTP server was sent: path, headers and body of each request. ``answers`` are given one by one."""

    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@contextlib.contextmanager
def web_sink() -> Iterator[WebSink]:
    """An HTTP server that answers 200 unless told otherwise, and gives back the bodies that it took."""
    sink = WebSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status = sink.answers.pop(0) if sink.answers else 200
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"http://127.0.0.1:{sink.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            status = sink.answers.pop(0) if sink.answers else 200
            content = b"".join(body for _, _, body in sink.requests)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join(10)
