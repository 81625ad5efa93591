"""Following the relative links of pages, as a reader does who begins at one of them."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

_ADDRESSES = (r'href="([^"]+)"', r"(?<!!)\[[^\]]*\]\(([^)]+)\)")


def links_of(page: Path) -> set[Path]:
    """Files that a page of HTML or Markdown leads to, whether or not they are there; without web addresses."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(_ADDRESSES[page.suffix == ".md"], text)
    local = {each.partition("#")[0] for each in found if not re.match("[a-z]+:", each)} - {""}
    return {(page.parent / unquote(each)).resolve() for each in local}


def followed(start: Path) -> dict[Path, set[Path]]:
    """Every page that is reached from one, with what it leads to; raises where a file is not there."""
    seen: dict[Path, set[Path]] = {}
    waiting = [start.resolve()]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen[page] = links_of(page) if page.suffix in (".html", ".md") else set()
        if page.suffix not in (".html", ".md"):
            page.stat()
        waiting += seen[page]
    return seen
