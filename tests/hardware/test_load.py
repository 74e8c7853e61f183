"""A hardware model is data: an edit of its TOML is enough, and a wrong edit is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nmcompile.errors import FitError, UsageError
from nmcompile.hardware import Target, load_hardware, parse_hardware, parse_target
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.chip.programs import samples, small_program
from tests.networks import small_cnn

TEXT = (Path(__file__).parents[2] / "hw_models" / "loihi1.toml").read_text("utf-8")


def edited(old: str, new: str) -> str:
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)


def test_the_file_is_what_is_loaded() -> None:
    assert parse_hardware(TEXT, "loihi1.toml") == load_hardware("loihi1")


def test_a_new_board_is_an_edit() -> None:
    board = '\n[[boards]]\nname = "desk"\nchips = 1\nsource = "a bench in the cellar"\n'
    hardware = parse_hardware(TEXT + board, "desk.toml")
    smallest = hardware.smallest_board(1)
    assert smallest is not None
    assert smallest.name == "desk", "boards need not be listed in order"
    x = samples(small_program(), 20)
    program = compile_network(small_cnn(), Target(hardware=hardware), checked_options(), x)
    assert program.target == "loihi1:desk"


def test_a_variant_of_the_chip_is_an_edit() -> None:
    hardware = parse_hardware(
        edited("compartments = { value = 1024", "compartments = { value = 64"), "small.toml"
    )
    x = samples(small_program(), 20)
    program = compile_network(small_cnn(), Target(hardware=hardware), checked_options(), x)
    assert max(len(core.compartments) for core in program.cores) <= 64
    assert len(program.cores) > len(small_program().cores)


def test_a_network_that_does_not_fit_names_layer_resource_numbers_and_board() -> None:
    text = edited("\ncores = { value = 128", "\ncores = { value = 1").replace(
        "value = 1024", "value = 64"
    )
    hardware = parse_hardware(text, "tiny.toml")
    x = samples(small_program(), 20)
    target = Target(hardware=hardware, board=hardware.boards[0])
    with pytest.raises(FitError) as caught:
        compile_network(small_cnn(), target, checked_options(), x)
    error = caught.value
    assert error.layer in ("conv", "fc")
    assert error.resource == "cores"
    assert error.used > error.limit == 2
    for words in (repr(error.layer), str(error.used), "2 chips", "smallest board", "nahuku-32"):
        assert words in str(error)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (edited("[core]\n", "[core]\ncolour = { value = 3, source = 'a' }\n"), "core.colour"),
        (TEXT.replace("[chip]\n", "weight = 3\n[chip]\n"), "weight"),
        (re.sub(r"\nprofiles = .*", "", TEXT), "core.profiles"),
        (re.sub(r"(?s)\n\[axon\].*?\n\n", "\n\n", TEXT), "axon"),
        (edited("profiles = { value = 32,", "profiles = { value = 'many',"), "core.profiles.value"),
        (edited("profiles = { value = 32,", "profiles = { value = 3.5,"), "core.profiles.value"),
        (edited("profiles = { value = 32,", "profiles = { value = [32],"), "core.profiles.value"),
        (edited("profiles = { value = 32,", "profiles = {"), "core.profiles.value"),
        (re.sub(r"(\nprofiles = .*?), source = .*", r"\1 }", TEXT), "core.profiles.source"),
        (re.sub(r"(\nprofiles = .*?), source = .*", r"\1, source = '' }", TEXT), "profiles.source"),
        (edited("values = [1, 2, 3, 4, 5, 6, 8]", "values = []"), "synapse.weight_bits.values"),
        (
            edited('name = "kapoho-bay"\nchips = 2', 'name = "kapoho-bay"\nchips = 0'),
            "boards.0.chips",
        ),
        (edited('name = "wolf-mountain"', 'name = "kapoho-bay"'), "two boards"),
        (TEXT[: TEXT.index("[[boards]]")], "boards"),
        (edited("neuron_access = { value = 51.2", "neuron_access = { value = true_"), "TOML"),
        ("", "name"),
        ("[", "TOML"),
    ],
)
def test_a_wrong_edit_is_one_sentence_that_names_the_field(text: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_hardware(text, "mine.toml")
    message = str(caught.value)
    assert message.startswith("mine.toml: ")
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "name", ["loihi9", "", "../loihi1", "loihi1.toml", "LOIHI1", "/etc/passwd"]
)
def test_an_unknown_family_is_named_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"known: .*loihi1") as caught:
        load_hardware(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("text", ["loihi1:desk", "loihi1:kapoho-bay:2", "loihi1: kapoho-bay"])
def test_an_unknown_board_is_named_with_the_known_ones(text: str) -> None:
    with pytest.raises(UsageError, match="known: kapoho-bay, wolf-mountain"):
        parse_target(text)
