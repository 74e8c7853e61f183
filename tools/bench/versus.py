"""The keras-to-loihi network in our emulator and in others, in turns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from nmcompile.api import Emulator
from nmcompile.backends.base import Probe
from tools.bench import cnn
from tools.bench.record import Figure, faster, progress
from tools.bench.sides import Side, available

JOBS, ROUNDS, BATCH, RUNS = 2, 5, 256, 5
#: Steps of a run of one image.
ALONE_STEPS = 300
#: Images that are run one after the other in each round.
IMAGES = 3
LAVA_WARM = 20
#: What PyTorch tries in the first round, and how many of the best it goes on with.
TORCH_BATCHES, TORCH_KEPT = (1, 4, 16, 32, 64, 128, 256, 512), 3


def figures(folder: Path, _: Path | None) -> Iterator[Figure]:
    """Times per image and step, batched and one image at a time."""
    network = cnn.build()
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(Side(name, *make(network, folder)))
            for name, make in (
                ("nengo-loihi", cnn.for_nengo_loihi),
                ("Lava", cnn.for_lava),
                ("PyTorch", cnn.for_torch),
            )
            if available(name)
        }
        yield from _figures(network, sides)


def _figures(network: cnn.Cnn, sides: dict[str, Side]) -> Iterator[Figure]:
    ours = _Ours(network)
    yield Figure("keras-to-loihi, mean rate on the chip", ours.rate(), "Hz", *_between(ours.rate()))
    times: dict[tuple[str, int], float] = {}
    torch = [(batch, last) for batch in TORCH_BATCHES for last in (False, True)]
    for turn in range(ROUNDS):
        for name, image, seconds in _turn(ours, sides, turn, torch):
            key = name, image
            times[key] = min(seconds, times.get(key, seconds))
        torch = sorted(torch, key=lambda how: times.get((_name(*how), 0), 0.0))[:TORCH_KEPT]
        progress(f"  round {turn + 1} of {ROUNDS}")
    # The best of each image's rounds, and the mean of the images.
    best = {
        name: 1e6 * float(np.mean([times[key] for key in times if key[0] == name]))
        for name, _ in times
    }
    batched = f"keras-to-loihi, {BATCH} images at once, {JOBS} cores, image and step"
    alone = "keras-to-loihi, one image at a time, one core, step"
    if not sides:
        yield Figure(batched, best["batched"], "µs")
        yield Figure(alone, best["alone"], "µs")
    if "nengo-loihi" in sides:
        version = sides["nengo-loihi"].hello["version"]
        side = f"nengo-loihi {version}"
        yield faster(batched, best["batched"], "µs", side, best["nengo-loihi"], 600)
        yield faster(alone, best["alone"], "µs", side, best["nengo-loihi alone"], 150)
    if "Lava" in sides:
        side = f"Lava {sides['Lava'].hello['version']}"
        yield faster(batched, best["batched"], "µs", side, best["Lava"], 6000)
        yield faster(alone, best["alone"], "µs", side, best["Lava"], None)
    if "PyTorch" in sides:
        fastest = min((name for name in best if name.startswith("PyTorch")), key=best.__getitem__)
        side = f"{fastest.replace('PyTorch', 'PyTorch ' + sides['PyTorch'].hello['version'])}"
        yield faster(batched, best["batched"], "µs", side, best[fastest], 8)


class _Ours:
    """Our side."""

    def __init__(self, network: cnn.Cnn) -> None:
        self.network = network
        self._batched = Emulator(jobs=JOBS).load(network.program)
        self._alone = Emulator(jobs=1).load(network.program)
        self._batched.run(network.x[:4], steps=2)
        self._alone.run(network.x[:1], steps=2)

    def rate(self) -> float:
        """Mean rate of all neurons on the chip in Hz."""
        result = self._batched.run(self.network.x, steps=cnn.STEPS)
        spikes = sum(result.spikes[name].mean() for name in cnn.LAYERS)
        return float(spikes / self.network.neurons / cnn.STEPS / self.network.program.dt_s)

    def batched(self) -> float:
        """Seconds per image and step of many images."""
        x = self.network.x[:BATCH]
        # A run takes some 40 ms, a small part of the others' time, so the best of a few counts.
        taken = min(self._batched.run(x, steps=cnn.STEPS).seconds for _ in range(RUNS))
        return taken / BATCH / cnn.STEPS

    def alone(self, image: int) -> float:
        """Seconds per step of one image."""
        result = self._alone.run(self.network.x[image : image + 1], steps=ALONE_STEPS)
        return result.seconds / ALONE_STEPS

    def spikes(self, image: int, steps: int) -> int:
        """Spikes of all neurons on the chip."""
        result = self._alone.run(self.network.x[image : image + 1], steps=steps)
        return sum(int(result.spikes[name][0]) for name in cnn.LAYERS)

    def voltages(self, image: int, steps: int) -> list[int]:
        """Sum of the final voltages of each layer."""
        probes = [Probe(name, "v") for name in cnn.LAYERS]
        result = self._alone.run(self.network.x[image : image + 1], steps, probes)
        return [int(result.probes[probe][0, -1].astype(np.int64).sum()) for probe in probes]


def _turn(
    ours: _Ours, sides: dict[str, Side], turn: int, torch: list[tuple[int, bool]]
) -> Iterator[tuple[str, int, float]]:
    """Everyone once: name of a time, the first image, and seconds per image and step."""
    yield "batched", 0, ours.batched()
    for image in range(IMAGES):
        yield "alone", image, ours.alone(image)
    if "nengo-loihi" in sides:
        for image in range(IMAGES):
            yield "nengo-loihi", image, _nengo_loihi(ours, sides, image, cnn.STEPS)
            yield "nengo-loihi alone", image, _nengo_loihi(ours, sides, image, ALONE_STEPS)
    if "Lava" in sides:
        image, steps = turn % IMAGES, cnn.LAVA_STEPS - LAVA_WARM
        answer = sides["Lava"].ask(image=image, warm=LAVA_WARM, steps=steps)
        _same("Lava", ours.voltages(image, cnn.LAVA_STEPS), answer["voltages"])
        yield "Lava", image, answer["seconds"] / steps
    if "PyTorch" in sides:
        for batch, last in torch:
            answer = sides["PyTorch"].ask(batch=batch, last=last)
            yield _name(batch, last), 0, answer["seconds"] / batch


def _name(batch: int, last: bool) -> str:
    return f"PyTorch, batch {batch}, channels {'last' if last else 'first'}"


def _nengo_loihi(ours: _Ours, sides: dict[str, Side], image: int, steps: int) -> float:
    answer = sides["nengo-loihi"].ask(image=image, steps=steps)
    _same("nengo-loihi", ours.spikes(image, steps), answer["spikes"])
    return float(answer["seconds"] / steps)


def _same(side: str, ours: object, other: object) -> None:
    if ours != other:
        raise RuntimeError(f"{side} does not compute the same: {other} against our {ours}")


def _between(rate: float) -> tuple[str, bool]:
    return "10 to 25", 10 <= rate <= 25
