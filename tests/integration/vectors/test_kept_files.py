"""What NFS leaves in a folder is no object; test_nfs.py shows the real thing, in minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vector_common.storage_file import FileStorage

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_nfs_keeps_for_its_readers_is_not_listed(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.put("a/b/1", b"one")
    (tmp_path / "a/b/.nfs000000000000340400000001").write_bytes(b"deleted while it was read")
    (tmp_path / "a/.nfs000000000000340400000002").write_bytes(b"another")
    assert [info.key for info in storage.list("a/")] == ["a/b/1"]
    assert storage.folders("a/") == ("b",)
