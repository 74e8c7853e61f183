"""The nengo-loihi side: a Program in its emulator; runs in its own environment.

Reads one JSON object a line, {"image": number, "steps": steps}; answers with the seconds that the
steps took and the spikes of all neurons.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
from nengo_loihi.emulator.interface import EmulatorInterface
from nengo_loihi_twin import _model

from nmcompile.chip.program import Program
from nmcompile.host.encoder import encoder_currents, encoder_spikes


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    program = Program.load(sys.argv[1])
    with np.load(sys.argv[2]) as file:
        images = file["x"]
    print(json.dumps({"version": version("nengo-loihi")}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        currents = encoder_currents(program.encoder, images[asked["image"]][None])
        spikes = encoder_spikes(program.encoder, currents, asked["steps"])[0]
        model, _ = _model(program, spikes)
        model.probes.clear()
        with EmulatorInterface(model, seed=0) as emulator:
            begin = time.perf_counter()
            for _ in range(asked["steps"]):
                emulator.step()
            seconds = time.perf_counter() - begin
            fired = int(emulator.compartment.spike_count.sum())
        print(json.dumps({"seconds": seconds, "spikes": fired}), flush=True)


if __name__ == "__main__":
    main()
