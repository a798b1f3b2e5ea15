"""The table of ARNs in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from layersmith.ship.index import catalog
from layersmith.ship.index.document import IndexEntry

from tests.support import clocks

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
REGIONS = ("eu-west-1", "us-east-1", "ap-south-1")


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs Chromium on PATH")
    return found


@pytest.fixture
def page(tmp_path: Path) -> Path:
    entries = [
        IndexEntry(
            layer="alpha",
            version=version,
            runtime="python3.13",
            architecture="arm64",
            region=region,
            arn=f"arn:aws:lambda:{region}:123456789012:layer:alpha-python3-13-arm64:{number}",
            latest=version == "1.1.0",
            yanked="<b>loses</b> data" if version == "1.0.0" else None,
        )
        for number, version in enumerate(("1.0.0", "1.1.0"), start=1)
        for region in REGIONS
    ]
    path = tmp_path / "arns.html"
    path.write_text(catalog.html(entries), encoding="utf-8")
    return path


def dom(chromium: str, page: Path, search: str) -> str:
    """Return the page as the browser has it after its script ran."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    address = f"{page.as_uri()}#{search}"
    done = subprocess.run(
        [chromium, *options, profile, "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=clocks.seconds(60),
        check=True,
    )
    return done.stdout


def shown(text: str) -> list[str]:
    """Return the ARNs of the rows that are not hidden."""
    rows = re.findall(
        r"<tr( hidden=\"\")?><th scope=\"row\">.*?<code>(.*?)</code>", text, re.DOTALL
    )
    return [arn for hidden, arn in rows if not hidden]


def test_words_of_the_search_are_looked_for_in_all_columns(chromium: str, page: Path) -> None:
    everything = dom(chromium, page, "")
    found = dom(chromium, page, "us-east-1%20LATEST")

    assert len(shown(everything)) == 6
    assert [arn.split(":")[3] for arn in shown(found)] == ["us-east-1"]
    assert re.search(r'role="status">1 of 6 ARNs<', found)
    # The second copy of the tags would be markup if the reason of a yank were not escaped.
    assert "<b>loses</b>" not in found
