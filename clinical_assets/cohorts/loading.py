"""From a YAML file to a checked cohort description, and from the models to the schema that editors use."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.yaml_lines import parse, read_yaml
from clinical_assets.errors import SpecError


def load_spec(path: Path) -> CohortSpec:
    """Read and check one cohort description.

    Parameters
    ----------
    path : Path
        A YAML file named like the cohort.

    Raises
    ------
    SpecError
        Naming file, line, key and cure of everything that is wrong.
    """
    try:
        facts = path.stat()
    except OSError:
        return _load(path, 0, 0)  # says what is wrong
    return _load(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=256)
def _load(path: Path, changed_ns: int, size: int) -> CohortSpec:
    # Every check of a run asks for the description again; a file that was not written since is not parsed again.
    del changed_ns, size
    document = read_yaml(path)
    spec = parse(CohortSpec, document, noun="cohort description")
    if spec.name != path.stem:
        raise SpecError(
            f"{path}:{document.line(('name',))}: name: the cohort is called {spec.name!r} but the file {path.name!r}.",
            cure=f"Rename the file to {spec.name}.yaml or the cohort to {path.stem}.",
        )
    return spec


def dump_spec(spec: CohortSpec) -> str:
    """Write a description as YAML that reads back as the same description."""
    import yaml

    content = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    # The discriminators are defaults of nothing, but keep the reader's order: name first.
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a cohort description, for completion and checks in editors."""
    schema = CohortSpec.model_json_schema(by_alias=True)
    # The parser takes these short forms; editors must not mark them as wrong.
    column = schema["$defs"]["Column"]["properties"]
    roles = column["role"]["items"]
    column["role"] = {"anyOf": [roles, {"type": "array", "items": roles, "minItems": 1}], "default": ["feature"]}
    column["categories"]["anyOf"].append({"type": "array", "items": {"type": ["string", "number"]}})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Cohort description", **schema}
