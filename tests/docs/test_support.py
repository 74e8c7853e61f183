"""The page on what is supported is what the program does today."""

from __future__ import annotations

import re

import pytest

from nmcompile.frontends.keras.refusals import REFUSED
from tools.support.keras import PROBES
from tools.support_matrix import FORMATS, PAGE, ROWS, kept, page

#: Points by which an error may differ from one computer to another.
SPREAD = 1.0


def alike(text: str) -> tuple[str, list[float]]:
    """A cell without its numbers, and these."""
    return re.sub(r"[\d.]+ %", "# %", text), [float(n) for n in re.findall(r"([\d.]+) %", text)]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "nengo"])
def test_a_column_is_not_stale(name: str) -> None:
    if not FORMATS[name].possible:
        pytest.skip(f"a package for {name} is missing")
    shown, found = kept(PAGE.read_text("utf-8"))[name], FORMATS[name].cells()
    for key in ROWS:
        told, now = (alike(cells[key].text if key in cells else "–") for cells in (shown, found))
        assert told[0] == now[0], f"{name}, {key}: run make support"
        assert told[1] == pytest.approx(now[1], abs=SPREAD), f"{name}, {key}: run make support"
        if key in found:
            assert shown[key].why == found[key].why, f"{name}, {key}: run make support"


def test_what_a_page_holds_makes_it_again() -> None:
    text = PAGE.read_text("utf-8")
    assert page(kept(text)) == text


def test_every_probe_has_a_row_and_refused_ones_say_what_to_do() -> None:
    for cells in kept(PAGE.read_text("utf-8")).values():
        assert set(cells) == set(ROWS)
        for cell in cells.values():
            assert (cell.text == "refused") == bool(cell.why)
    assert set(PROBES) <= set(ROWS)
    assert {probe for probe in PROBES.values() if isinstance(probe, str)} <= set(REFUSED)
