#!/usr/bin/env python3
"""Runs an exported network in Lava: on its fixed-point CPU models, or on Loihi 2.

This file needs Python 3.10, NumPy and lava-nc, and nothing of nmcompile; lava-loihi as well for
``--hardware``. Beside it lie ``network.json`` and ``network.npz``, and ``input.npz`` with the
spikes of the encoder, made by ``python -m nmcompile lava-export``. The result goes back to
``python -m nmcompile compare``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

#: Quantities that are recorded in every step, and a voltage that is read after the last.
STATES, LAST_V = ("u", "v"), "last v"


class RunnerError(Exception):
    """Something that a user can mend; its text is one sentence."""


def lif_process(
    shape: tuple[int, ...], du: int, dv: int, vth: int, bias_mant: Any, bias_exp: Any, v: Any = 0
) -> Any:
    """A LIF process; biases and first voltages in row-major order of its shape."""
    from lava.proc.lif.process import LIF

    return LIF(
        shape=shape,
        du=du,
        dv=dv,
        vth=vth,
        bias_mant=np.asarray(bias_mant, np.int64).reshape(shape),
        bias_exp=np.asarray(bias_exp, np.int64).reshape(shape),
        v=np.asarray(v, np.int64).reshape(shape) if np.any(v) else 0,
    )


def matrix_process(
    weights: Any, delays: Any, exponent: int, bits: int, sign_mode: int, sparse: bool = False
) -> Any:
    """A Dense or Sparse process, or one with delays.

    Parameters
    ----------
    weights : (targets, sources) mantissas
    delays : the same shape, or one number for all synapses
    """
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.sparse.process import DelaySparse, Sparse
    from lava.utils.weightutils import SignMode
    from scipy.sparse import csr_matrix

    form = {"weight_exp": exponent, "num_weight_bits": bits, "sign_mode": SignMode(sign_mode)}
    longest = int(np.max(delays, initial=0))
    if sparse:
        weights = csr_matrix(weights, dtype=int)
        if not longest:
            return Sparse(weights=weights, **form)
        if np.ndim(delays) == 0:
            delays = csr_matrix((np.full(weights.nnz, delays), weights.nonzero()), weights.shape)
        return DelaySparse(weights=weights, delays=delays, max_delay=longest, **form)
    weights = np.asarray(weights, np.int64)
    if not longest:
        return Dense(weights=weights, **form)
    delays = np.broadcast_to(np.asarray(delays, np.int64), weights.shape).copy()
    return DelayDense(weights=weights, delays=delays, max_delay=longest, **form)


def conv_process(
    weights: Any,
    exponent: int,
    bits: int,
    input_shape: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
    hardware: bool = False,
) -> Any:
    """A Conv process; Lava's CPU model takes weights as they are, without their exponent.

    Parameters
    ----------
    weights : (channels out, rows, columns, channels in / groups) mantissas, flipped in space
    """
    from lava.proc.conv.process import Conv

    weights = np.asarray(weights, np.int64)
    if not hardware:
        weights = weights << exponent if exponent >= 0 else weights >> -exponent
    return Conv(
        weight=weights,
        weight_exp=exponent if hardware else 0,
        num_weight_bits=bits,
        input_shape=tuple(input_shape),
        stride=tuple(stride),
        padding=tuple(padding),
        dilation=tuple(dilation),
        groups=groups,
    )


class Network:
    """An exported network and its arrays."""

    def __init__(self, folder: Path) -> None:
        try:
            self.structure: dict[str, Any] = json.loads((folder / "network.json").read_text())
            found = hashlib.sha256((folder / "network.npz").read_bytes()).hexdigest()
            if found != self.structure["sha256"]:
                raise RunnerError(
                    f"{folder / 'network.npz'} is damaged, or of another export: its checksum is "
                    "not the one that network.json names; copy the folder again"
                )
            with np.load(folder / "network.npz", allow_pickle=False) as held:
                self.arrays = dict(held)
        except (OSError, ValueError, KeyError) as error:
            raise RunnerError(f"{folder}: holds no whole network ({error!r})") from None
        self.layers: list[dict[str, Any]] = self.structure["layers"]
        self.links: list[dict[str, Any]] = self.structure["links"]
        self.source: dict[str, Any] = self.structure["source"]

    def link(self, number: int, hardware: bool) -> Any:
        """The connection process of a link."""
        link = self.links[number]
        part = {
            key: self.arrays[f"link/{number}/{key}"]
            for key in ("weights", "row", "column")
            if f"link/{number}/{key}" in self.arrays
        }
        if link["kind"] == "conv":
            keys = ("exponent", "bits", "input_shape", "stride", "padding", "dilation", "groups")
            options = {key: link[key] for key in keys}
            return conv_process(part["weights"], **options, hardware=hardware)
        weights = part["weights"]
        if link["kind"] == "sparse":
            from scipy.sparse import coo_matrix

            weights = coo_matrix((weights, (part["row"], part["column"])), link["shape"])
        form = (link["delay"], link["exponent"], link["bits"], link["sign_mode"])
        return matrix_process(weights, *form, sparse=link["kind"] == "sparse")


class Run:
    """Lava's processes for one sample, from a fresh state.

    Parameters
    ----------
    spikes : (steps, neurons) of the encoder
    wanted : (layer, quantity) that are recorded
    """

    def __init__(
        self, network: Network, spikes: Any, wanted: list[tuple[str, str]], hardware: bool
    ) -> None:
        from lava.proc.io.sink import RingBuffer as Sink
        from lava.proc.io.source import RingBuffer as Source
        from lava.proc.monitor.process import Monitor

        self.steps = len(spikes)
        self.hardware = hardware
        self.neurons = {
            each["name"]: lif_process(
                tuple(each["shape"]), each["du"], each["dv"], each["vth"],
                *(network.arrays[f"layer/{each['name']}/{key}"]
                  for key in ("bias_mant", "bias_exp", "v")),
            )
            for each in network.layers
        }  # fmt: skip
        first = network.source["name"]
        ports = {name: each.s_out for name, each in self.neurons.items()}
        ports[first] = Source(data=np.ascontiguousarray(spikes.T, np.int64)).s_out
        for number, link in enumerate(network.links):
            process = network.link(number, hardware)
            port = _shaped(ports[link["source"]], process.s_in.shape)
            if hardware and link["source"] == first:
                port = _onto_chip(port, link["kind"] == "conv")
            port.connect(process.s_in)
            target = self.neurons[link["target"]].a_in
            _shaped(process.a_out, target.shape).connect(target)
        self.recorders: dict[tuple[str, str], Any] = {}
        for layer, quantity in wanted:
            neurons = self.neurons[layer]
            if quantity == "spikes":
                recorder = Sink(shape=neurons.s_out.shape, buffer=self.steps)
                port = _off_chip(neurons.s_out) if hardware else neurons.s_out
                port.connect(recorder.a_in)
            elif quantity == LAST_V:
                recorder = neurons.v
            else:
                recorder = Monitor()
                recorder.probe(getattr(neurons, quantity), self.steps)
            self.recorders[layer, quantity] = recorder

    def go(self) -> dict[tuple[str, str], Any]:
        """Run all steps; what was recorded, (steps, neurons) each, a last voltage (neurons,)."""
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg

        config = Loihi2HwCfg() if self.hardware else Loihi2SimCfg(select_tag="fixed_pt")
        everything = list(self.neurons.values())
        try:
            for lif in everything:
                # Layers that nothing connects are networks of their own.
                if not lif.is_compiled:
                    lif.run(condition=RunSteps(num_steps=self.steps), run_cfg=config)
            return {key: self._read(key[1], each) for key, each in self.recorders.items()}
        finally:
            for lif in everything:
                lif.stop()

    def _read(self, quantity: str, recorder: Any) -> Any:
        if quantity == "spikes":
            return np.asarray(recorder.data.get()).reshape(-1, self.steps).T.astype(bool)
        if quantity == LAST_V:
            return np.asarray(recorder.get()).reshape(-1).astype(np.int32)
        (process,) = recorder.get_data().values()
        (values,) = process.values()
        return np.asarray(values).reshape(self.steps, -1).astype(np.int32)


def _shaped(port: Any, shape: tuple[int, ...]) -> Any:
    """A port in another shape, in row-major order; itself where it has it already."""
    return port if port.shape == shape else port.reshape(shape)


def _onto_chip(port: Any, convolution: bool) -> Any:
    """Spikes of the host as a chip's connections take them; lava-loihi has the adapters."""
    from lava.proc.embedded_io import spike

    kind = spike.PyToN3ConvAdapter if convolution else spike.PyToNxAdapter
    adapter = kind(shape=port.shape)
    port.connect(adapter.inp)
    return adapter.out


def _off_chip(port: Any) -> Any:
    """Spikes of a layer on the chip, on the host."""
    from lava.proc.embedded_io.spike import NxToPyAdapter

    adapter = NxToPyAdapter(shape=port.shape)
    port.connect(adapter.inp)
    return adapter.out


def scores(network: Network, counted: Any) -> Any:
    """(samples, outputs) from weighted counts of spikes, or voltages, of the layers that are read.

    Whole numbers of a unit are added, so that the sum is the same on every machine.
    """
    values = np.concatenate(counted, axis=1).astype(np.float64)
    matrix, bias = network.arrays["read/matrix"], network.arrays["read/bias"]
    return (values @ matrix) * network.structure["read"]["unit"] + bias


def run_all(
    network: Network,
    spikes: Any,
    probes: list[tuple[str, str]],
    hardware: bool,
    show: bool = True,
) -> dict[str, Any]:
    """Arrays of a result file.

    Parameters
    ----------
    spikes : (samples, steps, neurons) of the encoder
    probes : (layer, quantity) to keep step by step
    """
    read = network.structure["read"]
    layers = [each["name"] for each in network.layers]
    source = network.source["name"]
    counts = read["kind"] == "counts"
    wanted = [(name, "spikes") for name in (read["layers"] if hardware else layers)]
    wanted += [(name, LAST_V) for name in read["layers"] if not counts]
    wanted = list(dict.fromkeys([*wanted, *(each for each in probes if each[0] != source)]))
    if hardware and any(quantity in STATES for _, quantity in probes):
        raise RunnerError(
            "currents and voltages of every step can be read from Lava's CPU models alone: leave "
            "--probe LAYER:u and LAYER:v out with --hardware"
        )
    kept: dict[tuple[str, str], list[Any]] = {each: [] for each in probes}
    total: dict[str, list[int]] = {source: [], **{n: [] for n, q in wanted if q == "spikes"}}
    read_values: dict[str, list[Any]] = {name: [] for name in read["layers"]}
    weights = network.arrays["read/step_weights"]
    events = []
    for sample, each in enumerate(spikes):
        found = Run(network, each, wanted, hardware).go()
        found[source, "spikes"] = each.astype(bool)
        for name in total:
            total[name].append(int(found[name, "spikes"].sum()))
        events.append(
            sum(int(found[n, "spikes"].sum(axis=0) @ network.arrays[f"fan_out/{n}"]) for n in total)
        )
        for key in kept:
            kept[key].append(found[key])
        for name in read["layers"]:
            value = weights @ found[name, "spikes"] if counts else found[name, LAST_V]
            read_values[name].append(value)
        if show:
            print(f"sample {sample + 1} of {len(spikes)}", file=sys.stderr)
    result = scores(network, [np.array(read_values[name]) for name in read["layers"]])
    arrays: dict[str, Any] = {
        "scores": result,
        "answers": result.argmax(axis=1),
        **{f"spikes/{name}": np.array(each, np.int64) for name, each in total.items()},
        **{f"probe/{name}:{quantity}": np.array(each) for (name, quantity), each in kept.items()},
        **{key: each for key, each in network.arrays.items() if key.startswith("place/")},
    }
    if set(total) == {source, *layers}:
        arrays["synaptic_events"] = np.array(events, np.int64)
    return arrays


def load_spikes(path: Path, network: Network) -> tuple[Any, dict[str, Any]]:
    """(samples, steps, neurons) spikes of the encoder, and what is known of them."""
    try:
        with np.load(path, allow_pickle=False) as held:
            neurons = network.source["neurons"]
            spikes = np.unpackbits(held["spikes"], axis=2, count=neurons)
            meta = json.loads(str(held["meta"]))
    except Exception as error:
        raise RunnerError(f"{path}: holds no spikes of this network's encoder ({error})") from None
    return spikes, meta


def parse_probe(text: str, network: Network) -> tuple[str, str]:
    """A layer and a quantity from ``LAYER:QUANTITY``."""
    layer, _, quantity = text.rpartition(":")
    source = network.source["name"]
    names = [source, *(each["name"] for each in network.layers)]
    known = ("spikes",) if layer == source else ("spikes", *STATES)
    if layer not in names or quantity not in known:
        raise RunnerError(
            f"--probe {text}: the form is LAYER:spikes, LAYER:u or LAYER:v; layers are "
            f"{', '.join(names)}, the first with spikes alone"
        )
    return layer, quantity


def main(words: list[str] | None = None) -> int:
    """Run the command line; its exit status."""
    folder = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", type=Path, default=folder, help="folder of the network")
    parser.add_argument("--input", type=Path, help="spikes of the encoder [default: input.npz]")
    parser.add_argument("--limit", type=int, help="run the first so many samples")
    parser.add_argument("--probe", action="append", default=[], help="LAYER:spikes, :u or :v")
    parser.add_argument("--hardware", action="store_true", help="run on Loihi 2, not on the CPU")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    parser.add_argument("-o", "--output", type=Path, default=Path("result.npz"))
    given = parser.parse_args(words)
    logging.getLogger().setLevel(logging.ERROR)
    try:
        try:
            import lava.proc.lif.process  # noqa: F401
        except ImportError as error:
            raise RunnerError(
                f"this Python has no Lava ({error}); with Python 3.10: pip install lava-nc"
            ) from None
        network = Network(given.network)
        spikes, meta = load_spikes(given.input or given.network / "input.npz", network)
        spikes = spikes[: given.limit]
        probes = [parse_probe(text, network) for text in given.probe]
        begin = time.perf_counter()
        arrays = run_all(network, spikes, probes, given.hardware, not given.quiet)
    except RunnerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    meta.update(
        samples=len(spikes),
        steps=int(spikes.shape[1]),
        backend="lava, Loihi 2" if given.hardware else "lava, CPU",
        seconds=time.perf_counter() - begin,
    )
    np.savez_compressed(given.output, meta=np.array(json.dumps(meta)), **arrays)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
