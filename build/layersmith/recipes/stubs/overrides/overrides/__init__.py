"""Stub of overrides: marks methods and checks nothing.

The real package compares the signatures of every overriding method with its base class when a
class is made. That is a check for chromadb's own developers, made once more at every cold start.
It also copies missing docstrings from the base class; here `inspect.getdoc` finds them there.
"""

from abc import ABCMeta
from typing import Any, final

__all__ = ["__VERSION__", "EnforceOverrides", "final", "override", "overrides"]

__VERSION__ = "stub"


def overrides(
    method: Any = None, *, check_signature: bool = True, check_at_runtime: bool = False
) -> Any:
    """Mark a method as overriding one of a base class; used with and without arguments."""
    if method is None:
        return overrides
    method.__override__ = True
    return method


override = overrides


class EnforceOverrides(metaclass=ABCMeta):
    """Base class that enforces nothing but abstract methods, which it always did."""
