"""What comes back from the virtual board is what the emulator gives: every spike, every voltage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.backends.board.image import RegisterImage
from nmcompile.backends.board.portable import virtual_board
from nmcompile.chip.program import Program
from tests.backends.board.cases import case, ring
from tests.backends.board.through import assert_equal, emulated, through_board, written

#: Cases of the quick suite, and of the slow one.
QUICK, SLOW, AT_ONCE = 18, 1000, 50


@pytest.mark.parametrize("number", range(QUICK))
def test_a_random_network_runs_as_on_the_emulator(number: int, tmp_path: Path) -> None:
    program, x = case(number)
    assert_equal(through_board(program, x, tmp_path), emulated(program, x))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, QUICK + SLOW, AT_ONCE))
def test_a_thousand_random_networks_run_as_on_the_emulator(first: int, tmp_path: Path) -> None:
    spikes = 0
    for number in range(first, first + AT_ONCE):
        program, x = case(number)
        folder = tmp_path / str(number)
        folder.mkdir()
        spikes += assert_equal(through_board(program, x, folder), emulated(program, x))
    assert spikes > 1000


def test_sixteen_chips_run_as_on_the_emulator(tmp_path: Path) -> None:
    program, x = ring(16, 8)
    assert program.chips == 16
    assert assert_equal(through_board(program, x, tmp_path), emulated(program, x)) > 100


@pytest.mark.slow
def test_sixteen_full_chips_run_as_on_the_emulator(tmp_path: Path) -> None:
    program, x = ring(16, 128)
    assert_equal(through_board(program, x, tmp_path), emulated(program, x))


def cells(image: RegisterImage) -> dict[tuple[Any, ...], int]:
    """(register, chip, core, index, field) -> value."""
    return {
        (table.register, int(chip), int(core), int(index), name): int(value)
        for table in image.tables
        for name, values in table.fields.items()
        for chip, core, index, value in zip(
            table.chip, table.core, table.index, values, strict=True
        )
    }


def test_the_board_holds_what_the_image_says_and_nothing_else(tmp_path: Path) -> None:
    program, x = case(4)
    image = written(program, x, tmp_path)
    from nmcompile.backends.board.portable import runner

    board = runner.open_board(image, virtual_board.N2Board)
    runner.write_registers(image, board)
    held = RegisterImage.from_arrays(board.arrays())
    assert cells(held) == cells(RegisterImage.load(tmp_path / "registers.npz"))


def new_board() -> Any:
    return virtual_board.N2Board(1, 2, [2, 1], [[10, 10], [10]])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda core: core.cxCfg[0].configure(bias=4096), "outside -4096..4095"),
        (lambda core: core.cxCfg[0].configure(colour=1), "no field colour"),
        (lambda core: core.cxCfg[1024].configure(bias=0), "entries are 0 to 1023"),
        (lambda core: core.flavour, "no register flavour"),
        (lambda core: core.cxCfg[0].configure(bias=0.5), "no whole number"),
        (lambda core: setattr(core.synapseFmt[1], "wgtExp", 8), "outside -8..7"),
        (lambda core: core.createDiscreteAxon(0, 0, 4, 0), "no chip of id 0"),
        (lambda core: core.createDiscreteAxon(0, 3, 5, 0), "no core of id 5"),
        (lambda core: core.synapses.configure(Wgt=1), "several entries"),
    ],
)
def test_what_no_register_holds_is_refused(write: Any, words: str) -> None:
    with pytest.raises(virtual_board.VirtualBoardError, match=words):
        write(new_board().n2Chips[0].n2CoresAsList[0])


def test_single_registers_are_set_with_and_without_an_index() -> None:
    core = new_board().n2Chips[1].n2CoresAsList[0]
    core.dendriteAccumCfg.configure(delayBits=3)
    assert core.dendriteAccumCfg[0].delayBits == 3
    core.dendriteAccumCfg.delayBits = np.int64(4)
    assert core.dendriteAccumCfg.delayBits == 4


def test_a_spike_to_nowhere_is_refused(tmp_path: Path) -> None:
    board = new_board()
    generator = virtual_board.BasicSpikeGenerator(board)
    with pytest.raises(virtual_board.VirtualBoardError, match="no chip of id 2"):
        generator.addSpike(1, 2, 4, 0)


def test_the_program_is_no_part_of_the_image(tmp_path: Path) -> None:
    program, x = case(5)
    assert isinstance(program, Program)
    written(program, x, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "image.json",
        "registers.npz",
        "host.npz",
        "spikes.npz",
        "runner.py",
        "virtual_board.py",
        "virtual_engine.py",
        "virtual_registers.py",
        "virtual_snip.py",
        "reset_snip.c",
        "stub",
        "registers.json",
    }
