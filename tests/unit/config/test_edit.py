"""Entries are added to layers.yaml, and everything else stays as it is."""

from __future__ import annotations

import pytest
import yaml
from layersmith.config import document
from layersmith.errors import ConfigError

PATH = ("layers", "shop", "import-exceptions")
NEW = {"shop.cart": "ImportError: a 'quoted' reason: with a colon", "shop.*_x": "fails"}

WITH = """\
layers:
  shop:
    version: 1.0.0
    import-exceptions:   # known
      shop.old: does not import  # a note
    # what follows
    smoke: x.py

  other:
    version: 1.0.0
"""
WITHOUT = """\
layers:
  shop:
    version: 1.0.0
    prune:
      add:
        - a/
        - b/   # the last one

  # a comment of the next one
  other: {version: 1.0.0}
"""


def test_a_mapping_that_is_there_grows_at_its_end() -> None:
    new = document.with_entries(WITH, PATH, NEW, file="layers.yaml")
    assert new.splitlines()[:5] == WITH.splitlines()[:5]
    assert new.splitlines()[7:] == WITH.splitlines()[5:]
    found = yaml.safe_load(new)["layers"]["shop"]["import-exceptions"]
    assert found == {"shop.old": "does not import", **NEW}


def test_a_mapping_that_is_not_there_is_made_at_the_end_of_the_layer() -> None:
    new = document.with_entries(WITHOUT, PATH, NEW, file="layers.yaml")
    assert new.splitlines()[7] == "    import-exceptions:"
    assert [line for line in new.splitlines() if line not in WITHOUT.splitlines()] == (
        new.splitlines()[7:10]
    )
    assert yaml.safe_load(new)["layers"]["shop"]["import-exceptions"] == NEW


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_last_layer_of_the_file(end: str) -> None:
    text = f"layers:\n  shop:\n    description: >-\n      folded\n      text{end}"
    found = yaml.safe_load(document.with_entries(text, PATH, NEW, file="layers.yaml"))
    assert found["layers"]["shop"] == {"description": "folded text", "import-exceptions": NEW}


def test_line_ends_of_windows_stay() -> None:
    new = document.with_entries(WITH.replace("\n", "\r\n"), PATH, NEW, file="layers.yaml")
    assert new.count("\n") == new.count("\r\n")


@pytest.mark.parametrize(
    "text",
    [
        "layers:\n  shop: {version: 1.0.0}\n",
        "layers:\n  shop:\n    import-exceptions: {a.b: because}\n",
        "x: &all\n  a.b: because\nlayers:\n  shop:\n    import-exceptions: *all\n",
    ],
)
def test_what_cannot_be_edited_is_said_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be edited here") as raised:
        document.with_entries(text, PATH, NEW, file="layers.yaml")
    assert "shop.*_x" in str(raised.value.hint)
