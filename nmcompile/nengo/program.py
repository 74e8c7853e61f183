"""A Nengo network, or a discretised nengo-loihi Model, as a Program in a `.nmc` file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import nengo
import numpy as np
from nengo_loihi.builder import Model
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import DECAY_BITS
from nmcompile.chip.program import Layer, Program, ReadOut
from nmcompile.chip.verify import verify_program
from nmcompile.errors import FitError, ModelError, UnsupportedError, UsageError
from nmcompile.hardware import Target, parse_target
from nmcompile.nengo.blocks import ends
from nmcompile.nengo.host import encoder, inputs, obstacles
from nmcompile.nengo.model import Translation, translate
from nmcompile.passes.base import NmcompileWarning

#: Longest time constants, a layer, after which a mean has forgotten the start.
SETTLED = 5


def to_program(
    network_or_model: Any,
    target: str | None = None,
    *,
    steps: int = 32,
    dt: float = 0.001,
    input_range: float | None = None,
    sha256: str | None = None,
) -> Program:
    """Turn a Nengo network whose host only gives inputs and reads out into a Program.

    The chip's part is nengo-loihi's, to the last bit, one core for each of its blocks. On the
    host, nodes whose output is an array or PresentInput become the sample, held for all steps;
    nengo-loihi's on and off neurons encode it at the same rates; and each probe of the chip
    becomes scores, its mean over the steps that a spike can reach. The filters of probes and of
    the connections from inputs are left out, since both only smooth what is constant.

    A bare Model takes shares of steps, 0..1, for each neuron of its spike inputs, and gives
    the rates of the blocks that it probes spikes of, or of all.

    Parameters
    ----------
    network_or_model : nengo.Network, or nengo-loihi Model after `discretize_model`
    target : ``family[:board]``; None for the smallest Loihi 1 board with enough cores
    steps : per sample
    dt : length of a step in seconds, for a network
    input_range : largest size of input values; what lies beyond is clipped. None for 1, or for
        the largest in the nodes' outputs
    sha256 : of the file that defines it, to be kept in the Program

    Raises
    ------
    UnsupportedError
        What needs Python on the host, all of it by name: ensembles, functions, learning.
    ModelError
        No network or Model, or a Model that is not discretised.
    FitError, VerifyError
        It does not fit the target.
    """
    place = parse_target(target)
    if not isinstance(steps, int) or steps < 1 or not dt > 0:
        raise UsageError(f"{steps} steps of {dt} s cannot be run; give a whole number above 0")
    if input_range is not None and not 0 < input_range < float("inf"):
        raise UsageError(f"an input range of {input_range} is not above 0 and finite")
    if isinstance(network_or_model, Model):
        model, network = network_or_model, network_or_model.toplevel
    elif isinstance(network_or_model, nengo.Network):
        model, network = Model(dt=dt, label=network_or_model.label), network_or_model
        _build(model, network)
    else:
        raise ModelError(
            f"an object of type {type(network_or_model).__name__} is neither a nengo.Network nor a "
            "nengo-loihi Model"
        )
    name = str(model.label or "network")
    if network is None:
        translation = translate(model)
        read_out = _read_rates(model, translation)
        program = translation.program
    else:
        found = obstacles(network, model)
        if found:
            raise UnsupportedError(name, found)
        probes = list(model.nengo_probes)
        decoding = {probe: _decoding_block(model, probe) for probe in probes}
        translation = translate(model, without=[b for b in decoding.values() if b is not None])
        read_out = _read_probes(model, translation, decoding)
        program = replace(
            translation.program,
            encoder=encoder(model, inputs(network), translation.first_neuron, input_range),
        )
    program = replace(
        _placed(program, place),
        layers=_with_depths(program),
        read_out=read_out,
        steps=steps,
        manifest={
            "network": name,
            "source": {
                "name": name,
                "kind": "nengo",
                **({"sha256": sha256} if sha256 else {}),
            },
            "options": {"steps": steps, "dt": float(model.dt)},
            "calibration": "none",
            "passes": [
                {
                    "name": "split",
                    "changes": f"on the chip: {len(program.layers)} of nengo-loihi's blocks",
                }
            ],
        },
    )
    verify_program(program, place.hardware)
    _warn(program, network)
    return program


def _warn(program: Program, network: Any) -> None:
    """Of too few steps for a mean, and of networks that are another one each time."""
    settled = SETTLED * round(_slowest(program)) * max(layer.depth for layer in program.layers)
    if program.steps < settled:
        warnings.warn(
            f"{program.steps} steps are few: scores are means over all of them, and the network "
            f"takes about {settled} to settle, so they come out too small; use --steps {settled}",
            NmcompileWarning,
            stacklevel=3,
        )
    if network is not None and network.seed is None:
        warnings.warn(
            "the network has no seed, so it is another one each time that it is built; "
            "give nengo.Network(seed=...) for equal files",
            NmcompileWarning,
            stacklevel=3,
        )


def _slowest(program: Program) -> float:
    """The longest time constant of a current or voltage, in steps."""
    full = 1 << DECAY_BITS
    rates = [
        rate
        for core in program.cores
        for rate in (*(core.profiles.decay_u + 1).tolist(), *core.profiles.decay_v.tolist())
        if rate > 0
    ]
    return full / min(rates, default=full)


def plain(text: str) -> str:
    """Without addresses in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _build(model: Any, network: Any) -> None:
    """Let nengo-loihi build; what it raises, assertions among it, becomes a sentence."""
    try:
        model.build(network, discretize=True)
    except Exception as error:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ModelError(
            f"nengo-loihi cannot build {model.label or 'the network'} ({plain(what)}); what it "
            "supports is in its documentation, and slices of ensembles behind connections are not"
        ) from error


def _decoding_block(model: Any, probe: Any) -> Any:
    """The block that only decodes a probe's value, which the host's read-out does instead."""
    made = model.objs[probe]["out"]
    if made.key == "spiked":
        return None
    if len(made.target) != 1:
        raise ModelError(
            f"a probe of {probe.obj} has {probe.size_in} dimensions, which nengo-loihi spreads "
            f"over {len(made.target)} blocks; probe slices of it"
        )
    return made.target[0]


def _read_probes(model: Any, translation: Translation, decoding: dict[Any, Any]) -> ReadOut:
    """Spike counts of all blocks that probes read, times what each probe makes of a spike."""
    first = translation.first_compartment
    total = sum(layer.neurons for layer in translation.program.layers)
    columns: list[NDArray[np.float64]] = []
    for probe, block in decoding.items():
        columns.append(
            _spike_weights(model, probe, first, total)
            if block is None
            else _decoders(model, probe, block, first, total)
        )
    return _read_out(translation, np.concatenate(columns, axis=1))


def _decoders(
    model: Any, probe: Any, block: Any, first: dict[Any, int], total: int
) -> NDArray[np.float64]:
    """(compartments, dimensions) decoded value of a spike in every step."""
    connection = next(
        made
        for made in model.params
        if isinstance(made, nengo.Connection) and made.post_obj is probe
    )
    decoders = np.asarray(model.params[connection].weights, float).T
    weights = np.zeros((total, decoders.shape[1]))
    for source, start in first.items():
        for axon in source.axons:
            if axon.target in block.synapses:
                found = ends(axon, source.n_neurons)
                weights[start + found.source] += decoders[found.axon]
    return weights


def _spike_weights(
    model: Any, probe: Any, first: dict[Any, int], total: int
) -> NDArray[np.float64]:
    """(compartments, neurons) value of a spike, for a probe of neurons."""
    made = model.objs[probe]["out"]
    places = [
        first[block] + np.arange(block.n_neurons)[part]
        for block, part in zip(made.target, made.slice, strict=True)
    ]
    compartments = np.concatenate(places)
    if made.reindexing is not None:
        compartments = compartments[made.reindexing]
    value = np.asarray(1.0 if made.weights[0] is None else made.weights[0], float)
    weights = np.zeros((total, len(compartments)))
    weights[compartments, np.arange(len(compartments))] = value
    return weights


def _read_rates(model: Any, translation: Translation) -> ReadOut:
    """Rates of the blocks that a bare Model probes spikes of, or of all, in spikes per step."""
    first = translation.first_compartment
    blocks = [b for probe in model.probes if probe.key == "spiked" for b in probe.target]
    sizes = {block: block.n_neurons for block in (blocks or first)}
    total = sum(layer.neurons for layer in translation.program.layers)
    compartments = np.concatenate([first[b] + np.arange(size) for b, size in sizes.items()])
    weights = np.zeros((total, len(compartments)))
    weights[compartments, np.arange(len(compartments))] = 1.0
    return _read_out(translation, weights)


def _read_out(translation: Translation, weights: NDArray[np.float64]) -> ReadOut:
    """A read-out of the layers that have a weight."""
    names: list[str] = []
    rows: list[NDArray[np.float64]] = []
    start = 0
    for layer in translation.program.layers:
        part = weights[start : start + layer.neurons]
        if part.any():
            names.append(layer.name)
            rows.append(part)
        start += layer.neurons
    if not names:
        raise ModelError("no probe depends on any spike of the chip, so nothing is read out")
    return ReadOut(
        kind="counts",
        layers=tuple(names),
        weights=np.concatenate(rows).astype(np.float32),
        bias=np.zeros(weights.shape[1], np.float32),
    )


def _placed(program: Program, place: Target) -> Program:
    """Cores in order on the chips of a board."""
    hardware, needed = place.hardware, len(program.cores)
    board = place.board or hardware.smallest_board(needed)
    if board is None or needed > board.cores(hardware):
        largest = board or hardware.largest_board
        raise FitError(
            f"nengo-loihi made {needed} blocks, one core each, and {largest.name} has "
            f"{largest.cores(hardware)} cores; give fewer ensembles, or a larger board",
            layer="",
            resource="cores",
            used=needed,
            limit=largest.cores(hardware),
        )
    per_chip = board.usable_cores(hardware)
    return replace(
        program,
        target=f"{hardware.name}:{board.name}",
        cores=tuple(
            replace(core, chip=k // per_chip, position=k % per_chip)
            for k, core in enumerate(program.cores)
        ),
    )


def _with_depths(program: Program) -> tuple[Layer, ...]:
    """The layers, each with the fewest steps in which an input reaches its core."""
    depth = {int(core): 1 for core in program.injection.core}
    todo: Sequence[int] = list(depth)
    while todo:
        reached = [
            (int(to), depth[core] + 1)
            for core in todo
            for to in program.cores[core].output_axons.core
            if int(to) not in depth
        ]
        depth.update(reached)
        todo = list(dict(reached))
    return tuple(replace(layer, depth=depth.get(int(layer.core[0]), 1)) for layer in program.layers)
