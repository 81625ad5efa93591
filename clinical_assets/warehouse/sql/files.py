"""Where SQL models lie: a search path of folders, the first one that knows a name wins.

Each folder has ``staging/``, ``features/``, ``outcomes/`` and ``marts/``; a ``<name>.sql`` that lies in the folder
itself, beside a cohort's description, is a feature model.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.foundation.errors import SqlModelError

LAYERS = ("staging", "features", "outcomes", "marts")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class ModelFile:
    """One model: a file with one SELECT.

    Attributes
    ----------
    layer : str
        One of ``LAYERS``.
    name : str
        The file's name without ending.
    path : Path
        The file.
    folder : Path
        The folder of the search path in which it was found.
    """

    layer: str
    name: str
    path: Path
    folder: Path

    @property
    def id(self) -> str:
        """``layer.name``, which is also the table that ``run`` writes."""
        return f"{self.layer}.{self.name}"

    @property
    def shown(self) -> str:
        """The path as messages show it: from the search path's folder down, never the whole machine path."""
        return f"{self.folder.name}/{self.path.relative_to(self.folder).as_posix()}"

    def text(self) -> str:
        """The file's content.

        Raises
        ------
        SqlModelError
            When it cannot be read as UTF-8.
        """
        try:
            return self.path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise SqlModelError(
                f"{self.shown}: not UTF-8 at byte {error.start}.", cure="Save the file as UTF-8."
            ) from error
        except OSError as error:
            raise SqlModelError(f"{self.shown}: cannot be read: {error.strerror}.") from error


def find_models(folders: Sequence[Path]) -> dict[str, ModelFile]:
    """Every model by its id ``layer.name``, in the order of the layers and then by name.

    Raises
    ------
    SqlModelError
        When a folder holds one feature model twice, or a file's name cannot be a table's.
    """
    found: dict[str, ModelFile] = {}
    for folder in folders:
        here: dict[str, ModelFile] = {}
        for layer, place in (("features", folder), *((layer, folder / layer) for layer in LAYERS)):
            for path in sorted(place.glob("*.sql")):
                model = ModelFile(layer=layer, name=path.stem, path=path, folder=folder)
                if not _NAME.fullmatch(model.name):
                    raise SqlModelError(
                        f"{model.shown}: {model.name!r} cannot be a model's name.",
                        cure="Use lower case letters, digits and underscores, starting with a letter, at most 63.",
                    )
                if model.id in here:
                    raise SqlModelError(
                        f"{model.shown}: the feature model {model.name!r} also lies in {here[model.id].shown}.",
                        cure="Keep one of the two.",
                    )
                here[model.id] = model
        for identifier, model in here.items():
            found.setdefault(identifier, model)
    return dict(sorted(found.items(), key=lambda item: (LAYERS.index(item[1].layer), item[1].name)))


def resolve(models: Mapping[str, ModelFile], name: str) -> ModelFile:
    """The model that ``name`` means: ``layer.name``, or the bare name where one layer alone has it.

    Raises
    ------
    SqlModelError
        When there is none (near names are offered) or several.
    """
    if name in models:
        return models[name]
    hits = [model for model in models.values() if model.name == name]
    if len(hits) == 1:
        return hits[0]
    if hits:
        choices = " or ".join(model.id for model in hits)
        raise SqlModelError(f"Several SQL models are called {name!r}.", cure=f"Say which: {choices}.")
    layer, _, bare = name.rpartition(".")
    ids = difflib.get_close_matches(name, models, n=3)
    bares = difflib.get_close_matches(bare, [model.name for model in models.values()], n=3)
    near = list(dict.fromkeys([*ids, *(model.id for model in models.values() if model.name in bares)]))[:3]
    raise SqlModelError(
        f"No SQL model is called {name!r}.",
        cure=f"Did you mean {' or '.join(near)}?"
        if near
        else f"Add {layer or 'features'}/{bare}.sql, or correct the name.",
    )
