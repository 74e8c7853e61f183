"""The encoder: integers only, the same everywhere, at most one spike per neuron and step."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompile.chip.program import INPUT_LIMIT, Encoder, HostConv
from nmcompile.chip.verify_encoder import encoder_faults
from nmcompile.errors import DataError
from nmcompile.host.encoder import encoder_currents, encoder_spikes
from tests.chip.programs import random_program, samples, small_program

#: (numerator, denominator): powers of two, as the compiler chooses.
SCALES = st.sampled_from([0.5, 1.0, 64.0, 2.0**14])


@st.composite
def encoders(draw: st.DrawFn) -> Encoder:
    """One or two integer convolutions of any window, grouping and shift."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, cols, channels = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    layers: list[HostConv] = []
    size = rows * cols * channels
    shape: tuple[int, ...] = (rows, cols, channels)
    for last in (False, True)[draw(st.integers(0, 1)) :]:
        kernel = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        # Negative padding crops; a kernel of 1 then leaves something.
        crop = min(shape[:2]) > 1 and kernel == (1, 1)
        pads = (
            ((-1, 0), (2, -1))
            if crop
            else draw(st.sampled_from([((1, 1), (1, 2)), ((2, 1), (1, 1))]))
        )
        groups = shape[2] if draw(st.booleans()) else 1
        out = groups * draw(st.integers(1, 2))
        view = rng.permutation(size).reshape(shape).astype(np.int32)
        view[rng.random(view.shape) < 0.1] = -1
        places = [
            (n + sum(p) - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(shape[:2], pads, dilation, kernel, stride, strict=True)
        ]
        bits = draw(st.sampled_from([3, 8, 15]))
        low = draw(st.sampled_from([-1, 0]))
        weights = rng.integers(low << bits, 1 << bits, (*kernel, shape[2] // groups, out))
        bias = rng.integers(-(1 << 20), 1 << 20, prod(places) * out)
        layers.append(
            HostConv(
                view=view,
                weights=weights.astype(np.int32),
                bias=bias.astype(np.int64),
                stride=stride,
                padding=pads,
                dilation=dilation,
                groups=groups,
                ceiling=1 << draw(st.integers(4, 24)),
                shift=0 if last else draw(st.integers(0, 6)),
            )
        )
        shape, size = (places[0], places[1], out), prod(places) * out
    return Encoder(
        name="encoder",
        input_shape=(rows, cols, channels),
        shape=shape,
        input_scale=draw(SCALES),
        layers=tuple(layers),
        threshold=layers[-1].ceiling,
        mode="conv",
    )


def rounded(value: float) -> int:
    """Half to even, then clipped to 16 bits."""
    return max(-INPUT_LIMIT, min(INPUT_LIMIT, round(value)))


def plain_currents(encoder: Encoder, sample: np.ndarray) -> list[int]:
    """What the encoder's docstring says, in Python's own integers."""
    value = [rounded(float(x) * encoder.input_scale) for x in sample.reshape(-1)]
    for conv in encoder.layers:
        value = plain_layer(conv, value)
    return value


def plain_layer(conv: HostConv, value: list[int]) -> list[int]:
    (top, bottom), (left, right) = conv.padding
    rows, cols, _ = conv.view.shape
    kernel_rows, kernel_cols, depth, out = conv.weights.shape

    def at(row: int, col: int, channel: int) -> int:
        if not (0 <= row < rows and 0 <= col < cols):
            return 0
        source = int(conv.view[row, col, channel])
        return value[source] if source >= 0 else 0

    high = (rows + top + bottom - conv.dilation[0] * (kernel_rows - 1) - 1) // conv.stride[0] + 1
    wide = (cols + left + right - conv.dilation[1] * (kernel_cols - 1) - 1) // conv.stride[1] + 1
    made: list[int] = []
    for row, col, target in product(range(high), range(wide), range(out)):
        group = target // (out // conv.groups)
        total = int(conv.bias[len(made)])
        for i, j, k in product(range(kernel_rows), range(kernel_cols), range(depth)):
            place = (
                row * conv.stride[0] - top + i * conv.dilation[0],
                col * conv.stride[1] - left + j * conv.dilation[1],
                group * depth + k,
            )
            total += at(*place) * int(conv.weights[i, j, k, target])
        made.append(max(0, min(conv.ceiling, total)) >> conv.shift)
    return made


@settings(max_examples=60, deadline=None)
@given(encoders(), st.integers(0, 2**32 - 1))
def test_currents_equal_arithmetic_in_plain_python(encoder: Encoder, seed: int) -> None:
    assert not list(encoder_faults(encoder))
    rng = np.random.default_rng(seed)
    spread = rng.choice([0.01, 1.0, 1000.0])
    x = (rng.normal(size=(2, *encoder.input_shape)) * spread).astype(np.float32)
    x[0].flat[0] = 2.5 / encoder.input_scale
    currents = encoder_currents(encoder, x)
    assert currents.dtype == np.int64
    assert currents.min() >= 0
    assert currents.max() <= encoder.threshold
    for sample, found in zip(x, currents, strict=True):
        assert found.tolist() == plain_currents(encoder, sample)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 2**40), st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(1, 70))
def test_spikes_come_as_often_as_current_and_threshold_say(
    threshold: int, shares: list[float], steps: int
) -> None:
    encoder = Encoder("e", (1,), (len(shares),), 1.0, (), threshold, "on")
    currents = np.array([[int(share * threshold) for share in shares]], np.int64)
    spikes = encoder_spikes(encoder, currents, steps)
    assert spikes.shape == (1, steps, len(shares))
    assert spikes.dtype == bool, "so there cannot be two in a step"
    for k, current in enumerate(currents[0].tolist()):
        voltage, plain = threshold // 2, []
        for _ in range(steps):
            voltage += current
            plain.append(voltage >= threshold)
            voltage -= threshold * plain[-1]
        assert spikes[0, :, k].tolist() == plain
        assert abs(sum(plain) - steps * current / threshold) <= 1


def test_full_current_fires_in_every_step_and_none_never() -> None:
    encoder = Encoder("e", (2,), (2,), 1.0, (), 1000, "on")
    spikes = encoder_spikes(encoder, np.array([[1000, 0]]), 9)
    assert spikes[0, :, 0].all()
    assert not spikes[0, :, 1].any()


def test_inputs_out_of_range_are_clipped() -> None:
    encoder = small_program().encoder
    largest = INPUT_LIMIT / encoder.input_scale
    shape = (1, *encoder.input_shape)
    for sign in (1, -1):
        at = encoder_currents(encoder, np.full(shape, sign * largest, np.float32))
        for far in (2 * largest, 1e30):
            beyond = encoder_currents(encoder, np.full(shape, sign * far, np.float32))
            np.testing.assert_array_equal(beyond, at)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs_that_are_no_numbers_are_refused(value: float) -> None:
    encoder = small_program().encoder
    x = np.zeros((2, *encoder.input_shape), np.float32)
    x[1, 0] = value
    with pytest.raises(DataError, match=r"10 input values are NaN or infinite"):
        encoder_currents(encoder, x)


def test_inputs_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(9, 10, 1\).*\(10, 10, 1\)"):
        encoder_currents(small_program().encoder, np.zeros((1, 9, 10, 1), np.float32))


@pytest.mark.parametrize("seed", range(6))
def test_currents_do_not_depend_on_how_many_samples_go_together(seed: int) -> None:
    program = random_program(seed)
    x = samples(program, 7)
    together = encoder_currents(program.encoder, x)
    alone = np.concatenate([encoder_currents(program.encoder, x[k : k + 1]) for k in range(7)])
    np.testing.assert_array_equal(together, alone)
    assert together.any()


def test_a_compiled_encoder_is_exact() -> None:
    for program in (small_program(), *map(random_program, range(6))):
        encoder = program.encoder
        assert not list(encoder_faults(encoder))
        x = samples(program, 1)
        assert encoder_currents(encoder, x)[0].tolist() == plain_currents(encoder, x[0])


def test_on_and_off_neurons_of_many_channels_need_no_matrix_of_all_of_them() -> None:
    channels = 20_000
    conv = HostConv(
        view=np.arange(channels, dtype=np.int32).reshape(1, 1, -1),
        weights=np.tile(np.array([1, -1], np.int32), channels).reshape(1, 1, 1, -1),
        bias=np.zeros(2 * channels, np.int64),
        stride=(1, 1),
        padding=((0, 0), (0, 0)),
        dilation=(1, 1),
        groups=channels,
        ceiling=1000,
    )
    encoder = Encoder("e", (channels,), (1, 1, 2 * channels), 1.0, (conv,), 1000, "on-off")
    x = np.arange(channels, dtype=np.float32) % 1001 - 500
    on_off = encoder_currents(encoder, x[None])[0].reshape(channels, 2)
    assert np.array_equal(on_off[:, 0] - on_off[:, 1], x)
    assert (on_off.min(axis=1) == 0).all()


def test_no_samples_give_no_currents() -> None:
    for program in (small_program(), *map(random_program, range(6))):
        encoder = program.encoder
        none = np.zeros((0, *encoder.input_shape), np.float32)
        assert encoder_currents(encoder, none).shape == (0, prod(encoder.shape))


def test_sums_that_float64_cannot_hold_are_a_fault() -> None:
    conv = HostConv(
        view=np.arange(2**9, dtype=np.int32).reshape(1, 1, -1),
        weights=np.full((1, 1, 2**9, 1), 2**30, np.int32),
        bias=np.zeros(1, np.int64),
        stride=(1, 1),
        padding=((0, 0), (0, 0)),
        dilation=(1, 1),
        groups=1,
        ceiling=1000,
    )
    encoder = Encoder("e", (2**9,), (1,), 1.0, (conv,), 1000, "conv")
    (fault,) = encoder_faults(encoder)
    assert str(2**53 - 1) in fault
