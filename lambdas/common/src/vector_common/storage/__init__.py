"""One interface over S3 and over a folder (a local disk, or EFS).

Both give what the data format relies on: a whole object or none, a read after a write, and
conditional writes of which exactly one wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from vector_common.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vector_common.conditional import VersionedObject
    from vector_common.storage.objects import Blob, ObjectInfo


class Storage(Protocol):
    """Objects under keys. Every method raises StoreError if the store does not answer."""

    @property
    def url(self) -> str:
        """Where the objects lie, as `open_storage` takes it."""

    def get(self, key: str) -> Blob:
        """Read an object whole.

        Raises:
            NotFound: There is none.
        """

    def observe(self, key: str) -> VersionedObject:
        """Read an object whole, with when it was written and the time now by the store's clock.

        Raises:
            NotFound: There is none.
        """

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read ``length`` bytes from the byte ``start``.

        Raises:
            NotFound: There is no such object.
            Damaged: It ends earlier.
        """

    def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        """Write an object whole and return its etag.

        Args:
            key: A plain relative key.
            data: The whole content.
            if_match: Write only over the object with this etag.
            if_none_match: Write only where there is none.

        Raises:
            PreconditionFailed: The condition does not hold, and what is there differs from
                ``data``. (If it does not differ, an earlier try of this write succeeded and
                only its answer was lost.)
        """

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with ``prefix``, sorted by key."""

    def folders(self, prefix: str) -> tuple[str, ...]:
        """The names that follow ``prefix`` up to the next slash, sorted.

        Args:
            prefix: Empty, or with a slash at its end.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are gone already count as deleted."""


def open_storage(url: str, *, client: Any = None) -> Storage:
    """Open a store.

    Args:
        url: ``s3://bucket/prefix`` or ``file:///folder``.
        client: An S3 client to use; one with finite timeouts is made if None.

    Raises:
        BadRequest: The URL is neither.
    """
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise BadRequest(f"storage: {url!r} has a query or a fragment")
    if parts.scheme == "s3" and parts.netloc:
        from vector_common.storage.s3 import S3Storage  # noqa: PLC0415 -- botocore starts slowly

        return S3Storage(parts.netloc, parts.path.strip("/"), client=client)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        from vector_common.storage.folder import FileStorage  # noqa: PLC0415

        return FileStorage(unquote(parts.path))
    raise BadRequest(f"storage: {url!r} is neither s3://bucket/prefix nor file:///folder")
