"""Libraries inside wheels that no bill names: what is proven of them, and what is not guessed."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble.bill import bundled
from layersmith.assemble.tree import Bytes, Entry

from tests.support.tiny_elf import TinyElf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def entry(path: str, text: bytes = b"", **more: Any) -> Entry:
    """Return a native file with a text in it; a SONAME as auditwheel writes it."""
    if ".libs/" in path:
        more.setdefault("soname", path.rsplit("/", 1)[-1])
    return Entry(f"python/{path}", Bytes(TinyElf(tail=b"\0" + text + b"\0", **more).build()), "a")


def found(
    *entries: Entry, named: Sequence[Mapping[str, Any]] = ()
) -> dict[str, tuple[str | None, list[str]]]:
    """Return version and files of what is found, by name."""
    return {
        one["name"]: (
            one.get("version"),
            [place["location"] for place in one["evidence"]["occurrences"]],
        )
        for one in bundled.components(entries, named, "pkg:pypi/a@1")
    }


CRYPTO, SSL = "a.libs/libcrypto-02bae65c.so.3", "a.libs/libssl-c64c0f6b.so.3"
OPENSSL = b"OpenSSL 3.5.8 25 Aug 2026"


@pytest.mark.parametrize(
    ("one", "name", "version"),
    [
        (entry(CRYPTO, OPENSSL), "openssl", "3.5.8"),
        (entry(CRYPTO, b"OpenSSL 1.1.1k  FIPS 25 Mar 2021"), "openssl", "1.1.1k"),
        (entry(CRYPTO), "openssl", None),
        (entry("a/_rust.abi3.so", OPENSSL), "openssl", "3.5.8"),
        (entry("a/_z.cpython-313-aarch64-linux-gnu.so", b"inflate 1.3.1 Copyright 1995-2024"
               b" Mark Adler"), "zlib", "1.3.1"),
        (entry("a.libs/liblzma-dcd007de.so.5.8.4", b"5.8.4"), "xz", "5.8.4"),
        (entry("a.libs/liblzma-dcd007de.so.5.8.4", b"5.8.4\0\x005.6.0"), "xz", None),
        (entry("a.libs/libzstd-79fd2b21.so.1.5.7"), "zstd", "1.5.7"),
        (entry("a.libs/libwebp-bac0fc6b.so.7.2.0"), "libwebp", None),
        (entry("a.libs/libodd-bac0fc6b.so.7.2.0", b"odd 7.2.0"), "libodd", None),
        (entry("a/lib/libodd.so.7", soname="libodd.so.7"), "libodd", None),
        (entry("a.libs/libgfortran-daac5196-038a5e3c.so.5.0.0"), "gcc-runtime", None),
    ],
)  # fmt: skip
def test_a_release_is_stated_where_it_is_proven(one: Entry, name: str, version: str | None) -> None:
    assert found(one) == {name: (version, [one.inner])}


@pytest.mark.parametrize(
    "one",
    [
        entry("a/_fast.cpython-313-aarch64-linux-gnu.so"),
        entry("a/_fast.abi3.so", b"5.8.4\0\x001.5.7"),
        entry("a/_ssl.abi3.so", OPENSSL, needed=("libssl-c64c0f6b.so.3",)),
        entry("a/_geos.abi3.so", b"3.14.1-CAPI-1.20.5", needed=("libgeos_c-f518db6b.so.1",)),
    ],
)
def test_a_module_is_no_library_and_what_it_loads_is_elsewhere(one: Entry) -> None:
    assert found(one) == {}


def test_the_parts_of_one_library_are_one_component() -> None:
    files = [entry(CRYPTO, OPENSSL), entry(SSL)]
    assert found(*files) == {"openssl": ("3.5.8", [CRYPTO, SSL])}
    (component,) = bundled.components(files, (), "pkg:pypi/a@1")
    assert component["purl"] == "pkg:generic/openssl@3.5.8"
    assert component["cpe"] == "cpe:2.3:a:openssl:openssl:3.5.8:*:*:*:*:*:*:*"
    said = {one["value"] for one in component["properties"]}
    assert {"SONAME, and a text in it", "libssl-c64c0f6b.so.3"} <= said


@pytest.mark.parametrize(
    ("bill", "left"),
    [
        ({"name": "openssl-libs", "version": "3.5.8-2.el8"}, False),
        ({"name": "OpenSSL"}, False),
        ({"name": "openssl", "version": "1.1.1k"}, True),
        ({"name": "zlib", "version": "3.5.8"}, True),
    ],
)
def test_what_a_bill_names_is_not_named_again(bill: dict[str, str], left: bool) -> None:
    assert bool(found(entry(CRYPTO, OPENSSL), named=[bill])) is left


def test_two_names_in_one_are_both_covered() -> None:
    one = entry("a.libs/libjpeg-80045241.so.62.4.0", b"libjpeg-turbo version 3.2.0 (build 1)")
    assert found(one) == {"libjpeg-turbo": ("3.2.0", [one.inner])}
    assert not found(one, named=[{"name": "libjpeg / libjpeg-turbo", "version": "3.2.0"}])


def test_a_damaged_library_is_named_by_its_file() -> None:
    broken = Entry("python/a.libs/libodd-bac0fc6b.so.7", Bytes(b"\x7fELF"), "a")
    assert found(broken) == {"libodd": (None, [broken.inner])}


def test_every_known_library_has_a_source_and_can_be_found() -> None:
    table = tomllib.loads(bundled.TABLE.read_text("utf-8"))
    assert list(table) == sorted(table)
    for name, one in table.items():
        assert one["source"], name
        assert one.get("sonames") or one.get("anywhere"), name
        assert bool(one.get("anchor")) == bool(one.get("anywhere")), name
