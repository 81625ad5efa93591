"""The base model and the plain value types that every description is built from."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

Scalar = bool | int | float | str

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Strict(BaseModel):
    """Base of every model of a description: unknown keys are refused and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


class Grown(Strict):
    """A model that got new fields after descriptions had been digested.

    A field in `LATER` stands in the plain form only where it was given a value of its own, so that the digest of a
    description that does not speak of it stays what it was when models were trained and signed.
    """

    LATER: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {
            name: value
            for name, value in plain.items()
            if name not in self.LATER or getattr(self, name) != fields[name].get_default(call_default_factory=True)
        }


def is_name(value: str) -> bool:
    """Whether a text may be the name of a cohort, table, column or model."""
    return _NAME.fullmatch(value) is not None


def _checked_name(value: str) -> str:
    if not is_name(value):
        raise ValueError("use lower case letters, digits and underscores, starting with a letter, at most 63")
    return value


Name = Annotated[str, AfterValidator(_checked_name)]
