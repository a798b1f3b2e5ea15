"""Lays out the build context of the server image: the wheels of its platform, pruned and compiled.

Doing it here and not in the Dockerfile needs no emulation for a foreign architecture, and gives
the same bytes on every machine. Examples::

    python fargate/chroma/assemble.py --architecture arm64
    docker build --platform linux/arm64 --tag chroma-server dist/chroma-server/arm64
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "build"))

from layersmith import console, process  # noqa: E402 - after its path
from layersmith.assemble.strip import strip  # noqa: E402
from layersmith.base import uv  # noqa: E402 - after its path
from layersmith.errors import BuildError, LayersmithError  # noqa: E402

MINOR = 13
PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
"""By the words of AWS; uv's names of the oldest platform whose wheels are taken."""

SERVICES = frozenset({"kms", "s3", "secretsmanager", "ssm", "stepfunctions", "sts"})
"""The AWS services whose models stay; botocore has 400 of them, 25 MB in all."""

USELESS = ("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.c", "*.h", "*.hpp", "_testcapi*.so")
EPOCH = 315_532_800
"""1980-01-01, the time of every file where SOURCE_DATE_EPOCH sets no other."""


def main() -> int:
    """Assemble the context and print its path."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architecture", choices=sorted(PLATFORMS), default="arm64")
    parser.add_argument(
        "--output", type=Path, help="folder to replace (dist/chroma-server/ARCHITECTURE)"
    )
    options = parser.parse_args()
    output = options.output or ROOT / "dist" / "chroma-server" / options.architecture
    try:
        size = assemble(output, options.architecture)
    except LayersmithError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    console.success(f"{options.architecture}: {size / 1e6:.1f} MB")
    sys.stdout.write(f"{output}\n")
    return 0


def assemble(output: Path, architecture: str) -> int:
    """Make the build context.

    Args:
        output: The folder, which is replaced when the new one is complete.
        architecture: ``arm64`` or ``x86_64``.

    Returns:
        The bytes of the files that the image gets.

    Raises:
        BuildError: A wheel could not be fetched, or nothing here compiles for CPython 3.13.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".assemble-") as folder:
        context = Path(folder) / "context"
        app = context / "app"
        _install(app, architecture, HERE / "requirements.txt")
        _take_server(app, architecture, Path(folder) / "wheel")
        for package in (
            HERE / "chroma_store",
            HERE / "chroma_supervisor",
            ROOT / "lambdas/common/src/vector_common",
        ):
            shutil.copytree(
                package, app / package.name, ignore=shutil.ignore_patterns("__pycache__")
            )
        _prune(app)
        _compile(app)
        (context / "data").mkdir()
        shutil.copy(HERE / "Dockerfile", context / "Dockerfile")
        _set_times(context)
        shutil.rmtree(output, ignore_errors=True)
        context.replace(output)
    return sum(path.stat().st_size for path in (output / "app").rglob("*") if path.is_file())


def _install(target: Path, architecture: str, lock: Path) -> None:
    options: list[str | Path] = ["--quiet", "--target", target]
    options += ["--python-platform", PLATFORMS[architecture], "--python-version", f"3.{MINOR}"]
    options += ["--only-binary", ":all:", "--no-deps", "--require-hashes", "--link-mode", "copy"]
    try:
        uv.run("pip", "install", *options, "--requirements", lock, timeout=600)
    except process.CommandFailed as failed:
        raise BuildError(
            f"{lock.name} could not be installed for {architecture}",
            cause=failed.output,
            hint="the package index must be in reach of uv",
        ) from failed


def _take_server(app: Path, architecture: str, folder: Path) -> None:
    """Take the Rust server out of chromadb's wheel, and leave its Python package."""
    _install(folder, architecture, HERE / "server.txt")
    (folder / "chromadb_rust_bindings").rename(app / "chromadb_rust_bindings")
    for licence in folder.glob("chromadb-*.dist-info"):
        licence.rename(app / licence.name)


def _prune(app: Path) -> None:
    for path in (app / "botocore" / "data").iterdir():
        if path.is_dir() and path.name not in SERVICES:
            shutil.rmtree(path)
    shutil.rmtree(app / "bin", ignore_errors=True)
    for pattern in USELESS:
        for path in app.rglob(pattern):
            path.unlink()
    for path in app.rglob("*.so"):
        path.write_bytes(strip(path.read_bytes()))


def _compile(app: Path) -> None:
    """Compile everything: the root is read-only, so that Python could not keep its own."""
    interpreter = uv.interpreter(MINOR)
    if interpreter is None:
        raise BuildError(
            f"no CPython 3.{MINOR} to compile the image's bytecode",
            hint=f"install it, for example by `uv python install 3.{MINOR}`",
        )
    arguments = ["-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    process.run(
        [interpreter, "-I", *arguments, "-s", app, "-p", "/opt/chroma", app],
        env={"PYTHONHASHSEED": "0"},
        timeout=300,
    )


def _set_times(context: Path) -> None:
    moment = int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH)
    for path in sorted(context.rglob("*"), reverse=True):
        os.utime(path, (moment, moment), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


if __name__ == "__main__":
    sys.exit(main())
