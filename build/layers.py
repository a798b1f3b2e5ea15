"""Entry: ``python build/layers.py VERB``; ``--help`` lists the verbs."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 -- what is older gets here, too
    sys.exit(
        "error: layersmith needs Python 3.11 or newer, this is {}.{}".format(*sys.version_info)
    )

from layersmith.cli import program

if __name__ == "__main__":
    sys.exit(program())
