"""The page with pictures: whole, self-contained, reproducible, for every kind of network."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.analysis import pictures, samples
from nmcompile.analysis.evaluation import Evaluation, evaluate_program
from nmcompile.analysis.report import write_report
from nmcompile.analysis.samples import choose_samples, record
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.hardware import parse_target
from nmcompile.host.data import Data
from nmcompile.ir import Network, nodes
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.networks import dense, relu, small_cnn

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


def compiled(network: Network, **options: object) -> tuple[Program, Data]:
    rng = np.random.default_rng(1)
    x = rng.random((40, *network.inputs[0].size), dtype=np.float32)
    chosen = checked_options(steps=12, **options)
    program = compile_network(network, parse_target(None), chosen, x)
    return program, Data(x, rng.integers(0, 5, len(x)), "folder/digits.npz")


def judged(program: Program, data: Data) -> Evaluation:
    return evaluate_program(program, data, Emulator())


def flat_network(name: str = "fc") -> Network:
    rng = np.random.default_rng(2)
    layers: list[nodes.Node] = [
        nodes.Input(name="vector", size=(12,)),
        dense(rng, f"{name}/linear", "vector", (12, 20)),
        relu(name, f"{name}/linear"),
        dense(rng, "scores", name, (20, 5)),
        nodes.Output(name="output", inputs=("scores",)),
    ]
    return Network.build(layers, name="flat <network>")


@pytest.fixture(scope="module")
def small() -> tuple[Program, Data, Evaluation]:
    program, data = compiled(small_cnn())
    return program, data, judged(program, data)


class Balance(HTMLParser):
    """Counts open elements."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_holds_the_evaluation_and_every_layer(
    tmp_path: Path, small: tuple[Program, Data, Evaluation]
) -> None:
    program, data, found = small
    write_report(tmp_path / "page.html", program, data, found)
    text = (tmp_path / "page.html").read_text("utf-8")
    parser = Balance()
    parser.feed(text)
    assert not parser.open
    for word in (
        f"{100 * found.accuracy:.2f} %",
        f"{100 * found.float_accuracy:.2f} %",
        "95 % interval",
        found.target,
        "emulator",
        "digits.npz",
        "allocate",
        "multiply-accumulates",
    ):
        assert word in text
    for name in samples.layer_names(program):
        assert text.count(name) >= 3
    assert text.count("<svg") == 2 * samples.SHOWN + 3


def test_page_needs_no_network_and_shows_no_folder(
    tmp_path: Path, small: tuple[Program, Data, Evaluation]
) -> None:
    write_report(tmp_path / "page.html", *small)
    text = (tmp_path / "page.html").read_text("utf-8")
    outside = [url for url in re.findall(r'(?:href|src)="([^"]*)"', text) if url[0] != "#"]
    assert all(url.startswith("data:image/png;base64,") for url in outside)
    assert "folder/" not in text
    assert len(text) < 1_500_000


def test_equal_inputs_give_equal_bytes(
    tmp_path: Path, small: tuple[Program, Data, Evaluation]
) -> None:
    write_report(tmp_path / "one.html", *small)
    write_report(tmp_path / "two.html", *small)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_the_users_own_picture_settings_neither_matter_nor_change(
    tmp_path: Path, small: tuple[Program, Data, Evaluation]
) -> None:
    import matplotlib as mpl

    write_report(tmp_path / "one.html", *small)
    with mpl.rc_context({"font.size": 40, "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        write_report(tmp_path / "two.html", *small)
        assert dict(mpl.rcParams) == before
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_no_stand_in_colour_is_left(
    tmp_path: Path, small: tuple[Program, Data, Evaluation]
) -> None:
    write_report(tmp_path / "page.html", *small)
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "#0101" not in text
    assert text.count("var(--ink)") > 3


@pytest.mark.parametrize("place", ["host", "chip"])
def test_scores_over_time_end_where_the_result_does(place: str) -> None:
    program, data = compiled(small_cnn(3), readout=place)
    result = Emulator().load(program).run(data.x[:5], 12)
    last = [each.scores[-1] for each in record(program, data.x[:5], 12)]
    np.testing.assert_allclose(np.stack(last), result.scores, rtol=1e-12, atol=1e-12)


def test_scores_at_a_step_are_those_of_a_run_that_ends_there() -> None:
    program, data = compiled(small_cnn(4))
    whole = next(record(program, data.x[:1], 12))
    short = Emulator().load(program).run(data.x[:1], 7)
    np.testing.assert_allclose(whole.scores[6], short.scores[0], rtol=1e-12, atol=1e-12)


def test_probes_in_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    program, data = compiled(small_cnn(5))
    whole = list(record(program, data.x[:3], 12))
    monkeypatch.setattr(samples, "PROBE_BYTES", 1)
    for one, other in zip(whole, record(program, data.x[:3], 12), strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-12, atol=1e-12)
        for name, spikes in one.spikes.items():
            np.testing.assert_array_equal(spikes, other.spikes[name])


@pytest.mark.parametrize("place", ["host", "chip"])
def test_samples_that_are_no_images_and_names_with_markup(tmp_path: Path, place: str) -> None:
    program, data = compiled(flat_network("a<b>&$x$"), readout=place)
    write_report(tmp_path / "page.html", program, data, judged(program, data))
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "a<b>" not in text
    assert "a&lt;b&gt;&amp;$x$" in text


def test_one_sample_in_one_step(tmp_path: Path) -> None:
    program, data = compiled(small_cnn(6))
    one = data.first(1)
    found = evaluate_program(program, one, Emulator(), steps=1)
    write_report(tmp_path / "page.html", program, one, found)
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_wrong_answers_are_chosen_too() -> None:
    labels = np.arange(40) % 10
    answers = labels.copy()
    answers[[7, 21, 30, 33]] = 11
    chosen = choose_samples(answers, labels)
    assert {7, 21, 30} <= set(chosen)
    assert 33 not in chosen
    assert len(chosen) == len(set(chosen)) == samples.SHOWN
    assert choose_samples(labels + 1, labels) == list(range(8))
    assert choose_samples(labels[:2], labels[:2]) == [0, 1]


def test_many_cores_become_columns() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    uses = np.linspace(0.1, 1, 5000)
    pictures.draw_cores(axes, {"one": uses}, {"one": "#3b82d0"}, pictures.PRINT)
    (outline,) = axes.patches
    assert len(outline.get_xy()) < 5 * pictures.CORE_COLUMNS
    assert outline.get_xy()[:, 1].max() == 1


def test_a_missing_library_is_one_sentence(
    tmp_path: Path, small: tuple[Program, Data, Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"pip install 'nmcompile\[report\]'"):
        write_report(tmp_path / "page.html", *small)
    assert not list(tmp_path.iterdir())
