"""Makes what templates cannot: replication rules on both buckets, the first record, the accounts in the database.

Custom resources of each region's stack. Whichever region is deployed last finds both sides and pairs them; it can also
be invoked by hand with ``{}``, for a deployment made while the other region could not be reached.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

type Json = dict[str, Any]

_RULE = "pilotlight"
# CloudFormation waits an hour for an answer that never comes: leave time to send one.
_ANSWER_SECONDS = 10
_LONGEST_REASON = 1000
# Botocore's time-outs have two roots: one for getting through, one for getting an answer.
_SILENCE = (HTTPClientError, NoConnectionError)
_PATIENCE = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})
# The SQL function has 30 seconds, and before them it may have to start. One try: a second would outlast this function.
_PATIENCE_WITH_SQL = Config(connect_timeout=3, read_timeout=40, retries={"total_max_attempts": 1, "mode": "standard"})


class PrimaryNotReadyError(Exception):
    """DR was deployed before the primary had a database to replicate."""


class PrimaryDoorUnknownError(Exception):
    """Nobody can say where the primary's load balancer is: neither the primary nor what was noted before."""


class AccountsNotPreparedError(Exception):
    """The application has no account in the database; the message is the SQL function's own."""


@dataclass(frozen=True, slots=True)
class Side:
    """One region's half of the pair."""

    region: str
    bucket: str
    role: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stack tells this function."""

    environment: str
    region: str
    account: str
    primary: Side
    dr: Side
    state_table: str

    @classmethod
    def read(cls) -> Settings:
        """Read them from the function's environment."""
        env = os.environ
        return cls(
            environment=env["ENVIRONMENT"],
            region=env["AWS_REGION"],
            account=env["ACCOUNT"],
            primary=Side(env["PRIMARY_REGION"], env["PRIMARY_BUCKET"], env["PRIMARY_REPLICATION_ROLE"]),
            dr=Side(env["DR_REGION"], env["DR_BUCKET"], env["DR_REPLICATION_ROLE"]),
            state_table=env.get("STATE_TABLE", ""),
        )


# --- What should be: no AWS from here to the next line


def rule(destination_bucket: str, destination_key: str) -> Json:
    """Say how one side's objects get to the other: all of them, within 15 minutes, changes of replicas too."""
    return {
        "ID": _RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        # A delete is an act of the application like a write, and is to be the same on both sides.
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "SourceSelectionCriteria": {
            "SseKmsEncryptedObjects": {"Status": "Enabled"},
            "ReplicaModifications": {"Status": "Enabled"},
        },
        "Destination": {
            # Of the partition that the key is in.
            "Bucket": f"arn:{destination_key.split(':')[1]}:s3:::{destination_bucket}",
            "EncryptionConfiguration": {"ReplicaKmsKeyID": destination_key},
            "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
            "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 15}},
        },
    }


def merged(existing: Json | None, ours: Json, role: str) -> Json:
    """Put our rule into a bucket's replication configuration, and leave everything else in it as it is.

    A bucket has one role for all its rules. Rules of others keep the role they were made with; ours then runs under it
    too, and S3 refuses the configuration if that cannot be.
    """
    rules = list(existing["Rules"]) if existing else []
    others = [found for found in rules if found.get("ID") != _RULE]
    mine = next((found for found in rules if found.get("ID") == _RULE), None)
    taken = [found.get("Priority", 0) for found in others]
    priority = mine["Priority"] if mine and mine.get("Priority", 0) not in taken else max(taken, default=0) + 1
    return {
        "Role": existing["Role"] if existing and others else role,
        "Rules": [*others, {**ours, "Priority": priority}],
    }


def first_record(primary_region: str) -> Json:
    """Say what the record of the active region reads before anything was ever switched."""
    return {
        "id": {"S": "switch"},
        "active_region": {"S": primary_region},
        "epoch": {"N": "0"},
        "lock": {"S": "free"},
        "holder": {"S": ""},
    }


def can_be_replicated(database: Json | None) -> str:
    """Say what keeps the primary's database from having a replica, or nothing."""
    if database is None:
        return "is not there"
    if database["DBInstanceStatus"] in ("creating", "failed", "deleting", "stopped"):
        return f"is {database['DBInstanceStatus']}"
    if not database.get("BackupRetentionPeriod"):
        return "has no automated backups"
    return ""


def url(protocol: str, host: str, port: int) -> str:
    """Write an address without a path; the port only where it is not the protocol's own."""
    scheme, standard = ("https", 443) if protocol == "HTTPS" else ("http", 80)
    return f"{scheme}://{host}" if port == standard else f"{scheme}://{host}:{port}"


# --- What is


def _client(service: str, region: str, patience: Config = _PATIENCE) -> Any:
    return boto3.client(service, region_name=region, config=patience)  # type: ignore[call-overload]


def _not_there(error: Exception) -> str:
    """Tell "not there, or not now" from a real error."""
    if isinstance(error, _SILENCE):
        return f"does not answer ({type(error).__name__})"
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("NoSuchBucket", "NotFoundException", "404"):
            return "is not deployed yet"
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            return f"does not answer ({code})"
    return ""


def _key(side: Side, settings: Settings) -> str:
    """Find a side's key. Raises if the side is not ready for a rule that leads to it."""
    versioning = _client("s3", side.region).get_bucket_versioning(
        Bucket=side.bucket, ExpectedBucketOwner=settings.account
    )
    if versioning.get("Status") != "Enabled":
        raise LookupError(f"bucket {side.bucket} in {side.region} is not versioned")
    answer = _client("kms", side.region).describe_key(KeyId=f"alias/{settings.environment}-pilotlight")
    return str(answer["KeyMetadata"]["Arn"])


def _replicate(source: Side, destination: Side, destination_key: str, settings: Settings) -> bool:
    """Put our rule on a bucket unless it is there already; say whether anything was changed."""
    s3 = _client("s3", source.region)
    try:
        existing = s3.get_bucket_replication(Bucket=source.bucket, ExpectedBucketOwner=settings.account)[
            "ReplicationConfiguration"
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ReplicationConfigurationNotFoundError":
            raise
        existing = None
    wanted = merged(existing, rule(destination.bucket, destination_key), source.role)
    if wanted == existing:
        return False
    s3.put_bucket_replication(
        Bucket=source.bucket, ReplicationConfiguration=wanted, ExpectedBucketOwner=settings.account
    )
    return True


def pair(settings: Settings) -> Json:
    """Make both sides know each other, if both are there.

    Returns
    -------
    dict
        ``Pairing`` is ``paired`` or ``waiting for the other region``, with the reason in ``Detail``.
    """
    other = settings.dr if settings.region == settings.primary.region else settings.primary
    keys = {}
    for side in (settings.primary, settings.dr):
        try:
            keys[side.region] = _key(side, settings)
        except (ClientError, *_SILENCE) as error:
            reason = _not_there(error)
            if side != other or not reason:
                raise
            return {"Pairing": "waiting for the other region", "Detail": f"{side.region} {reason}"}
    changed = [
        _replicate(source, destination, keys[destination.region], settings)
        for source, destination in ((settings.primary, settings.dr), (settings.dr, settings.primary))
    ]
    return {"Pairing": "paired", "Detail": f"{sum(changed)} of 2 buckets were given a new rule"}


def record(settings: Settings) -> bool:
    """Write the first record, where the table is; say whether there was none. An existing one is never touched."""
    if not settings.state_table:
        return False
    try:
        _client("dynamodb", settings.region).put_item(
            TableName=settings.state_table,
            Item=first_record(settings.primary.region),
            ConditionExpression="attribute_not_exists(id)",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True


def require_primary(settings: Settings) -> None:
    """Check that the primary has a database of which a replica can be made.

    Raises
    ------
    PrimaryNotReadyError
        It has none; the message says what to deploy.
    """
    name = f"{settings.environment}-db"
    region = settings.primary.region
    try:
        answer = _client("rds", region).describe_db_instances(DBInstanceIdentifier=name)
        problem = can_be_replicated(answer["DBInstances"][0])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
            raise
        problem = can_be_replicated(None)
    except _SILENCE as error:
        problem = f"cannot be asked ({type(error).__name__})"
    if problem:
        raise PrimaryNotReadyError(
            f"The database {name} in the primary region {region} {problem}, so no replica of it can be made. "
            f"Deploy the primary first: sam deploy --config-env {settings.environment}-primary"
        )


def primary_door(settings: Settings, kept_in: str) -> Json:
    """Say where the primary's load balancer is, for who has to know it on the day when the primary cannot be asked.

    Parameters
    ----------
    kept_in
        Parameter in this region that says so since an earlier deployment. What it says stands while the primary does
        not answer: DR can be deployed on that day too.

    Raises
    ------
    PrimaryDoorUnknownError
        The primary has none or does not answer, and nothing was noted before.
    """
    name, region = f"{settings.environment}-alb", settings.primary.region
    try:
        elb = _client("elbv2", region)
        balancer = elb.describe_load_balancers(Names=[name])["LoadBalancers"][0]
        listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        if listeners:
            best = max(listeners, key=lambda listener: bool(listener["Protocol"] == "HTTPS"))
            address = url(best["Protocol"], balancer["DNSName"], best["Port"])
            return _entrance(address, balancer["DNSName"], balancer["CanonicalHostedZoneId"])
        problem = "has no listener"
    except (ClientError, *_SILENCE) as error:
        gone = isinstance(error, ClientError) and error.response["Error"]["Code"].startswith("LoadBalancerNotFound")
        problem = "is not there" if gone else _not_there(error)
        if not problem:
            raise
    try:
        kept = json.loads(_client("ssm", settings.region).get_parameter(Name=kept_in)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        raise PrimaryDoorUnknownError(
            f"The load balancer {name} in the primary region {region} {problem}, and {kept_in} does not say yet where "
            f"it is. Deploy the primary first: sam deploy --config-env {settings.environment}-primary"
        ) from None
    print(json.dumps({"message": "kept what was noted of the primary's door", "load_balancer": name, "it": problem}))
    return _entrance(kept["url"], kept["dns_name"], kept["hosted_zone_id"])


def _entrance(address: str, dns_name: str, zone: str) -> Json:
    """Say where a load balancer is in all the ways that a template may need: it cannot take an address apart."""
    parts = urllib.parse.urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {
        "Url": address,
        "DnsName": dns_name,
        "HostedZoneId": zone,
        "Protocol": parts.scheme.upper(),
        "Port": str(port),
    }


def prepare_accounts(settings: Settings, wanted: Json) -> Json:
    """Let the SQL function make the application's account and the heartbeat in the primary's database.

    While another region is active nothing is done: a database that was left is not to be written to, and the active one
    has both already.

    Parameters
    ----------
    settings
        Of this function.
    wanted
        The custom resource's properties: where the database is, which function reaches it, who says who is active.

    Raises
    ------
    AccountsNotPreparedError
        The SQL function failed.
    """
    parameter = _client("ssm", settings.region).get_parameter(Name=wanted["ActiveRegionParameter"])["Parameter"]
    if parameter["Value"] != settings.region:
        return {"Accounts": f"left as they are: {parameter['Value']} is active"}
    order = {"action": "prepare", "database": {"host": wanted["Host"], "port": int(wanted["Port"])}}
    function = wanted["Function"]
    answer = _client("lambda", settings.region, _PATIENCE_WITH_SQL).invoke(
        FunctionName=function, Payload=json.dumps(order).encode()
    )
    said = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        raise AccountsNotPreparedError(f"{function}: {(said or {}).get('errorMessage', 'it failed without a word')}")
    return {"Accounts": f"prepared in {said['server']}"}


# --- CloudFormation


def _work(event: Json) -> Json:
    settings = Settings.read()
    if event.get("ResourceType") == "Custom::DatabaseSource":
        # Asked once, when the replica is about to be made: later deployments of DR need nothing of the primary.
        if event["RequestType"] == "Create" and settings.region == settings.dr.region:
            require_primary(settings)
        return {}
    if event.get("RequestType") == "Delete":
        return {}
    if event.get("ResourceType") == "Custom::DatabaseAccounts":
        # DR has them by replication.
        in_primary = settings.region == settings.primary.region
        return prepare_accounts(settings, event["ResourceProperties"]) if in_primary else {}
    if event.get("ResourceType") == "Custom::PrimaryDoor":
        return primary_door(settings, event["ResourceProperties"]["Parameter"])
    wrote = record(settings)
    return {**pair(settings), "FirstRecord": "written" if wrote else "left as it is"}


def _out_of_time(signum: int, frame: object) -> None:
    raise TimeoutError("the function ran out of time")


def answer(event: Json, status: str, reason: str, data: Json) -> Json:
    """Put an answer into CloudFormation's words."""
    return {
        "Status": status,
        "Reason": reason[:_LONGEST_REASON],
        # Always the same, or CloudFormation would take an update for a replacement.
        "PhysicalResourceId": event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-{event['RequestId']}",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": data,
    }


def _send(url: str, body: Json) -> None:
    # An empty content type is what the URL was signed for.
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": ""}, method="PUT")
    for attempt in range(3):
        try:
            with urllib.request.urlopen(request, timeout=2):
                return
        except OSError as error:
            print(json.dumps({"message": "the answer could not be sent", "error": str(error), "attempt": attempt + 1}))
            time.sleep(0.5)


def handler(event: Json, context: Any) -> Json:
    """Do the work, and answer CloudFormation whatever happens."""
    if "ResponseURL" not in event:
        return _work(event)
    try:
        signal.signal(signal.SIGALRM, _out_of_time)
        signal.alarm(max(1, int(context.get_remaining_time_in_millis() / 1000) - _ANSWER_SECONDS))
        body = answer(event, "SUCCESS", "", _work(event))
    except Exception as error:  # noqa: BLE001 - an error that is not answered holds the stack up for an hour
        body = answer(event, "FAILED", f"{type(error).__name__}: {error}", {})
    finally:
        signal.alarm(0)
    print(json.dumps({"message": "answered", "status": body["Status"], "reason": body["Reason"], **body["Data"]}))
    _send(event["ResponseURL"], body)
    return body
