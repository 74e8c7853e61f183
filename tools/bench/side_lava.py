"""The Lava side: the same integers in its fixed-point processes; runs in its own environment.

Reads one JSON object a line, {"image": number, "warm": steps, "steps": steps}; answers with the
seconds that the steps after the warm ones took and the sums of all final voltages, layer by layer.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from importlib.metadata import version

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF

LAYERS = ("conv1", "conv2", "dense")


def neurons(given: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> LIF:
    """A layer."""
    return LIF(
        shape=shape,
        du=int(given[f"{name}.decay_u"]),
        dv=0,
        bias_mant=given[f"{name}.bias_mantissa"].reshape(shape).astype(np.int32),
        bias_exp=given[f"{name}.bias_exponent"].reshape(shape).astype(np.int32),
        vth=int(given[f"{name}.threshold"]),
    )


def network(given: dict[str, np.ndarray], spikes: np.ndarray) -> list[LIF]:
    """Connected processes; spikes are (steps, rows, columns, channels)."""
    source = RingBuffer(data=np.moveaxis(spikes, 0, -1).astype(np.int32))
    made, out, shape = [], source.s_out, spikes.shape[1:]
    for name in LAYERS[:2]:
        # Lava turns kernels by half a circle, as a convolution in the strict sense does.
        kernel = given[f"{name}.kernel"][::-1, ::-1]
        conv = Conv(
            weight=np.moveaxis(kernel, 3, 0).astype(np.int32),
            input_shape=shape,
            stride=2,
        )
        shape = tuple(int(side) for side in conv.output_shape)
        layer = neurons(given, name, shape)
        out.connect(conv.s_in)
        conv.a_out.connect(layer.a_in)
        made.append(layer)
        out = layer.s_out
    matrix = given["dense.kernel"]
    dense = Dense(weights=matrix, weight_exp=int(given["dense.exponent"]))
    last = neurons(given, "dense", (matrix.shape[0],))
    out.flatten().connect(dense.s_in)
    dense.a_out.connect(last.a_in)
    return [*made, last]


def main() -> None:
    """Answer until the input ends."""
    with np.load(sys.argv[1]) as file:
        given = dict(file)
    print(json.dumps({"version": version("lava-nc")}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        layers = network(given, given["spikes"][asked["image"]])
        config = Loihi2SimCfg(select_tag="fixed_pt")
        try:
            layers[-1].run(RunSteps(asked["warm"]), config)
            begin = time.perf_counter()
            layers[-1].run(RunSteps(asked["steps"]), config)
            seconds = time.perf_counter() - begin
            voltages = [int(layer.v.get().astype(np.int64).sum()) for layer in layers]
        finally:
            layers[-1].stop()
        print(json.dumps({"seconds": seconds, "voltages": voltages}), flush=True)


if __name__ == "__main__":
    logging.getLogger().setLevel(logging.ERROR)
    main()
