"""Where the loops of a graph are cut: which node reads what neurons did in the step before.

Nodes of NIR act at once, so each loop goes through neurons, and tools let the spikes that close it
arrive in the next step. The loop is closed where it comes back to its node nearest to the input.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from nmcompile.frontends.layout import Refused

#: Nodes that fire, and whose spikes may therefore come a step later.
NEURONS = ("IF", "LIF", "CubaLIF", "Threshold")
#: Loops beyond which a graph is an attack.
MAX_LOOPS = 200


@dataclass(frozen=True, eq=False)
class Cut:
    """A graph without loops.

    Attributes
    ----------
    order : of all nodes, each behind those that it reads
    sources : node -> nodes that it reads in the same step
    back : node -> neurons whose spikes of the step before it reads
    like : neurons that are read so -> a node whose result has their shape and comes before all
        that read them, where there is one
    """

    order: list[str]
    sources: dict[str, list[str]]
    back: dict[str, list[str]]
    like: dict[str, str]


class NoNeurons(Refused):
    """A loop without neurons, through `node`."""

    def __init__(self, node: str) -> None:
        self.node = node
        super().__init__(
            "it reads what depends on itself in the same step, with no neurons between",
            "put neurons into the loop",
        )


def cut(sources: Mapping[str, list[str]], kinds: Mapping[str, str]) -> Cut:
    """Cut all loops.

    Parameters
    ----------
    sources : node -> nodes that it reads
    kinds : node -> its type in the file

    Raises
    ------
    NoNeurons
        A loop without neurons.
    Refused
        More loops than `MAX_LOOPS`.
    """
    left = {name: list(found) for name, found in sources.items()}
    far = _distances(left, kinds)
    back: dict[str, list[str]] = {}
    while True:
        try:
            list(TopologicalSorter(left).static_order())
            break
        except CycleError as error:
            fires, reads = _closing(error.args[1][:-1], far, kinds)
        left[reads].remove(fires)
        back.setdefault(reads, []).append(fires)
        if sum(map(len, back.values())) > MAX_LOOPS:
            raise Refused(
                f"the graph has more than {MAX_LOOPS} loops", "use fewer recurrent connections"
            )
    order, like = _with_shapes(left, back)
    return Cut(list(TopologicalSorter(order).static_order()), left, back, like)


def _distances(sources: Mapping[str, list[str]], kinds: Mapping[str, str]) -> dict[str, int]:
    """Nodes between the input and each node that it reaches."""
    readers: dict[str, list[str]] = {}
    for name, found in sources.items():
        for each in found:
            readers.setdefault(each, []).append(name)
    far = {name: 0 for name, found in sources.items() if kinds[name] == "Input" and not found}
    todo = deque(far)
    while todo:
        name = todo.popleft()
        for reader in readers.get(name, ()):
            if reader not in far:
                far[reader] = far[name] + 1
                todo.append(reader)
    return far


def _closing(loop: list[str], far: Mapping[str, int], kinds: Mapping[str, str]) -> tuple[str, str]:
    """The last neurons of a loop, and the node that reads them."""
    first = min(range(len(loop)), key=lambda k: (far.get(loop[k], len(far)), loop[k]))
    around = loop[first:] + loop[: first + 1]
    for k in range(len(loop) - 1, -1, -1):
        if kinds[around[k]] in NEURONS:
            return around[k], around[k + 1]
    raise NoNeurons(loop[0])


def _with_shapes(
    sources: Mapping[str, list[str]], back: Mapping[str, list[str]]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """`sources` with what must be known before neurons that are read back have a shape."""
    order = {name: list(found) for name, found in sources.items()}
    like: dict[str, str] = {}
    for reads, neurons in back.items():
        for fires in neurons:
            chosen = [like[fires]] if fires in like else sources[fires]
            behind = _behind(order, reads)
            known = next((each for each in chosen if each not in behind), None)
            if known is not None:
                like[fires] = known
                order[reads].append(known)
    return order, like


def _behind(sources: Mapping[str, list[str]], start: str) -> set[str]:
    """A node and all that depend on it."""
    readers: dict[str, list[str]] = {}
    for name, found in sources.items():
        for each in found:
            readers.setdefault(each, []).append(name)
    seen, todo = {start}, [start]
    while todo:
        for reader in readers.get(todo.pop(), ()):
            if reader not in seen:
                seen.add(reader)
                todo.append(reader)
    return seen
