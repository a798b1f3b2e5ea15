"""The base of what is read and written as YAML or JSON, and what JSON Schema says of it."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema


class StrictModel(BaseModel):
    """Base: unknown keys refused, immutable, described by the docstrings below its attributes.

    pydantic's ``use_attribute_docstrings`` parses the source of every model at import, a sixth of
    what a build takes to start; only a schema needs them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the docstrings of the attributes."""
        found = handler(core)
        properties = handler.resolve_ref_schema(found).get("properties", {})
        for name, text in docstrings(cls).items():
            info = cls.model_fields.get(name)
            described = properties.get((info and info.alias) or name)
            if described is not None:
                described.setdefault("description", text)
        return found


@functools.cache
def docstrings(model: type[StrictModel]) -> dict[str, str]:
    """Return attribute -> the docstring below it, of a model and its bases."""
    found = {}
    for kind in reversed(model.__mro__):
        if not issubclass(kind, StrictModel):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(body, ast.ClassDef)
        for line, below in pairwise(body.body):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                text = _text(below)
                if text is not None:
                    found[line.target.id] = text
    return found


def _text(node: ast.stmt) -> str | None:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
    return None
