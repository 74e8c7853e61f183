"""The float layers and connections that a Program's integers stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nmcompile.chip.program import Encoder
from nmcompile.ir import Network
from nmcompile.ir.layers import LayerGraph
from nmcompile.passes.add_encoder import AddEncoder
from nmcompile.passes.connect import Connect
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.merge_pooling import MergePooling
from nmcompile.passes.options import EncoderMode, checked_options
from nmcompile.passes.spike import Spike
from nmcompile.passes.split import Split


def folded_layers(network: Network, encoder: Encoder, options: Mapping[str, Any]) -> LayerGraph:
    """A float network through the passes that change its form but not what it computes.

    Parameters
    ----------
    network : as the front end gave it
    encoder : that the build made; says whether one was added, since data decided that then
    options : of the build, as its manifest keeps them
    """
    chosen = checked_options(**options)
    mode = _mode(encoder, chosen.encoder)
    nothing = np.zeros((1, *network.sample_shape), np.float32)
    network = FoldAffine().run(network)
    network = AddEncoder(mode, chosen.host_layers, nothing).run(network)
    network = MergePooling().run(network)
    network = Split(chosen.host_layers or 1, chosen.readout).run(network)
    return Connect().run(Spike(chosen).run(network))


def _mode(encoder: Encoder, asked: EncoderMode) -> EncoderMode:
    """The encoder option that gives this encoder whatever the data."""
    if encoder.mode == "on":
        return "on"
    if encoder.mode == "on-off":
        return "on-off"
    return asked
