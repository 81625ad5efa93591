"""Keys, and DuckDB's own encryption with them: one derived key a cohort, AES-GCM at rest.

What belongs here: deriving the key, making DuckDB able to write with it, naming it in SQL. What does not: opening
files (``connections``) and turning plain files into encrypted ones (``migration``).

DuckDB writes encrypted files, temporary ones included, only with the cryptography of its ``httpfs`` extension; without
it, such files can only be read. The extension comes as a Python package and is loaded from there by path, so nothing
is ever downloaded.
"""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import KEY, KEY_FILE, Settings
from clinical_assets.warehouse.store.sql_text import literal

if TYPE_CHECKING:
    import duckdb

PARQUET_KEY_NAME = "cohort"
_EXTENSION = "httpfs"
_PACKAGE = "duckdb_extension_httpfs"
_REMOTE_FILE_SYSTEMS = "HTTPFileSystem,S3FileSystem,HuggingFaceFileSystem"
_ENCRYPTED_PARQUET, _PLAIN_PARQUET = b"PARE", b"PAR1"


def cohort_key(cohort: str, settings: Settings) -> str | None:
    """The cohort's AES-256 key in base64, or None when no master key is configured.

    HKDF with SHA-256 (RFC 5869) over the master key, with the cohort's name as info: whoever holds one cohort's key
    can open no other cohort.
    """
    if settings.master_key is None:
        return None
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=cohort.encode()).derive(settings.master_key)
    return base64.b64encode(derived).decode("ascii")


def extension_path() -> Path:
    """The file of DuckDB's ``httpfs`` extension inside its Python package.

    Raises
    ------
    WarehouseError
        When the package is missing or made for another version of DuckDB.
    """
    import duckdb

    cure = f'pip install "duckdb-extension-httpfs=={duckdb.__version__}"'
    found = importlib.util.find_spec(_PACKAGE)
    folders = (found.submodule_search_locations or []) if found is not None else []
    for folder in folders:
        path = Path(folder) / "extensions" / f"v{duckdb.__version__}" / f"{_EXTENSION}.duckdb_extension"
        if path.is_file():
            return path
    raise WarehouseError(
        f"An encryption key is configured, but DuckDB {duckdb.__version__} can write encrypted files only with its "
        f"extension {_EXTENSION}, which is not installed for this version.",
        cure=cure,
    )


def enable_encryption(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the cryptography that DuckDB needs for writing; the network access that comes with it stays off."""
    connection.load_extension(str(extension_path()))
    connection.execute(f"SET disabled_filesystems = {literal(_REMOTE_FILE_SYSTEMS)}")


def add_parquet_key(connection: duckdb.DuckDBPyConnection, key: str) -> None:
    """Make the cohort's key known to the connection for reading and writing Parquet files."""
    connection.execute(f"PRAGMA add_parquet_key({literal(PARQUET_KEY_NAME)}, {literal(key)})")


def parquet_options(key: str | None) -> list[str]:
    """Options of a COPY to Parquet that say with which key; none without one."""
    return [] if key is None else [f"ENCRYPTION_CONFIG {{footer_key: {literal(PARQUET_KEY_NAME)}}}"]


def read_parquet(path: Path, key: str | None) -> str:
    """A relation that reads one Parquet file, with the cohort's key when there is one."""
    option = "" if key is None else f", encryption_config = {{footer_key: {literal(PARQUET_KEY_NAME)}}}"
    return f"read_parquet({literal(str(path))}{option})"


def is_encrypted_parquet(path: Path) -> bool:
    """True when a Parquet file hides even its column names, as files written here with a key do.

    Raises
    ------
    WarehouseError
        When the file is no Parquet file.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start not in (_ENCRYPTED_PARQUET, _PLAIN_PARQUET):
        raise WarehouseError(
            f"Snapshot {path.name} of {path.parent.name} is not a Parquet file: it is damaged.",
            cure="Delete it and materialize raw_records again from the source.",
        )
    return start == _ENCRYPTED_PARQUET


class KeyMissing(WarehouseError):
    """Something is encrypted, and no key was given."""


def key_missing(what: str) -> KeyMissing:
    """The error for something encrypted when no key is configured."""
    return KeyMissing(f"{what} is encrypted, and no key is configured.", cure=f"Set {KEY_FILE} (or {KEY}).")


def key_wrong(what: str) -> WarehouseError:
    """The error for something encrypted with another key."""
    return WarehouseError(
        f"{what} cannot be opened with the configured key: it was written with another master key or for another "
        "cohort.",
        cure=f"Point {KEY_FILE} (or {KEY}) at the key it was written with.",
    )


def still_plain(what: str, cohort: str) -> WarehouseError:
    """The error for something plain although a key is configured."""
    return WarehouseError(
        f"{what} is not encrypted, although a key is configured.",
        cure=f"Encrypt it once with: clinical-assets warehouse encrypt {cohort} (or unset {KEY_FILE} and {KEY}).",
    )
