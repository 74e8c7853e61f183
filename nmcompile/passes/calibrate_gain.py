"""Correct what a spike stands for by what neurons with a hard reset really do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nmcompile.ir.layers import Connection, LayerGraph, NeuronLayer
from nmcompile.ir.links import CHUNK, through
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.ir.reference import compute
from nmcompile.passes.base import Pass

#: A correction beyond this factor says that calibration saw too little; it is cut off there.
LARGEST_CORRECTION = 2.0
#: Spikes that are kept at a time, one byte each; fewer samples are simulated where they exceed it.
MOST_SPIKES = 1 << 28
#: Multiply-accumulates worth spending, about a minute; some samples are simulated at any price.
MOST_MACS = 1 << 37
LEAST_SAMPLES = 4

Spikes = NDArray[np.bool_]


@dataclass(frozen=True)
class CalibrateGain(Pass[LayerGraph, LayerGraph]):
    """Reads layers, connections and calibration data; changes amplitude and rate of each layer.

    Overshoot that a hard reset throws away makes rates too low, and each layer adds its share.
    So the layers are simulated in floats, one after the other, each on the spikes of those
    before it, and a spike is given the amplitude that fits the float activations best: the sum
    of rate times activation over the sum of squared rates. This scales the weights behind the
    layer, so that the next one sees corrected inputs; the Program holds nothing else of it. The
    layer's mean rate tells the mapper which cores will talk much to each other.

    Attributes
    ----------
    calibration : (samples, *input shape) float32; the first `samples` are used
    steps : time steps per sample
    samples : how many calibration samples to simulate, fewer where the network is very large
    """

    name: ClassVar[str] = "calibrate-gain"
    purpose: ClassVar[str] = "correct amplitudes by the rates that hard resets really give"

    calibration: FloatArray
    steps: int
    samples: int

    def run(self, value: LayerGraph) -> LayerGraph:
        if not self.samples:
            return value
        spiking = [layer.size for layer in value.layers if isinstance(layer.neuron, Spiking)]
        macs = sum(prod(link.out_shape[:2]) * link.weights.size for link in value.connections)
        affordable = max(LEAST_SAMPLES, MOST_MACS // (self.steps * max(macs, 1)))
        room = MOST_SPIKES // (self.steps * sum(spiking))
        x = self.calibration[: min(self.samples, affordable, room)]
        if not len(x):
            return value
        floats: dict[str, FloatArray] = {value.input_name: x.reshape(len(x), -1)}
        spikes: dict[str, Spikes] = {}
        corrected: dict[str, NeuronLayer] = {}
        for layer in value.layers:
            links = list(value.into(layer.name))
            drive = sum((through(c, floats[c.source]) for c in links), start=layer.bias)
            neuron = layer.neuron
            floats[layer.name] = compute(neuron, [drive])
            if not isinstance(neuron, Spiking):
                continue
            if layer.place == "host_in":
                spikes[layer.name] = encoder_spikes(floats[layer.name], neuron, self.steps)
                corrected[layer.name] = replace(layer, rate=float(spikes[layer.name].mean()))
                continue
            spikes[layer.name] = self._simulate(value, layer, links, spikes, corrected)
            rate = spikes[layer.name].sum(axis=1) / max(self.steps - layer.depth, 1)
            power = float((rate**2).sum())
            best = float((rate * floats[layer.name]).sum()) / power if power else 0.0
            low, high = neuron.amplitude / LARGEST_CORRECTION, neuron.amplitude * LARGEST_CORRECTION
            amplitude = float(np.clip(best, low, high)) if best > 0 else neuron.amplitude
            corrected[layer.name] = replace(
                layer,
                neuron=replace(neuron, amplitude=amplitude),
                rate=float(spikes[layer.name].mean()),
            )
        return replace(
            value, layers=tuple(corrected.get(layer.name, layer) for layer in value.layers)
        )

    def _simulate(
        self,
        graph: LayerGraph,
        layer: NeuronLayer,
        links: list[Connection],
        spikes: dict[str, Spikes],
        corrected: dict[str, NeuronLayer],
    ) -> Spikes:
        """(samples, steps, neurons) spikes of a layer, on the spikes of those before it."""
        neuron = layer.neuron
        assert isinstance(neuron, Spiking)
        samples = len(spikes[links[0].source])
        found = np.zeros((samples, self.steps, layer.size), bool)
        at_once = max(1, CHUNK // self.steps)
        for start in range(0, len(found), at_once):
            part = slice(start, start + at_once)
            drive = np.zeros(found[part].shape, np.float32)
            for link in links:
                source = corrected[link.source].neuron
                assert isinstance(source, Spiking)
                sent = spikes[link.source][part]
                flat = sent.reshape(-1, sent.shape[2]).astype(np.float32) * source.amplitude
                # What is sent in one step arrives in the next.
                arrived = through(link, flat).reshape(drive.shape)
                drive[:, 1:] += arrived[:, :-1]
            found[part] = hard_reset_spikes(drive, layer.bias, neuron, graph.dt_s)
        return found

    def changes(self, before: LayerGraph, after: LayerGraph) -> str:
        words = [
            f"{old.name} x{new.neuron.amplitude / old.neuron.amplitude:.3f}"
            for old, new in zip(before.layers, after.layers, strict=True)
            if isinstance(old.neuron, Spiking)
            and isinstance(new.neuron, Spiking)
            and old.place == "chip"
        ]
        return ", ".join(words)


def encoder_spikes(activation: FloatArray, neuron: Spiking, steps: int) -> Spikes:
    """(samples, steps, neurons) of an encoder, whose reset loses nothing."""
    current = np.clip(activation / neuron.amplitude, 0, 1)
    spikes = np.zeros((len(current), steps, current.shape[1]), bool)
    voltage = np.full(current.shape, 0.5, np.float32)
    for step in range(steps):
        voltage += current
        spikes[:, step] = voltage >= 1
        voltage -= spikes[:, step]
    return spikes


def hard_reset_spikes(drive: FloatArray, bias: FloatArray, neuron: Spiking, dt_s: float) -> Spikes:
    """(samples, steps, neurons) spikes of neurons whose voltage is set to zero by a spike.

    Parameters
    ----------
    drive : (samples, steps, neurons) input that arrives, in units of the activation
    bias : (neurons,) in the same units
    """
    keep_u = exp(-dt_s / neuron.synapse_s) if neuron.synapse_s else 0.0
    keep_v = exp(-dt_s / neuron.tau_rc_s) if neuron.tau_rc_s else 1.0
    pause = round(neuron.refractory_s / dt_s)
    samples, steps, size = drive.shape
    u = np.zeros((samples, size), np.float32)
    v = np.zeros((samples, size), np.float32)
    resting = np.zeros((samples, size), np.int32)
    spikes = np.zeros(drive.shape, bool)
    for step in range(steps):
        u = keep_u * u + (1 - keep_u) * drive[:, step]
        v = keep_v * v + u + bias
        if pause:
            v[resting > 0] = 0
        fired = v > neuron.threshold
        v[fired] = 0
        if pause:
            resting = np.maximum(np.where(fired, pause + 1, resting) - 1, 0)
        spikes[:, step] = fired
    return spikes
