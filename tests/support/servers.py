"""HTTP servers of the tests' own process."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socketserver import BaseServer

POLL_SECONDS = 0.01
"""How soon a server notices that it is to end; the default is half a second, in every test."""


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Answer from a thread while the block runs, and close the server then."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
