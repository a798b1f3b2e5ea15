"""What the image is made from: locks with hashes, and a Dockerfile that only copies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHROMA = Path(__file__).parents[3] / "fargate/chroma"


def locked(name: str) -> dict[str, str]:
    """Names and versions of a lock, each of which must have a hash."""
    lines = (CHROMA / name).read_text().splitlines()
    entries = "\n".join(line for line in lines if not line.startswith("#"))
    found = {}
    for entry in re.split(r"\n(?=[a-z])", entries):
        match = re.match(r"([a-z0-9._-]+)==([^\s;]+)", entry)
        assert match, entry
        assert "--hash=sha256:" in entry, f"{match[1]} has no hash"
        found[match[1]] = match[2]
    return found


def dockerfile() -> list[str]:
    text = (CHROMA / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_lock_holds_what_the_package_asks_for() -> None:
    project = tomllib.loads((CHROMA / "pyproject.toml").read_text())["project"]
    versions = locked("requirements.txt")
    for text in project["dependencies"]:
        wanted = Requirement(text)
        if wanted.name != "vector-common":  # copied from the checkout
            assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), text


@pytest.mark.parametrize("name", ["requirements.txt", "server.txt"])
def test_a_lock_names_no_place_to_fetch_from(name: str) -> None:
    text = (CHROMA / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text


def test_the_image_says_the_version_of_the_server_in_it() -> None:
    assert f"ARG CHROMA_VERSION={locked('server.txt')['chromadb']}" in dockerfile()


def test_the_dockerfile_pins_its_base_runs_nothing_and_drops_root() -> None:
    lines = dockerfile()
    assert re.fullmatch(r"ARG BASE=\S+:3\.13[\w.-]*@sha256:[0-9a-f]{64}", lines[0])
    assert not [line for line in lines if line.startswith(("RUN", "ADD"))]
    assert "USER 10001:10001" in lines
    assert "VOLUME /data" in lines
    [check] = [line for line in lines if line.startswith("HEALTHCHECK")]
    assert '["python3", "-m", "chroma_supervisor", "health"]' in check
