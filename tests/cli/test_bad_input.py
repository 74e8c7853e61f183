"""Bad models, data and options: one sentence, the right exit status, no file written."""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from nmcompile.chip.program import Program
from tests.cli.support import MODEL, MODELS, Command, Files

sys.path.insert(0, str(MODELS.parent))
try:
    from files import edit_weights, layer, parts, sequential, weights_file, write_keras
finally:
    sys.path.pop(0)

Kept = Callable[[], Path]


def filled(value: float, every: bool) -> Callable[[h5py.File], None]:
    """Set all arrays, or one number of each, to a value."""

    def change(file: h5py.File) -> None:
        def visit(_: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.size:
                array = item[...]
                if every:
                    array[...] = value
                else:
                    array.flat[0] = value
                item[...] = array

        file.visititems(visit)

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(
    command: Command, kept: Kept, tmp_path: Path, value: float
) -> None:
    config, weights = parts(MODEL.name)
    path = write_keras(
        tmp_path / "bad.keras", config, edit_weights(weights, filled(value, every=False))
    )
    command("build", path, "-o", kept()).refused("bad.keras", status=(1,))
    command("check", path).refused("bad.keras", status=(1,))
    kept()


def test_a_layer_of_zero_weights_builds_and_is_silent(
    command: Command, files: Files, tmp_path: Path
) -> None:
    config, weights = parts(MODEL.name)
    path = write_keras(
        tmp_path / "zero.keras", config, edit_weights(weights, filled(0.0, every=True))
    )
    net = tmp_path / "zero.nmc"
    built = command("build", path, "--calibrate", files.calibrate, "-o", net)
    assert built.status == 0, built.err
    assert "silent" in built.err
    found = command("run", net, "--input", files.data, "--json")
    assert found.status == 0, found.err
    assert set(found.json["spikes_per_sample"].values()) == {0.0}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_model_file_that_is_cut_short(
    command: Command, kept: Kept, tmp_path: Path, share: float
) -> None:
    data = MODEL.read_bytes()
    path = tmp_path / "cut.keras"
    path.write_bytes(data[: int(len(data) * share)])
    command("build", path, "-o", kept()).refused("cut.keras", status=(1,))
    command("check", path).refused("cut.keras", status=(1,))
    kept()


def test_a_model_file_with_damaged_bytes(command: Command, kept: Kept, tmp_path: Path) -> None:
    config, weights = parts(MODEL.name)
    path = write_keras(tmp_path / "bad.keras", config, weights[: len(weights) // 2])
    command("build", path, "-o", kept()).refused("bad.keras", status=(1,))
    write_keras(path, "{not json", weights)
    command("build", path, "-o", kept()).refused("bad.keras", status=(1,))
    path.write_bytes(b"\x00\xff" * 1000)
    command("build", path, "-o", kept()).refused("bad.keras", status=(1,))
    kept()


def test_files_that_are_not_there(command: Command, files: Files, kept: Kept) -> None:
    command("build", "none.keras", "-o", kept()).refused("none.keras", status=(1, 2))
    command("run", "none.nmc", "--input", files.data).refused("none.nmc", status=(1,))
    command("run", files.program, "--input", "none.npz", "-o", kept()).refused("none.npz")
    command("eval", files.program, "--data", "none.npz").refused("none.npz", status=(1,))
    command("build", files.model, "--calibrate", "none.npz", "-o", kept()).refused("none.npz")
    kept()


def test_a_folder_is_no_model(command: Command, kept: Kept, tmp_path: Path) -> None:
    command("build", tmp_path, "-o", kept()).refused(str(tmp_path.name))


@pytest.mark.parametrize(
    "layers",
    [[], [layer("Flatten", "flat")]],
    ids=["nothing", "flatten"],
)
def test_a_network_with_nothing_for_the_chip(
    command: Command, kept: Kept, tmp_path: Path, layers: list[object]
) -> None:
    path = write_keras(tmp_path / "empty.keras", sequential(*layers))
    command("build", path, "-o", kept()).refused(status=(1,))
    command("check", path).refused(status=(1,))
    kept()


def save(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def broken_data(files: Files) -> dict[str, tuple[dict[str, object], tuple[str, ...]]]:
    """Arrays of a data file, and words that the error must hold."""
    x, y = files.x, files.y
    return {
        "no x": ({"images": x, "y": y}, ("images", "no array x")),
        "nothing at all": ({}, ("nothing", "no array x")),
        "one axis less": ({"x": x[..., 0], "y": y}, (str(x.shape[1:3]), "last axis")),
        "one sample alone": ({"x": x[0], "y": y[:1]}, (str(x.shape[1:]),)),
        "a number": ({"x": np.float32(3), "y": y}, ("axes",)),
        "strings": ({"x": np.array(["a", "b"]), "y": y}, ("type",)),
        "complex numbers": ({"x": x + 1j, "y": y}, ("complex",)),
        "objects": ({"x": np.array([{}, []], object), "y": y}, ("not a readable .npz",)),
        "no samples": ({"x": x[:0], "y": y[:0]}, ("no samples",)),
        "NaN": ({"x": np.where(x > 0.5, np.nan, x), "y": y}, ("NaN",)),
        "infinite": ({"x": np.full_like(x, np.inf), "y": y}, ("infinite",)),
        "beyond float32": ({"x": x.astype(float) + 1e300, "y": y}, ("infinite",)),
    }


DATA = [
    "no x",
    "nothing at all",
    "one axis less",
    "one sample alone",
    "a number",
    "strings",
    "complex numbers",
    "objects",
    "no samples",
    "NaN",
    "infinite",
    "beyond float32",
]


@pytest.mark.parametrize("what", DATA)
def test_data_of_the_wrong_shape_or_type(
    command: Command, files: Files, kept: Kept, tmp_path: Path, what: str
) -> None:
    arrays, words = broken_data(files)[what]
    path = save(tmp_path / "bad.npz", **arrays)
    words = ("bad.npz", *words)
    command("run", files.program, "--input", path, "-o", kept()).refused(*words, status=(1,))
    command("eval", files.program, "--data", path, "--resume", tmp_path / "r").refused(*words)
    command("build", files.model, "--calibrate", path, "-o", kept()).refused(*words, status=(1,))
    assert not (tmp_path / "r").exists()
    kept()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no y", ("no labels y",)),
        ("one too few", ("y has shape (11,)", "12")),
        ("one-hot", ("y has shape (12, 5)",)),
        ("floats", ("float",)),
        ("strings", ("type <U",)),
        ("empty", ("y has shape (0,)",)),
        ("too large", ("from 0 to 5", "5 outputs", "0 to 4")),
        ("negative", ("from -1 to",)),
        ("NaN", ("float",)),
    ],
)
def test_labels_that_cannot_be(
    command: Command, files: Files, tmp_path: Path, what: str, words: tuple[str, ...]
) -> None:
    y = files.y
    labels: dict[str, object] = {
        "one too few": y[:-1],
        "one-hot": np.eye(5, dtype=int)[y],
        "floats": y + 0.5,
        "strings": y.astype(str),
        "empty": y[:0],
        "too large": np.arange(12) % 6,
        "negative": y - y.min() - 1,
        "NaN": y * np.nan,
    }
    arrays = {"x": files.x} if what == "no y" else {"x": files.x, "y": labels[what]}
    path = save(tmp_path / "bad.npz", **arrays)
    command("eval", files.program, "--data", path).refused("bad.npz", *words, status=(1,))


def test_labels_may_be_floats_of_whole_value_or_a_column(
    command: Command, files: Files, tmp_path: Path
) -> None:
    expected = command("eval", files.program, "--data", files.data, "--json").json["accuracy"]
    for k, y in enumerate((files.y.astype(np.float32), files.y[:, None], files.y.astype(np.uint8))):
        path = save(tmp_path / f"{k}.npz", x=files.x, y=y)
        found = command("eval", files.program, "--data", path, "--json").json
        assert found["accuracy"] == expected


def test_what_needs_no_labels_takes_any(command: Command, files: Files, tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x=np.tile(files.x, (2, 1, 1, 1)), y=np.full((24, 5), 0.5))
    assert command("run", files.program, "--input", path).status == 0
    net = tmp_path / "n.nmc"
    assert command("build", files.model, "--calibrate", path, "-o", net).status == 0


def test_data_files_that_are_no_npz(
    command: Command, files: Files, kept: Kept, tmp_path: Path
) -> None:
    path = tmp_path / "bad.npz"
    whole = files.data.read_bytes()
    single = tmp_path / "single.npy"
    np.save(single, files.x)
    compressed = tmp_path / "compressed.npz"
    np.savez_compressed(compressed, x=files.x)
    flipped = bytearray(compressed.read_bytes())
    flipped[len(flipped) // 2 : len(flipped) // 2 + 40] = bytes(40)
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': import os}")
    for data in (
        b"",
        b"x",
        whole[:100],
        whole[: len(whole) // 2],
        whole[:-10],
        single.read_bytes(),
        pickle.dumps({"x": files.x}),
        bytes(flipped),
        (tmp_path / "text.zip").read_bytes(),
    ):
        path.write_bytes(data)
        outcome = command("run", files.program, "--input", path, "-o", kept())
        assert "allow_pickle=`" not in outcome.refused("bad.npz", status=(1,))
    kept()


def test_one_calibration_image_is_enough_but_earns_a_warning(
    command: Command, files: Files, tmp_path: Path
) -> None:
    path = save(tmp_path / "one.npz", x=files.x[:1])
    outcome = command("build", files.model, "--calibrate", path, "-o", tmp_path / "n.nmc")
    assert outcome.status == 0
    assert outcome.err.startswith("warning: only 1 calibration sample")
    assert Program.load(tmp_path / "n.nmc").manifest["calibration_samples"] == 1


BAD_OPTIONS = [
    (("--steps", "0"), "steps"),
    (("--steps", "many"), "--steps"),
    (("--dt", "-1"), "dt"),
    (("--dt", "nan"), "dt"),
    (("--synapse", "-0.1"), "synapse"),
    (("--tau-rc", "0"), "tau-rc"),
    (("--tau-rc", "inf"), "tau-rc"),
    (("--refractory", "-1"), "refractory"),
    (("--max-rate", "0"), "max-rate"),
    (("--rate-scale", "nan"), "rate-scale"),
    (("--percentile", "101"), "percentile"),
    (("--threshold-gain", "0"), "threshold-gain"),
    (("--weight-bits", "7"), "weight-bits"),
    (("--seed", "-1"), "seed"),
    (("--host-layers", "-1"), "host-layers"),
    (("--encoder", "off"), "encoder"),
    (("--readout", "cloud"), "readout"),
    (("--target", "loihi9"), "loihi9"),
    (("--target", "loihi1:desk"), "desk"),
    (("--target", "../loihi1"), "../loihi1"),
    (("--layer", "conv2d_1"), "NAME:option=value"),
    (("--layer", ":tau-rc=1"), "NAME:option=value"),
    (("--layer", "conv2d_1:"), "none of"),
    (("--layer", "conv2d_1:colour=3"), "colour"),
    (("--layer", "conv2d_1:tau-rc=slow"), "slow"),
    (("--layer", "conv2d_1:tau-rc"), "no number"),
    (("--layer", "conv2d_1:tau-rc=-1"), "tau-rc"),
    (("--layer", "nowhere:tau-rc=0.02"), "nowhere"),
    (("--colour", "red"), "--colour"),
]


@pytest.mark.parametrize(("words", "named"), BAD_OPTIONS, ids=[" ".join(w) for w, _ in BAD_OPTIONS])
def test_build_options_out_of_range_are_named(
    command: Command, files: Files, kept: Kept, words: tuple[str, ...], named: str
) -> None:
    outcome = command("build", files.model, "--calibrate", files.calibrate, "-o", kept(), *words)
    outcome.refused(named, status=(2,))
    kept()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--steps", "0"), "steps"),
        (("--limit", "0"), "--limit"),
        (("--jobs", "0"), "--jobs"),
        (("--probe", "nowhere:v"), "nowhere"),
        (("--probe", "re_lu:colour"), "colour"),
        (("--probe", ":v"), "--probe"),
        (("--probe", ""), "--probe"),
    ],
)
def test_run_options_out_of_range_are_named(
    command: Command, files: Files, kept: Kept, words: tuple[str, ...], named: str
) -> None:
    outcome = command("run", files.program, "--input", files.data, "-o", kept(), *words)
    outcome.refused(named, status=(2,))
    kept()


def test_the_encoder_has_no_voltage_to_probe(
    command: Command, files: Files, tmp_path: Path
) -> None:
    name = Program.load(files.program).encoder.name
    words = ("run", files.program, "--input", files.data, "--probe", f"{name}:v")
    outcome = command(*words, "-o", tmp_path / "out.npz")
    outcome.refused(f"{name}:v", "spikes only", status=(2,))


def test_a_probe_without_a_result_file_is_refused(command: Command, files: Files) -> None:
    outcome = command("run", files.program, "--input", files.data, "--probe", "fc:v")
    outcome.refused("--probe records into a result file", "-o", status=(2,))


def test_an_output_that_is_an_input_is_refused_and_kept(
    command: Command, files: Files, tmp_path: Path
) -> None:
    data = tmp_path / "data.npz"
    data.write_bytes(Path(files.data).read_bytes())
    before = data.read_bytes()
    outcome = command("run", files.program, "--input", data, "-o", data)
    outcome.refused("is an input of this command", status=(2,))
    outcome = command("build", data, "-o", data)
    outcome.refused("is an input of this command", status=(2,))
    assert data.read_bytes() == before


@pytest.mark.parametrize("words", [("targets", "loihi9"), ("targets", "loihi1:desk")])
def test_unknown_targets_are_named_with_the_known_ones(
    command: Command, words: tuple[str, ...]
) -> None:
    outcome = command(*words)
    outcome.refused(words[1].rpartition(":")[2], "known: ", status=(2,))


def test_a_program_for_another_input_is_named(
    command: Command, files: Files, tmp_path: Path
) -> None:
    path = save(tmp_path / "large.npz", x=np.zeros((2, 28, 28, 1), np.float32))
    outcome = command("run", files.program, "--input", path)
    outcome.refused("(28, 28, 1)", str(files.x.shape[1:]), status=(1,))


def test_a_million_inputs_end_soon_with_a_reason(files: Files, tmp_path: Path) -> None:
    import subprocess
    import time

    size, rng = 1_000_000, np.random.default_rng(0)
    dense = {"use_bias": True}
    config = sequential(
        layer("Flatten", "flat"),
        layer("Dense", "wide", units=2, activation="relu", **dense),
        layer("Dense", "scores", units=2, activation="linear", **dense),
        shape=(1, 1, size),
    )
    weights = weights_file(
        {
            "layers/dense/vars/0": (rng.normal(size=(size, 2)) / 1000).astype(np.float32),
            "layers/dense/vars/1": np.zeros(2, np.float32),
            "layers/dense_1/vars/0": np.ones((2, 2), np.float32),
            "layers/dense_1/vars/1": np.zeros(2, np.float32),
        }
    )
    path = write_keras(tmp_path / "million.keras", config, weights)
    # In a process of its own, which cannot take the machine's memory with it.
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30));"
        "from nmcompile.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, "build", str(path), "-o", str(tmp_path / "n.nmc")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert time.perf_counter() - begin < 60
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(errors) == 1, done.stderr
    assert "wide" in errors[0], errors[0]
    assert "a core has 16384" in errors[0], errors[0]
    assert not (tmp_path / "n.nmc").exists()


def test_debug_shows_where_an_error_came_from(command: Command, files: Files) -> None:
    for words in (("--debug", "inspect", files.data), ("inspect", files.data, "--debug")):
        outcome = command(*words)
        assert outcome.status == 1
        assert "Traceback" in outcome.err
        assert outcome.err.splitlines()[-1].startswith("error: ")


def test_a_fault_of_our_own_asks_for_a_report(
    command: Command, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: object) -> None:
        raise ZeroDivisionError("several\nlines")

    monkeypatch.setattr(Program, "load", broken)
    outcome = command("inspect", files.program)
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "ZeroDivisionError: several lines" in outcome.err
    assert "--debug" in outcome.err


def test_memory_that_runs_out_is_said_plainly(
    command: Command, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(path: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Program, "load", greedy)
    command("inspect", files.program).refused("out of memory", status=(1,))
