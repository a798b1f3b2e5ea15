"""Builds a commit in a clean work tree, so that a tag names what its own tree builds.

What lies in the user's work tree may build and its commit may not: a file that git ignores, that
was never added, or that the tool itself reads. The copy has nothing but the commit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import layersmith
from layersmith import process
from layersmith.assemble import manifest as manifests
from layersmith.errors import ShipError
from layersmith.ship.release import tagging

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layersmith.assemble.manifest import Manifest


def refuse_plain(built: Mapping[str, Manifest]) -> None:
    """Refuse builds without the bytecode that layers.yaml asks for.

    Args:
        built: Identifier of a target -> its manifest.

    Raises:
        ShipError: The machine that built one had no interpreter of its runtime's version.
    """
    plain = {name: one.bytecode.note for name, one in built.items() if one.bytecode.note}
    if plain:
        raise ShipError(
            f"built without bytecode: {', '.join(sorted(plain))}",
            cause="; ".join(sorted({note for note in plain.values() if note})),
            hint="install it (`uv python install VERSION`) and build again, "
            "or set `bytecode: none` in layers.yaml",
        )


def compare(root: Path, commit: str, config: str, layer: str, built: Mapping[str, Manifest]) -> int:
    """Build a layer from a commit and compare its zips with those of the present build.

    Args:
        root: Folder of layers.yaml.
        commit: Id of the commit; no branch or tag needs to have it.
        config: Name of layers.yaml in its folder.
        layer: Name of the layer.
        built: Identifier of a target -> its manifest in the present build.

    Returns:
        How many zips were compared.

    Raises:
        ShipError: The commit does not build, or it builds other zips.
    """
    with tagging.checkout(root, commit) as tree:
        dist = tree / ".release"
        _build(tree, root, config, layer, dist)
        # An SBOM's name has one dot more, and the index is of all of them.
        paths = [
            path for path in dist.glob(f"{layer}-*.json") if not path.name.endswith(".cdx.json")
        ]
        made = {one.identifier: one for one in map(manifests.read, paths)}
    refuse_plain(made)
    differ = [
        name
        for name in sorted({*built, *made})
        if name not in built
        or name not in made
        or built[name].artifact.sha256 != made[name].artifact.sha256
    ]
    if differ:
        moved = sorted(
            {text for name in differ for text in _moved(built.get(name), made.get(name))}
        )
        hint = f"`python build/layers.py build {layer}` and try again; nothing was tagged"
        if moved:
            hint += "; a version that is taken from git has to be set under `environment`"
        raise ShipError(
            f"the commit builds other zips than those in dist/: {', '.join(differ)}",
            target=layer,
            cause="; ".join(moved)
            or "dist/ is older than the last commit, or was built from files that are not in it",
            hint=hint,
        )
    return len(made)


def _moved(here: Manifest | None, there: Manifest | None) -> list[str]:
    """Return the local packages that have another version in the commit than in dist/."""
    if here is None or there is None:
        return []
    local = {one.name: one.version for one in here.distributions if one.origin == "local"}
    return [
        f"{one.name} is {local[one.name]} in dist/ and {one.version} in the commit"
        for one in there.distributions
        if one.name in local and local[one.name] != one.version
    ]


def _build(tree: Path, root: Path, config: str, layer: str, dist: Path) -> None:
    """Build with the tool of the commit where the repository holds the tool itself."""
    top = tagging.top(root)
    entry = Path(layersmith.__file__).resolve().parents[1] / "layers.py"
    if not entry.is_file():
        program = ["-c", "from layersmith.start import program; raise SystemExit(program())"]
    elif entry.is_relative_to(top):
        program = [str(tree / entry.relative_to(top))]
    else:
        program = [str(entry)]
    there = tree / root.resolve().relative_to(top)
    words = ["build", layer, "--config", str(there / config), "--dist", str(dist)]
    with tempfile.TemporaryDirectory() as empty:
        try:
            argv = [sys.executable, *program, *words, "--force", "--quiet"]
            process.run(argv, cwd=Path(empty), inherit=True)
        except process.CommandFailed as failed:
            raise ShipError(
                f"the commit to release does not build: {failed.output}",
                target=layer,
                cause="a file that the build needs is not committed",
                hint="commit it; nothing was tagged",
            ) from failed
