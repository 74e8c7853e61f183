"""Run the cores of a register image on the emulator, with the spikes that a host sends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.board.decode import decode
from nmcompile.backends.board.image import RegisterImage
from nmcompile.backends.emulator.stepper import Record, Stepper
from nmcompile.chip.core import DISCRETE, Core
from nmcompile.chip.program import Encoder, Injection, Layer, Program, ReadOut
from nmcompile.errors import BoardError

#: Columns of a table of places that a host's spikes go to.
PLACE = ("chip", "core", "axon", "atom")


class Replay:
    """The chips of an image, from power-on.

    Parameters
    ----------
    image : the registers; nothing else is known of the network
    places : (places, 4) int64; chip, core, input axon and atom that spikes may be sent to; all
        that no axon of a core leads to where None

    Attributes
    ----------
    cores : as decoded
    """

    def __init__(self, image: RegisterImage, places: NDArray[np.int64] | None = None) -> None:
        self.cores = decode(image)
        self._starts = np.cumsum([0, *image.cores])
        self._held = np.array(image.cores)
        self._offsets = np.cumsum([0, *(len(core.compartments) for core in self.cores)])
        self._refractory = np.concatenate(
            [core.profiles.refractory[core.compartments.profile] for core in self.cores]
        ).astype(np.int64)
        self.places = self._free_places() if places is None else np.unique(places, axis=0)
        self._check_places()
        self._number = {tuple(row): k for k, row in enumerate(self.places.tolist())}
        self._program = self._as_program()
        self.restart()

    def restart(self) -> None:
        """All state as after power-on."""
        self._stepper = Stepper(self._program)
        self._left = np.zeros(len(self._refractory), np.int64)
        self._late = np.zeros(0, np.int64)

    def numbers(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of places, for `run`."""
        try:
            return np.array([self._number[tuple(row)] for row in places.tolist()], np.int64)
        except KeyError as error:
            names = ", ".join(f"{n} {v}" for n, v in zip(PLACE, error.args[0], strict=True))
            raise BoardError(f"a spike was sent to {names}, where no input axon is free") from None

    def compartments(self, chip: int, core: int, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of compartments, for `run`."""
        number = int(self._starts[chip]) + core
        if chip >= len(self._held) or core >= self._held[chip]:
            raise BoardError(f"there is no core {core} of chip {chip}")
        if len(index) and index.max() >= len(self.cores[number].compartments):
            raise BoardError(f"core {core} of chip {chip} has no compartment {index.max()}")
        return np.asarray(self._offsets[number] + index, np.int64)

    def run(
        self,
        sent: Sequence[NDArray[np.int64]],
        probed: NDArray[np.int64],
        quantities: Sequence[str] = ("spikes", "u", "v"),
    ) -> Record:
        """Advance as many steps as there are entries.

        A compartment that fired or is refractory keeps the steps that are left to it, times 128,
        where its voltage is (nengo-loihi hardware/interface.py); the record has these.

        Parameters
        ----------
        sent : for each step, numbers of the places that the host sends a spike to in it; they act
            in the step after
        """
        arriving = [self._late, *sent][: len(sent)]
        self._late = [self._late, *sent][-1]
        whole = np.arange(len(self._refractory))
        wants_v = "v" in quantities
        record = self._stepper.run(
            arriving,
            probed=whole if wants_v else probed,
            quantities=tuple({*quantities, "spikes"}) if wants_v else quantities,
        )
        if not wants_v:
            return record
        voltage = record.v.copy()
        for step, fired in enumerate(record.spikes):
            self._left = np.where(fired, self._refractory, np.maximum(self._left - 1, 0))
            voltage[step] = np.where(self._left > 0, self._left << 7, voltage[step])
        wanted = {name: getattr(record, name) for name in ("spikes", "u")}
        return Record(
            **{name: a[:, probed] if a.shape[1] else a for name, a in wanted.items()},
            v=voltage[:, probed],
        )

    def _free_places(self) -> NDArray[np.int64]:
        """All input axons, and their atoms, that no core sends to."""
        taken = {
            pair
            for core in self.cores
            for pair in zip(
                core.output_axons.core.tolist(), core.output_axons.axon.tolist(), strict=True
            )
        }
        rows = [
            (core.chip, core.position, axon, atom)
            for number, core in enumerate(self.cores)
            for axon, block in enumerate(core.input_axons.block.tolist())
            if (number, axon) not in taken
            for atom in range(int(core.blocks.atoms[block]))
        ]
        return np.array(rows, np.int64).reshape(-1, 4)

    def _check_places(self) -> None:
        for chip, position, axon, atom in self.places.tolist():
            core = self._core(chip, position)
            if core is None or axon >= len(core.input_axons):
                raise BoardError(
                    f"a spike is sent to axon {axon} of core {position}, chip {chip}, which the "
                    "image does not have"
                )
            held = int(core.blocks.atoms[core.input_axons.block[axon]])
            if atom >= (1 if core.input_axons.kind[axon] == DISCRETE else held):
                raise BoardError(f"a spike is sent to atom {atom} of an axon of {held}")

    def _core(self, chip: int, position: int) -> Core | None:
        if not 0 <= chip < len(self._held) or not 0 <= position < self._held[chip]:
            return None
        return self.cores[int(self._starts[chip]) + position]

    def _as_program(self) -> Program:
        """The cores with all compartments as one layer, and places as the encoder's neurons."""
        sizes = np.diff(self._offsets)
        core = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
        layer = Layer(
            name="all",
            shape=(len(core),),
            core=core,
            compartment=(np.arange(len(core)) - self._offsets[core]).astype(np.int32),
            amplitude=1.0,
            voltage_scale=1.0,
            depth=1,
        )
        neurons = max(len(self.places), 1)
        return Program(
            target="loihi1",
            cores=self.cores,
            encoder=Encoder.passing("host", neurons, input_scale=1.0, threshold=1),
            injection=Injection.of(
                neuron=np.arange(len(self.places)),
                core=self._starts[self.places[:, 0]] + self.places[:, 1],
                axon=self.places[:, 2],
                atom=self.places[:, 3],
            ),
            layers=(layer,),
            read_out=ReadOut(
                "counts", ("all",), np.zeros((len(core), 1), np.float32), np.zeros(1, np.float32)
            ),
            steps=1,
            dt_s=0.001,
        )
