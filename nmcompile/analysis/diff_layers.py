"""Compares matched layers of two networks: kind, options, what they read, and their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nmcompile.analysis.canonical import Layer
from nmcompile.analysis.diff_result import LayerDiff, difference
from nmcompile.analysis.matching import Pair, common_views
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.text import shape_text


class LayerComparer:
    """Compares matched layers of A and of B."""

    def __init__(
        self,
        a: Mapping[str, Layer],
        b: Mapping[str, Layer],
        pairs: Sequence[Pair],
        tolerance: float,
    ) -> None:
        self.a, self.b, self.pairs, self.tolerance = a, b, pairs, tolerance
        self.found = {x: y for x, y in pairs if x is not None and y is not None}

    def layers(self) -> list[LayerDiff]:
        """What differs in each pair, but for what they compute."""
        return [self._one(pair) for pair in self.pairs]

    def _one(self, pair: Pair) -> LayerDiff:
        name, other = pair
        if name is None or other is None:
            layer = self.b[other] if name is None else self.a[name]  # type: ignore[index]
            lacking = "A" if name is None else "B"
            kind = type(layer.node).__name__
            return LayerDiff(
                None if name is None else layer.name, None if other is None else layer.name,
                kind, layer.shape, faults=(f"{kind} of shape {shape_text(layer.shape)}, which "
                f"{lacking} lacks",),
            )  # fmt: skip
        one, two = self.a[name], self.b[other]
        numbers, faults = [], list(self._options(one, two))
        arrays, read = self._aligned(name, other)
        if read:
            faults.append(read)
        for key in one.arrays:
            if key not in two.arrays:
                continue
            first, second = arrays[0][key], arrays[1][key]
            if first.shape != second.shape:
                faults.append(
                    f"{key} of shape {shape_text(first.shape)} against {shape_text(second.shape)}"
                )
                continue
            found = difference(key, first, second, _words(key, first.ndim))
            numbers.append(found)
            if found.relative > self.tolerance:
                verb = "differ" if key == "weights" else "differs"
                faults.append(f"{key} {verb} {found.sentence}")
        if faults:
            close = [each.what for each in numbers if each.relative <= self.tolerance]
            faults = [*(f"{what} equal" for what in close), *faults]
        return LayerDiff(
            one.name, two.name, type(one.node).__name__, one.shape, tuple(numbers), None,
            tuple(faults),
        )  # fmt: skip

    def _options(self, one: Layer, two: Layer) -> list[str]:
        kinds = type(one.node).__name__, type(two.node).__name__
        if one.kind == "neurons" and kinds[0] != kinds[1]:
            return [f"{kinds[0]} against {kinds[1]}"]
        faults = []
        back = getattr(one.node, "source", None), getattr(two.node, "source", None)
        if back[0] is not None and self.found.get(back[0]) != back[1]:
            faults.append(f"it comes back from {back[0]}, against {back[1]}")
        for key, value in one.options.items():
            other = two.options.get(key)
            numbers = all(isinstance(each, (int, float)) for each in (value, other))
            if numbers and np.isclose(value, other, rtol=self.tolerance, atol=0):  # type: ignore[arg-type]
                continue
            if value != other and key in two.options:
                faults.append(f"{key} {_text(value)} against {_text(other)}")
        return faults

    def _aligned(
        self, name: str, other: str
    ) -> tuple[tuple[dict[str, FloatArray], dict[str, FloatArray]], str]:
        """Arrays of both with the inputs in one order, and what is wrong with what they read."""
        one, two = dict(self.a[name].arrays), dict(self.b[other].arrays)
        views = common_views(self.a, self.b, (name, other), self.found)
        sources = self.a[name].sources, self.b[other].sources
        if views is None:
            words = (" and ".join(each) or "nothing" for each in sources)
            return (one, two), "it reads {}, against {}".format(*words)
        if any(self.a[x].order.size != self.b[self.found[x]].order.size for x in sources[0]):
            return (one, two), ""  # That the layer before has another size is said there.
        fault = "it reads the same layers, but other values or in another order"
        if self.a[name].kind == "weights" and one["weights"].ndim == two["weights"].ndim == 2:
            (left, right) = views[0]
            rows = np.argsort(left, kind="stable"), np.argsort(right, kind="stable")
            one["weights"], two["weights"] = one["weights"][rows[0]], two["weights"][rows[1]]
            same = np.array_equal(left[rows[0]], right[rows[1]])
        else:
            same = all(np.array_equal(left, right) for left, right in views)
        return (one, two), "" if same else fault


def _words(key: str, rank: int) -> tuple[str, ...]:
    """What the axes of an array are called."""
    if key == "weights" and rank == 4:
        return ("row", "column", "channel in", "channel out")
    if key == "weights" and rank == 2:
        return ("input", "output")
    return ("channel",) if rank == 1 else tuple(f"axis {k}:" for k in range(rank))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
