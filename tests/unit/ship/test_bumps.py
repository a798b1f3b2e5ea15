from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ShipError
from layersmith.ship.release import bumps
from layersmith.ship.release.bumps import Bump, ReleaseChange, raised
from layersmith.ship.release.steps import decide

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bump", "version"),
    [(Bump.PATCH, "1.2.4"), (Bump.MINOR, "1.3.0"), (Bump.MAJOR, "2.0.0"), (Bump.NONE, "1.2.3")],
)
def test_versions_are_raised(bump: Bump, version: str) -> None:
    assert raised("1.2.3", bump) == version


def test_a_larger_bump_than_needed_is_fine() -> None:
    found = [ReleaseChange(Bump.PATCH, "rebuilt")]
    assert decide("a", "1.0.0", Bump.MAJOR, last="1.0.0", found=found).version == "2.0.0"
    found += [ReleaseChange(Bump.MAJOR, "numpy removed")]
    with pytest.raises(ShipError, match="a patch release does not fit: numpy removed"):
        decide("a", "1.0.0", Bump.PATCH, last="1.0.0", found=found)


@pytest.mark.parametrize(
    ("last", "current", "bump", "pre", "version"),
    [
        ("1.1.0", "1.1.0", Bump.MINOR, "rc", "1.2.0-rc.1"),
        ("1.1.0", "1.2.0-rc.1", Bump.MINOR, "rc", "1.2.0-rc.2"),
        ("1.1.0", "1.2.0-rc.9", Bump.MINOR, "rc", "1.2.0-rc.10"),
        ("1.1.0", "1.2.0-beta.3", Bump.MINOR, "rc", "1.2.0-rc.1"),
        ("1.1.0", "1.2.0-rc.2", Bump.MAJOR, "rc", "2.0.0-rc.1"),
        ("1.1.0", "1.2.0-rc.2", Bump.MINOR, None, "1.2.0"),
        (None, "1.0.0", None, "rc", "1.0.0-rc.1"),
        (None, "1.0.0-rc.1", None, "rc", "1.0.0-rc.2"),
        (None, "1.0.0-rc.2", None, None, "1.0.0"),
    ],
)
def test_pre_releases_are_numbered_before_their_release(
    last: str | None, current: str, bump: Bump | None, pre: str | None, version: str
) -> None:
    found = [ReleaseChange(bump, "changed")] if bump else []
    assert decide("a", current, None, last=last, found=found, pre=pre).version == version


@pytest.mark.parametrize(("current", "pre"), [("2.0.0-rc.1", None), ("1.2.0-rc.1", "beta")])
def test_a_release_never_goes_back(current: str, pre: str | None) -> None:
    found = [ReleaseChange(Bump.MINOR, "b added")]
    with pytest.raises(ShipError, match=f"is not later than {current}"):
        decide("a", current, None, last="1.1.0", found=found, pre=pre)


def test_a_changelog_gives_back_what_it_says_of_a_release() -> None:
    text = "# Changelog\n\n## [a-v1.1.0] - 2026-01-02\n\n- b added\n- c\n\n## [a-v1.0.0]\n"
    text = text.replace("\n", "\r\n")
    assert bumps.section_body(text, "a-v1.1.0") == "- b added\n- c"
    with pytest.raises(ShipError, match="no section a-v2"):
        bumps.section_body(text, "a-v2")


def test_a_section_goes_above_the_newest_and_below_unreleased() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n- soon\n\n## [a-v1.0.0] - 2026-01-01\n\n- first\n"
    new = bumps.new_section(
        "a-v1.1.0", NOW.date(), [ReleaseChange(Bump.MINOR, "b added")], forced=None
    )
    titles = [line for line in bumps.add_section(text, new).splitlines() if line.startswith("## ")]
    assert titles == [
        "## [Unreleased]",
        "## [a-v1.1.0] - 2026-11-21",
        "## [a-v1.0.0] - 2026-01-01",
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "cp1252"])
def test_a_changelog_in_another_encoding_is_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "CHANGELOG.md"
    path.write_bytes("# \xc4nderungen\n".encode(encoding))
    with pytest.raises(ShipError, match="is not a readable changelog") as caught:
        bumps.read_changelog(path)
    assert caught.value.hint == "save it as UTF-8"
    path.write_bytes("# Changes\n".encode("utf-16-le"))
    with pytest.raises(ShipError, match="zero bytes"):
        bumps.read_changelog(path)
    path.write_bytes("# \xc4nderungen\n".encode())
    assert bumps.read_changelog(path) == "# \xc4nderungen\n"
