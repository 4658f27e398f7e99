"""An execution is stopped in one state after another; whoever starts next takes over, and the end is the same."""

from __future__ import annotations

from tests.workflow.operator import DR, PRIMARY, Operator

DEADLY = (
    "Take the lock",
    "Plan",
    "Close the primary if it answers",
    "Apply what was received",
    # Before the promotion, which goes on meanwhile: the next start may find it over.
    "Give the promotion time",
    "Promote the database",
    "Pin the image",
    "Raise the capacity",
    "Switch the functions on",
    "Verify by a write and a read",
    "Record this region as active",
    "Release the lock",
)


def test_whatever_state_it_was_killed_in(operator: Operator) -> None:
    operator.lab.lose(PRIMARY, "refuse")
    for state in DEADLY:
        operator.kill(state)

    ended = operator.fail_over()
    assert ended.status == "SUCCEEDED", ended.cause
    seen = operator.posture()
    assert seen["database"] == ("available", "")
    assert seen["sizes"] == (2, 2, 4)
    assert len(seen["instances"]) == 2
    assert seen["orders"]
    assert seen["active"] == DR
    assert (operator.record()["active_region"], operator.record()["lock"]) == (DR, "free")
    versions = operator.lab.client("ec2").describe_launch_template_versions(LaunchTemplateName="dev-app")
    images = [version["LaunchTemplateData"]["ImageId"] for version in versions["LaunchTemplateVersions"]]
    assert images.count(operator.image_in_dr()) == 1
