"""Nengo networks with one part each that is looked at; needs the extra `nengo`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nengo
import numpy as np

from tools.support.probe import Made, Maker

WEIGHTS = np.random.default_rng(0).normal(0, 1e-3, (30, 40))


def net(fill: Callable[[nengo.Node, nengo.Ensemble], None]) -> Maker:
    """A network of an input, an ensemble, and what is looked at."""

    def make(folder: Path) -> Made:
        with nengo.Network(seed=0) as network:
            wave = nengo.Node([0.5])
            first = nengo.Ensemble(40, 1)
            nengo.Connection(wave, first)
            fill(wave, first)
            nengo.Probe(first, synapse=0.01)
        return Made(network, None)

    return make


def neurons(kind: nengo.neurons.NeuronType) -> Maker:
    """An ensemble of another kind of neuron behind the first."""

    def fill(wave: nengo.Node, first: nengo.Ensemble) -> None:
        nengo.Connection(first, nengo.Ensemble(30, 1, neuron_type=kind))

    return net(fill)


def _dense(wave: nengo.Node, first: nengo.Ensemble) -> None:
    second = nengo.Ensemble(30, 1)
    nengo.Connection(first.neurons, second.neurons, transform=WEIGHTS)


def _conv(wave: nengo.Node, first: nengo.Ensemble) -> None:
    same = {"gain": nengo.dists.Choice([1]), "bias": nengo.dists.Choice([0])}
    image = nengo.Ensemble(36, 1, **same)
    shape = nengo.Convolution(2, (6, 6, 1), kernel_size=(3, 3))
    second = nengo.Ensemble(shape.output_shape.size, 1, **same)
    nengo.Connection(image.neurons, second.neurons, transform=shape)


def _recurrent(wave: nengo.Node, first: nengo.Ensemble) -> None:
    nengo.Connection(first, first, transform=0.5, synapse=0.1)


def _learning(wave: nengo.Node, first: nengo.Ensemble) -> None:
    second, error = nengo.Ensemble(30, 1), nengo.Ensemble(30, 1)
    learnt = nengo.Connection(first, second, learning_rule_type=nengo.PES())
    nengo.Connection(second, error)
    nengo.Connection(error, learnt.learning_rule)


def _two_inputs(wave: nengo.Node, first: nengo.Ensemble) -> None:
    nengo.Connection(nengo.Node([0.3]), first)


def _two_outputs(wave: nengo.Node, first: nengo.Ensemble) -> None:
    nengo.Probe(first, synapse=0.03)


PROBES: dict[str, Maker | str] = {
    "dense": net(_dense),
    "conv2d": net(_conv),
    "relu": neurons(nengo.SpikingRectifiedLinear()),
    "lif": neurons(nengo.LIF()),
    "tanh": neurons(nengo.Tanh()),
    "recurrent": net(_recurrent),
    "learning": net(_learning),
    "two inputs": net(_two_inputs),
    "two outputs": net(_two_outputs),
}
