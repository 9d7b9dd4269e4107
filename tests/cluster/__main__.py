"""`python tests/cluster COMMAND` and `python -m cluster COMMAND`."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # run as a folder, Python puts the package's inside here

from cluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
