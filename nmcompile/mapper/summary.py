"""What a mapping did, as plain numbers for a Program's manifest."""

from __future__ import annotations

from typing import Any

from nmcompile.mapper.bounds import Bound, layer_bound, network_bound
from nmcompile.mapper.objective import energy_pj, step_ns
from nmcompile.mapper.pack import Packing
from nmcompile.mapper.pieces import measure
from nmcompile.mapper.problem import Choice, Problem


def mapping_summary(problem: Problem, choice: Choice, packing: Packing) -> dict[str, Any]:
    """Cores, their lower bound, and how each layer is cut.

    Returns
    -------
    cores : number of cores
    estimates : energy and time of a step, as the hardware model prices updates, synaptic events
        and messages at the layers' expected rates
    bound : of the whole network; `cores`, `binding`, and for each resource `least` units and
        `shares` of a core
    layers : layer name -> `grid`, `box` and number of `pieces`, `atoms` of a population,
        `channels_last`, `halo`, `cores` that hold a piece, its own `bound`, and for each layer
        that it reads the `split` of synapses among axons
    """
    parts = [measure(problem, choice, name) for name in problem.layers]
    energy = sum(float(energy_pj(problem.hardware, part).sum()) for part in parts)
    return {
        "cores": packing.cores,
        "estimates": {
            "energy_nj_per_step": round(energy / 1e3, 3),
            "us_per_step": round(step_ns(problem, parts, packing) / 1e3, 3),
        },
        "bound": _bound(network_bound(problem)),
        "layers": {name: _layer(problem, choice, packing, name) for name in problem.layers},
    }


def _layer(problem: Problem, choice: Choice, packing: Packing, name: str) -> dict[str, Any]:
    cut = choice.cuts[name]
    return {
        "grid": list(cut.grid),
        "box": list(cut.box),
        "pieces": cut.pieces,
        "atoms": cut.atoms,
        "channels_last": cut.channels_last,
        "halo": cut.halo,
        "cores": len(set(packing.core[name].tolist())),
        "bound": _bound(layer_bound(problem, name)),
        "inputs": [
            {"source": problem.ends(k)[0], "split": choice.splits[k].value}
            for k in problem.into[name]
        ],
    }


def _bound(bound: Bound) -> dict[str, Any]:
    return {
        "cores": bound.cores,
        "binding": bound.binding,
        "least": {name: round(units, 3) for name, units in bound.least.items()},
        "shares": {name: round(share, 6) for name, share in bound.shares.items()},
    }
