"""nengo-loihi's hardware builder and our encoder tell registers the same, block by block.

The builder's names of NxSDK are replaced by the virtual board, which keeps what it is told. Both
number profiles and formats in an order of their own, so these are compared by what they say, not
by their numbers; populations by the first of their compartments.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import nengo_loihi.hardware.builder as theirs
import numpy as np
import pytest
from nengo_loihi.hardware.allocators import Greedy

from nmcompile.backends.board.encode import encode
from nmcompile.backends.board.image import RegisterImage
from nmcompile.backends.board.portable import virtual_board
from nmcompile.host.encoder import encoder_currents, encoder_spikes
from nmcompile.nengo.model import translate

sys.path.insert(0, str(Path(__file__).parents[1] / "differential"))
from dialects import NENGO_LOIHI
from nengo_loihi_twin import _model
from random_programs import random_program

from tests.nengo.test_random_models import noisy

#: Blocks that are compared at least; each Model has some.
BLOCKS = int(os.environ.get("NMCOMPILE_BLOCKS", "500"))
FIRST_SEED = 8_000_000
#: Its builder takes fewer thresholds than there are.
DIALECT = replace(NENGO_LOIHI, thresholds=7)
#: What only nengo-loihi writes: seeds and epochs of learning; and what only we do.
ONLY_THEIRS = {
    "dendriteTimeState",
    "timeState",
    "stdpPreRandom",
    "stdpPostRandom",
    "somaRandom",
    "synapseRepackRandom",
}
ONLY_OURS = {"Dly"}
#: Registers that others point at by number -> the register and field that does.
POINTED_AT = {
    "cxProfileCfg": ("cxCfg", "cxProfile"),
    "vthProfileCfg.staticCfg": ("cxCfg", "vthProfile"),
    "synapseFmt": ("synapses", "synFmtId"),
}
Cells = dict[tuple[Any, ...], int]


def cells(image: RegisterImage) -> tuple[Cells, Counter[tuple[Any, ...]]]:
    """(chip, core, register, index, field) -> value; and output axons, which have no order."""
    raw: Cells = {}
    calls: list[tuple[str, int, int, dict[str, int]]] = []
    for table in image.tables:
        places = (x.tolist() for x in (table.chip, table.core, table.index))
        for row, (chip, core, index) in enumerate(zip(*places, strict=True)):
            fields = {name: int(values[row]) for name, values in table.fields.items()}
            if table.register.startswith("create"):
                calls.append((table.register, chip, core, fields))
                continue
            raw.update({(chip, core, table.register, index, name): v for name, v in fields.items()})
    found: Cells = {}
    told: dict[tuple[Any, ...], dict[str, int]] = defaultdict(dict)
    for (chip, core, register, index, name), value in raw.items():
        if register in POINTED_AT:
            told[chip, core, register, index][name] = value
    pointers = {pointer: register for register, pointer in POINTED_AT.items()}
    for (chip, core, register, index, name), value in raw.items():
        if register in POINTED_AT or register in ONLY_THEIRS or name in ONLY_OURS:
            continue
        if (register, name) not in pointers:
            found[chip, core, register, index, name] = value
            continue
        for field, told_value in told[chip, core, pointers[register, name], value].items():
            found[chip, core, register, index, f"{name}.{field}"] = told_value
    first: dict[tuple[int, int, int], int] = {}
    for _, chip, core, fields in calls:
        key = (chip, core, fields.get("popId", -1))
        first[key] = min(first.get(key, 1 << 20), fields["srcCxId"])
    axons: Counter[tuple[Any, ...]] = Counter()
    for call, chip, core, fields in calls:
        if "popId" in fields:
            fields["popId"] = first[chip, core, fields["popId"]]
        axons[(call, chip, core, *sorted(fields.items()))] += 1
    return found, axons


def both(seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, int]:
    """A random Model, as their builder and as our encoder tell it; and how many blocks it has."""
    rng = np.random.default_rng(seed)
    program, inputs = random_program(seed, DIALECT)
    currents = encoder_currents(program.encoder, inputs)
    model, _ = _model(program, encoder_spikes(program.encoder, currents, program.steps)[0])
    for block in model.blocks:
        # Of its default, 0, nengo-loihi makes -1, which the field cannot hold.
        block.compartment.noise_exp = 1
        if rng.random() < 0.4:
            noisy(block, rng)
    monkeypatch.setattr(theirs, "NxsdkBoard", virtual_board.N2Board)
    monkeypatch.setattr(theirs, "SpikeGen", virtual_board.BasicSpikeGenerator)
    board = Greedy()(model, n_chips=1)
    built = theirs.build_board(board, use_snips=False, seed=seed)
    told = RegisterImage.from_arrays(built.arrays())
    ours = encode(translate(model).program)
    return told, ours, len(model.blocks)


def test_five_hundred_blocks_have_the_same_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = values = axons = 0
    met: Counter[str] = Counter()
    seed = FIRST_SEED
    while blocks < BLOCKS:
        told, ours, size = both(seed, monkeypatch)
        their_cells, their_axons = cells(told)
        our_cells, our_axons = cells(ours)
        wrong = {
            key: (value, our_cells.get(key))
            for key, value in their_cells.items()
            if our_cells.get(key) != value
        }
        assert not wrong, f"seed {seed}: theirs, ours: {dict(list(wrong.items())[:5])}"
        more = {key for key in our_cells if key not in their_cells}
        assert not more, f"seed {seed}: only ours: {list(more)[:5]}"
        assert our_axons == their_axons, f"seed {seed}: {our_axons - their_axons}"
        blocks += size
        values += len(their_cells)
        axons += sum(their_axons.values())
        met.update(key[2] for key in their_cells)
        met.update(key[0] for key in their_axons)
        seed += 1
    assert values > 100 * blocks
    assert axons > blocks
    missing = {"synapses", "createPop16Axon", "createPop32Axon", "createDiscreteAxon"} - set(met)
    assert not missing
    print(f"{blocks} blocks, {values} values and {axons} axons are the same")
