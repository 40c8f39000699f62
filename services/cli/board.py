"""The live board: a cell for each machine, a bar for all of them, the latest events. Plain lines without a terminal."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.cli.output import STATE_STYLES, state_text
from services.cli.scene import LATEST, MILESTONES, Scene

REFRESH = 8  # a second
PLAIN_PAUSE = 1.0  # seconds between two plain lines
BAR_WIDTH = 30
ROOMY = 48  # machines that get a cell with their name and state; more get a mark each
MARKS = "·▁▁▂▂▃▄▄▅▆█"


class Board:
    """Draws a scene until the end of `shown`."""

    def __init__(self, title: str, scene: Scene, console: Console) -> None:
        self._title = title
        self._scene = scene
        self._console = console
        self._began = time.monotonic()

    @asynccontextmanager
    async def shown(self, *, quietly: bool = False) -> AsyncIterator[None]:
        """Keep it up to date; `quietly`: do not show it at all."""
        if quietly:
            yield
            return
        if not self._console.is_terminal:
            task = asyncio.create_task(self._tell(), name="plain board")
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                self._tell_line()
            return
        with Live(get_renderable=self._draw, console=self._console, refresh_per_second=REFRESH, transient=True):
            yield
        self._console.print(self._draw())

    async def _tell(self) -> None:
        said = ""
        while True:
            if self._line() != said:
                self._tell_line()
                said = self._line()
            await asyncio.sleep(PLAIN_PAUSE)

    def _tell_line(self) -> None:
        self._console.print(f"{time.monotonic() - self._began:6.1f} s  {self._line()}")

    def _line(self) -> str:
        counts = self._scene.counts
        order = {state: rank for rank, state in enumerate(MILESTONES)}
        return " · ".join(f"{counts[state]} {state}" for state in sorted(counts, key=lambda s: -order.get(s, -1)))

    def _draw(self) -> RenderableType:
        head = Text.assemble(
            (self._title, "bold"),
            f"   {len(self._scene.machines)} machines   {time.monotonic() - self._began:.1f} s",
            f"   {self._scene.events} events",
        )
        bar = Table.grid(padding=(0, 2, 0, 0))
        bar.add_row(ProgressBar(total=1.0, completed=self._scene.progress, width=BAR_WIDTH), Text(self._line()))
        return Group(head, bar, Text(), self._cells(), Text(), self._latest())

    def _cells(self) -> RenderableType:
        roomy = len(self._scene.machines) <= ROOMY
        cells = [(self._cell if roomy else self._mark)(name) for name in self._scene.machines]
        return Columns(cells, equal=True, expand=False, padding=(0, 2) if roomy else (0, 1))

    def _cell(self, name: str) -> Text:
        state = state_text(self._scene.states.get(name))
        return Text.assemble((name, "bold"), " ", (f"{state.plain:<11}", state.style))

    def _mark(self, name: str) -> Text:
        state = self._scene.states.get(name, "")
        mark = MARKS[MILESTONES.index(state)] if state in MILESTONES else "!" if state else "·"
        return Text(f"{name.removeprefix('node')}{mark}", style=STATE_STYLES.get(state, "dim"))

    def _latest(self) -> RenderableType:
        lines = Table.grid(padding=(0, 2, 0, 0))
        shown = list(self._scene.latest)
        for name, text in [*shown, *[("", "")] * (LATEST - len(shown))]:
            lines.add_row(Text(name, style="bold dim"), Text(text, style="dim", no_wrap=True, overflow="ellipsis"))
        return lines
