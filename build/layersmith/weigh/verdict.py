"""Judges what was weighed: does it fit, does it fit with excludes, or not.

A build asks the same of the directories of its wheels before it downloads them, and refuses what
they alone make too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.assemble import budgets, describe, prune
from layersmith.assemble.budgets import BYTECODE_SHARE, LayerBytes
from layersmith.assemble.manifest import FileRecord
from layersmith.base import runtimes
from layersmith.config.models import BytecodeMode
from layersmith.console import megabytes
from layersmith.errors import BuildError, LockError
from layersmith.weigh import advice as advising
from layersmith.weigh import target as weighing
from layersmith.weigh.listings import zipped
from layersmith.weigh.models import Advice, Limit, Totals, Verdict, Weighing, Word

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target
    from layersmith.weigh.target import Weighed

BYTECODE_ZIPPED = 0.34
"""What is left of bytecode after compression, about: measured over the same sources."""

OPTIMIZED = (1.0, 1.0, 0.85)
"""What is left of bytecode at each level of ``optimize``, about: asserts are a few thousandths of
it, docstrings a sixth (0.55 to 0.98 of a distribution). Measured 2026-11-26 over 20 distributions,
6.3 MB of sources, CPython 3.12 and 3.13."""


def report(weighed: Weighed) -> Weighing:
    """Return all that `weigh` says about a target."""
    found = advising.advise(weighed)
    judged = verdict(weighed, found)
    if judged.word != "fits":
        found.append(_elsewhere(weighed))
    return Weighing(
        identifier=weighed.target.identifier,
        requirements=weighed.asked,
        runtime=weighed.target.runtime.name,
        architecture=weighed.target.architecture,
        installed=weighed.installed,
        layer=weighed.layer,
        with_recipes=_under_recipes(weighed, found),
        bytecode=bytecode(weighed)[0],
        verdict=judged,
        advice=found,
        distributions=weighed.distributions,
        dropped=dict(sorted(weighed.reasons.items())),
        traffic=weighed.traffic,
        notes=_notes(weighed),
    )


def bytecode(weighed: Weighed, without: Collection[str] = ()) -> tuple[int, int]:
    """Return the unzipped and zipped bytes that a build's bytecode adds, estimated."""
    mode = weighed.target.settings.bytecode
    if mode is BytecodeMode.NONE:
        return 0, 0
    sources = [
        entry
        for entry in weighed.tree
        if entry.path.endswith(".py") and entry.distribution not in without
    ]
    level = weighed.target.settings.optimize
    only = {use.name: use.bytecode.optimize for use in weighed.target.recipes.uses if use.bytecode}
    shares = (OPTIMIZED[only.get(one.distribution, level)] * one.size for one in sources)
    compiled = round(sum(shares) * BYTECODE_SHARE)
    packed = round(compiled * BYTECODE_ZIPPED)
    gone = [one for one in sources if mode is BytecodeMode.ONLY or one.distribution in only]
    return compiled - sum(one.size for one in gone), packed - sum(zipped(one) for one in gone)


def verdict(weighed: Weighed, found: Sequence[Advice]) -> Verdict:
    """Judge a target against Lambda's limits and its budgets."""
    layer = weighed.layer
    compiled, packed = bytecode(weighed)
    saved = [one for one in found if one.kind == "lite-blas" and one.done]
    total = layer.unzipped + compiled - sum(one.unzipped for one in saved)
    archive = layer.zipped + packed - sum(one.zipped for one in saved)
    limits = _limits(weighed, total, archive)
    made_of = f"{megabytes(total)}"
    if weighed.target.settings.bytecode is BytecodeMode.ONLY:
        made_of += " (estimated, with bytecode instead of sources)"
    elif compiled:
        made_of += f" ({megabytes(total - compiled)} and about {megabytes(compiled)} of bytecode)"
    limit = runtimes.UNZIPPED_LIMIT
    if total <= limit:
        return Verdict(
            word="fits",
            text=f"{made_of} of {megabytes(limit)}: {megabytes(limit - total)} are left for the"
            " function's code and its other layers",
            limits=limits,
        )
    gone, names = _safe(found)
    slim = sum(entry.size for entry in weighed.tree if entry.distribution not in gone)
    slim -= sum(one.unzipped for one in saved)
    slim += bytecode(weighed, gone)[0]
    word: Word = "fits with excludes" if names and slim <= limit else "does not fit"
    return Verdict(
        word=word,
        text=f"{made_of} are {megabytes(total - limit)} more than Lambda takes"
        + _after(names, slim, limit)
        + _with_recipes(found, total)
        + _bytecode_advice(weighed, total, compiled),
        limits=limits,
        excludes=names,
        slimmed=slim if names else None,
    )


def _bytecode_advice(weighed: Weighed, total: int, compiled: int) -> str:
    """Name the values of ``bytecode`` with which it would fit."""
    sources = sum(entry.size for entry in weighed.tree if entry.path.endswith(".py"))
    mode = weighed.target.settings.bytecode
    weight = LayerBytes(total - compiled - sources, sources, compiled, mode, compiled=False)
    advice = weight.advice(runtimes.UNZIPPED_LIMIT)
    return f"; to fit, {advice}" if advice else ""


def _after(names: Sequence[str], slim: int, limit: int) -> str:
    if not names:
        return "; nothing is known that could be left out without a loss"
    left = f"; without {', '.join(names)} and what only they need, {megabytes(slim)} remain"
    if slim <= limit:
        return f"{left}, {megabytes(limit - slim)} below the limit"
    return f"{left}, still {megabytes(slim - limit)} too many"


def _under_recipes(weighed: Weighed, found: Sequence[Advice]) -> Totals | None:
    """Return the sums with ``recipes: all``, a BLAS that is not built yet included."""
    saved = next((one for one in found if one.kind == "recipes"), None)
    if saved is None:
        return None
    now, then = weighed.layer, weighed.with_every_recipe.layer
    sizes = {"unzipped": now.unzipped - saved.unzipped, "zipped": now.zipped - saved.zipped}
    return then.model_copy(update=sizes)


def _with_recipes(found: Sequence[Advice], total: int) -> str:
    saved = next((one.unzipped for one in found if one.kind == "recipes"), None)
    return f"; with `recipes: all`, about {megabytes(total - saved)}" if saved else ""


def _safe(found: Sequence[Advice]) -> tuple[set[str], list[str]]:
    """Return what can be left out without a loss: all of it, and the names to exclude."""
    chosen = [one for one in found if one.kind == "optional" and one.loses is None]
    gone = {name for one in chosen for name in one.removes}
    return gone, sorted(one.subject for one in chosen)


def _limits(weighed: Weighed, total: int, zipped: int) -> list[Limit]:
    budgets = weighed.target.settings.budgets
    found = [
        Limit(
            name="unzipped, all layers and code of a function",
            value=total,
            limit=runtimes.UNZIPPED_LIMIT,
            hard=True,
        ),
        Limit(
            name="zip for a direct upload",
            value=zipped,
            limit=runtimes.DIRECT_UPLOAD_LIMIT,
            hard=False,
            note="a larger one goes through S3",
        ),
    ]
    if budgets.unzipped is not None:
        found.append(
            Limit(name="budgets.unzipped", value=total, limit=budgets.unzipped, hard=False)
        )
    if budgets.zipped is not None:
        found.append(Limit(name="budgets.zipped", value=zipped, limit=budgets.zipped, hard=False))
    return found


def _elsewhere(weighed: Weighed) -> Advice:
    """Say where it can run unchanged."""
    where = "a container image holds up to 10,240 MB (AWS Lambda quota)"
    if "chromadb" in weighed.entries:
        where = (
            "run the server as a Fargate task (fargate/chroma) behind a client layer of"
            f" chromadb-client; {where}, but its database would be each environment's own"
        )
    return Advice(
        kind="elsewhere",
        subject=weighed.target.layer,
        text=where,
        unzipped=0,
        zipped=0,
        source="https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
        date="2026-11-21",
    )


def _notes(weighed: Weighed) -> list[str]:
    estimated = [one.name for one in weighed.distributions if one.origin in {"sdist", "local"}]
    notes = []
    if estimated:
        notes.append(
            f"estimated from sources, because there is no wheel: {', '.join(sorted(estimated))}"
        )
    return notes


EXPANSION = 12
"""Bytes of files per byte of a wheel, at most: an assumption, far above that of text (4.3)."""


def may_exceed(target: Target, download: int) -> bool:
    """Whether wheels of so many bytes could be too large, so that it is worth to ask.

    Args:
        target: What is built.
        download: Bytes of its wheels.
    """
    limits = target.settings.budgets
    unzipped = limits.unzipped or runtimes.UNZIPPED_LIMIT
    return download * EXPANSION > unzipped or download > (limits.zipped or download)


def check_wheels(target: Target, root: Path, last_release: Manifest | None) -> None:
    """Judge the least that a layer can become; what cannot be read is left to the build.

    Args:
        target: What is built; it has a lock.
        root: Folder of layers.yaml.
        last_release: Manifest that ``budgets.growth`` is judged against.

    Raises:
        BudgetError: It cannot fit.
    """
    try:
        weighed = weighing.weigh(target, root)
    except (BuildError, LockError):
        # The download that follows meets the same obstacle, and says what it is.
        return
    mode = budgets.possible_mode(target)
    budgets.check(
        target, _wheel_files(weighed), weighed.graph, last_release=last_release, mode=mode
    )


def _wheel_files(weighed: Weighed) -> list[FileRecord]:
    """Return the files of wheels that no later step makes smaller."""
    settings = weighed.target.settings
    wheels = {part.name for part in weighed.parts if part.origin == "wheel"}
    return [
        FileRecord(
            path=entry.path,
            size=entry.size,
            zipped=zipped(entry),
            distribution=entry.distribution,
        )
        for entry in weighed.tree
        if entry.distribution in wheels - set(settings.build)
        and not entry.path.endswith(prune.METADATA)
        and not ((settings.strip or settings.lite_blas) and describe.is_native(entry))
    ]
