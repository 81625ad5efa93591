"""Where state lives and what the machine may use: the only module that reads environment variables.

What belongs here: names of variables, their meaning, their defaults. Everything is read when asked for,
never at import, so a test or a worker that changes the environment sees the change.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from clinical_assets.errors import ClinicalAssetsError

DATA = "CLINICAL_ASSETS_DATA"
CATALOGUE = "CLINICAL_ASSETS_CATALOGUE"
KEY = "CLINICAL_ASSETS_KEY"
KEY_FILE = "CLINICAL_ASSETS_KEY_FILE"
MEMORY = "CLINICAL_ASSETS_MEMORY"
THREADS = "CLINICAL_ASSETS_THREADS"
LOCK_PATIENCE = "CLINICAL_ASSETS_LOCK_PATIENCE_S"
OFFLINE = "CLINICAL_ASSETS_OFFLINE"
TRACKING_URI = "CLINICAL_ASSETS_TRACKING_URI"
RECORDS_URI = "CLINICAL_ASSETS_RECORDS_URI"
KEYS = "CLINICAL_ASSETS_KEYS"
ACTOR = "CLINICAL_ASSETS_ACTOR"
ADVISORIES = "CLINICAL_ASSETS_ADVISORIES"
ALERT_URLS = "CLINICAL_ASSETS_ALERT_URLS"
ALERT_SECRET = "CLINICAL_ASSETS_ALERT_SECRET"  # pragma: allowlist secret
SENTRY_DSN = "CLINICAL_ASSETS_SENTRY_DSN"

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Settings:
    """What the environment says, read once per use.

    Attributes
    ----------
    data : Path
        The folder that holds all state; nothing is written elsewhere.
    catalogue : tuple of Path
        Folders with cohort descriptions of a team, searched before the shipped ones.
    master_key : bytes or None
        Secret from which each cohort's encryption key is derived; None means files are not encrypted.
    memory_limit : str
        DuckDB's memory limit per connection, such as ``"4GB"``.
    threads : int
        DuckDB threads per connection.
    lock_patience_s : float
        Seconds to wait for another process to let go of a cohort before giving up.
    offline : bool
        True forbids every download, so that a missing file is refused at once.
    tracking_uri : str or None
        Address of an MLflow tracking server (or database); None keeps runs and models in the data folder.
    records_uri : str or None
        SQLAlchemy address of the database of records (signatures, verdicts, audit ledger); None keeps them in SQLite
        in the data folder.
    keys_folder : Path or None
        Folder of pseudonym keys and of the ledger's anchors, apart from the data: whoever copies the data folder has
        neither. By default beside it, ``<data>-keys``.
    actor : str or None
        Account in whose name this process acts, for the audit ledger; None is the operating system's account.
    advisories : Path or None
        Known vulnerabilities of Python packages as files: a folder of OSV records, a JSON list of them, or a report of
        pip-audit. None means that the installed packages cannot be checked against any.
    alert_urls : tuple of str
        Where alerts go beside the log: ``smtp://`` and ``smtps://`` (e-mail), ``https://`` (webhook).
    alert_secret : str or None
        Secret with which webhooks are signed, so that the receiver knows who called.
    sentry_dsn : str or None
        Address of a Sentry project that alerts go to.
    """

    data: Path
    catalogue: tuple[Path, ...]
    master_key: bytes | None
    memory_limit: str
    threads: int
    lock_patience_s: float
    offline: bool
    tracking_uri: str | None = field(default=None, repr=False)  # may hold a password
    records_uri: str | None = field(default=None, repr=False)  # may hold a password
    keys_folder: Path | None = None
    actor: str | None = None
    advisories: Path | None = None
    alert_urls: tuple[str, ...] = field(default=(), repr=False)  # may hold passwords
    alert_secret: str | None = field(default=None, repr=False)
    sentry_dsn: str | None = field(default=None, repr=False)  # holds a key

    @property
    def warehouse(self) -> Path:
        """Folder of the per-cohort DuckDB files."""
        return self.data / "warehouse"

    @property
    def snapshots(self) -> Path:
        """Folder of the unchanged raw inputs as Parquet."""
        return self.data / "snapshots"

    @property
    def downloads(self) -> Path:
        """Folder of fetched files, named by their SHA-256."""
        return self.data / "downloads"

    @property
    def tracking(self) -> Path:
        """Folder of MLflow's runs, models and their files, when no server keeps them."""
        return self.data / "mlflow"

    @property
    def keys(self) -> Path:
        """Folder of pseudonym keys and ledger anchors, apart from the data."""
        return self.keys_folder or self.data.with_name(f"{self.data.name}-keys")

    @property
    def records(self) -> Path:
        """Folder of the SQLite database of records, when no server keeps them."""
        return self.data / "records"

    @property
    def serving(self) -> Path:
        """Folder of the pointers that say which bundle serves a cohort."""
        return self.data / "serving"

    @property
    def dossiers(self) -> Path:
        """Folder of release dossiers, ``<cohort>/<bundle>``."""
        return self.data / "dossiers"

    @property
    def inbox(self) -> Path:
        """Folder where new records are dropped, ``<cohort>/``."""
        return self.data / "inbox"

    @property
    def alerts(self) -> Path:
        """Folder of alerts that were sent, or wait to be."""
        return self.data / "alerts"

    @property
    def bundles(self) -> Path:
        """Folder of model bundles, ``<cohort>/<digest>``."""
        return self.data / "bundles"

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment now.

        Raises
        ------
        ClinicalAssetsError
            When a variable holds something that cannot be used, such as an empty key file.
        """
        env = os.environ
        data = Path(env.get(DATA) or "data").expanduser().absolute()
        folders = tuple(Path(part).expanduser().absolute() for part in env.get(CATALOGUE, "").split(os.pathsep) if part)
        return cls(
            data=data,
            catalogue=folders,
            master_key=_master_key(),
            memory_limit=env.get(MEMORY) or "4GB",
            threads=_number(THREADS, default=os.cpu_count() or 1, kind=int, least=1),
            lock_patience_s=_number(LOCK_PATIENCE, default=600.0, kind=float, least=0.0),
            offline=env.get(OFFLINE, "").strip().lower() in {"1", "true", "yes"},
            tracking_uri=env.get(TRACKING_URI, "").strip() or None,
            records_uri=env.get(RECORDS_URI, "").strip() or None,
            keys_folder=Path(env[KEYS]).expanduser().absolute() if env.get(KEYS) else None,
            actor=env.get(ACTOR, "").strip() or None,
            advisories=Path(env[ADVISORIES]).expanduser().absolute() if env.get(ADVISORIES) else None,
            alert_urls=tuple(url.strip() for url in env.get(ALERT_URLS, "").split(",") if url.strip()),
            alert_secret=env.get(ALERT_SECRET, "").strip() or None,
            sentry_dsn=env.get(SENTRY_DSN, "").strip() or None,
        )


def _number(name: str, *, default: Number, kind: type[Number], least: Number) -> Number:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ClinicalAssetsError(
            f"{name} is {text!r}, which is not a number of at least {least}.", cure=f"Set {name} or unset it."
        )
    return value


def _master_key() -> bytes | None:
    given, file = os.environ.get(KEY), os.environ.get(KEY_FILE)
    if given and file:
        raise ClinicalAssetsError(f"Both {KEY} and {KEY_FILE} are set.", cure="Keep one of them.")
    if file:
        path = Path(file).expanduser()
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise ClinicalAssetsError(
                f"{KEY_FILE} names {path}, which cannot be read: {error.strerror}.",
                cure="Point it at a readable file that holds the key.",
            ) from error
    elif given:
        secret = given.encode()
    else:
        return None
    if len(secret) < 16:
        raise ClinicalAssetsError(
            f"The key from {KEY_FILE if file else KEY} has {len(secret)} bytes; at least 16 are needed.",
            cure="Make one with: python -c 'import secrets; print(secrets.token_hex(32))'",
        )
    return secret
