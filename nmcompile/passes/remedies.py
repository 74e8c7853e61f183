"""What would make a network fit, found by trying: each remedy with the cores that it would take."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nmcompile.errors import FitError, NmcompileError, Remedy
from nmcompile.hardware import Target
from nmcompile.ir import Network
from nmcompile.ir.nodes import FloatArray
from nmcompile.passes.add_encoder import leading_conv
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.options import BuildOptions
from nmcompile.passes.pipeline import FEW_SAMPLES, partition_network
from nmcompile.passes.reshape import (
    channel_node,
    source_layer,
    window_node,
    with_channels,
    with_stride,
)

#: Remedies that are listed, at most.
LISTED = 5
#: Layers in which fewer channels and a stride are tried.
LAYERS = 2
#: Fewer bits a weight, the fewest first.
WEIGHT_BITS = (4, 6)
#: No trial begins later than so many seconds after the first.
SECONDS = 60.0

Trying = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Change:
    """A change to try.

    Attributes
    ----------
    change, option, layer : as in `errors.Remedy`
    cost : rank of what it costs
    network : makes the changed network; None where the graph allows no such change
    options : of its build
    stronger : the same change to a greater extent; if that does not help, this need not be tried
    """

    change: str
    option: str
    layer: str
    cost: int
    network: Callable[[], Network | None]
    options: BuildOptions
    stronger: str = ""


def remedies(
    error: FitError,
    network: Network,
    target: Target,
    options: BuildOptions,
    calibration: FloatArray | None = None,
    *,
    trying: Trying | None = None,
) -> list[Remedy]:
    """Changes by which a network that does not fit would take fewer cores, or a board with more.

    Each is tried: the passes run up to the partition, on a few calibration samples and without a
    correction of amplitudes, and cores are what is made few. A build that differs in that may
    take a core more or less.

    Parameters
    ----------
    error : of the build that failed
    network, target, options, calibration : what was to be built
    trying : called before each trial with its number and how many are planned

    Returns
    -------
    At most five, those that fit before others, both in this order: a larger board, more on the
    host, then what costs accuracy, the smallest change first.
    """
    begin = time.monotonic()
    few = _few(network, options, calibration)
    options = options.model_copy(update={"gain_samples": 0, "optimise": "cores"})
    lacking = error.resource == "cores"
    found = list(_larger_board(target, error.used)) if lacking else []
    layers = _largest(error) if lacking else _around(network, error.layer)
    changes = list(_changes(network, options, layers))
    costs = {each.change: each.cost for each in changes}
    useless: set[str] = set()
    for number, change in enumerate(changes, start=1):
        if time.monotonic() - begin > SECONDS:
            break
        if trying is not None:
            trying(number, len(changes))
        cores = None if change.stronger in useless else _cores(change, target, few)
        if cores is None or (lacking and cores >= error.used):
            useless.add(change.change)
        else:
            board, fits = _board(target, cores)
            found.append(Remedy(change.change, change.option, change.layer, cores, board, fits))
    return _chosen(sorted(found, key=lambda each: costs.get(each.change, 0)))


def _chosen(found: list[Remedy]) -> list[Remedy]:
    """The cheapest of those that fit, then those of the others that help most."""
    fitting = [each for each in found if each.fits][:LISTED]
    others = [each for each in found if not each.fits]
    most = sorted(others, key=lambda each: each.cores)[: LISTED - len(fitting)]
    return [*fitting, *(each for each in others if each in most)]


def _few(network: Network, options: BuildOptions, calibration: FloatArray | None) -> FloatArray:
    """Some calibration samples: enough for scales, few enough for speed."""
    if calibration is not None:
        return calibration[:FEW_SAMPLES]
    shape = (FEW_SAMPLES, *network.sample_shape)
    return np.random.default_rng(options.seed).random(shape, dtype=np.float32)


def _cores(change: Change, target: Target, few: FloatArray) -> int | None:
    """Cores that a changed network takes; None where it cannot be built."""
    network = change.network()
    if network is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NmcompileWarning)
        try:
            return partition_network(network, target, change.options, few).n_cores
        except NmcompileError:
            return None


def _board(target: Target, cores: int) -> tuple[str, bool]:
    """The board that so many cores are for, and whether it has them."""
    hardware = target.hardware
    board = target.board or hardware.smallest_board(cores) or hardware.largest_board
    return f"{hardware.name}:{board.name}", cores <= board.cores(hardware)


def _larger_board(target: Target, cores: int) -> Iterator[Remedy]:
    """The smallest board with room for the network as it is."""
    hardware = target.hardware
    board = hardware.smallest_board(cores)
    if target.board is not None and board is not None and cores > target.board.cores(hardware):
        name = f"{hardware.name}:{board.name}"
        yield Remedy("a larger board", f"--target {name}", "", cores, name, fits=True)


def _largest(error: FitError) -> list[str]:
    """The layers on most cores."""
    return sorted(error.taken, key=lambda name: -error.taken[name])[:LAYERS]


def _around(network: Network, layer: str) -> list[str]:
    """A layer whose neurons do not fit a core, behind the one that they read."""
    if layer not in network:
        return []
    source = source_layer(network, layer)
    return [layer] if source is None else [source, layer]


def _changes(network: Network, options: BuildOptions, layers: list[str]) -> Iterator[Change]:
    """What to try: what promises most first, as time may run out."""

    def changed(change: str, option: str, cost: int, stronger: str = "", **update: Any) -> Change:
        made = options.model_copy(update=update)
        return Change(change, option, "", cost, lambda: network, made, stronger)

    if options.readout == "chip":
        yield changed("the last layer on the host", "--readout host", 1, readout="host")
    on_host = options.host_layers
    if on_host is None:
        on_host = 0 if leading_conv(FoldAffine().run(network)) is None else 1
    on_host += 1
    first = "the first layer" if on_host == 1 else f"the first {on_host} layers"
    option = f"--host-layers {on_host}"
    yield changed(f"{first} on the host", option, 2, host_layers=on_host)
    known = [name for name in layers if name in network]
    for name in known[:1]:
        yield from _smaller_layer(network, options, name)
    few = [bits for bits in WEIGHT_BITS if bits < options.weight_bits]
    for k, bits in enumerate(few):
        stronger = f"weights of {few[k - 1]} bits" if k else ""
        cost = 5 - 2 * k
        option = f"--weight-bits {bits}"
        yield changed(f"weights of {bits} bits", option, cost, stronger, weight_bits=bits)
    for name in known[1:]:
        yield from _smaller_layer(network, options, name)


def _smaller_layer(network: Network, options: BuildOptions, layer: str) -> Iterator[Change]:
    """A stride, and fewer channels, in one layer."""
    window = window_node(network, layer)
    if window is not None:
        make = partial(with_stride, network, window.name, 2)
        yield Change(f"stride 2 in {layer}", "", layer, 7, make, options)
    node = channel_node(network, layer)
    if node is None:
        return
    channels = node.weights.shape[-1]
    noun = "neurons" if len(network.shapes[node.name]) == 1 else "channels"
    stronger = ""
    for fewer, cost in ((channels // 2, 6), (channels * 3 // 4, 4)):
        change = f"{fewer:,} of {channels:,} {noun} in {layer}"
        if 0 < fewer < channels and change != stronger:
            make = partial(with_channels, network, node.name, fewer)
            yield Change(change, "", layer, cost, make, options, stronger)
            stronger = change
