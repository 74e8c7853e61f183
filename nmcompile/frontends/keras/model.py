"""A Keras configuration as a tree of layers, with where each layer's weights lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nmcompile.errors import ModelError

MODEL_KINDS = ("Sequential", "Functional", "Model")
#: Under which Keras registers the layers of `nmcompile.training`.
OWN_PACKAGE = "nmcompile"
#: How deep models may hold models; more is an attack on the stack.
MAX_DEPTH = 50


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of the configuration.

    Attributes
    ----------
    name : path of names from the outermost model, such as ``"encoder/conv1"``
    short : the name within its model
    kind : class name
    custom : why it is not one of Keras' own layers, or ""
    is_op : whether it is one of Keras' operations (``x + y``) and not a layer
    config : the layer's options
    inbound : its calls, as the file lists them
    folder : group that holds its weights in a `.keras` file
    index : position in its model, after the positions of the models around it
    inner : the model, if the layer is a model itself
    in_each_step : whether it is a layer that TimeDistributed holds; that one is left out
    """

    name: str
    short: str
    kind: str
    custom: str
    is_op: bool
    config: Mapping[str, Any]
    inbound: tuple[Any, ...]
    folder: str
    index: tuple[int, ...]
    inner: Model | None
    in_each_step: bool = False


@dataclass(frozen=True, eq=False)
class Model:
    """A Sequential or functional model and the layers in it."""

    name: str
    sequential: bool
    layers: tuple[Layer, ...]
    config: Mapping[str, Any]

    def leaves(self) -> Iterator[Layer]:
        """All layers that are not models, nested ones included, in the order of the file."""
        for layer in self.layers:
            if layer.inner is None:
                yield layer
            else:
                yield from layer.inner.leaves()


def parse_model(config: object, where: str) -> Model:
    """Read the outermost model.

    Raises
    ------
    ModelError
        Not a Sequential or functional model, or malformed.
    """
    entry = mapping(config, where, "the model's configuration")
    kind = text(entry.get("class_name"), where, "the model's class_name")
    if kind not in MODEL_KINDS or _custom(entry):
        raise ModelError(
            f"{where}: the model is of the class {kind}, whose Python code is not in the file; "
            "rebuild it as a Sequential or functional model"
        )
    return _Parser(where).model(entry, "", "", ())


class _Parser:
    """Walks the configuration; remembers where layers that several models share keep weights."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._shared: dict[str, str] = {}

    def model(
        self, entry: Mapping[str, Any], path: str, folder: str, index: tuple[int, ...]
    ) -> Model:
        """Read a model at a path of names, a folder of weights and a path of positions."""
        if len(index) > MAX_DEPTH:
            raise ModelError(
                f"{self._where}: models are nested more than {MAX_DEPTH} deep; flatten the model"
            )
        sequential = entry["class_name"] == "Sequential"
        options = entry.get("config")
        if sequential and isinstance(options, list):  # Keras before 2.2.3
            options = {"layers": options}
        options = mapping(options, self._where, f"the configuration of model {path or 'itself'}")
        listed = options.get("layers", ())
        if not isinstance(listed, list | tuple):
            raise ModelError(
                f"{self._where}: the model's layers are not a list; save the model again"
            )
        layers: dict[str, Layer] = {}
        counts: dict[str, int] = {}
        for item in listed:
            raw = mapping(item, self._where, "a layer's configuration")
            kind = text(raw.get("class_name"), self._where, "a layer's class_name")
            kind = kind.removeprefix(f"{OWN_PACKAGE}>")  # as .h5 files have it
            at, group = (*index, -1), ""
            # Keras counts neither operations nor the input of a Sequential as layers.
            if not _is_op(raw) and not (sequential and kind == "InputLayer" and not layers):
                at = (*index, sum(counts.values()))
                snake = snake_case(kind)
                count = counts[snake] = counts.get(snake, 0) + 1
                group = f"{folder}/layers/{snake}" + (f"_{count - 1}" if count > 1 else "")
            layer = self._layer(raw, kind, path, group, at)
            if layer.short in layers:
                raise ModelError(
                    f"{self._where}: two layers are called {layer.name!r}; rename one of them"
                )
            layers[layer.short] = layer
        title = options.get("name")
        return Model(
            name=title if isinstance(title, str) and title else "network",
            sequential=sequential,
            layers=tuple(layers.values()),
            config={"build_config": entry.get("build_config"), **options},
        )

    def _layer(
        self, raw: Mapping[str, Any], kind: str, path: str, folder: str, index: tuple[int, ...]
    ) -> Layer:
        config = raw.get("config")
        if not isinstance(config, list):
            config = mapping(config, self._where, f"the configuration of a {kind}")
        own = config.get("name") if isinstance(config, Mapping) else None
        short = text(raw.get("name", own) or kind.lower(), self._where, f"the name of a {kind}")
        name = f"{path}/{short}" if path else short
        if folder and (same := raw.get("shared_object_id")) is not None:
            # A layer that several models hold keeps its weights where it was first.
            folder = self._shared.setdefault(str(same), folder)
        custom = _custom(raw)
        is_model = kind in MODEL_KINDS and not custom
        inbound = raw.get("inbound_nodes") or ()
        in_each_step = kind == "TimeDistributed" and not custom
        if in_each_step:
            options = mapping(config, self._where, f"the configuration of {name!r}")
            held = mapping(options.get("layer"), self._where, f"what {name!r} holds")
            kind = text(held.get("class_name"), self._where, f"the class_name in {name!r}")
            config = mapping(held.get("config"), self._where, f"the configuration in {name!r}")
            custom = _custom(held)
            folder = f"{folder}/layer"
        if not isinstance(inbound, list | tuple):
            raise ModelError(f"{self._where}: layer {name!r}: its inbound_nodes are not a list")
        return Layer(
            name=name,
            short=short,
            kind=kind,
            custom=custom,
            is_op=_is_op(raw),
            config=config if isinstance(config, Mapping) else {},
            inbound=tuple(inbound),
            folder=folder,
            index=index,
            inner=self.model(raw, name, folder, index) if is_model else None,
            in_each_step=in_each_step,
        )


def _is_op(entry: Mapping[str, Any]) -> bool:
    module = entry.get("module")
    return isinstance(module, str) and ".ops" in module


def _custom(entry: Mapping[str, Any]) -> str:
    """Why a layer is not Keras' own; a class of the same name elsewhere may do anything."""
    module, registered = entry.get("module"), entry.get("registered_name")
    own = registered == f"{OWN_PACKAGE}>{str(entry.get('class_name')).split('>')[-1]}"
    if own:
        return ""
    if isinstance(registered, str) and ">" in registered:
        return f"it is the custom class {registered}"
    known = {"keras", "tf_keras", "tensorflow"}
    if isinstance(module, str) and module.split(".")[0] not in known:
        return f"it is a custom class from the module {module}"
    return ""


def snake_case(name: str) -> str:
    """Class name as Keras turns it into a folder name: Conv2D -> conv2d, ReLU -> re_lu."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def mapping(value: object, where: str, what: str) -> Mapping[str, Any]:
    """The value, if it is a JSON object."""
    if not isinstance(value, Mapping):
        raise ModelError(f"{where}: {what} is not a JSON object; save the model again")
    return value


def text(value: object, where: str, what: str) -> str:
    """The value, if it is a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ModelError(f"{where}: {what} is missing or not a string; save the model again")
    return value
