from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layersmith.assemble import archive, wheel
from layersmith.assemble.tree import Bytes, Entry, Tree, WheelMember
from layersmith.errors import BuildError

from tests.support import wheels

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\/"), min_size=1, max_size=8
).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "python/" + "/".join(parts))
FILES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=2000), st.booleans()), max_size=12)


def entries(files: dict[str, tuple[bytes, bool]]) -> list[Entry]:
    tree = Tree()
    for path, (content, executable) in files.items():
        tree.add(Entry(path, Bytes(content), "demo", executable))
    return tree.sorted()


def written(found: list[Entry]) -> bytes:
    stream = io.BytesIO()
    archive.write(stream, found)
    return stream.getvalue()


@given(FILES)
def test_what_goes_in_comes_out(files: dict[str, tuple[bytes, bool]]) -> None:
    raw = written(entries(files))
    with zipfile.ZipFile(io.BytesIO(raw)) as read:
        assert read.testzip() is None
        assert {info.filename for info in read.infolist()} == set(files)
        for info in read.infolist():
            content, executable = files[info.filename]
            assert read.read(info) == content
            assert info.external_attr >> 16 == 0o100000 | (0o755 if executable else 0o644)
            assert info.date_time == (1980, 1, 1, 0, 0, 0)


@given(FILES, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    files: dict[str, tuple[bytes, bool]], random: object
) -> None:
    items = list(files.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert written(entries(dict(items))) == written(entries(files))


def test_members_of_a_wheel_keep_their_compressed_bytes(tmp_path: Path) -> None:
    # Compressed at level 1, so that compressing again would give other bytes.
    content = bytes(range(256)) * 40 + b"abc" * 5000
    source = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheels.make(tmp_path, "demo", {"demo.bin": content})) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for name, data in members.items():
            new.writestr(name, data)
    entry = next(e for e in wheel.read(source, "demo").entries if e.inner == "demo.bin")
    raw = written([entry])
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15)
    assert compressor.compress(content) + compressor.flush() in raw
    with zipfile.ZipFile(io.BytesIO(raw)) as read:
        assert read.read("python/demo.bin") == content


def test_the_build_keeps_what_it_compresses_better_than_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    loose, tight = b"".join(b"value_%d = %d\n" % (n, n * n) for n in range(4000)), b"ab" * 50
    source = tmp_path / "store" / "demo-1.0-py3-none-any.whl"
    source.parent.mkdir()
    with zipfile.ZipFile(wheels.make(tmp_path, "demo", {"a.py": loose, "b.py": tight})) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as new:
        for name, data in members.items():
            new.writestr(name, data)
    tree = Tree({one.path: one for one in wheel.read(source, "demo").entries})
    made = Entry("python/own.py", Bytes(loose), "demo")
    tree.add(made)

    before = {one.path: archive.pack(one) for one in tree}
    after = {one.path: one for one in archive.packed(tree.sorted())}
    for path in ("python/a.py", "python/own.py"):
        packed = after[path].source
        assert isinstance(packed, WheelMember)
        assert packed.packed
        assert packed.compressed_size == len(before[path].data)
    assert after["python/b.py"] is tree.entries["python/b.py"]
    raw = written([after[path] for path in sorted(after)])
    with zipfile.ZipFile(io.BytesIO(raw)) as read:
        assert read.testzip() is None
        assert read.read("python/a.py") == read.read("python/own.py") == loose

    (place,) = (tmp_path / "cache" / "packed").iterdir()
    place.chmod(0o400)
    age = place.stat().st_mtime_ns
    archive.packed(tree.sorted())
    assert place.stat().st_mtime_ns == age


def test_what_deflate_cannot_shrink_is_stored() -> None:
    with zipfile.ZipFile(io.BytesIO(written(entries({"python/a": (b"x", False)})))) as read:
        assert read.infolist()[0].compress_type == zipfile.ZIP_STORED


def test_sizes_and_digest_are_those_of_the_file() -> None:
    stream = io.BytesIO()
    result = archive.write(stream, entries({"python/a.py": (b"pass\n" * 100, False)}))
    import hashlib

    assert result.sha256 == hashlib.sha256(stream.getvalue()).digest()
    assert result.zipped == len(stream.getvalue())
    with zipfile.ZipFile(stream) as read:
        assert result.sizes == {"python/a.py": read.infolist()[0].compress_size}


def test_compression_is_within_one_percent_of_zlib_9() -> None:
    content = "".join(f"def function_{n}(a, b={n % 7}):\n    return a * b\n" for n in range(3000))
    ours = written(entries({"python/a.py": (content.encode(), False)}))
    theirs = zlib.compress(content.encode(), 9)
    assert len(ours) < len(theirs) * 1.01 + 200


def test_more_files_than_a_zip_can_hold_are_refused() -> None:
    one = Entry("python/a", Bytes(b""), "demo")
    with pytest.raises(BuildError, match="more than a zip can hold"):
        archive.write(io.BytesIO(), [one] * (archive.MAX_ENTRIES + 1))
