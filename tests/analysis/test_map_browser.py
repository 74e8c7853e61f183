"""The map of a Program in a real browser: what a reader sees is what the Program's tables say.

Needs the package playwright and a Chromium; the environment variable NMCOMPILE_BROWSER may say
where the latter is, and then a browser that cannot start is a failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.analysis.map_page import axon_counts, write_map_page
from nmcompile.analysis.resources import core_bills
from nmcompile.chip.bill import RESOURCES
from nmcompile.chip.program import Program
from nmcompile.hardware import HardwareModel, load_hardware
from tests.analysis.test_map_page import HOSTILE, board
from tests.chip.programs import small_program

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window and with a profile of its own."""
    named = os.environ.get("NMCOMPILE_BROWSER")
    path = named or next(filter(None, map(shutil.which, NAMES)), None)
    if named is None:
        if importlib.util.find_spec("playwright") is None:
            pytest.skip("the package playwright is not installed")
        if path is None:
            pytest.skip(f"there is no browser: none of {', '.join(NAMES)} is on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=list(FLAGS), headless=True)
        yield found
        found.close()


@dataclass
class Map:
    """An open page, and how to read it."""

    page: Any
    program: Program
    hardware: HardwareModel
    wrong: list[str] = field(default_factory=list)

    def point(self, core: int) -> None:
        """Move the pointer over a core."""
        x, y = self.page.evaluate("core => coreMap.centre(core)", core)
        self.page.mouse.move(x, y)
        self.page.wait_for_function(
            "text => document.querySelector('#bill h2').textContent === text", arg=f"Core {core}"
        )

    def view(self, key: str) -> None:
        """Choose by what the cores are coloured."""
        self.page.locator(f"input[value={key}]").check(force=True)
        self.settle()

    def settle(self) -> None:
        """Wait until the page has drawn."""
        self.page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def text(self, selector: str) -> str:
        """Text of an element as a reader sees it, blanks made one."""
        return " ".join(self.page.locator(selector).inner_text().split())

    def colour(self, core: int) -> tuple[int, ...]:
        """Red, green and blue of a core at a corner, beside its number."""
        found = self.page.evaluate(
            """core => {
                const base = document.getElementById("base"), frame = base.getBoundingClientRect();
                const [x, y] = coreMap.centre(core), ratio = base.width / frame.width;
                const pixel = new OffscreenCanvas(1, 1);
                const copy = pixel.getContext("2d", { willReadFrequently: true });
                const left = (x - frame.left) * ratio, top = (y - frame.top - 14) * ratio;
                copy.drawImage(base, -Math.round(left), -Math.round(top));
                return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
            }""",
            core,
        )
        return tuple(found)


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Open the map of a Program; at the end, nothing may have gone wrong or asked for more."""
    maps = []
    contexts = []

    def open_map(
        program: Program, hardware: HardwareModel | None = None, scheme: str = "light"
    ) -> Map:
        hardware = hardware or load_hardware("loihi1")
        path = tmp_path / "map.html"
        write_map_page(path, program, hardware)
        contexts.append(
            browser.new_context(viewport={"width": 1280, "height": 860}, color_scheme=scheme)
        )
        page = contexts[-1].new_page()
        made = Map(page, program, hardware)
        page.on("console", lambda message: made.wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: made.wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url in (path.as_uri(), "data:,")
                else made.wrong.append(f"request: {request.url}")
            ),
        )
        page.goto(path.as_uri())
        made.settle()
        maps.append(made)
        return made

    yield open_map
    for context in contexts:
        context.close()
    assert [made.wrong for made in maps] == [[] for _ in maps]


def check_bill(shown: Map, core: int) -> None:
    """Compare the bill that is shown with the Program's own numbers."""
    program, hardware = shown.program, shown.hardware
    bill = core_bills(program, hardware)[core]
    for key, used, limit in bill.compared(hardware):
        text = shown.text(f"#bill tr[data-resource={key}]")
        assert text.startswith(RESOURCES[key])
        assert text.endswith(f"{used:,} / {limit:,} {100 * used / limit:.1f} %")
    layers = shown.text("#bill-layers")
    for layer in program.layers:
        mine = int((layer.core == core).sum())
        if mine:
            assert f"{' '.join(layer.name.split())} {mine:,} neuron" in layers
    place = shown.text("#bill-place")
    made = program.cores[core]
    columns, slots = hardware.chip.mesh_columns.value, hardware.chip.cores_per_tile.value
    tile = made.position // slots
    assert place == (
        f"chip {made.chip}, position {made.position}: "
        f"core {made.position % slots} of tile ({tile % columns}, {tile // columns})"
    )
    traffic = axon_counts(program)
    for selector, mine, others in (
        ("#bill-sends", traffic.source == core, traffic.target),
        ("#bill-receives", traffic.target == core, traffic.source),
    ):
        cores, axons = int(mine.sum()), int(traffic.axons[mine].sum())
        assert shown.text(selector) == (
            f"{cores:,} {'core' if cores == 1 else 'cores'}, "
            f"{axons:,} {'axon' if axons == 1 else 'axons'}"
        )
        heaviest = sorted(zip(-traffic.axons[mine], others[mine], strict=True))[:4]
        listed = shown.page.locator(f"div:has(> {selector}) p:has(.go)").all_inner_texts()
        assert listed == [
            f"core {other}{' (itself)' if other == core else ''} · {-axons:,}"
            for axons, other in heaviest
        ]


def test_pointing_at_a_core_shows_its_bill(opened: Any) -> None:
    shown = opened(small_program())
    for core in range(len(shown.program.cores)):
        shown.point(core)
        check_bill(shown, core)


def test_cores_lie_as_on_the_mesh(opened: Any) -> None:
    shown = opened(board(2, 128))
    model = shown.hardware.chip
    slots, columns = model.cores_per_tile.value, model.mesh_columns.value
    side = int(np.ceil(np.sqrt(slots)))
    places = shown.page.evaluate("n => Array.from({ length: n }, (_, k) => coreMap.centre(k))", 256)
    for chip in range(2):
        across, down = np.round(places[128 * chip : 128 * (chip + 1)], 3).T
        position = np.arange(128)
        tile, slot = position // slots, position % slots
        assert np.searchsorted(np.unique(across), across).tolist() == (
            (tile % columns * side + slot % side).tolist()
        )
        assert np.searchsorted(np.unique(down), down).tolist() == (
            (tile // columns * side + slot // side).tolist()
        )
    for core in (0, 1, 2, 77, 128, 255):
        shown.point(core)
        check_bill(shown, core)


def test_every_view_can_be_chosen_and_colours_the_cores(opened: Any) -> None:
    shown = opened(board(1, 40))
    bills = core_bills(shown.program, shown.hardware)
    for key in ("layers", "fullest", *RESOURCES):
        shown.view(key)
        shown.point(12)
        check_bill(shown, 12)
    values = [bill.compartments for bill in bills]
    low, high = int(np.argmin(values)), int(np.argmax(values))
    shown.view("compartments")
    assert sum(shown.colour(low)) > sum(shown.colour(high))
    assert f"{100 * max(values) / 1024:.1f} %" in shown.text("#legend")
    shown.view("profiles")
    assert shown.colour(low) == shown.colour(high)
    shown.view("layers")
    first, last = shown.program.layers[0].core[0], shown.program.layers[-1].core[-1]
    assert shown.colour(int(first)) != shown.colour(int(last))


def test_keys_alone_reach_every_core(opened: Any) -> None:
    shown = opened(board(1, 9))
    shown.page.locator("#find").focus()
    shown.page.keyboard.press("Tab")
    assert shown.text("#bill h2") == "Core 0"
    for key, core in (
        ("ArrowRight", 1),
        ("ArrowDown", 3),
        ("ArrowLeft", 2),
        ("ArrowRight", 3),
        ("ArrowRight", 6),
        ("End", 8),
        ("Home", 0),
    ):
        shown.page.keyboard.press(key)
        check_bill(shown, core)
        assert shown.page.locator("#status").text_content().startswith(f"Core {core},")
    shown.page.keyboard.press("Escape")
    assert shown.text("#bill h2") == "All cores"
    shown.page.locator("#find").fill("7")
    shown.page.keyboard.press("Enter")
    check_bill(shown, 7)


def test_a_clicked_core_stays_and_leads_to_its_partners(opened: Any) -> None:
    shown = opened(small_program())
    traffic = axon_counts(shown.program)
    core = int(traffic.source[0])
    shown.point(core)
    shown.page.mouse.down()
    shown.page.mouse.up()
    shown.page.mouse.move(2, 2)
    check_bill(shown, core)
    mine = traffic.source == core
    heaviest = int(traffic.target[mine][np.argmax(traffic.axons[mine])])
    shown.page.locator("#bill .flow > div").first.locator(".go").first.click()
    assert shown.text("#bill h2") == f"Core {heaviest}"


def test_traffic_between_chips_can_be_read(opened: Any) -> None:
    shown = opened(board(3, 8))
    shown.page.locator("#matrix").scroll_into_view_if_needed()
    frame = shown.page.locator("#matrix").bounding_box()
    chip = np.array([core.chip for core in shown.program.cores])
    traffic = axon_counts(shown.program)
    for a in range(3):
        for b in range(3):
            shown.page.mouse.move(
                frame["x"] + (b + 0.5) * frame["width"] / 3,
                frame["y"] + (a + 0.5) * frame["height"] / 3,
            )
            axons = traffic.axons[(chip[traffic.source] == a) & (chip[traffic.target] == b)].sum()
            assert shown.text("#pair") == f"chip {a} → chip {b}: {axons:,} axons"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_stay_text(opened: Any, scheme: str) -> None:
    shown = opened(board(1, 6), scheme=scheme)
    assert shown.page.locator("#legend button .name").all_text_contents()[2] == HOSTILE
    assert shown.page.locator("#legend b").count() == 0
    shown.page.locator("#legend button").nth(2).click()
    shown.point(5)
    check_bill(shown, 5)


def test_numbers_that_are_not_verified_are_marked(opened: Any) -> None:
    known = load_hardware("loihi1")
    guess = known.core.input_axons.model_copy(update={"verified": False})
    hardware = known.model_copy(
        update={"core": known.core.model_copy(update={"input_axons": guess})}
    )
    shown = opened(small_program(), hardware)
    shown.point(0)
    assert shown.text("#bill tr[data-resource=input_axons] th") == "input axons†"
    assert shown.text("#bill tr[data-resource=profiles] th") == "compartment profiles"
    assert shown.page.locator("#views .mark").count() == 1


def test_a_whole_board_opens_and_answers(opened: Any) -> None:
    shown = opened(board(64, 128, axons=40))
    page = shown.page
    opening = page.evaluate("performance.getEntriesByType('navigation')[0].duration")
    assert opening < 10_000
    for core in (0, 127, 128, 4_000, 8_191):
        shown.point(core)
    check_bill(shown, 8_191)
    for _ in range(4):
        page.locator("#closer").click()
    page.locator("#find").fill("5000")
    page.keyboard.press("Enter")
    check_bill(shown, 5_000)
