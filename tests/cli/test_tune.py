"""`tune`: points as a table, as JSON, as a picture and as a page, each with its command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.frontends import load
from nmcompile.ir import evaluate
from nmcompile.tuning import space, workers
from tests.cli.support import MODEL, Command

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples on which the float network is always right."""
    path = tmp_path_factory.mktemp("tune") / "data.npz"
    network = load(MODEL).network
    x = np.random.default_rng(0).random((150, *network.inputs[0].size), dtype=np.float32)
    scores = evaluate(network, x)[network.outputs[0].name].reshape(len(x), -1)
    np.savez(path, x=x, y=scores.argmax(axis=1))
    return path


@pytest.fixture
def words(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """A short search in a folder of its own."""
    monkeypatch.setattr(space, "KNOWN_GOOD", space.KNOWN_GOOD[:2])
    monkeypatch.chdir(tmp_path)
    own = ("--trials", 3, "--jobs", 1, "--limit", 60, "--objective", "spikes")
    return ("tune", MODEL, "--data", data, "--allowed-loss", 20, *own)


def test_the_table_the_picture_the_page_and_the_file_hold_every_point(
    command: Command, words: tuple[Any, ...], tmp_path: Path
) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    outcome = command(*words, "--plot", "p.svg", "--html", "page.html")
    assert outcome.status == 0, outcome.err
    assert "on 40 samples that the search did not see" in " ".join(outcome.out.split())
    assert "untuned" in outcome.out
    commands = re.findall(r"^\d+: (python -m nmcompile build .*)$", outcome.out, re.M)
    assert commands
    assert re.search(r"point \d+ serves best and keeps the allowed loss of 20 points", outcome.out)
    assert "trials: 3 of 3" in outcome.err
    names = ["cnn.tune", "cnn.tune.calibrate.npz", "p.svg", "page.html"]
    assert sorted(each.name for each in tmp_path.iterdir()) == names
    page = (tmp_path / "page.html").read_text("utf-8")
    for line in commands:
        assert line in page
        assert "--calibrate cnn.tune.calibrate.npz" in line
    assert "spikes per sample" in page
    picture = (tmp_path / "p.svg").read_bytes()
    again = command(*words, "--plot", "p.svg", "--html", "page.html")
    assert again.out == outcome.out
    assert (tmp_path / "p.svg").read_bytes() == picture


def test_json_holds_every_number(command: Command, words: tuple[Any, ...]) -> None:
    found = command(*words, "--json").json
    assert found["trials"] == 3
    assert found["best"] in [point["trial"] for point in found["points"]]
    assert found["usual"]["trial"] == 0
    for point in found["points"]:
        assert point["lost"] == pytest.approx(point["float_accuracy"] - point["accuracy"])
        assert point["command"].startswith("python -m nmcompile build ")
    assert json.dumps(found)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--objective", "beauty"), "--objective beauty"),
        (("--allowed-loss", -1), "--allowed-loss -1"),
        (("--trials", 0), "--trials"),
        (("--fix", "steps"), "--fix steps"),
        (("--fix", "steps=0"), "steps"),
        (("--plot", "p.txt"), ".png or .svg"),
        (("--target", "loihi9"), "loihi9"),
    ],
)
def test_options_that_make_no_sense_are_named(
    command: Command, words: tuple[Any, ...], tmp_path: Path, more: Any, expected: str
) -> None:
    command(*words, *more).refused(expected, status=(2,))
    assert not list(tmp_path.iterdir())


def test_no_input_is_overwritten(command: Command, words: tuple[Any, ...], data: Path) -> None:
    content = data.read_bytes()
    for option in ("--storage", "--html"):
        command(*words, option, data).refused("data.npz")
    assert data.read_bytes() == content


def test_a_nengo_network_has_nothing_to_tune(command: Command, data: Path) -> None:
    command("tune", "net.py:model", "--data", data).refused("nothing is left to tune")


def test_ctrl_c_says_how_to_go_on(
    command: Command, words: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workers, "judge", interrupted)
        outcome = command(*words)
    assert outcome.status == 130
    assert outcome.out == ""
    assert outcome.err == "cnn.tune keeps what is done; the same command goes on\ninterrupted\n"
    assert command(*words).status == 0
