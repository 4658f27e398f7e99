"""Makes an image of the running application, and brings it to the other region.

The same function stands in both regions. Each step asks the record first, so a region that is not active makes nothing,
whatever starts it. Steps look at what is there: asked again they go on, and do nothing twice.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from pilotlight.aws import clients, compute, executions, faults, images, metrics, notes, notify, parameters, rules
from pilotlight.aws.record import Store
from pilotlight.config import image_settings_from
from pilotlight.decide import ending, failover
from pilotlight.decide import images as decide
from pilotlight.decide.tell import make as make_command
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import Measure
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from pilotlight.model import Image, Json

logger = Logger(service="image")

_TRIES = 5
# What is told goes through a state machine, which may carry 256 KiB.
_MOST_PROBLEMS = 50
_RUN = "run"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


# --- Whose turn it is


def begin(call: Call) -> Json:
    """Ask the records whether this region makes images, and be the only one that does.

    Input: ``fresh`` goes on with nothing that was left half done; ``only_if_newer`` makes one only where the other
    region lacks what this one has published.
    """
    environment, way = call.environment, _way(call)
    region, other = environment.region, environment.other(environment.region)
    answer = {"region": region, "other": other, "together": way.together, "detail": way.detail}
    if not way.active:
        return answer | {"outcome": "standing-by"}
    asked = call.payload.get("input") or {}
    if asked.get("only_if_newer") and not _has_newer(call, way):
        return answer | {
            "outcome": "nothing-newer",
            "detail": way.detail or f"{other} has the newest image of {region}",
        }
    path = environment.configuration
    settings = image_settings_from(parameters.under(path, clients.at("ssm", region)), path)
    if holder := _taken(call):
        return answer | {"outcome": "running", "detail": f"another run is making one: {holder}"}
    return answer | {
        "outcome": "go",
        "epoch": _epoch(call, together=way.together),
        "keep": settings.keep,
        "copy_minutes": settings.copy_minutes,
        "fresh": bool(asked.get("fresh")),
    }


def _way(call: Call) -> decide.Way:
    """Ask both regions' records whether this one makes images, and whether the other one takes part."""
    region, other = call.environment.region, call.environment.other(call.environment.region)
    recorded, there = _recorded(call, region), _recorded_there(call, other)
    return decide.way(region, other, call.environment.dr_region, recorded, there)


def _has_newer(call: Call, way: decide.Way) -> bool:
    """Whether the other region lacks what this one has published, and can be given it."""
    region = call.environment.region
    other = call.environment.other(region)
    return way.together and decide.newer(_images(call, region), _images(call, other)) is not None


def _recorded(call: Call, region: str) -> str:
    name = call.environment.active_region_parameter
    return parameters.values((name,), clients.at("ssm", region)).get(name, "")


def _recorded_there(call: Call, other: str) -> str | None:
    """Read the other region's record; None if that region does not answer."""
    try:
        return _recorded(call, other)
    except (ClientError, BotoCoreError) as error:
        if not faults.is_silence(error):
            raise
        logger.warning("the other region does not answer", reason=str(error))
        return None


def _taken(call: Call) -> str:
    """Take this region's turn with one conditional write; name who has it if that one still runs."""
    table = call.environment.names.image
    for _ in range(_TRIES):
        seen = notes.read(table, _RUN, clients.near("dynamodb"))
        holder = str(seen.get("holder", ""))
        if holder == call.execution:
            return ""
        just_taken = failover.lately(str(seen.get("taken_at", "")), _now())
        if executions.is_running(holder, clients.near("stepfunctions"), absent=just_taken):
            return holder
        taken = {"holder": call.execution, "taken_at": _now().isoformat(timespec="seconds")}
        if notes.replace(table, _RUN, seen, taken, clients.near("dynamodb")):
            return ""
    raise TransientError(f"who makes images in {call.environment.region} changes faster than it can be read: try again")


def _epoch(call: Call, *, together: bool) -> int:
    """Read the epoch where it is recorded, in DR; -1 if that does not answer."""
    environment = call.environment
    if not together and environment.region != environment.dr_region:
        return -1
    there = clients.at("dynamodb", environment.dr_region)
    return Store(environment.state_table, environment.primary_region, there).read().epoch


def _require_turn(call: Call) -> decide.Way:
    """Insist that this region still makes images, and this run for it; say whether the other one still takes part.

    Both records are asked, as in the beginning: hours may have passed.
    """
    environment, way = call.environment, _way(call)
    region = environment.region
    if not way.active:
        raise PreconditionFailed(
            f"{way.detail} by now: this run of {region} is given up, and published nothing more. The active region "
            "makes its own images"
        )
    holder = str(notes.read(environment.names.image, _RUN, clients.near("dynamodb")).get("holder", ""))
    if holder != call.execution:
        raise PreconditionFailed(
            f"another run makes images in {region} by now ({holder or 'none is noted'}): this one is given up, and "
            "published nothing more"
        )
    return way


# --- The image


def choose(call: Call) -> Json:
    """Choose what to go on with: a half-made image of an earlier run, or an instance that answers."""
    environment, run = call.environment, call.payload["run"]
    region = run["region"]
    ec2 = clients.at("ec2", region)
    group = compute.group(environment.names.group, clients.at("autoscaling", region))
    instances = images.described(group.instances if group else (), ec2)
    there = _images(call, run["other"]) if run["together"] else ()
    adopted = (
        None
        if run["fresh"]
        else decide.adopt(_images(call, region), there, instances, _now(), together=run["together"])
    )
    if adopted:
        return {
            "done": True,
            "pair": adopted.tags[decide.PAIR],
            "instance": adopted.tags[decide.SOURCE_INSTANCE],
            "version": adopted.tags.get(decide.VERSION, ""),
            "adopted": adopted.identifier,
        }
    targets = (
        compute.targets(group.target_groups, clients.at("elbv2", region)) if group and group.target_groups else None
    )
    instance = decide.choose(instances, targets, environment.names.group, region, call.waited)
    if instance is None:
        return {"done": False}
    return {
        "done": True,
        "pair": f"{environment.name}-app-{_now():%Y%m%d-%H%M%S}",
        "instance": instance.identifier,
        "version": instance.version,
        "adopted": "",
    }


def make(call: Call) -> Json:
    """Make the image unless it is being made, and say whether it is there."""
    environment, run = call.environment, call.payload["run"]
    region, ec2 = run["region"], clients.at("ec2", run["region"])
    found = decide.find_made(run["pair"], _images(call, region))
    if found is None:
        _require_turn(call)
        decide.require_listed(call.waited, f"image {run['pair']}", region)
        given = decide.tags(environment.name, run["pair"], run["instance"], run["version"], region, run["epoch"])
        made = images.create(run["instance"], run["pair"], given, ec2)
        return {"done": False, "image": made}
    if decide.has_failed(found):
        images.note(found.identifier, {decide.MARK: decide.FAILED}, ec2)
    there = decide.arrived(found, region, call.waited, decide.IMAGE_BUDGET)
    return {"done": there, "image": found.identifier, "created": found.created}


def copy(call: Call) -> Json:
    """Copy the image to the other region unless that is under way, and say whether the copy is there."""
    environment, run = call.environment, call.payload["run"]
    region, other = run["region"], run["other"]
    source = _named(call, region, run["image"])
    found = decide.find_copy(source, _images(call, other))
    if found is None:
        _require_turn(call)
        if call.waited >= decide.UNLISTED_BUDGET:
            # EC2 answers the same token with the same copy, for ever.
            images.note(source.identifier, {decide.TRIES: decide.next_try(source)}, clients.at("ec2", region))
        decide.require_listed(call.waited, f"the copy of {source.identifier}", other)
        made = images.copy(
            source.identifier,
            region,
            decide.copy_name(source),
            environment.names.key,
            decide.copied_tags(source),
            decide.copy_token(source),
            run["copy_minutes"],
            clients.at("ec2", other),
        )
        return {"done": False, "copy": made}
    if decide.has_failed(found):
        # The source first: the next attempt must not be answered with this copy.
        images.note(source.identifier, {decide.TRIES: decide.next_try(source)}, clients.at("ec2", region))
        images.note(found.identifier, {decide.MARK: decide.FAILED}, clients.at("ec2", other))
    there = decide.arrived(found, other, call.waited, decide.COPY_BUDGET)
    return {"done": there, "copy": found.identifier}


def check(call: Call) -> Json:
    """See whether the other region could start the copy: whose it is, its disks, and who may use their key."""
    names, run = call.environment.names, call.payload["run"]
    other = run["other"]
    ec2 = clients.at("ec2", other)
    found = _named(call, other, run["copy"])
    group = compute.group(names.group, clients.at("autoscaling", other))
    disks = images.snapshots(found.snapshots, ec2)
    verdict = decide.verdict(
        found,
        disks,
        images.key(names.key, clients.at("kms", other)),
        call.account,
        group.role if group else "",
    )
    decide.require_startable(verdict, found.identifier, other)
    return {"checked": list(verdict.checked), "copy_seconds": max((one.seconds for one in disks), default=-1.0)}


def publish(call: Call) -> Json:
    """Make the image and its copy the current ones of their regions: the copy first, it is what is missing else.

    A region that is lost by now, or takes itself for the active one, is left out.
    """
    way, run = _require_turn(call), call.payload["run"]
    together = bool(run["together"]) and way.together
    both = {run["other"]: run["copy"]} if together else {}
    both |= {run["region"]: run["image"]}
    for region, image in both.items():
        # Marked before it is named: what the parameter names is never unfinished.
        images.note(image, {decide.MARK: decide.PUBLISHED, decide.CREATED: run["created"]}, clients.at("ec2", region))
        parameters.put(f"{call.environment.prefix}/image-id", image, clients.at("ssm", region))
    return {"published": both, "together": together, "detail": way.detail or run.get("detail", "")}


# --- What is left


def prune(call: Call) -> Json:
    """Remove what this machine made and nobody needs, in both regions; without the other one, nothing."""
    run = call.payload["run"]
    if not (run["together"] and _require_turn(call).together):
        return {"images": [], "snapshots": [], "problems": []}
    regions = (run["region"], run["other"])
    kept = [_kept(call, region) for region in regions]
    gone, problems, deleted = decide.removable(kept[0], kept[1], run["keep"], run["pair"]), [], []
    for region, side, ids in zip(regions, kept, gone, strict=True):
        ec2 = clients.at("ec2", region)
        failed = {image: problem for image in ids if (problem := images.deregister(image, ec2))}
        removed = [one for one in side.images if one.identifier in ids and one.identifier not in failed]
        left = [one for one in side.images if one not in removed]
        ours = {decide.ENVIRONMENT: call.environment.name, decide.MARK: "*"}
        orphans = decide.orphans(images.snapshots_with(ours, ec2), left, removed, run["pair"])
        undeleted = {snapshot: problem for snapshot in orphans if (problem := images.delete_snapshot(snapshot, ec2))}
        deleted += [snapshot for snapshot in orphans if snapshot not in undeleted]
        problems += [f"{region}: {problem}" for problem in (*failed.values(), *undeleted.values())]
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"and {len(problems) - _MOST_PROBLEMS} more: see the log of this function"]
    return {"images": [image for ids in gone for image in ids], "snapshots": deleted, "problems": problems}


def _kept(call: Call, region: str) -> decide.Kept:
    found = _images(call, region)
    ours = [image.identifier for image in decide.candidates(found)]
    name = f"{call.environment.prefix}/image-id"
    current = parameters.values((name,), clients.at("ssm", region)).get(name, "")
    used = images.in_use(ours, clients.at("ec2", region), clients.at("autoscaling", region))
    return decide.Kept(found, used | {current})


def tell(call: Call) -> Json:
    """Measure, and tell of what is not as it should be."""
    run, removed = call.payload["run"], call.payload["removed"]
    notification = decide.published(call.environment.name, run, removed, _make_image(call))
    if notification:
        notify.publish(call.environment.topic_arn, notification["subject"], notification["message"])
    seconds = float(run.get("copy_seconds", -1.0))
    _measure_on_the_side(call, Measure("ImageRunsFailed", 0.0 if run["together"] else 1.0, "Count"))
    if seconds >= 0:
        _measure_on_the_side(call, Measure("ImageCopySeconds", seconds, "Seconds"))
    return {"told": notification is not None}


def fail(call: Call) -> Json:
    """Measure and tell a failure."""
    error = call.payload.get("error", {})
    name, cause = str(error.get("Error", "FatalError")), str(error.get("Cause", ""))
    try:
        cause = str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        cause = cause or f"{name} without a reason; look at the execution's history"
    notification = decide.failed(call.environment.name, call.environment.region, name, cause, _make_image(call))
    notify.publish(call.environment.topic_arn, notification["subject"], notification["message"])
    _measure_on_the_side(call, Measure("ImageRunsFailed", 1.0, "Count"))
    return {"error": name, "cause": cause}


def ended(call: Call) -> Json:
    """Tell of a run that was stopped, ran out of time or failed where nothing catches: nobody was told."""
    status = str(call.payload["status"])
    end = executions.end(call.execution, str(call.payload.get("error") or ""), clients.near("stepfunctions"))
    if not ending.is_unheard(status, ending.machine_of(call.execution), end):
        return {"told": False}
    how = ending.ended(status, end)
    notification = decide.ended(
        call.environment.name, call.environment.region, call.execution, status, how, _make_image(call)
    )
    notify.publish(call.environment.topic_arn, notification["subject"], notification["message"])
    _measure_on_the_side(call, Measure("ImageRunsFailed", 1.0, "Count"))
    return {"told": True}


def watch(call: Call) -> Json:
    """Let the schedule of this region follow the record, and measure how old its newest usable image is."""
    region, names = call.environment.region, call.environment.names
    active = _recorded(call, region) == region
    if rules.switch(names.image, clients.near("events"), on=active):
        logger.info("the schedule of this region was switched", on=active)
    newest = decide.newest_complete(_images(call, region))
    hours = decide.age_hours(newest, _now())
    _measure(call, Measure("ImageAgeHours", hours, role="active" if active else "standby"))
    return {"active": active, "image": newest.identifier if newest else "", "age_hours": hours}


# --- Small ones


def _make_image(call: Call) -> str:
    environment = call.environment
    return make_command("image", environment.name, environment.dr_region, environment.primary_region)


def _images(call: Call, region: str) -> tuple[Image, ...]:
    return compute.images(call.environment.name, clients.at("ec2", region))


def _named(call: Call, region: str, image: str) -> Image:
    found = next((one for one in _images(call, region) if one.identifier == image), None)
    if found is None:
        raise TransientError(f"image {image} is not listed in {region} (yet)")
    return found


def _measure(call: Call, measure: Measure) -> None:
    metrics.put(call.environment.name, [measure], clients.near("cloudwatch"))


def _measure_on_the_side(call: Call, measure: Measure) -> None:
    """Measure, and fail no step for it: told again, people would be told twice."""
    try:
        _measure(call, measure)
    except (ClientError, BotoCoreError) as error:
        logger.error("not measured", reason=str(error))


handler = serve(
    "image",
    {
        "begin": begin,
        "choose": choose,
        "make": make,
        "copy": copy,
        "check": check,
        "publish": publish,
        "prune": prune,
        "tell": tell,
        "fail": fail,
        "ended": ended,
        "watch": watch,
    },
)
