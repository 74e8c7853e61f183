"""lava-dl's current-based neurons as registers; the rules are those of `netx` and Lava's `LIF`.

`netx` (hdf5.py, get_neuron_params) takes ``vThMant`` as the threshold's mantissa, ``iDecay`` less
one as ``du``, ``vDecay`` as ``dv``, and a bias with the exponent 6. `PyLifModelBitAcc` of Lava
(lava/proc/lif/models.py) then computes what the chip does: the current decays, toward zero, by
``du + 1`` of 4096 and takes up 64 times the sum of the weights; the voltage decays by ``dv``, takes
up current and bias; strictly above the threshold it fires and is zero.
"""

from __future__ import annotations

import numpy as np

from nmcompile.chip.arithmetic import THRESHOLD_SHIFT
from nmcompile.frontends.lava.file import LavaLayer
from nmcompile.frontends.lava.step import LavaStep
from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.ir import nodes
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.registers import DECAY_UNITY, Registers

#: Exponent of biases in `netx`.
BIAS_EXPONENT = 6
#: Largest threshold's mantissa whose neuron can fire: voltages have 23 bits and sign.
MAX_THRESHOLD = (1 << 17) - 1
#: Neurons of the chip, under their older name too.
CURRENT_BASED = ("CUBA", "LOIHI")
_OTHERS = (
    (("SDNN",), "sigma-delta neurons, which send graded differences"),
    (("RF",), "resonate-and-fire neurons, whose state is complex"),
    (("ALIF", "ADRF"), "adaptive neurons, whose threshold moves"),
)


def check_kind(layer: LavaLayer) -> None:
    """Refuse neurons that the chip's are not."""
    kind = layer.text("type")
    if kind in CURRENT_BASED:
        return
    for starts, words in _OTHERS:
        if kind.startswith(starts):
            raise Refused(f"its neurons of type {kind[:20]} are {words}", "train with block.cuba")
    raise Refused(f"its neurons are of the unknown type {kind[:20]!r}", "train with block.cuba")


def fire(step: LavaStep, drive: Tensor, bias: FloatArray | None) -> Tensor:
    """Add a layer's neurons.

    Parameters
    ----------
    drive : what arrives, in units of the accumulator
    bias : whole numbers that broadcast to the node behind `drive`, as the file has them
    """
    if not step.layer.has_neuron():
        raise Refused(
            "it names no neurons, and those that Lava puts there never fire",
            "export a layer with neurons; only a dense layer at the end does without",
        )
    registers, threshold = registers_of(step.layer)
    node = step.add(
        nodes.Spiking, [drive.node], own=True, registers=registers, threshold=float(threshold),
        bias=None if bias is None else (bias * (1 << BIAS_EXPONENT)).astype(np.float32),
    )  # fmt: skip
    return Tensor(node, drive.shape, drive.layout)


def registers_of(layer: LavaLayer) -> tuple[Registers, int]:
    """Registers of a layer's neurons, and their threshold in units of the voltage.

    Raises
    ------
    Refused
        Neurons that the chip's are not.
    """
    check_kind(layer)
    for key, usual, words in (
        ("refDelay", 1, "a refractory delay, which Lava's NetX leaves out"),
        ("wgtExp", 0, "a weight exponent, which Lava's NetX leaves out"),
        ("weight_exp", 0, "a weight exponent, which Lava's NetX leaves out"),
        ("gradedSpike", 0, "graded spikes, which the chip's neurons do not send"),
        ("messageBits", 0, "graded spikes, which the chip's neurons do not send"),
    ):
        found = layer.number_of(key, usual)
        if found != usual:
            raise Refused(
                f"its {key} of {found:g} asks for {words}",
                f"train it with {usual}, so that what runs is what was trained",
            )
    threshold = layer.number_of("vThMant")
    if threshold != round(threshold) or threshold < 0:
        raise layer.bad(f"its vThMant is {threshold:g}, not a whole number from 1 on")
    if not 1 <= threshold <= MAX_THRESHOLD:
        raise Refused(
            f"its vThMant of {threshold:.0f} is outside 1..{MAX_THRESHOLD}, so it fires without "
            "input or never",
            "give it a threshold that it reaches, or export a last layer without neurons "
            "(dynamics=False)",
        )
    registers = Registers(
        decay_u=_decay(layer, "iDecay", 1, DECAY_UNITY) - 1,
        decay_v=_decay(layer, "vDecay", 0, DECAY_UNITY - 1),
    )
    return registers, int(threshold) << THRESHOLD_SHIFT


def _decay(layer: LavaLayer, key: str, low: int, high: int) -> int:
    """A decay in parts of 4096 that a register holds."""
    found = layer.number_of(key)
    if found != round(found) or not 0 <= found <= DECAY_UNITY:
        raise layer.bad(f"its {key} is {found:g}, not a whole number from 0 to {DECAY_UNITY}")
    if not low <= found <= high:
        raise Refused(
            f"its {key} of {found:.0f} is outside {low}..{high}, which the chip's register holds",
            f"train it with a decay of {low}/{DECAY_UNITY} to {high}/{DECAY_UNITY}",
        )
    return int(found)
