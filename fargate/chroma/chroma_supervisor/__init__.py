"""The process that runs Chroma for one session in a Fargate task.

It restores a database from its storage, serves it behind a proxy that asks for the session's
bearer token, and writes a new snapshot before it exits. ``python -m chroma_supervisor serve``
starts it, ``python -m chroma_supervisor health`` is the container's health check.

Modules import in one direction: logs, settings, address <- session/ (state and tokens, then the
database and what it needs, then resources and watch) <- proxy/ (listener above all) <- outside,
lifecycle <- __main__. What the session reports is in outside, which knows only its state.
"""
