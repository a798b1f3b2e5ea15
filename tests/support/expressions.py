"""GitHub's expressions, as far as the workflows of this repository use them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+)|(?P<name>[A-Za-z_][\w.-]*)"
    r"|(?P<sign>&&|\|\||==|!=|>|[!(),]))"
)
WHOLE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


class Expression:
    """One expression and what it may name.

    Args:
        text: Without the braces.
        contexts: ``github``, ``needs`` and so on.
        functions: What it may call, by name.
    """

    def __init__(
        self, text: str, contexts: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self.contexts = contexts
        self.functions: dict[str, Callable[..., Any]] = {
            "fromJSON": json.loads,
            "format": lambda text, *words: text.format(*words),
            "startsWith": lambda text, begin: text.lower().startswith(begin.lower()),
            **functions,
        }
        self.tokens: list[tuple[str, str]] = []
        rest = text.strip()
        while rest:
            found = TOKEN.match(rest)
            assert found, f"not an expression: {text}"
            self.tokens.append((str(found.lastgroup), str(found[str(found.lastgroup)])))
            rest = rest[found.end() :].strip()

    def value(self) -> Any:
        found = self._either()
        assert not self.tokens, self.tokens
        return found

    def _taken(self, sign: str) -> bool:
        if self.tokens and self.tokens[0] == ("sign", sign):
            self.tokens.pop(0)
            return True
        return False

    def _either(self) -> Any:
        found = self._both()
        while self._taken("||"):
            other = self._both()
            found = found or other
        return found

    def _both(self) -> Any:
        found = self._equal()
        while self._taken("&&"):
            other = self._equal()
            found = found and other
        return found

    def _equal(self) -> Any:
        found = self._one()
        for sign, wanted in (("==", True), ("!=", False)):
            if self._taken(sign):
                return (found == self._one()) is wanted
        if self._taken(">"):
            return float(found or 0) > float(self._one() or 0)
        return found

    def _one(self) -> Any:
        if self._taken("!"):
            return not self._one()
        if self._taken("("):
            found = self._either()
            assert self._taken(")")
            return found
        kind, word = self.tokens.pop(0)
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "number":
            return int(word)
        if self._taken("("):
            return self._called(word)
        literals = {"true": True, "false": False, "null": None}
        return literals[word] if word in literals else self._named(word)

    def _called(self, name: str) -> Any:
        words = []
        while not self._taken(")"):
            words.append(self._either())
            self._taken(",")
        return self.functions[name](*words)

    def _named(self, name: str) -> Any:
        """Return what a path names; nothing where a part of it is missing, as GitHub does."""
        found: Any = self.contexts
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return "" if found is None else found


def fill(
    value: Any, contexts: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]
) -> Any:
    """Return a value of a workflow with its expressions replaced by what they say."""
    if isinstance(value, dict):
        return {key: fill(one, contexts, functions) for key, one in value.items()}
    if isinstance(value, list):
        return [fill(one, contexts, functions) for one in value]
    if not isinstance(value, str):
        return value
    whole = WHOLE.fullmatch(value.strip())
    if whole and "${{" not in whole[1]:
        return Expression(whole[1], contexts, functions).value()
    return WHOLE.sub(lambda m: text_of(Expression(m[1], contexts, functions).value()), value)


def text_of(value: Any) -> str:
    """Return a value as GitHub writes it into a text or a variable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
