"""The words for what an index has and a target cannot use; uv's output is read as uv writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith.base import runtimes, uv
from layersmith.errors import LockError
from layersmith.lock import document, explain, resolver
from layersmith.lock import tags as wheeltags
from layersmith.lock.document import Lock, LockEntry
from layersmith.lock.inputs import LockInputs
from layersmith.lock.resolver import File, Offer

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.plan import Target

    from .conftest import MakeTarget


def wheels(*tags: str) -> tuple[File, ...]:
    return tuple(File(f"x-2.0-{tag}.whl", "https://example.org/x", "a" * 64, None) for tag in tags)


def test_few_wheels_are_named_in_full(make_target: MakeTarget) -> None:
    files = wheels("cp313-cp313-win32", "cp312-cp312-win32", "cp39-abi3-macosx_11_0_arm64")
    text = explain.wheels_text(make_target(), files)
    assert text == "cp39-abi3: macosx_11_0_arm64; cp312, cp313: win32"


def test_of_many_wheels_those_for_the_interpreter_are_named(make_target: MakeTarget) -> None:
    tags = [f"cp3{n}-cp3{n}-{p}" for n in (9, 10, 13) for p in ["a", "b", "c", "d", "e"]]
    text = explain.wheels_text(make_target(), wheels(*tags))
    assert text == "cp313: a, b, c, d, e; and for cp39, cp310"


def test_an_sdist_is_no_wheel(make_target: MakeTarget) -> None:
    sdist = File("x-2.0.tar.gz", "https://example.org/x", "a" * 64, None)
    assert explain.wheels_text(make_target(), [sdist]) == ""
    assert explain.fitting(make_target(), [sdist]) is None


def locked(version: str) -> Lock:
    return Lock([LockEntry("x", version, "a" * 64, "x.whl")], "", {})


INPUTS = LockInputs(["x"], [], {}, {}, {})


def notes(monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, *offers: Offer) -> list[str]:
    monkeypatch.setattr(resolver, "every_offer", lambda *_: list(offers))
    return explain.passed_over(make_target(), locked("1.0"), INPUTS, None)  # type: ignore[arg-type]


def test_a_newest_version_without_a_wheel_is_noted(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget
) -> None:
    offer = Offer("x", "2.0", "python_full_version >= '3.13'", wheels("cp313-cp313-win32"))
    assert notes(monkeypatch, make_target, offer) == [
        (
            "x 2.0 is newer than 1.0 but has no wheel for python3.13 on aarch64-manylinux_2_34; "
            "wheels exist for cp313: win32"
        )
    ]


@pytest.mark.parametrize(
    ("offer", "text"),
    [
        (Offer("x", "1.0", None, wheels("cp313-cp313-win32")), None),
        (Offer("x", "2.0", None, wheels("py3-none-any")), None),
        (Offer("x", "2.0", None, ()), "it has no wheel at all"),
        (Offer("x", "2.0", "python_full_version >= '3.14'", wheels("py3-none-any")),
         "asks for Python >= 3.14"),
    ],
)  # fmt: skip
def test_what_is_noted_of_one_offer(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, offer: Offer, text: str | None
) -> None:
    found = notes(monkeypatch, make_target, offer)
    assert len(found) == (text is not None)
    assert all(str(text) in note for note in found)


def test_only_the_newest_of_each_kind_is_noted(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget
) -> None:
    later = "python_full_version >= '3.14'"
    found = notes(
        monkeypatch, make_target,
        Offer("x", "10.0", later, ()), Offer("x", "9.0", later, ()), Offer("x", "3.0", None, ()),
    )  # fmt: skip
    assert [note.split()[1] for note in found] == ["3.0", "10.0"]


@pytest.mark.parametrize(
    ("explanation", "cause"),
    [
        ("Because x was not found in the package registry and you require x", "misspelt"),
        ("cause: error sending request for url (https://index.test/x)", "cannot be reached"),
        ("Failed to build `common @ file:///x`", "metadata of a local package"),
        ("Failed to build `common==1.0`", "its sdist does not build"),
        ("x was not found in the package registry: hint: (401 Unauthorized)", "login"),
        ("error: Failed to parse: uv.toml", "uv's configuration"),
        ("no answer within 600 s", "takes that long"),
        ("error: invalid peer certificate: UnknownIssuer", "not trusted"),
        ("Because only x==1 is available and x==1 was yanked", "yanked"),
        ("Because a==1 requires Python >=3.14", "another version of Python"),
        ("Because there is no version of x==99", "no version is within"),
        ("Because a==1 depends on c<2 and b==1 depends on c>=2", "exclude each other"),
    ],
)
def test_the_likely_cause_of_a_refusal(
    make_target: MakeTarget, explanation: str, cause: str, tmp_path: Path
) -> None:
    error = explain.refusal(make_target(), explanation, tmp_path)
    assert explanation in error.message
    assert cause in (error.cause or "")
    assert error.hint
    assert error.target == "demo-python3.13-arm64"


def test_what_is_not_known_gets_no_cause(make_target: MakeTarget, tmp_path: Path) -> None:
    error = explain.refusal(make_target(), "error: the moon is in the wrong phase", tmp_path)
    assert error.cause is None
    assert error.message.startswith("uv failed on the requirements for python3.13")
    assert "the moon" in error.message


@pytest.mark.parametrize(
    ("names", "floor"),
    [
        (["x-1-cp311-cp311-manylinux_2_28_aarch64.whl"], (2, 28)),
        (["x-1-cp311-cp311-manylinux_2_17_aarch64.manylinux_2_28_aarch64.whl"], (2, 17)),
        (["x-1-cp38-abi3-manylinux_2_31_aarch64.whl", "x-1-cp312-cp312-win_amd64.whl"], (2, 31)),
        (["x-1-cp311-cp311-manylinux_2_28_x86_64.whl"], None),
        (["x-1-cp312-cp312-manylinux_2_28_aarch64.whl"], None),
        (["x-1-py3-none-any.whl", "nonsense.whl"], None),
    ],
)
def test_the_glibc_that_wheels_need(names: list[str], floor: tuple[int, int] | None) -> None:
    assert wheeltags.glibc_floor(names, runtimes.get("python3.11"), "arm64") == floor


def test_who_asks_is_read_from_a_uv_lock() -> None:
    graph = {
        "version": 1,
        "package": [
            {"name": "layers-yaml", "dependencies": [{"name": "a", "extra": ["more"]}]},
            {
                "name": "a",
                "source": {"registry": "https://me:secret@index.test/simple"},
                "dependencies": [{"name": "b"}, {"name": "w", "marker": "os_name == 'nt'"}],
                "optional-dependencies": {"more": [{"name": "c"}]},
            },
            {"name": "c", "dependencies": [{"name": "b", "marker": "os_name == 'posix'"}]},
        ],
    }
    askers, indexes = resolver.read_graph(graph, {"os_name": "posix"})
    assert askers == {"a": ("layers.yaml",), "b": ("a", "c"), "c": ("a",)}
    assert indexes == {"a": "https://index.test/simple"}


def test_files_are_read_from_a_pylock_without_logins(tmp_path: Path) -> None:
    package: dict[str, Any] = {
        "name": "X",
        "version": "1",
        "sdist": {"path": "x-1.tar.gz", "hashes": {"sha256": "b"}},
        "wheels": [
            {"url": "https://me:secret@index.test/a/x%2B1-1-py3-none-any.whl", "size": 7,
             "hashes": {"sha256": "a"}},
            {"url": "https://index.test/download/17", "name": "x-1-py2-none-any.whl"},
        ],
    }  # fmt: skip
    local = {"name": "here", "directory": {"path": "here"}}
    content = {"lock-version": "1.0", "packages": [package, local]}
    offer, folder = resolver.read_offers(content, tmp_path)
    assert folder == Offer("here", "", None, (), tmp_path / "here")
    assert (offer.name, offer.version, offer.marker) == ("x", "1", None)
    assert list(offer.files) == [
        File("x+1-1-py3-none-any.whl", "https://index.test/a/x%2B1-1-py3-none-any.whl", "a", 7),
        File("x-1-py2-none-any.whl", "https://index.test/download/17", None, None),
        File("x-1.tar.gz", (tmp_path / "x-1.tar.gz").as_uri(), "b", None),
    ]


@pytest.mark.parametrize(
    "content",
    [
        {"lock-version": "2.0"},
        {"lock-version": "1.0", "packages": [{"name": "a"}]},
        {"lock-version": "1.0", "packages": [{"name": "a", "version": "1"}]},
        {
            "lock-version": "1.0",
            "packages": [{"name": "a", "wheels": [{"url": "https://x/a.whl"}]}],
        },
        {"lock-version": "1.0", "packages": [{"name": "a", "directory": {}}]},
        {"lock-version": "1.0", "packages": [{"name": "a", "version": "1", "wheels": [7]}]},
        {"lock-version": "1.0", "packages": [{"name": "a", "version": "1", "vcs": {"url": "u"}}]},
    ],
)
def test_what_is_not_understood_is_an_error(content: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(LockError, match="not understood"):
        resolver.read_offers(content, tmp_path)


def test_a_uv_lock_of_another_version_is_an_error() -> None:
    with pytest.raises(LockError, match=r"uv\.lock of version 2"):
        resolver.read_graph({"version": 2}, {})


def test_the_platform_is_the_closest_that_uv_knows(make_target: MakeTarget) -> None:
    def platform(target: Target) -> str:
        return uv.python_platform(target.runtime, target.architecture)

    assert platform(make_target("python3.13")) == "aarch64-manylinux_2_34"
    assert platform(make_target("python3.11")) == "aarch64-manylinux_2_28"
    assert platform(make_target("python3.10", architecture="x86_64")) == "x86_64-manylinux_2_28"


def test_changes_between_locks() -> None:
    def lock(**versions: str) -> Lock:
        entries = [LockEntry(n, v, v * 10, "f") for n, v in sorted(versions.items())]
        return Lock(entries, "", {})

    old, new = lock(a="1", b="2.9", c="3", e="1"), lock(a="1", b="2.10", c="1", d="4")
    found = document.changes(old, new)
    assert [(c.kind, str(c)) for c in found] == [
        ("upgraded", "~ b 2.9 -> 2.10"),
        ("downgraded", "~ c 3 -> 1"),
        ("added", "+ d 4"),
        ("removed", "- e 1"),
    ]
    assert [c.kind for c in document.changes(None, old)] == ["added"] * 4
    other = Lock([LockEntry("a", "1", "other", "f")], "", {})
    assert [str(c) for c in document.changes(lock(a="1"), other)] == ["~ a 1: another file"]
    (spelt,) = document.changes(lock(a="1.0"), lock(a="1.0.0"))
    assert (spelt.kind, str(spelt)) == ("file", "~ a 1.0 -> 1.0.0")
    strange = [document.VersionChange("zig", "dev", after).kind for after in ("dev", "dev2")]
    assert strange == ["file", "upgraded"]
