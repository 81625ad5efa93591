"""A software bill of materials in CycloneDX: the model, its files, and every package that it was made and runs with.

The same bundle and packages give the same bytes: the serial number is made of the content, and no time is written.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.supply_chain.dependencies import PROJECT, dependency_graph, installed_packages
from clinical_assets.modelling.bundle.bundle import Bundle

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import DisjunctiveLicense


FILE = "sbom.cdx.json"


class InvalidBill(ClinicalAssetsError):
    """A bill of materials that does not keep the CycloneDX schema."""


def make_bill(bundle: Bundle, *, title: str, installed: Mapping[str, str] | None = None) -> str:
    """The bill of one bundle as CycloneDX 1.6 JSON, checked against the schema.

    Parameters
    ----------
    bundle : Bundle
        The model; its files stand in the bill with their SHA-256.
    title : str
        What the model is, in words.
    installed : mapping, optional
        Version by normalised name, instead of what is installed here.

    Raises
    ------
    InvalidBill
        The schema is not kept.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    have = dict(installed_packages() if installed is None else installed)
    graph = dependency_graph(have)
    model = _model(bundle, title)
    bom = Bom(serial_number=uuid.UUID(int=0))
    bom.metadata.component = model
    packages = {name: _package(name, version) for name, version in {**have, PROJECT: _own_version()}.items()}
    for each in packages.values():
        bom.components.add(each)
    bom.register_dependency(model, [packages[PROJECT]])
    for name, each in packages.items():
        bom.register_dependency(each, [packages[need] for need in graph.get(name, ()) if need in packages])
    content: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library puts the present time and a random number here, and two equal bills would differ.
    content["metadata"].pop("timestamp", None)
    content.pop("serialNumber", None)
    name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    check_bill(text)
    return text


def check_bill(text: str) -> None:
    """Check a bill against the CycloneDX 1.6 schema.

    Raises
    ------
    InvalidBill
        Says where it breaks the schema.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        where = getattr(error.data, "json_path", "$")
        said = getattr(error.data, "message", str(error.data))
        raise InvalidBill(
            f"The bill of materials breaks the CycloneDX schema at {where}: {said[:200]}.",
            cure="Write it again with the installed cyclonedx-python-lib.",
        )


def keep_bill(folder: Path, text: str) -> Path:
    """Put a bill into a folder, whole or not at all."""
    return write_whole(folder / FILE, text)


def _model(bundle: Bundle, title: str) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    digest = bundle.digest.removeprefix("sha256:")
    files = {path.name: path for path in sorted(bundle.folder.iterdir()) if path.is_file() and path.name != "run.json"}
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=bundle.cohort,
        version=bundle.digest,
        description=title,
        bom_ref=f"model:{digest}",
        properties=[
            Property(name="clinical_assets:bundle_digest", value=bundle.digest),
            *(
                Property(name=f"clinical_assets:trained_with:{name}", value=version)
                for name, version in sorted(bundle.description.provenance.libraries.items())
            ),
        ],
        components=[
            Component(
                type=ComponentType.FILE,
                name=name,
                bom_ref=f"file:{digest}/{name}",
                hashes=[
                    HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(path.read_bytes()).hexdigest()),
                ],
            )
            for name, path in files.items()
        ],
    )


def _package(name: str, version: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"pkg:{name}@{version}",
        purl=PackageURL(type="pypi", name=name, version=version),
        licenses=_licences(name),
    )


def _licences(name: str) -> list[DisjunctiveLicense]:
    """What a package says of its licence; long texts are no names and are left out."""
    from cyclonedx.model.license import DisjunctiveLicense

    try:
        told = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    said = next((told[field] for field in ("License-Expression", "License") if field in told), "")
    if not said or len(said) > 100 or "\n" in said:
        classified = [each for each in told.get_all("Classifier") or [] if each.startswith("License :: ")]
        said = classified[0].rsplit(" :: ", 1)[-1] if classified else ""
    return [DisjunctiveLicense(name=said)] if said else []


def _own_version() -> str:
    return importlib.metadata.version(PROJECT)
