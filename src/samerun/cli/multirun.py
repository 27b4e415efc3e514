"""A multirun: every combination of values, one run each, below a run of its own.

Hydra composes and starts the runs. This module records what they have in common: a parent run with
the table of results, best first, and the figure that compares them.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from samerun import config, tracking
from samerun import tags as tag
from samerun.command_line import line
from samerun.config.overrides import Override
from samerun.config.training import should_rise
from samerun.errors import StoreUnavailable, UserError
from samerun.launch import Job, table
from samerun.process import graceful_stop

if TYPE_CHECKING:
    from samerun.result import Result


def check_several(jobs: Sequence[Job]) -> None:
    """Checks that there is something to vary.

    Raises:
        UserError: all overrides have one value.
    """
    sweeper = jobs[0].node.hydra.sweeper
    if len(jobs) == 1 and "basic_sweeper" in str(sweeper.get("_target_")) and not sweeper.params:
        raise UserError(
            "-m: received one value for each key, expected several for at least one: "
            f"{line('train', '-m', *jobs[0].composition.overrides, 'seed=0,1,2')}"
            "; for a single run, leave -m out."
        )


@final
@dataclass
class Multirun:
    """The runs of a multirun, and the run above them.

    Args:
        jobs: the composed runs, in Hydra's order.
        varied: the keys with several values.
        folder: Hydra's folder of all runs.
        run: the parent run; `None` if the tracking store is unavailable.
        results: of the runs that finished, by their number.
        existing: the numbers of runs that were in the store already.
    """

    jobs: Sequence[Job]
    varied: Sequence[str]
    folder: Path
    run: tracking.Run | None = None
    results: "dict[int, Result]" = field(default_factory=dict)
    existing: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, jobs: Sequence[Job], overrides: Sequence[Override]) -> "Multirun":
        """Returns the multirun of some overrides, before it starts."""
        varied = [one.key for one in overrides if one.is_sweep]
        return cls(jobs=jobs, varied=varied, folder=Path(str(jobs[0].node.hydra.sweep.dir)))

    def hydra_overrides(self) -> list[str]:
        """Returns Hydra's settings: this folder, and no log lines."""
        return [f"hydra.sweep.dir={self.folder}", "hydra/hydra_logging=none"]

    def label(self, number: int) -> str:
        """Returns what distinguishes a run, such as `model=cnn seed=1`."""
        words = [word.lstrip("+~") for word in self.jobs[number].composition.overrides]
        return " ".join(word for word in words if word.partition("=")[0] in self.varied)

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Opens the parent run and prints what all runs share; at the end, the results."""
        with graceful_stop(), contextlib.ExitStack() as stack:
            cfg = self.jobs[0].composition.config
            opened = tracking.open_run(
                cfg,
                self.folder,
                name=f"{', '.join(self.varied)} · {len(self.jobs)} runs",
                tags={tag.MULTIRUN: str(len(self.jobs))},
                needs_store=True,  # the runs are created under it
            )
            try:
                self.run = stack.enter_context(opened)
                self.run.log_params(self._shared())
            except StoreUnavailable:
                print("The tracking store is unavailable: the runs will have no common parent run.")
            from samerun import console

            self._out = console.make_console()
            console.show_config(cfg, self._out)
            self._out.print(f"{len(self.jobs)} runs of this config with {', '.join(self.varied)}")
            yield
            self._report()

    def _shared(self) -> dict[str, str]:
        """Returns the parameters that all runs have in common."""
        flat = [config.parameters(job.composition.config) for job in self.jobs]
        return {
            key: value
            for key, value in flat[0].items()
            if all(other.get(key) == value for other in flat)
        }

    def announce(self, number: int) -> dict[str, Any]:
        """Prints which run starts; returns what `run_task` has to know about it."""
        self._out.print(f"\n[bold]{number + 1}/{len(self.jobs)}[/]  {self.label(number)}")
        return {"parent": self.run, "varied": self.varied}

    def _ranked(self) -> "list[tuple[int, Result | None]]":
        """Returns all runs: the best first, and those without a result last."""
        monitor = self._monitor()
        sign = -1.0 if should_rise(monitor) else 1.0
        done = sorted(self.results.items(), key=lambda pair: (sign * pair[1].objective, pair[0]))
        return [*done, *((n, None) for n in range(len(self.jobs)) if n not in self.results)]

    def _monitor(self) -> str:
        return self.jobs[0].composition.config.training.early_stopping.monitor

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        """Returns the table of results: its header and a row for each run, best first."""
        test = next((n for result in self.results.values() for n in result.metrics), "")
        header = ["rank", "run", self._monitor(), *([test] if test else []), "with"]
        rows = []
        for rank, (number, result) in enumerate(self._ranked(), start=1):
            if result is None:
                shown = ["", "not trained" if number in self.existing else "failed"]
                values = ["", ""] if test else [""]
            else:
                shown = [str(rank), result.run_id[:8]]
                found = [result.objective, *([result.metrics[test]] if test else [])]
                values = [f"{value:.4g}" for value in found]
            rows.append([*shown, *values, self.label(number)])
        return header, rows

    def _report(self) -> None:
        """Prints and records the results of all runs, and the figure that compares them."""
        header, rows = self._rows()
        table.show([header, *rows], self._out)
        curves = {self.label(n): self.results[n].history for n in sorted(self.results)}
        figure = table.draw_curves(curves, Path(os.path.abspath(self.folder)))
        if figure is not None:
            self._out.print(f"curves of all runs: {figure}", soft_wrap=True)
        if self.run is None:
            return
        if figure is not None:
            self.run.log_file(figure, "plots")
        table.record(self.run, [header, *rows])
        best = self._ranked()[0][1]
        if best is not None:
            self.run.set_tags({tag.BEST: best.run_id})
        self._show_end(self.run, best)

    def _show_end(self, run: tracking.Run, best: "Result | None") -> None:
        from samerun import console

        lines = []
        if best is not None:
            lines.append(("reproduce", line("reproduce", best.run_id[:8], trust=best.trust)))
        lines.append(("multirun", f"{run.name}  {run.id}"))
        lines.append(("show", line("show", run.id[:8])))
        lines.append(("open", run.url or line("ui", run.id[:8])))
        console.show_lines(lines, self._out)
