"""Which image a region starts from, and how one comes to be in both regions.

The life of an image that this machine makes stands in its tags, in either region alike: ``pilotlight:image`` says how
far it is, ``pilotlight:pair`` what belongs together, the others where it comes from. What has no ``pilotlight:image``
was made by somebody else and is never changed here.

Invariant: whatever is not ``published`` by its tag is started by no failover, whatever EC2 says of it; and it becomes
published only after the region it is in was found able to start it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pilotlight.decide.request import SAME_AGAIN, WITH_FORCE
from pilotlight.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pilotlight.model import DiskSnapshot, Image, Instance, Json, Key, Target

ENVIRONMENT = "pilotlight:environment"
MARK = "pilotlight:image"
PAIR = "pilotlight:pair"
SOURCE_IMAGE = "pilotlight:source-image"
SOURCE_INSTANCE = "pilotlight:source-instance"
SOURCE_REGION = "pilotlight:source-region"
VERSION = "pilotlight:version"
EPOCH = "pilotlight:epoch"
CREATED = "pilotlight:created"
TRIES = "pilotlight:copy-tries"

UNFINISHED, PUBLISHED, FAILED = "unfinished", "published", "failed"

# How long an instance that starts is waited for: as long as Auto Scaling does, and what a boot takes.
INSTANCE_BUDGET = 900
# How long an image, and its copy, may take. Seconds of waiting; a copy for which a time was bought has it.
IMAGE_BUDGET, COPY_BUDGET = 8 * 3600, 50 * 3600
# For how long one is asked for that EC2 accepts and does not list: it is deleted, or will not come.
UNLISTED_BUDGET = 900
_COMING = frozenset({"Pending", "Pending:Wait", "Pending:Proceed", "InService"})
# How long a half-made image is gone on with. Without a version nothing tells whether a release came in between.
_ADOPTED_WITH_VERSION = dt.timedelta(hours=24)
_ADOPTED_WITHOUT = dt.timedelta(hours=1)
# What Auto Scaling's role needs to start an instance from a disk under a key.
_OF_A_KEY = ("kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext")
_ROLE = "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
NO_IMAGE_HOURS = 87_600.0
"""What counts as the age where there is no image at all: ten years, so that every alarm on age goes off."""


# --- Which one


def mark(image: Image) -> str:
    """How far an image of this machine is; empty for one that somebody else made."""
    return image.tags.get(MARK, "")


def usable(image: Image) -> bool:
    """Whether a region may start from an image.

    A copy that was merely accepted is ``pending``, and one whose key was refused later is ``failed``: neither starts.
    Nor does what a run of ours left half done, even if EC2 finds it available.
    """
    return image.state == "available" and image.snapshots_complete and mark(image) in ("", PUBLISHED)


def moment(image: Image) -> str:
    """When what is in the image was taken. A copy is younger than what it holds, so its tag counts."""
    return image.tags.get(CREATED) or image.created


def newest_complete(images: Iterable[Image]) -> Image | None:
    """Choose the newest image that a region may start from, by what is in it."""
    return max(
        (image for image in images if usable(image)), key=lambda image: (moment(image), image.identifier), default=None
    )


def age_hours(image: Image | None, now: dt.datetime) -> float:
    """Count the hours since an image was taken; ten years where there is none."""
    if image is None:
        return NO_IMAGE_HOURS
    try:
        then = dt.datetime.fromisoformat(moment(image))
    except ValueError:
        return NO_IMAGE_HOURS
    aware = then if then.tzinfo else then.replace(tzinfo=dt.UTC)
    return round(max(0.0, (now - aware).total_seconds() / 3600), 2)


def told_age(hours: float) -> str:
    """Word an age: minutes, hours or days."""
    if hours < 0:
        return "of unknown age"
    if hours < 1:
        return f"{round(hours * 60)} minutes old"
    return f"{round(hours)} hours old" if hours < 48 else f"{round(hours / 24)} days old"


def told(identifier: str, version: str, hours: float) -> str:
    """Word which image a region starts from: its id, the application's version in it, and its age."""
    return f"{identifier} ({f'version {version}' if version else 'version not known'}, {told_age(hours)})"


def require(image: Image | None, environment: str, source: str, target: str, make_image: str) -> Image:
    """Insist on an image.

    Parameters
    ----------
    make_image
        The command that makes one.

    Raises
    ------
    PreconditionFailed
        There is none; the message says how to get one.
    """
    if image is None:
        raise PreconditionFailed(
            f"no complete image of ours is in {target} (own AMIs, state 'available', tagged "
            f"{ENVIRONMENT}={environment}, and not marked {MARK}=unfinished or failed): nothing was changed. Copy one "
            f"from {source} with `{make_image}`, or tag an AMI that starts the application (aws ec2 create-tags "
            f"--region {target} --resources ami-… --tags Key={ENVIRONMENT},Value={environment}), then "
            f"{SAME_AGAIN}."
        )
    return image


def newer(here: Iterable[Image], there: Iterable[Image]) -> Image | None:
    """Find an image of one region that is newer than all that the other one could start from; None if none is.

    Of what this machine made alone: of a team's own images nothing tells whether one is the copy of another.
    """
    made = newest_complete(image for image in here if mark(image) == PUBLISHED)
    newest = newest_complete(there)
    return made if made and (newest is None or moment(made) > moment(newest)) else None


def require_newest(
    here: Iterable[Image], there: Iterable[Image], source: str, target: str, environment: str, dr: str
) -> None:
    """Insist that a planned switch takes the application along as it is: its newest image is in the target too.

    The source's database is brought over with the schema that the newest release gave it.

    Parameters
    ----------
    here, there
        Images of the region that is left and of the one that takes over.
    source, target
        These two regions.
    environment, dr
        Its name, and which region is DR, for the command.

    Raises
    ------
    PreconditionFailed
        The source has a newer one.
    """
    one = tuple(there)
    if missing := newer(here, one):
        newest = newest_complete(one)
        has = f"{newest.identifier}, of {moment(newest)}" if newest else "none"
        raise PreconditionFailed(
            f"the newest image in {target} is {has}, and {source}, which is active, has a newer one, "
            f"{missing.identifier}, of {moment(missing)}: {target} would start an application from before. Nothing was "
            f"changed. Bring it over (make image ENVIRONMENT={environment} DR_REGION={dr}; a run that is under way "
            f"already is waited for), then start again. Or {WITH_FORCE}: from the older one."
        )


# --- Whether, and from where to where


@dataclass(frozen=True, slots=True)
class Way:
    """Whether a region makes images now, and whether the other one takes part."""

    active: bool
    together: bool
    detail: str = ""


def way(region: str, other: str, dr: str, own: str, others: str | None) -> Way:
    """Decide by the records whether a region makes images, and whether they can be published in the other one too.

    DR's record is where a switch is recorded first, so it counts where the two disagree. A primary that comes back
    still finds itself in its own.

    Parameters
    ----------
    region, other
        The region that asks, and the other one.
    dr
        Which of the two is DR.
    own
        Who is active by the record of this region.
    others
        By the other's; empty where there is none yet, None where that region does not answer.
    """
    if own != region:
        return Way(active=False, together=False, detail=f"{own or 'nothing'} is recorded as active")
    if others is None:
        return Way(active=True, together=False, detail=f"{other} does not answer")
    if not others:
        return Way(active=True, together=False, detail=f"{other} is not deployed yet")
    if others == region:
        return Way(active=True, together=True)
    if region == dr:
        return Way(
            active=True,
            together=False,
            detail=f"{other} still records {others} as active: it was not closed yet, which a re-protection does",
        )
    return Way(active=False, together=False, detail=f"{others} is recorded as active in {other}")


# --- What an image is made of


def choose(
    instances: Iterable[Instance], targets: Iterable[Target] | None, group: str, region: str, waited: int
) -> Instance | None:
    """Choose the instance that an image is made of: in service, healthy, answering, and of those the one started last.

    That Auto Scaling finds it healthy says nothing while its grace lasts, so its targets have to. While a release rolls
    through the group, the one started last has it: it is waited for, as long as it may yet answer.

    Parameters
    ----------
    targets
        Of all target groups that the group is in; None if it is in none.
    waited
        For how many seconds this was asked before.

    Returns
    -------
    Instance or None
        None while it is to be waited for.

    Raises
    ------
    PreconditionFailed
        There is none, and waiting will not help or has not helped.
    """
    every, said = tuple(instances), None if targets is None else tuple(targets)
    coming = [one for one in every if one.lifecycle in _COMING and one.health == "Healthy"]
    ready = [one for one in coming if one.lifecycle == "InService" and _answers(one, said)]
    last, best = (max(some, key=_started, default=None) for some in (coming, ready))
    if best and (best == last or waited >= INSTANCE_BUDGET):
        return best
    if last and waited < INSTANCE_BUDGET:
        return None
    told = "; ".join(_condition(one, said) for one in every) or "it has none"
    raise PreconditionFailed(
        f"no instance of {group} in {region} is in service, healthy, and answers its load balancer ({told}), so there "
        f"is nothing to make an image of: nothing was changed. Waited for one: {waited} s. See why (the group's "
        "activity history, the application's log, what the health check asks for), then start again."
    )


def _started(instance: Instance) -> tuple[str, str]:
    return instance.launched, instance.identifier


def _answers(instance: Instance, targets: tuple[Target, ...] | None) -> bool:
    """Whether all load balancers that use an instance find it healthy; without any, whatever is in service does."""
    if targets is None:
        return True
    states = {one.state for one in targets if one.identifier == instance.identifier} - {"unused"}
    return states == {"healthy"}


def _condition(instance: Instance, targets: tuple[Target, ...] | None) -> str:
    told = f"{instance.identifier} is {instance.lifecycle} and {instance.health}"
    if targets is None:
        return told
    said = [one for one in targets if one.identifier == instance.identifier]
    words = [f"{one.state}, {one.reason}" if one.reason else one.state for one in said]
    return f"{told}, its target {' and '.join(words) or 'not registered'}"


def adopt(
    here: Iterable[Image], there: Iterable[Image], instances: Iterable[Instance], now: dt.datetime, *, together: bool
) -> Image | None:
    """Find what an earlier run left half done and a new one goes on with; None if there is nothing.

    It is of an instance that is in service still, with the version that this has now, and not old: 24 hours with a
    version, one hour without, since then nothing says whether a release came in between.

    Parameters
    ----------
    here, there
        Images of the active region and of the other one.
    instances
        The group's.
    together
        Whether the other region takes part: then what was published here alone is half done too.
    """
    versions = {one.identifier: one.version for one in instances if one.lifecycle == "InService"}
    ours = tuple(here)
    # On both sides: a run that ended while it published has published the copy, and not yet its source.
    complete = set.intersection(
        *({image.tags.get(PAIR) for image in side if mark(image) == PUBLISHED} for side in (ours, there))
    )

    def goes_on(image: Image) -> bool:
        instance = image.tags.get(SOURCE_INSTANCE, "")
        version = image.tags.get(VERSION, "")
        half_done = mark(image) == UNFINISHED or (together and mark(image) == PUBLISHED)
        patience = _ADOPTED_WITH_VERSION if version else _ADOPTED_WITHOUT
        return (
            half_done
            and image.state in ("pending", "available")
            and not image.tags.get(SOURCE_IMAGE)
            and image.tags.get(PAIR) not in complete
            and instance in versions
            and versions[instance] == version
            and age_hours(image, now) * 3600 <= patience.total_seconds()
        )

    return max((image for image in ours if goes_on(image)), key=moment, default=None)


def tags(environment: str, pair: str, instance: str, version: str, region: str, epoch: int) -> dict[str, str]:
    """Say what an image that is being made carries, and its disks' snapshots with it."""
    given = {
        "Name": pair,
        ENVIRONMENT: environment,
        MARK: UNFINISHED,
        PAIR: pair,
        SOURCE_INSTANCE: instance,
        SOURCE_REGION: region,
        EPOCH: str(epoch) if epoch >= 0 else "unknown",
    }
    return given | ({VERSION: version} if version else {})


def copied_tags(source: Image) -> dict[str, str]:
    """Say what the copy of an image carries: what its source does, and where it comes from."""
    kept = {name: value for name, value in source.tags.items() if not name.startswith("aws:") and name != TRIES}
    return kept | {MARK: UNFINISHED, SOURCE_IMAGE: source.identifier, CREATED: moment(source)}


def copy_token(source: Image) -> str:
    """Name one attempt to copy an image: asked again it is the same copy, after a failed one it is another."""
    return hashlib.sha256(f"{source.identifier}:{source.tags.get(TRIES, '0')}".encode()).hexdigest()


def copy_name(source: Image) -> str:
    """Name a copy like its source; after a failed one, which keeps its name, with the number of this attempt."""
    tries = source.tags.get(TRIES, "0")
    return source.name if tries == "0" else f"{source.name}-{tries}"


def next_try(source: Image) -> str:
    """Count a failed copy, so that the next attempt is another one."""
    tries = source.tags.get(TRIES, "0")
    return str(int(tries) + 1 if tries.isdecimal() else 1)


def find_made(pair: str, here: Iterable[Image]) -> Image | None:
    """Find the image that a run makes, by what it is called."""
    return next(
        (one for one in here if one.tags.get(PAIR) == pair and not one.tags.get(SOURCE_IMAGE) and mark(one) != FAILED),
        None,
    )


def find_copy(source: Image, there: Iterable[Image]) -> Image | None:
    """Find the copy of an image: one that is there or on its way, before one that failed in this attempt."""
    mine = [image for image in there if image.tags.get(SOURCE_IMAGE) == source.identifier and mark(image) != FAILED]
    return max(mine, key=lambda image: (image.state in ("pending", "available"), image.created), default=None)


def require_listed(waited: int, what: str, region: str) -> None:
    """Insist that what EC2 has accepted is listed before long.

    Raises
    ------
    PreconditionFailed
        It is not: somebody has deregistered it, or EC2 gives an answer of before.
    """
    if waited >= UNLISTED_BUDGET:
        raise PreconditionFailed(
            f"{what} in {region} was asked for and is not listed after {waited} s: it was deregistered, or never came. "
            "Nothing was published, and both regions go on with the images they had. See who removes images there; the "
            "next run makes it anew, by hand or by the schedule."
        )


def has_failed(image: Image) -> bool:
    """Whether an image will never be there."""
    return image.state not in ("pending", "available")


def arrived(image: Image, region: str, waited: int, budget: int) -> bool:
    """Say whether an image is there.

    Raises
    ------
    PreconditionFailed
        It failed, or it takes longer than it may. What is pending then goes on by itself.
    """
    if image.state == "available" and image.snapshots_complete:
        return True
    if has_failed(image):
        raise PreconditionFailed(
            f"image {image.identifier} in {region} is '{image.state}': {image.reason or 'EC2 gives no reason'}. It is "
            "marked as failed and never started from; both regions go on with the images they had. A reason that "
            "names a key: see that the region's key is enabled and its policy as deployed. The next run makes it anew."
        )
    if waited >= budget:
        raise PreconditionFailed(
            f"image {image.identifier} in {region} is still being made after {waited} s: nothing was published. It "
            "goes on by itself, and the next run looks for it."
        )
    return False


# --- Whether it can be started there


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, and what is wrong."""

    checked: tuple[str, ...]
    problems: tuple[str, ...]


def verdict(image: Image, snapshots: Iterable[DiskSnapshot], key: Key, account: str, role: str) -> Verdict:
    """Judge whether the region of an image could start an instance from it, as far as its APIs tell.

    Parameters
    ----------
    image
        In that region.
    snapshots
        Of its disks, as EC2 describes them.
    key
        The region's own: the one that the disks should be under.
    account
        Ours.
    role
        ARN of the role that the region's group starts instances under; empty for Auto Scaling's own.
    """
    found = tuple(snapshots)
    asked = role or f"arn:aws:iam::{account}:{_ROLE}"
    lets_in = may_use_disks(key.policy, asked) if key.policy else None
    granted = any(grantee == asked for grantee in key.grantees)
    checks = (
        (image.state == "available", "is available", f"is '{image.state}'"),
        (image.owner in ("", account), f"belongs to {account}, which so may launch it", f"belongs to {image.owner}"),
        (
            bool(found) and len(found) == len(image.snapshots) and all(one.state == "completed" for one in found),
            f"all {len(found)} snapshots are complete",
            f"{sum(one.state == 'completed' for one in found)} of {len(image.snapshots)} snapshots are complete",
        ),
        (
            all(one.encrypted and one.key == key.arn for one in found),
            f"its disks are encrypted under {key.arn}",
            f"its disks are under {', '.join(sorted({one.key or 'no key' for one in found}))} and not under {key.arn}",
        ),
        (key.state == "Enabled", "the key is enabled", f"the key {key.arn} is {key.state}"),
        (
            lets_in is not False or granted,
            f"the key's {'policy' if lets_in else 'grant'} lets {asked} start disks under it"
            if lets_in or granted
            else "the key's policy could not be read: whether Auto Scaling may use it was not checked",
            f"neither policy nor grant of {key.arn} lets {asked} use it: instances would end as they start",
        ),
    )
    return Verdict(
        checked=tuple(well for holds, well, _ in checks if holds),
        problems=tuple(wrong for holds, _, wrong in checks if not holds),
    )


def require_startable(verdict: Verdict, image: str, region: str) -> None:
    """Insist that an image can be started.

    Raises
    ------
    PreconditionFailed
        Something is in the way; the message names it.
    """
    if verdict.problems:
        raise PreconditionFailed(
            f"image {image} could not be started in {region}: {'; '.join(verdict.problems)}. It was not published, and "
            "both regions go on with the images they had. Put it right (the key: infra/encryption.yaml, deploy the "
            "stack), then start again: the same copy is looked at once more."
        )


def may_use_disks(policy: str, role: str) -> bool:
    """Whether a key's policy lets a role start instances from disks under the key, as far as its text tells.

    A service-linked role has no policy of its own on keys, so what the policy leaves to IAM does not help it.
    """
    try:
        document: Json = json.loads(policy)
    except ValueError:
        return False
    statements = document.get("Statement", [])
    allowed = [_actions(one) for one in _many(statements) if one.get("Effect") == "Allow" and _is_about(one, role)]
    patterns = [pattern for actions in allowed for pattern in actions]
    return all(any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns) for action in _OF_A_KEY)


def _is_about(statement: Json, role: str) -> bool:
    principal = statement.get("Principal", {})
    named = _many(principal.get("AWS", [])) if isinstance(principal, dict) else _many(principal)
    if role in named:
        return True
    if "*" not in named:
        return False
    wanted = [
        str(value)
        for keys in statement.get("Condition", {}).values()
        for key, values in keys.items()
        if key.lower() == "aws:principalarn"
        for value in _many(values)
    ]
    return not wanted or any(fnmatchcase(role, pattern) for pattern in wanted)


def _actions(statement: Json) -> list[str]:
    return [str(action) for action in _many(statement.get("Action", []))]


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# --- What is kept


@dataclass(frozen=True, slots=True)
class Kept:
    """Images of one region, and which of them something there refers to: by id, from wherever."""

    images: tuple[Image, ...]
    in_use: frozenset[str] = frozenset()


def candidates(images: Iterable[Image]) -> tuple[Image, ...]:
    """List what this machine made."""
    return tuple(image for image in images if mark(image) and image.tags.get(PAIR))


def removable(here: Kept, there: Kept, keep: int, current: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Decide which images of each region are removed.

    Kept are, of what this machine made: the last so many pairs that are complete, and in each region as many that it
    could start from; whatever is in use; the pair of this run; and what is still being made. Everything else it made
    goes. What it did not make stays always.
    """
    usable_here, usable_there = (
        [image for image in candidates(side.images) if usable(image)] for side in (here, there)
    )
    complete = {image.tags[PAIR] for image in usable_here} & {image.tags[PAIR] for image in usable_there}
    moments = {image.tags[PAIR]: moment(image) for image in (*usable_there, *usable_here)}
    pairs = set(sorted(complete, key=lambda pair: moments[pair], reverse=True)[:keep]) | {current}

    def gone(side: Kept, good: list[Image]) -> tuple[str, ...]:
        newest = {one.identifier for one in sorted(good, key=moment, reverse=True)[:keep]}
        return tuple(
            image.identifier
            for image in candidates(side.images)
            if (image.tags[PAIR] not in pairs or mark(image) == FAILED)
            and image.identifier not in newest | side.in_use
            and image.state != "pending"
        )

    return gone(here, usable_here), gone(there, usable_there)


def orphans(
    snapshots: Iterable[DiskSnapshot], left: Iterable[Image], removed: Iterable[Image], current: str
) -> tuple[str, ...]:
    """List snapshots of this machine's whose image is gone: now, or in a run that got no further than that.

    The latter by the pair and not by the disks that images list: one that is being made does not list them yet.

    Parameters
    ----------
    snapshots
        Of one region.
    left, removed
        Images that are still there, and those that were removed just now.
    current
        The pair of this run.
    """
    stays = tuple(left)
    alive = {image.tags.get(PAIR) for image in stays} | {current}
    referred = {snapshot for image in stays for snapshot in image.snapshots}
    released = {snapshot for image in removed for snapshot in image.snapshots}
    return tuple(
        one.identifier
        for one in snapshots
        if one.tags.get(MARK)
        and one.tags.get(PAIR)
        and (one.identifier in released or one.tags[PAIR] not in alive)
        and one.identifier not in referred
        and one.state != "pending"
    )


# --- What is told


def published(environment: str, run: Json, removed: Json, make_image: str) -> Json | None:
    """Word what is told of a run that published; None where all went well: nobody is woken for that.

    Parameters
    ----------
    make_image
        The command that starts the next run.
    """
    problems = [str(problem) for problem in removed.get("problems", ())]
    if run["together"] and not problems:
        return None
    region, other = run["region"], run["other"]
    lines = [f"{run['pair']} is published in {region}: {run['image']}."]
    if not run["together"]:
        lines += [
            f"It was NOT copied to {other}: {run['detail']}. {other} goes on with what it has, and the next run tries "
            "again: by the schedule, or with",
            f"  {make_image}",
        ]
    lines += [f"Not removed: {problem}" for problem in problems]
    what = f"image in {region} ALONE" if not run["together"] else "old images could not be removed"
    return {"kind": "image-partial", "subject": f"[{environment}] {what}", "message": "\n".join(lines)}


def failed(environment: str, region: str, name: str, cause: str, make_image: str) -> Json:
    """Word what is told of a run that failed."""
    return {
        "kind": "image-failed",
        "subject": f"[{environment}] IMAGE FAILED in {region}: both regions go on with the images they had",
        "message": "\n".join(
            (
                f"{name}: {cause}",
                "",
                "A failover starts from what was published before. The runbook of images (docs/runbooks/image.md) says "
                "what to do. Leave the next start to the schedule, or start again with",
                f"  {make_image}",
                f"State machine: {environment}-image in {region}.",
            )
        ),
    }


def ended(environment: str, region: str, execution: str, status: str, how: str, make_image: str) -> Json:
    """Word what is told of a run that could tell nothing itself: it was stopped, say, or ran out of time."""
    return {
        "kind": "image-ended",
        "subject": f"[{environment}] IMAGE {status} in {region}: both regions go on with the images they had",
        "message": "\n".join(
            (
                f"The making of an image ended {how}: {execution}",
                "",
                "Nothing that was published is touched. The next run goes on with what is half done. Leave it to the "
                "schedule, or start it with",
                f"  {make_image}",
            )
        ),
    }
