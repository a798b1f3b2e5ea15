"""Writes an image in the format that ``docker save`` writes and every engine loads.

``docker import`` of older engines records the architecture of the host; here it is written into
the image's configuration, as the image specification of Docker (v1.2) has it.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from layersmith import cache
from layersmith.base import architectures

if TYPE_CHECKING:
    from pathlib import Path


CREATED = "2020-01-01T00:00:00Z"
"""Date of every image, so that the same content has the same digest."""


def write(path: Path, root: Path, *, tag: str, architecture: str, config: dict[str, Any]) -> None:
    """Write the tree below ``root`` as an image of one layer, everything owned by root.

    Args:
        path: The archive to write.
        root: The file system of the image.
        tag: Name and tag.
        architecture: ``arm64`` or ``x86_64``.
        config: Entrypoint, Env, Labels and the like.
    """
    layer = path.with_suffix(".layer.tar")
    _write_layer(layer, root)
    described = {
        "architecture": architectures.get(architecture).oci,
        "config": config,
        "created": CREATED,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{cache.sha256_file(layer)}"]},
    }
    if architecture == "arm64":
        described["variant"] = "v8"
    content = json.dumps(described, sort_keys=True).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add_bytes(archive, name, content)
        archive.add(layer, "layer.tar")
        _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()


def _write_layer(layer: Path, root: Path) -> None:
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=_as_root)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = 0
    if member.name == "tmp":
        member.mode = 0o1777
    elif member.isdir():
        member.mode = 0o755
    return member


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
