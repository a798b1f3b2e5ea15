"""The stubs beside the distributions that they stand for, which the tests have installed."""

from __future__ import annotations

import abc
import importlib
import importlib.util
import inspect
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.recipes.book import SHIPPED, RecipeBook

if TYPE_CHECKING:
    from types import ModuleType

STUBS = SHIPPED / "stubs"

FILES = {
    ".".join(path.relative_to(folder).parts[:-1]): path
    for folder in sorted(STUBS.iterdir())
    for path in sorted(folder.rglob("__init__.py"))
}


def stub(name: str) -> ModuleType:
    """Load one file of a stub under a name of its own, beside the real module."""
    path, own = FILES[name], f"stub_of_{name.replace('.', '_')}"
    below = [str(path.parent)]
    spec = importlib.util.spec_from_file_location(own, path, submodule_search_locations=below)
    assert spec is not None and spec.loader is not None
    for loaded in [one for one in sys.modules if one == own or one.startswith(f"{own}.")]:
        del sys.modules[loaded]
    module = importlib.util.module_from_spec(spec)
    sys.modules[own] = module  # for what it imports from below itself
    spec.loader.exec_module(module)
    return module


def test_every_stub_is_declared_and_every_declaration_has_a_stub() -> None:
    book = RecipeBook()
    recipes = [recipe for name in book.names() if (recipe := book.get(name))]
    declared = {recipe.stub(name) for recipe in recipes for name in recipe.content.stubs}
    assert declared == set(STUBS.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_a_stub_invents_nothing(name: str) -> None:
    real = importlib.import_module(name)
    offered = stub(name).__all__
    assert [one for one in offered if not hasattr(real, one)] == []


@pytest.mark.parametrize("name", FILES)
def test_calls_of_the_real_thing_fit_the_stub(name: str) -> None:
    """What the real callable takes by position or name, the stub's takes, too."""
    real, ours = importlib.import_module(name), stub(name)
    for offered in ours.__all__:
        theirs = getattr(real, offered)
        if not callable(theirs) or isinstance(theirs, type):
            continue
        wanted = inspect.signature(theirs).parameters.values()
        required = [one for one in wanted if one.default is one.empty]
        taken = inspect.signature(getattr(ours, offered))
        positional = [one for one in required if one.kind is one.POSITIONAL_OR_KEYWORD]
        taken.bind(*[None for _ in positional])
        taken.bind(**{one.name: None for one in positional})


@pytest.fixture(params=["real", "stub"])
def overrides(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module("overrides") if request.param == "real" else stub("overrides")


class Base:
    def method(self) -> str:
        """What it does."""
        return "base"


def test_overrides_marks_the_method_and_keeps_it(overrides: Any) -> None:
    override, kept = overrides.override, []

    def keep(method: Any) -> Any:
        kept.append(method)
        return method

    class Derived(Base):
        @override  # type: ignore[untyped-decorator]
        @keep
        def method(self) -> str:
            return "derived"

    assert Derived.__dict__["method"] is kept[0]
    assert kept[0].__override__
    assert Derived().method() == "derived"


def test_overrides_with_arguments(overrides: Any) -> None:
    class Derived(Base):
        @overrides.overrides(check_signature=False)  # type: ignore[untyped-decorator]
        def method(self, more: int = 1) -> str:
            return "derived"

    assert Derived().method() == "derived"


def test_abstract_methods_stay_abstract(overrides: Any) -> None:
    class Abstract(overrides.EnforceOverrides):  # type: ignore[misc]
        @abc.abstractmethod
        def method(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract()


def test_mixes_with_abc(overrides: Any) -> None:
    class Component(abc.ABC, overrides.EnforceOverrides):  # type: ignore[misc]
        pass

    assert isinstance(Component, abc.ABCMeta)


def test_otlp_export_says_that_it_is_not_there() -> None:
    name = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"
    with pytest.raises(RuntimeError, match=r"chroma_otel_granularity.*without the stubs"):
        stub(name).OTLPSpanExporter(endpoint="collector:4317", headers={})


@pytest.mark.parametrize(
    "call",
    [
        lambda: stub("yaml").safe_load("a: 1"),
        lambda: stub("jsonschema").validate(instance={}, schema={}),
        lambda: stub("weasel.cli").project_run("folder", "command"),
    ],
    ids=["yaml", "jsonschema", "weasel"],
)
def test_what_is_not_there_is_never_silent(call: Any) -> None:
    with pytest.raises(RuntimeError, match="stub"):
        call()


def test_a_validation_error_carries_what_the_client_reads() -> None:
    for module in (importlib.import_module("jsonschema"), stub("jsonschema")):
        error = module.ValidationError("too short")
        assert (error.message, list(error.path), str(error)) == ("too short", [], "too short")


def test_spans_without_a_provider_record_nothing() -> None:
    for trace in (importlib.import_module("opentelemetry.trace"), stub("opentelemetry.trace")):
        with trace.get_tracer("chromadb").start_as_current_span("query", attributes={"n": 1}):
            span = trace.get_current_span()
            span.set_attribute("pod_name", "none")
            span.set_attributes({"a": 1})
        assert not span.is_recording()


RUN = {
    "id": uuid.UUID(int=1),
    "start_time": datetime(2024, 2, 29, tzinfo=UTC),
    "serialized": {"id": ["langchain", "Chain"]},
    "inputs": {"question": "?"},
    "outputs": None,
    "extra": {"metadata": {"a": 1}},
    "events": [{"name": "start"}],
    "run_type": "llm",
    "tags": None,
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"name": "mine", "serialized": None, "parent_run_id": uuid.UUID(int=2)},
        {"serialized": {"name": "named"}, "outputs": {"answer": "!"}, "tags": ["a"]},
        {"serialized": None, "trace_id": uuid.UUID(int=3), "dotted_order": "a.b"},
    ],
)
def test_a_run_is_that_of_langsmith(changed: dict[str, Any]) -> None:
    runs = []
    for langsmith in (importlib.import_module("langsmith"), stub("langsmith")):
        run = langsmith.RunTree(**RUN | changed)
        run.add_tags("b")
        run.add_metadata({"c": 2})
        run.end_time = datetime(2024, 2, 29, 0, 1, tzinfo=UTC)
        child = langsmith.RunTree(parent_run=run, name="child", **RUN | {"serialized": None})
        runs.append(
            [run.metadata, run.latency, run.model_dump(), child.model_dump(), run.child_runs]
        )
    assert runs[0] == runs[1]


def test_nothing_is_traced_with_the_stub() -> None:
    langsmith = stub("langsmith")
    assert langsmith.traceable(len) is len
    assert langsmith.traceable(run_type="tool", name="a")(len) is len
    with langsmith.tracing_context(enabled=False):
        assert langsmith.get_current_run_tree() is None
    real = importlib.import_module("langsmith").get_tracing_context()
    assert langsmith.get_tracing_context() == real


def test_where_traces_are_asked_for_the_stub_says_that_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    langsmith = stub("langsmith")
    for name in langsmith.utils.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not langsmith.utils.tracing_is_enabled()
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    for call in (
        langsmith.utils.tracing_is_enabled,
        langsmith.Client,
        langsmith.run_trees.get_cached_client,
        lambda: langsmith.address.ensure_agent({}),
        lambda: langsmith.traceable(enabled=True),
        lambda: langsmith.tracing_context(enabled=True).__enter__(),
        langsmith.RunTree(**RUN).post,
    ):
        with pytest.raises(RuntimeError, match="add langsmith to the requirements"):
            call()


@pytest.mark.parametrize("name", ["jinja2", "langsmith", "requests"])
def test_what_a_stub_does_not_have_is_named(name: str) -> None:
    module = stub(name)
    with pytest.raises(ImportError, match=f"add {name} to the requirements of the layer"):
        _ = module.Session
    with pytest.raises(AttributeError):
        _ = module.__wrapped__


def test_errors_of_requests_are_told_apart() -> None:
    for requests in (importlib.import_module("requests"), stub("requests")):
        error: Any = requests.HTTPError("404", response="answer")
        assert error.response == "answer"
        assert isinstance(error, requests.RequestException) and isinstance(error, OSError)
        assert not isinstance(error, (requests.ConnectionError, requests.Timeout))
    with pytest.raises(ImportError, match=r"requests\.Response"):
        stub("requests").Response()


def test_a_template_is_not_filled_in() -> None:
    with pytest.raises(ImportError, match="add jinja2 to the requirements"):
        stub("jinja2").Template("{{ a }}")
