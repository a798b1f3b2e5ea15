"""What is written as TOML is read back as it was."""

from __future__ import annotations

import tomllib

import pytest
from layersmith.base import toml


def test_what_is_written_is_read_back() -> None:
    content = {
        "text": 'a "quoted" \\ line\n\x7f\u00e9',
        "odd key": [1, 2.5, True, False],
        "table": {"a.b": [{"url": "https://example.org"}, {}], "empty": []},
    }
    assert tomllib.loads(toml.dumps(content)) == content


def test_what_toml_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="None cannot be written"):
        toml.dumps({"a": None})
