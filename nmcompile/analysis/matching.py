"""Which layer of one network is which of another: by what they read, whatever they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np

from nmcompile.analysis.canonical import STRIDE, Layer, View

Layers = Mapping[str, Layer]
#: Layers of A and of B that are the same; None where there is no counterpart.
Pair = tuple[str | None, str | None]


def match_layers(a: Layers, b: Layers) -> list[Pair]:
    """Pairs of names in the order of the networks; what only one of them has stands alone.

    A layer matches one of the same kind that reads the matching layers; of several, the one whose
    numbers are nearest. What is then left, behind a layer that only one network has, is lined up
    by kind and size.
    """
    found: dict[str, str] = {}
    free = dict(b)
    for name, layer in a.items():
        if not all(source in found for source in layer.sources):
            continue
        wanted = sorted(found[source] for source in layer.sources)
        candidates = [
            each for each, other in free.items()
            if other.kind == layer.kind and sorted(other.sources) == wanted
        ]  # fmt: skip
        if candidates:
            found[name] = min(candidates, key=lambda each: _distance(layer, b[each]))
            del free[found[name]]
    left = [name for name in a if name not in found]
    found |= _lined_up(a, left, b, list(free))
    ends = [
        [name for name in layers if layers[name].kind == "Output" and name not in taken]
        for layers, taken in ((a, found), (b, set(found.values())))
    ]
    found |= dict(zip(*ends, strict=False))
    return _in_order(a, b, found)


def _distance(a: Layer, b: Layer) -> float:
    """How far two layers of a kind are apart, before any that differ in shape or options."""
    if a.options != b.options or a.shape != b.shape:
        return np.inf
    total = 0.0
    for key, value in a.arrays.items():
        other = b.arrays.get(key)
        if other is None or other.shape != value.shape:
            return np.inf
        total += float(np.abs(value - other).sum())
    return total


def _lined_up(a: Layers, left: list[str], b: Layers, free: list[str]) -> dict[str, str]:
    """The longest common run of kinds and sizes."""
    keys = [[(layers[name].kind, layers[name].order.size) for name in names]
            for layers, names in ((a, left), (b, free))]  # fmt: skip
    blocks = SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_matching_blocks()
    return {
        left[block.a + k]: free[block.b + k] for block in blocks for k in range(block.size)
    }  # fmt: skip


def _in_order(a: Layers, b: Layers, found: Mapping[str, str]) -> list[Pair]:
    """All layers in A's order, those that only B has before the next that both have."""
    backwards = {other: name for name, other in found.items()}
    alone: dict[str | None, list[Pair]] = {}
    waiting: list[Pair] = []
    for name in b:
        if name in backwards:
            alone[backwards[name]], waiting = waiting, []
        else:
            waiting.append((None, name))
    pairs = [pair for name in a for pair in (*alone.get(name, ()), (name, found.get(name)))]
    return [*pairs, *waiting]


def common_views(
    a: Layers, b: Layers, pair: tuple[str, str], found: Mapping[str, str]
) -> list[tuple[View, View]] | None:
    """What two matching layers read, in numbers of A; None where B reads what A does not.

    Parameters
    ----------
    found : name in A -> name in B
    """
    number = {name: k for k, name in enumerate(a)}
    places = {other: number[name] for name, other in found.items()}
    names = list(b)
    one, other = a[pair[0]], b[pair[1]]
    if len(one.views) != len(other.views) or {found.get(s) for s in one.sources} != set(
        other.sources
    ):
        return None
    renumbered = [_renumbered(view, names, places) for view in other.views]
    if one.kind == "Add":
        return list(zip(*(sorted(views, key=_first) for views in (one.views, renumbered)),
                        strict=True))  # fmt: skip
    return list(zip(one.views, renumbered, strict=True))


def _first(view: View) -> int:
    return int(view.reshape(-1)[0])


def _renumbered(view: View, names: Sequence[str], places: Mapping[str, int]) -> View:
    table = np.array([places.get(name, -1) for name in names], np.int64)
    moved = table[np.maximum(view, 0) // STRIDE] * STRIDE + view % STRIDE
    return np.where(view >= 0, moved, -1)
