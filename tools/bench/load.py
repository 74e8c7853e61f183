"""Measure how long large model files take to load, and write `build/bench/load.json`.

Each file holds 10 million weights in dense layers, and is read in a fresh process; its memory is
the peak of that process, less what one has that has only imported the reader.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tools.bench.record import Figure, at_most, progress, write

LAYERS, WIDTH = 10, 1000
#: Loads of each file, of which the fastest counts.
ROUNDS = 3
READER = """
import json, re, sys, time, warnings
import numpy, h5py
import nmcompile.frontends.nir, nmcompile.frontends.onnx, nmcompile.frontends.lava
from nmcompile.frontends import load
warnings.simplefilter("ignore")
status = lambda: open("/proc/self/status").read()
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status())[1])
before, begin = peak(), time.perf_counter()
network = load(sys.argv[1]).network
seconds = time.perf_counter() - begin
weights = sum(node.weights.size for node in network if hasattr(node, "weights"))
print(json.dumps([seconds, peak() - before, weights]))
"""


def main() -> None:
    write("load", figures())


def figures() -> Iterator[Figure]:
    """Seconds and memory of each format whose package is there."""
    makers: dict[str, Callable[[Path], None]] = {"NIR": write_nir, "ONNX": write_onnx}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in makers.items():
            path = Path(folder) / "large"
            try:
                make(path)
            except ImportError as error:
                progress(f"{name} is left out: {error}.")
                continue
            size = path.stat().st_size
            found = [loaded(path) for _ in range(ROUNDS)]
            assert found[0][2] >= LAYERS * WIDTH**2
            label = f"{name} file of 10 million weights"
            yield at_most(f"{label}: loads in", min(each[0] for each in found), "s", 2)
            memory = min(each[1] for each in found) / size
            yield at_most(f"{label}: memory", memory, "times the file", 3)


def loaded(path: Path) -> tuple[float, int, int]:
    """Seconds, bytes and weights of one load in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=True
    )
    seconds, memory, weights = json.loads(done.stdout)
    return seconds, memory, weights


def matrices() -> Iterator[tuple[int, Any]]:
    """Number and (inputs, outputs) float32 weights of each layer."""
    rng = np.random.default_rng(0)
    for k in range(LAYERS):
        yield k, rng.normal(0, 0.03, (WIDTH, WIDTH)).astype(np.float32)


def write_nir(path: Path) -> None:
    """Dense layers and LIF neurons, as `nir.write` writes them."""
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=text)
        meta = graph.create_group("metadata")
        meta.create_dataset("dialect", data="nir", dtype=text)
        meta.create_dataset("dt", data=0.001)
        members = graph.create_group("nodes")
        names = ["input"]
        for name, kind in (("input", "Input"), ("output", "Output")):
            end = members.create_group(name)
            end.create_dataset("type", data=kind, dtype=text)
            end.create_dataset("shape", data=np.array([WIDTH]))
        for k, weights in matrices():
            layer = members.create_group(f"dense{k}")
            layer.create_dataset("type", data="Linear", dtype=text)
            layer.create_dataset("weight", data=weights)
            neurons = members.create_group(f"lif{k}")
            neurons.create_dataset("type", data="LIF", dtype=text)
            for key, value in (("tau", 0.02), ("r", 1), ("v_leak", 0), ("v_threshold", 1)):
                neurons.create_dataset(key, data=np.full(WIDTH, value, np.float32))
            names += [f"dense{k}", f"lif{k}"]
        pairs = list(zip(names, [*names[1:], "output"], strict=True))
        graph.create_dataset("edges", data=np.array(pairs, dtype=text), dtype=text)


def write_onnx(path: Path) -> None:
    """Products with matrices, and ReLUs."""
    from onnx import TensorProto, helper, numpy_helper, save

    made, held, last = [], [], "x"
    for k, weights in matrices():
        held.append(numpy_helper.from_array(weights, f"w{k}"))
        made.append(helper.make_node("MatMul", [last, f"w{k}"], [f"p{k}"]))
        made.append(helper.make_node("Relu", [f"p{k}"], [f"y{k}"]))
        last = f"y{k}"
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", last)
    ]
    graph = helper.make_graph(made, "large", ports[:1], ports[1:], held)
    opset = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))


if __name__ == "__main__":
    main()
