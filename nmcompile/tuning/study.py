"""Search build options for a network: ask Optuna, judge in parallel, keep everything in a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import CompileError
from nmcompile.host.data import Data
from nmcompile.ir import Network
from nmcompile.ir.over_time import evaluate_frames
from nmcompile.passes.options import BuildOptions
from nmcompile.tuning.judge import Failure, Measured, Request
from nmcompile.tuning.pareto import Objective, Point, finalists, rank
from nmcompile.tuning.space import Settings, Space
from nmcompile.tuning.storage import import_optuna
from nmcompile.tuning.workers import WorkerDied, Workers

#: A trial goes on while it may still lose no more than this, 0..1, beyond what is allowed.
MARGIN = 0.01
#: Random trials before those that learn from what was found.
STARTUP = 16
#: Processes that may die on one setting before it counts as failed.
MOST_DEATHS = 2

Progress = Callable[[int, int], None]
Command = Callable[[Settings], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Search:
    """A search that a file keeps.

    Attributes
    ----------
    study : Optuna's
    space : what is searched
    objective : what is made best
    allowed_loss : accuracy that it may cost, 0..1
    seed : of the search
    command : settings -> words of the command that builds them
    """

    study: Any
    space: Space
    objective: Objective
    allowed_loss: float
    seed: int
    command: Command

    def float_right(self, network: Network, data: Data, name: str) -> NDArray[np.bool_]:
        """(samples,) whether the float network answers right; computed once, then kept by name."""
        kept = self.study.user_attrs.get(f"float {name}")
        if kept is None:
            assert data.y is not None
            steps = self.space.fixed.get("steps", BuildOptions().steps)
            scores = evaluate_frames(network, data.x, steps)
            scores = scores.reshape(len(data), prod(scores.shape[1:]))  # There may be none.
            kept = np.packbits(scores.argmax(axis=1) == data.y).tobytes().hex()
            self.study.set_user_attr(f"float {name}", kept)
        bits = np.frombuffer(bytes.fromhex(kept), np.uint8)
        return np.unpackbits(bits, count=len(data)).astype(bool)

    def run(self, workers: Workers, trials: int, progress: Progress) -> None:
        """Judge settings until so many trials are finished in all."""
        optuna = import_optuna()
        self._resume()
        running: dict[Future[Measured | Failure], tuple[Any, Settings]] = {}
        done = len(self._finished())
        progress(done, trials)
        while done < trials or running:
            while len(running) < workers.jobs and done + len(running) < trials:
                trial = self._ask(optuna, done + len(running))
                settings = self.space.suggest(trial)
                trial.set_user_attr("settings", settings)
                request = Request(settings, self._most_lost(settings))
                running[workers.submit(request)] = (trial, settings)
            for future in sorted(
                wait(running, return_when=FIRST_COMPLETED).done, key=lambda f: running[f][0].number
            ):
                trial, _ = running.pop(future)
                done += self._tell(optuna, trial, future)
                progress(done, trials)

    def points(self) -> list[Point]:
        """Every setting that was judged to the end, each once."""
        found: dict[str, Point] = {}
        for trial in self._finished():
            settings, measured = trial.user_attrs["settings"], trial.user_attrs.get("measured")
            if measured is not None and not measured["stopped"]:
                point = Point(
                    trial.number,
                    settings,
                    Measured(**measured),
                    self.command(settings),
                    self.space.is_usual(settings),
                )
                found.setdefault(repr(sorted(settings.items())), point)
        return list(found.values())

    @property
    def failures(self) -> dict[int, str]:
        """Trial -> why its setting gives no Program."""
        attributes = {trial.number: trial.user_attrs for trial in self._finished()}
        return {n: each["failure"] for n, each in attributes.items() if "failure" in each}

    @property
    def finished(self) -> int:
        """Trials that count."""
        return len(self._finished())

    @property
    def stopped(self) -> int:
        """Trials that were stopped early."""
        measured = [trial.user_attrs.get("measured") for trial in self._finished()]
        return sum(each is not None and each["stopped"] for each in measured)

    def checked(self, workers: Workers, checking: bool, progress: Progress) -> list[Point]:
        """The best points and the usual one, judged anew on samples that the search has not seen.

        Raises
        ------
        CompileError
            No trial was judged to the end, or none of the best could be judged anew.
        """
        kept = finalists(self.points(), self.objective, self.allowed_loss)
        if not kept:
            reasons = self.failures.values()
            first = next(iter(reasons), "all were stopped early; raise --allowed-loss or --trials")
            raise CompileError(f"none of {self.finished} trials was judged to the end: {first}")
        if not checking:
            return kept
        known: Mapping[str, Any] = self.study.user_attrs
        waiting: dict[Future[Measured | Failure], Point] = {}
        reason = ""
        for point in kept:
            if f"checked {point.trial}" not in known:
                request = Request(point.settings, None, checking=True)
                waiting[workers.submit(request)] = point
        done = len(kept) - len(waiting)
        progress(done, len(kept))
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                point = waiting.pop(future)
                measured = _result(future)
                if isinstance(measured, Failure):
                    reason = measured.sentence
                else:
                    self.study.set_user_attr(f"checked {point.trial}", measured.as_json())
                done += 1
                progress(done, len(kept))
        known = self.study.user_attrs
        checked = [(point, known.get(f"checked {point.trial}")) for point in kept]
        points = [replace(p, measured=Measured(**found)) for p, found in checked if found]
        if not points:
            raise CompileError(
                f"none of the {len(kept)} best settings could be judged anew: {reason}; run the "
                "same command again with fewer --jobs"
            )
        return points

    def _resume(self) -> None:
        """What ran when a search was killed is to run again; a new one gets its first trials."""
        optuna = import_optuna()
        running = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state == optuna.trial.TrialState.RUNNING
        ]
        for trial in running:
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if set(trial.params) == set(self.space.ranges):
                self.study.enqueue_trial(trial.params)
        first = self.study.user_attrs.get("enqueued", 0)
        for number, parameters in enumerate(self.space.first()):
            if number >= first:
                self.study.enqueue_trial(parameters)
                self.study.set_user_attr("enqueued", number + 1)

    def _ask(self, optuna: Any, number: int) -> Any:
        """The next trial; what is drawn depends on its number, not on what this process drew."""
        with warnings.catch_warnings():
            # Some versions call options experimental that newer ones have by default.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP,
                multivariate=True,
                constant_liar=True,
                seed=self.seed * 1_000_003 + number,
            )
        return self.study.ask()

    def _tell(self, optuna: Any, trial: Any, future: Future[Measured | Failure]) -> bool:
        """Note a result; False where the trial is to run again."""
        pruned = optuna.trial.TrialState.PRUNED
        deaths = trial.user_attrs.get("deaths", 0) + 1
        result = _result(future)
        if isinstance(result, Failure) and result.died and deaths < MOST_DEATHS:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            self.study.enqueue_trial(trial.params, user_attrs={"deaths": deaths})
            return False
        if isinstance(result, Failure):
            times = f" ({deaths} times)" if result.died else ""
            trial.set_user_attr("failure", result.sentence + times)
            self.study.tell(trial, state=pruned)
            return True
        trial.set_user_attr("measured", result.as_json())
        value = rank(self.objective, self.allowed_loss, result)
        if result.stopped:
            trial.report(value, step=result.samples)
            self.study.tell(trial, state=pruned)
        else:
            self.study.tell(trial, value)
        return True

    def _finished(self) -> list[Any]:
        """Trials that count: judged, stopped early, or without a Program."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state.is_finished() and trial.state.name in ("COMPLETE", "PRUNED")
        ]

    def _most_lost(self, settings: Settings) -> float | None:
        """Loss beyond which a trial is stopped; the build's own setting never is."""
        if self.space.is_usual(settings):
            return None
        if self.objective != "accuracy":
            return self.allowed_loss + MARGIN
        lost = [
            trial.user_attrs["measured"]["lost"]
            for trial in self._finished()
            if "measured" in trial.user_attrs and not trial.user_attrs["measured"]["stopped"]
        ]
        return min(lost, default=1.0) + MARGIN


def _result(future: Future[Measured | Failure]) -> Measured | Failure:
    """What a process found; a failure where it ended before."""
    try:
        return future.result()
    except WorkerDied:
        return Failure("its process was killed, perhaps for its memory", died=True)
