"""nengo-loihi's Simulator with nmcompile's emulator underneath."""

from __future__ import annotations

from typing import Any

import nengo_loihi
from nengo.utils.progress import Progress, ProgressTracker, get_default_progressbar
from nengo_loihi.simulator import StepRunner

from nmcompile.errors import UsageError
from nmcompile.nengo.interface import EmulatorInterface

#: Steps between two moves of the progress bar.
SHOWN_STEPS = 100


class Simulator(nengo_loihi.Simulator):  # type: ignore[misc]
    """Builds a Nengo network as nengo-loihi does, and runs its chip on nmcompile's emulator.

    Spikes, voltages and learnt weights equal those of ``nengo_loihi.Simulator(target="sim")``
    with the same seed.

    Parameters
    ----------
    network : nengo.Network
    dt : length of a step in seconds
    seed : of noise and stochastic rounding; the network's plus one where None
    model : nengo-loihi Model to build into
    precompute : run the host before the chip; chosen by nengo-loihi where None
    target : "sim"; other targets are nengo-loihi's own
    progress_bar : True for Nengo's, or one of its progress bars
    remove_passthrough : whether nodes that only pass values on are built into the connections
    hardware_options : of nengo-loihi, for boards; has no effect on an emulator

    Raises
    ------
    UsageError
        A target other than "sim".
    BuildError
        nengo-loihi's own, for what it cannot build.
    """

    #: In place before anything can fail, since nengo-loihi's destructor looks at it.
    closed = True

    def __init__(
        self,
        network: Any,
        dt: float = 0.001,
        seed: int | None = None,
        model: Any = None,
        precompute: bool | None = None,
        target: str | None = "sim",
        progress_bar: Any = None,
        remove_passthrough: bool = True,
        hardware_options: Any = None,
    ) -> None:
        if target not in (None, "sim"):
            raise UsageError(
                f"target {target!r}: this simulator is the emulator, target 'sim'; for others use "
                "nengo_loihi.Simulator"
            )
        self.progress_bar = get_default_progressbar() if progress_bar is True else progress_bar
        super().__init__(
            network,
            dt=dt,
            seed=seed,
            model=model,
            precompute=precompute,
            target="sim",
            remove_passthrough=remove_passthrough,
            hardware_options=hardware_options,
        )
        theirs = self.sims["emulator"]
        self.closed = True
        self.sims["emulator"] = EmulatorInterface(self.model, seed=theirs.seed)
        theirs.close()
        self._runner = StepRunner(self.model, self.sims, self.precompute, self.timers)
        self.closed = False

    def run_steps(self, steps: int) -> None:
        """Run some steps, with a progress bar where one was asked for."""
        if not self.progress_bar:
            super().run_steps(steps)
            return
        progress = Progress(name_during="Simulating", name_after="Simulation", max_steps=steps)
        with ProgressTracker(self.progress_bar, progress):
            done = 0
            while done < steps:
                count = min(SHOWN_STEPS, steps - done)
                super().run_steps(count)
                done += count
                progress.step(count)
