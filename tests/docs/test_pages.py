"""The pages agree with the program: generated parts are whole, and snippets are valid."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from nmcompile.cli.options import NEURON_NAMES
from nmcompile.frontends.keras.registry import LAYERS
from nmcompile.hardware import load_hardware, parse_hardware
from nmcompile.tuning.space import LEFT_OUT, SEARCHED

DOCS = Path(__file__).resolve().parents[2] / "docs"
MODEL = DOCS.parent / "hw_models" / "loihi1.toml"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fenced(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def test_the_command_page_has_every_command_and_the_defaults(hooks: ModuleType) -> None:
    page = hooks.commands()
    assert re.findall(r"^## ([\w-]+)$", page, re.M) == [
        "check", "build", "convert", "diff", "run", "compare", "conformance", "eval",
        "board-image", "lava-export", "diagnose", "tune", "inspect", "targets", "doctor",
    ]  # fmt: skip
    assert "    python -m nmcompile build [OPTIONS] MODEL\n" in page
    assert re.search(r"\| `--steps` \| .* \| `32` \|", page)
    assert re.search(r"\| `--synapse` \| .* \| `0.0` \|", page)
    assert re.search(r"\| `-o`, `--output` \| .* \| required \|", page)


def test_the_hardware_page_has_every_board_and_marks_doubts(hooks: ModuleType) -> None:
    page = hooks.hardware_models()
    for board in load_hardware("loihi1").boards:
        assert f"`loihi1:{board.name}`" in page
    assert re.search(r"`pop32_atoms` \| 512 \| .*unverified", page)


def test_the_board_of_the_guide_is_valid() -> None:
    board, _ = fenced("how-to/new-board.md", "toml")
    model = parse_hardware(f"{MODEL.read_text('utf-8')}\n{board}", "guide")
    assert ("my-board", 16) in {(board.name, board.chips) for board in model.boards}


def test_the_variant_of_the_guide_is_valid() -> None:
    _, variant = fenced("how-to/new-board.md", "toml")
    line = variant.splitlines()[1]
    text, count = re.subn(r"^compartments = .*$", line, MODEL.read_text("utf-8"), flags=re.M)
    assert count == 1
    assert parse_hardware(text, "guide").core.compartments.value == 2048


def test_every_layer_that_is_read_is_on_the_page() -> None:
    page = (DOCS / "how-to" / "check-a-model.md").read_text("utf-8")
    page = re.sub(r"`(\w+)1D/2D`", r"`\g<1>1D` `\g<1>2D`", page)
    also = {"InputLayer", "Softmax"}
    training = {name for name in LAYERS if re.search("Dropout|Noise", name)}
    missing = [name for name in set(LAYERS) - also - training if f"`{name}" not in page]
    assert not missing


def test_every_neuron_option_is_explained() -> None:
    page = (DOCS / "how-to" / "choose-time-constants.md").read_text("utf-8")
    for name in NEURON_NAMES:
        assert f"| `--{name} " in page


def test_every_option_that_is_searched_or_not_is_on_the_page_on_tuning() -> None:
    page = (DOCS / "how-to" / "tune.md").read_text("utf-8")
    for name in {*SEARCHED, *LEFT_OUT} - {"layers"}:
        assert f"`--{name.replace('_', '-')}`" in page, name
