"""What is left in a folder is no object: by NFS (test_nfs.py shows it), by writers that died."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from vector_common.storage.folder import FileStorage

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_nfs_keeps_for_its_readers_is_not_listed(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.put("a/b/1", b"one")
    (tmp_path / "a/b/.nfs000000000000340400000001").write_bytes(b"deleted while it was read")
    (tmp_path / "a/.nfs000000000000340400000002").write_bytes(b"another")
    assert [info.key for info in storage.list("a/")] == ["a/b/1"]
    assert storage.folders("a/") == ("b",)


def test_what_a_killed_writer_left_is_removed_after_a_day(tmp_path: Path) -> None:
    FileStorage(tmp_path).put("a/1", b"one")
    old, new = (tmp_path / ".scratch" / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half of it")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    FileStorage(tmp_path).put("a/2", b"two")
    assert [path.name for path in (tmp_path / ".scratch").iterdir()] == ["new"]
    assert [info.key for info in FileStorage(tmp_path).list("")] == ["a/1", "a/2"]
