"""Installed packages against the lock: is what runs here what was resolved, hashed and tested?

What belongs here: reading the lock, walking what the project needs, and the differences. What does not: whether a
version is known to be vulnerable (``vulnerabilities``).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.foundation.errors import ClinicalAssetsError

PROJECT = "clinical-assets"
LOCK = "requirements.lock"
# What brings packages in is not among what it brought.
_INSTALLERS = frozenset({"pip", "setuptools", "wheel", "uv", PROJECT})


class LockUnreadable(ClinicalAssetsError):
    """A lock that cannot be understood."""


@dataclass(frozen=True)
class PackageDifference:
    """One package that is not what it should be; ``installed`` or ``wanted`` is None where there is none."""

    name: str
    installed: str | None
    wanted: str | None

    def __str__(self) -> str:
        if self.installed is None:
            return f"{self.name} {self.wanted} is not installed"
        return f"{self.name} is {self.installed}, not {self.wanted}" if self.wanted else f"{self.name} {self.installed}"


@dataclass(frozen=True)
class LockComparison:
    """What comparing came to.

    Attributes
    ----------
    against : "lock" or "metadata"
        ``metadata`` where an installed package has no lock beside it: then only the ranges that it asks for are known.
    compared : int
        Packages compared.
    differing : tuple of PackageDifference
        Another version than wanted, or needed and absent.
    unlocked : tuple of PackageDifference
        Installed although the lock does not know them.
    """

    against: str
    compared: int
    differing: tuple[PackageDifference, ...]
    unlocked: tuple[PackageDifference, ...]


def lock_of_checkout() -> Path | None:
    """The lock beside the package in a checkout, or None in an installed package."""
    path = Path(__file__).parents[3] / LOCK
    return path if path.is_file() else None


def installed_packages() -> dict[str, str]:
    """Version of every installed distribution, by normalised name."""
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # a folder that an uninstall left behind has none
            # The first on the path is the one that imports find.
            found.setdefault(canonicalize_name(name), distribution.version)
    return dict(sorted(found.items()))


def compare_packages(lock: Path | None, *, installed: Mapping[str, str] | None = None) -> LockComparison:
    """Compare what is installed with a lock, or without one with what the project asks for.

    Parameters
    ----------
    lock : Path or None
        ``name==version ; marker`` lines as uv and pip-compile write them.
    installed : mapping, optional
        Instead of what is installed here.

    Raises
    ------
    LockUnreadable
        A line of the lock names no exact version.
    """
    have = dict(installed_packages() if installed is None else installed)
    needed = needed_packages(have)
    if lock is None:
        wrong = [PackageDifference(name, have.get(name), wanted) for name, wanted in _unmet(have)]
        return LockComparison("metadata", len(needed), tuple(wrong), ())
    locked = read_lock(lock)
    differing = [
        PackageDifference(name, have.get(name), version)
        for name, version in locked.items()
        # What only extras ask for may be absent.
        if (name in have or name in needed) and have.get(name) != version
    ]
    unlocked = [
        PackageDifference(name, version, None)
        for name, version in have.items()
        if name not in locked and name not in _INSTALLERS
    ]
    return LockComparison("lock", len(locked.keys() & have.keys()), tuple(differing), tuple(unlocked))


def read_lock(lock: Path) -> dict[str, str]:
    """Version by normalised name of what the lock wants on this machine."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    wanted: dict[str, str] = {}
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.split(" #")[0].strip().removesuffix("\\").strip()
        if not text or text.startswith(("#", "--")):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise LockUnreadable(f"{lock.name}:{number}: {error}.", cure="Write the lock again: make lock") from error
        exact = [each.version for each in requirement.specifier if each.operator == "=="]
        if len(exact) != 1:
            raise LockUnreadable(
                f"{lock.name}:{number}: {requirement.name} has no exact version.",
                cure="Write the lock again: make lock",
            )
        if requirement.marker is None or requirement.marker.evaluate():
            wanted[canonicalize_name(requirement.name)] = exact[0]
    return wanted


def needed_packages(have: Mapping[str, str]) -> frozenset[str]:
    """Normalised names of everything that the project needs without its extras, however far down."""
    return frozenset(dependency_graph(have)) - {PROJECT}


def dependency_graph(have: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """What the project and each package that it needs asks for on this machine, by normalised names."""
    from packaging.utils import canonicalize_name

    graph: dict[str, tuple[str, ...]] = {}
    asked: dict[str, set[str]] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(PROJECT, frozenset())]
    while waiting:
        name, extras = waiting.pop()
        if name in asked and extras <= asked[name]:
            continue
        asked.setdefault(name, set()).update(extras)
        wanted = [] if name != PROJECT and name not in have else _requirements(name, frozenset(asked[name]))
        graph[name] = tuple(sorted({canonicalize_name(each) for each, _, _ in wanted}))
        waiting += [(canonicalize_name(each), inner) for each, inner, _ in wanted]
    return graph


def _unmet(have: Mapping[str, str]) -> list[tuple[str, str]]:
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name

    return [
        (canonicalize_name(name), ranges or "any version")
        for name, _, ranges in _requirements(PROJECT, frozenset())
        if (version := have.get(canonicalize_name(name))) is None
        or not SpecifierSet(ranges).contains(version, prereleases=True)
    ]


def _requirements(name: str, extras: frozenset[str]) -> list[tuple[str, frozenset[str], str]]:
    """Name, extras and version range of what a distribution asks for here."""
    from packaging.requirements import Requirement

    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = []
    for text in texts:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            found.append((requirement.name, frozenset(requirement.extras), str(requirement.specifier)))
    return found
