"""Many small objects out of S3, for less processor time than botocore takes.

A pending delta is an object of a few kilobytes, and there may be 100,000 of them. botocore takes
1.2 ms of a core to get one, two minutes for all, and threads do not help: they share one
interpreter. Signing and sending a request here takes a seventh of that. Whatever does not come back
as a plain success is asked for again through the store's own client, which knows retries, redirects
and what errors mean.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from chroma_store.storage import Storage

_SECONDS = 20
"""For a connection, and for an answer; then the store's own client tries."""

_EMPTY = hashlib.sha256().hexdigest()


def reader(storage: Storage) -> Callable[[str], bytes]:
    """Make a function that reads an object whole; each thread that calls it keeps a connection.

    It raises what ``storage.get`` raises.
    """
    quick = _quick(storage) if storage.url.startswith("s3://") else None

    def read(key: str) -> bytes:
        data = quick(key) if quick else None
        return storage.get(key).data if data is None else data

    return read


def sign(credentials: Any, region: str, host: str, path: str, moment: float) -> dict[str, str]:
    """The headers of a GET of S3, by version 4 of AWS's signatures.

    Args:
        credentials: botocore's, frozen.
        region: Of the bucket.
        host: As the header says it, with a port that is not the scheme's own.
        path: Percent-encoded; without a query.
        moment: Unix seconds.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
    headers = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = hashlib.sha256(f"GET\n{path}\n\n{lines}\n{names}\n{_EMPTY}".encode()).hexdigest()
    scope = (stamp[:8], region, "s3", "aws4_request")
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{'/'.join(scope)}\n{request}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{'/'.join(scope)}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _quick(storage: Storage) -> Callable[[str], bytes | None] | None:
    """What reads from a bucket, or None where a proxy is between or there are no credentials.

    The function returns None for every answer but a whole object.
    """
    # botocore starts slowly, and a store in a folder does without.
    from botocore.httpsession import get_cert_path  # noqa: PLC0415
    from botocore.session import get_session  # noqa: PLC0415
    from botocore.utils import get_environ_proxies  # noqa: PLC0415

    # The store's own client, for it alone knows which endpoint, region and credentials are meant.
    client = getattr(storage, "_client", None)
    credentials = getattr(getattr(client, "_request_signer", None), "_credentials", None)
    if client is None or credentials is None or get_environ_proxies(client.meta.endpoint_url):
        return None
    place, region = urlsplit(storage.url), client.meta.region_name
    # botocore's rules say how the bucket is addressed: by path or host, dual-stack, FIPS.
    prefix = "".join(f"{part}/" for part in place.path.split("/") if part)
    wanted = {"Bucket": place.netloc, "Key": f"{prefix}key"}
    example = client.generate_presigned_url("get_object", Params=wanted)
    where = urlsplit(example.partition("?")[0].removesuffix("key"))
    context = None
    if where.scheme == "https":
        trusted = get_session().get_config_variable("ca_bundle") or get_cert_path(True)
        context = ssl.create_default_context(cafile=trusted)

    def connect() -> http.client.HTTPConnection:
        if context is None:
            return http.client.HTTPConnection(where.netloc, timeout=_SECONDS)
        return http.client.HTTPSConnection(where.netloc, timeout=_SECONDS, context=context)

    mine = threading.local()

    def get(key: str) -> bytes | None:
        path = where.path + quote(key)
        # Frozen, for another thread may be exchanging them for newer ones.
        frozen = credentials.get_frozen_credentials()
        if not hasattr(mine, "connection"):
            mine.connection = connect()
        try:
            headers = sign(frozen, region, where.netloc, path, time.time())
            mine.connection.request("GET", path, headers=headers)
            answer = mine.connection.getresponse()
            data: bytes = answer.read()
        except (OSError, http.client.HTTPException):
            mine.connection.close()
            return None
        return data if answer.status == 200 else None

    return get
