"""The functions against a real Chroma server, compared with exact search."""

from __future__ import annotations

import importlib.util
import json
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.deltas.log import DeltaLog
from chroma_store.server.process import ChromaProcess
from chroma_store.storage import open_storage
from vector_common import chroma, errors
from vector_common.chroma import chroma_client
from vector_common.records import CollectionSpec
from vector_common.search.neighbours import iterate_records

if TYPE_CHECKING:
    from collections.abc import Iterator

LAMBDAS = Path(__file__).parents[3] / "lambdas"
DIMENSION = 24
Vector = list[float]


def handler(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"function_{name}", LAMBDAS / name / "handler.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


class Corpus:
    """Receipts in clusters, so that labels mean something."""

    def __init__(self) -> None:
        rng = random.Random(42)
        centres = {f"label{n}": [rng.gauss(0, 1) for _ in range(DIMENSION)] for n in range(5)}
        self.centres = centres
        self.records: list[dict[str, Any]] = []
        for number in range(600):
            centre = f"label{number % 5}"
            spread = 0.15 + 0.5 * (number % 7) / 7
            vector = [x + rng.gauss(0, spread) for x in centres[centre]]
            # A part is labelled wrongly, as labels are.
            label = centre if number % 4 else f"label{(number // 4) % 5}"
            metadata = {
                "label": label,
                "merchant": f"{label}-shop{number % 15}",
                "year": 2020 + number % 6,
            }
            self.records.append(
                {
                    "id": f"r{number:03d}",
                    "embedding": vector,
                    "metadata": metadata,
                    "document": f"d{number}",
                }
            )

    def exact(self, query: Vector, limit: int, where: Any = None) -> list[tuple[str, float]]:
        """The nearest records by cosine, computed independently."""
        scored = [
            (record["id"], cosine(query, record["embedding"]))
            for record in self.records
            if where is None or where(record["metadata"])
        ]
        return sorted(scored, key=lambda item: -item[1])[:limit]

    def label(self, identifier: str) -> str:
        return str(self.records[int(identifier[1:])]["metadata"]["label"])

    def queries(self, count: int) -> list[Vector]:
        rng = random.Random(7)
        names = sorted(self.centres)
        made = []
        for number in range(count):
            one, other = (self.centres[name] for name in rng.sample(names, 2))
            mix = number / count / 1.8
            made.append(
                [
                    (1 - mix) * a + mix * b + rng.gauss(0, 0.1)
                    for a, b in zip(one, other, strict=True)
                ]
            )
        return made


def cosine(a: Vector, b: Vector) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (math.hypot(*a) * math.hypot(*b))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus()


@pytest.fixture(scope="module")
def session(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("functions")
    log = DeltaLog(open_storage((folder / "store").as_uri()), "db")
    log.append(corpus.records, CollectionSpec("receipts", DIMENSION, "cosine"))
    old = [{**r, "id": f"old-{r['id']}"} for r in corpus.records[:50]]
    log.append(old, CollectionSpec("merchants-old", DIMENSION, "cosine"))
    for space in ("l2", "ip"):
        log.append(corpus.records[:50], CollectionSpec(f"receipts-{space}", DIMENSION, space))
    equal = [{**r, "id": f"equal{n}", "embedding": corpus.records[0]["embedding"]}
             for n, r in enumerate(corpus.records[:40])]  # fmt: skip
    log.append(equal, CollectionSpec("equal", DIMENSION, "cosine"))
    (folder / "data").mkdir()
    with ChromaProcess(folder / "data") as server:
        log.replay(server.base_url)
        yield {"address": server.base_url}
    chroma.forget()


def test_search_finds_what_exact_search_finds(corpus: Corpus, session: dict[str, str]) -> None:
    search = handler("vector_search")
    for query in corpus.queries(25):
        event = {"collection": "receipts", "embedding": query, "limit": 10, "session": session}
        found = search(event, None)["results"]
        exact = corpus.exact(query, 10)
        assert [result["id"] for result in found] == [identifier for identifier, _ in exact]
        for result, (_, score) in zip(found, exact, strict=True):
            assert result["similarity"] == pytest.approx(score, abs=1e-5)


def test_search_by_metadata_with_documents_and_a_least_similarity(
    corpus: Corpus, session: dict[str, str]
) -> None:
    query = corpus.queries(1)[0]
    exact = corpus.exact(query, 20, lambda m: m["year"] >= 2023 and m["label"] != "label0")
    least = (exact[11][1] + exact[12][1]) / 2
    event = {
        "collection": "receipts",
        "embedding": query,
        "limit": 20,
        "where": {"$and": [{"year": {"$gte": 2023}}, {"label": {"$ne": "label0"}}]},
        "documents": True,
        "minSimilarity": least,
        "session": session,
    }
    found = handler("vector_search")(event, None)["results"]
    assert [result["id"] for result in found] == [identifier for identifier, _ in exact[:12]]
    assert all(result["document"] == f"d{int(result['id'][1:])}" for result in found)


def test_pages_are_one_list_in_which_no_record_comes_twice(
    corpus: Corpus, session: dict[str, str]
) -> None:
    query = corpus.queries(1)[0]
    event = {"collection": "receipts", "embedding": query, "limit": 70, "session": session}
    found: list[dict[str, Any]] = []
    answer: dict[str, Any] = {"next": None}
    while not found or answer["next"]:
        answer = handler("vector_search")({**event, "cursor": answer["next"]}, None)
        found += answer["results"]
    ids = [result["id"] for result in found]
    assert len(set(ids)) == len(ids)
    # Of 600: an approximate index misses a few, and how many differs from run to run.
    assert len(ids) >= 570
    assert [one["distance"] for one in found] == sorted(one["distance"] for one in found)
    # What it finds comes nearest first: the first 300 are the nearest of all that it found.
    there = [identifier for identifier, _ in corpus.exact(query, 600) if identifier in set(ids)]
    assert set(ids[:300]) == set(there[:300])
    near = handler("vector_search")({**event, "limit": 300, "minSimilarity": 0.9}, None)
    assert len(near["results"]) < 250
    assert near["next"] is None
    for cursor in ("x", "W10=", "\u00e9", "WzEsImEiLCJiIl0="):
        with pytest.raises(errors.BadRequest, match="cursor: is not"):
            handler("vector_search")({**event, "cursor": cursor}, None)


def test_every_record_is_read_page_by_page(corpus: Corpus, session: dict[str, str]) -> None:
    client = chroma_client(session)
    records = list(iterate_records(client, "receipts", page=77))
    assert [record["id"] for record in records] == [record["id"] for record in corpus.records]
    assert records[7]["metadata"] == corpus.records[7]["metadata"]
    late = list(iterate_records(client, "receipts", where={"year": 2025}, page=100))
    assert len(late) == 100


def test_labels_are_judged_as_by_exact_search(corpus: Corpus, session: dict[str, str]) -> None:
    validate = handler("label_validation")
    verdicts = set()
    for number, query in enumerate(corpus.queries(40)):
        label = f"label{number % 5}"
        event = {
            "collection": "receipts",
            "label": label,
            "embedding": query,
            "minSimilarity": 0.3,
            "session": session,
        }
        answer = validate(event, None)
        votes: dict[str, float] = {}
        for identifier, score in corpus.exact(query, 10):
            if score >= 0.3:
                name = corpus.label(identifier)
                votes[name] = votes.get(name, 0) + score
        total = sum(votes.values())
        assert answer["score"] == pytest.approx(
            votes.get(label, 0) / total if total else 0, abs=1e-5
        )
        assert answer["shares"] == pytest.approx({k: v / total for k, v in votes.items()}, abs=1e-5)
        verdicts.add(answer["verdict"])
    assert verdicts == {"accept", "review", "reject"}


def test_merchants_come_from_all_collections(corpus: Corpus, session: dict[str, str]) -> None:
    match = handler("merchant_match")
    record = corpus.records[3]
    event = {
        "collections": ["receipts", "merchants-old", "receipts"],
        "embedding": record["embedding"],
        "session": session,
    }
    answer = match(event, None)
    assert (answer["outcome"], answer["merchant"]) == ("match", record["metadata"]["merchant"])
    best = answer["candidates"][0]
    assert best["similarity"] == pytest.approx(1, abs=1e-6)
    assert best["support"] >= 2, "the same record lies in both collections"
    halfway = corpus.queries(40)[-1]
    answer = match(
        {**event, "embedding": halfway, "candidate": 0.2, "match": 0.2, "margin": 0.3}, None
    )
    assert answer["outcome"] == "ambiguous"
    scores = [candidate["similarity"] for candidate in answer["candidates"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("space", ["l2", "ip"])
def test_verdicts_and_thresholds_need_cosines(
    corpus: Corpus, session: dict[str, str], space: str
) -> None:
    query = {"embedding": corpus.records[0]["embedding"], "session": session}
    name = f"receipts-{space}"
    events: list[tuple[str, dict[str, Any]]] = [
        ("label_validation", {"collection": name, "label": "label0"}),
        ("merchant_match", {"collections": ["receipts", name]}),
        ("vector_search", {"collection": name, "minSimilarity": 0.5}),
    ]
    for function, event in events:
        with pytest.raises(errors.Conflict, match=f"{name} calculates {space}"):
            handler(function)({**query, **event}, None)
    # An inner product may be anything, and drops no record by itself.
    found = handler("vector_search")({**query, "collection": name, "limit": 50}, None)["results"]
    assert len(found) == 50


def test_equal_records_vote_all_or_none(corpus: Corpus, session: dict[str, str]) -> None:
    event = {
        "collection": "equal",
        "label": "label1",
        "embedding": corpus.records[0]["embedding"],
        "neighbours": 5,
        "session": session,
    }
    assert handler("label_validation")(event, None)["votes"] == 40


def test_a_batch_answers_as_each_function_does_and_in_order(
    corpus: Corpus, session: dict[str, str]
) -> None:
    query = corpus.queries(1)[0]
    items = [
        {"function": "vector_search", "event": {"collection": "receipts", "embedding": query}},
        {
            "function": "label_validation",
            "event": {"collection": "receipts", "embedding": query, "label": "label1"},
        },
        {
            "function": "merchant_match",
            "event": {"collections": ["receipts"], "embedding": query},
        },
    ] * 5
    event = {"items": items, "session": session, "concurrency": 4, "key": "results/s/results.json"}
    alone = [
        handler(str(item["function"]))({**item["event"], "session": session}, None)  # type: ignore[dict-item]
        for item in items[:3]
    ]
    assert handler("session_work")(event, None) == {"results": alone * 5}


def test_a_batch_that_no_state_can_hold_is_stored(
    corpus: Corpus, session: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = {"collection": "receipts", "embedding": corpus.queries(1)[0], "limit": 300}
    items = [{"function": "vector_search", "event": search}] * 12
    event = {"items": items, "session": session, "key": "results/s/results.json"}
    with pytest.raises(errors.BadRequest, match="RESULTS_URL"):
        handler("session_work")(event, None)
    monkeypatch.setenv("RESULTS_URL", tmp_path.as_uri())
    place = handler("session_work")(event, None)["results"]
    stored = json.loads((tmp_path / "results/s/results.json").read_bytes())
    assert (place["items"], len(stored)) == (12, 12)
    assert stored[0] == handler("vector_search")({**search, "session": session}, None)


def test_a_wrong_item_of_a_batch_is_named_with_its_own_error(
    corpus: Corpus, session: dict[str, str]
) -> None:
    good = {"collection": "receipts", "embedding": corpus.queries(1)[0]}
    items = [
        {"function": "vector_search", "event": one}
        for one in (good, {**good, "collection": "none"})
    ]
    with pytest.raises(errors.NotFound, match=r"items\[1\]"):
        handler("session_work")({"items": items, "session": session, "key": "k"}, None)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"collection": "missing"}, errors.NotFound),
        ({"embedding": [1.0] * 3}, errors.BadRequest),
        ({"where": {"$nonsense": 1}}, errors.BadRequest),
    ],
)
def test_what_chroma_refuses(
    session: dict[str, str], change: dict[str, Any], error: type[Exception]
) -> None:
    event = {"collection": "receipts", "embedding": [1.0] * DIMENSION, "session": session, **change}
    with pytest.raises(error):
        handler("vector_search")(event, None)


def test_one_client_serves_an_execution_environment(session: dict[str, str]) -> None:
    first = chroma_client(session)
    assert chroma_client(dict(session)) is first
    other = {"address": session["address"].replace("127.0.0.1", "localhost")}
    assert chroma_client(other) is not first
