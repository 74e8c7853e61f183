"""What a comparison of two runs finds: where they differ first, and how that spreads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

#: Names of a layer's axes, by how many it has.
_AXES = {3: ("row", "column", "channel"), 2: ("position", "channel")}


@dataclass(frozen=True)
class Moment:
    """One value that differs.

    Attributes
    ----------
    sample, step : when, both from 0
    layer, neuron : whose, in row-major order of the layer
    quantity : "spikes", "u" or "v"
    a, b : the value in both
    shape : of the layer, where known
    place : chip, position of the core on it, number of the core, compartment; where known
    """

    sample: int
    step: int
    layer: str
    neuron: int
    quantity: str
    a: int
    b: int
    shape: tuple[int, ...] | None = None
    place: tuple[int, ...] | None = None

    @property
    def sentence(self) -> str:
        """``sample 0, step 3: v of conv1, neuron 7, on chip 0, core 2, compartment 7: ...``."""
        where = f"{self.quantity} of {self.layer}, neuron {self.neuron}"
        axes = _AXES.get(len(self.shape or ()))
        if axes is not None and self.shape is not None:
            rest, index = self.neuron, []
            for size in reversed(self.shape):
                rest, k = divmod(rest, size)
                index.append(k)
            words = (f"{axis} {k}" for axis, k in zip(axes, reversed(index), strict=True))
            where += f" ({', '.join(words)})"
        if self.place is not None:
            chip, position, _, compartment = self.place
            where += f", on chip {chip}, core {position}, compartment {compartment}"
        return f"sample {self.sample}, step {self.step}: {where}: {self.a} in A, {self.b} in B"


@dataclass(frozen=True)
class ProbeComparison:
    """A quantity of a layer, step by step.

    Attributes
    ----------
    layer, quantity : what was recorded
    values, different : how many were compared, and differ
    samples, neurons : how many of them differ anywhere
    first_step : at which any sample differs; None where none does
    largest : absolute difference
    per_step : differing values in each step, all samples together
    """

    layer: str
    quantity: str
    values: int
    different: int = 0
    samples: int = 0
    neurons: int = 0
    first_step: int | None = None
    largest: int = 0
    per_step: tuple[int, ...] = ()


@dataclass(frozen=True)
class TotalComparison:
    """One number for each sample, such as its answer.

    Attributes
    ----------
    name : such as ``"spikes of conv1"``, ``"scores"`` or ``"answers"``
    samples, different : how many were compared, and differ
    first : sample that differs first; None where none does
    a, b : the numbers there, of scores the one that differs most
    """

    name: str
    samples: int
    different: int = 0
    first: int | None = None
    a: float = 0.0
    b: float = 0.0


@dataclass(frozen=True)
class RunComparison:
    """Two runs.

    Attributes
    ----------
    a, b : their files
    samples, steps : compared
    probes : of both, in the order of A
    totals : spikes of layers, synaptic events, scores and answers
    first : the earliest value that differs, where probes show one
    faults : what keeps the two from being runs of one network, such as layers of different sizes
    notes : what was left out, and what was run otherwise
    """

    a: str
    b: str
    samples: int
    steps: int
    probes: tuple[ProbeComparison, ...]
    totals: tuple[TotalComparison, ...]
    first: Moment | None = None
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing that was compared differs."""
        return not (
            self.faults
            or any(each.different for each in self.probes)
            or any(each.different for each in self.totals)
        )

    @property
    def sentence(self) -> str:
        """Whether they are equal, or where they differ first."""
        if self.equal:
            return f"equal in {self.samples} samples of {self.steps} steps: {self.a}, {self.b}"
        if self.first is not None:
            return f"first differs in {self.first.sentence}"
        if self.faults:
            return f"differs: {'; '.join(self.faults)}"
        total = next(each for each in self.totals if each.different)
        return (
            f"{total.name} differ first in sample {total.first}: {total.a:.10g} in A, "
            f"{total.b:.10g} in B; run both with --probe to see the step"
        )

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {"equal": self.equal, "sentence": self.sentence, **asdict(self)}
