"""Real wheels and sdists for integration tests, from the index that uv is set up for."""

from __future__ import annotations

import subprocess
import zipfile
from typing import TYPE_CHECKING

from layersmith.base import runtimes
from layersmith.config.models import Layer
from layersmith.lock import resolver, wheelstore
from layersmith.plan import Target

from tests.support import clocks

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.lock.resolver import File


NUMPY = ("2.3.5", "784db1dcdab56bf0517743e746dfb0f885fc68d948aba86eeec2cba234bdf1c0")
"""The newest numpy for every Python that the tests run with, and the hash of its sdist."""


def wheel(name: str, version: str, runtime: str, architecture: str, folder: Path) -> Path:
    """Return the wheel that a target would take."""
    layer = Layer(description="a test", version="1.0.0", runtimes=[runtime], requirements=[name])
    target = Target("test", runtimes.get(runtime), architecture, layer)
    (offer,) = resolver.offers(target, [f"{name}=={version}"], folder)
    return _stored(next(file for file in offer.files if file.is_wheel))


def sdist(name: str, version: str, sha256: str, folder: Path) -> Path:
    """Return the sdist of a version, which must have the given hash."""
    found = resolver.sdist(name, version, "3.13", folder)
    assert found is not None
    assert found.sha256 == sha256
    return _stored(found)


def unpack(wheels: list[Path], folder: Path) -> Path:
    """Unpack wheels as they would lie at python/ of a layer."""
    for path in wheels:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    return folder


def in_container(site: Path, *words: str | Path, timeout: float = 300) -> str:
    """Run Python 3.13 in an ARM64 container, with ``site`` at /opt/python; return its stdout."""
    from layersmith.engine.client import Engine
    from layersmith.prove import base_images

    image = base_images.choose(Engine("tests"), runtimes.get("python3.13"), "arm64").facts.name
    argv = [
        *("docker", "run", "--rm", "--network", "none", "--label", "layersmith.run=tests"),
        *("--volume", f"{site}:/opt/python:ro", "--env", "PYTHONPATH=/opt/python"),
        *("--env", "PYTHONDONTWRITEBYTECODE=1", "--entrypoint", "python3.13", image),
        *(str(word) for word in words),
    ]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=clocks.seconds(timeout), check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def _stored(file: File) -> Path:
    assert file.sha256 is not None
    stored = wheelstore.verified(file.sha256, file.filename)
    if stored:
        return stored
    return wheelstore.fetch_one(wheelstore.Download(file.sha256, file.url, file.filename))
