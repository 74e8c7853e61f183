"""Emit: put cores, encoder and read-out together as a Program."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nmcompile.chip.discrete_tensors import KEY, discrete_tensors
from nmcompile.chip.program import Program, ReadOut
from nmcompile.chip.verify import verify_program
from nmcompile.errors import CompileError
from nmcompile.hardware import HardwareModel
from nmcompile.ir.nodes import Leaky
from nmcompile.passes.base import NmcompileWarning, Pass
from nmcompile.passes.options import BuildOptions
from nmcompile.passes.place import Placement

#: A read-out that counts fewer steps, or whose filter is so many times longer than a sample, is
#: hardly meant.
FEW_STEPS, SLOW_FILTER = 3, 10


@dataclass(frozen=True)
class Emit(Pass[Placement, Program]):
    """Reads the placed cores, the encoder and the read-out; makes the Program.

    Attributes
    ----------
    options : of the build: steps per sample, and how the read-out counts
    leaky : the voltages that the network itself reads, or None
    manifest, attachments : travel along in the Program
    """

    name: ClassVar[str] = "emit"
    purpose: ClassVar[str] = "put cores, encoder and read-out together"

    options: BuildOptions
    manifest: Mapping[str, Any]
    attachments: Mapping[str, Any]
    leaky: Leaky | None = None

    def run(self, value: Placement) -> Program:
        graph = value.allocation.partition.graph
        deepest = max(layer.depth for layer in graph.layers if layer.name in graph.read_layers)
        steps = self.options.steps
        if steps <= deepest:
            raise CompileError(
                f"--steps {steps}: the first input takes {deepest} steps to reach the "
                f"read-out, so nothing would arrive; use {deepest + 1} or more, better 32"
            )
        if graph.read_kind == "voltage":
            for option, used in (
                ("--window", self.options.window < 1),
                ("--read-synapse", self.options.read_synapse > 0),
                ("the network's leaky read-out", self.leaky is not None),
            ):
                if used:
                    raise CompileError(
                        f"{option} weighs spikes by when they come, but --readout chip reads the "
                        "voltage at the end; leave it out, or read out on the host"
                    )
        self._warn_of_read_out(steps, graph.dt_s)
        synapse_s, rise_s = self.options.read_synapse, 0.0
        if self.leaky is not None and not synapse_s:
            synapse_s, rise_s = self.leaky.tau_s, self.leaky.synapse_s
        structure, tensors = discrete_tensors(graph)
        return Program(
            target=value.target.name,
            cores=value.allocation.cores,
            encoder=graph.encoder,
            injection=value.allocation.injection,
            layers=value.allocation.layers,
            read_out=ReadOut(
                kind=graph.read_kind,
                layers=graph.read_layers,
                weights=graph.read_weights,
                bias=graph.read_bias,
                window=self.options.window,
                synapse_s=synapse_s,
                rise_s=rise_s,
            ),
            steps=steps,
            dt_s=graph.dt_s,
            manifest={**self.manifest, "mapping": value.summary(), KEY: structure},
            attachments={**self.attachments, **tensors},
        )

    def _warn_of_read_out(self, steps: int, dt_s: float) -> None:
        """Say what is possible, but hardly meant."""
        counted = max(1, round(self.options.window * steps))
        if counted < min(FEW_STEPS, steps):
            warnings.warn(
                f"--window {self.options.window:g} counts spikes in the last {counted} of {steps} "
                "steps only; it is a share of the steps, from 0 to 1",
                NmcompileWarning,
                stacklevel=2,
            )
        if self.options.read_synapse > SLOW_FILTER * steps * dt_s:
            warnings.warn(
                f"--read-synapse {self.options.read_synapse:g} is in seconds and much longer than "
                f"a sample, {steps * dt_s:g} s, so all steps count alike",
                NmcompileWarning,
                stacklevel=2,
            )

    def changes(self, before: Placement, after: Program) -> str:
        return f"{len(after.cores)} cores, {len(after.injection)} injections"


@dataclass(frozen=True)
class Verify(Pass[Program, Program]):
    """Reads the Program's tables; changes nothing, raises where a limit is broken."""

    name: ClassVar[str] = "verify"
    purpose: ClassVar[str] = "check every table against the hardware model"

    hardware: HardwareModel

    def run(self, value: Program) -> Program:
        verify_program(value, self.hardware)
        return value

    def changes(self, before: Program, after: Program) -> str:
        return "all limits hold"
