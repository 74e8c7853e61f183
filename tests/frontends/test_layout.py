"""Tensors whose axes lie in another order than the model sees are laid out right."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompile.errors import VerifyError
from nmcompile.frontends.layout import NodeBuilder, Tensor, plain
from nmcompile.frontends.step import permuted
from nmcompile.ir import Network, evaluate, nodes


def test_two_views_of_one_node_are_laid_out_each_in_its_own_way() -> None:
    builder = NodeBuilder()
    source = builder.add(nodes.Input, "x", [], "x", size=(2, 3, 4))
    first = Tensor(source, (2, 3, 4), plain(3))
    second = permuted(first, (1, 0, 2))
    for k, tensor in enumerate((first, second)):
        node = builder.lay(tensor, (1, 2, 0), "")
        builder.add(nodes.Output, f"y{k}", [node], "")
    x = np.arange(48, dtype=np.float32).reshape(2, 2, 3, 4)
    found = evaluate(Network.build(builder.nodes.values()), x)
    assert np.array_equal(found["y0"], x.transpose(0, 2, 3, 1))
    assert np.array_equal(found["y1"], x.transpose(0, 1, 3, 2))


def test_the_same_view_is_laid_out_once() -> None:
    builder = NodeBuilder()
    tensor = Tensor(builder.add(nodes.Input, "x", [], "x", size=(2, 3, 4)), (2, 3, 4), plain(3))
    assert builder.lay(tensor, (1, 2, 0), "") == builder.lay(tensor, (1, 2, 0), "")


def test_a_small_result_of_an_absurdly_padded_input_is_refused() -> None:
    builder = NodeBuilder()
    builder.add(nodes.Input, "x", [], "x", size=(4, 4, 1))
    far = ((2**40, 0), (0, 0))
    with pytest.raises(VerifyError, match="'pool': its padded input"):
        builder.add(nodes.SumPool2d, "pool", ["x"], "", size=(1, 1), stride=(2**40, 1), padding=far)
