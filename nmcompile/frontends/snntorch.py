"""snnTorch networks in memory, read through snnTorch's own exporter to NIR."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nmcompile.errors import ModelError, Obstacle, UnsupportedError
from nmcompile.frontends import nir
from nmcompile.frontends.nir.export_nodes import LATE
from nmcompile.frontends.reading import short
from nmcompile.frontends.source import Source

#: Neurons that stay at zero in the step after a spike if their reset is late; `RSynaptic` of
#: snnTorch 1.0 always does, and `Leaky` never.
PAUSING = ("Synaptic", "RLeaky", "RSynaptic")
_RESET = ("its voltage after a spike is not zero", "train it with reset_mechanism='zero'")
_MIXED = (
    "it resets a step late, and other neurons of the network do not",
    "train all with the same reset_delay; RSynaptic knows True only",
)


def load_network(module: Any, name: str, example: Any, max_bytes: int, dt: float | None) -> Source:
    """Take a network of snnTorch's neurons.

    Parameters
    ----------
    example : one batch of the inputs of one step, as a tensor
    dt : length of a time step in seconds; None for snnTorch's 0.1 ms

    Raises
    ------
    UnsupportedError
        Neurons that reset otherwise than the chip's, or that it lacks.
    ModelError
        The package `nir` lacks, or the network cannot be exported.
    """
    neurons = {
        path: part for path, part in module.named_modules() if hasattr(part, "reset_mechanism")
    }
    obstacles = [
        Obstacle(path, type(part).__name__, *_RESET)
        for path, part in neurons.items() if part.reset_mechanism != "zero"
    ]  # fmt: skip
    late = {
        path: part.reset_delay or type(part).__name__ == "RSynaptic"
        for path, part in neurons.items() if type(part).__name__ in PAUSING
    }  # fmt: skip
    if any(late.values()) and not all(late.values()):
        obstacles += [
            Obstacle(path, type(neurons[path]).__name__, *_MIXED)
            for path, delayed in late.items() if delayed
        ]  # fmt: skip
    dialect = LATE if late and all(late.values()) else "snntorch"
    if obstacles:
        raise UnsupportedError(name, obstacles)
    data = _written(module, name, example)
    with warnings.catch_warnings():
        # A file leaves open how neurons reset; these were asked.
        warnings.filterwarnings("ignore", message=".*a spike sets voltages to zero at once")
        step = 1e-4 if dt is None else dt
        found = nir.load_bytes(data, name, name, max_bytes, dialect, step)
    return replace(found, path=name)


def _written(module: Any, name: str, example: Any) -> bytes:
    """The NIR file that snnTorch makes of a network."""
    try:
        import nir as package
        from snntorch.export_nir import export_to_nir
    except ImportError as error:
        raise ModelError(
            f"{name}: networks of snnTorch are read by way of NIR, with the packages nir and "
            "nirtorch, of which one is missing (pip install nir nirtorch)"
        ) from error
    buffer = io.BytesIO()
    try:
        with _untouched(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = export_to_nir(module, example, ignore_dims=[0])
            for node in graph.nodes.values():
                for key, value in vars(node).items():
                    if hasattr(value, "detach"):  # `nir.write` takes arrays only
                        setattr(node, key, value.detach().cpu().numpy())
            package.write(buffer, graph)
    except Exception as error:  # the module's own code runs, which may raise anything
        raise ModelError(
            f"{name}: snnTorch cannot export the network to NIR ({short(error)}); use "
            "torch.nn.Sequential and neurons with init_hidden=True and a threshold and decay each"
        ) from error
    return buffer.getvalue()


@contextlib.contextmanager
def _untouched(module: Any) -> Iterator[None]:
    """The module with its voltages as they were, though the exporter runs it."""
    import torch

    kept = [(part, dict(vars(part)), dict(part._buffers)) for part in module.modules()]
    try:
        with torch.no_grad():
            yield
    finally:
        for part, attributes, buffers in kept:
            vars(part).clear()
            vars(part).update(attributes)
            part._buffers.clear()
            part._buffers.update(buffers)
