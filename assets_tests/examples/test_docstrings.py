"""The statistics teach by example: each public function shows a call and what it gives."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from clinical_assets import statistics
from clinical_assets.pathways.signed_rank.kernel import walk_subjects
from clinical_assets.pathways.signed_rank.membership import membership_index
from clinical_assets.pathways.signed_rank.signed_rank import signed_rank

Function = Callable[..., Any]


def taught() -> list[ModuleType]:
    """Every module of the statistics, and those of the signed-rank test."""
    found = pkgutil.walk_packages(statistics.__path__, prefix=f"{statistics.__name__}.")
    own = [importlib.import_module(module.name) for module in found]
    return own + [sys.modules[function.__module__] for function in (walk_subjects, membership_index, signed_rank)]


def public_functions(module: ModuleType) -> list[Function]:
    """Functions that a module defines and does not hide; numba's compiled ones are no plain functions."""
    return [
        value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and inspect.isfunction(inspect.unwrap(value))
        and value.__module__ == module.__name__
        and value.__name__ == name
    ]


def calls_itself(function: Function) -> bool:
    """Whether an example of the function's docstring calls it."""
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(function) or "")
    return any(f"{function.__name__}(" in example.source for example in examples)


@pytest.mark.parametrize("module", taught(), ids=lambda module: module.__name__.removeprefix("clinical_assets."))
def test_each_public_function_shows_a_call_of_itself(module: ModuleType) -> None:
    silent = [function.__name__ for function in public_functions(module) if not calls_itself(function)]
    assert silent == []


def test_functions_are_found_compiled_ones_too() -> None:
    found = {function.__name__ for module in taught() for function in public_functions(module)}
    assert {"auroc", "binary_sample", "signed_rank", "membership_index", "walk_subjects", "fill_members"} <= found


def test_a_function_without_an_example_is_noticed() -> None:
    def bare() -> None:
        """Nothing is shown: bare() is only named."""

    def shown() -> None:
        """A call.

        >>> shown()
        """

    assert not calls_itself(bare)
    assert calls_itself(shown)
