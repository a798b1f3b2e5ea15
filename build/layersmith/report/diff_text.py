"""Shows a comparison: in a terminal, and as Markdown for a pull request or a step summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import console
from layersmith.console import counted, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from layersmith.report.diffs import Diff, DistributionChange, Side, Timing

MARKER = "<!-- layersmith diff -->"
"""First line of the Markdown, by which a workflow finds its own comment to write it anew."""

SHOWN = 12
"""Rows of a table in Markdown before it folds."""

STYLES = {"added": "green", "removed": "red", "upgraded": "cyan", "downgraded": "yellow"}


def show(diffs: Sequence[Diff]) -> None:
    """Print comparisons on stdout."""
    out = console.stdout()
    for diff in diffs:
        out.print(f"{diff.identifier}: {headline(diff)}", style="bold", markup=False)
        if diff.distributions:
            out.print(_distributions(diff.distributions))
        if diff.files and diff.files.biggest:
            out.print(_files_text(diff), markup=False)
            out.print(_table(("file", "before", "after", "change"), _file_rows(diff)))
        for title, timings in (("imports", diff.imports), ("cold start", diff.cold_start)):
            if timings:
                out.print(_table((title, "before", "after", "change"), _timing_rows(timings)))
        for note in diff.notes:
            out.print(f"note: {note}", markup=False)


def markdown(diffs: Sequence[Diff]) -> str:
    """Return comparisons as Markdown, with the marker in front."""
    lines = [MARKER, "### What changed in the layers", ""]
    changed = [diff for diff in diffs if not diff.same]
    if not changed:
        return "\n".join([*lines, "Nothing: the layers are as they were.", ""])
    lines += ["| target | zipped | unzipped | files | distributions |", "|---|--:|--:|--:|---|"]
    lines += [f"| {' | '.join(_summary(diff))} |" for diff in changed]
    for diff in changed:
        lines += ["", *_details(diff)]
    return "\n".join([*lines, ""])


def headline(diff: Diff) -> str:
    """Say in one line what became of a target."""
    if diff.before is None:
        return "new"
    if diff.after is None:
        return "gone"
    if diff.same:
        return "nothing changed"
    parts = []
    if diff.before.zipped is not None and diff.after.zipped is not None:
        parts.append(f"zip {size(diff.after.zipped)} ({_zipped(diff)})")
        parts.append(f"unzipped {size(diff.after.unzipped or 0)} ({_unzipped(diff)})")
    parts.append(f"{counted(len(diff.distributions), 'distribution')} changed")
    versions = (diff.before.version, diff.after.version)
    if versions[0] != versions[1]:
        parts.insert(0, f"{versions[0]} -> {versions[1]}")
    return ", ".join(parts)


def signed(count: int) -> str:
    """Return bytes with their sign: ``+1.20 MB``, ``-340.0 kB``, ``±0``."""
    if not count:
        return "±0"
    return ("+" if count > 0 else "-") + size(abs(count))


def _zipped(diff: Diff) -> str:
    return _growth(diff.before, diff.after, "zipped")


def _unzipped(diff: Diff) -> str:
    return _growth(diff.before, diff.after, "unzipped")


def _growth(before: Side | None, after: Side | None, what: str) -> str:
    old = getattr(before, what, None) or 0
    new = getattr(after, what, None) or 0
    share = f", {100 * (new - old) / old:+.1f} %" if old and new != old else ""
    return signed(new - old) + share


def _distributions(changes: Sequence[DistributionChange]) -> RenderableType:
    rows = [
        (
            f"[{STYLES.get(one.kind, 'default')}]{one.kind}[/]",
            one.name,
            _versions(one),
            "" if one.unzipped is None else signed(one.unzipped),
            "" if one.zipped is None else signed(one.zipped),
        )
        for one in changes
    ]
    return _table(("", "distribution", "version", "unzipped", "zip"), rows)


def _versions(one: DistributionChange) -> str:
    if one.before == one.after:
        return one.after or ""
    return f"{one.before or 'none'} -> {one.after or 'none'}"


def _files_text(diff: Diff) -> str:
    assert diff.files is not None
    files = diff.files
    return f"files: {files.added} added, {files.removed} removed, {files.resized} of another size"


def _file_rows(diff: Diff) -> list[tuple[str, ...]]:
    assert diff.files is not None
    return [
        (one.path, _optional_size(one.before), _optional_size(one.after), signed(one.growth))
        for one in diff.files.biggest
    ]


def _optional_size(count: int | None) -> str:
    return "" if count is None else size(count)


def _timing_rows(timings: Sequence[Timing]) -> list[tuple[str, ...]]:
    return [(one.name, _ms(one.before), _ms(one.after), _slower(one)) for one in timings]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f} ms"


def _slower(one: Timing) -> str:
    if one.before is None or one.after is None:
        return ""
    share = f" ({100 * (one.after - one.before) / one.before:+.0f} %)" if one.before else ""
    return f"{one.after - one.before:+,.1f} ms{share}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    return console.table(
        headings,
        rows,
        right={"before", "after", "change", "unzipped", "zip"}.intersection(headings),
    )


def _summary(diff: Diff) -> tuple[str, ...]:
    before, after = diff.before, diff.after
    kinds = [one.kind for one in diff.distributions]
    counts = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    state = " (new)" if before is None else " (gone)" if after is None else ""
    measured = (after or before) and (after or before).zipped is not None  # type: ignore[union-attr]
    return (
        f"`{diff.identifier}`{state}",
        f"{size((after.zipped if after else 0) or 0)} ({_zipped(diff)})" if measured else "",
        f"{size((after.unzipped if after else 0) or 0)} ({_unzipped(diff)})" if measured else "",
        f"{after.files if after else 0:,}" if measured else "",
        ", ".join(counts) or "the same",
    )


def _details(diff: Diff) -> list[str]:
    lines = [f"<details><summary>{diff.identifier}: {headline(diff)}</summary>", ""]
    if diff.distributions:
        lines += _markdown_table(
            ("", "distribution", "version", "unzipped", "zip"),
            [
                (
                    one.kind,
                    one.name,
                    _versions(one).replace("->", "→"),
                    "" if one.unzipped is None else signed(one.unzipped),
                    "" if one.zipped is None else signed(one.zipped),
                )
                for one in diff.distributions
            ],
        )
    if diff.files and diff.files.biggest:
        rows = [(f"`{row[0]}`", *row[1:]) for row in _file_rows(diff)[:SHOWN]]
        lines += [_files_text(diff), ""]
        lines += _markdown_table(("file", "before", "after", "change"), rows)
    for title, timings in (("imports", diff.imports), ("cold start", diff.cold_start)):
        if timings:
            rows = _timing_rows(timings)[:SHOWN]
            lines += _markdown_table((title, "before", "after", "change"), rows)
    return [*lines, *(f"{note}\n" for note in diff.notes), "</details>"]


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    left = {"", "distribution", "version", "file", "imports", "cold start"}
    rule = "|".join("---" if heading in left else "--:" for heading in headings)
    return [
        f"| {' | '.join(headings)} |",
        f"|{rule}|",
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
        "",
    ]
