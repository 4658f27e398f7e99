"""IAM: what runs in the lab may do what its role allows, and nothing else.

MiniStack evaluates policies when it is told to: identity policies of a function's role, resource policies, conditions.
So a permission that a template forgot, or grants too narrowly, fails in the lab with the error it fails with on AWS.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import here, replace, requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.world import Lab

# What SAM attaches to the role of a function with `Tracing: Active`, which MiniStack does not know.
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSXrayWriteOnlyAccess.html
_MANAGED: Final = {
    "AWSXrayWriteOnlyAccess": (
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:GetSamplingStatisticSummaries",
    ),
}

# All that the request which is being answered needs; and what of it was refused.
_needed: ContextVar[tuple[requests.Check, ...]] = ContextVar("_needed", default=())
_refused: ContextVar[requests.Check | None] = ContextVar("_refused", default=None)

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
    _know_managed_policies()
    _ask_what_aws_asks()
    _require_all_of_it(lab)
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


def _know_managed_policies() -> None:
    """Let an AWS-managed policy allow what AWS says it allows, and a deployment with one that is unknown fail.

    MiniStack attaches a policy that it does not know and says nothing. It can also be told to make one up, which then
    allows everything to whoever has it.
    """
    from ministack.services import iam

    for name, actions in _MANAGED.items():
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        arn = f"{iam._AWS_MANAGED_POLICY_PREFIX}{name}"
        iam._aws_managed_policies[arn] = iam._make_aws_managed_record(name, json.dumps(document))

    def missing(arn: str) -> str:
        return "" if iam.policy_known(arn) else f"Policy {arn} does not exist or is not attachable."

    def attach(original: Callable[[dict[str, Any], str], None]) -> Callable[[dict[str, Any], str], None]:
        def attached(entity: dict[str, Any], arn: str) -> None:
            if refusal := missing(arn):
                raise ValueError(refusal)
            original(entity, arn)

        return attached

    def answer(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def answered(parameters: Any) -> Any:
            if refusal := missing(iam._p(parameters, "PolicyArn")):
                return iam._error(404, "NoSuchEntity", refusal, ns="iam")
            return original(parameters)

        return answered

    replace(iam, "attach_managed_policy", attach)
    replace(iam, "_attach_role_policy", answer)


def _ask_what_aws_asks() -> None:
    """Find out all that a request needs: see ``requests``."""
    from ministack.core import iam_actions
    from ministack.services import tagging

    def name(original: Callable[..., str | None]) -> Callable[..., str | None]:
        def named(service: str, method: str, path: str, headers: Any, *args: Any) -> str | None:
            found = requests.name_action(service, method, path, original(service, method, path, headers, *args))
            namespace = iam_actions.SERVICE_TO_IAM_NAMESPACE.get(service)
            if found or not namespace or "authorization" not in headers:
                return found
            # MiniStack lets through what it cannot name; under a name that no policy has, it is refused.
            return f"{namespace}:{method} {path}"

        return named

    def find(original: Callable[..., str]) -> Callable[..., str]:
        def found(
            service: str, method: str, path: str, headers: Any, body: bytes, parameters: Any, region: str, account: str
        ) -> str:
            _needed.set(())
            _refused.set(None)
            theirs = original(service, method, path, headers, body, parameters, region, account)
            action = iam_actions.extract_iam_action(service, method, path, headers, body, parameters)
            # S3 is judged by MiniStack alone, which knows its sources, batches and versions.
            if action is None or service == "s3":
                return theirs
            needed = requests.checks(requests.read(action, path, body, parameters, region, account), theirs)
            _needed.set(tuple(needed))
            return needed[0].resource

        return found

    replace(iam_actions, "extract_iam_action", name)
    replace(iam_actions, "extract_resource_arn", find)
    tagging._RESOURCE_TAG_COLLECTORS["ec2"] = requests.tags_of_ec2


def _require_all_of_it(lab: Lab) -> None:
    """Refuse a request of which anything is not allowed, by the name of that. MiniStack judges one resource of it."""
    from ministack.core import iam_actions, iam_evaluator

    def enforce(original: Callable[..., Any]) -> Callable[..., Any]:
        def enforced(
            key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: Any = None
        ) -> Any:
            needed = _needed.get()
            if not needed or (needed[0].action, needed[0].resource) != (action, resource_arn):
                needed = (requests.Check(action, resource_arn),)
            for check in needed:
                denied = original(
                    key, check.action, service, region, check.resource, {**(service_context or {}), **check.keys}
                )
                if denied is not None:
                    _refused.set(check)
                    who = getattr(denied, "principal_arn", "") or "somebody unknown"
                    lab.log(f"denied: {who} may not {check.action} on {check.resource} in {region}, {check.keys}")
                    return denied
            return None

        return enforced

    def answer(original: Callable[..., Any]) -> Callable[..., Any]:
        def answered(service: str, action: str, *args: Any, **kwargs: Any) -> Any:
            if check := _refused.get():
                action, kwargs["resource_arn"] = check.action, check.resource
            return original(service, action, *args, **kwargs)

        return answered

    replace(iam_evaluator, "enforce", enforce)
    replace(iam_actions, "access_denied_response", answer)


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
