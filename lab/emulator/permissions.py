"""IAM: what runs in the lab may do what its role allows, and nothing else.

MiniStack evaluates policies when it is told to: identity policies of a function's role, resource policies, conditions.
So a permission that a template forgot, or grants too narrowly, fails in the lab with the error it fails with on AWS.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from lab.emulator import here, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.world import Lab

# The role of the execution that this thread works for. Branches run in copies of their parent's context.
_role: ContextVar[str] = ContextVar("_role", default="")


def install(lab: Lab) -> None:
    """Let the lab's users in, and judge everybody else by their policies.

    Parameters
    ----------
    lab
        Whose account all of this is.
    """
    from ministack import app
    from ministack.core import iam_evaluator

    def authenticate(original: Callable[..., Any]) -> Callable[..., Any]:
        def authenticated(access_key_id: str, account_id: str) -> Any:
            # The lab's user is the account's root, with the account's number as key and whatever secret: nothing here
            # is secret. Roles' sessions are checked as on AWS.
            if iam_evaluator.is_root_access_key(access_key_id):
                return None
            return original(access_key_id, account_id)

        return authenticated

    replace(iam_evaluator, "authenticate", authenticate)

    def origin(original: Callable[[str, bool], None]) -> Callable[[str, bool], None]:
        # The lab speaks HTTP where AWS speaks HTTPS: a policy that insists on TLS is content.
        return lambda address, _secure: original(address, True)

    replace(app, "pin_request_origin", origin)
    _judge_state_machines(lab)


def may(lab: Lab, role: str, action: str, resource: str) -> bool:
    """Judge what a role may do by its policies.

    Parameters
    ----------
    lab
        Whose account it is.
    role
        The role's ARN.
    action
        For example ``states:StartExecution``.
    resource
        The ARN of what it is done to.

    Returns
    -------
    bool
        False for a role that does not exist.
    """
    from ministack.core import iam_evaluator

    context = iam_evaluator.EvalContext(
        principal_arn=role,
        principal_type="AssumedRole",
        principal_account=lab.account,
        action=action,
        resource_arn=resource,
        region=here(),
    )
    policies = iam_evaluator._gather_role_policies(role.rsplit("/", 1)[-1], lab.account)
    return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")


def _judge_state_machines(lab: Lab) -> None:
    """Let a state machine invoke the functions that its role may invoke. MiniStack invokes any, within the process."""
    from ministack.services import lambda_svc, stepfunctions

    def run(original: Callable[[str], None]) -> Callable[[str], None]:
        def running(execution_arn: str) -> None:
            execution = stepfunctions._executions.get(execution_arn)
            machine = stepfunctions._state_machines.get((execution or {}).get("stateMachineArn"))
            _role.set((machine or {}).get("roleArn", ""))
            original(execution_arn)

        return running

    def call(original: Callable[..., Any]) -> Callable[..., Any]:
        def calling(reference: str, *args: Any, **kwargs: Any) -> Any:
            role = _role.get()
            _function, config, _name = lambda_svc._get_func_record_for_ref(reference)
            if role and config and not may(lab, role, "lambda:InvokeFunction", config["FunctionArn"]):
                raise stepfunctions._ExecutionError(
                    "Lambda.AWSLambdaException",
                    f"{role} is not authorized to perform: lambda:InvokeFunction on resource: {config['FunctionArn']} "
                    "because no identity-based policy allows the lambda:InvokeFunction action",
                )
            return original(reference, *args, **kwargs)

        return calling

    def nest(original: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
        def nesting(resource: str, given: Any) -> Any:
            role = _role.get()
            for action, on in _to_wait_for_a_child(given["StateMachineArn"]):
                if role and not may(lab, role, action, on):
                    raise stepfunctions._ExecutionError(
                        "StepFunctions.AWSStepFunctionsException",
                        f"{role} is not authorized to perform: {action} on resource: {on}",
                    )
            return original(resource, given)

        return nesting

    replace(stepfunctions, "_run_execution", run)
    replace(stepfunctions, "_invoke_nested_start_execution_sync", nest)
    replace(stepfunctions, "_call_lambda", call)


def _to_wait_for_a_child(machine: str) -> Iterator[tuple[str, str]]:
    """Name what a role needs to run a child: AWS asks for the rule's part already when the machine is made."""
    yield "states:StartExecution", machine
    executions = machine.replace(":stateMachine:", ":execution:") + ":any"
    yield from ((f"states:{action}Execution", executions) for action in ("Describe", "Stop"))
    owner = ":".join(machine.split(":")[3:5])
    rule = f"arn:aws:events:{owner}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
    yield from ((f"events:{action}", rule) for action in ("PutTargets", "PutRule", "DescribeRule"))
