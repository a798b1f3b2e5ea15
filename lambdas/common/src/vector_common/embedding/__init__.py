"""Embedders: from texts to vectors. What one is, and how a function gets its own.

EMBEDDER names it: ``bedrock``, ``endpoint``, ``onnx``, ``hashing``, or ``module:name`` of the
deployment's own, which is a class or an object with the members of `Embedder`, or a plain function
from a list of texts to a list of vectors.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from vector_common.errors import BadRequest, EmbedderFailed, VectorError
from vector_common.records import EmbeddingModel, is_utf8, parse_embedding

if TYPE_CHECKING:
    import array
    from collections.abc import Callable, Sequence

Kind = Literal["query", "document"]
T = TypeVar("T")

MAX_TEXT = 8192
"""Characters of a text."""

_TOO_LONG = re.compile(
    r"too (many|long|large)[\w ]* (token|text|input)|(text|input|token)s?[\w ]* too (long|large)"
    r"|maxLength|maximum (context|input|sequence|token)[\w ]* length|must have less than",
    re.IGNORECASE,
)
"""What Bedrock, OpenAI, vLLM and text-embeddings-inference say of a text that is too long."""

BUILT_IN = {
    "bedrock": "vector_common.embedding.bedrock:Bedrock",
    "endpoint": "vector_common.embedding.endpoint:EmbeddingEndpoint",
    "onnx": "vector_common.embedding.onnx:Onnx",
    "hashing": "vector_common.embedding.hashing:Hashing",
}


class Embedder(Protocol):
    """What makes vectors of texts.

    One is made in an execution environment, without arguments, and settings are read from the
    environment then. What it raises becomes EmbedderFailed; a fault that may pass is
    `vector_common.errors.Unavailable`, which callers retry. It may have another member,
    ``characters``: the longest text that its model takes, where that is less than `MAX_TEXT`.
    """

    @property
    def model(self) -> EmbeddingModel:
        """The name and version that are kept with a collection and checked."""

    @property
    def dimension(self) -> int | None:
        """Numbers per vector; None if only its answers tell."""

    @property
    def batch(self) -> int:
        """Most texts of one call."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Sequence[Sequence[float]]:
        """One vector per text, in order.

        Args:
            texts: At least one, at most `batch`.
            kind: Whether they ask or are to be found; models may treat the two differently.
        """


def is_configured() -> bool:
    """Whether this function has an embedder, which need not be made for the answer."""
    return bool(os.environ.get("EMBEDDER"))


def text_problem(text: object, embedder: Embedder | None = None) -> str:
    """What is wrong with a text to embed, by this embedder if it is known; empty if nothing is."""
    most = min(MAX_TEXT, getattr(embedder, "characters", MAX_TEXT))
    if not isinstance(text, str) or not 0 < len(text) <= most:
        model = f" for {embedder.model.name}" if embedder and most < MAX_TEXT else ""
        return f"must be a string of 1 to {most} characters{model}"
    # A lone surrogate, which JSON may hold and UTF-8 may not.
    return "" if is_utf8(text) else "has a character that is not Unicode"


def configured() -> Embedder | None:
    """The embedder of this function; None where EMBEDDER is not set.

    Raises:
        EmbedderFailed: It cannot be made.
    """
    name = os.environ.get("EMBEDDER")
    return _open(name) if name else None


def forget() -> None:
    """Let the next call make a new embedder, from what the environment says then."""
    _open.cache_clear()


def embed(embedder: Embedder, texts: Sequence[str], kind: Kind) -> list[array.array[float]]:
    """Make the vectors of any number of texts, in order.

    Raises:
        BadRequest: Its model does not take so long a text; nothing was asked of it.
        PayloadTooLarge: A text has more tokens than its model takes.
        EmbedderFailed: It raised, or did not give one usable vector per text.
        Unavailable: It may work in a moment.
    """
    for number, text in enumerate(texts):
        if problem := text_problem(text, embedder):
            place = f"texts[{number}]" if len(texts) > 1 else "text"
            raise BadRequest(f"{place}: {problem}")
    found: list[array.array[float]] = []
    for start in range(0, len(texts), embedder.batch):
        part = texts[start : start + embedder.batch]
        with_errors = functools.partial(_checked, embedder, part, kind)
        found += _guarded(embedder.model.name, with_errors)
    return found


def number_setting(name: str, default: int, *, low: int = 1, high: int = 16_384) -> int:
    """Read an integer of the environment.

    Raises:
        EmbedderFailed: It is not one within the bounds.
    """
    raw = os.environ.get(name) or str(default)
    if not raw.isascii() or not raw.isdigit() or not low <= int(raw) <= high:
        raise EmbedderFailed(f"{name}: must be an integer of {low} to {high}")
    return int(raw)


def text_setting(name: str) -> str:
    """Read a text of the environment that must be there.

    Raises:
        EmbedderFailed: It is not set.
    """
    if not (value := os.environ.get(name, "")):
        raise EmbedderFailed(
            f"{name}: is not set, and EMBEDDER={os.environ.get('EMBEDDER')} needs it"
        )
    return value


def is_about_length(said: str) -> bool:
    """Whether a service refused a text for its length; none of them has a code for that."""
    return _TOO_LONG.search(said) is not None


def prefixed(texts: Sequence[str], kind: Kind) -> list[str]:
    """Put EMBEDDER_QUERY_PREFIX or EMBEDDER_DOCUMENT_PREFIX before each text.

    Models such as e5, bge and nomic were trained with ``query: `` and the like.
    """
    prefix = os.environ.get(f"EMBEDDER_{kind.upper()}_PREFIX", "")
    return [prefix + text for text in texts]


class _Function:
    """A plain function as an embedder; its name is that of its model."""

    dimension = None
    batch = 1000

    def __init__(
        self, name: str, function: Callable[[list[str]], Sequence[Sequence[float]]]
    ) -> None:
        self._function = function
        self.model = EmbeddingModel(
            os.environ.get("EMBEDDER_MODEL") or name, os.environ.get("EMBEDDER_VERSION", "")
        )

    def embed(self, texts: Sequence[str], kind: Kind) -> Sequence[Sequence[float]]:
        """Call the function, which treats queries and documents alike."""
        del kind
        return self._function(list(texts))


@functools.lru_cache(maxsize=1)
def _open(name: str) -> Embedder:
    return _guarded(name, lambda: _import(name))


def _import(name: str) -> Embedder:
    module, _, attribute = BUILT_IN.get(name, name).partition(":")
    found: Any = getattr(importlib.import_module(module), attribute)
    if not hasattr(found, "embed"):
        return _Function(name, found)
    made: Embedder = found() if isinstance(found, type) else found
    return made


def _checked(embedder: Embedder, texts: Sequence[str], kind: Kind) -> list[array.array[float]]:
    vectors = embedder.embed(texts, kind)
    if len(vectors) != len(texts):
        raise EmbedderFailed(f"its answer: has {len(vectors)} vectors for {len(texts)} texts")
    return [
        parse_embedding([float(value) for value in vector], embedder.dimension, "its answer")
        for vector in vectors
    ]


def _guarded(name: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except (BadRequest, EmbedderFailed) as error:
        raise EmbedderFailed(f"embedder {name}: {error}") from error
    except VectorError:
        raise
    except Exception as error:
        # Whatever it raises is the deployment's fault, and not that of the event.
        raise EmbedderFailed(f"embedder {name}: {type(error).__name__}: {error}") from error
