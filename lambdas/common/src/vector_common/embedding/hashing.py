"""Vectors of words and their parts by hashing: no model, no network, the same on every machine.

For tests and for trying things out. Texts that share words or parts of words are near to each
other; synonyms are not.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING

from vector_common.embedding import number_setting
from vector_common.records import EmbeddingModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vector_common.embedding import Kind

_WORD = re.compile(r"\w+")
_PART = 3


class Hashing:
    """EMBEDDER=hashing.

    Args:
        dimension: Numbers per vector; EMBEDDER_DIMENSION, or 256, if None.
    """

    model = EmbeddingModel("hashing", "1")
    batch = 1000

    def __init__(self, dimension: int | None = None) -> None:
        self.dimension = dimension or number_setting("EMBEDDER_DIMENSION", 256)

    def embed(self, texts: Sequence[str], kind: Kind) -> list[list[float]]:
        """Vectors of the length 1; queries and documents are treated alike."""
        del kind
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimension
        for feature, weight in _features(text):
            digest = hashlib.blake2b(feature.encode(errors="replace"), digest_size=8).digest()
            number = int.from_bytes(digest, "little")
            vector[(number >> 1) % self.dimension] += weight if number & 1 else -weight
        length = math.hypot(*vector)
        if not length:  # its features cancel each other
            vector[0] = length = 1.0
        return [value / length for value in vector]


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = _WORD.findall(text.casefold()) or [text.casefold()]
    for word in words:
        yield word, 1.0
        framed = f"<{word}>"
        parts = [framed[at : at + _PART] for at in range(len(framed) - _PART + 1)]
        for part in parts:
            yield part, 1 / len(parts)
