"""PyTorch modules in memory, read through PyTorch's own exporter to ONNX."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from nmcompile.errors import ModelError, UsageError
from nmcompile.frontends import onnx, snntorch
from nmcompile.frontends.reading import short
from nmcompile.frontends.source import Source

#: Where the exporter says which module an operator comes from (torch.onnx, 2.5 and later).
SCOPES = "pkg.torch.onnx.name_scopes"


def is_module(source: object) -> bool:
    """Whether an object is a PyTorch module, judged without importing PyTorch."""
    return any(
        kind.__name__ == "Module" and kind.__module__ == "torch.nn.modules.module"
        for kind in type(source).__mro__
    )


def load_module(module: Any, example: object, max_bytes: int, dt: float | None = None) -> Source:
    """Take a PyTorch module, in inference mode whatever mode it is in.

    Parameters
    ----------
    example : one batch of inputs, samples first; values do not matter
    dt : length of a time step in seconds of spiking neurons; None for their tool's own

    Raises
    ------
    UsageError
        No example.
    ModelError
        Packages lack, or the module cannot be exported.
    """
    name = type(module).__name__
    packages = {type(part).__module__.partition(".")[0] for part in module.modules()}
    if "norse" in packages:
        raise ModelError(
            f"{name}: neurons of Norse keep a state, which PyTorch's exporter loses; write the "
            "network with nir.write('model.nir', norse.torch.to_nir(module, example, dt=1)), and "
            "read that file with --dialect norse"
        )
    if example is None:
        raise UsageError(
            f"{name}: a PyTorch module does not say what shape it takes; give one batch of "
            "inputs, nmcompile.load(module, example) or nmcompile.build(module, example=example)"
        )
    inputs = _tensors(module, example, name)
    if "snntorch" in packages:
        return snntorch.load_network(module, name, inputs[0], max_bytes, dt)
    model = _exported(module, name, inputs)
    for node in model.graph.node:
        node.name = _scope(node) or node.name
    model.graph.name = name
    return onnx.load_model(model, max_bytes)


def _tensors(module: Any, example: object, name: str) -> tuple[Any, ...]:
    """The example as tensors where the module's weights are."""
    import torch

    first = next(iter(module.parameters()), None)
    device = None if first is None else first.device
    given = example if isinstance(example, tuple | list) else (example,)
    try:
        return tuple(torch.as_tensor(each).to(device) for each in given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{name}: the example is no tensor or array ({short(error)}); give one batch of inputs"
        ) from error


def _exported(module: Any, name: str, inputs: tuple[Any, ...]) -> Any:
    """The `onnx.ModelProto` that PyTorch makes of a module."""
    import torch

    try:
        import onnxscript  # noqa: F401  torch.onnx.export needs it and names it too late
    except ImportError as error:
        raise ModelError(
            f"{name}: PyTorch modules are read by way of ONNX, with the packages onnx and "
            "onnxscript, of which one is missing (pip install 'nmcompile[torch]')"
        ) from error
    try:
        with _inference(module), torch.no_grad(), _quiet():
            program = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
            assert program is not None
            return program.model_proto
    except Exception as error:  # the module's own code runs, which may raise anything
        raise ModelError(
            f"{name}: PyTorch cannot export the module to ONNX with an example of shape "
            f"{', '.join(str(tuple(each.shape)) for each in inputs)} ({_cause(error)}); try "
            "torch.onnx.export(module, (example,), dynamo=True) for all it says"
        ) from error


def _cause(error: BaseException) -> str:
    """What went wrong first, in a few words."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text[:200]}"


@contextlib.contextmanager
def _inference(module: Any) -> Iterator[None]:
    """The module and all its parts in inference mode, and afterwards as before."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard output, and no warnings of the exporter about itself."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


def _scope(node: Any) -> str:
    """Path of the module in which an operator is, such as ``"features.0"``."""
    said = next((each.value for each in node.metadata_props if each.key == SCOPES), "")
    try:
        scopes = ast.literal_eval(said) if said else []
    except (ValueError, SyntaxError):
        return ""
    return str(scopes[-2]) if len(scopes) > 1 else ""
