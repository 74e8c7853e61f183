"""The conformance set is what its tool writes, the emulator passes it, and wrong chips do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.analysis.conformance import FOLDER, case_names, load_case, run_conformance
from nmcompile.backends.emulator import Emulator
from nmcompile.backends.emulator.session import EmulatorSession
from nmcompile.chip.core import Core
from nmcompile.chip.program import Program
from nmcompile.errors import DataError, UsageError
from tools.conformance.features import FEATURES
from tools.record_conformance import main as record

#: What a wrong chip would do with a core, and the cases that must show it.
Fault = Callable[[Core], Core]


def column(table: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """A fault that changes a column of a core's table."""

    def fault(core: Core) -> Core:
        held = getattr(core, table)
        values = getattr(held, name)
        changed = change(values.astype(np.int64)).astype(values.dtype)
        return replace(core, **{table: replace(held, **{name: changed})})

    return fault


def register(name: str, value: int) -> Fault:
    return lambda core: replace(core, **{name: value})


def unlisted(core: Core) -> Core:
    """Targets of sparse synapses taken for consecutive ones."""
    targets = core.synapses.target.copy()
    for start, atoms, length in zip(
        core.blocks.start, core.blocks.atoms, core.blocks.length, strict=True
    ):
        for k in range(atoms):
            targets[start + k * length : start + (k + 1) * length] = np.arange(length)
    return replace(core, synapses=replace(core.synapses, target=targets))


def silent(core: Core) -> Core:
    """Neurons whose spikes reach nobody."""
    return replace(core, output_axons=core.output_axons.empty())


#: What spikes of so few steps do not show.
SUBTLE = {"current decays by one more", "voltage decays by one more"}
FAULTS: dict[str, tuple[str, Fault]] = {
    "current decays by one more": (
        "current_decay",
        column("profiles", "decay_u", lambda x: np.minimum(x + 1, 4095)),
    ),
    "voltage decays by one more": (
        "voltage_decay",
        column("profiles", "decay_v", lambda x: np.minimum(x + 1, 4095)),
    ),
    "no refractory period": ("refractory", column("profiles", "refractory", np.ones_like)),
    "refractory one longer": (
        "refractory",
        column("profiles", "refractory", lambda x: np.minimum(x + 1, 63)),
    ),
    "biases without sign": ("bias", column("compartments", "bias_mantissa", np.abs)),
    "biases without exponent": ("bias", column("compartments", "bias_exponent", np.zeros_like)),
    "thresholds reached suffice": ("threshold", column("thresholds", "mantissa", lambda x: x - 1)),
    "no lower limit": ("voltage_limits", register("vmin_exponent", 23)),
    "no upper limit": ("voltage_limits", register("vmax_exponent", 7)),
    "exponents without sign": ("weight_exponents", column("formats", "exponent", np.abs)),
    "weights without sign": ("sign_modes", column("synapses", "mantissa", np.abs)),
    "fewest bits": ("weight_bits", column("synapses", "mantissa", lambda x: x >> 7 << 7)),
    "no delays": ("delays", column("synapses", "delay", np.zeros_like)),
    "delays of 5 bits": ("delays", column("synapses", "delay", lambda x: x & 31)),
    "targets not listed": ("dense_and_sparse", unlisted),
    "no base, discrete": ("discrete_axons", column("input_axons", "base", np.zeros_like)),
    "no base, pop16": ("pop16_axons", column("input_axons", "base", np.zeros_like)),
    "no base, pop32": ("pop32_axons", column("input_axons", "base", np.zeros_like)),
    "no atoms, pop16": ("pop16_axons", column("compartments", "atom", np.zeros_like)),
    "no atoms, pop32": ("pop32_axons", column("compartments", "atom", np.zeros_like)),
    "blocks of a first axon": ("shared_blocks", column("input_axons", "base", lambda x: 0 * x)),
    "no way back": ("recurrence", silent),
    "cores alone": ("cores", silent),
    "chips alone": ("chips", silent),
    "noise always on": ("noise_off", column("profiles", "noise", np.ones_like)),
    "all begin at zero": (
        "initial_voltages",
        lambda core: replace(core, initial_voltages=core.initial_voltages.empty()),
    ),
    "smaller weights": (
        "accumulator_overflow",
        column("synapses", "mantissa", lambda x: x >> 2 << 1),
    ),
    "currents that are not kept": (
        "current_overflow",
        column("profiles", "decay_u", lambda x: 0 * x + 4095),
    ),
    "currents without decay": ("current_decay", column("profiles", "decay_u", np.zeros_like)),
    "voltages without decay": ("voltage_decay", column("profiles", "decay_v", np.zeros_like)),
    "one profile": ("profiles", column("compartments", "profile", np.zeros_like)),
}  # fmt: skip


@dataclass
class Faulty:
    """An emulator of a chip with a fault."""

    fault: Fault

    def load(self, program: Program) -> EmulatorSession:
        cores = tuple(self.fault(core) for core in program.cores)
        return Emulator(1).load(replace(program, cores=cores))


def test_the_emulator_passes() -> None:
    found = run_conformance(Emulator(1))
    assert found.equal, str(found)
    assert [case.name for case in found.cases] == sorted(FEATURES)
    assert found.sentence == f"{len(FEATURES)} of {len(FEATURES)} cases are equal on emulator"
    for case in found.cases:
        assert case.comparison is not None
        assert sum(each.values for each in case.comparison.probes) > 0
        quantities = {each.quantity for each in case.comparison.probes}
        assert quantities == {"spikes", "u", "v"}


def test_every_feature_has_a_fault_that_its_case_shows() -> None:
    assert {case for case, _ in FAULTS.values()} == set(FEATURES)


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_chip_is_found_by_its_spikes_too(name: str) -> None:
    case, fault = FAULTS[name]
    (found,) = run_conformance(Faulty(fault), [case]).cases
    assert found.verdict == "different"
    assert found.sentence.startswith("first differs in sample ")
    assert found.comparison is not None
    spikes = [each for each in found.comparison.probes if each.quantity == "spikes"]
    shown = any(each.different for each in spikes)
    assert shown == (name not in SUBTLE), "boards may show no voltages"


def test_the_set_is_what_the_tool_writes(tmp_path: Path) -> None:
    record(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in FOLDER.iterdir())
    for name in names:
        if name.endswith(".nmc"):
            assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name
            continue
        # Compression may differ from one zlib to another.
        with np.load(tmp_path / name) as new, np.load(FOLDER / name) as old:
            assert new.files == old.files
            assert all(np.array_equal(new[key], old[key]) for key in new.files), name


def test_the_set_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 600_000


def test_a_backend_that_refuses_is_a_failed_case() -> None:
    class Refusing:
        def load(self, program: Program) -> Any:
            raise DataError("the board is taken")

    found = run_conformance(Refusing(), ["bias"])
    assert not found.equal
    assert (found.cases[0].verdict, found.cases[0].sentence) == ("failed", "the board is taken")
    assert "bias: the board is taken" in str(found)


def test_a_backend_that_makes_no_sense_stops_the_run() -> None:
    class Missing:
        def load(self, program: Program) -> Any:
            raise UsageError("there is no such board")

    with pytest.raises(UsageError, match="no such board"):
        run_conformance(Missing())


def test_unknown_cases_are_refused() -> None:
    with pytest.raises(UsageError, match="--only nothing: there is no such case; .*bias"):
        load_case("nothing")
    assert "bias" in case_names()
