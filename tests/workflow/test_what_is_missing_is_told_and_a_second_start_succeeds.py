"""One system, its primary lost, and one thing after another that is not as it should be. In this order: every failure
leaves the way open for the next start, and the last start brings the service up."""

from __future__ import annotations

from tests.workflow.operator import DR, PRIMARY, Operator

TAG = [{"Key": "pilotlight:environment", "Value": "dev"}]


def test_wrong_input_is_refused_by_name_and_changes_nothing(operator: Operator) -> None:
    before = operator.posture(), operator.record()
    ended = operator.fail_over(modus="fast")
    assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
    assert "'modus'" in ended.cause
    assert "'mode' is 'fast'" in operator.fail_over(mode="fast").cause
    assert (operator.posture(), operator.record()) == before


def test_without_a_replica_nothing_is_touched_and_the_primary_serves_on(operator: Operator) -> None:
    replica, rds = operator.database(), operator.lab.client("rds")
    rds.modify_db_instance(DBInstanceIdentifier="dev-db", DeletionProtection=False, ApplyImmediately=True)
    rds.delete_db_instance(DBInstanceIdentifier="dev-db", SkipFinalSnapshot=True)
    operator.until(lambda: not operator.has_database(), "the replica is gone", 60)
    ended = operator.fail_over()
    assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
    for told in ("database dev-db does not exist", "nothing was changed", "start the same again"):
        assert told in ended.cause
    assert operator.group()["DesiredCapacity"] == 0
    assert operator.order(operator.door(PRIMARY), "while-without-replica")

    operator.lab.set_scale(200)
    rds.create_db_instance_read_replica(
        DBInstanceIdentifier="dev-db",
        SourceDBInstanceIdentifier=replica["ReadReplicaSourceDBInstanceIdentifier"],
        KmsKeyId="alias/dev-pilotlight",
        DBSubnetGroupName="dev-db",
        DBParameterGroupName="dev-db",
        VpcSecurityGroupIds=[group["VpcSecurityGroupId"] for group in replica["VpcSecurityGroups"]],
    )
    operator.until(lambda: operator.database()["DBInstanceStatus"] == "available", "the replica is there again", 90)
    rds.modify_db_instance(
        DBInstanceIdentifier="dev-db", BackupRetentionPeriod=7, DeletionProtection=True, ApplyImmediately=True
    )
    operator.until(
        lambda: (seen := operator.database())["BackupRetentionPeriod"] == 7 and seen["DBInstanceStatus"] == "available",
        "its backups are on",
        90,
    )
    operator.lab.set_scale(20)
    operator.lab.lose(PRIMARY, "refuse")


def test_without_an_image_nothing_is_touched_and_the_way_to_one_is_told(operator: Operator) -> None:
    before = operator.posture()
    image, ec2 = operator.image_in_dr(), operator.lab.client("ec2")
    ec2.delete_tags(Resources=[image], Tags=TAG)
    ended = operator.fail_over()
    assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
    for told in ("no complete image of ours", "make image", "start the same again", "still a replica", "set to 0"):
        assert told in ended.cause
    assert operator.posture() == before
    assert (operator.record()["lock"], operator.record()["active_region"]) == ("failed", PRIMARY)
    ec2.create_tags(Resources=[image], Tags=TAG)


def test_a_backup_that_does_not_end_is_named(operator: Operator) -> None:
    budget = operator.set("promotion-budget-seconds", 20)
    operator.lab.control("database", "back-up", region=DR, identifier="dev-db", seconds=4000)
    ended = operator.fail_over()
    assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
    for told in ("'backing-up'", "wait for the backup to end", "start the same again"):
        assert told in ended.cause
    assert operator.database()["ReadReplicaSourceDBInstanceIdentifier"]
    assert operator.record()["active_region"] == PRIMARY
    operator.lab.set_scale(1000)
    operator.until(lambda: operator.database()["DBInstanceStatus"] == "available", "the backup ends")
    operator.lab.set_scale(20)
    operator.set("promotion-budget-seconds", budget)


def test_targets_that_do_not_become_healthy_are_told_with_their_reason(operator: Operator) -> None:
    budget = operator.set("compute-budget-seconds", 200)
    operator.lab.control("compute", "sick-instances", region=DR, sick=True)
    operator.until(lambda: operator.healthy_targets() == 0, "the targets are known to be ill")
    ended = operator.fail_over()
    assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
    for told in ("0 of 2 targets are healthy", "Targets: ", "set to 2", "start the same again"):
        assert told in ended.cause
    assert operator.record()["active_region"] == PRIMARY
    operator.lab.control("compute", "sick-instances", region=DR, sick=False)
    operator.set("compute-budget-seconds", budget)


def test_of_two_started_at_once_one_works_and_the_other_names_it(operator: Operator) -> None:
    arns = [operator.start(), operator.start()]
    ends = {arn: operator.end_of(arn) for arn in arns}
    worked = [arn for arn, end in ends.items() if end.status == "SUCCEEDED"]
    refused = [arn for arn, end in ends.items() if end.status == "FAILED"]
    assert len(worked) == len(refused) == 1, ends
    assert f"holds the lock: {worked[0]}" in ends[refused[0]].cause
    assert operator.entered(refused[0]) == ["How was it started?", "Take the lock", "Was it an alarm?", "Refused"]
    assert ends[worked[0]].output["outcome"] == "failed-over"


def test_the_region_is_up_in_every_part(operator: Operator) -> None:
    seen = operator.posture()
    assert seen["database"] == ("available", "")
    assert seen["backups"] == 7
    assert seen["sizes"] == (2, 2, 4)
    assert seen["orders"]
    assert (seen["active"], seen["image"]) == (DR, operator.image_in_dr())
    assert (operator.record()["active_region"], operator.record()["lock"]) == (DR, "free")
    door = operator.door(DR)
    assert operator.order(door, "after")
    assert operator.has_order(door, "after")


def test_a_second_failover_ends_well_without_touching_anything(operator: Operator) -> None:
    before = operator.posture(), operator.record()
    arn = operator.start()
    ended = operator.end_of(arn)
    assert (ended.status, ended.output["outcome"]) == ("SUCCEEDED", "already-active")
    assert operator.entered(arn)[1:] == ["Take the lock", "Is there anything to do?", "This region is active already"]
    assert (operator.posture(), operator.record()) == before


def test_a_deployment_while_failed_over_changes_no_posture(operator: Operator) -> None:
    before, created = operator.posture(), operator.database()["InstanceCreateTime"]
    # A change that runs through most stacks, and one of the launch template.
    operator.lab.deploy(DR, LogRetentionDays="30", InstanceType="t3.medium")
    after = operator.posture()
    # The group takes the template's new version, whose image is still the one that the failover recorded.
    assert {**after, "version": None} == {**before, "version": None}
    assert operator.database()["InstanceCreateTime"] == created
    assert operator.order(operator.door(DR), "deployed")
