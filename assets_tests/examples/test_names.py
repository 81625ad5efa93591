"""A name of a type means one thing in the whole package, so that a search for it finds it."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import clinical_assets

PACKAGE = Path(clinical_assets.__file__).parent


def exported_types() -> dict[str, list[str]]:
    """Classes and aliases in capitals, without an underscore, by the modules that define them."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            name = None
            if isinstance(node, ast.ClassDef):
                name = node.name
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name = node.target.id
            if name is not None and name[0].isupper() and not name.isupper():
                found[name].append(path.relative_to(PACKAGE).as_posix())
    return found


def test_an_exported_type_name_exists_once() -> None:
    types = exported_types()
    assert len(types) > 300
    assert {name: places for name, places in types.items() if len(places) > 1} == {}


def test_a_folder_holds_at_most_twelve_entries_and_says_what_belongs_in_it() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    crowded = {}
    silent = []
    for folder in folders:
        entries = [each.name for each in folder.iterdir() if each.name not in {"__init__.py", "__pycache__"}]
        if len(entries) > 12:
            crowded[folder.relative_to(PACKAGE).as_posix()] = len(entries)
        if not ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))):
            silent.append(folder.relative_to(PACKAGE).as_posix())
    assert (crowded, silent) == ({}, [])
