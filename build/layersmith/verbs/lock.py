"""`lock`: resolve requirements into locks/."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from layersmith import console, lock, repeats
from layersmith.errors import LayersmithError, ManyErrors
from layersmith.lock import targets as locking
from layersmith.report import unmatched
from layersmith.verbs import options
from layersmith.weigh import claims

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layersmith.lock.targets import LockResult

EPILOG = """\
what it does to a target:
  resolve its requirements for its platform and Python version, never the host's, keep the versions
  of the present lock where they fit, and write locks/<target>.txt: a requirements file with the
  hash of the one file of each distribution that the target uses.

examples:
  python build/layers.py lock                              every target
  python build/layers.py lock imaging                      the targets of one layer
  python build/layers.py lock --upgrade                    everything to its newest version
  python build/layers.py lock --upgrade pillow urllib3     two distributions to their newest
  python build/layers.py lock --accept-publisher pillow    somebody else publishes it now
  python build/layers.py lock --check                      only check whether the locks still fit
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    parser.add_argument(
        "--upgrade",
        nargs="*",
        metavar="NAME",
        help="bring these distributions to their newest version; without a name, all",
    )
    parser.add_argument(
        "--accept-publisher",
        nargs="+",
        default=[],
        metavar="NAME",
        help="take these distributions although their publisher changed or is no longer attested",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing and ask no index; exit code 4 if a lock does not fit its inputs",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ManyErrors: Targets failed; the locks of the others were written.
    """
    if args.check:
        options.refuse(
            {
                "--upgrade": args.upgrade is not None,
                "--accept-publisher": args.accept_publisher,
            },
            "with --check, which writes nothing",
            "leave one of them out",
        )
    loaded, targets = options.chosen(args, packages=True)
    if args.check:
        results = [locking.check(target, loaded.root) for target in targets]
    else:
        upgrade = args.upgrade == [] or (args.upgrade or False)
        quiet = args.quiet or args.json
        results = locking.update(
            targets, loaded.root, upgrade=upgrade, accepted=args.accept_publisher, quiet=quiet
        )
    results = _with_claims(results)
    if args.json:
        console.emit_json([_as_json(result) for result in results])
    else:
        for result in results:
            _say(result, checked=args.check)
    locks = {result.target.identifier: result.lock for result in results if result.lock}
    for said in unmatched.in_locks(loaded, locks):
        console.warn(said)
    errors: list[LayersmithError] = [result.error for result in results if result.error]
    if errors:
        raise ManyErrors(errors)
    if args.check:
        repeats.allow(loaded.root)
    return 0


def _with_claims(results: Sequence[LockResult]) -> list[LockResult]:
    """Add what distributions say of themselves; a lock that did not change was judged before."""
    said: dict[int, list[str]] = {}
    found = []
    for one in results:
        if one.lock is not None and one.changes:
            # Layers with equal requirements share one lock.
            if id(one.lock) not in said:
                said[id(one.lock)] = claims.notes(one.target, one.lock, one.root)
            found.append(replace(one, notes=(*one.notes, *said[id(one.lock)])))
        else:
            found.append(one)
    return found


def _say(result: LockResult, *, checked: bool) -> None:
    if result.error is not None:
        return
    count = console.counted(len(result.lock.entries) if result.lock else 0, "distribution")
    name = result.target.identifier
    if checked:
        console.success(f"{name}: the lock fits, {count}")
    elif result.changes:
        console.success(f"{name}: {count}, {len(result.changes)} changed")
    else:
        console.info(f"{name}: {count}, nothing changed")
    for change in result.changes:
        console.info(f"  {change}")
    for note in result.notes:
        console.info(f"  note: {note}")


def _as_json(result: LockResult) -> dict[str, Any]:
    return {
        "target": result.target.identifier,
        "lock": f"locks/{lock.lock_path(result.target, result.root).name}",
        "distributions": len(result.lock.entries) if result.lock else None,
        "changes": [
            {
                "name": c.name,
                "kind": c.kind,
                "before": c.before,
                "after": c.after,
                "builds": c.builds,
            }
            for c in result.changes
        ],
        "notes": list(result.notes),
        "error": result.error.message if result.error else None,
    }
