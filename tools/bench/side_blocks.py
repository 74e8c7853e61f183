"""The nengo-loihi side of the mapper: its keras-to-loihi example, and the blocks it is cut into.

Runs in nengo-loihi's own environment and prints one JSON object. Block shapes are those that the
example sets by hand (nengo-loihi, docs/examples/keras-to-loihi.ipynb); a block takes a core.
"""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version

import nengo
import nengo_loihi
import numpy as np


def main() -> None:
    """Build the network as nengo-loihi does for its emulator, its checks of limits included."""
    warnings.simplefilter("ignore")
    with nengo_loihi.Simulator(network(), progress_bar=False) as simulator:
        blocks = len(simulator.model.blocks)
    print(json.dumps({"version": version("nengo-loihi"), "blocks": blocks}))


def network() -> nengo.Network:
    """1x1x3 on the host; 32 and 64 strided 3x3 convolutions and 100 dense neurons on chip."""
    rng = np.random.default_rng(0)
    with nengo.Network(seed=0) as made:
        nengo_loihi.add_params(made)
        made.config[nengo.Ensemble].neuron_type = nengo_loihi.LoihiSpikingRectifiedLinear()
        made.config[nengo.Ensemble].gain = nengo.dists.Choice([100])
        made.config[nengo.Ensemble].bias = nengo.dists.Choice([0])
        made.config[nengo.Connection].synapse = 0.005
        image = nengo.Node(rng.random(28 * 28))
        spikes = nengo.Convolution(3, (28, 28, 1), strides=(1, 1), kernel_size=(1, 1))
        host = nengo.Ensemble(spikes.output_shape.size, 1)
        made.config[host].on_chip = False
        nengo.Connection(image, host.neurons, transform=spikes, synapse=None)
        last, shape = host, spikes.output_shape
        for channels, block in ((32, (16, 16, 4)), (64, (8, 8, 16))):
            conv = nengo.Convolution(channels, shape, strides=(2, 2), kernel_size=(3, 3))
            layer = nengo.Ensemble(conv.output_shape.size, 1)
            made.config[layer].block_shape = nengo_loihi.BlockShape(block, conv)
            nengo.Connection(last.neurons, layer.neurons, transform=conv)
            last, shape = layer, conv.output_shape
        dense = nengo.Ensemble(100, 1)
        made.config[dense].block_shape = nengo_loihi.BlockShape((50,), (100,))
        weights = rng.normal(size=(100, last.n_neurons)) / last.n_neurons
        nengo.Connection(last.neurons, dense.neurons, transform=weights)
        scores = nengo.Node(size_in=10)
        nengo.Connection(dense.neurons, scores, transform=rng.normal(size=(10, 100)) / 100)
    return made


if __name__ == "__main__":
    main()
