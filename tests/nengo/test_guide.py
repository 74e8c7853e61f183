"""The guide's snippets run, and do what the guide says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "nengo.md"


def test_the_snippets_of_the_guide_run_in_order() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S):
        exec(block, names)
    assert names["sim"].data[names["probe"]].shape == (500, 1)
    np.testing.assert_allclose(names["result"].scores[:, 0], [-0.4, 0.45], atol=0.12)
