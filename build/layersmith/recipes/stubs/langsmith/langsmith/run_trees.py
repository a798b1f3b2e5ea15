"""Stub of langsmith.run_trees: runs as callbacks of langchain-core see them; none is sent."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .utils import refuse

_CLIENT: Any = None
"""The real one's client; there is none."""


class Client:
    """Refuses to be made.

    Raises:
        RuntimeError: Always.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse()


def get_cached_client(**init_kwargs: Any) -> Client:
    """Refuse.

    Raises:
        RuntimeError: Always.
    """
    return Client()


class RunTree(BaseModel):
    """A run of a chain, a model, a tool or a retriever."""

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True, extra="ignore")

    id: UUID
    name: str
    start_time: datetime = Field(default_factory=lambda: datetime.now(timezone.utc))
    run_type: str = "chain"
    end_time: datetime | None = None
    extra: dict[Any, Any] = {}
    error: str | None = None
    serialized: dict[Any, Any] | None = None
    events: list[dict[Any, Any]] = []
    inputs: dict[Any, Any] = {}
    outputs: dict[Any, Any] | None = None
    reference_example_id: UUID | None = None
    parent_run_id: UUID | None = None
    tags: list[str] | None = []
    attachments: dict[str, Any] = {}
    parent_run: Any = Field(default=None, exclude=True)
    parent_dotted_order: str | None = Field(default=None, exclude=True)
    child_runs: list[Any] = Field(default=[], exclude=True)
    session_name: str | None = Field(default="default", alias="project_name")
    session_id: UUID | None = Field(default=None, alias="project_id")
    address: Any = Field(default=None, exclude=True)
    ls_client: Any = Field(default=None, exclude=True)
    dotted_order: str = ""
    trace_id: UUID
    dangerously_allow_filesystem: bool | None = False
    replicas: Any = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def infer_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in what is not said, as LangSmith does."""
        serialized = values.get("serialized") or {}
        named = serialized.get("name") or (serialized.get("id") or ["Unnamed"])[-1]
        values["name"] = named if values.get("name") is None else values["name"]
        parent = values.pop("parent_run", None)
        if parent is not None:
            values["parent_run_id"] = parent.id
            values["parent_dotted_order"] = parent.dotted_order
        values.setdefault("id", uuid4())
        values.setdefault("trace_id", values["id"] if parent is None else parent.trace_id)
        for key, empty in (("events", []), ("tags", []), ("outputs", {}), ("attachments", {})):
            values[key] = empty if values.get(key) is None else values[key]
        for key in ("inputs", "outputs"):
            value = values.get(key)
            if value is not None and not isinstance(value, dict):
                dump = getattr(value, "model_dump", None)
                values[key] = dump() if dump else dict(value)
        return values

    @model_validator(mode="after")
    def ensure_dotted_order(self) -> RunTree:
        """Fill in the place of the run in its tree."""
        if not self.dotted_order.strip():
            own = f"{self.start_time:%Y%m%dT%H%M%S%fZ}{self.id}"
            above = self.parent_dotted_order
            self.dotted_order = own if above is None else f"{above}.{own}"
        return self

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known beside inputs and outputs."""
        return self.extra.setdefault("metadata", {})  # type: ignore[no-any-return]

    @property
    def latency(self) -> float | None:
        """Seconds from start to end; None before the end."""
        return None if self.end_time is None else (self.end_time - self.start_time).total_seconds()

    def add_tags(self, tags: Any) -> None:
        """Add tags."""
        self.tags = [*(self.tags or []), *([tags] if isinstance(tags, str) else tags)]

    def add_metadata(self, metadata: dict[str, Any]) -> None:
        """Add metadata."""
        self.metadata.update(metadata)

    def post(self, *args: Any, **kwargs: Any) -> None:
        """Refuse.

        Raises:
            RuntimeError: Always.
        """
        refuse()

    def patch(self, *args: Any, **kwargs: Any) -> None:
        """Refuse.

        Raises:
            RuntimeError: Always.
        """
        refuse()
