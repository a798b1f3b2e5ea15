"""A corpus of receipts, made from a seed: merchants, labels, and embeddings around them.

Each merchant has a direction in space, each of its receipts lies near it, and its label follows
from the merchant; so what search, label validation and merchant match must answer is known, and
exact search over all embeddings says it without Chroma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLLECTION = "receipts"
LABELS = ("groceries", "fuel", "restaurant", "pharmacy", "travel")
SPREAD = 0.35
"""Length of a receipt's deviation from its merchant, whose direction has length 1."""


@dataclass(frozen=True)
class Corpus:
    """Receipts and their embeddings.

    Attributes:
        embeddings: One row a receipt, of length 1.
        merchants: Number of the merchant of every receipt.
        dimension: Of an embedding.
    """

    embeddings: NDArray[np.float32]
    merchants: NDArray[np.int64]
    dimension: int

    def __len__(self) -> int:
        return len(self.merchants)

    @property
    def ids(self) -> list[str]:
        """The ids of all receipts."""
        return [self.id(number) for number in range(len(self))]

    def id(self, number: int) -> str:
        """The id of a receipt."""
        return f"receipt-{number:06d}"

    def label(self, number: int) -> str:
        """The label of a receipt."""
        return LABELS[int(self.merchants[number]) % len(LABELS)]

    def merchant(self, number: int) -> str:
        """The merchant of a receipt."""
        return f"merchant-{int(self.merchants[number]):03d}"

    def embedding(self, number: int) -> list[float]:
        """The embedding of a receipt."""
        return [float(value) for value in self.embeddings[number]]

    def nearest(self, number: int, count: int) -> list[str]:
        """Ids of the nearest receipts by exact search, the receipt itself first."""
        similarity = self.embeddings @ self.embeddings[number]
        return [self.id(int(found)) for found in np.argsort(-similarity, kind="stable")[:count]]

    def record(self, number: int) -> dict[str, Any]:
        """A receipt as delta_writer takes it."""
        return {
            "op": "upsert",
            "id": self.id(number),
            "embedding": self.embedding(number),
            "metadata": {"label": self.label(number), "merchant": self.merchant(number)},
        }

    def batches(self, size: int) -> list[dict[str, Any]]:
        """The whole corpus as events of delta_writer, as the file of a backfill holds them."""
        return [
            {
                "collection": self.collection(),
                "records": [self.record(n) for n in range(start, min(start + size, len(self)))],
                "idempotencyKey": f"corpus-{start}",
            }
            for start in range(0, len(self), size)
        ]

    def collection(self) -> dict[str, Any]:
        """The specification of the collection."""
        return {"name": COLLECTION, "dimension": self.dimension, "space": "cosine"}


def make(size: int, *, dimension: int = 64, merchants: int = 40, seed: int = 20261121) -> Corpus:
    """Make a corpus.

    Args:
        size: Number of receipts.
        dimension: Of an embedding.
        merchants: Number of merchants.
        seed: The same seed makes the same corpus.
    """
    random = np.random.default_rng(seed)
    centres = _normal(random.standard_normal((merchants, dimension)))
    chosen = random.integers(0, merchants, size)
    noise = _normal(random.standard_normal((size, dimension))) * SPREAD
    embeddings = _normal(centres[chosen] + noise).astype(np.float32)
    return Corpus(embeddings, chosen, dimension)


def _normal(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
