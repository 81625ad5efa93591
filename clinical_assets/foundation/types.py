"""Names of types that several rooms use.

What belongs here: shapes that any room may hand to any other. What does not: types of one room's own subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A value that JSON has.
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
# As texts, so that a module that needs the name of JSON alone does not load numpy.
FloatArray: TypeAlias = "NDArray[np.float64]"
IntArray: TypeAlias = "NDArray[np.int64]"
BoolArray: TypeAlias = "NDArray[np.bool_]"
