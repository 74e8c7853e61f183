"""Layers that are quantised already reach the registers as they are, or are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nmcompile.errors import CompileError, NmcompileWarning
from nmcompile.hardware import parse_target
from nmcompile.ir.layers import Connection, NeuronLayer, Window
from nmcompile.ir.nodes import Spiking
from nmcompile.ir.registers import Registers, decayed
from nmcompile.passes.exact import exact_layer, exact_links

HARDWARE = parse_target("loihi2").hardware


def link(*weights: int) -> Connection:
    """A connection whose weights have these values, in units of the file."""
    view = np.arange(len(weights), dtype=np.int32).reshape(1, 1, -1)
    held = 64 * np.array(weights, np.float32).reshape(1, 1, -1, 1)
    return Connection("a", "b", view, held, Window((1, 1)))


def layer(bias: float = 0.0, **changed: Any) -> NeuronLayer:
    """One neuron with registers."""
    registers = Registers(decay_u=4095, decay_v=0)
    neuron = replace(
        Spiking(name="b", own=True, threshold=640.0, registers=registers),
        **{k: v for k, v in changed.items() if k == "threshold"},
    )
    rest = {k: v for k, v in changed.items() if k != "threshold"}
    neuron = replace(neuron, registers=replace(registers, **rest))
    return NeuronLayer("b", (1,), neuron, np.array([bias], np.float32), "chip", 1)


@pytest.mark.parametrize(
    "weights", [(1, 3, 5), (127, -128), (254, -256), (255, 0), (-255, -1), (508, -4), (0, 0), (1,)]
)
def test_mantissas_and_exponents_give_the_weights_again(weights: tuple[int, ...]) -> None:
    (made,) = exact_links([link(*weights)], 8, HARDWARE)
    mantissa = made.link.weights.reshape(-1).astype(int)
    shifted = mantissa << made.exponent if made.exponent >= 0 else mantissa >> -made.exponent
    assert shifted.tolist() == list(weights)


def test_connections_into_a_layer_share_a_format_where_one_holds_them() -> None:
    made = exact_links([link(1, 2), link(-100, 3), link(8, 0)], 8, HARDWARE)
    assert len({(each.exponent, each.sign_mode) for each in made}) == 1
    made = exact_links([link(1, 3), link(508, -508)], 8, HARDWARE)
    assert len({(each.exponent, each.sign_mode) for each in made}) == 2


@pytest.mark.parametrize("weights", [(129, -1), (255, -2), (257, 1), (1 << 16, 3)])
def test_weights_that_no_format_holds_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(CompileError, match=r"a -> b: no exponent .* without rounding"):
        exact_links([link(*weights)], 8, HARDWARE)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"decay_u": -1}, "decay_u is -1, the register holds 0 to 4095"),
        ({"decay_v": 4096}, "decay_v is 4096"),
        ({"refractory": 64}, "refractory is 64, the register holds 1 to 63"),
        ({"threshold": 100.0}, "threshold is 100, the register holds multiples of 64"),
        ({"threshold": 64.0 * 2**17}, "threshold is 8388608"),
        ({"bias": 0.5}, r"a bias of 0\.5"),
        ({"bias": 4097.0}, "a bias of 4097"),
        ({"bias": 2.0**20}, "a bias of 1048576"),
    ],
)
def test_registers_that_the_chip_lacks_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(CompileError, match=words):
        exact_layer(layer(**changed), [link(1)], 8, HARDWARE)


def test_biases_take_the_smallest_exponent_that_holds_them() -> None:
    made, _ = exact_layer(layer(-8192.0), [link(1)], 8, HARDWARE)
    assert int(made.bias_mantissa[0]) << int(made.bias_exponent[0]) == -8192


def test_sums_beyond_the_accumulator_are_said() -> None:
    with pytest.warns(NmcompileWarning, match="accumulator of 21 bits can overflow"):
        exact_layer(layer(), [link(*[255] * 129)], 8, HARDWARE)


def test_decays_round_toward_zero() -> None:
    assert decayed(np.array([5, -5, 4097, -1]), 1).tolist() == [4, -4, 4095, 0]
