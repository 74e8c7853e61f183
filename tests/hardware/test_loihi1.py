"""The Loihi 1 model says what the published sources say, each number with its source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nmcompile.hardware import HardwareModel, load_hardware, model_names, parse_target
from nmcompile.hardware.model import Choices, Estimate, Estimates, Limit

LOIHI1 = load_hardware("loihi1")

LIMITS = {
    "chip": {
        "cores": 128,
        "management_cores": 3,
        "mesh_columns": 8,
        "mesh_rows": 4,
        "cores_per_tile": 4,
    },
    "core": {
        "compartments": 1024,
        "memory_words": 16384,
        "input_axons": 4096,
        "output_axon_slots": 4096,
        "profiles": 32,
        "threshold_profiles": 8,
        "synapse_formats": 7,
    },
    "compartment": {
        "decay_max": 4095,
        "refractory_min": 1,
        "refractory_max": 63,
        "threshold_mantissa_max": 2**17 - 1,
        "threshold_exponent": 6,
        "bias_mantissa_max": 4095,
        "bias_exponent_max": 7,
    },
    "synapse": {
        "weight_exponent_min": -8,
        "weight_exponent_max": 7,
        "delay_max": 62,
        "group_size": 64,
        "group_header_bits": 4 + 6,
        "word_bits": 64,
    },
    "axon": {
        "base_max": 255,
        "pop16_base_multiple": 4,
        "pop16_atoms": 32,
        "pop16_target_bits": 10,
        "target_bits": 12,
        "pop32_slots": 2,
        "learning_slots": 2,
    },
}
ENERGY_PJ = {
    "neuron_access": 51.2,
    "neuron_update": 21.6,
    "spike_out": 69.3,
    "synapse_sparse": 33.6,
    "synapse_dense": 35.5,
    "synapse_convolution": 24.0,
    "message_out": 111,
    "hop_east_west": 3.0,
    "hop_north_south": 4.2,
}
TIME_NS = {
    "neuron_access": 6.0,
    "neuron_update": 3.7,
    "spike_out": 30,
    "synapse_sparse": 4.7,
    "synapse_dense": 3.8,
    "synapse_convolution": 3.1,
    "message_out": 5.1,
    "message_in": 16,
    "hop_east_west": 4.1,
    "hop_north_south": 6.5,
}
BOARDS = {
    "kapoho-bay": 2,
    "wolf-mountain": 4,
    "nahuku-8": 8,
    "nahuku-32": 32,
    "pohoiki-beach": 64,
    "pohoiki-springs": 768,
}


def entries(model: HardwareModel) -> Iterator[tuple[str, Limit | Estimate | Choices | Estimates]]:
    """Every number of a model under its name."""
    for part in type(model).model_fields:
        section = getattr(model, part)
        for name in getattr(type(section), "model_fields", {}):
            yield f"{part}.{name}", getattr(section, name)


@pytest.mark.parametrize("part", LIMITS)
def test_limits_are_the_published_ones(part: str) -> None:
    section = getattr(LOIHI1, part)
    assert {name: getattr(section, name).value for name in LIMITS[part]} == LIMITS[part]


def test_weights_and_indices_take_the_published_widths() -> None:
    assert LOIHI1.synapse.weight_bits.values == (1, 2, 3, 4, 5, 6, 8)
    assert LOIHI1.synapse.index_bits.values == (0, 6, 7, 8, 9, 10, 11, 12)


def test_energy_and_time_are_the_calibrated_ones() -> None:
    assert {name: getattr(LOIHI1.energy_pj, name).value for name in ENERGY_PJ} == ENERGY_PJ
    assert {name: getattr(LOIHI1.time_ns, name).value for name in TIME_NS} == TIME_NS
    assert LOIHI1.time_ns.barrier.values == (600, 1000, 1400, 1800)
    assert LOIHI1.time_ns.barrier_tiles.values == (1, 2, 4, 29)


def test_the_mesh_holds_the_cores_that_a_chip_has() -> None:
    chip = LOIHI1.chip
    tiles = chip.mesh_columns.value * chip.mesh_rows.value
    assert tiles * chip.cores_per_tile.value == chip.cores.value


def test_boards_are_the_published_ones() -> None:
    assert {board.name: board.chips for board in LOIHI1.boards} == BOARDS


@pytest.mark.parametrize("name", model_names())
def test_every_number_has_a_source(name: str) -> None:
    model = load_hardware(name)
    found = dict(entries(model))
    assert len(found) > 40
    for place, entry in found.items():
        assert len(entry.source) > 5, place
        assert any(letter.isalpha() for letter in entry.source), place
    for board in model.boards:
        assert len(board.source) > 5, board.name


@pytest.mark.parametrize(
    ("cores", "board"),
    [
        (1, "kapoho-bay"),
        (256, "kapoho-bay"),
        (257, "wolf-mountain"),
        (1024, "nahuku-8"),
        (1025, "nahuku-32"),
        (768 * 128, "pohoiki-springs"),
    ],
)
def test_the_smallest_board_with_room_is_found(cores: int, board: str) -> None:
    found = LOIHI1.smallest_board(cores)
    assert found is not None
    assert found.name == board


def test_no_board_has_room_for_too_many_cores() -> None:
    assert LOIHI1.smallest_board(768 * 128 + 1) is None


def test_a_target_is_a_family_and_perhaps_a_board() -> None:
    assert parse_target(None).name == parse_target("loihi1").name == "loihi1"
    assert parse_target("loihi1").board is None
    target = parse_target("loihi1:nahuku-32")
    assert target.name == "loihi1:nahuku-32"
    assert target.board is not None
    assert target.board.chips == 32
