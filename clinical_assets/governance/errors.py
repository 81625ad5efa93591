"""The refusals of governance: each with a code that programs can read, beside words and cure."""

from __future__ import annotations

from clinical_assets.foundation.errors import ClinicalAssetsError


class Refused(ClinicalAssetsError):
    """What governance does not allow: a code for programs, words and a cure for people.

    Parameters
    ----------
    code : str
        Stable name of the reason, such as ``wrong_digest``.
    message : str
        What is refused and why.
    cure : str
        What would make it possible.
    """

    def __init__(self, code: str, message: str, *, cure: str) -> None:
        super().__init__(message, cure=cure)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.cure or ""))


def _rebuild(kind: type[Refused], code: str, message: str, cure: str) -> Refused:
    return kind(code, message, cure=cure)
