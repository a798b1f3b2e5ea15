"""Why a file, module, library or distribution is in a layer, or is not: read from manifests."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import Field

from layersmith.assemble.bill import bundled
from layersmith.assemble.graph import graph_of
from layersmith.assemble.prune import rules
from layersmith.base.models import StrictModel
from layersmith.errors import ConfigError
from layersmith.plan import PACKAGES
from layersmith.recipes.apply import rule as recipe_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layersmith.assemble.manifest import Distribution, Manifest
    from layersmith.report.found import FoundManifest


class WhyAnswer(StrictModel):
    """Why something is in layers, or left out of them."""

    name: str
    """Path in the zip, name of a distribution, or of a component inside one."""
    kind: Literal["file", "distribution", "component"]
    """``component`` is what the SBOM names inside a distribution, e.g. a library linked into a
    module."""
    present: bool
    """Whether the layers have it."""
    version: str | None = None
    """Version of the distribution or component."""
    size: int | None = None
    """Bytes, uncompressed."""
    distribution: str | None = None
    """Distribution with its version that brings it, or ``files:`` and ``modules:`` for these keys
    of layers.yaml."""
    chain: list[str] = Field(default_factory=list)
    """Requirement as asked for, and the distributions from it to this one; empty where a stub or
    what was left out stands between them."""
    rule: str | None = None
    """Prune rule, recipe or key of layers.yaml that left it out, replaced it, or kept it."""
    reason: str | None = None
    """Why that rule applies."""
    targets: list[str] = Field(default_factory=list)
    """Identifiers of the targets of which this is true."""


def ask(name: str, manifests: Mapping[str, FoundManifest]) -> list[WhyAnswer]:
    """Return why something is in layers or is not, each answer once for all its targets.

    Args:
        name: Path of a file or its end, dotted name of a module, a library, or a distribution.
        manifests: What is asked, by target.

    Raises:
        ConfigError: No layer has it, and no rule is known to have left it out.
    """
    known: set[str] = set()
    answers: dict[str, tuple[WhyAnswer, list[str]]] = {}
    for target, one in sorted(manifests.items()):
        asked = _Asked(name, one)
        for answer in asked.answers():
            key = answer.model_dump_json()
            answers.setdefault(key, (answer, []))[1].append(target)
        known |= asked.names()
    if not answers:
        raise _unknown(name, known, manifests)
    return [one.model_copy(update={"targets": names}) for one, names in answers.values()]


def _unknown(name: str, known: Iterable[str], targets: Iterable[str]) -> ConfigError:
    close = difflib.get_close_matches(name, sorted(known), n=2, cutoff=0.7)
    return ConfigError(
        f"{name} is not in a built layer, and no rule is known to have left it out",
        cause=f"{len([*targets])} manifests were searched",
        hint=f"did you mean {' or '.join(close)}?"
        if close
        else "name a file, a module, a library or a distribution as the manifests have it",
    )


class _Asked:
    """One name held against one manifest."""

    def __init__(self, name: str, found: FoundManifest) -> None:
        self.name = name
        self.manifest: Manifest = found.manifest
        self.components = _components(found)
        self.graph = graph_of(self.manifest)
        self.distributions = {one.name: one for one in self.manifest.distributions}

    def names(self) -> set[str]:
        """Return what one may ask for, without the paths of files."""
        named = {*self.distributions, *(one.name for one in self.manifest.dropped)}
        named |= {module for one in self.manifest.distributions for module in one.modules}
        named |= {bundled.stem(one.path) for one in self.manifest.files if ".so" in one.path}
        named |= {component["name"] for _, component in self.components}
        return named | {one.path.rsplit("/", 1)[-1] for one in self.manifest.files}

    def answers(self) -> list[WhyAnswer]:
        """Return what is known, the most exact first."""
        kinds = (
            *(self._distributions, self._dropped, self._files, self._folders),
            self._components,
        )
        for kind in kinds:
            if found := [*kind()]:
                return found
        return [*self._losses(), *self._pruned()]

    def _chain(self, name: str) -> list[str]:
        """Return how a requirement leads to a distribution; empty for what layers.yaml adds."""
        if name.endswith(":"):
            return []
        chain = self.graph.chain(name)
        for text in self.manifest.inputs.requirements:
            if canonicalize_name(Requirement(text).name) == chain[0]:
                return [text, *chain[1:]]
        return chain if chain[0] in self.graph.roots else []

    def _distributions(self) -> Iterator[WhyAnswer]:
        if one := self.distributions.get(canonicalize_name(self.name)):
            yield self._distribution(one)

    def _distribution(self, one: Distribution) -> WhyAnswer:
        rule, reason = self._stub(one)
        return WhyAnswer(
            name=one.name,
            kind="distribution",
            present=True,
            version=one.version,
            size=one.unzipped,
            distribution=f"{one.name} {one.version}",
            chain=self._chain(one.name),
            rule=rule,
            reason=reason,
        )

    def _folders(self) -> Iterator[WhyAnswer]:
        """Yield the distributions with files in a folder, such as a namespace package: google."""
        asked = self.name.removeprefix("/").removeprefix("opt/").rstrip("/")
        if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", asked):
            asked = asked.replace(".", "/")
        inside = (f"{asked}/", f"{self.manifest.site}{asked}/")
        owners = {
            one.distribution: None for one in self.manifest.files if one.path.startswith(inside)
        }
        for name in owners:
            if name in self.distributions:
                yield self._distribution(self.distributions[name])
            else:
                yield WhyAnswer(name=f"{asked}/", kind="file", present=True, distribution=name)

    def _stub(self, one: Distribution | None) -> tuple[str | None, str | None]:
        """Return what replaced a distribution by a stub, and what is lost."""
        if one is None or one.origin != "stub":
            return None, None
        rule, reason = self._recipe(one.name, "stubs")
        return rule or "layers.yaml: stubs", reason or "a stub replaces the distribution"

    def _dropped(self) -> Iterator[WhyAnswer]:
        wanted = canonicalize_name(self.name)
        for one in self.manifest.dropped:
            if one.name == wanted:
                given = one.managed or one.reason.startswith(("provided by", "brought by"))
                rule = self._recipe(one.name, "excludes", "orphans")[0]
                yield WhyAnswer(
                    name=one.name,
                    kind="distribution",
                    present=False,
                    version=one.version,
                    chain=self._chain(one.name),
                    rule=rule or ("provided" if given else "layers.yaml: excludes"),
                    reason=one.reason,
                )

    def _recipe(self, name: str, *keys: str) -> tuple[str | None, str | None]:
        """Return the rule of the recipe that names a distribution, and its reason."""
        for use in self.manifest.recipes:
            for key in keys:
                if name in getattr(use, key):
                    return recipe_rule(use.name), getattr(use, key)[name]
        return None, None

    def _files(self) -> Iterator[WhyAnswer]:
        kept = {one.path: one for one in self.manifest.kept}
        paths = self._matching([one.path for one in self.manifest.files])
        for one in self.manifest.files:
            if one.path not in paths:
                continue
            by = kept.get(one.path)
            owner = self.distributions.get(one.distribution)
            rule, reason = (by.rule, f"kept: {by.reason}") if by else self._stub(owner)
            yield WhyAnswer(
                name=one.path,
                kind="file",
                present=True,
                size=one.size,
                distribution=f"{owner.name} {owner.version}" if owner else one.distribution,
                chain=self._chain(one.distribution),
                rule=rule,
                reason=reason,
            )

    def _matching(self, paths: Sequence[str]) -> set[str]:
        """Return the paths that the name stands for: the file, its module, its library."""
        asked = self.name.removeprefix("/").removeprefix("opt/")
        site = self.manifest.site
        for tries in ({asked, f"{site}{asked}"}, self._module_paths(asked, paths)):
            found = {path for path in paths if path in tries}
            if found:
                return found
        ends = {path for path in paths if path.endswith(f"/{asked}")}
        return ends or {path for path in paths if ".so" in path and _is_library(path, asked)}

    def _module_paths(self, asked: str, paths: Sequence[str]) -> set[str]:
        """Return the files of a module: its source or extension, or bytecode in their place."""
        if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", asked):
            return set()
        stem = f"{self.manifest.site}{asked.replace('.', '/')}"
        native = re.compile(re.escape(stem) + r"(\.(abi3|cpython-[\w-]+))?\.so")
        tries = {f"{stem}{end}" for end in (".py", "/__init__.py", ".pyc", "/__init__.pyc")}
        return {path for path in paths if path in tries or native.fullmatch(path)}

    def _components(self) -> Iterator[WhyAnswer]:
        for owner, component in self.components:
            if self.name.lower() in {component["name"].lower(), component.get("purl", "")}:
                yield WhyAnswer(
                    name=component["name"],
                    kind="component",
                    present=True,
                    version=component.get("version"),
                    distribution=f"{owner} {self.distributions[owner].version}",
                    chain=self._chain(owner),
                    reason=_named_by(component),
                )

    def _losses(self) -> Iterator[WhyAnswer]:
        """Yield what recipes take out that is neither a distribution nor a file: OpenBLAS."""
        for use in self.manifest.recipes:
            if use.lite_blas and self.name.lower() in {"openblas", "libopenblas"}:
                yield self._left_out("OpenBLAS", recipe_rule(use.name), use.lite_blas)

    def _pruned(self) -> Iterator[WhyAnswer]:
        """Yield the rules that leave out such a path; manifests only count what rules removed."""
        asked = self.name.removeprefix("/").removeprefix("opt/").removeprefix(f"{PACKAGES}/")
        paths = [asked]
        if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", asked):
            stem = asked.replace(".", "/")
            paths = [asked, f"{stem}.py", f"{stem}/__init__.py"]
        if not any("/" in path for path in paths):
            return
        top = asked.split("/")[0].split(".")[0]
        owners = {one.name for one in self.manifest.distributions if top in one.modules}
        if not owners:
            return
        for path in paths:
            found = self._rule(path)
            if found:
                yield self._left_out(path, *found)
                return

    def _rule(self, path: str) -> tuple[str, str] | None:
        removed = {one.rule: one.files for one in self.manifest.pruned}
        for use in self.manifest.recipes:
            for pattern, why in use.prune.items():
                if recipe_rule(use.name) in removed and rules.removing([pattern], path):
                    return recipe_rule(use.name), f"{pattern}: {why}"
        rule = rules.removing([one for one in removed if not one.startswith("recipe:")], path)
        return (rule, f"it leaves out such paths, {removed[rule]} files here") if rule else None

    def _left_out(self, name: str, rule: str, reason: str) -> WhyAnswer:
        return WhyAnswer(name=name, kind="file", present=False, rule=rule, reason=reason)


def _named_by(component: Mapping[str, Any]) -> str:
    """Return what tells that a component is in a distribution."""
    said = {one["name"]: one["value"] for one in component.get("properties", [])}
    if "layersmith:sbom" in said:
        return "named by the SBOM inside the wheel"
    if found := said.get("layersmith:found-by"):
        places = [one["location"] for one in component["evidence"]["occurrences"]]
        return f"found by {found}: {', '.join(places)}"
    return str(component.get("pedigree", {}).get("notes", "built here"))


def _is_library(path: str, asked: str) -> bool:
    name = bundled.HASHED.sub("", path.rsplit("/", 1)[-1])
    return asked in {bundled.stem(path), name} or name.startswith(f"{asked}.")


def _components(found: FoundManifest) -> list[tuple[str, dict[str, Any]]]:
    """Return the components inside distributions, from the bill of materials beside a manifest.

    Without a bill, or with one that others wrote, there are none.
    """
    try:
        bill = json.loads(found.path.with_suffix(".cdx.json").read_bytes())
        return [
            (outer["name"], inner)
            for outer in bill["components"]
            for inner in _inside(outer)
            if outer["name"] in {one.name for one in found.manifest.distributions}
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []


def _inside(component: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in component.get("components", []):
        yield one
        yield from _inside(one)
