"""Digest of the code that a function runs, so that a changed asset is known to be stale.

A function runs its own source, the functions and classes of its module that it names, and every module of this package
that it reaches by imports. Source files are read as text; nothing is imported, so that the digest costs milliseconds
where an import would cost seconds. A changed comment changes the digest: one run too many is better than a model of
yesterday's code that is shown as current. SQL models and descriptions belong to a cohort and have digests of their own.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

DIGEST_LENGTH = 16
# Indented and late imports count, those for type checkers do not.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#;]+)|import[ \t]+([^\n#;]+))", re.MULTILINE
)
_FOR_TYPES = re.compile(r"^([ \t]*)if TYPE_CHECKING:\n(?:\1[ \t]+[^\n]*\n|[ \t]*\n)+", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?:\s+as\s+\w+)?")


class CodeTree:
    """The Python files of one package and what each of them imports of it.

    Parameters
    ----------
    folder : Path
        Folder of the package; its name is the name of the package.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder.name
        self._read: dict[str, tuple[str, tuple[str, ...]]] = {}
        # Listed once: asking the disk for every name that an import might mean takes ten times as long.
        self._paths: dict[str, Path] = {}
        for name_of_place, _, files in os.walk(folder):
            place = Path(name_of_place)
            room = ".".join([self.package, *place.relative_to(folder).parts])
            for name in files:
                if name.endswith(".py"):
                    module = room if name == "__init__.py" else f"{room}.{name[:-3]}"
                    self._paths[module] = place / name

    def __contains__(self, module: str) -> bool:
        return module in self._paths

    def reached(self, *modules: str) -> tuple[str, ...]:
        """These modules and every module that they import, directly or through others, sorted."""
        found: set[str] = set()
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module not in found:
                found.add(module)
                waiting += self._look(module)[1]
        return tuple(sorted(found))

    def digest(self, *modules: str, source: str = "") -> str:
        """Digest of a source text and of the files of these modules with all that they import.

        Parameters
        ----------
        *modules : str
            Dotted names in the package.
        source : str
            Text that counts too.

        Returns
        -------
        str
            16 hexadecimal digits; the same on every machine that holds the same files.
        """
        parts = [hashlib.sha256(source.encode()).hexdigest()]
        parts += [f"{module} {self._look(module)[0]}" for module in self.reached(*modules)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGEST_LENGTH]

    def _look(self, module: str) -> tuple[str, tuple[str, ...]]:
        if module not in self._read:
            path = self._paths.get(module)
            if path is None:
                raise LookupError(f"{module} is no module of {self.package}.")
            # Read as text, because line ends as Git checks them out differ by machine.
            text = path.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            here = module if path.name == "__init__.py" else module.rpartition(".")[0]
            reached = self.imports(text, package=here)
            if "iter_modules(__path__)" in text:  # a registry: it loads every module of its folder
                reached |= {name for name in self._paths if name.rpartition(".")[0] == module}
            self._read[module] = (digest, tuple(sorted(reached - {module})))
        return self._read[module]

    def imports(self, text: str, *, package: str) -> set[str]:
        """Modules of this tree that a source text in this package imports, at its top or late."""
        found: set[str] = set()
        for match in _IMPORT.finditer(_FOR_TYPES.sub("", text)):
            source, names, plain = match.groups()
            if plain is not None:
                dotted = (part.split(" as ")[0].strip() for part in plain.split(","))
                found |= {name for name in dotted if self._is_ours(name)}
                continue
            if source.startswith("."):
                up = len(source) - len(source.lstrip("."))
                parents = package.split(".")
                source = ".".join([*parents[: len(parents) - up + 1], source.lstrip(".")]).rstrip(".")
            if not self._is_ours(source):
                continue
            found.add(source)
            for name in _NAME.findall(re.sub(r"#[^\n]*", "", names).strip("()")):
                if f"{source}.{name}" in self._paths:
                    found.add(f"{source}.{name}")
        # A package is run before its modules.
        for name in tuple(found):
            parts = name.split(".")
            found |= {".".join(parts[:n]) for n in range(1, len(parts))}
        return {name for name in found if name in self._paths}

    def _is_ours(self, module: str) -> bool:
        return module == self.package or module.startswith(f"{self.package}.")


def code_digest(function: Callable[..., Any], *modules: str, tree: CodeTree | None = None) -> str:
    """Digest of what a function runs of this package.

    Parameters
    ----------
    function : callable
        A function with a source file.
    *modules : str
        Modules of the package that it loads by name.
    tree : CodeTree, optional
        The package it belongs to; this package when None.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    tree = tree if tree is not None else _this_package()
    sources: dict[str, str] = {}
    found = set(modules)
    _follow(inspect.unwrap(function), tree, sources, found)
    text = "\n".join(f"{name}\n{source}" for name, source in sorted(sources.items()))
    return tree.digest(*sorted(found), source=text)


@cache
def _this_package() -> CodeTree:
    return CodeTree(Path(__file__).resolve().parents[1])


def _follow(item: Any, tree: CodeTree, sources: dict[str, str], modules: set[str]) -> None:
    """Enter a function or class, and what it names of its own module; other modules are entered by name."""
    name = f"{item.__module__}.{item.__qualname__}"
    if name in sources:
        return
    text = inspect.getsource(item)
    sources[name] = text
    modules |= tree.imports(text, package=item.__module__.rpartition(".")[0])
    functions = [item] if isinstance(item, FunctionType) else [f for f in vars(item).values() if _is_function(f)]
    for function in functions:
        for used in _names(function.__code__):
            value = function.__globals__.get(used)
            owner = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if not isinstance(owner, str) or not owner.startswith(f"{tree.package}."):
                continue
            if owner == item.__module__:
                if isinstance(value, FunctionType | type):
                    _follow(value, tree, sources, modules)
            elif owner in tree:
                modules.add(owner)


def _is_function(value: Any) -> bool:
    return isinstance(value, FunctionType)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
