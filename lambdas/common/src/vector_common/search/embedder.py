"""Embeddings: from the event, or from a function that the deployment names. None is bundled."""

from __future__ import annotations

import functools
import importlib
import os
from typing import TYPE_CHECKING, Any

from vector_common.errors import BadRequest, EmbedderFailed, VectorError
from vector_common.records import parse_embedding

if TYPE_CHECKING:
    import array
    from collections.abc import Callable, Sequence

    from vector_common.events import Fields

    Embedder = Callable[[Sequence[str]], Sequence[Sequence[float]]]

MAX_TEXT = 8192


def read_embedding(fields: Fields) -> Callable[[], array.array[float]]:
    """Read ``embedding`` or ``text`` of an event.

    Returns:
        A function that gives the vector, to be called after ``fields.check()``: an embedder may
        be slow, and is not asked for an event that is refused anyway.
    """
    vector, text = fields.raw("embedding"), fields.raw("text")
    if (vector is None) == (text is None):
        fields.problem("embedding", "give either embedding or text")
    elif vector is not None:
        try:
            checked = parse_embedding(vector, None)
        except BadRequest as error:
            fields.problem("embedding", str(error).partition(": ")[2])
        else:
            return lambda: checked
    elif not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
        fields.problem("text", f"must be a string of 1 to {MAX_TEXT} characters")
    elif not os.environ.get("EMBEDDER"):
        fields.problem("text", "needs an embedder, and EMBEDDER is not set; send embedding")
    return lambda: _embed(str(text))


def _embed(text: str) -> array.array[float]:
    name = os.environ["EMBEDDER"]
    try:
        [vector] = _embedder(name)([text])
        return parse_embedding([float(value) for value in vector], None, "its answer")
    except VectorError as error:
        if not isinstance(error, BadRequest):
            raise
        raise EmbedderFailed(f"embedder {name}: {error}") from error
    except Exception as error:
        # Whatever it raises is the deployment's fault, and not that of the event.
        raise EmbedderFailed(f"embedder {name}: {type(error).__name__}: {error}") from error


@functools.cache
def _embedder(name: str) -> Embedder:
    """The function ``module:function``: from texts to one vector each."""
    module, _, function = name.partition(":")
    found: Any = getattr(importlib.import_module(module), function)
    return found  # type: ignore[no-any-return]
