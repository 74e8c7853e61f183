"""Nengo networks that between them use all that nengo-loihi puts on a chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nengo
import nengo_loihi
import numpy as np
from nengo_loihi.decode_neurons import NoisyDecodeNeurons


@dataclass(frozen=True)
class Made:
    """A network, what to set in the model that it is built into, and its probes."""

    network: nengo.Network
    probes: list[nengo.Probe]
    prepare: Callable[[nengo_loihi.builder.Model], None] = lambda model: None


def passive() -> Made:
    """Ensembles in a chain, a recurrent one, and all that can be probed."""
    with nengo.Network(seed=3) as network:
        wave = nengo.Node(lambda t: np.sin(6 * t))
        first, second = nengo.Ensemble(100, 1), nengo.Ensemble(80, 1)
        nengo.Connection(wave, first)
        nengo.Connection(first, second, function=lambda x: x**2)
        nengo.Connection(second, second, transform=0.5, synapse=0.1)
        probes = [
            nengo.Probe(second, synapse=0.02),
            nengo.Probe(first.neurons),
            nengo.Probe(first.neurons[::3]),
            nengo.Probe(second.neurons, "voltage"),
            nengo.Probe(second.neurons, "input"),
        ]
    return Made(network, probes)


def learning() -> Made:
    """PES in two dimensions, with the error from the host in every step."""
    with nengo.Network(seed=4) as network:
        wave = nengo.Node(lambda t: [np.sin(9 * t), np.cos(7 * t)])
        pre, post, error = (nengo.Ensemble(90, 2) for _ in range(3))
        nengo.Connection(wave, pre)
        learnt = nengo.Connection(
            pre, post, function=lambda x: [0.3, -0.2], learning_rule_type=nengo.PES(2e-3)
        )
        nengo.Connection(post, error)
        nengo.Connection(wave, error, transform=-1)
        nengo.Connection(error, learnt.learning_rule)
        probes = [nengo.Probe(post, synapse=0.02), nengo.Probe(pre.neurons)]
    return Made(network, probes)


def learning_finely() -> Made:
    """PES with an exponent at which the chip's shift would lose bits of weights."""

    def prepare(model: nengo_loihi.builder.Model) -> None:
        model.pes_wgt_exp = -2

    made = learning()
    return Made(made.network, made.probes, prepare)


def learning_finest() -> Made:
    """PES with the lowest exponent that nengo-loihi takes."""

    def prepare(model: nengo_loihi.builder.Model) -> None:
        model.pes_wgt_exp = -7

    made = learning()
    return Made(made.network, made.probes, prepare)


def noisy() -> Made:
    """Noise on the membranes of the neurons that decode."""

    def prepare(model: nengo_loihi.builder.Model) -> None:
        model.decode_neurons = NoisyDecodeNeurons(pairs_per_dim=3, noise_exp=-1.5)

    made = passive()
    return Made(made.network, made.probes, prepare)


def convolution(channels_last: bool) -> Made:
    """Two convolutions, by population axons, behind neurons on the host."""
    shape = (8, 8, 2) if channels_last else (2, 8, 8)
    rng = np.random.default_rng(1)
    with nengo.Network(seed=5) as network:
        nengo_loihi.add_params(network)
        network.config[nengo.Ensemble].neuron_type = nengo.SpikingRectifiedLinear()
        network.config[nengo.Ensemble].gain = nengo.dists.Choice([60])
        network.config[nengo.Ensemble].bias = nengo.dists.Choice([0])
        network.config[nengo.Connection].synapse = 0.005
        image = nengo.Node(rng.uniform(0, 1, 128))
        host = nengo.Ensemble(128, 1, label="host")
        network.config[host].on_chip = False
        nengo.Connection(image, host.neurons, synapse=None, transform=300)
        first = nengo.Convolution(6, shape, channels_last=channels_last, strides=(1, 1))
        one = nengo.Ensemble(first.output_shape.size, 1)
        second = nengo.Convolution(
            4, first.output_shape, channels_last=channels_last, strides=(2, 2)
        )
        two = nengo.Ensemble(second.output_shape.size, 1)
        nengo.Connection(host.neurons, one.neurons, transform=first)
        nengo.Connection(one.neurons, two.neurons, transform=second)
        probes = [nengo.Probe(one.neurons), nengo.Probe(two.neurons, synapse=0.01)]
        network.config[one].block_shape = nengo_loihi.BlockShape(
            (3, 3, 6) if channels_last else (6, 3, 3), first.output_shape.shape
        )
    return Made(network, probes)


def neurons_and_sparse() -> Made:
    """Neurons to neurons through sparse weights, and a slice of an ensemble."""
    rng = np.random.default_rng(2)
    rows, cols = np.nonzero(rng.random((50, 70)) < 0.1)
    with nengo.Network(seed=6) as network:
        wave = nengo.Node(lambda t: np.cos(5 * t))
        source = nengo.Ensemble(70, 2)
        target = nengo.Ensemble(50, 1)
        nengo.Connection(wave, source, transform=[[1], [-0.5]])
        nengo.Connection(
            source.neurons,
            target.neurons,
            transform=nengo.Sparse(
                (50, 70),
                indices=np.stack([rows, cols], axis=1),
                init=rng.normal(0, 0.02, len(rows)),
            ),
        )
        nengo.Connection(source[1], target)
        probes = [nengo.Probe(target.neurons), nengo.Probe(target, synapse=0.03)]
    return Made(network, probes)


NETWORKS: dict[str, Callable[[], Made]] = {
    "passive": passive,
    "learning": learning,
    "learning finely": learning_finely,
    "learning finest": learning_finest,
    "noise": noisy,
    "convolution, channels last": lambda: convolution(True),
    "convolution, channels first": lambda: convolution(False),
    "neurons and sparse weights": neurons_and_sparse,
}
