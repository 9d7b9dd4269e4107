"""The examples are applications, not packages of ours: their folders are put on the path for these tests."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"

for folder in ("semanlink", "search-service"):
    if str(EXAMPLES / folder) not in sys.path:
        sys.path.insert(0, str(EXAMPLES / folder))
