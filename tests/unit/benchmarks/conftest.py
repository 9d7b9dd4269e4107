"""Benchmarks are programs, not packages of ours: their folders are put on the path for these tests."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

for folder in (ROOT / "examples" / "semanlink", ROOT / "benchmarks"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
