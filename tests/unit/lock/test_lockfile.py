"""The format of a lock: read back as written, and refused when it is anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layersmith.errors import LockError
from layersmith.lock import document
from layersmith.lock.document import Lock, LockEntry

PATH = Path("locks/demo-python3.13-arm64.txt")
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
NAMES = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True).filter(lambda name: len(name) < 20)
VERSIONS = st.sampled_from(["1.0", "2.9.0.post0", "1!3.0rc1", "2026.11", "1.0+local.1"])


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    entries = [
        LockEntry(
            name,
            draw(VERSIONS),
            draw(DIGESTS),
            draw(st.sampled_from(["a-1-py3-none-any.whl", "a-1.tar.gz"])),
            tuple(sorted(draw(st.sets(NAMES | st.just(document.CONFIG), max_size=3)))),
        )
        for name in sorted(draw(st.sets(NAMES, max_size=5)))
    ]
    parts = draw(st.dictionaries(st.sampled_from(["runtime", "build", "extras"]), DIGESTS))
    return Lock(entries, draw(DIGESTS), parts)


@settings(deadline=None, max_examples=60)
@given(locks())
def test_a_lock_comes_back_as_it_was_written(lock: Lock) -> None:
    assert document.parse(document.render(lock, "demo-python3.13-arm64"), PATH) == lock


ENTRY = LockEntry("pillow", "13.0.0", "a" * 64, "pillow-13.0.0-cp313-cp313-x.whl", ("layers.yaml",))
SIX = LockEntry("six", "1.17.0", "b" * 64, "six-1.17.0.tar.gz", ("python-dateutil",))
TEXT = document.render(Lock([ENTRY, SIX], "c" * 64, {"runtime": "d" * 64}), "demo")


def test_the_format_is_that_of_a_requirements_file() -> None:
    requirements = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    assert requirements == [
        "pillow==13.0.0 \\",
        f"    --hash=sha256:{'a' * 64}",
        "six==1.17.0 \\",
        f"    --hash=sha256:{'b' * 64}",
    ]


def test_wheels_and_sdists_are_told_apart() -> None:
    assert ENTRY.is_wheel
    assert not SIX.is_wheel


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("# format: 1", "# format: 2", 1),
        ("# inputs", "# nothing", 1),
        ("pillow==13.0.0 \\", "pillow>=13.0.0 \\", 6),
        ("sha256:a", "sha256:", 6),
        ("--hash=sha256", "--hash=md5", 6),
        ("    # file pillow-13.0.0-cp313-cp313-x.whl\n", "", 6),
        ("six==1.17.0", "pillow==1.17.0", 10),
        ("six==1.17.0", "abc==1.17.0", 10),
        ("six==1.17.0 \\", "--index-url https://example.org/simple", 10),
        ("    # via python-dateutil", "    # from python-dateutil", 13),
        ("    # via layers.yaml\n", "<<<<<<< ours\n    # via layers.yaml\n", 9),
    ],
)
def test_a_damaged_lock_is_refused_with_its_line(old: str, new: str, line: int) -> None:
    assert old in TEXT
    with pytest.raises(LockError) as caught:
        document.parse(TEXT.replace(old, new, 1), PATH)
    assert caught.value.message.startswith(f"{PATH.name}:{line}: ")
    assert "nox -s lock" in (caught.value.hint or "")


def test_an_empty_file_is_no_lock() -> None:
    with pytest.raises(LockError, match="not a lock of format 1"):
        document.parse("", PATH)


def test_a_missing_lock_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(LockError, match=r"demo\.txt is not in locks/") as caught:
        document.read(tmp_path / "locks" / "demo.txt")
    assert caught.value.hint == "run `nox -s lock`"


def test_bytes_that_are_not_text_are_no_lock(tmp_path: Path) -> None:
    (tmp_path / "demo.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(LockError, match="cannot be read"):
        document.read(tmp_path / "demo.txt")


def chain(**via: str) -> Lock:
    entries = [
        LockEntry(name, "1", "a" * 64, "x.whl", tuple(names.split()))
        for name, names in sorted(via.items())
    ]
    return Lock(entries, "", {})


def test_orphans_are_what_only_the_left_out_asked_for() -> None:
    lock = chain(
        client="layers.yaml",
        grpcio="client",
        protobuf="grpcio",
        shared="grpcio client",
        deep="protobuf",
    )
    assert document.orphans(lock, {"grpcio"}) == {"protobuf": "grpcio", "deep": "grpcio"}
    assert document.orphans(lock, set()) == {}
    assert document.orphans(lock, {"not-there"}) == {}


def test_a_circle_that_is_kept_from_outside_is_no_orphan() -> None:
    lock = chain(a="layers.yaml", b="a c", c="b", gone="layers.yaml")
    assert document.orphans(lock, {"gone"}) == {}
