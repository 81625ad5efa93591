"""Findings: what a reader of a result must know and no number says by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One warning of a training, in a form that a card and a terminal can both show.

    Attributes
    ----------
    code : str
        Kind of finding, stable over versions.
    message : str
        What was found, with its numbers.
    cure : str
        What a person can do about it.
    """

    code: str
    message: str
    cure: str
