"""A Program as Lava's processes, and its trace in Lava's fixed-point models.

A LIF process has one threshold and one pair of decays: a core. Connections between two cores in
one format are a Dense, Sparse or DelayDense process, as many as it takes for each to have at
most one synapse between two compartments; convolutions are Conv processes. Lava's Conv model
flips kernels, and takes weights as they are, without their exponent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF
from lava.proc.monitor.process import Monitor
from numpy.typing import NDArray
from registers import wrapped
from synapses import HOST, Connections, split
from traces import Trace

from nmcompile.backends.lava.runner import conv_process, lif_process, matrix_process
from nmcompile.chip.core import Core
from nmcompile.chip.program import Program
from nmcompile.host.encoder import encoder_currents, encoder_spikes

#: Our name of a quantity -> the name of a LIF's variable or port.
STATES = {"u": "u", "v": "v", "spikes": "s_out"}


def lava_trace(program: Program, inputs: NDArray[np.float64]) -> Trace:
    """Trace of Lava's fixed-point models over the Program's steps."""
    neurons = [_lif(core) for core in program.cores]
    currents = encoder_currents(program.encoder, inputs)
    spikes = encoder_spikes(program.encoder, currents, program.steps)[0]
    source = RingBuffer(data=spikes.T.astype(np.int64))
    _connect(program, neurons, source)
    monitors = {quantity: [Monitor() for _ in neurons] for quantity in STATES}
    for quantity, name in STATES.items():
        for monitor, lif in zip(monitors[quantity], neurons, strict=True):
            monitor.probe(getattr(lif, name), program.steps)
    logging.getLogger().setLevel(logging.ERROR)
    config = Loihi2SimCfg(select_tag="fixed_pt")
    for lif in neurons:
        if not lif.is_compiled:
            lif.run(condition=RunSteps(num_steps=program.steps), run_cfg=config)
    found = {
        quantity: np.concatenate([_data(one) for one in monitors[quantity]], axis=1)
        for quantity in STATES
    }
    for lif in neurons:
        lif.stop()
    u = found["u"].astype(np.int32)
    return Trace(
        u,
        found["v"].astype(np.int32),
        found["spikes"].astype(bool),
        wrapped=bool(wrapped(program, u)),
    )


def _lif(core: Core) -> LIF:
    comps = core.compartments
    return lif_process(
        (len(comps),),
        int(core.profiles.decay_u[0]),
        int(core.profiles.decay_v[0]),
        int(core.thresholds.mantissa[0]),
        comps.bias_mantissa,
        comps.bias_exponent,
    )


def _data(monitor: Monitor) -> NDArray[np.float64]:
    (process,) = monitor.get_data().values()
    (values,) = process.values()
    return np.asarray(values)


def _connect(program: Program, neurons: list[LIF], source: RingBuffer) -> None:
    convolutions = [one for one in program.manifest["convolutions"] if _whole(program, one)]
    for one in convolutions:
        _convolve(program, one, neurons)
    connections = Connections.of(program)
    done = np.zeros(len(connections.core), bool)
    for one in convolutions:
        done |= (connections.core == one["target"]) & np.isin(connections.axon, one["axons"])
    rest = connections.where(~done)
    key = (rest.from_core, rest.core, rest.exponent, rest.weight_bits, rest.sign_mode)
    for number, ((start, end, *form), chosen) in enumerate(split(*key)):
        spikes = source if start == HOST else neurons[start]
        shape = neurons[end].s_out.shape[0], spikes.s_out.shape[0]
        for weights, delays in _matrices(rest.where(chosen), shape):
            sparse = number % 2 == 1 and not delays.any()
            process = matrix_process(weights, delays, *form, sparse=sparse)
            spikes.s_out.connect(process.s_in)
            process.a_out.connect(neurons[end].a_in)


def _matrices(
    some: Connections, shape: tuple[int, int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Weights and delays, (targets, sources), with one synapse a pair in each matrix."""
    nth = np.zeros(len(some.core), np.int64)
    for _, same in split(some.target, some.source):
        nth[same] = np.arange(len(same))
    for turn in range(int(nth.max()) + 1):
        weights, delays = (np.zeros(shape, np.int64) for _ in range(2))
        now = nth == turn
        weights[some.target[now], some.source[now]] = some.mantissa[now]
        delays[some.target[now], some.source[now]] = some.delay[now]
        yield weights, delays


def _whole(program: Program, one: dict[str, Any]) -> bool:
    """Whether a Conv process can do a convolution: it knows no delays."""
    core = program.cores[one["target"]]
    for block in core.input_axons.block[one["axons"]]:
        start, size = int(core.blocks.start[block]), int(core.blocks.atoms[block])
        rows = core.synapses.rows(start, start + size * int(core.blocks.length[block]))
        if rows.delay.any():
            return False
    return bool(one["axons"])


def _convolve(program: Program, one: dict[str, Any], neurons: list[LIF]) -> None:
    start, end = one["source"], one["target"]
    process = conv_process(
        np.array(one["kernel"])[::-1, ::-1].transpose(3, 0, 1, 2),
        one["exponent"],
        8,
        program.layers[start].shape,
        one["stride"],
        one["padding"],
    )
    last = program.manifest["channels_last"]
    _grid(neurons[start].s_out, program.layers[start].shape, last[start]).connect(process.s_in)
    result = process.a_out
    if not last[end]:
        result = result.transpose((2, 0, 1))
    result.flatten().connect(neurons[end].a_in)


def _grid(port: Any, shape: tuple[int, ...], channels_last: bool) -> Any:
    """Spikes of a core as rows x columns x channels."""
    if channels_last:
        return port.reshape(shape)
    return port.reshape((shape[2], *shape[:2])).transpose((1, 2, 0))
