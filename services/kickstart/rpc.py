"""Questions over the bus: what would a machine be given, and is it right?"""

from typing import Any

from pydantic import ValidationError

from libs.desired import MachineDocument, SubnetDocument
from services.kickstart.orders import Orders
from services.kickstart.sandbox import Problem
from services.kickstart.workshop import Workshop

SUBJECT = "kickfleet.rpc.kickstart.render"
MAX_MACHINES = 10_000


class Inspector:
    """Answers {"machines": [document, …], "subnets"?: [document, …], "validate"?, "content"?, "install"?: bool}.

    With `install` (the default) a machine that has no install to run is shown as if one were ordered.
    The answer is {"results": [{"machine", "files": {name: text}, "errors": [{"file", "template", "line", "variable",
    "message"}]}]}, in the order of the machines, or {"error": sentence}.
    """

    def __init__(self, orders: Orders, workshop: Workshop) -> None:
        self._orders = orders
        self._workshop = workshop

    async def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer one question."""
        try:
            machines = [MachineDocument.model_validate(value) for value in question["machines"][:MAX_MACHINES]]
            subnets = [SubnetDocument.model_validate(value) for value in question.get("subnets", [])]
        except (KeyError, TypeError, ValidationError) as error:
            return {"error": f"the question cannot be read: {' '.join(str(error).split())[:500]}"}
        return {"results": [await self._inspect(machine, subnets, question) for machine in machines]}

    async def _inspect(
        self, machine: MachineDocument, subnets: list[SubnetDocument], question: dict[str, Any]
    ) -> dict[str, Any]:
        order = self._orders.preview(machine, subnets, install=bool(question.get("install", True)))
        found = await self._workshop.inspect(order, validate=bool(question.get("validate", True)))
        files = found.files if question.get("content", True) else {}
        return {"machine": machine.name, "files": files, "errors": [_document(problem) for problem in found.problems]}


def _document(problem: Problem) -> dict[str, Any]:
    return problem.document()
