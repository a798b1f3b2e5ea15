"""Takes the place of threadpoolctl: finds no pools of threads and limits none."""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ThreadpoolController", "threadpool_info", "threadpool_limits"]

__version__ = "3.6.0"


class threadpool_limits(ContextDecorator):  # noqa: N801 -- threadpoolctl's own name
    """A context in which nothing is limited."""

    def __init__(self, limits: Any = None, user_api: Any = None) -> None:
        del limits, user_api

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @classmethod
    def wrap(cls, limits: Any = None, user_api: Any = None) -> threadpool_limits:
        """Return a decorator that limits nothing."""
        return cls(limits, user_api)

    def unregister(self) -> None:
        """Do nothing."""

    restore_original_limits = unregister


class ThreadpoolController:
    """A controller that knows no libraries."""

    lib_controllers: tuple[Any, ...] = ()

    def info(self) -> list[dict[str, Any]]:
        """Return no libraries."""
        return []

    def select(self, **_: Any) -> ThreadpoolController:
        """Return itself."""
        return self

    def limit(self, *, limits: Any = None, user_api: Any = None) -> threadpool_limits:
        """Return a context that limits nothing."""
        return threadpool_limits(limits, user_api)

    wrap = limit


def threadpool_info() -> list[dict[str, Any]]:
    """Return no libraries."""
    return []
