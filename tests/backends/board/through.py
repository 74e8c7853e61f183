"""Programs through register images, the runner's calls and the virtual board, in this process."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.base import Probe, Result
from nmcompile.backends.board.folder import write_folder
from nmcompile.backends.board.portable import runner, virtual_board
from nmcompile.backends.board.result import BoardResult
from nmcompile.backends.emulator import Emulator
from nmcompile.backends.emulator.session import InputWarning, OverflowWarning
from nmcompile.chip.program import Program

#: The virtual board as the runner knows software.
VIRTUAL = SimpleNamespace(
    board=virtual_board.N2Board,
    generator=virtual_board.BasicSpikeGenerator,
    phase=virtual_board.Phase,
    version="virtual",
)
QUANTITIES = ("spikes", "u", "v")


def all_probes(program: Program) -> list[Probe]:
    """Everything that can be seen of the layers on the chip."""
    return [Probe(layer.name, quantity) for layer in program.layers for quantity in QUANTITIES]


def emulated(program: Program, x: NDArray[Any]) -> Result:
    """What the emulator gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverflowWarning)
        warnings.simplefilter("ignore", InputWarning)
        return Emulator(jobs=1).load(program).run(x, probes=all_probes(program))


def written(program: Program, x: NDArray[Any], folder: Path) -> Any:
    """The image as the runner reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverflowWarning)
        warnings.simplefilter("ignore", InputWarning)
        write_folder(program, folder, x, probes=all_probes(program))
    return runner.Image(str(folder))


def through_board(
    program: Program, x: NDArray[Any], folder: Path, together: bool = False
) -> Result:
    """What comes back from the virtual board, sample by sample or from all in one run."""
    image = written(program, x, folder / "image")
    parts = folder / "parts"
    parts.mkdir()
    groups = [list(range(len(x)))] if together else [[sample] for sample in range(len(x))]
    found_of = [each for group in groups for each in runner.run_samples(image, VIRTUAL, group)]
    for sample, found in enumerate(found_of):
        assert runner.lacking(image, found, sample) is None
        found.update(identity=image.identity(), version="virtual", seconds=0.0, lacking="")
        runner.write_part(str(parts), sample, found)
    options = argparse.Namespace(
        parts=str(parts), output=str(folder / "result.npz"), board="virtual"
    )
    runner.merge(image, options, list(range(len(x))), [])
    return BoardResult(program, folder / "result.npz").take(x, None, all_probes(program))


def assert_equal(board: Result, emulator: Result) -> int:
    """Scores, spikes, currents and voltages are the same; how many spikes there are."""
    for probe, values in emulator.probes.items():
        wrong = np.argwhere(board.probes[probe] != values)
        assert not len(wrong), f"{probe} differs first at sample, step, neuron {wrong[0]}"
    np.testing.assert_array_equal(board.scores, emulator.scores)
    np.testing.assert_array_equal(board.synaptic_events, emulator.synaptic_events)
    for name, counts in emulator.spikes.items():
        np.testing.assert_array_equal(board.spikes[name], counts)
    return int(sum(counts.sum() for counts in emulator.spikes.values()))
