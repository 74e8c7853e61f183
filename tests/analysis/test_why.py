"""The arithmetic behind a layer's cores adds up to what the Program's tables hold."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from nmcompile.analysis.parts import layer_parts
from nmcompile.analysis.resources import (
    DIVISIBLE,
    core_bills,
    network_use,
    percent,
)
from nmcompile.analysis.why import Why, block_groups, why
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.hardware import HardwareModel, Target
from nmcompile.mapper.problem import Problem
from nmcompile.passes.allocate import Allocate
from nmcompile.passes.emit import Emit
from nmcompile.passes.options import checked_options
from nmcompile.passes.partition import Partition, PartitionLayers
from nmcompile.passes.place import Place
from tests.mapper.random_mapping import random_mapping
from tests.networks import random_network, small_cnn
from tests.passes.stages import LOIHI1, Stages, small_core

#: Limits under which a small network has many pieces, alone on cores and with others.
HARDWARE = {
    "large": LOIHI1,
    "few compartments": small_core(compartments=150),
    "little memory": small_core(memory_words=400),
    "few axons": small_core(input_axons=150),
}


def program_of(hardware: HardwareModel) -> Program:
    stages = Stages.of(small_cnn())
    partition = PartitionLayers(hardware).run(stages.discrete)
    return emitted(partition, hardware, stages.options.steps)


def emitted(partition: Partition, hardware: HardwareModel, steps: int) -> Program:
    placed = Place(Target(hardware=hardware)).run(Allocate(hardware).run(partition))
    return Emit(checked_options(steps=steps), {"network": "small"}, {}).run(placed)


@pytest.fixture(scope="module", params=HARDWARE)
def hardware(request: pytest.FixtureRequest) -> HardwareModel:
    return HARDWARE[request.param]


@pytest.fixture(scope="module")
def program(hardware: HardwareModel) -> Program:
    return program_of(hardware)


def texts(found: Why, about: str) -> list[str]:
    return [each.text for each in found.reasons if each.about == about]


def numbers(text: str) -> list[float]:
    return [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def assert_parts_add_up(program: Program, hardware: HardwareModel) -> None:
    """Every row of every core belongs to one layer, and the layers' bills are the core's."""
    parts = layer_parts(program)
    for number, bill in enumerate(core_bills(program, hardware)):
        here = [part for each in parts.values() for part in each if part.number == number]
        core = program.cores[number]
        for name in ("compartments", "blocks", "input_axons", "output_axons"):
            rows = np.concatenate([getattr(part, name) for part in here])
            assert sorted(rows.tolist()) == list(range(len(getattr(core, name)))), name
        own = [part.bill(hardware) for part in here]
        for resource in DIVISIBLE:
            assert sum(getattr(each, resource) for each in own) == getattr(bill, resource)


def test_parts_of_layers_add_up_to_their_cores(program: Program, hardware: HardwareModel) -> None:
    assert_parts_add_up(program, hardware)


@pytest.mark.parametrize("seed", range(30))
def test_parts_of_random_mappings_are_those_of_their_pieces(seed: int) -> None:
    """Halos included: compartments of a piece that stand for no neuron."""
    stages = Stages.of(random_network(seed) if seed % 3 else small_cnn(seed))
    problem = Problem(stages.discrete, LOIHI1)
    partition = Partition(problem, *random_mapping(problem, np.random.default_rng(seed)))
    program = emitted(partition, LOIHI1, stages.options.steps)
    assert_parts_add_up(program, LOIHI1)
    for name, parts in layer_parts(program).items():
        packing, sizes = partition.packing, partition.choice.cuts[name].compartments
        for part in parts:
            pieces = np.flatnonzero(packing.core[name] == part.number)
            starts = packing.start[name][pieces].tolist()
            rows = [
                row
                for start, size in zip(starts, sizes[pieces].tolist(), strict=True)
                for row in range(start, start + size)
            ]
            assert part.compartments.tolist() == sorted(rows)


def test_a_layer_has_the_registers_of_its_own_neurons(
    program: Program, hardware: HardwareModel
) -> None:
    for use in network_use(program, hardware).layers:
        layer = program.layer(use.layer)
        for core, row in zip(layer.core.tolist(), layer.compartment.tolist(), strict=True):
            tables = program.cores[core]
            threshold = tables.thresholds.mantissa[tables.compartments.threshold[row]]
            assert use.registers["threshold_mantissa"] == threshold
        assert len(use.registers["weight_exponents"]) == 1


def test_weight_scales_are_not_those_of_a_neighbour() -> None:
    program = program_of(LOIHI1)
    exponents = {
        connection.link.target: connection.exponent
        for connection in Stages.of(small_cnn()).discrete.connections
    }
    uses = network_use(program, LOIHI1).layers
    assert {core for use in uses for core in use.cores} == {0}
    assert len(set(exponents.values())) > 1
    for use in uses:
        assert use.registers["weight_exponents"] == [exponents[use.layer]]


def test_the_sentence_is_about_the_core_that_the_layer_fills_most(
    program: Program, hardware: HardwareModel
) -> None:
    bills = core_bills(program, hardware)
    for use in network_use(program, hardware).layers:
        rows = {name: (used, n) for name, used, n in bills[use.core].compared(hardware)}
        assert use.fullest == rows
        used, limit = rows[use.binding]
        assert used / limit == bills[use.core].fullness(hardware)
        sentence = use.sentence()
        assert f"{percent(used / limit)} full" in sentence
        assert f"needs {len(use.cores)} core" in sentence
        taken, room = rows["compartments"]
        assert f"{room - taken:,} of {room:,}" in sentence
        assert ("shared with" in sentence) == bool(use.shared)
        for other, cores in use.shared.items():
            assert set(cores) <= set(use.cores)
            assert set(cores) <= set(program.layer(other).core.tolist())


def test_the_network_s_bound_is_below_its_cores(program: Program, hardware: HardwareModel) -> None:
    use = network_use(program, hardware)
    assert use.bound is not None
    assert use.gap == use.cores / use.bound.cores >= 1
    assert f"{use.cores:,} core" in use.sentence()
    assert f"at least {use.bound.cores:,} by" in use.sentence()
    assert sum(each.worth["compartments"] for each in use.layers) <= use.cores
    for each in use.layers:
        assert each.bound is not None
        assert each.bound.cores <= len(each.cores)
        for resource in DIVISIBLE:
            assert each.worth[resource] >= each.bound.shares[resource] - 1e-6


@pytest.mark.parametrize("layer", ["conv", "fc"])
def test_the_arithmetic_gives_what_the_tables_hold(
    program: Program, hardware: HardwareModel, layer: str
) -> None:
    found = why(program, hardware, layer)
    use = next(use for use in network_use(program, hardware).layers if use.layer == layer)
    part = next(part for part in layer_parts(program)[layer] if part.number == use.core)
    own = part.bill(hardware)
    assert own.memory_words == sum(words for _, words in block_groups(part, hardware))
    for text, words in block_groups(part, hardware):
        count, *_, total = numbers(text)
        times, each = numbers(text.split(" = ")[1])
        assert count == times
        assert times * each == total == words
    for resource in DIVISIBLE:
        reasons = [each for each in found.reasons if each.about == resource]
        whole, last = reasons[0], reasons[-1]
        assert whole.where == "the layer"
        assert whole.cores == pytest.approx(use.worth[resource])
        assert f"{use.worth[resource]:.2f} cores" in whole.text
        assert last.where == f"core {use.core}"
        assert last.used == use.fullest[resource][0]
        assert f"{use.fullest[resource][1]:,}" in last.text
    assert f"{program.layer(layer).neurons:,} neurons" in texts(found, "compartments")[0]
    most = max(use.worth, key=lambda name: use.worth[name])
    assert f"{use.worth[most]:.2f} cores" in found.verdict
    assert use.sentence() in found.verdict


def test_output_axons_are_counted_by_kind_and_slots(
    program: Program, hardware: HardwareModel
) -> None:
    text = texts(why(program, hardware, "conv"), "output_axon_slots")[-1]
    total = sum(numbers(each)[0] * numbers(each)[-1] for each in text.split(" = ")[0].split(" + "))
    assert total == numbers(text.split(" = ")[1])[0] > 0


def test_the_bound_s_weights_are_the_layer_s(program: Program, hardware: HardwareModel) -> None:
    """A dense layer behind merged pooling: 5 x 5 x 8 places that see 20 neurons."""
    memory = next(t for t in texts(why(program, hardware, "fc"), "bound") if "weights" in t)
    weights, bits, words, limit, cores = numbers(memory)
    assert bits == 8
    assert weights % 20 == 0
    assert limit == hardware.core.memory_words.value
    assert cores == pytest.approx(words / limit, abs=0.01)


def test_the_cut_names_layers_on_the_same_cores() -> None:
    program = program_of(LOIHI1)
    cut = " ".join(texts(why(program, LOIHI1, "fc"), "cut"))
    assert "shares core 0 with conv" in cut
    assert "from conv: an axon for each piece" in cut
    assert "in 1 piece of at most 1x1x20" in cut


def test_a_program_without_a_mapping_is_explained_from_its_tables() -> None:
    program = program_of(LOIHI1)
    bare = replace(program, manifest={})
    use = network_use(bare, LOIHI1)
    assert (use.bound, use.gap, use.messages_sentence()) == (None, None, None)
    assert use.sentence() == "1 core"
    found = why(bare, LOIHI1, "conv")
    assert not texts(found, "bound")
    assert texts(found, "cut")[0] == "10x10x8 on 1 core"
    same = why(program, LOIHI1, "conv")
    for resource in DIVISIBLE:
        assert texts(found, resource) == texts(same, resource)


def test_an_unknown_layer_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="nothing.*conv, fc"):
        why(program_of(LOIHI1), LOIHI1, "nothing")
