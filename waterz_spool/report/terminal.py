"""Progress for whoever waits: a bar on a terminal, one plain line per 30 s elsewhere, or JSON lines for programs.

All of it goes to standard error. The bar is one line that fits any width from 40 columns; what does not fit is left
out, the least important first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from waterz_spool.errors import printable, printable_lines
from waterz_spool.report.progress import Moment, amount_of, text_of
from waterz_spool.report.words import clock

if TYPE_CHECKING:
    import rich.progress

POLL_S = 0.4
PLAIN_LINE_S = 30.0
JSON_LINE_S = 1.0
_NAME_COLUMNS = 30


class Progress:
    """Shows moments, no more often than a reader wants them.

    Args:
        terminal: Whether a line may be redrawn.
        as_json: One JSON object a line instead.
        silent: Nothing at all.
        call: Given each moment instead, about once a second.
    """

    def __init__(
        self,
        *,
        terminal: bool = False,
        as_json: bool = False,
        silent: bool = False,
        call: Callable[[Moment], None] | None = None,
    ) -> None:
        self.as_json = as_json
        self._silent = silent
        self._call = call
        self._terminal = terminal and not as_json
        self._every_s = JSON_LINE_S if as_json or call else POLL_S if terminal else PLAIN_LINE_S
        self._begun = self._due = time.monotonic()
        self._bar: _Bar | None = None

    def tell(self, look: Callable[[float], Moment]) -> None:
        """Show what a function makes of the seconds so far, when it is time to."""
        now = time.monotonic()
        if self._silent or now < self._due:
            return
        self._due = now + self._every_s
        moment = look(now - self._begun)
        if self._call:
            self._call(moment)
        elif self.as_json:
            self._write(msgspec.json.encode(moment).decode())
        elif self._terminal:
            self._bar = self._bar or _Bar()
            self._bar.show(moment)
        else:
            self._write(text_of(moment))

    def share(self, name: str, step: str) -> Callable[[float], None]:
        """For work that tells how much of one step is done, 0..1."""

        def tell(share: float) -> None:
            def moment(elapsed_s: float) -> Moment:
                eta_s = elapsed_s / share * (1 - share) if share > 0.05 else None
                return Moment(name=name, step=step, share=share, eta_s=eta_s, elapsed_s=round(elapsed_s, 1))

            self.tell(moment)

        return tell

    def line(self, text: str) -> None:
        """Print a line that stays."""
        if self.as_json:
            self._write(msgspec.json.encode({"note": text}).decode())
        elif self._bar is not None:
            self._bar.line(printable_lines(text))
        else:
            self._write(printable_lines(text))

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _write(self, line: str) -> None:
        if self._silent or self._call:
            return
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class _Bar:
    """One line of `rich`, redrawn when it is told something."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as RichProgress

        self._console = Console(file=sys.stderr, highlight=False)
        self._progress = RichProgress(
            console=self._console,
            auto_refresh=False,
            transient=True,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=1.0, name="", percent="", amount="", eta="")
        self._progress.start()

    def show(self, moment: Moment) -> None:
        self._progress.columns = tuple(_columns(self._console.width))
        rate = f"{moment.rate:.1f} {moment.unit if moment.unit != 'frames' else 'fps'}" if moment.rate else ""
        self._progress.update(
            self._task,
            description=moment.step,
            completed=moment.share or 0.0,
            total=1.0 if moment.share is not None else None,
            name=printable(moment.name),
            percent="" if moment.share is None else f"{moment.share:4.0%}",
            amount=" ".join(filter(None, (amount_of(moment), rate))),
            eta=f"ETA {clock(moment.eta_s)}" if moment.eta_s is not None else clock(moment.elapsed_s),
        )
        self._progress.refresh()

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()


def _columns(width: int) -> list[rich.progress.ProgressColumn]:
    """What fits: step, bar, percent and time always; amount and speed from 76 columns on, the name from 110 on."""
    from rich.progress import BarColumn, TextColumn
    from rich.table import Column

    def text(field: str, **how: Any) -> TextColumn:
        column = Column(no_wrap=True, overflow="ellipsis", **how)
        return TextColumn(f"{{task.{field}}}", markup=False, table_column=column)

    columns: list[Any] = [text("description"), BarColumn(None, table_column=Column(ratio=1, min_width=4))]
    columns += [text("fields[percent]"), *([text("fields[amount]")] if width >= 76 else []), text("fields[eta]")]
    return [text("fields[name]", max_width=_NAME_COLUMNS), *columns] if width >= 110 else columns
