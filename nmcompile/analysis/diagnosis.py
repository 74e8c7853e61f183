"""What a diagnosis holds: the stages, the layers, and each anomaly with its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nmcompile.analysis.likeness import Likeness
from nmcompile.analysis.registers import WeightBits


@dataclass(frozen=True)
class StageResult:
    """How good the answers of a stage are.

    Attributes
    ----------
    name, title : of the stage
    accuracy : share of right answers, 0..1; None without labels
    agreement : share of answers that are the float network's; None where there is none
    lost : what the stage before has more, of the accuracy or else of the agreement
    scores : how like the scores are to the float network's
    """

    name: str
    title: str
    accuracy: float | None
    agreement: float | None
    lost: float | None
    scores: Likeness | None


@dataclass(frozen=True)
class Rates:
    """How a layer fires on the chip; shares are 0..1, of neurons and samples.

    Attributes
    ----------
    mean_hz, highest_hz : of the steps from the first input on
    possible_hz : that time step and refractory period allow
    most_spikes : of a neuron in a sample
    silent, idle : share that does not fire in a sample; share of neurons that fire in none
    silent_float : share of activations that are zero in the float network
    saturated : share that fires almost whenever it can
    beyond : share of float activations that are larger than the highest rate stands for
    """

    mean_hz: float
    highest_hz: float
    possible_hz: float
    most_spikes: int
    silent: float
    idle: float
    silent_float: float | None
    saturated: float
    beyond: float | None


@dataclass(frozen=True)
class LayerDiagnosis:
    """A layer on its way to the chip.

    Attributes
    ----------
    layer, shape : name and shape of its neurons
    compared : the float layer whose activations are compared with; None where there is none,
        and the layer of the folded network stands in
    stages : stage -> likeness to the float network; empty without one
    rates : None for a layer that is read by its voltage
    overflows : accumulators or currents that wrapped around
    weights : bits of each connection into it
    threshold : mantissa of the register
    threshold_bits, bias_bits : bits that the mantissas take; None on the host, or where the
        Program holds no discretised layers
    """

    layer: str
    shape: tuple[int, ...]
    compared: str | None
    stages: Mapping[str, Likeness]
    rates: Rates | None
    overflows: int
    weights: tuple[WeightBits, ...]
    threshold: int | None
    threshold_bits: int | None
    bias_bits: int | None


@dataclass(frozen=True)
class Answers:
    """What the chip answers.

    Attributes
    ----------
    common : the most frequent answer
    share : of samples with that answer
    share_expected : of samples for which the float network, or else the label, says the same
    spread : how much scores differ between samples, by what they do in the float network
    moved : share of answers that still changed in the last `late` steps
    late : number of these steps
    """

    common: int
    share: float
    share_expected: float | None
    spread: float | None
    moved: float
    late: int


@dataclass(frozen=True)
class Finding:
    """An anomaly: where, what it is, and what to do about it."""

    kind: str
    where: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}: {self.remedy}"


@dataclass(frozen=True)
class Diagnosis:
    """The path of a network from float to chip; `as_json` has all of it.

    Attributes
    ----------
    samples, available : that were run, and that the data file has
    steps : per sample
    depth : steps that the first input takes to the read-out
    dt_s : length of a step in seconds
    labels : whether accuracies are known
    stages, layers, answers : what was measured
    findings : the gravest first
    target, backend : where it ran
    """

    samples: int
    available: int
    steps: int
    depth: int
    dt_s: float
    labels: bool
    stages: tuple[StageResult, ...]
    layers: tuple[LayerDiagnosis, ...]
    answers: Answers
    findings: tuple[Finding, ...]
    target: str
    backend: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, each finding with its sentence."""
        return {
            **asdict(self),
            "findings": [{**asdict(each), "sentence": str(each)} for each in self.findings],
        }

    def stage(self, name: str) -> StageResult | None:
        """A stage by its name, where the Program allows it."""
        return next((stage for stage in self.stages if stage.name == name), None)
