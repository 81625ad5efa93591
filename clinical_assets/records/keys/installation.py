"""The key of an installation, with which it seals every entry of its ledger: Ed25519 (RFC 8032).

What belongs here: where the key lies, making it once, signing and checking. What does not: what is sealed
(``records.appending``).

The key lies apart from the data, in one of three places: a file in the folder of keys (the default), the variable
``CLINICAL_ASSETS_INSTALLATION_KEY``, or behind a class that ``CLINICAL_ASSETS_INSTALLATION_SIGNER`` names, for a
PKCS#11 token or a key management service that never hands it out. Machines that share a server of records share the
key. Public keys of former times, or of other machines, are trusted if they stand in ``installation.trusted``.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clinical_assets.foundation.atomic_files import flush
from clinical_assets.foundation.settings import INSTALLATION_KEY, INSTALLATION_SIGNER, Settings
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.private_files import private_folder, refused

KEY_FILE, TRUSTED_FILE = "installation.key", "installation.trusted"
_RAW_BYTES = 32


class Signer(Protocol):
    """What signs for the installation; a class named by the settings is called with them and must be one.

    Signatures are Ed25519, so the same message has the same signature each time.
    """

    def public_key(self) -> bytes:
        """The 32 bytes of the public key."""

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of a signature."""


class LocalSigner:
    """A private key in this process."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def public_key(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of a signature."""
        return self._key.sign(message)


def installation_signer(settings: Settings, *, create: bool = False) -> Signer:
    """What signs for this installation.

    Parameters
    ----------
    settings : Settings
        Where the key lies, or what signs in its place.
    create : bool
        Make the key's file if there is none: for a ledger that has no sealed entry yet.

    Raises
    ------
    RecordsError
        There is no key, or it cannot be used.
    """
    if settings.installation_signer is not None:
        return _named(settings.installation_signer, settings)
    if settings.installation_key is not None:
        return LocalSigner(_from_text(settings.installation_key))
    path = settings.keys / KEY_FILE
    if not path.exists():
        if not create:
            raise RecordsError(
                f"The key of this installation, {path}, is missing, and the ledger was sealed with it.",
                cure="Restore it from its backup, or copy it from another machine that uses the same database of "
                "records.",
            )
        _make(path)
    return LocalSigner(_from_file(path))


def trusted_keys(settings: Settings) -> tuple[bytes, ...]:
    """Public keys whose seals count here: the installation's own, and those of ``installation.trusted``."""
    found = []
    elsewhere = settings.installation_signer is not None or settings.installation_key is not None
    # A machine that only verifies may have no key of its own.
    if elsewhere or (settings.keys / KEY_FILE).exists():
        found.append(installation_signer(settings).public_key())
    path = settings.keys / TRUSTED_FILE
    try:
        lines = path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise RecordsError(f"{path} cannot be read.", cure="Restore it from its backup.") from error
    for line in lines:
        try:
            raw = base64.b64decode(line, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != _RAW_BYTES:
            raise RecordsError(f"{path} holds a line that is no public key.", cure="Restore it from its backup.")
        found.append(raw)
    return tuple(dict.fromkeys(found))


def is_signed(message: bytes, signature: bytes, keys: tuple[bytes, ...]) -> bool:
    """Whether one of the public keys made a signature of a message."""
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False


def derived_key(signer: Signer, purpose: str) -> bytes:
    """A symmetric key of 32 bytes for one purpose, which only the holder of the installation's key can make.

    From a signature, which Ed25519 makes the same each time, so that a key in a token serves too; by HKDF (RFC 5869).
    """
    material = signer.sign(f"clinical_assets derived key, version 1\n{purpose}".encode())
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(material)


def _make(path: Path) -> None:
    """A new key in a file that appears whole; of several first users one makes it, the others use it."""
    private_folder(path.parent)
    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(name, path)
        finally:
            Path(name).unlink()
        flush(path.parent)
    except OSError as error:
        raise refused(path, error) from error


def _from_file(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise refused(path, error) from error
    except (ValueError, TypeError) as error:
        raise RecordsError(f"{path} holds no private key.", cure="Restore it from its backup.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RecordsError(f"{path} holds a key of another kind than Ed25519.", cure="Restore it from its backup.")
    return key


def _from_text(text: str) -> Ed25519PrivateKey:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != _RAW_BYTES:
        raise RecordsError(
            f"{INSTALLATION_KEY} holds no Ed25519 private key: 32 bytes as base64.", cure="Set it right, or unset it."
        )
    return Ed25519PrivateKey.from_private_bytes(raw)


def _named(name: str, settings: Settings) -> Signer:
    module, _, attribute = name.partition(":")
    try:
        make = cast("Callable[[Settings], Signer]", getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        raise RecordsError(
            f"{INSTALLATION_SIGNER} names {name!r}, which cannot be imported.",
            cure="Name it as package.module:Class; it is called with the settings.",
        ) from error
    return make(settings)
