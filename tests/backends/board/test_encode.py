"""Images hold all that cores do, and what registers cannot hold is refused in one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.backends.board.decode import decode
from nmcompile.backends.board.encode import Places, encode
from nmcompile.backends.board.image import RegisterImage
from nmcompile.backends.board.registers import (
    delay_bits,
    longest_delay,
    reachable,
    registers,
)
from nmcompile.chip.core import Core, Learning
from nmcompile.chip.program import Program
from nmcompile.errors import BoardError
from tests.backends.board.cases import case

#: Tables whose rows are in the same order after a round trip.
SAME = ("profiles", "thresholds", "compartments", "synapses")


@pytest.mark.parametrize("number", [0, 1, 2, 6, 7, 8])
def test_cores_come_back_from_their_registers(number: int) -> None:
    program, _ = case(number)
    places = Places.of(program)
    order = np.lexsort((places.core, places.chip))
    for core, k in zip(decode(encode(program)), order.tolist(), strict=True):
        before = program.cores[k]
        assert core.vmin_exponent == before.vmin_exponent
        assert core.vmax_exponent == before.vmax_exponent
        for name in SAME:
            mine, theirs = getattr(core, name), getattr(before, name)
            columns = set(mine.columns()) - {"neuron", "population", "atom"}
            for column in columns:
                np.testing.assert_array_equal(
                    getattr(mine, column), getattr(theirs, column)[: len(mine)]
                )


def test_an_image_is_the_same_after_saving_and_each_time(tmp_path: Path) -> None:
    image = encode(case(4)[0])
    image.save(tmp_path / "a.npz")
    encode(case(4)[0]).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert RegisterImage.load(tmp_path / "a.npz").digest() == image.digest()


def changed(**columns: Any) -> Program:
    """A Program whose first core is another."""
    program, _ = case(0)
    return replace(program, cores=(replace(program.cores[0], **columns), *program.cores[1:]))


def test_programs_that_learn_or_are_for_another_chip_are_refused() -> None:
    core = case(0)[0].cores[0]
    learning = Learning.from_rows([(0, 1, 1, 1, 1, 1, 1)])
    assert isinstance(core, Core)
    with pytest.raises(BoardError, match="synapses that learn"):
        encode(changed(learning=learning))
    with pytest.raises(BoardError, match="Loihi 1 only"):
        encode(replace(case(0)[0], target="loihi2:oheo-gulch"))


def test_values_that_no_field_holds_are_refused() -> None:
    core = case(0)[0].cores[0]
    for columns, words in (
        ({"vmin_exponent": 32}, r"negVmLimit of 5 bits is 32, outside 0..31"),
        ({"noise_offset": 200}, "noiseMantOffset0 of 8 bits is 200"),
        (
            {"thresholds": type(core.thresholds).of(mantissa=[1 << 17] * len(core.thresholds))},
            "vth of 17 bits",
        ),
    ):
        with pytest.raises(BoardError, match=words):
            encode(changed(**columns))


def test_long_delays_leave_room_for_few_compartments() -> None:
    assert [delay_bits(delay) for delay in (0, 6, 7, 14, 15, 62, 63)] == [3, 3, 4, 4, 5, 6, 7]
    assert [longest_delay(bits) for bits in (3, 6)] == [6, 62]
    assert [reachable(bits) for bits in (3, 4, 6)] == [1024, 512, 128]
    program, _ = case(0)
    core = program.cores[0]
    late = replace(core.synapses, delay=np.full(len(core.synapses), 62, np.uint8))
    many = type(core.compartments).join([core.compartments] * 8)
    with pytest.raises(BoardError, match="accumulators of a core reach 128 compartments"):
        encode(changed(synapses=late, compartments=many))


@pytest.mark.parametrize("name", sorted(registers()))
def test_every_register_has_fields_entries_and_a_source(name: str) -> None:
    register = registers()[name]
    assert register.fields
    assert register.entries > 0
    assert register.source
    assert all(1 <= field.bits <= 32 for field in register.fields.values())


@pytest.mark.parametrize(
    ("register", "field", "value", "words"),
    [
        ("cxProfileCfg", "bapAction", 0, "bapAction other than 1"),
        ("cxMetaState", "phase0", 3, "another phase"),
        ("synapses", "LrnEn", 1, "LrnEn other than 0"),
        ("synapseFmt", "numSynapses", 4, "numSynapses other than 63"),
        ("synapseFmt", "fanoutType", 0, "fanoutType that is not known"),
        ("numUpdates", "numStdp", 1, "numUpdates is"),
        ("cxCfg", "cxProfile", 31, "cxProfile 31 of"),
        ("synapseMap", "synapseLen", 8000, "ends at synapse"),
        ("dendriteSharedCfg", "noiseExp0", 6, "noiseExp0 is 6"),
    ],
)
def test_fields_that_say_what_is_not_known_are_refused(
    register: str, field: str, value: int, words: str
) -> None:
    image = encode(case(0)[0])
    tables = [
        replace(table, fields={**table.fields, field: np.full(len(table), value)})
        if table.register == register and field in table.fields
        else table
        for table in image.tables
    ]
    with pytest.raises(BoardError, match=words):
        decode(RegisterImage(image.cores, tuple(tables)))
