"""Problems with templates, each told once: in the log, as an event, as a number."""

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from libs.desired import MachineDocument
from libs.events import AnswersFailed, Event
from services.kickstart.metrics import Metrics
from services.kickstart.orders import PUBLIC_URL
from services.kickstart.sandbox import Problem


class ProblemReporter:
    """Hears of problems as often as they come up; a problem that goes away and comes back is told again."""

    def __init__(self, emit: Callable[[Event], None], metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._emit = emit
        self._metrics = metrics
        self._log = log
        self._passed_over: frozenset[Problem] = frozenset()

    def templates_passed_over(self, problems: list[Problem]) -> None:
        """The templates that are wrong now, in whose place their last good text or a built-in one is used."""
        for problem in set(problems) - self._passed_over:
            self._log.warning("a template is wrong; what it was before stays in use", error=str(problem))
            self._emit(AnswersFailed(reason=str(problem), path=problem.template or problem.file))
            self._metrics.problem()
        self._passed_over = frozenset(problems)

    def machine_not_rendered(self, machine: MachineDocument, problem: Problem) -> None:
        """A machine's boot files cannot be made. One that no subnet of ours reaches is no template's fault."""
        self._log.warning("boot files cannot be rendered", machine=machine.name, error=str(problem))
        self._metrics.problem()
        if problem.variable == PUBLIC_URL:
            return
        self._emit(
            AnswersFailed(
                mac=machine.macs[0] if machine.macs else None,
                machine=machine.name,
                install_id=machine.install.id if machine.install else None,
                reason=str(problem),
                path=problem.template or problem.file,
            )
        )
