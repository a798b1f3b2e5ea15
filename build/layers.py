"""Entry: ``python build/layers.py VERB``; ``--help`` lists the verbs."""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 -- what is older gets here, too
    sys.exit(
        "error: layersmith needs Python 3.11 or newer, this is {}.{}".format(*sys.version_info)
    )

# What the tool shares with the functions and the server; an installed one has it beside itself.
ROOT = Path(__file__).resolve().parents[1]
sys.path[1:1] = [str(ROOT / "fargate/chroma"), str(ROOT / "lambdas/common/src")]

from layersmith.start import program  # noqa: E402 -- after the version was judged

if __name__ == "__main__":
    sys.exit(program())
