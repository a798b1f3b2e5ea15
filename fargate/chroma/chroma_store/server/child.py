"""The child process of `chroma_store.server.process`: becomes Chroma's Rust server.

It imports as little as it can: the server itself listens 50 ms after its library is loaded.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

# include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG = 1


def main(parent: str) -> None:
    """Load the server, read a folder and a port from stdin, and serve the one on the other.

    On loopback, until SIGTERM or until the process ``parent`` ends.
    """
    # A server without its parent would write to a folder that nobody snapshots.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the parent ended before the server began")
    try:
        import chromadb_rust_bindings  # type: ignore[import-untyped] # noqa: PLC0415 -- 54 MB
    except ImportError as error:
        sys.exit(f"the Chroma server is not installed: {error}")
    order = sys.stdin.readline()
    if not order:
        return  # stopped before there was anything to serve
    path, port = json.loads(order)
    where = ["--path", path, "--host", "127.0.0.1", "--port", str(port)]
    chromadb_rust_bindings.cli(["chroma", "run", *where])


if __name__ == "__main__":
    main(*sys.argv[1:])
