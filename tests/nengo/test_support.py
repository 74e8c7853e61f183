"""The column of Nengo on the page on what is supported is what the program does today."""

from __future__ import annotations

import pytest

from tools.support_matrix import FORMATS, PAGE, ROWS, kept

pytestmark = pytest.mark.nengo


@pytest.mark.filterwarnings("default")
def test_its_column_is_not_stale() -> None:
    shown, found = kept(PAGE.read_text("utf-8"))["nengo"], FORMATS["nengo"].cells()
    for key in ROWS:
        assert shown[key].text == (found[key].text if key in found else "–"), key
