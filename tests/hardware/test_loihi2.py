"""The Loihi 2 model says what public sources say, and marks everything else as unverified."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nmcompile import build
from nmcompile.analysis.resources import core_bills
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.chip.verify import verify_program
from nmcompile.cli.app import main
from nmcompile.errors import FitError, UsageError, VerifyError
from nmcompile.hardware import HardwareModel, load_hardware, parse_hardware, parse_target
from nmcompile.ir import nodes
from nmcompile.ir.network import Network
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.hardware.test_loihi1 import entries
from tests.networks import conv, dense, relu, small_cnn

MODEL = Path(__file__).parents[1] / "frontends" / "models" / "cnn.keras"
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "hw_models" / "loihi2.toml").read_text("utf-8")
LOIHI1 = load_hardware("loihi1")
LOIHI2 = load_hardware("loihi2")

STATED = {
    "chip": {
        "cores": 128,
        "management_cores": 6,
        "mesh_columns": 8,
        "mesh_rows": 4,
        "cores_per_tile": 4,
    },
    "core": {"compartments": 8192, "memory_words": 192 * 1024 * 8 // 64},
    "compartment": {
        "decay_max": 2**12 - 1,
        "threshold_mantissa_max": 2**17 - 1,
        "threshold_exponent": 6,
        "bias_mantissa_max": 2**12 - 1,
        "bias_exponent_max": 7,
        "current_bits": 23,
    },
    "synapse": {"weight_shift": 6, "delay_max": 62},
    "axon": {},
}
ASSUMED = {
    "core": [
        "words_per_compartment",
        "input_axons",
        "output_axon_slots",
        "profiles",
        "threshold_profiles",
        "synapse_formats",
    ],
    "compartment": [
        "refractory_min",
        "refractory_max",
        "vmin_exponent_max",
        "vmax_exponent_max",
        "accumulator_bits",
        "noise_exponent_max",
        "noise_offset_max",
    ],
    "synapse": [
        "weight_bits",
        "weight_exponent_min",
        "weight_exponent_max",
        "index_bits",
        "group_size",
        "group_header_bits",
        "word_bits",
    ],
    "axon": [
        "base_max",
        "pop16_base_multiple",
        "pop16_atoms",
        "pop16_target_bits",
        "pop32_atoms",
        "target_bits",
        "pop32_slots",
        "learning_slots",
    ],
}
BOARDS = {"oheo-gulch": 1, "kapoho-point": 8, "alia-point": 32, "hala-point": 1152}
TARGETS = ("loihi1", "loihi2:oheo-gulch")


def edited(old: str, new: str) -> HardwareModel:
    assert TEXT.count(old) == 1, old
    return parse_hardware(TEXT.replace(old, new), "mine.toml")


@pytest.mark.parametrize("part", STATED)
def test_limits_are_the_stated_ones(part: str) -> None:
    section = getattr(LOIHI2, part)
    found = {name: getattr(section, name) for name in STATED[part]}
    assert {name: entry.value for name, entry in found.items()} == STATED[part]
    assert all(entry.verified for entry in found.values())


def test_every_limit_that_no_source_states_is_listed_as_unverified() -> None:
    expected = [f"{part}.{name}" for part, names in ASSUMED.items() for name in names]
    assert [name for name, _ in LOIHI2.unverified()] == expected
    stated = sum(map(len, STATED.values()))
    fields = sum(len(type(getattr(LOIHI2, part)).model_fields) for part in STATED)
    assert stated + len(expected) == fields


def test_unverified_numbers_say_what_is_assumed_and_verified_ones_name_a_source() -> None:
    for place, entry in entries(LOIHI2):
        assert entry.source.startswith("assumed: ") != entry.verified, place
    for board in LOIHI2.boards:
        assert board.source.startswith("assumed: ") != board.verified, board.name


def test_no_energy_and_no_time_is_passed_off_as_measured() -> None:
    costs = [entry for place, entry in entries(LOIHI2) if place.startswith(("energy", "time"))]
    assert len(costs) > 15
    assert not any(entry.verified for entry in costs)


def test_one_line_counts_the_unverified_limits() -> None:
    text = LOIHI2.unverified_text()
    assert text is not None
    assert text.startswith(f"{len(LOIHI2.unverified())} limits of loihi2 ")
    assert text.endswith(f" and {len(LOIHI2.unverified()) - 3} more")
    assert "core.words_per_compartment" in text
    assert "\n" not in text
    assert [name for name, _ in LOIHI1.unverified()] == [
        "compartment.noise_offset_max",
        "axon.pop32_atoms",
    ]
    two = LOIHI1.unverified_text()
    assert two is not None
    assert two.endswith("compartment.noise_offset_max, axon.pop32_atoms")


def test_a_model_without_doubts_has_no_line() -> None:
    text = (ROOT / "hw_models" / "loihi1.toml").read_text("utf-8")
    sure = parse_hardware(text.replace(", verified = false", ""), "sure.toml")
    assert sure.unverified() == []
    assert sure.unverified_text() is None


def test_indices_reach_every_compartment_and_bases_too() -> None:
    last = LOIHI2.core.compartments.value - 1
    assert max(LOIHI2.synapse.index_bits.values) == last.bit_length()
    assert LOIHI2.axon.base_max.value == last


def test_boards_are_the_known_ones() -> None:
    assert {board.name: board.chips for board in LOIHI2.boards} == BOARDS
    assert [board.cores(LOIHI2) for board in LOIHI2.boards] == [128, 1024, 4096, 140_544]


@pytest.mark.parametrize(
    ("cores", "name"),
    [
        (1, "oheo-gulch"),
        (128, "oheo-gulch"),
        (129, "kapoho-point"),
        (4097, "hala-point"),
        (140_544, "hala-point"),
        (140_545, None),
    ],
)
def test_the_smallest_board_counts_usable_cores(cores: int, name: str | None) -> None:
    board = LOIHI2.smallest_board(cores)
    assert (board.name if board else None) == name


def test_a_board_cannot_use_more_cores_than_its_chips_have() -> None:
    assert edited("cores_per_chip = 122", "cores_per_chip = 128").boards[-1].cores(LOIHI2) == (
        1152 * 128
    )
    with pytest.raises(UsageError, match="board hala-point uses 129 cores of chips that have 128"):
        edited("cores_per_chip = 122", "cores_per_chip = 129")


def test_targets_are_found_by_name() -> None:
    assert parse_target("loihi2").board is None
    target = parse_target("loihi2:oheo-gulch")
    assert target.name == "loihi2:oheo-gulch"
    with pytest.raises(UsageError, match="known: oheo-gulch, kapoho-point, alia-point, hala-point"):
        parse_target("loihi2:nahuku-32")


#: What compiles for a chip and emulates it; ways to real chips name them.
COMPILER = ("passes", "mapper", "chip", "ir", "host", "hardware", "backends/emulator")


def test_the_compiler_does_not_name_the_chip() -> None:
    paths = [path for name in COMPILER for path in (ROOT / "nmcompile" / name).rglob("*.py")]
    assert len(paths) > 50
    for path in paths:
        assert "loihi2" not in path.read_text("utf-8").lower().replace(" ", ""), path


Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Standard output of a command."""

    def run(*words: object, status: int = 0) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == status
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loihi2") / "net.nmc"
    assert main(["build", str(MODEL), "-o", str(path), "--target", "loihi2"]) == 0
    return path


@pytest.mark.parametrize("command", ["build", "check", "inspect", "targets"])
def test_every_report_marks_unverified_limits(
    command: str, built: Path, tmp_path: Path, run: Run
) -> None:
    commands: dict[str, list[object]] = {
        "build": ["build", MODEL, "-o", tmp_path / "net.nmc", "--target", "loihi2"],
        "check": ["check", MODEL, "--target", "loihi2:oheo-gulch"],
        "inspect": ["inspect", built],
        "targets": ["targets", "loihi2"],
    }
    words = commands[command]
    some = f"{len(LOIHI2.unverified())} limits of loihi2 that a fit depends on are unverified"
    assert some in run(*words)
    names = [name for name, _ in LOIHI2.unverified()]
    assert json.loads(run(*words, "--json"))["unverified"] == names


def test_a_network_that_does_not_fit_is_told_that_limits_are_unverified(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*words: object, **options: object) -> None:
        raise FitError("too large", layer="a", resource="cores", used=2, limit=1)

    monkeypatch.setattr("nmcompile.api.build", too_large)
    words = ["check", MODEL, "--target", "loihi2"]
    assert LOIHI2.unverified_text() == run(*words, status=1).strip()
    found = json.loads(run(*words, "--json", status=1))
    assert found["unverified"] == [name for name, _ in LOIHI2.unverified()]


def test_the_list_of_targets_counts_cores_and_unverified_limits(run: Run) -> None:
    shown = run("targets")
    for model in (LOIHI1, LOIHI2):
        assert f"limits of {model.name} that a fit depends on are unverified" in shown
    boards = {board["name"]: board for board in json.loads(run("targets", "--json"))["loihi2"]}
    assert boards["hala-point"]["cores"] == 140_544
    assert boards["hala-point"]["unverified_limits"] == len(LOIHI2.unverified())
    assert "140544" in shown


def large() -> Network:
    """A network whose layers have up to 7,840 neurons."""
    rng = np.random.default_rng(1)
    layers: list[nodes.Node] = [
        nodes.Input(name="image", size=(28, 28, 1)),
        conv(rng, "enc/linear", "image", (1, 1), (1, 3)),
        relu("enc", "enc/linear"),
        conv(rng, "wide/linear", "enc", (3, 3), (3, 16), padding=((1, 1), (1, 1))),
        relu("wide", "wide/linear"),
        conv(rng, "deep/linear", "wide", (3, 3), (16, 40), stride=(2, 2)),
        relu("deep", "deep/linear"),
        nodes.Flatten(name="flat", inputs=("deep",), origin=("flat",)),
        dense(rng, "fc/linear", "flat", (13 * 13 * 40, 64)),
        relu("fc", "fc/linear"),
        dense(rng, "scores", "fc", (64, 10)),
        nodes.Output(name="output", inputs=("scores",)),
    ]
    return Network.build(layers, name="large")


@cache
def compiled(name: str, target: str) -> Program:
    network = {"small": small_cnn, "large": large}[name]()
    x = np.random.default_rng(0).random((16, *network.inputs[0].size), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NmcompileWarning)
        return compile_network(network, parse_target(target), checked_options(steps=16), x)


@pytest.mark.parametrize("name", ["small", "large"])
def test_both_chips_give_equal_spikes(name: str) -> None:
    size = compiled(name, TARGETS[0]).encoder.input_shape
    x = np.random.default_rng(7).random((6, *size), dtype=np.float32)
    results = []
    for target in TARGETS:
        program = compiled(name, target)
        verify_program(program, parse_target(target).hardware)
        results.append(Emulator(jobs=1).load(program).run(x))
    first, second = results
    assert list(first.spikes) == list(second.spikes)
    for layer, spikes in first.spikes.items():
        np.testing.assert_array_equal(spikes, second.spikes[layer])
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.spikes["fc"].sum() > 0


def test_the_shipped_network_builds_and_gives_equal_spikes() -> None:
    folder = ROOT / "examples" / "mnist"
    with np.load(folder / "test_1000.npz") as data:
        x = data["x"][:20]
    programs = [
        build(folder / "mnist.keras", target, calibrate=folder / "calibrate_500.npz")
        for target in TARGETS
    ]
    first, second = (Emulator(jobs=1).load(program).run(x) for program in programs)
    assert programs[1].target == "loihi2:oheo-gulch"
    assert len(programs[1].cores) < len(programs[0].cores)
    for layer, spikes in first.spikes.items():
        np.testing.assert_array_equal(spikes, second.spikes[layer])


def test_larger_cores_and_bases_are_used() -> None:
    program = compiled("large", "loihi2:oheo-gulch")
    assert len(program.cores) < len(compiled("large", "loihi1").cores)
    assert max(len(core.compartments) for core in program.cores) > LOIHI1.core.compartments.value
    bases = [int(core.input_axons.base.max(initial=0)) for core in program.cores]
    assert max(bases) > LOIHI1.axon.base_max.value


def test_neurons_take_memory_that_synapses_cannot_have() -> None:
    program = compiled("large", "loihi2:oheo-gulch")
    words = LOIHI2.core.words_per_compartment.value
    for core, bill in zip(program.cores, core_bills(program, LOIHI2), strict=True):
        assert bill.memory_words > words * len(core.compartments)
        assert bill.memory_words <= LOIHI2.core.memory_words.value
    short = edited("memory_words = { value = 24576", "memory_words = { value = 20000")
    with pytest.raises(VerifyError, match="64-bit words of memory, the limit is 20000"):
        verify_program(program, short)


def test_a_program_for_one_chip_is_none_for_the_other() -> None:
    with pytest.raises(VerifyError):
        verify_program(compiled("large", "loihi2:oheo-gulch"), LOIHI1)
    with pytest.raises(VerifyError, match="is no board of loihi2"):
        verify_program(compiled("small", "loihi1"), LOIHI2)
