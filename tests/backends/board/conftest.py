"""Lets the tests here use the random Programs of tests/differential."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "differential"))
