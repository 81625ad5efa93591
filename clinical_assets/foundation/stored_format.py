"""Stored documents: frozen types through which they are written and read, and the version that each carries.

What belongs here: the base of these types, the version's field and its check. What does not: what the versions of a
document mean; its own type knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from clinical_assets.foundation.atomic_files import SHARED, write_whole
from clinical_assets.foundation.canonical import readable_json
from clinical_assets.foundation.errors import ClinicalAssetsError

FIELD = "format"
_WHERE = "where"


class NewerFormat(ClinicalAssetsError):
    """A document that a newer version of this package wrote."""


class BadDocument(ClinicalAssetsError):
    """A stored document that lacks a field, or has one that its type does not know or takes otherwise."""


class StoredDocument(BaseModel):
    """Base of what is stored as JSON: written and read through the same type, frozen, unknown fields refused.

    Only fields that were given are written. A document of an earlier version, without the fields that came later, is
    therefore written again as it was, and a digest over it stays what it is.

    Examples
    --------
    >>> class Note(StoredDocument):
    ...     text: str
    ...     places: tuple[int, ...] = ()
    >>> Note.of({"text": "made again"}, where="a note").to_json()
    {'text': 'made again'}
    >>> Note.of({"text": "x", "places": [1, 2]}, where="a note").to_json()
    {'text': 'x', 'places': [1, 2]}
    """

    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        protected_namespaces=(),
        # NaN stays what it is, so that writing it as JSON is refused; pydantic would write null.
        ser_json_inf_nan="constants",
    )

    @classmethod
    def of(cls, content: object, *, where: Path | str) -> Self:
        """Read plain values.

        Parameters
        ----------
        content : object
            What a JSON parser gave.
        where : Path or str
            Their place, for the message; no value is repeated in it.

        Raises
        ------
        BadDocument
            Names the first field that does not fit.
        """
        try:
            return cls.model_validate(content, context={_WHERE: where})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise BadDocument(
                f"{where} is no {cls.__name__}: {field}: {first['msg'].lower()}.",
                cure="Restore it from a backup, or use the version of clinical_assets that wrote it.",
            ) from None

    def to_json(self) -> dict[str, Any]:
        """Plain values of the fields that were given, in their order; lists for tuples."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


class VersionedDocument(StoredDocument):
    """A document with a version of its own, which is its first field; one without the field is of version 1.

    Attributes
    ----------
    newest : int
        Version that is written, and the newest that is understood.

    Examples
    --------
    >>> class Place(VersionedDocument):
    ...     town: str
    >>> Place(town="Ulm").to_json()
    {'format': 1, 'town': 'Ulm'}
    >>> Place.of({"town": "Ulm"}, where="a place") == Place(town="Ulm")
    True
    """

    newest: ClassVar[int] = 1

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises
        ------
        FileNotFoundError
            There is none.
        BadDocument
            It is no JSON object, or does not have the fields of this type.
        NewerFormat
            A newer version of this package wrote it.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise BadDocument(f"{path} is no JSON object.", cure="Restore it from a backup.")
        return cls.of(content, where=path)

    def write(self, path: Path, *, mode: int = SHARED) -> Path:
        """Replace a file in one step; when this returns it is on disk."""
        return write_whole(path, readable_json(self.to_json()), mode=mode)

    @model_validator(mode="before")
    @classmethod
    def _of_a_known_version(cls, content: Any, info: ValidationInfo) -> Any:
        if not isinstance(content, Mapping):
            return content
        format_of(content, newest=cls.newest, where=(info.context or {}).get(_WHERE, f"A {cls.__name__}"))
        return {name: value for name, value in content.items() if name != FIELD}

    @model_serializer(mode="wrap")
    def _with_version(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {FIELD: self.newest, **fields(self)}


def format_of(content: Mapping[str, object], *, newest: int, where: Path | str) -> int:
    """The version of a stored document; 1 where it has none, as documents of the first version had.

    Parameters
    ----------
    content : mapping
        The document.
    newest : int
        The newest version that its reader understands.
    where : Path or str
        Its place, for the message.

    Raises
    ------
    NewerFormat
        The version is newer, or no whole number from 1 on.

    Examples
    --------
    >>> format_of({"made_at": "today"}, newest=2, where="a report")
    1
    >>> format_of({"format": 2}, newest=2, where="a report")
    2
    """
    found = content.get(FIELD, 1)
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= newest:
        raise NewerFormat(
            f"{where} has format {found!r}; this version of clinical_assets reads formats 1 to {newest}.",
            cure="Use the version of clinical_assets that wrote it, or a newer one.",
        )
    return found
