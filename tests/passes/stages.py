"""Values at every stage of the compiler, for tests of single passes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.hardware import HardwareModel, load_hardware
from nmcompile.ir import Network
from nmcompile.ir.layers import LayerGraph
from nmcompile.passes.add_encoder import AddEncoder
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.calibrate import Calibrate
from nmcompile.passes.connect import Connect
from nmcompile.passes.discretise import Discretise
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.merge_pooling import MergePooling
from nmcompile.passes.options import BuildOptions, checked_options
from nmcompile.passes.scale_rates import ScaleRates
from nmcompile.passes.spike import Spike
from nmcompile.passes.split import Split

LOIHI1 = load_hardware("loihi1")


def small_core(**limits: int) -> HardwareModel:
    """Loihi 1 with other limits of a core, so that small networks need many."""
    core = LOIHI1.core
    changed = {
        name: getattr(core, name).model_copy(update={"value": value})
        for name, value in limits.items()
    }
    return LOIHI1.model_copy(update={"core": core.model_copy(update=changed)})


@dataclass(frozen=True, eq=False)
class Stages:
    """A network on its way through the float passes and the discretisation."""

    network: Network
    x: np.ndarray
    options: BuildOptions

    @classmethod
    def of(cls, network: Network, **options: Any) -> Stages:
        rng = np.random.default_rng(0)
        x = rng.random((24, *network.inputs[0].size), dtype=np.float32)
        return cls(network, x, checked_options(**options))

    @property
    def folded(self) -> Network:
        return FoldAffine().run(self.network)

    @property
    def encoded(self) -> Network:
        return AddEncoder(self.options.encoder, self.options.host_layers, self.x).run(self.folded)

    @property
    def merged(self) -> Network:
        return MergePooling().run(self.encoded)

    @property
    def split(self) -> Network:
        return Split(self.options.host_layers or 1, self.options.readout).run(self.merged)

    @property
    def spiking(self) -> Network:
        return Spike(self.options).run(self.split)

    @property
    def scaled(self) -> Network:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NmcompileWarning)
            return ScaleRates(self.options, self.x).run(self.spiking)

    @property
    def layers(self) -> LayerGraph:
        return Connect().run(self.scaled)

    @property
    def discretise(self) -> Discretise:
        bounds = (float(self.x.min()), float(self.x.max()))
        return Discretise(LOIHI1, self.options.weight_bits, self.options.steps, bounds)

    @property
    def calibrated(self) -> LayerGraph:
        return Calibrate(self.x, self.options, self.discretise).run(self.layers)

    @property
    def discrete(self) -> DiscreteGraph:
        step = Discretise(LOIHI1, self.options.weight_bits, self.options.steps, (0.0, 1.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NmcompileWarning)
            return step.run(self.layers)
