"""pytest as the smoke files meet it inside the runtime: pure Python, compiled, pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import cache, process
from layersmith.base import uv
from layersmith.prove import sites
from layersmith.prove.base_images import runtime_packages

if TYPE_CHECKING:
    from pathlib import Path


def folder(minor: int) -> Path:
    """Return a folder with pytest and what it needs, made once.

    Args:
        minor: Minor version of the Python that imports it. Where this machine has it, the folder
            holds bytecode, without which pytest alone takes many seconds to start under emulation.

    Raises:
        ProofError: The package index does not answer.
    """
    wanted: list[str] = runtime_packages.image_data()["pytest-packages"]
    key = cache.sha256_bytes("\n".join(wanted).encode())[:16]

    def fill(site: Path) -> None:
        sites.install(site, wanted, f"3.{minor}", what="pytest for the smoke files")
        _compile(site, minor)

    return sites.once(cache.section("pytest-site") / f"3.{minor}-{key}", fill)


def _compile(site: Path, minor: int) -> None:
    interpreter = uv.interpreter(minor)
    if interpreter is not None:
        arguments = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        process.run([interpreter, "-I", *arguments, site], timeout=300)
