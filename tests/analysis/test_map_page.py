"""The map of a Program: a page that needs nothing else and says what the Program's tables say."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.analysis import map_page as module
from nmcompile.analysis.map_page import axon_counts, map_page, write_map_page
from nmcompile.analysis.resources import core_bills
from nmcompile.chip.bill import RESOURCES
from nmcompile.chip.core import (
    Blocks,
    Compartments,
    Core,
    Formats,
    InputAxons,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.program import Encoder, Injection, Layer, Program, ReadOut
from nmcompile.cli.app import main
from nmcompile.errors import UsageError
from nmcompile.hardware import HardwareModel, load_hardware
from tests.chip.programs import small_program

pytest.importorskip("jinja2")

#: A name that ends a script and opens an element, if a page lets it.
HOSTILE = "</script><b>&amp;\"'<!--\u2028"


def board(
    chips: int, cores: int, *, axons: int = 100, names: tuple[str, ...] = ("a", "b", HOSTILE)
) -> Program:
    """A Program with many cores, all of the same few tables, whose axons go mostly nearby.

    Cores at the border of two layers hold neurons of both; every seventh holds compartments of
    no layer.
    """
    hardware = load_hardware("loihi1")
    room = 113  # rows of 1,024 weights in a core's memory
    rng = np.random.default_rng(chips * cores)
    count, size = chips * cores, hardware.core.compartments.value
    sizes = rng.integers(size // 4, size + 1, count)
    sizes[0] = size
    compartments = Compartments.from_rows([(0,) * 7] * size)
    blocks = Blocks.from_rows([(0, 1, size, 0)] * axons)
    shared = {
        "profiles": Profiles.from_rows([(4095, 0, 1, 0)]),
        "thresholds": Thresholds.from_rows([(100,)]),
        "formats": Formats.from_rows([(0, 8, 1, 0, 0, 1)]),
        "synapses": Synapses.empty(),
    }
    made = []
    for number in range(count):
        reach = np.where(rng.random(axons) < 0.9, 20, count)
        targets = (number + rng.integers(-reach, reach + 1)) % count
        made.append(
            Core(
                compartments=compartments.rows(0, int(sizes[number])),
                blocks=blocks.rows(0, int(rng.integers(1, min(axons, room) + 1))),
                input_axons=InputAxons.from_rows([(0, 0, 0)] * axons),
                output_axons=OutputAxons.of(
                    kind=np.zeros(axons),
                    source=np.zeros(axons),
                    core=targets,
                    axon=np.arange(axons),
                ),
                chip=number // cores,
                position=number % cores,
                **shared,  # type: ignore[arg-type]
            )
        )
    owned = sizes - np.where(np.arange(count) % 7 == 6, sizes // 3, 0)
    core = np.repeat(np.arange(count, dtype=np.int32), owned)
    first = np.concatenate([[0], np.cumsum(owned)[:-1]])
    compartment = (np.arange(len(core)) - first[core]).astype(np.int32)
    layers = [
        Layer(name, (len(part),), core[part], compartment[part], 1.0, 1.0, depth=1 + k)
        for k, (name, part) in enumerate(
            zip(names, np.array_split(np.arange(len(core)), len(names)), strict=True)
        )
    ]
    smallest = next(each for each in hardware.boards if each.chips >= chips)
    return Program(
        target=f"{hardware.name}:{smallest.name}",
        cores=tuple(made),
        encoder=Encoder.passing("input", 3, input_scale=1.0, threshold=1),
        injection=Injection.from_rows([(0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 1, 0)]),
        layers=tuple(layers),
        read_out=ReadOut(
            "counts", (names[-1],), np.ones((1, 1), np.float32), np.ones(1, np.float32)
        ),
        steps=10,
        dt_s=0.001,
        manifest={"network": "board"},
    )


def loihi1() -> HardwareModel:
    return load_hardware("loihi1")


class Reader(HTMLParser):
    """Collects elements left open, the text of scripts by their id, and visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self.addresses: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        self.addresses += [given[key] for key in ("src", "href") if key in given]
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)
            self.ids.append(given.get("id", ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.ids.pop()

    def handle_data(self, text: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[self.ids[-1]] = self.scripts.get(self.ids[-1], "") + text
        elif self.open and self.open[-1] != "style":
            self.text += text

    @property
    def data(self) -> dict[str, Any]:
        found = json.loads(self.scripts["data"])
        assert isinstance(found, dict)
        return found


def receivers(data: dict[str, Any]) -> list[dict[int, int]]:
    """Of each core the cores that it sends to, with axons, as the page's script reads them."""
    steps, axons = iter(data["traffic"]["step"]), iter(data["traffic"]["axons"])
    found = []
    for listed in data["traffic"]["listed"]:
        target, row = 0, {}
        for _ in range(listed):
            target += next(steps)
            row[target] = next(axons)
        found.append(row)
    return found


@pytest.mark.parametrize("make", [small_program, lambda: board(2, 9)], ids=["compiled", "board"])
def test_the_page_says_what_the_tables_say(make: Callable[[], Program]) -> None:
    program, hardware = make(), loihi1()
    data = Reader(map_page(program, hardware, "net")).data
    cores = data["cores"]
    for number, (core, bill) in enumerate(
        zip(program.cores, core_bills(program, hardware), strict=True)
    ):
        assert data["chips"]["number"][cores["chip"][number]] == core.chip
        assert cores["position"][number] == core.position
        assert [row[number] for row in cores["used"]] == [getattr(bill, key) for key in RESOURCES]
        flat = cores["layers"][number]
        assert dict(zip(flat[::2], flat[1::2], strict=True)) == {
            k: int((layer.core == number).sum())
            for k, layer in enumerate(program.layers)
            if (layer.core == number).any()
        }
        sent = core.output_axons.core.tolist()
        assert receivers(data)[number] == {other: sent.count(other) for other in set(sent)}
        assert data["traffic"]["receivers"][number] == len(set(sent))
        assert data["traffic"]["sent"][number] == len(sent)
        senders = [each.output_axons.core.tolist().count(number) for each in program.cores]
        assert data["traffic"]["senders"][number] == sum(n > 0 for n in senders)
        assert data["traffic"]["received"][number] == sum(senders)
        injected = program.injection.axon[program.injection.core == number]
        assert cores["host"][number] == len(set(injected.tolist()))
    assert [each["value"] for each in data["resources"]] == [
        getattr(hardware.core, key).value for key in RESOURCES
    ]


def test_traffic_between_chips_is_counted() -> None:
    program = board(3, 5)
    data = Reader(map_page(program, loihi1(), "net")).data
    chips = data["chips"]
    counted: dict[tuple[int, int], int] = {}
    for core in program.cores:
        for target in core.output_axons.core.tolist():
            pair = core.chip, program.cores[target].chip
            counted[pair] = counted.get(pair, 0) + 1
    listed = zip(chips["from"], chips["to"], chips["axons"], strict=True)
    assert {(a, b): n for a, b, n in listed} == counted


def test_chips_keep_their_numbers_where_some_are_not_in_use() -> None:
    program = board(2, 3)
    moved = replace(program, cores=tuple(replace(c, chip=3 * c.chip + 1) for c in program.cores))
    data = Reader(map_page(moved, loihi1(), "net")).data
    assert data["chips"]["number"] == [1, 4]
    assert set(data["cores"]["chip"]) == {0, 1}


def test_names_stay_text() -> None:
    page = map_page(board(1, 3), loihi1(), HOSTILE)
    found = Reader(page)
    assert not found.open
    assert found.data["layers"][2]["name"] == HOSTILE
    assert HOSTILE in found.text
    assert "<b>&amp;" not in page
    assert "\u2028" not in found.scripts["data"]


def test_the_page_is_whole_and_needs_no_network() -> None:
    found = Reader(map_page(small_program(), loihi1(), "net"))
    assert not found.open
    assert found.addresses == ["data:,"]
    script = "".join(found.scripts.values())
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import\s*\(|WebSocket|@import", script)


def test_the_header_names_the_fullest_resource() -> None:
    program, hardware = board(2, 4), loihi1()
    text = " ".join(Reader(map_page(program, hardware, "wide net")).text.split())
    rows = [
        (used / limit, -k, used, limit)
        for k, bill in enumerate(core_bills(program, hardware))
        for _, used, limit in bill.compared(hardware)
    ]
    share, core, used, limit = max(rows)
    for words in ("wide net", "loihi1:kapoho-bay", "8 cores", "2 chips", f"{100 * share:.1f} %"):
        assert words in text
    assert f"{used:,} of {limit:,} on core {-core}" in text


def test_numbers_that_are_not_verified_are_marked() -> None:
    known = loihi1()
    assert "Not verified" not in Reader(map_page(small_program(), known, "net")).text
    guess = known.core.input_axons.model_copy(update={"verified": False, "source": "a <guess>"})
    core = known.core.model_copy(update={"input_axons": guess})
    tiles = known.chip.cores_per_tile.model_copy(update={"verified": False})
    chip = known.chip.model_copy(update={"cores_per_tile": tiles})
    hardware = known.model_copy(update={"core": core, "chip": chip})
    found = Reader(map_page(small_program(), hardware, "net"))
    assert "input axons, 4,096 (a <guess>)" in found.text
    assert "cores of a tile, 4" in found.text
    marked = {each["key"]: each["verified"] for each in found.data["resources"]}
    assert [key for key, verified in marked.items() if not verified] == ["input_axons"]


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    program = small_program()
    write_map_page(tmp_path / "one.html", program, loihi1())
    write_map_page(tmp_path / "two.html", program, loihi1())
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_too_many_pairs_leave_each_core_its_heaviest(monkeypatch: pytest.MonkeyPatch) -> None:
    program = board(2, 10)
    full = Reader(map_page(program, loihi1(), "net")).data
    monkeypatch.setattr(module, "LISTED_PAIRS", 60)
    data = Reader(map_page(program, loihi1(), "net")).data
    assert full["traffic"]["whole"]
    assert not data["traffic"]["whole"]
    for key in ("receivers", "senders", "sent", "received"):
        assert data["traffic"][key] == full["traffic"][key]
    for every, kept in zip(receivers(full), receivers(data), strict=True):
        assert len(kept) == 3
        assert kept.items() <= every.items()
        assert sorted(kept.values()) == sorted(every.values())[-3:]


def test_a_whole_board_stays_small() -> None:
    program = board(64, 128, axons=40)
    page = map_page(program, loihi1(), "net")
    assert len(axon_counts(program).source) > 100_000
    assert len(page) < 5_000_000


def test_a_program_without_cores_has_a_page() -> None:
    program = board(1, 1)
    empty = replace(program, cores=(), layers=(), injection=Injection.empty())
    assert "0 cores" in Reader(map_page(empty, loihi1(), "net")).text


def test_a_missing_library_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"pip install 'nmcompile\[report\]'"):
        write_map_page(tmp_path / "page.html", small_program(), loihi1())
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, page = tmp_path / "net.nmc", tmp_path / "page.html"
    small_program().save(net)
    assert main(["inspect", str(net), "--html", str(page)]) == 0
    assert page.name in "".join(capsys.readouterr().out.split())
    assert Reader(page.read_text("utf-8")).data["cores"]["position"]
    page.unlink()
    assert main(["inspect", str(net), "--json", "--html", str(page)]) == 0
    json.loads(capsys.readouterr().out)
    assert page.exists()


@pytest.mark.parametrize(("where", "words"), [("net.nmc", "input"), ("no/page.html", "no folder")])
def test_the_command_refuses_a_place_before_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, words: str
) -> None:
    (tmp_path / "net.nmc").write_bytes(b"not a Program")
    assert main(["inspect", str(tmp_path / "net.nmc"), "--html", str(tmp_path / where)]) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / "net.nmc").read_bytes() == b"not a Program"
