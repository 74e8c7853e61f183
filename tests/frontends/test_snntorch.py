"""snnTorch networks in memory spike as in snnTorch; needs snntorch, nir and nirtorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("snntorch")
pytest.importorskip("nirtorch")
sys.path.insert(0, str(Path(__file__).parent))

import snntorch
import torch
from nir_files import spikes
from torch import nn

from nmcompile.errors import ModelError, UnsupportedError
from nmcompile.frontends import load

pytestmark = pytest.mark.torch


def leaky(size: int, beta: float = 0.9, **options: Any) -> nn.Module:
    fields = {"reset_mechanism": "zero", "reset_delay": False, **options}
    return snntorch.Leaky(
        torch.full((size,), beta), threshold=torch.ones(size), init_hidden=True, **fields
    )


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 20), leaky(20), nn.Linear(20, 6), leaky(6, 0.8))


def test_spikes_are_equal_step_by_step(net: nn.Module) -> None:
    x = 3 * torch.rand(4, 30, 12)
    network = load(net, x[:1, 0]).network
    with torch.no_grad():
        expected = torch.stack([net(x[:, step]) for step in range(x.shape[1])], 1)
    assert expected.mean() > 0.02
    np.testing.assert_array_equal(spikes(network, x.numpy()), expected.numpy())


def test_voltages_stay_as_they_are(net: nn.Module) -> None:
    net(torch.rand(3, 12))
    before = net[1].mem.clone()
    load(net, np.zeros((1, 12), np.float32))
    assert torch.equal(net[1].mem, before)


def test_decay_and_name_are_the_networks(net: nn.Module) -> None:
    found = load(net, np.zeros((1, 12), np.float32))
    assert found.path == "Sequential"
    assert found.network["1"].leak == pytest.approx(0.1, rel=1e-4)


def test_other_resets_are_refused_by_name() -> None:
    for first, last, wanted in (
        ({"reset_mechanism": "subtract"}, {}, ["1"]),
        ({"reset_mechanism": "none"}, {"reset_mechanism": "subtract"}, ["1", "3"]),
    ):
        parts = (nn.Linear(3, 2), leaky(2, **first), nn.Linear(2, 2), leaky(2, **last))
        with pytest.raises(UnsupportedError) as caught:
            load(nn.Sequential(*parts), np.zeros((1, 3), np.float32))
        assert [each.layer for each in caught.value.obstacles] == wanted


def synaptic(kind: type[nn.Module], size: int, delay: bool, **options: Any) -> nn.Module:
    return kind(
        alpha=torch.full((size,), 0.7), beta=torch.full((size,), 0.8),
        threshold=torch.ones(size), init_hidden=True, reset_mechanism="zero", reset_delay=delay,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("delay", [False, True])
@pytest.mark.parametrize("recurrent", [False, True])
def test_late_resets_are_told_by_the_module(delay: bool, recurrent: bool) -> None:
    if recurrent and not delay:
        pytest.skip("RSynaptic of snnTorch 1.0 fails with reset_delay=False")
    torch.manual_seed(1)
    hidden = (
        synaptic(snntorch.RSynaptic, 20, True, linear_features=20)
        if recurrent
        else synaptic(snntorch.Synaptic, 20, delay)
    )
    net = nn.Sequential(nn.Linear(12, 20), hidden, nn.Linear(20, 6), leaky(6, reset_delay=delay))
    x = 2 * torch.rand(4, 30, 12)
    network = load(net, x[:1, 0]).network
    for layer in (net[1], net[3]):
        layer.reset_mem()
    with torch.no_grad():
        expected = torch.stack([net(x[:, step]) for step in range(x.shape[1])], 1)
    assert expected.mean() > 0.02
    np.testing.assert_array_equal(spikes(network, x.numpy()), expected.numpy())


def test_resets_at_once_and_late_in_one_network_are_refused() -> None:
    parts = (
        nn.Linear(3, 2), synaptic(snntorch.Synaptic, 2, True), nn.Linear(2, 2),
        synaptic(snntorch.Synaptic, 2, False),
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match="resets a step late, and other neurons"):
        load(nn.Sequential(*parts), np.zeros((1, 3), np.float32))


def test_what_cannot_be_exported_is_one_sentence(net: nn.Module) -> None:
    with pytest.raises(ModelError, match="cannot export the network to NIR") as caught:
        load(net, np.zeros((1, 5), np.float32))
    assert "\n" not in str(caught.value)
