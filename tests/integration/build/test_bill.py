"""What the bill of materials says of a build, and the licences that a build refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.support import wheels
from tests.support.envelopes import data_of, envelope_of
from tests.support.tiny_elf import TinyElf

if TYPE_CHECKING:
    from .conftest import Project

CONFIG = """\
defaults:
  runtimes: ["python3.11"]
  licenses: {deny: ["GPL-*"]}
layers:
  demo:
    description: a layer for tests
    version: 1.0.0
    requirements: [alpha, beta]
    stubs: {gamma: {path: stub, reason: nobody calls it}}
functions:
  query: {layers: [demo], code: src}
"""
TAG = "cp311-cp311-manylinux_2_17_aarch64"
CRYPTO = "alpha.libs/libcrypto-02bae65c.so.3"
TARGET = "demo-1.0.0-python3.11-arm64"
SPDX = Path(__file__).parents[2] / "support/spdx-2.3.schema.json"


@pytest.fixture
def demo(project: Project, tmp_path: Path) -> Project:
    """A layer of a wheel that bundles a library, one under the GPL, and a stub."""
    project.write(CONFIG)
    (project.root / "stub").mkdir()
    (project.root / "stub/gamma.py").write_text("")
    (project.root / "src").mkdir()
    (project.root / "src/handler.py").write_text("def handler(event, context): ...\n")
    library = TinyElf(
        soname=CRYPTO.rsplit("/", 1)[-1],
        tail=b"\0OpenSSL 3.5.8 25 Aug 2026\0",
        needed=("libc.so.6",),
    )
    files = {
        "alpha/__init__.py": b"",
        CRYPTO: library.build(),
        "alpha-1.0.dist-info/licenses/LICENSE": b"Permission is hereby granted",
    }
    project.lock(
        wheels.make(tmp_path, "alpha", files, tag=TAG, metadata=["License-Expression: MIT"]),
        wheels.make(
            tmp_path, "beta", {"beta.py": b""}, metadata=["License: GPLv3"], requires=["gamma"]
        ),
        wheels.make(tmp_path, "gamma", {"gamma.py": b"1 / 0\n"}),
    )
    return project


def test_licences_are_a_gate_and_the_bill_says_what_is_in_a_layer(demo: Project) -> None:
    refused = envelope_of(demo.run("build", "--json", check=6).stdout)["errors"][0]
    assert refused["message"] == (
        "LICENSE-DENIED: beta is licensed under GPLv3, and `licenses` denies GPL-3.0-only"
        " (layers.yaml:3:14)"
    )
    assert (refused["line"], refused["target"]) == (3, "demo-python3.11-arm64")
    assert not (demo.dist / f"{TARGET}.zip").exists()

    demo.write(
        CONFIG.replace(
            "    stubs", '    accept: {"LICENSE-DENIED beta": used as a program}\n    stubs'
        )
    )
    demo.build()
    found = bill(demo, "demo")
    assert bill(demo, TARGET) == found, "the name that the files have"
    parts = {one["name"]: one for one in found["components"]}
    (openssl,) = parts["alpha"]["components"]
    assert (openssl["name"], openssl["version"]) == ("openssl", "3.5.8")
    assert openssl["evidence"]["occurrences"] == [{"location": CRYPTO}]
    (text,) = parts["alpha"]["evidence"]["licenses"]
    assert text["license"]["text"]["content"] == "Permission is hereby granted"
    assert parts["beta"]["licenses"][0]["license"]["name"] == "GPLv3"
    assert parts["gamma"]["pedigree"]["notes"] == "A stub takes its place: nobody calls it"
    assert demo.run("audit").returncode == 0
    said = demo.run("why", "openssl").stdout
    assert f"found by SONAME, and a text in it: {CRYPTO}" in said

    whole = bill(demo, "--function", "query")
    names = [one["name"] for one in whole["components"]]
    assert names == ["query-code", "demo", "AWS Lambda python3.11"]

    demo.run("sbom", "--format", "spdx", "--write")
    written = json.loads((demo.dist / f"{TARGET}.spdx.json").read_text("utf-8"))
    jsonschema.Draft7Validator(json.loads(SPDX.read_text("utf-8"))).validate(written)
    data = data_of(demo.run("sbom", "--format", "spdx", "--json").stdout)
    assert data == {"bills": [{"name": TARGET, "format": "spdx", "document": written}]}
    assert {"openssl", "gamma"} <= {one["name"] for one in written["packages"]}


def bill(project: Project, *words: str) -> dict[str, Any]:
    """Return what `sbom` prints; it is valid CycloneDX."""
    text = project.run("sbom", *words).stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return dict(json.loads(text))
