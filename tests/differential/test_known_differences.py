"""Where other emulators differ from the chip's rules, shown by the smallest Program for each.

docs/explanation/emulators.md lists them. What the others do was recorded by
`tools/record_traces.py`; where they are installed it is checked to be so still, as are
differences that no Program can show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_differences import (
    KNOWN,
    Known,
    first_difference,
    known_of,
    recorded_known,
    trace_known,
)
from random_programs import digest
from recordings import Recording
from references import REFERENCES, Reference

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "emulators.md"
RECORDED = {name: recorded_known(name) for name in REFERENCES}
EACH = [
    pytest.param(known, recorded, id=f"{name}: {known.name}")
    for name in REFERENCES
    for known, recorded in zip(known_of(name), RECORDED[name], strict=True)
]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not REFERENCES[name].installed, reason=f"needs {name} and NumPy 1")


@pytest.mark.parametrize(("known", "recorded"), EACH)
def test_a_known_difference_is_the_first_and_as_described(
    known: Known, recorded: Recording
) -> None:
    assert digest(*known.program()) == recorded.digest, "run tools/record_traces.py"
    assert first_difference(known, recorded) == f"{known.message} (1 of 1 compartments differ)"


def test_every_known_difference_is_of_a_reference_and_recorded() -> None:
    assert len(EACH) == len(KNOWN)


def test_the_page_names_the_test_of_every_known_difference() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [one.id for one in EACH if f"`{one.id}`" not in page] == []


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "reference",
    [pytest.param(one, marks=needs(name), id=name) for name, one in REFERENCES.items()],
)
def test_the_reference_still_does_what_was_recorded(reference: Reference) -> None:
    for now, then in zip(trace_known(reference), RECORDED[reference.name], strict=True):
        for quantity in ("u", "v", "spikes"):
            np.testing.assert_array_equal(getattr(now, quantity), getattr(then, quantity))


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@needs("nengo-loihi")
def test_nengo_loihi_writes_4094_where_a_synapse_has_no_memory() -> None:
    from nengo_loihi.block import LoihiBlock
    from nengo_loihi.builder.discretize import discretize_compartment

    block = LoihiBlock(1)
    block.compartment.configure_relu()
    block.compartment.configure_filter(0)
    discretize_compartment(block.compartment, w_max=1)
    assert block.compartment.decay_u.tolist() == [4094]


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@needs("lava")
def test_lava_convolves_with_flipped_kernels_that_have_no_exponent() -> None:
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.conv.process import Conv
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIF

    source = RingBuffer(data=np.array([1, 0]).reshape(2, 1, 1, 1).repeat(3, axis=3))
    kernel = np.array([5, 9]).reshape(1, 2, 1, 1)
    synapses = Conv(weight=kernel, weight_exp=3, input_shape=(2, 1, 1))
    neuron = LIF(shape=(1, 1, 1), du=4095, vth=1000)
    source.s_out.connect(synapses.s_in)
    synapses.a_out.connect(neuron.a_in)
    neuron.run(condition=RunSteps(num_steps=2), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    current = neuron.u.get()
    neuron.stop()
    assert current.ravel().tolist() == [9 << 6]
