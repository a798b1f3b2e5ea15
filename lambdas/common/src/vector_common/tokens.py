"""The bearer token of a session, from where its server left it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from vector_common.errors import BadRequest, Unauthorized

_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 2,
    "read_timeout": 5,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}


@dataclass(frozen=True, slots=True)
class Token:
    """A token and the Unix second from which the server refuses it; never printed."""

    value: str
    expires_at: float

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at})"

    @property
    def expired(self) -> bool:
        """Whether it has less than a second to live."""
        return time.time() > self.expires_at - 1


def read_token(reference: str) -> Token:
    """Read a token.

    Args:
        reference: ``ssm:/name`` (SecureString), ``secretsmanager:name``, ``s3://bucket/key`` or
            ``file:///path``. What is there is JSON: ``{"token": ..., "expiresAt": ...}``.

    Raises:
        BadRequest: The reference is none of these.
        Unauthorized: There is no token, or it has expired: the session is over.
    """
    document = _read(reference, "session")
    try:
        raw = json.loads(document)
        token = Token(str(raw["token"]), float(raw["expiresAt"]))
    except (ValueError, KeyError, TypeError):
        raise Unauthorized("session: its token cannot be read") from None
    if token.expired:
        raise Unauthorized("session: its token has expired; start a session")
    return token


def read_secret(reference: str) -> str:
    """Read what a reference names, as it is; see `read_token`.

    Raises:
        BadRequest: The reference is not one.
        Unauthorized: There is nothing, or it may not be read.
    """
    return _read(reference, "secret")


def _read(reference: str, what: str) -> str:
    scheme, _, name = reference.partition(":")
    if scheme == "file":
        path = Path(unquote(urlsplit(reference).path))
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise Unauthorized(f"{what}: no token: {error.strerror}") from None
    if scheme not in {"ssm", "secretsmanager", "s3"} or not name:
        raise BadRequest(f"{what}.tokenReference: must begin with ssm:, secretsmanager: or s3://")
    # Slow to start, and not needed for a file.
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    from vector_common import aws  # noqa: PLC0415

    client = aws.client(scheme, _TIMEOUTS)
    try:
        return _from_aws(client, scheme, name)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise Unauthorized(f"{what}: no token at its reference ({code})") from None
    except BotoCoreError as error:
        raise Unauthorized(f"{what}: no token: {error}") from None


def _from_aws(client: Any, scheme: str, name: str) -> str:
    if scheme == "ssm":
        return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    if scheme == "secretsmanager":
        return str(client.get_secret_value(SecretId=name)["SecretString"])
    bucket, _, key = name.removeprefix("//").partition("/")
    body: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body.decode()
