from dataclasses import replace

import pytest
from layersmith.audit.needs import Links, is_absolute
from layersmith.base.elf import ElfFacts

PLAIN = ElfFacts(64, True, "aarch64", "ET_DYN")
MODULE = "python/pkg/sub/_m.so"


def links(*libraries: str, rpath: tuple[str, ...] = (), runpath: tuple[str, ...] = ()) -> Links:
    elves = {MODULE: replace(PLAIN, rpath=rpath, runpath=runpath)}
    elves |= dict.fromkeys(libraries, PLAIN)
    return Links(elves, elves)


@pytest.mark.parametrize("kind", ["rpath", "runpath"])
@pytest.mark.parametrize(
    ("folder", "library"),
    [
        ("$ORIGIN", "python/pkg/sub/libx.so.1"),
        ("${ORIGIN}/../../pkg.libs", "python/pkg.libs/libx.so.1"),
        ("$ORIGIN/../../../lib64", "lib64/libx.so.1"),
        ("/opt/python/native", "python/native/libx.so.1"),
        ("$ORIGIN/../../..", "libx.so.1"),
    ],
)
def test_found_through_the_search_path(kind: str, folder: str, library: str) -> None:
    found = (
        links(library, rpath=(folder,)) if kind == "rpath" else links(library, runpath=(folder,))
    )
    assert found.find(MODULE, "libx.so.1") == library


def test_found_in_lib_because_lambda_searches_it() -> None:
    assert links("lib/libx.so.1").find(MODULE, "libx.so.1") == "lib/libx.so.1"


@pytest.mark.parametrize("folder", ["/usr/lib64", "$ORIGIN/../../../../usr/lib64", "$ORIGIN_X"])
def test_nothing_outside_the_layer_is_found(folder: str) -> None:
    assert links("lib64/libx.so.1", rpath=(folder,)).find(MODULE, "libx.so.1") is None


def test_an_rpath_holds_for_what_the_file_loads_a_runpath_does_not() -> None:
    inner, outer = "python/pkg.libs/liba.so", "python/pkg.libs/libb.so"
    folder = ("$ORIGIN/../../pkg.libs",)
    for rpath, runpath, expected in ((folder, (), outer), ((), folder, None)):
        elves = {
            MODULE: replace(PLAIN, needed=("liba.so",), rpath=rpath, runpath=runpath),
            inner: replace(PLAIN, needed=("libb.so",)),
            outer: PLAIN,
        }
        assert Links(elves, elves).find(inner, "libb.so") == expected


def test_a_runpath_switches_every_rpath_off() -> None:
    library = "python/pkg/sub/libx.so"
    found = links(library, rpath=("$ORIGIN",), runpath=("$ORIGIN/nowhere",))
    assert found.find(MODULE, "libx.so") is None


def test_a_need_with_a_path_is_taken_literally() -> None:
    found = links("lib/libx.so")
    assert found.find(MODULE, "/opt/lib/libx.so") == "lib/libx.so"
    assert found.find(MODULE, "/opt/lib/liby.so") is None
    assert found.find(MODULE, "/usr/lib/libx.so") is None


def test_elsewhere_names_a_library_that_no_path_leads_to() -> None:
    found = links("python/other.libs/libx.so")
    assert found.find(MODULE, "libx.so") is None
    assert found.elsewhere("libx.so") == "python/other.libs/libx.so"
    assert found.elsewhere("liby.so") is None


@pytest.mark.parametrize(
    ("folder", "absolute"),
    [
        ("/usr/local/lib", True),
        ("lib", True),
        ("/optional", True),
        ("/opt/lib", False),
        ("$ORIGIN/../x", False),
        ("${ORIGIN}", False),
    ],
)
def test_absolute(folder: str, absolute: bool) -> None:
    assert is_absolute(folder) is absolute
