"""The one wrapper around every function: environment, logging, tracing, the epoch, and errors that ASL can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from pilotlight.aws import faults
from pilotlight.aws.record import Store
from pilotlight.config import Environment
from pilotlight.decide import failover
from pilotlight.errors import FatalError
from pilotlight.model import Json, Plan, plan_from


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a step: where it runs and what it was given."""

    environment: Environment
    payload: Json
    context: LambdaContext

    @property
    def execution(self) -> str:
        """ARN of the execution that this step belongs to."""
        return str(self.payload["execution"])

    @property
    def epoch(self) -> int:
        """Epoch that the execution's lock carries."""
        return int(self.payload["epoch"])

    @property
    def plan(self) -> Plan:
        """The plan as the execution shows it."""
        return plan_from(self.payload["plan"])

    @property
    def waited(self) -> int:
        """Seconds that the workflow has waited for this step so far."""
        return int(self.payload.get("waited", 0))

    @property
    def account(self) -> str:
        """The account that all this is in."""
        return self.context.invoked_function_arn.split(":")[4]

    def for_sql(self, action: str, place: Mapping[str, object], **more: object) -> Json:
        """Make what a region's SQL function is asked for this switch, of the database in a place (host and port)."""
        return {"action": action, "execution": self.execution, "epoch": self.epoch, "database": dict(place)} | more

    @property
    def store(self) -> Store:
        """The record."""
        return Store(self.environment.state_table, self.environment.primary_region)


type Action = Callable[[Call], Json]
type Handler = Callable[[Json, LambdaContext], Json]


def current(action: Action) -> Action:
    """Let an action run only for the switch that holds the lock now.

    Every action that changes something carries this: a step of a killed or overtaken execution is refused.
    """

    def guarded(call: Call) -> Json:
        failover.require_current(call.store.read(), call.epoch, call.execution)
        return action(call)

    return guarded


def serve(service: str, actions: Mapping[str, Action], *, trace_calls: bool = True) -> Handler:
    """Make a Lambda handler that carries out one of several actions.

    Parameters
    ----------
    service
        Name in logs and traces.
    actions
        What the state machine may ask for under ``action``.
    trace_calls
        Whether each call of AWS goes into the trace, and with it in full what AWS says when it refuses one.

    Returns
    -------
    callable
        Takes ``{"action": …, …}`` and returns the action's answer. Raises only the three families.
    """
    logger = Logger(service=service)
    tracer = Tracer(service=service, auto_patch=trace_calls)

    # The response is not captured: a plan is no secret, but what a step returns is not for the tracer to judge.
    @tracer.capture_lambda_handler(capture_response=False)
    @logger.inject_lambda_context(clear_state=True)
    def handle(event: Json, context: LambdaContext) -> Json:
        name = event.get("action")
        logger.append_keys(action=name, execution=event.get("execution"), epoch=event.get("epoch"))
        try:
            answer = _known(name, actions)(Call(Environment.read(), event, context))
        except Exception as error:
            family = faults.sorted_into_family(error)
            logger.exception("the step failed", family=type(family).__name__)
            raise family from error
        logger.info("the step is done", answer=_brief(answer))
        return answer

    return cast("Handler", handle)


def _known(name: object, actions: Mapping[str, Action]) -> Action:
    if not isinstance(name, str) or name not in actions:
        raise FatalError(f"'action' is {name!r}; this function knows {', '.join(sorted(actions))}")
    return actions[name]


def _brief(answer: Json) -> Json:
    return {key: value for key, value in answer.items() if isinstance(value, str | int | bool | float)}
