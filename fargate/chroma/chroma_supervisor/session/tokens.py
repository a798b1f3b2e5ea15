"""The bearer token of a session: minted here, kept outside the task's environment and history.

Only the token's SHA-256 stays in memory; the token itself goes to the place that
TOKEN_REFERENCE names, where IAM says who may read it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vector_common.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN_BYTES = 32
"""256 bits of :func:`secrets.token_urlsafe`: guessing is not an attack."""


class TokenVerdict(Enum):
    """What a request's Authorization header is worth."""

    ACCEPTED = "accepted"
    MISSING = "missing"
    WRONG = "wrong"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class SessionToken:
    """What is needed to recognise the token of one session.

    Args:
        digest: SHA-256 of the token.
        expires_at: Unix time in seconds; from then on the token is refused.
    """

    digest: bytes
    expires_at: float

    def check(self, header: str | None, now: float) -> TokenVerdict:
        """Judge an Authorization header (RFC 6750) at Unix time ``now``.

        Both sides of the comparison are digests of equal length, and it takes the same time
        wherever they differ. Whether the token has expired is only told to who has it.
        """
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return TokenVerdict.MISSING
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        if not hmac.compare_digest(digest, self.digest):
            return TokenVerdict.WRONG
        return TokenVerdict.ACCEPTED if now < self.expires_at else TokenVerdict.EXPIRED


def mint(lifetime: float, now: float | None = None) -> tuple[SessionToken, str]:
    """Make a token.

    Args:
        lifetime: Seconds until it expires.
        now: Unix time; by default the present.

    Returns:
        What recognises it, and the document to store: ``{"token": ..., "expiresAt": ...}``.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = (time.time() if now is None else now) + lifetime
    digest = hashlib.sha256(token.encode()).digest()
    return (
        SessionToken(digest, expires_at),
        json.dumps({"token": token, "expiresAt": int(expires_at)}),
    )


class TokenVault(Protocol):
    """Where the token waits for the session's functions."""

    def write(self, document: str) -> None:
        """Store the document, over an older one of the same session."""

    def remove(self) -> None:
        """Forget it; not an error if it is gone."""


@dataclass(frozen=True, slots=True)
class ParameterVault:
    """An SSM parameter of type SecureString."""

    client: Any
    name: str

    def write(self, document: str) -> None:
        """Put the parameter under the account's default key for SSM."""
        self.client.put_parameter(
            Name=self.name, Value=document, Type="SecureString", Overwrite=True
        )

    def remove(self) -> None:
        """Delete the parameter."""
        self.client.delete_parameters(Names=[self.name])


@dataclass(frozen=True, slots=True)
class SecretVault:
    """A secret of Secrets Manager."""

    client: Any
    name: str

    def write(self, document: str) -> None:
        """Create the secret, or give the existing one a new value."""
        try:
            self.client.create_secret(Name=self.name, SecretString=document)
        except self.client.exceptions.ResourceExistsException:
            self.client.put_secret_value(SecretId=self.name, SecretString=document)

    def remove(self) -> None:
        """Delete it without the recovery window: a token of a past session is worth nothing."""
        try:
            self.client.delete_secret(SecretId=self.name, ForceDeleteWithoutRecovery=True)
        except self.client.exceptions.ResourceNotFoundException:
            return


@dataclass(frozen=True, slots=True)
class ObjectVault:
    """An S3 object under SSE-KMS: the one vault that a VPC reaches without a paid endpoint."""

    client: Any
    bucket: str
    key: str

    def write(self, document: str) -> None:
        """Put the object, encrypted with the account's key for S3."""
        self.client.put_object(
            Bucket=self.bucket,
            Key=self.key,
            Body=document.encode(),
            ServerSideEncryption="aws:kms",
        )

    def remove(self) -> None:
        """Delete the object."""
        self.client.delete_object(Bucket=self.bucket, Key=self.key)


@dataclass(frozen=True, slots=True)
class FileVault:
    """A file that only its owner may read, for a mounted file system and for tests."""

    path: Path

    def write(self, document: str) -> None:
        """Write beside it, then replace it: a reader sees a whole document or none."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(document)
        temporary.replace(self.path)

    def remove(self) -> None:
        """Unlink it."""
        self.path.unlink(missing_ok=True)


def open_vault(reference: str, client: Callable[[str], Any]) -> TokenVault:
    """The vault that a TOKEN_REFERENCE names.

    Args:
        reference: ``ssm:/name``, ``secretsmanager:name``, ``s3://bucket/key`` or ``file:///path``.
        client: Makes the botocore client of the AWS service it is given.

    Raises:
        SettingsError: The reference has none of these forms.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "ssm" and rest:
        return ParameterVault(client("ssm"), rest)
    if scheme == "secretsmanager" and rest:
        return SecretVault(client("secretsmanager"), rest)
    bucket, _, key = rest.removeprefix("//").partition("/")
    if scheme == "s3" and bucket and key:
        return ObjectVault(client("s3"), bucket, key)
    if scheme == "file" and rest.startswith("///"):
        return FileVault(Path(rest.removeprefix("//")))
    raise SettingsError(
        f"TOKEN_REFERENCE={reference!r} names no vault; use ssm:/name, secretsmanager:name, "
        "s3://bucket/key or file:///path"
    )
