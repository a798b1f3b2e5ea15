"""Entry: ``python build/layers.py VERB``; ``--help`` lists the verbs."""

import sys

from layersmith.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
