"""The server's image, built as docs/chroma-server.md says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from layersmith.base import runtimes
from layersmith.engine.client import Engine
from layersmith.prove import base_images

ROOT = Path(__file__).parents[2]
PLATFORM = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}


def build(client: Any, run: str, architecture: str, context: Path, labels: dict[str, str]) -> str:
    """Assemble the image's context in a folder, build it, and return its tag.

    Args:
        client: Of the engine, from docker's own library.
        run: The name of the tests' run, which is in the tag.
        architecture: ``arm64`` or ``x86_64``.
        context: A folder that does not exist.
        labels: For the image.
    """
    command = [sys.executable, str(ROOT / "fargate/chroma/assemble.py")]
    command += ["--architecture", architecture, "--output", str(context)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    tag = f"layersmith-test/chroma-server:{run}-{architecture}"
    client.images.build(
        path=str(context),
        tag=tag,
        labels=labels,
        rm=True,  # a build's own containers stay otherwise, and carry no label
        forcerm=True,
        **_base(run, architecture),
    )
    return tag


def _base(run: str, architecture: str) -> dict[str, Any]:
    # Who names AWS's image has a registry, from which the Dockerfile's own base comes, too.
    if os.environ.get(base_images.VARIABLE):
        return {"platform": PLATFORM[architecture]}
    standin, _ = base_images.ensure_standin(Engine(run), runtimes.get("python3.13"), architecture)
    return {"buildargs": {"BASE": standin.facts.name}}
