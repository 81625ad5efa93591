"""The base model and the plain value types that every description is built from."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

Scalar = bool | int | float | str

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Strict(BaseModel):
    """Base of every model of a description: unknown keys are refused and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _is_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("use lower case letters, digits and underscores, starting with a letter, at most 63")
    return value


Name = Annotated[str, AfterValidator(_is_name)]
