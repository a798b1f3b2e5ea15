"""A database as files in the function: float16 vectors, mapped into memory, searched whole.

Compaction exports each collection as two immutable files, named by their digests. They are read in
place from a folder, and from S3 once an execution environment, into its /tmp. ``stores.json`` says
which are current; its etag is asked again after `REFRESH_SECONDS`, so that a new export is taken
without a deployment, and a file that has not changed is not loaded again.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from vector_common.errors import Damaged, NotFound, StorageFull
from vector_common.names import check_database, export_key
from vector_common.stores.rows import Row, StoreAnswer, check_query
from vector_common.stores.state import read_stores
from vector_common.stores.table import fetch, matching
from vector_common.stores.where import parse_where

if TYPE_CHECKING:
    import array
    from collections.abc import Mapping

    from vector_common.records import EmbeddingModel
    from vector_common.storage import Storage
    from vector_common.stores.state import FedCollection, FedStore, StoredFile

REFRESH_SECONDS = 30.0
"""How long an execution environment may answer from an export that is not the current one."""

PART_BYTES = 8 * 1024 * 1024
PART_THREADS = 8
"""S3 serves one connection with about 80 MB/s (S3 user guide, performance guidelines)."""

CHUNK_ROWS = 1024
"""Rows converted at once: 1.5 MB with 384 dimensions stay in the processor's cache."""

MEMORY_SHARE = 0.33
"""Of the function's memory that may hold vectors as 32-bit floats, converted once: a warm query
then takes a fifth of the time."""

SPARE_ROWS = 32
"""Rows beyond the limit whose distance is calculated exactly, so that rounding loses none."""

_LARGEST = 3.4028234e38  # of 32-bit floats


class FileStore:
    """A database's current export; may be shared by threads.

    Args:
        storage: Where the database lies.
        database: Its name.
        cache: Folder for what is loaded from S3; a folder in /tmp if None.
    """

    def __init__(self, storage: Storage, database: str, *, cache: Path | None = None) -> None:
        self._storage = storage
        self._database = check_database(database)
        self._cache = cache or Path(tempfile.gettempdir()) / "vectors" / database
        self._lock = threading.Lock()
        self._fed: FedStore | None = None
        self._version = ""
        self._asked = -math.inf
        self._loaded: dict[FedCollection, _Vectors] = {}

    def query(
        self,
        collection: str,
        vector: array.array[float],
        limit: int,
        *,
        where: Mapping[str, Any] | None = None,
        documents: bool = False,
        model: EmbeddingModel | None = None,
    ) -> StoreAnswer:
        """Search all records of a collection, or those that a filter finds."""
        parsed = parse_where(where) if where else None
        try:
            vectors = self._vectors(collection)
        except NotFound:
            # Another export may have become current, and this one's files been deleted.
            self._asked = -math.inf
            vectors = self._vectors(collection)
        check_query(collection, vectors.fed, len(vector), model)
        if not vectors.fed.count:
            return StoreAnswer(vectors.fed.space, [])
        rows = matching(vectors.table, parsed) if parsed else None
        near = vectors.nearest(vector, limit, rows)
        records = fetch(vectors.table, [row for row, _ in near])
        found = []
        for row, distance in near:
            identifier, metadata, document = records[row]
            found.append(Row(identifier, distance, metadata, document if documents else None))
        return StoreAnswer(vectors.fed.space, found)

    def _vectors(self, name: str) -> _Vectors:
        with self._lock:
            fed = self._current().collections.get(name)
            if fed is None:
                raise NotFound(f"collection {name}: is not in the file store of {self._database}")
            if fed not in self._loaded:
                self._loaded[fed] = self._load(fed)
            return self._loaded[fed]

    def _current(self) -> FedStore:
        if self._fed is None or time.monotonic() - self._asked > REFRESH_SECONDS:
            state = read_stores(self._storage, self._database)
            fed = state.stores.get("file")
            if fed is None or not fed.snapshot:
                raise NotFound(
                    f"database {self._database}: has no file export yet; compaction makes it, or "
                    "`layersmith vectors migrate --to file`"
                )
            if state.version != self._version:
                self._loaded = {
                    one: vectors
                    for one, vectors in self._loaded.items()
                    if one in fed.collections.values()
                }
                self._sweep(fed.files)
            self._fed, self._version = fed, state.version
            self._asked = time.monotonic()
        return self._fed

    def _load(self, fed: FedCollection) -> _Vectors:
        if fed.vectors is None:
            raise Damaged(f"stores of {self._database}: an export names no vectors")
        return _Vectors(fed, self._local(fed.vectors), self._local(fed.records))

    def _local(self, file: StoredFile) -> Path:
        """A file of the export as a path."""
        key = export_key(self._database, file.sha256)
        parts = urlsplit(self._storage.url)
        path = self._cache / file.sha256
        if parts.scheme == "file":
            path = Path(unquote(parts.path)) / key
            if not path.is_file():
                raise NotFound(f"{key}: not in {self._storage.url}")
        elif not path.is_file():
            self._download(file, key, path)
        if path.stat().st_size != file.size:
            raise Damaged(f"{key}: has {path.stat().st_size} bytes, not {file.size}")
        return path

    def _download(self, file: StoredFile, key: str, path: Path) -> None:
        part = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as out, ThreadPoolExecutor(PART_THREADS) as pool:
                digest = hashlib.sha256()
                starts = range(0, file.size, PART_BYTES)
                read = self._storage.get_range
                for data in pool.map(
                    lambda at: read(key, at, min(PART_BYTES, file.size - at)), starts
                ):
                    digest.update(data)
                    out.write(data)
            if digest.hexdigest() != file.sha256:
                raise Damaged(f"{key}: is not what was exported; its checksum differs")
            part.replace(path)
        except OSError as error:
            raise StorageFull(
                f"{key}: {file.size} bytes do not fit into {self._cache} ({error.strerror}); give "
                "the function a larger EphemeralStorage"
            ) from None
        finally:
            part.unlink(missing_ok=True)

    def _sweep(self, current: set[str]) -> None:
        """Delete what earlier exports left in the cache."""
        if self._cache.is_dir():
            for path in self._cache.iterdir():
                if path.name not in current:
                    path.unlink(missing_ok=True)


class _Vectors:
    """The vectors of one collection, and the path of its records."""

    def __init__(self, fed: FedCollection, vectors: Path, table: Path) -> None:
        import numpy as np  # noqa: PLC0415 -- 60 ms, and only this store needs it

        self._np = np
        self.fed = fed
        self.table = table
        shape = (fed.count, fed.dimension)
        self._half: Any = (
            np.memmap(vectors, dtype="<f2", mode="r", shape=shape) if fed.count else np.zeros(shape)
        )
        self._whole: Any = None
        self._squares: Any = None
        self._lock = threading.Lock()

    def nearest(
        self, vector: array.array[float], limit: int, rows: list[int] | None
    ) -> list[tuple[int, float | None]]:
        """The nearest rows and their distances, among some rows or all."""
        np = self._np
        chosen = None if rows is None else np.asarray(rows, dtype=np.int64)
        count = self.fed.count if chosen is None else len(chosen)
        if not count:
            return []
        query = np.frombuffer(vector, dtype=np.float32).astype(np.float64)
        length = float(np.linalg.norm(query))
        if self.fed.space == "cosine" and length:
            query = query / length
        with np.errstate(over="ignore", invalid="ignore"):
            rough = self._rough((query * self.fed.scale).astype(np.float32), chosen)
        most = min(count, limit + SPARE_ROWS)
        best = np.argpartition(rough, most - 1)[:most] if most < count else np.arange(count)
        best = best if chosen is None else chosen[best]
        exact = self._exact(query, best)
        order = np.lexsort((best, exact))[:limit]
        return [(int(best[i]), _finite(float(exact[i]))) for i in order]

    def _rough(self, query: Any, chosen: Any) -> Any:
        """What grows with the distance, for every chosen row, in 32 bits."""
        np = self._np
        whole = self._converted() if chosen is None or self._whole is not None else None
        source = self._half if whole is None else whole
        count = self.fed.count if chosen is None else len(chosen)
        out = np.empty(count, dtype=np.float32)
        if whole is not None and chosen is None:
            out[:] = -(whole @ query)
        else:
            for start in range(0, count, CHUNK_ROWS):
                part = slice(start, min(start + CHUNK_ROWS, count))
                block = source[part if chosen is None else chosen[part]].astype(np.float32)
                out[part] = -(block @ query)
        if self.fed.space == "l2":
            squares = self._lengths()
            out = 2 * out + (squares if chosen is None else squares[chosen])
        # What overflowed is as far as can be, and must not be chosen by chance.
        return np.nan_to_num(out, copy=False, nan=np.inf, posinf=np.inf, neginf=-np.inf)

    def _exact(self, query: Any, rows: Any) -> Any:
        np = self._np
        block = self._half[rows].astype(np.float64) / self.fed.scale
        if self.fed.space == "l2":
            return ((block - query) ** 2).sum(axis=1)
        dots = block @ query
        if self.fed.space == "cosine":
            # Rounded to 16 bits, a vector's length is not quite 1.
            lengths = np.linalg.norm(block, axis=1)
            dots = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
        return 1 - dots

    def _converted(self) -> Any:
        """All vectors as 32-bit floats, if they fit; converted by the first query."""
        size = self._half.size * 4
        memory = float(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048")) * 2**20
        if size > memory * MEMORY_SHARE:
            return None
        with self._lock:
            if self._whole is None:
                np = self._np
                whole = np.empty(self._half.shape, dtype=np.float32)
                for start in range(0, self.fed.count, CHUNK_ROWS):
                    whole[start : start + CHUNK_ROWS] = self._half[start : start + CHUNK_ROWS]
                self._whole = whole
            return self._whole

    def _lengths(self) -> Any:
        """The squared length of every vector, calculated by the first query."""
        with self._lock:
            if self._squares is None:
                np = self._np
                squares = np.empty(self.fed.count, dtype=np.float32)
                for start in range(0, self.fed.count, CHUNK_ROWS):
                    block = self._half[start : start + CHUNK_ROWS].astype(np.float32)
                    squares[start : start + CHUNK_ROWS] = np.einsum("ij,ij->i", block, block)
                self._squares = squares
            return self._squares


def _finite(distance: float) -> float | None:
    return distance if abs(distance) <= _LARGEST else None
