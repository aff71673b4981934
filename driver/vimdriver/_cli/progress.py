"""Transfer progress: bars on a terminal, periodic lines elsewhere, nothing if disabled.

Without a drawing thread: each progress report redraws the screen, at most ten times a second.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vimdriver._cli.output import colour, shown
from vimdriver.errors import size_text
from vimlib._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vimdriver._cli.output import Output

_REDRAW = 0.1
_LINE_EVERY = 10.0


class Meter:
    """Receives the progress of transfers, which it identifies by name, and prints nothing. No method blocks."""

    def start(self, name: str, size: int | None) -> None:
        """Report the start of a transfer; `size` in bytes, None if unknown."""

    def advance(self, name: str, count: int) -> None:
        """Report that `count` more bytes were transferred."""

    def end(self, name: str, error: BaseException | None = None) -> None:
        """Report the end of a transfer."""


class _Errors(Meter):
    """Prints errors only."""

    def end(self, name: str, error: BaseException | None = None) -> None:
        """See `Meter`."""
        if error is not None:
            print(_failed(name, error), file=sys.stderr, flush=True)


def _failed(name: str, error: BaseException) -> str:
    return f"{shown(name)}: failed: {printable(str(error), 500)}"


class Lines(Meter):
    """Prints a line at the start and end of a transfer, and a summary every ten seconds."""

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._clock = clock
        # Name to (bytes done, size, start time) of each running transfer.
        self._running: dict[str, tuple[int, int | None, float]] = {}
        self._next = clock() + _LINE_EVERY

    def start(self, name: str, size: int | None) -> None:
        """See `Meter`."""
        self._running[name] = (0, size, self._clock())
        self._say(f"{shown(name)}: {size_text(size) if size is not None else 'size unknown'}")

    def advance(self, name: str, count: int) -> None:
        """See `Meter`."""
        done, size, began = self._running[name]
        self._running[name] = (done + count, size, began)
        now = self._clock()
        if now >= self._next:
            self._next = now + _LINE_EVERY
            self._say("; ".join(self._state(name) for name in self._running))

    def _state(self, name: str) -> str:
        done, size, _ = self._running[name]
        share = f" of {size_text(size)} ({done * 100 // size}%)" if size else ""
        return f"{shown(name)}: {size_text(done)}{share}"

    def end(self, name: str, error: BaseException | None = None) -> None:
        """See `Meter`."""
        entry = self._running.pop(name, None)
        if error is not None:
            self._say(_failed(name, error))
        elif entry is not None:
            done, _, began = entry
            seconds = max(self._clock() - began, 1e-6)
            self._say(
                f"{shown(name)}: done, {size_text(done)} in {seconds:.1f} s, {size_text(done / seconds)}/s"
            )


class _Bars(Meter):
    """Draws a bar per transfer and one for the total, with rich."""

    def __init__(self, progress: Any, clock: Callable[[], float]) -> None:
        self._progress = progress
        self._clock = clock
        self._drawn = 0.0
        self._tasks: dict[str, Any] = {}
        # Shown above the others; a single transfer needs no total.
        self._total = progress.add_task("total", total=0, visible=False)
        self._sum = 0

    def start(self, name: str, size: int | None) -> None:
        """See `Meter`."""
        self._sum += size or 0
        self._tasks[name] = self._progress.add_task(self._label(name), total=size)
        self._progress.update(self._total, total=self._sum, visible=len(self._tasks) > 1)
        self._draw(force=True)

    def _label(self, name: str) -> str:
        from rich.markup import escape

        text = shown(name)
        return escape(text if len(text) <= 40 else f"...{text[-37:]}")

    def advance(self, name: str, count: int) -> None:
        """See `Meter`."""
        self._progress.advance(self._tasks[name], count)
        self._progress.advance(self._total, count)
        self._draw()

    def end(self, name: str, error: BaseException | None = None) -> None:
        """See `Meter`."""
        from rich.text import Text

        if name in self._tasks:
            label = self._label(name) + (" [red]failed[/]" if error is not None else "")
            self._progress.update(self._tasks[name], description=label)
            self._progress.stop_task(self._tasks[name])
        if error is not None:
            # Printed above the bars. Rich would interpret a plain string as markup.
            self._progress.print(Text(_failed(name, error)), soft_wrap=True)
        self._draw(force=True)

    def _draw(self, *, force: bool = False) -> None:
        now = self._clock()
        if force or now - self._drawn >= _REDRAW:
            self._drawn = now
            self._progress.refresh()


@contextmanager
def meter(output: Output) -> Iterator[Meter]:
    """Yield the meter for the output: bars on a terminal, lines elsewhere.

    With --json nothing is printed, since stdout has the results; with --quiet only errors are.
    """
    if output.quiet or output.json:
        yield Meter() if output.json else _Errors()
        return
    if not sys.stderr.isatty():
        yield Lines(output.say)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(file=sys.stderr, no_color=not colour(sys.stderr))
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
    )
    with progress:
        yield _Bars(progress, time.monotonic)
