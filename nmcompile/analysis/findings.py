"""Name what is odd about a diagnosed network, each anomaly with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nmcompile.analysis.diagnosis import Diagnosis, Finding, LayerDiagnosis, StageResult
from nmcompile.analysis.stages import CHIP, CURVE, FLOAT, FOLDED, WEIGHTS
from nmcompile.chip.program import Program

#: Spikes that a layer's most active neuron should fire at least in a sample.
FEW_SPIKES = 4
#: From this share of the possible rate on, only more steps give more spikes.
NEAR_LIMIT = 0.75
#: A layer with so large a share of silent neurons is dead, unless its float layer is so as well.
DEAD, DEAD_FLOAT = 0.98, 0.9
#: Share of neurons that saturate, or of activations that are cut, worth a word.
SATURATED_SHARE = 0.05
#: The largest weight by the usual ones from which on it wastes bits: 3 of them.
OUTLIER = 8.0
#: Bits that the mantissas of a connection may lack without a word.
SPARE_BITS = 1.5
#: A threshold of fewer steps is rounded by a percent or more.
SMALL_THRESHOLD = 50
#: Share of equal answers, and how much more often than expected, that make a stuck network.
STUCK, STUCK_BEYOND = 0.95, 0.2
#: Scores that vary by less than this share of the float network's do not depend on the input.
NO_SPREAD = 0.05
#: Share of answers that may change in the last steps.
MOVED = 0.02
#: Points lost that are worth a word, and samples that they must stand for.
LOST, LOST_SAMPLES = 0.01, 2

#: What to do about a stage that loses much, where no anomaly of its layers explains it.
_STAGE_REMEDIES = {
    FOLDED: "the build changed what the network computes, a fault of nmcompile: report it",
    WEIGHTS: "raise --weight-bits",
    CURVE: "change --max-rate (lower where rates are near one spike a step, since they are coarse "
    "there), raise --percentile, and build without --tau-rc and --refractory",
    CHIP: "raise --steps, build with --gain-samples, or even out bursts with --synapse",
}
_ROUNDED = "train on with weights rounded to 8 bits, or clip the largest"
#: Stages where neurons remember, which have no activations to compare.
_REMEMBERING = (FLOAT, CHIP)
#: Anomalies that explain what a stage loses.
_CAUSES = {
    FOLDED: (),
    WEIGHTS: ("outlier-weight", "unused-bits"),
    CURVE: ("saturated", "small-threshold"),
    CHIP: ("dead-layer", "few-spikes", "saturated", "overflow", "deep-pipeline"),
}
#: What to do where the network was made in Nengo, which chooses rates and weights itself.
_NENGO_REMEDIES = {
    "few-spikes": "raise --steps, or max_rates in the network",
    "dead-layer": "raise max_rates, or look at the input and the intercepts, in the network",
    "saturated": "lower max_rates in the network",
    "overflow": "lower max_rates or weights in the network",
}
_ALL_BITS = 8
_NUMBERS = {1: "one spike", 2: "two spikes", 3: "three spikes"}


def findings(found: Diagnosis, program: Program) -> tuple[Finding, ...]:
    """All anomalies of a diagnosis, the gravest first."""
    encoder, *layers = found.layers
    dead = next((each for each in layers if _is_dead(each)), None)
    fast = is_fast(program.manifest.get("options", {}), program.dt_s)
    listed = [*_pipeline(found), *_few_spikes(encoder, found), *_saturated(encoder, False, True)]
    alive = True
    for layer in layers:
        if alive:
            listed.extend(_few_spikes(layer, found))
        if layer is dead:
            listed.append(_dead(layer))
            alive = False
        listed.extend(_saturated(layer, fast, False))
        listed.extend(_registers(layer))
    listed.extend(_moving(found))
    head = [*_calibration(program), *_stuck(found, program, dead), *_stage(found, listed)]
    found_all = (*head, *listed)
    if program.manifest.get("source", {}).get("kind") != "nengo":
        return found_all
    return tuple(
        replace(each, remedy=_NENGO_REMEDIES.get(each.kind, each.remedy)) for each in found_all
    )


def is_fast(options: Mapping[str, Any], dt_s: float) -> bool:
    """Whether the options ask some layer for a spike in every step or more."""
    usual = options.get("neuron", {})
    chosen = [usual, *({**usual, **each} for each in options.get("layers", {}).values())]
    return any(
        each.get("max_rate", 0.0) * each.get("rate_scale", 1.0) * dt_s >= 1 for each in chosen
    )


def _is_dead(layer: LayerDiagnosis) -> bool:
    rates = layer.rates
    if rates is None or rates.silent < DEAD:
        return False
    return rates.idle == 1 or (rates.silent_float is not None and rates.silent_float < DEAD_FLOAT)


def _dead(layer: LayerDiagnosis) -> Finding:
    rates = layer.rates
    assert rates is not None
    words = "no neuron fires on any sample"
    if rates.idle < 1:
        words = f"{rates.silent:.1%} of its neurons are silent, so activity dies out here"
    if rates.silent_float is not None:
        words += f" ({rates.silent_float:.1%} are zero in the float network)"
    remedy = "raise --max-rate or --steps, and calibrate with data like these"
    if rates.silent_float == 1:
        remedy = "the float network does not use it either: look at its weights and at the data"
    return Finding("dead-layer", layer.layer, words, remedy)


def _calibration(program: Program) -> Iterator[Finding]:
    if program.manifest.get("calibration") == "synthetic":
        yield Finding(
            "synthetic-calibration",
            "build",
            "rates were scaled by noise instead of data",
            "build again with --calibrate and a few hundred real samples",
        )


def _stuck(found: Diagnosis, program: Program, dead: LayerDiagnosis | None) -> Iterator[Finding]:
    """The network gives only its bias, or at least always the same answer."""
    answers = found.answers
    if answers.share_expected is None or found.samples < 2:
        return
    if answers.share < STUCK or answers.share - answers.share_expected < STUCK_BEYOND:
        return
    words = (
        f"everything is {_article(answers.common)} {answers.common}: {answers.share:.1%} of the "
        "answers, where "
        f"{answers.share_expected:.1%} are expected"
    )
    bias = int(np.argmax(program.read_out.bias)) == answers.common
    still = answers.spread is not None and answers.spread < NO_SPREAD
    if bias and (still or dead is not None):
        words += "; the network gives only its bias"
    remedy = "see below which layer or stage it comes from"
    if dead is not None:
        remedy = f"wake the layer {dead.layer}, from which on all is silent; see below"
    yield Finding(
        "only-bias" if "only its bias" in words else "one-answer", "output", words, remedy
    )


def _article(number: int) -> str:
    return "an" if str(number)[0] == "8" or number in (11, 18) else "a"


def _stage(found: Diagnosis, others: list[Finding]) -> Iterator[Finding]:
    """The stage that loses most, and which of the other anomalies explains it."""
    lossy = [stage for stage in found.stages if stage.lost is not None]
    if not lossy:
        return
    worst = max(lossy, key=_lost)
    total = _quality(found.stages[0]) - _quality(found.stages[-1])
    # What one stage loses and the next regains does no harm.
    if min(total, _lost(worst)) < max(LOST, LOST_SAMPLES / found.samples):
        return
    what = "accuracy" if found.labels else "agreement with the float network"
    causes = [each.where for each in others if each.kind in _CAUSES[worst.name]]
    remedy = _STAGE_REMEDIES[worst.name]
    if causes:
        remedy = f"mend {causes[0]} first, see below"
    elif len(found.stages) == len(_REMEMBERING):
        remedy = f"neurons are the model's own, so that only weights differ: {_ROUNDED}"
    elif worst.name == WEIGHTS and _available_bits(found) >= _ALL_BITS:
        remedy = _ROUNDED
    yield Finding(
        "lossy-stage",
        worst.title,
        f"{100 * _lost(worst):.1f} points of {what} are lost here, {100 * total:.1f} in all",
        remedy,
    )


def _available_bits(found: Diagnosis) -> int:
    bits = [each.available for layer in found.layers for each in layer.weights]
    return max(bits, default=_ALL_BITS)


def _lost(stage: StageResult) -> float:
    return stage.lost or 0.0


def _quality(stage: StageResult) -> float:
    return stage.accuracy if stage.accuracy is not None else stage.agreement or 0.0


def _pipeline(found: Diagnosis) -> Iterator[Finding]:
    left = max(found.steps - found.depth, 0)
    if 2 * found.depth >= found.steps:
        yield Finding(
            "deep-pipeline",
            "output",
            f"the first input takes {found.depth} of {found.steps} steps to reach the read-out, "
            f"which leaves {left} to count spikes",
            "raise --steps",
        )


def _few_spikes(layer: LayerDiagnosis, found: Diagnosis) -> Iterator[Finding]:
    rates = layer.rates
    if rates is None or not 0 < rates.most_spikes < FEW_SPIKES:
        return
    spikes = _NUMBERS[rates.most_spikes]
    remedy = "raise --max-rate or --steps"
    if layer is found.layers[0]:
        remedy = "calibrate with data as small as these, or raise --steps"
    elif rates.highest_hz >= NEAR_LIMIT * rates.possible_hz:
        remedy = "raise --steps"
    yield Finding(
        "few-spikes",
        layer.layer,
        f"highest rate {rates.highest_hz:.0f} Hz, so {spikes} in {found.steps} steps",
        remedy,
    )


def _saturated(layer: LayerDiagnosis, fast: bool, encoder: bool) -> Iterator[Finding]:
    rates = layer.rates
    if rates is None:
        return
    cut = rates.beyond or 0.0
    words = []
    # An encoder may fire in every step without loss, and only what it cuts counts.
    if rates.saturated >= SATURATED_SHARE and not encoder:
        words.append(f"{rates.saturated:.1%} of its neurons fire almost whenever they can")
    if cut >= SATURATED_SHARE:
        words.append(f"{cut:.1%} of its activations are larger than its highest rate stands for")
    if words:
        remedy = "calibrate with data like these, or raise --percentile"
        if fast:
            remedy = "lower --max-rate or --rate-scale"
        yield Finding("saturated", layer.layer, " and ".join(words), remedy)


def _registers(layer: LayerDiagnosis) -> Iterator[Finding]:
    if layer.overflows:
        yield Finding(
            "overflow",
            layer.layer,
            f"{layer.overflows:,} accumulators or currents wrapped around",
            "lower --max-rate of the layers before it, or train with smaller weights",
        )
    for each in layer.weights:
        where = f"{each.source} -> {layer.layer}"
        if each.outlier >= OUTLIER:
            yield Finding(
                "outlier-weight",
                where,
                f"the largest weight is {each.outlier:.0f} times as large as 99 % of them, which "
                f"use {each.usual:.1f} of {each.available} bits",
                "clip the largest weights, or train with weight decay",
            )
        elif 0 < each.largest < each.available - SPARE_BITS:
            yield Finding(
                "unused-bits",
                where,
                f"weights use {each.largest:.1f} of {each.available} bits, since their exponent "
                "cannot be lower",
                "raise --max-rate, or clip the largest weights of the other connections",
            )
    if layer.threshold is not None and layer.threshold < SMALL_THRESHOLD and layer.rates:
        error = 0.5 / max(layer.threshold, 1)
        yield Finding(
            "small-threshold",
            layer.layer,
            f"the threshold's mantissa is {layer.threshold}, so it is off by up to {error:.1%}",
            "lower --max-rate of this layer, or clip its largest weights",
        )


def _moving(found: Diagnosis) -> Iterator[Finding]:
    answers = found.answers
    if answers.moved >= max(MOVED, LOST_SAMPLES / found.samples):
        yield Finding(
            "still-moving",
            "output",
            f"{answers.moved:.1%} of the answers still change in the last {answers.late} of "
            f"{found.steps} steps",
            "raise --steps",
        )
