"""Networks with several inputs and outputs run as one of each, and keep their names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nmcompile.analysis.evaluation import evaluate_program, float_network, output_size
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.cli.app import main
from nmcompile.errors import DataError, UsageError
from nmcompile.hardware import parse_target
from nmcompile.host.data import Data, join_inputs, load_data
from nmcompile.ir import Network, evaluate, nodes
from nmcompile.ir.nodes import FloatArray, Node
from nmcompile.passes.join_ends import join_ends, named_inputs
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network

SAMPLES = 48


def network(rng: np.random.Generator) -> Network:
    """An image of small numbers and a row of large ones; two outputs, one behind a softmax."""

    def weights(*shape: int) -> FloatArray:
        return rng.normal(0, 1.5 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32)

    made: list[Node] = [
        nodes.Input(name="image", size=(6, 5, 2)),
        nodes.Input(name="row", size=(4,)),
        nodes.Conv2d(name="conv", inputs=("image",), weights=weights(3, 3, 2, 3)),
        nodes.ReLU(name="a", inputs=("conv",)),
        nodes.Flatten(name="flat", inputs=("a",)),
        nodes.Dense(name="dense", inputs=("row",), weights=weights(4, 8)),
        nodes.ReLU(name="b", inputs=("dense",)),
        nodes.Concat(name="both", inputs=("flat", "b"), axis=0),
        nodes.Dense(name="dense2", inputs=("both",), weights=weights(44, 12)),
        nodes.ReLU(name="c", inputs=("dense2",)),
        nodes.Dense(name="kinds", inputs=("c",), weights=weights(12, 3)),
        nodes.Softmax(name="soft", inputs=("kinds",)),
        nodes.Dense(name="more", inputs=("c",), weights=weights(12, 2)),
        nodes.Output(name="output_0", inputs=("soft",), origin=("kinds",)),
        nodes.Output(name="output_1", inputs=("more",), origin=("more",)),
    ]
    return Network.build(made)


def samples(rng: np.random.Generator) -> dict[str, FloatArray]:
    return {
        "image": 0.1 * rng.random((SAMPLES, 6, 5, 2), dtype=np.float32),
        "row": rng.normal(0, 20, (SAMPLES, 4)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def case() -> tuple[Network, dict[str, FloatArray], FloatArray, Program]:
    rng = np.random.default_rng(0)
    net, given = network(rng), samples(rng)
    x = join_inputs(given, named_inputs(net), "", "")
    program = compile_network(net, parse_target("loihi1"), checked_options(steps=128), x)
    return net, given, x, program


def test_the_joined_network_computes_the_same(case) -> None:
    net, _, x, program = case
    one = evaluate(net, x)
    logits = evaluate(net, x, keep=["kinds"])["kinds"]
    joined = join_ends(net, x)
    assert (len(joined.inputs), len(joined.outputs)) == (1, 1)
    wanted = np.concatenate([logits, one["output_1"]], axis=1)
    np.testing.assert_allclose(evaluate(joined, x)["outputs"], wanted, rtol=1e-4, atol=1e-4)
    kept = evaluate(float_network(program), x)["outputs"]
    np.testing.assert_allclose(kept, wanted, rtol=1e-4, atol=1e-4)


def test_the_chip_gives_each_output(case) -> None:
    net, _, x, program = case
    logits = evaluate(net, x, keep=["kinds"])["kinds"]
    more = evaluate(net, x)["output_1"]
    scores = Emulator(jobs=1).load(program).run(x).scores
    assert program.outputs == {"kinds": slice(0, 3), "more": slice(3, 5)}
    for name, wanted in (("kinds", logits), ("more", more)):
        found = scores[:, program.outputs[name]]
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.95


def test_labels_are_for_one_output(case) -> None:
    net, _, x, program = case
    y = evaluate(net, x)["output_1"].argmax(axis=1)
    found = evaluate_program(program, Data(x, y, "x"), Emulator(jobs=1), output="more")
    assert found.float_accuracy == 1.0
    assert found.accuracy > 0.8
    assert output_size(program, "kinds") == 3
    with pytest.raises(UsageError, match="name with --output .* kinds, more"):
        evaluate_program(program, Data(x, y, "x"), Emulator(jobs=1))
    with pytest.raises(UsageError, match="of kinds, more"):
        output_size(program, "other")


def test_the_command_line_takes_an_array_for_each_input(
    case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, given, x, program = case
    path, data, out = (str(tmp_path / name) for name in ("net.nmc", "data.npz", "out.npz"))
    program.save(path)
    np.savez(data, **given, y=evaluate(net, x)["output_0"].argmax(axis=1))
    assert main(["eval", path, "--data", data, "--output", "kinds", "--json", "--jobs", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["float_accuracy"] == 1.0
    assert main(["eval", path, "--data", data, "--jobs", "1"]) == 2
    assert "kinds, more" in capsys.readouterr().err
    assert main(["run", path, "--input", data, "-o", out, "--jobs", "1"]) == 0
    with np.load(out) as held:
        assert held["scores/more"].shape == (SAMPLES, 2)
        np.testing.assert_array_equal(held["scores/kinds"], held["scores"][:, :3])


def test_inputs_that_lack_or_differ_are_named(case, tmp_path: Path) -> None:
    net, given, _, _ = case
    inputs = named_inputs(net)
    path = tmp_path / "data.npz"
    np.savez(path, image=given["image"])
    with pytest.raises(DataError, match="holds image, but no array row; .* image, row"):
        load_data(path, net.sample_shape, inputs=inputs)
    np.savez(path, image=given["image"], row=given["row"][:, :3])
    with pytest.raises(DataError, match=r"each sample of row has shape \(3,\)"):
        load_data(path, net.sample_shape, inputs=inputs)
    np.savez(path, x=given["image"])
    with pytest.raises(DataError, match=r"takes \(64,\), all inputs .* image \(6, 5, 2\), row"):
        load_data(path, net.sample_shape, inputs=inputs)
    np.savez(path, image=given["image"], row=given["row"][:5])
    with pytest.raises(DataError, match=r"image \(48,\), row \(5,\)"):
        load_data(path, net.sample_shape, inputs=inputs)


def test_frames_of_all_inputs_follow_each_other(case) -> None:
    net, given, _, _ = case
    frames = {name: np.stack([each, 2 * each], axis=1) for name, each in given.items()}
    found = join_inputs(frames, named_inputs(net), "", "")
    assert found.shape == (SAMPLES, 2, 64)
    np.testing.assert_array_equal(found[:, 1], 2 * found[:, 0])
