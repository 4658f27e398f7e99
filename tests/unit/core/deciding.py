"""The states in which a workflow that an alarm woke gives its reasons: the same in every machine that one may wake."""

from __future__ import annotations

DECIDES = {"failover": "Decide whether to fail over", "failback": "Decide whether to go back"}
ENDS = {"failover": "No failover", "failback": "No failback"}
BEGINS = {"failover": "Take the lock", "failback": "Check what is asked"}
SHARED = {
    "How was it started?",
    "What was decided?",
    "Tell the team that it begins",
    "Ask the team",
    "No answer in time",
    "Take note of the answer",
    "Tell the team why not",
    "Is it looked at again?",
    "Wait before looking again",
    "Tell the team that nothing was decided",
    "Is it tried again?",
    "Wait before deciding again",
    "Wait before noting the answer again",
    "Nothing could be decided",
}
HEAD = SHARED | set(DECIDES.values()) | set(ENDS.values())

# What a refusal of an alarm's execution ends in, and how it is told before: nobody is there to read it.
REFUSED = {"failover": "Refused", "failback": "Failback refused"}
TELLS_OF_A_REFUSAL = "Tell the team that it was refused"
