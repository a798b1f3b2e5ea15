"""What a Lambda runtime brings along at /var/runtime: AWS's runtime client and boto3.

The versions are pinned in runtimes.toml, so that two machines prove against the same client.
"""

from __future__ import annotations

import json
from functools import cache as memoize
from importlib import resources
from typing import TYPE_CHECKING, Any

from layersmith import cache
from layersmith.prove import sites

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.base.runtimes import Runtime


@memoize
def image_data() -> dict[str, Any]:
    """Return images.json: AWS's base images, and what is installed beside them."""
    text = (
        resources.files("layersmith.prove.base_images").joinpath("images.json").read_text("utf-8")
    )
    data: dict[str, Any] = json.loads(text)
    return data


def requirements(runtime: Runtime) -> list[str]:
    """Return what is installed at /var/runtime, pinned."""
    return [f"{one.name}=={one.version}" for one in runtime.provides]


def folder(runtime: Runtime, architecture: str) -> Path:
    """Return a folder that holds the runtime's own packages, made once a version.

    Args:
        runtime: Whose interpreter loads them.
        architecture: ``arm64`` or ``x86_64``.

    Raises:
        ProofError: A package has no wheel for this runtime, or the index does not answer.
    """
    wanted = requirements(runtime)
    key = cache.sha256_bytes("\n".join([runtime.name, architecture, *wanted]).encode())[:16]
    final = cache.section("runtime-packages") / f"{runtime.name}-{architecture}-{key}"
    what = "AWS's runtime client"
    return sites.once(
        final, lambda folder: sites.install_for(runtime, architecture, folder, wanted, what=what)
    )
