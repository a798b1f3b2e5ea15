"""docs/native-libraries.md: a library compiled in a container and by zig, built, and started."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from layersmith.base import debian
from layersmith.engine.client import Engine
from layersmith.prove.base_images import standin

from tests.support import cli, clocks, packages

PAGE = (Path(__file__).parents[3] / "docs" / "native-libraries.md").read_text("utf-8")
IMAGE = "layersmith/tests-gcc:bookworm-arm64"
"""Stands for AWS's build image: Debian with gcc, kept in the engine from one run to the next."""

CHECKSUMS = """\
import ctypes

LIBRARY = ctypes.CDLL("libxxhash.so.0")
"""


def fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def command(word: str) -> str:
    """Return the command of the page that holds a word."""
    (text,) = [fence for fence in fences("sh") if word in fence]
    return text


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    sdist = packages.sdist(
        "xxhash",
        "3.6.0",
        "f0162a78b13a0d7617b2845b90c763339d1f1d82bb04a4b07f4ab535cc5e05d6",
        tmp_path,
    )
    native = tmp_path / "checkout" / "native"
    (native / "lib").mkdir(parents=True)
    (native / "xxhash").mkdir()
    with tarfile.open(sdist) as tar:
        for member in tar.getmembers():
            if "/deps/xxhash/" in member.name and member.isfile():
                source = tar.extractfile(member)
                assert source is not None
                (native / "xxhash" / Path(member.name).name).write_bytes(source.read())
    (native / "checksums.py").write_text(CHECKSUMS)
    (native / "smoke_xxhash.py").write_text(fences("python")[0])
    (text,) = [fence for fence in fences("yaml") if "libxxhash" in fence]
    (native.parent / "layers.yaml").write_text(text)
    return native.parent


@pytest.fixture
def image(tmp_path: Path) -> str:
    engine = Engine("tests")
    if engine.image(IMAGE) is None:
        debian.bootstrap(
            "bookworm",
            tmp_path / "root",
            ["gcc", "libc6-dev"],
            architecture="arm64",
            options=["--variant=extract"],
            timeout=clocks.seconds(300),
        )
        path = tmp_path / "image.tar"
        config = {"Env": ["PATH=/usr/bin"]}
        standin.write_archive(
            path, tmp_path / "root", tag=IMAGE, architecture="arm64", config=config
        )
        engine.load(path)
    return IMAGE


def run(text: str, checkout: Path) -> None:
    """Run a command of the page as a user would."""
    done = subprocess.run(
        ["sh", "-c", text],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=clocks.seconds(300),
        check=False,
    )
    assert done.returncode == 0, done.stderr


def prove(checkout: Path) -> None:
    """Build both layers, and start them in the ARM64 runtime."""
    for words in (("lock",), ("build",), ("smoke", "--docker")):
        done = cli.layers(*words, "--quiet", cwd=checkout)
        assert done.returncode == 0, done.stderr
    assert re.search(r"^xxhash-.*: proven by .* 1 of 1 tests pass", done.stdout, re.MULTILINE)
    assert re.search(r"^checksums-.*: proven by .* 1 of 1 modules", done.stdout, re.MULTILINE)


@pytest.mark.docker
@pytest.mark.slow
def test_compiled_in_a_container(checkout: Path, image: str) -> None:
    run(re.sub(r"public\.ecr\.aws/\S+", image, command("gcc")), checkout)
    prove(checkout)


@pytest.mark.docker
@pytest.mark.slow
def test_cross_compiled_by_zig(checkout: Path) -> None:
    text = command("-m ziglang")
    run(text.replace("uv run --no-project --with ziglang python", sys.executable), checkout)
    prove(checkout)
