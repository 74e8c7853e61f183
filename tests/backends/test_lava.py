"""What is exported to Lava is the Program's layers; what Lava lacks is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmcompile.backends.emulator import Emulator
from nmcompile.backends.lava import Lava, runner, write_folder
from nmcompile.backends.lava.links import Link, fan_out, is_convolution, lava_links
from nmcompile.backends.lava.network import lava_network
from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.chip.discrete_tensors import discrete_graph
from nmcompile.chip.program import Program
from nmcompile.errors import CompileError, UsageError
from nmcompile.ir.layers import Connection, Window
from tests.chip.programs import compiled, random_program, samples, small_program
from tests.mapper.tables import through
from tests.networks import random_network

SIZES = {"a": 0, "b": 0}


def matrix(link: Link, shape: tuple[int, int]) -> np.ndarray:
    """(targets, sources) mantissas of one process, by the rules that Lava documents."""
    if link.kind == "dense":
        return link.arrays["weights"].astype(np.int64)
    whole = np.zeros(shape, np.int64)
    if link.kind == "sparse":
        keys = list(zip(link.arrays["row"].tolist(), link.arrays["column"].tolist(), strict=True))
        assert len(set(keys)) == len(keys), "one synapse between two neurons"
        whole[link.arrays["row"], link.arrays["column"]] = link.arrays["weights"]
        return whole
    kernel, options = link.arrays["weights"], link.options
    out, kh, kw, per_group = kernel.shape
    rows, columns, channels = options["input_shape"]
    (sy, sx), (py, px), (dy, dx) = (options[key] for key in ("stride", "padding", "dilation"))
    high = (rows + 2 * py - dy * (kh - 1) - 1) // sy + 1
    wide = (columns + 2 * px - dx * (kw - 1) - 1) // sx + 1
    per = out // options["groups"]
    for y, x, o, i, j, c in np.ndindex(high, wide, out, kh, kw, per_group):
        row, column = y * sy - py + i * dy, x * sx - px + j * dx
        if 0 <= row < rows and 0 <= column < columns:
            source = (row * columns + column) * channels + (o // per) * per_group + c
            # A convolution flips its kernel.
            whole[(y * wide + x) * out + o, source] += kernel[o, kh - 1 - i, kw - 1 - j, c]
    return whole


def check(connection: DiscreteConnection, sources: int) -> list[str]:
    """Check that processes add up to a connection; their kinds."""
    link = connection.link
    wanted = through(link, np.eye(sources)).T
    sizes = {link.source: sources, link.target: len(wanted)}
    links = lava_links(connection, sizes)
    total = sum(matrix(each, (len(wanted), sources)) for each in links)
    assert np.array_equal(total, wanted)
    assert all(each.options["delay"] == connection.delay for each in links)
    return [each.kind for each in links]


@pytest.mark.parametrize("seed", range(8))
def test_links_of_random_networks_are_their_connections(seed: int) -> None:
    graph = discrete_graph(random_program(seed))
    for connection in graph.connections:
        check(connection, graph.sizes()[connection.link.source])


def made(view: np.ndarray, kernel: tuple[int, ...], window: Window, delay: int = 0) -> Connection:
    rng = np.random.default_rng(0)
    weights = 2 * rng.integers(-100, 100, kernel).astype(np.int16)
    return Connection("a", "b", view.astype(np.int32), weights, window, delay=delay)


PLAIN = np.arange(60).reshape(5, 4, 3)
CASES = {
    "conv": (PLAIN, (3, 2, 3, 4), Window((3, 2), padding=((1, 1), (0, 0))), 0, ["conv"]),
    "strides": (PLAIN, (2, 2, 3, 4), Window((2, 2), stride=(2, 1)), 0, ["conv"]),
    "dilation": (PLAIN, (2, 2, 3, 2), Window((2, 2), dilation=(3, 2)), 0, ["conv"]),
    "groups": (PLAIN, (2, 3, 1, 6), Window((2, 3), groups=3), 0, ["conv"]),
    "uneven": (PLAIN, (2, 2, 3, 2), Window((2, 2), padding=((1, 0), (0, 2))), 0, ["sparse"]),
    "cropped": (PLAIN, (2, 2, 3, 2), Window((2, 2), padding=((-1, -1), (0, 0))), 0, ["sparse"]),
    "delayed": (PLAIN, (2, 2, 3, 2), Window((2, 2)), 5, ["sparse"]),
    "turned": (PLAIN[::-1], (2, 2, 3, 2), Window((2, 2)), 0, ["sparse"]),
    "holes": (np.where(PLAIN % 7, PLAIN, -1), (2, 2, 3, 2), Window((2, 2)), 0, ["sparse"]),
    "matrix": (np.arange(60).reshape(1, 1, 60), (1, 1, 60, 7), Window((1, 1)), 0, ["dense"]),
    "twice": (PLAIN % 30, (5, 4, 3, 2), Window((5, 4)), 0, ["dense", "dense"]),
}


@pytest.mark.parametrize("case", CASES)
def test_links_of_every_geometry(case: str) -> None:
    view, kernel, window, delay, kinds = CASES[case]
    link = made(view, kernel, window, delay)
    sources = int(view.max()) + 1
    assert check(DiscreteConnection(link, 0, 8, 1), sources) == kinds
    assert is_convolution(DiscreteConnection(link, 0, 8, 1), sources) == (kinds == ["conv"])
    wanted = 0
    for k in range(sources):
        one = replace(link, view=np.where(link.view == k, 0, -1).astype(np.int32))
        ones = replace(one, weights=(link.weights != 0).astype(np.int16))
        wanted += (total := int(through(ones, np.ones((1, 1))).sum()))
        assert fan_out(link, sources)[k] == total
    assert wanted > 0


def test_a_program_lists_its_registers() -> None:
    program = small_program()
    network = lava_network(program)
    graph = discrete_graph(program)
    assert [each.name for each in network.populations] == [layer.name for layer in graph.layers]
    for mine, layer in zip(network.populations, graph.layers, strict=True):
        assert (mine.du, mine.dv, mine.vth) == (
            layer.decay_u, layer.decay_v, layer.threshold_mantissa,
        )  # fmt: skip
        assert np.array_equal(mine.v, layer.initial_voltage)


def test_fan_out_gives_the_synaptic_events_of_the_emulator() -> None:
    from nmcompile.backends.base import Probe

    program = small_program()
    x = samples(program, 2)
    names = [program.encoder.name, *(layer.name for layer in program.layers)]
    result = Emulator(1).load(program).run(x, probes=[Probe(name, "spikes") for name in names])
    counts = lava_network(program).fan_out
    events = sum(result.probes[Probe(n, "spikes")].sum(axis=1) @ counts[n] for n in names)
    assert np.array_equal(events, result.synaptic_events)


def edited(program: Program, **registers: int) -> Program:
    """A Program whose first discretised layer has other registers."""
    manifest = json.loads(json.dumps(program.manifest))
    manifest["discrete"]["layers"][0].update(registers)
    return replace(program, manifest=manifest)


def noisy(program: Program) -> Program:
    core = program.cores[0]
    profiles = replace(core.profiles, noise=np.ones_like(core.profiles.noise))
    return replace(program, cores=(replace(core, profiles=profiles), *program.cores[1:]))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda p: edited(p, refractory=3), r"conv.*refractory register is 3"),
        (
            lambda p: edited(p, vmin_exponent=0),
            r"conv.*vmin and vmax registers limit voltages to 0",
        ),
        (lambda p: edited(p, vmax_exponent=6), r"conv.*vmin and vmax registers"),
        (noisy, "has noise"),
    ],
    ids=["refractory", "vmin", "vmax", "noise"],
)
def test_what_lava_lacks_is_refused(edit: Callable[[Program], Program], said: str) -> None:
    with pytest.raises(CompileError, match=said):
        lava_network(edit(small_program()))


def test_weights_that_lava_would_round_otherwise_are_refused() -> None:
    link = made(PLAIN, (2, 2, 3, 2), Window((2, 2)))
    assert lava_links(DiscreteConnection(link, -1, 8, 1), {"a": 60, "b": 24})
    with pytest.raises(CompileError, match="a -> b: its weight exponent is -3"):
        lava_links(DiscreteConnection(link, -3, 8, 1), {"a": 60, "b": 24})


def test_real_options_that_lava_lacks_are_refused_by_layer() -> None:
    program = compiled(random_network(1), neuron={"refractory": 0.003, "max_rate": 200.0})
    with pytest.raises(CompileError, match="refractory register is"):
        lava_network(program)


def test_a_folder_is_whole_and_its_spikes_are_the_encoder_s(tmp_path: Path) -> None:
    program = small_program()
    x = samples(program, 3)
    write_folder(program, tmp_path / "net", x, steps=9, source="net.nmc")
    assert sorted(each.name for each in (tmp_path / "net").iterdir()) == [
        "input.npz", "network.json", "network.npz", "run.py",
    ]  # fmt: skip
    network = runner.Network(tmp_path / "net")
    spikes, meta = runner.load_spikes(tmp_path / "net" / "input.npz", network)
    assert spikes.shape == (3, 9, int(np.prod(program.encoder.shape)))
    result = Emulator(1).load(program).run(x, 9)
    assert np.array_equal(spikes.sum(axis=(1, 2)), result.spikes[program.encoder.name])
    assert meta["program"] == "net.nmc"
    damaged = bytearray((tmp_path / "net" / "network.npz").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "net" / "network.npz").write_bytes(bytes(damaged))
    with pytest.raises(runner.RunnerError, match="is damaged, or of another export"):
        runner.Network(tmp_path / "net")


@pytest.mark.parametrize("readout", ["host", "chip"])
def test_the_runner_decodes_as_the_host_does(tmp_path: Path, readout: str) -> None:
    from nmcompile.backends.base import Probe

    program = compiled(random_network(2), steps=11, readout=readout)
    x = samples(program, 3)
    write_folder(program, tmp_path / "net", x)
    network = runner.Network(tmp_path / "net")
    quantity = {"counts": "spikes", "voltage": "v"}[program.read_out.kind]
    probes = [Probe(name, quantity) for name in program.read_out.layers]
    result = Emulator(1).load(program).run(x, probes=probes)
    weights = network.arrays["read/step_weights"]
    counted = [
        result.probes[each][:, -1] if quantity == "v"
        else np.einsum("t,stn->sn", weights, result.probes[each].astype(np.int64))
        for each in probes
    ]  # fmt: skip
    assert np.array_equal(runner.scores(network, counted), result.scores)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network", "nowhere"], "no whole network"),
        (["--input", "nowhere.npz"], "holds no spikes of this network's encoder"),
        (["--probe", "conv:w"], "--probe conv:w: the form is LAYER:spikes"),
        (["--probe", "enc:v"], "the first with spikes alone"),
    ],
)
def test_the_runner_refuses_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], said: str,
) -> None:  # fmt: skip
    write_folder(small_program(), tmp_path, samples(small_program(), 1))
    for name in ("lava", "lava.proc", "lava.proc.lif", "lava.proc.lif.process"):
        monkeypatch.setitem(sys.modules, name, sys.modules["json"])
    words = words if words[0] == "--network" else ["--network", str(tmp_path), *words]
    assert runner.main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


def test_a_python_without_lava_is_told_apart(tmp_path: Path) -> None:
    program = small_program()
    write_folder(program, tmp_path, samples(program, 1))
    words = [sys.executable, "-S", str(tmp_path / "run.py")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    session = Lava(tmp_path / "no-python").load(program)
    with pytest.raises(UsageError, match="no-python cannot be run"):
        session.run(samples(program, 1))


def test_a_failed_run_is_an_error_in_its_words(tmp_path: Path) -> None:
    program = small_program()
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'error: the chip is in use' >&2\nexit 1\n")
    fake.chmod(0o755)
    from nmcompile.errors import DataError

    with pytest.raises(DataError, match="the run in Lava failed: the chip is in use"):
        Lava(fake).load(program).run(samples(program, 1))
    fake.write_text("#!/bin/sh\necho 'error: this Python has no Lava (x)' >&2\nexit 1\n")
    with pytest.raises(UsageError, match="this Python has no Lava"):
        Lava(fake).load(program).run(samples(program, 1))
    fake.write_text("#!/bin/sh\nsleep 30\n")
    with pytest.raises(DataError, match=r"did not finish within 0\.2 s"):
        Lava(fake, time_limit_s=0.2).load(program).run(samples(program, 1))
