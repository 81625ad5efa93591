"""Where state lives and what the machine may use: the only module that reads environment variables.

What belongs here: names of variables, their meaning, their defaults. Everything is read when asked for,
never at import, so a test or a worker that changes the environment sees the change.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from clinical_assets.foundation.errors import ClinicalAssetsError

DATA = "CLINICAL_ASSETS_DATA"
CATALOGUE = "CLINICAL_ASSETS_CATALOGUE"
SOURCES = "CLINICAL_ASSETS_SOURCES"
SOURCE_PREFIX = "CLINICAL_ASSETS_SOURCE_"
SOURCE_VARIABLES = "CLINICAL_ASSETS_SOURCE_VARIABLES"
KEY = "CLINICAL_ASSETS_KEY"
KEY_FILE = "CLINICAL_ASSETS_KEY_FILE"
MEMORY = "CLINICAL_ASSETS_MEMORY"
THREADS = "CLINICAL_ASSETS_THREADS"
LOCK_PATIENCE = "CLINICAL_ASSETS_LOCK_PATIENCE_S"
INBOX_SETTLED = "CLINICAL_ASSETS_INBOX_SETTLED_S"
INBOX_FOLDER_SETTLED = "CLINICAL_ASSETS_INBOX_FOLDER_SETTLED_S"
OFFLINE = "CLINICAL_ASSETS_OFFLINE"
UMASK = "CLINICAL_ASSETS_UMASK"
PREVIEWS = "CLINICAL_ASSETS_PREVIEWS"
TRACKING_URI = "CLINICAL_ASSETS_TRACKING_URI"
RECORDS_URI = "CLINICAL_ASSETS_RECORDS_URI"
KEYS = "CLINICAL_ASSETS_KEYS"
INSTALLATION_KEY = "CLINICAL_ASSETS_INSTALLATION_KEY"
INSTALLATION_SIGNER = "CLINICAL_ASSETS_INSTALLATION_SIGNER"
INSTALLATION = "CLINICAL_ASSETS_INSTALLATION"
WITNESSES = "CLINICAL_ASSETS_WITNESSES"
ACTOR = "CLINICAL_ASSETS_ACTOR"
ADVISORIES = "CLINICAL_ASSETS_ADVISORIES"
ALERT_URLS = "CLINICAL_ASSETS_ALERT_URLS"
ALERT_SECRET = "CLINICAL_ASSETS_ALERT_SECRET"  # pragma: allowlist secret
SENTRY_DSN = "CLINICAL_ASSETS_SENTRY_DSN"

LIMITS: dict[str, int] = {
    # A wide table costs memory for each column and thread; ten thousand and more belong into the micro-cohorts' matrix.
    "CLINICAL_ASSETS_MAX_COLUMNS": 5_000,
    "CLINICAL_ASSETS_MAX_GENERATED_ROWS": 20_000_000,
    # Nodes of a description once its aliases are spelled out, and how deep they lie.
    "CLINICAL_ASSETS_MAX_YAML_NODES": 200_000,
    "CLINICAL_ASSETS_MAX_YAML_DEPTH": 50,
    # Text packs to a tenth; a file that unpacks to hundreds of times its size was made to fill the disk.
    "CLINICAL_ASSETS_MAX_UNPACKED_RATIO": 200,
    "CLINICAL_ASSETS_MAX_TEMPLATE_SECONDS": 20,
    "CLINICAL_ASSETS_MAX_TEMPLATE_CHARACTERS": 5_000_000,
}
"""What inputs may cost at most, by the environment variable that sets another limit."""

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
        Report of ``pip-audit --format json`` on known vulnerabilities. None means that the installed packages cannot
        be checked.
    alert_urls : tuple of str
        Where alerts go beside the log: ``smtp://`` and ``smtps://`` (e-mail), ``https://`` (webhook).
    alert_secret : str or None
        Secret with which webhooks are signed, so that the receiver knows who called.
    sentry_dsn : str or None
        Address of a Sentry project that alerts go to.
    inbox_settled_s : float
        Seconds without a change after which a file in the inbox is taken for complete.
    inbox_folder_settled_s : float
        The same for a folder, whose files may come one after the other.
    installation_key : str or None
        Private key of the installation (Ed25519, 32 bytes as base64), with which the audit ledger is sealed; None
        keeps it in a file in the folder of keys.
    installation_signer : str or None
        ``package.module:Class`` that signs in place of such a key, for a PKCS#11 token or a key management service.
    installation : str or None
        Name of this installation, which no copy of its data folder has; None tells a copy by the file system's numbers.
    witnesses : tuple of str
        Places outside that each day's verification compares the ledger with and hands its newest head to.
    source_folders : tuple of Path
        Folders that descriptions may read files from, beside their own folder and the data folder.
    source_variables : tuple of str
        Environment variables that descriptions may name beside those that begin with ``CLINICAL_ASSETS_SOURCE_``.
    previews : bool
        Whether materialisations show values of records in Dagster's event log.
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
    inbox_settled_s: float = 2.0
    inbox_folder_settled_s: float = 10.0
    installation_key: str | None = field(default=None, repr=False)
    installation_signer: str | None = None
    installation: str | None = None
    witnesses: tuple[str, ...] = field(default=(), repr=False)  # may hold passwords
    source_folders: tuple[Path, ...] = ()
    source_variables: tuple[str, ...] = ()
    previews: bool = True

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
    def advisories_report(self) -> Path | None:
        """The report of known vulnerabilities: the one that was named, else what ``make advisories`` wrote; or None."""
        made = self.data / "advisories.json"
        return self.advisories or (made if made.is_file() else None)

    @property
    def serving(self) -> Path:
        """Folder of the pointers that say which bundle serves a cohort."""
        return self.data / "serving"

    @property
    def predictions(self) -> Path:
        """Folder of the logs of answers that the prediction API gave, ``<cohort>/``."""
        return self.data / "predictions"

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
        return cls(
            data=data,
            catalogue=_folders(CATALOGUE),
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
            inbox_settled_s=_number(INBOX_SETTLED, default=2.0, kind=float, least=0.0),
            source_folders=_folders(SOURCES),
            previews=env.get(PREVIEWS, "").strip().lower() not in {"0", "false", "no", "off"},
            source_variables=tuple(name.strip() for name in env.get(SOURCE_VARIABLES, "").split(",") if name.strip()),
            inbox_folder_settled_s=_number(INBOX_FOLDER_SETTLED, default=10.0, kind=float, least=0.0),
            installation_key=env.get(INSTALLATION_KEY, "").strip() or None,
            witnesses=tuple(each.strip() for each in env.get(WITNESSES, "").split(",") if each.strip()),
            installation=env.get(INSTALLATION, "").strip() or None,
            installation_signer=env.get(INSTALLATION_SIGNER, "").strip() or None,
        )


def private_umask() -> None:
    """From now on this process makes files and folders for its own account alone, unless `UMASK` says otherwise.

    Raises
    ------
    ClinicalAssetsError
        The variable holds no octal number.
    """
    text = os.environ.get(UMASK) or "077"
    try:
        os.umask(int(text, 8) & 0o777)
    except ValueError:
        raise ClinicalAssetsError(f"{UMASK} is {text!r}, no octal number.", cure="Write 077 or 027.") from None


def limit(name: str) -> int:
    """A limit of `LIMITS`, read now.

    Raises
    ------
    ClinicalAssetsError
        The variable holds no whole number of at least 1.
    """
    return _number(name, default=LIMITS[name], kind=int, least=1)


def _folders(name: str) -> tuple[Path, ...]:
    return tuple(Path(part).expanduser().absolute() for part in os.environ.get(name, "").split(os.pathsep) if part)


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
