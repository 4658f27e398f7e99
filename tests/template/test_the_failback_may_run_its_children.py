from __future__ import annotations

import json
import re

from .templates import MAIN, ROOT, many, statements

MACHINE = MAIN["Resources"]["Failback"]["Properties"]
DEFINITION = (ROOT / MACHINE["DefinitionUri"]).read_text()
STATEMENTS = {statement["Sid"]: statement for statement in statements(MACHINE["Policies"])}


def test_every_substitution_is_made_and_none_is_left_over() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION)) == set(MACHINE["DefinitionSubstitutions"])


def test_it_may_start_invoke_and_watch_what_it_names_and_nothing_else() -> None:
    named = {name: json.dumps(value) for name, value in MACHINE["DefinitionSubstitutions"].items()}
    functions = sorted(value for name, value in named.items() if name.endswith("FunctionArn"))
    machines = sorted(value for name, value in named.items() if not name.endswith("FunctionArn"))
    assert sorted(map(json.dumps, STATEMENTS["ItsSteps"]["Resource"])) == functions
    assert sorted(map(json.dumps, STATEMENTS["ItsChildren"]["Resource"])) == machines
    assert many(STATEMENTS["ItsChildren"]["Action"]) == ["states:StartExecution"]
    # Its children's executions, for waiting and for stopping them.
    assert set(STATEMENTS["WatchesThem"]["Action"]) == {"states:DescribeExecution", "states:StopExecution"}
    watched = [resource["Fn::Sub"].split(":execution:")[1] for resource in STATEMENTS["WatchesThem"]["Resource"]]
    assert watched == ["${Environment}-dr-failover:*", "${Environment}-dr-reprotect:*", "${Environment}-image:*"]


def test_step_functions_may_make_the_rule_that_tells_a_childs_end() -> None:
    rule = STATEMENTS["HearsOfTheirEnd"]
    assert set(rule["Action"]) == {"events:PutTargets", "events:PutRule", "events:DescribeRule"}
    assert rule["Resource"]["Fn::Sub"].endswith(":rule/StepFunctionsGetEventsForStepFunctionsExecutionRule")
