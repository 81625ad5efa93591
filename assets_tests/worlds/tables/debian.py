"""Debian archives and R data files, made in the test: an ar archive round a tree, and objects that rdata writes."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_deb(path: Path, files: Mapping[str, bytes], *, packing: str = "xz") -> Path:
    """A ``.deb`` with these files, as ``dpkg-deb`` lays one out: three members, each at an even place."""
    tree = io.BytesIO()
    with tarfile.open(fileobj=tree, mode=f"w:{packing}") as packed:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{packing}": tree.getvalue()}
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in members.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content)
            file.write(b"\n" * (len(content) % 2))
    return path


def rda(folder: Path, objects: Mapping[str, Any]) -> bytes:
    """A ``.rda`` file of these objects."""
    import rdata

    path = folder / "written.rda"
    rdata.write_rda(path, dict(objects))
    return path.read_bytes()


def lazy_load(folder: Path, objects: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """A lazy-load database of these objects, packed by zlib: its ``.rdb`` and its ``.rdx``."""
    import numpy as np
    import rdata

    database, places = b"", {}
    for name, value in objects.items():
        path = folder / "written.rds"
        rdata.write_rds(path, value, compression=None)
        plain = path.read_bytes()
        packed = len(plain).to_bytes(4, "big") + zlib.compress(plain)
        places[name] = np.array([len(database), len(packed)], dtype=np.int32)
        database += packed
    index = {"variables": places, "references": {}, "compressed": np.array([1], dtype=np.int32)}
    rdata.write_rds(folder / "written.rdx", index)
    return database, (folder / "written.rdx").read_bytes()


class Debian:
    """Stands in for apt: a command to download makes the archives of these files."""

    def __init__(self, packages: Mapping[str, Mapping[str, bytes]], *, archives: int = 1) -> None:
        self.packages, self.archives = packages, archives
        self.asked: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str], folder: Path) -> None:
        self.asked.append(command)
        for package in command[2:]:
            for release in range(self.archives):
                write_deb(folder / f"{package}_{release + 1}.0_all.deb", self.packages[package])
