"""A supervisor whose Chroma never says what it holds."""

from __future__ import annotations

import sys
from typing import NoReturn

from chroma_supervisor import __main__
from chroma_supervisor.session import database
from vector_common.errors import Unavailable


def collections(*_: object, **__: object) -> NoReturn:
    raise Unavailable("a fault of the test")


database.collections = collections  # type: ignore[attr-defined]
sys.exit(__main__.main(["serve"]))
