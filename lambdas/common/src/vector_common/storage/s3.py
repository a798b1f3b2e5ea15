"""The store in an S3 bucket, under a prefix."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from vector_common import aws
from vector_common.conditional import VersionedObject
from vector_common.errors import Damaged, NotFound, PreconditionFailed, StoreError
from vector_common.names import check_key
from vector_common.storage.objects import Blob, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

_ATTEMPTS = 5
_BACKOFF_SECONDS = 0.2
# S3's limit for one DeleteObjects request.
_DELETE_BATCH = 1000
_MISSING = {"NoSuchKey", "404", "NotFound"}
# 412: the condition does not hold. 409: another conditional write of this key is under way.
_LOST = {"PreconditionFailed", "412"}
_RACING = {"ConditionalRequestConflict", "409"}
# botocore retries a request, but not the reading of a body that breaks off.
_BROKEN_BODY = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


def s3_client(**options: Any) -> Any:
    """Make an S3 client that gives up in time.

    Args:
        options: More arguments of ``boto3.client``, such as ``endpoint_url``.
    """
    # botocore waits 60 s for a connection and 60 s for a read; a Spot task has 120 s in all.
    config = {
        "connect_timeout": 5,
        "read_timeout": 20,
        "max_pool_connections": 32,
        "tcp_keepalive": True,
        "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
    }
    return aws.client("s3", config, **options)


class S3Storage:
    """Objects in a bucket. botocore's clients may be shared by threads, so this may be too."""

    def __init__(self, bucket: str, prefix: str, *, client: Any = None) -> None:
        self._bucket = bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._client = client or s3_client()

    @property
    def url(self) -> str:
        """Where the objects lie."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def get(self, key: str) -> Blob:
        """Read an object whole."""

        def attempt() -> Blob:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            return Blob(answer["Body"].read(), answer["ETag"])

        return self._retry(key, attempt)

    def observe(self, key: str) -> VersionedObject:
        """Read an object with its time, and the time now as S3's answer has it."""

        def attempt() -> VersionedObject:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            now = _date(answer, self.url)
            return VersionedObject(
                answer["Body"].read(), answer["ETag"], answer["LastModified"], now
            )

        return self._retry(key, attempt)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read a part of an object."""
        wanted = f"bytes={start}-{start + length - 1}"

        def attempt() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key), Range=wanted)
            data: bytes = answer["Body"].read()
            return data

        data = self._retry(key, attempt)
        if len(data) != length:
            raise Damaged(f"{key}: ends before byte {start + length}")
        return data

    def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        """Write an object whole."""
        condition: dict[str, str] = {}
        if if_match is not None:
            condition["IfMatch"] = if_match
        if if_none_match:
            condition["IfNoneMatch"] = "*"

        def attempt() -> str:
            answer = self._client.put_object(
                Bucket=self._bucket, Key=self._key(key), Body=data, **condition
            )
            etag: str = answer["ETag"]
            return etag

        try:
            return self._retry(key, attempt)
        except PreconditionFailed:
            return self._won_earlier(key, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with ``prefix``, sorted by key."""
        for answer in self._pages(Prefix=self._prefix + prefix):
            for item in answer.get("Contents", ()):
                key = item["Key"].removeprefix(self._prefix)
                yield ObjectInfo(key, item["Size"], item["ETag"], item["LastModified"])

    def folders(self, prefix: str) -> tuple[str, ...]:
        """The names that follow ``prefix`` up to the next slash, sorted."""
        full = self._prefix + prefix
        names = (
            item["Prefix"].removeprefix(full).rstrip("/")
            for answer in self._pages(Prefix=full, Delimiter="/")
            for item in answer.get("CommonPrefixes", ())
        )
        return tuple(sorted(names))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, a thousand a request."""
        full = [{"Key": self._key(key)} for key in keys]
        for start in range(0, len(full), _DELETE_BATCH):
            batch = {"Objects": full[start : start + _DELETE_BATCH], "Quiet": True}

            def attempt(batch: dict[str, Any] = batch) -> Any:
                return self._client.delete_objects(Bucket=self._bucket, Delete=batch)

            errors = self._retry("delete", attempt).get("Errors", [])
            if errors:
                first = errors[0]
                raise StoreError(
                    f"{first.get('Key')}: not deleted ({first.get('Code')}), "
                    f"{len(errors)} such in {self.url}"
                )

    def _key(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _pages(self, **arguments: str) -> Iterator[Any]:
        while True:

            def attempt(arguments: dict[str, str] = arguments) -> Any:
                return self._client.list_objects_v2(Bucket=self._bucket, **arguments)

            answer = self._retry(arguments["Prefix"], attempt)
            yield answer
            if not answer.get("IsTruncated"):
                return
            arguments = {**arguments, "ContinuationToken": answer["NextContinuationToken"]}

    def _won_earlier(self, key: str, data: bytes) -> str:
        # A write whose answer got lost is sent again by botocore and then fails its own condition.
        try:
            current = self.get(key)
        except NotFound:
            raise PreconditionFailed(f"{key}: is gone from {self.url}") from None
        if current.data != data:
            raise PreconditionFailed(f"{key}: another writer was first in {self.url}")
        return current.etag

    def _retry(self, key: str, attempt: Callable[[], T]) -> T:
        for left in reversed(range(_ATTEMPTS)):
            try:
                return attempt()
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code not in _RACING or not left:
                    self._explain(key, error, code)
            except BotoCoreError as error:
                if not left or not isinstance(error, _BROKEN_BODY):
                    raise StoreError(f"{key}: {error} in {self.url}") from error
            time.sleep(random.uniform(0, _BACKOFF_SECONDS * 2 ** (_ATTEMPTS - left)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _explain(self, key: str, error: ClientError, code: str) -> NoReturn:
        if code in _MISSING:
            raise NotFound(f"{key}: not in {self.url}") from None
        if code in _LOST or code in _RACING:
            raise PreconditionFailed(f"{key}: another writer was first in {self.url}") from None
        if code == "InvalidRange":
            raise Damaged(f"{key}: is shorter in {self.url} than its manifest states") from None
        raise StoreError(f"{key}: {error} in {self.url}") from error


def _date(answer: Any, url: str) -> datetime:
    """The time at which S3 answered, from the header that RFC 9110 asks of every server."""
    header = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if not header:
        raise StoreError(f"the store at {url} sends no Date header, which leases are judged by")
    # Dates are in UTC, whichever way a server spells it.
    return parsedate_to_datetime(header).replace(tzinfo=UTC)
