"""The command line of the image: ``serve`` (or ``compact``, by MODE) and ``health``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from vector_common.errors import SupervisorError

from chroma_supervisor import settings as settings_module
from chroma_supervisor.logs import configure, event


def main(argv: list[str] | None = None) -> int:
    """Run a verb and return the exit code of the process; errors are logged as JSON."""
    parser = argparse.ArgumentParser(prog="chroma_supervisor", description=__doc__)
    parser.add_argument("verb", choices=("serve", "health"))
    verb = parser.parse_args(argv).verb
    started = settings_module.process_start()
    if verb == "health":
        from chroma_supervisor.outside import check_health  # noqa: PLC0415 - it alone is needed

        return check_health(int(os.environ.get("LISTEN_PORT") or 8080))
    configure(os.environ.get("LOG_LEVEL") or "INFO")
    try:
        settings = settings_module.from_environment(os.environ)
    except SupervisorError as error:
        event("failed", kind=type(error).__name__, message=str(error))
        return error.exit_code
    if settings.mode == "compact":
        from chroma_supervisor.compact import run  # noqa: PLC0415 - half of the image's imports

        return run(settings)
    from chroma_supervisor.lifecycle import Supervisor  # noqa: PLC0415
    from chroma_supervisor.outside import Clients  # noqa: PLC0415

    return asyncio.run(Supervisor(settings, started=started, clients=Clients()).run())


if __name__ == "__main__":
    sys.exit(main())
