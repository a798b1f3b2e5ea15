"""Which wheel a runtime takes. The tags are PEP 425's and PEP 600's, never those of the host."""

from __future__ import annotations

import pytest
from layersmith.base import runtimes
from layersmith.lock import tags as wheeltags


def best(runtime: str, *tags: str, architecture: str = "arm64") -> str | None:
    names = [f"x-1.0-{tag}.whl" for tag in tags]
    found = wheeltags.best(names, runtimes.get(runtime), architecture)
    return found.removeprefix("x-1.0-").removesuffix(".whl") if found else None


@pytest.mark.parametrize(
    ("runtime", "tag", "fits"),
    [
        ("python3.13", "py3-none-any", True),
        ("python3.13", "py2.py3-none-any", True),
        ("python3.13", "py313-none-any", True),
        ("python3.13", "py2-none-any", False),
        ("python3.13", "cp313-cp313-manylinux_2_34_aarch64", True),
        ("python3.13", "cp313-cp313-manylinux_2_31_aarch64", True),
        ("python3.13", "cp313-cp313-manylinux2014_aarch64", True),
        ("python3.13", "cp313-cp313-linux_aarch64", True),
        ("python3.13", "cp313-none-manylinux_2_17_aarch64", True),
        ("python3.13", "cp313-cp313-manylinux_2_35_aarch64", False),
        ("python3.13", "cp313-cp313-manylinux_2_28_x86_64", False),
        ("python3.13", "cp313-cp313-musllinux_1_2_aarch64", False),
        ("python3.13", "cp313-cp313-macosx_11_0_arm64", False),
        ("python3.13", "cp313-cp313-win_arm64", False),
        ("python3.13", "cp312-cp312-manylinux_2_17_aarch64", False),
        ("python3.13", "cp313-cp313t-manylinux_2_17_aarch64", False),
        ("python3.13", "cp314-cp314-manylinux_2_17_aarch64", False),
        ("python3.13", "cp39-abi3-manylinux_2_17_aarch64", True),
        ("python3.13", "cp314-abi3-manylinux_2_17_aarch64", False),
        ("python3.13", "py3-none-manylinux_2_17_aarch64", True),
        ("python3.13", "pp311-pypy311_pp73-manylinux_2_17_aarch64", False),
        ("python3.11", "cp311-cp311-manylinux_2_26_aarch64.manylinux_2_28_aarch64", True),
        ("python3.11", "cp311-cp311-manylinux_2_24_aarch64", True),
        ("python3.11", "cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64", False),
        ("python3.11", "cp311-cp311-manylinux_2_28_aarch64", False),
    ],
)
def test_what_fits(runtime: str, tag: str, fits: bool) -> None:
    assert (best(runtime, tag) is not None) == fits


@pytest.mark.parametrize("tag", ["manylinux1", "manylinux2010", "manylinux_2_5", "manylinux2014"])
def test_old_platforms_of_x86(tag: str) -> None:
    wheel = f"cp312-cp312-{tag}_x86_64"
    assert best("python3.12", wheel, architecture="x86_64") == wheel
    assert best("python3.12", wheel) is None


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("cp313-cp313-manylinux_2_34_aarch64", "cp313-cp313-manylinux_2_17_aarch64"),
        ("cp313-cp313-manylinux_2_17_aarch64", "cp39-abi3-manylinux_2_34_aarch64"),
        ("cp311-abi3-manylinux_2_17_aarch64", "cp39-abi3-manylinux_2_17_aarch64"),
        ("cp39-abi3-manylinux_2_17_aarch64", "py3-none-any"),
        ("py3-none-manylinux_2_17_aarch64", "py3-none-any"),
        ("py313-none-any", "py3-none-any"),
        ("2-py3-none-any", "1-py3-none-any"),
        ("10a-py3-none-any", "9-py3-none-any"),
        ("1-py3-none-any", "py3-none-any"),
    ],
)
def test_the_more_specific_wheel_wins_whatever_the_order(better: str, worse: str) -> None:
    assert best("python3.13", better, worse) == better
    assert best("python3.13", worse, better) == better


def test_names_that_are_no_wheels_are_passed_over() -> None:
    assert best("python3.13", "nonsense") is None
    assert wheeltags.best([], runtimes.get("python3.13"), "arm64") is None
