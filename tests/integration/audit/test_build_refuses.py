"""Wheels that every installer accepts, and that a build must refuse before it writes anything."""

from __future__ import annotations

import functools
import http.server
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support import cli, servers
from tests.support.breakages import Wheelhouse, imaging, whole, with_glibc, write_wheel
from tests.support.tiny_elf import EM_X86_64, TinyElf

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

TAG = "cp313-cp313-manylinux_2_28_aarch64"
GOOD = TinyElf(needed=("libc.so.6",), exports=("PyInit__fast",), debug=b"")

SUFFIX = ".cpython-313-aarch64-linux-gnu.so"

YAML = """\
defaults:
  runtimes: ["python3.13"]
  architectures: [arm64]
  bytecode: none
layers:
"""
LAYER = """\
  {name}:
    description: One distribution
    version: "1.0.0"
    requirements: [{name}]
"""

BAD = {
    "mistagged": (
        {f"_fast{SUFFIX}": replace(GOOD, machine=EM_X86_64).build()},
        TAG,
        f"has the tag {TAG}, but what it holds is x86_64",
    ),
    "old-python": (
        {f"_fast{SUFFIX.replace('313', '312')}": GOOD.build()},
        TAG,
        "the wheel is for CPython 3.12",
    ),
    "any-machine": (
        {"_fast.so": replace(GOOD, machine=EM_X86_64).build()},
        "py3-none-any",
        "says it fits any machine, and holds x86_64 files",
    ),
    "no-libraries": (
        {f"_fast{SUFFIX}": replace(GOOD, needed=("libx.so.1",), rpath="$ORIGIN/../x.libs").build()},
        TAG,
        "(python/x.libs) was deleted",
    ),
}
"""Distribution -> files of its package, tag of its wheel, what the message must say."""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("refused")


@pytest.fixture(scope="module")
def index(folder: Path) -> Iterator[str]:
    """A package index (PEP 503) on loopback; a distribution's wheels go to ``simple/<name>``."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with servers.serving(server):
        yield f"http://127.0.0.1:{server.server_port}/simple/"


@pytest.fixture(scope="module")
def built(house: Wheelhouse, folder: Path, index: str) -> subprocess.CompletedProcess[str]:
    """One build of a good layer and all bad ones."""
    files = whole(house)
    module = imaging(files)
    newer = {f"_imaging{SUFFIX}": with_glibc(files[module], "GLIBC_2.38")}
    wheels = {name: (content, tag) for name, (content, tag, _) in BAD.items()} | {
        "good": ({f"_fast{SUFFIX}": GOOD.build()}, TAG),
        "new-glibc": (newer, TAG),
    }
    for name, (content, tag) in wheels.items():
        place = folder / "simple" / name
        place.mkdir(parents=True)
        package = name.replace("-", "_")
        inner = {f"{package}/{path}": data for path, data in content.items()}
        write_wheel(place, {f"{package}/__init__.py": b"", **inner}, tag, package)
    text = YAML + "".join(LAYER.format(name=name) for name in wheels)
    (folder / "layers.yaml").write_text(text)
    locked = layers(folder, index, "lock")
    assert locked.returncode == 0, locked.stderr
    return layers(folder, index, "build", "--json")


def layers(folder: Path, index: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "UV_DEFAULT_INDEX": index,
        "UV_CACHE_DIR": str(folder / "uv"),
        "UV_NO_CONFIG": "1",
        "LAYERSMITH_CACHE": str(folder / "cache"),
    }
    return cli.layers(*arguments, cwd=folder, env=environment)


def message(built: subprocess.CompletedProcess[str], name: str) -> str:
    """Return what the build said about one target."""
    start = built.stderr.index(f"{name}-python3.13-arm64: ")
    return built.stderr[start:].split("error: ", 1)[0]


def test_only_the_good_one_is_written(
    built: subprocess.CompletedProcess[str], folder: Path
) -> None:
    assert built.returncode == 6, built.stderr
    stem = "good-1.0.0-python3.13-arm64"
    names = {path.name for path in (folder / "dist").iterdir()}
    assert names == {f"{stem}.zip", f"{stem}.json", f"{stem}.cdx.json", "index.json", "latest"}
    index = json.loads((folder / "dist" / "index.json").read_text())
    assert [one["file"] for one in index["artifacts"]] == [f"{stem}.zip"]
    manifest = json.loads((folder / "dist" / f"{stem}.json").read_text())
    assert manifest["audit"]["machine"] == "aarch64"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused_with_its_cause(
    built: subprocess.CompletedProcess[str], name: str
) -> None:
    assert BAD[name][2] in message(built, name)


def test_a_real_module_for_a_newer_c_library(built: subprocess.CompletedProcess[str]) -> None:
    said = message(built, "new-glibc")
    assert "needs GLIBC_2.38" in said
    assert "python3.13 (Amazon Linux 2023) ends at GLIBC_2.34" in said
