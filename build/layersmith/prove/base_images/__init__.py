"""Chooses the image that stands for a Lambda runtime, and says which one it was.

It is AWS's own base image, or a stand-in made here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from layersmith import cache, console
from layersmith.base import architectures
from layersmith.engine import processes
from layersmith.errors import ProofError
from layersmith.prove import sites
from layersmith.prove.base_images import standin

if TYPE_CHECKING:
    from layersmith.base.runtimes import Runtime
    from layersmith.engine.client import Engine
    from layersmith.engine.models import ImageFacts


VARIABLE = "LAYERSMITH_IMAGE"
"""Environment variable that names an image, for all runtimes."""

Kind = Literal["named", "aws", "aws-tag", "stand-in"]


@dataclass(frozen=True)
class Choice:
    """An image and why it was taken.

    Attributes:
        facts: What the engine knows of it.
        kind: ``aws`` for AWS's own base image by digest, ``aws-tag`` for what its tag names today,
            ``stand-in`` for one made here, ``named`` for one that somebody asked for.
    """

    facts: ImageFacts
    kind: Kind

    @property
    def described(self) -> str:
        """How it is called in console and reports."""
        digest = (self.facts.digest or self.facts.id).removeprefix("sha256:")[:12]
        what = {
            "aws": "AWS's base image",
            "aws-tag": "by its tag, not pinned: AWS's base image",
            "stand-in": "stand-in",
            "named": "named image",
        }
        return f"{what[self.kind]} {self.facts.name} ({digest})"


def pinned(runtime: Runtime, architecture: str) -> str | None:
    """Return AWS's base image by its digest; None where images.json has none."""
    digest = sites.image_data()["aws"].get(runtime.name, {}).get(architecture)
    return f"{runtime.image.rpartition(':')[0]}@{digest}" if digest else None


def by_tag(runtime: Runtime, architecture: str) -> str:
    """Return AWS's base image by its tag, of one architecture."""
    return f"{runtime.image}-{architecture}"


def choose(engine: Engine, runtime: Runtime, architecture: str, named: str | None = None) -> Choice:
    """Return the image to prove with.

    In this order: the one named by option or LAYERSMITH_IMAGE; AWS's base image by its pinned
    digest, fetched if need be; the stand-in that ``nox -s image`` makes; what the tag of AWS's
    image names today.

    Raises:
        ProofError: None of them can be had.
    """
    named = named or os.environ.get(VARIABLE)
    if named:
        return Choice(engine.image(named) or engine.pull(named, architecture), "named")
    wanted = pinned(runtime, architecture)
    if wanted:
        try:
            return Choice(engine.image(wanted) or engine.pull(wanted, architecture), "aws")
        except ProofError as problem:
            console.warn(f"{problem.message}; looking for a stand-in")
    found = engine.image(standin.tag(runtime, architecture))
    if found:
        return Choice(found, "stand-in")
    return Choice(_by_tag(engine, runtime, architecture), "aws-tag")


def _by_tag(engine: Engine, runtime: Runtime, architecture: str) -> ImageFacts:
    """Fetch what the tag of AWS's image names today."""
    name = by_tag(runtime, architecture)
    try:
        found = engine.image(name) or engine.pull(name, architecture)
    except ProofError as problem:
        raise _no_image(runtime, architecture) from problem
    console.warn(f"{name} is used by its tag: images.json has no digest for it (`image --pin`)")
    return found


def _no_image(runtime: Runtime, architecture: str) -> ProofError:
    """Return the error that names every way on, and none that ends in another error."""
    name = f"{runtime.image}-{architecture}"
    ways = (
        f"pass `--image {name}` where that registry can be reached, in a workflow"
        f" `env: {{{VARIABLE}: {name}}}`; without Docker or a registry, pass `--runner host`, which"
        " proves the layer's Python by its host twin"
    )
    if runtime.suite is None:
        cause = (
            f"no base image of AWS is pinned or available, and no release of Debian has Python"
            f" {runtime.python_version} for a stand-in"
        )
        return ProofError(f"no image for {runtime.name} on {architecture}", cause=cause, hint=ways)
    return ProofError(
        f"no image for {runtime.name} on {architecture}",
        cause="AWS's base image is not available, and no stand-in has been built",
        hint=f"run `nox -s image` (seconds, no registry needed), or {ways}",
    )


def ensure_standin(
    engine: Engine, runtime: Runtime, architecture: str, *, force: bool = False
) -> tuple[Choice, bool]:
    """Return the stand-in, made if the engine has none of this recipe, and whether it was made.

    Raises:
        ProofError: It cannot be made here.
    """
    name = standin.tag(runtime, architecture)
    found = engine.image(name)
    wanted = standin.recipe(runtime, architecture)
    if found and found.labels.get("layersmith.recipe") == wanted and not force:
        return Choice(found, "stand-in"), False
    with processes.workspace() as folder:
        engine.load(standin.make(runtime, architecture, Path(folder)).archive)
    found = engine.image(name)
    if found is None:
        raise ProofError(f"the engine loaded {name} and does not have it")
    return Choice(found, "stand-in"), True


def pin(engine: Engine, wanted: list[Runtime], file: Path) -> dict[str, dict[str, str]]:
    """Write the digests that AWS's registry has now into images.json.

    Args:
        engine: Asks the registry; nothing is fetched.
        wanted: The runtimes to pin; the others stay as they are.
        file: The data file to rewrite.

    Returns:
        The digests by runtime and architecture.

    Raises:
        ProofError: The registry does not answer; the file is as it was.
    """
    data = json.loads(file.read_text("utf-8"))
    found: dict[str, dict[str, str]] = {}
    for runtime in wanted:
        found[runtime.name] = {
            architecture: engine.registry_digest(by_tag(runtime, architecture), architecture)
            for architecture in architectures.NAMES
        }
    data["aws"] |= found
    cache.write_text(file, json.dumps(data, indent=2) + "\n")
    return found
