"""Decisions about images: which one starts, which is gone on with, whether it could start there, and which ones go."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest

from pilotlight.config import image_settings_from
from pilotlight.decide import images
from pilotlight.errors import PreconditionFailed
from pilotlight.model import DiskSnapshot, Image, Instance, Key, Target
from tests.unit.core.samples import DR, PRIMARY

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"


def image(
    identifier: str, hours_old: float, mark: str = "", pair: str = "", state: str = "available", **tags: str
) -> Image:
    created = (NOW - dt.timedelta(hours=hours_old)).isoformat().replace("+00:00", "Z")
    given = {images.MARK: mark, images.PAIR: pair} if mark else {}
    given |= {f"pilotlight:{name.replace('_', '-')}": value for name, value in tags.items()}
    return Image(
        identifier, pair or identifier, state, created, tags=given, snapshots=(f"snap-{identifier}",), owner=ACCOUNT
    )


# --- Which one starts


@pytest.mark.parametrize("mark", [images.UNFINISHED, images.FAILED, "something-new"])
def test_what_a_run_left_half_done_is_never_chosen_even_if_ec2_finds_it_available(mark: str) -> None:
    good = image("ami-old", 40, images.PUBLISHED, "p1")
    assert images.newest_complete((image("ami-new", 1, mark, "p2"), good)) == good
    assert images.newest_complete((image("ami-new", 1, mark, "p2"),)) is None


def test_one_that_a_team_tagged_itself_is_chosen_if_it_is_newer() -> None:
    own, made = image("ami-own", 2), image("ami-made", 3, images.PUBLISHED, "p1")
    assert images.newest_complete((own, made)) == own
    assert images.newest_complete((replace(own, state="pending"), made)) == made


def test_a_copy_is_as_old_as_what_it_holds() -> None:
    """A copy that was made again a day later is no newer for it."""
    late = image("ami-late", 1, images.PUBLISHED, "p1", created=(NOW - dt.timedelta(hours=30)).isoformat())
    fresh = image("ami-fresh", 5, images.PUBLISHED, "p2")
    assert images.newest_complete((late, fresh)) == fresh
    assert (images.age_hours(late, NOW), images.age_hours(fresh, NOW)) == (30, 5)


def test_no_image_is_older_than_any_limit() -> None:
    assert images.age_hours(None, NOW) == images.NO_IMAGE_HOURS > 365 * 24


@pytest.mark.parametrize(
    ("hours", "words"),
    [(-1, "of unknown age"), (0.5, "30 minutes old"), (7.4, "7 hours old"), (47, "47 hours old"), (72, "3 days old")],
)
def test_an_age_is_told_in_words(hours: float, words: str) -> None:
    assert images.told("ami-1", "2.3.1", hours) == f"ami-1 (version 2.3.1, {words})"
    assert "version not known" in images.told("ami-1", "", hours)


# --- Whether a planned switch takes it along


def test_what_the_active_region_released_and_published_alone_holds_a_planned_switch_up() -> None:
    before, after = image("ami-v1", 48, images.PUBLISHED, "p1"), image("ami-v2", 5, images.PUBLISHED, "p2")
    with pytest.raises(PreconditionFailed) as told:
        images.require_newest((after, before), (before,), DR, PRIMARY, "dev", DR)
    for part in ("ami-v2", "ami-v1", "Nothing was changed", f"make image ENVIRONMENT=dev DR_REGION={DR}", '"force"'):
        assert part in str(told.value)
    # A copy was made later, and holds the same.
    copy = image("ami-copy", 1, images.PUBLISHED, "p2", created=after.created)
    images.require_newest((after, before), (before, copy), DR, PRIMARY, "dev", DR)
    assert images.newer((after,), ()) == after


@pytest.mark.parametrize("mark", ["", images.UNFINISHED, images.FAILED])
def test_only_what_was_published_is_missed_in_the_other_region(mark: str) -> None:
    """A team's own images have no moment in common: the copy made by hand in DR is younger than its source."""
    assert images.newer((image("ami-own", 1, mark, "p2"),), (image("ami-1", 48, images.PUBLISHED, "p1"),)) is None


# --- Whose turn it is


@pytest.mark.parametrize(
    ("region", "own", "others", "active", "together"),
    [
        (PRIMARY, PRIMARY, PRIMARY, True, True),
        (DR, PRIMARY, PRIMARY, False, False),
        (DR, DR, DR, True, True),
        (PRIMARY, DR, DR, False, False),
        # The other one is lost, or not there yet.
        (DR, DR, None, True, False),
        (PRIMARY, PRIMARY, None, True, False),
        (PRIMARY, PRIMARY, "", True, False),
        # A primary that has come back finds itself in its own record: DR's counts.
        (PRIMARY, PRIMARY, DR, False, False),
        (DR, DR, PRIMARY, True, False),
        (DR, "", None, False, False),
    ],
)
def test_the_records_say_whose_turn_it_is(
    region: str, own: str, others: str | None, active: bool, together: bool
) -> None:
    other = DR if region == PRIMARY else PRIMARY
    way = images.way(region, other, DR, own, others)
    assert (way.active, way.together) == (active, together)
    assert bool(way.detail) == (not together)


def test_never_are_both_regions_active_while_they_see_each_other() -> None:
    for primary in (PRIMARY, DR, ""):
        for dr in (PRIMARY, DR, ""):
            here = images.way(PRIMARY, DR, DR, primary, dr)
            there = images.way(DR, PRIMARY, DR, dr, primary)
            assert not (here.active and there.active), (primary, dr)


# --- What it is made of


OLD, NEW = (Instance(f"i-{day}", "InService", "Healthy", f"2026-11-0{day}") for day in (1, 2))
BUDGET = images.INSTANCE_BUDGET


def chosen(
    instances: tuple[Instance, ...], *targets: Target, waited: int = 0, without: bool = False
) -> Instance | None:
    return images.choose(instances, None if without else targets, "dev-asg", PRIMARY, waited)


def says(instance: Instance, state: str, reason: str = "") -> Target:
    return Target(instance.identifier, state, reason)


def test_the_instance_that_was_started_last_is_chosen() -> None:
    assert chosen((NEW, OLD), says(OLD, "healthy"), says(NEW, "healthy")) == NEW
    assert chosen((NEW, OLD), without=True) == NEW


def test_one_that_auto_scaling_finds_healthy_and_its_load_balancer_does_not_is_never_chosen() -> None:
    """While its grace lasts, Auto Scaling finds healthy whatever runs."""
    for state in ("initial", "unhealthy", "draining", "unavailable"):
        assert chosen((NEW,), says(NEW, state)) is None
        with pytest.raises(PreconditionFailed, match=f"i-2 is InService and Healthy, its target {state}, Elb.Reason"):
            chosen((NEW,), says(NEW, state, "Elb.Reason"), waited=BUDGET)
    with pytest.raises(PreconditionFailed, match="its target not registered"):
        chosen((NEW,), waited=BUDGET)


def test_one_that_starts_is_waited_for_and_then_what_answers_is_taken() -> None:
    """After a release the one that was started last has it."""
    for new in (NEW, replace(NEW, lifecycle="Pending")):
        assert chosen((new, OLD), says(OLD, "healthy"), says(new, "initial")) is None
        assert chosen((new, OLD), says(OLD, "healthy"), says(new, "initial"), waited=BUDGET - 1) is None
        assert chosen((new, OLD), says(OLD, "healthy"), says(new, "initial"), waited=BUDGET) == OLD
    # An older one that is not well is nothing to wait for.
    assert chosen((NEW, OLD), says(NEW, "healthy"), says(OLD, "unhealthy")) == NEW


def test_it_has_to_answer_in_every_group_that_uses_it() -> None:
    assert chosen((NEW,), says(NEW, "healthy"), says(NEW, "unhealthy")) is None
    # One that no load balancer uses looks at nothing.
    assert chosen((NEW,), says(NEW, "healthy"), says(NEW, "unused", "Target.NotInUse")) == NEW
    assert chosen((NEW,), says(NEW, "unused", "Target.NotInUse")) is None


def test_where_nothing_starts_nothing_is_waited_for() -> None:
    sick, leaving = replace(NEW, health="Unhealthy"), replace(NEW, lifecycle="Terminating")
    for none in ((), (sick,), (leaving,)):
        with pytest.raises(PreconditionFailed, match="nothing was changed"):
            chosen(none, without=True)
        with pytest.raises(PreconditionFailed, match="nothing was changed"):
            chosen(none, *(says(one, "healthy") for one in none))


I1 = Instance("i-1", "InService", "Healthy", "2026-11-01", "2.3")
HALF = image("ami-half", 5, images.UNFINISHED, "p1", source_instance="i-1", version="2.3")


def test_a_half_made_image_is_gone_on_with() -> None:
    assert images.adopt((HALF,), (), (I1,), NOW, together=True) == HALF
    assert images.adopt((replace(HALF, state="pending"),), (), (I1,), NOW, together=False)


@pytest.mark.parametrize(
    "half",
    [
        replace(HALF, state="failed"),
        image("ami-half", 25, images.UNFINISHED, "p1", source_instance="i-1", version="2.3"),
        image("ami-half", 5, images.UNFINISHED, "p1", source_instance="i-1", version="2.2"),
        image("ami-half", 5, images.UNFINISHED, "p1", source_instance="i-9", version="2.3"),
        image("ami-half", 5, images.FAILED, "p1", source_instance="i-1", version="2.3"),
        image("ami-half", 5, source_instance="i-1", version="2.3"),
        # A copy, of when the other region was the active one.
        image("ami-half", 5, images.UNFINISHED, "p1", source_instance="i-1", version="2.3", source_image="ami-x"),
    ],
)
def test_one_that_failed_or_is_old_or_of_something_else_is_not(half: Image) -> None:
    assert images.adopt((half,), (), (I1,), NOW, together=True) is None


def test_without_a_version_nothing_says_whether_a_release_came_in_between() -> None:
    def half(hours: float) -> Image:
        return image("ami-half", hours, images.UNFINISHED, "p1", source_instance="i-1")

    nameless = replace(I1, version="")
    assert images.adopt((half(0.5),), (), (nameless,), NOW, together=True)
    assert images.adopt((half(2),), (), (nameless,), NOW, together=True) is None


def test_one_that_was_published_alone_is_copied_when_the_other_region_is_back() -> None:
    alone = image("ami-1", 5, images.PUBLISHED, "p1", source_instance="i-1", version="2.3")
    copy = image("ami-2", 5, images.PUBLISHED, "p1")
    assert images.adopt((alone,), (), (I1,), NOW, together=True) == alone
    assert images.adopt((alone,), (copy,), (I1,), NOW, together=True) is None
    assert images.adopt((alone,), (), (I1,), NOW, together=False) is None


def test_one_whose_run_ended_while_it_published_is_gone_on_with() -> None:
    """The copy is published first: then its source is half done still."""
    copy = image("ami-2", 5, images.PUBLISHED, "p1")
    assert images.adopt((HALF,), (copy,), (I1,), NOW, together=True) == HALF


# --- Made, copied


def test_what_is_made_is_not_published_and_says_where_it_comes_from() -> None:
    given = images.tags("dev", "dev-app-1", "i-1", "2.3", PRIMARY, 4)
    assert given[images.MARK] == images.UNFINISHED
    assert (given[images.EPOCH], given[images.VERSION], given[images.SOURCE_INSTANCE]) == ("4", "2.3", "i-1")
    assert images.VERSION not in images.tags("dev", "dev-app-1", "i-1", "", PRIMARY, -1)
    source = image("ami-1", 5, images.PUBLISHED, "p1", version="2.3")
    copied = images.copied_tags(replace(source, tags={**source.tags, images.TRIES: "2", "aws:x": "y"}))
    assert (copied[images.MARK], copied[images.SOURCE_IMAGE], copied[images.VERSION]) == ("unfinished", "ami-1", "2.3")
    assert copied[images.CREATED] == source.created
    assert not {images.TRIES, "aws:x"} & set(copied)


def test_a_copy_asked_for_again_is_the_same_and_after_a_failure_another() -> None:
    source = image("ami-1", 5, images.UNFINISHED, "p1")
    again = replace(source, tags={**source.tags, images.TRIES: images.next_try(source)})
    assert images.copy_token(source) == images.copy_token(source)
    assert len({images.copy_token(source), images.copy_token(again), images.copy_token(image("ami-2", 5))}) == 3
    assert images.next_try(again) == "2"
    # The one that failed keeps its name, and EC2 gives it to no second one.
    assert (images.copy_name(source), images.copy_name(again)) == ("p1", "p1-1")


def test_a_copy_under_way_is_found_and_one_that_was_given_up_is_not() -> None:
    source = image("ami-1", 5, images.UNFINISHED, "p1")
    pending = image("ami-3", 1, images.UNFINISHED, "p1", "pending", source_image="ami-1")
    refused = image("ami-2", 0.5, images.UNFINISHED, "p1", "failed", source_image="ami-1")
    given_up = image("ami-4", 0.5, images.FAILED, "p1", "failed", source_image="ami-1")
    assert images.find_copy(source, (refused, pending, given_up)) == pending
    # Not told of yet: it is, before another one is asked for.
    assert images.find_copy(source, (refused, given_up)) == refused
    assert images.find_copy(source, (given_up, image("ami-9", 1))) is None
    assert images.find_made("p1", (pending, replace(source, state="pending"))) == replace(source, state="pending")


def test_accepted_is_not_there_and_a_wait_ends() -> None:
    one = image("ami-1", 1, images.UNFINISHED, "p1")
    assert images.arrived(one, DR, 0, 60)
    assert not images.arrived(replace(one, state="pending"), DR, 30, 60)
    assert not images.arrived(replace(one, snapshots_complete=False), DR, 30, 60)
    with pytest.raises(PreconditionFailed, match="still being made after 60 s"):
        images.arrived(replace(one, state="pending"), DR, 60, 60)
    for state in ("failed", "error", "invalid", "deregistered"):
        with pytest.raises(PreconditionFailed, match="Given key ID is not accessible"):
            images.arrived(replace(one, state=state, reason="Given key ID is not accessible"), DR, 0, 60)


# --- Whether it could start there


def policy(*actions: str, principal: Any = "*", **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": list(actions), "Resource": "*"}
    return json.dumps({"Statement": [statement | ({"Condition": condition} if condition else {})]})


USES = ("kms:Decrypt", "kms:GenerateDataKey*", "kms:CreateGrant")
KEY = Key("arn:key", "Enabled", policy(*USES, StringEquals={"aws:PrincipalArn": ROLE}))
COPY = image("ami-2", 1, images.UNFINISHED, "p1")
DISKS = (DiskSnapshot("snap-ami-2", "completed", encrypted=True, key="arn:key"),)


def test_a_whole_image_under_a_key_that_auto_scaling_may_use_can_be_started() -> None:
    found = images.verdict(COPY, DISKS, KEY, ACCOUNT, "")
    assert (found.problems, len(found.checked)) == ((), 6)
    images.require_startable(found, "ami-2", DR)


@pytest.mark.parametrize(
    ("copy", "disks", "key", "why"),
    [
        (replace(COPY, state="pending"), DISKS, KEY, "is 'pending'"),
        (replace(COPY, owner="999999999999"), DISKS, KEY, "belongs to 999999999999"),
        (COPY, (), KEY, "0 of 1 snapshots are complete"),
        (COPY, (replace(DISKS[0], state="pending"),), KEY, "0 of 1 snapshots are complete"),
        (COPY, (replace(DISKS[0], encrypted=False, key=""),), KEY, "under no key"),
        (COPY, (replace(DISKS[0], key="arn:other"),), KEY, "under arn:other and not under arn:key"),
        (COPY, DISKS, replace(KEY, state="Disabled"), "is Disabled"),
        (COPY, DISKS, replace(KEY, state="PendingDeletion"), "is PendingDeletion"),
        (COPY, DISKS, replace(KEY, policy=policy("kms:Decrypt", "kms:GenerateDataKey*")), "instances would end"),
    ],
)
def test_whatever_is_in_the_way_is_named_and_nothing_is_published(copy: Any, disks: Any, key: Any, why: str) -> None:
    found = images.verdict(copy, disks, key, ACCOUNT, "")
    with pytest.raises(PreconditionFailed, match=f"{why}.*not published"):
        images.require_startable(found, "ami-2", DR)


def test_a_grant_is_as_good_as_the_policy_and_what_cannot_be_read_is_said() -> None:
    closed = policy("kms:*", principal=f"arn:aws:iam::{ACCOUNT}:root")
    assert images.verdict(COPY, DISKS, replace(KEY, policy=closed), ACCOUNT, "").problems
    granted = images.verdict(COPY, DISKS, replace(KEY, policy=closed, grantees=(ROLE,)), ACCOUNT, "")
    assert any("grant lets" in line for line in granted.checked)
    unread = images.verdict(COPY, DISKS, replace(KEY, policy=""), ACCOUNT, "")
    assert not unread.problems
    assert any("was not checked" in line for line in unread.checked)


@pytest.mark.parametrize(
    ("text", "lets_in"),
    [
        (policy(*USES, principal=[ROLE]), True),
        (policy("kms:*", principal=ROLE), True),
        (policy(*USES), True),
        (policy(*USES, StringLike={"aws:PrincipalArn": "arn:aws:iam::*:role/aws-service-role/*"}), True),
        (policy(*USES, StringEquals={"aws:PrincipalArn": f"{ROLE}_other"}), False),
        (policy(*USES, principal=f"arn:aws:iam::{ACCOUNT}:root"), False),
        ("not json", False),
    ],
)
def test_a_keys_policy_is_read_for_the_role_that_starts_instances(text: str, lets_in: bool) -> None:
    assert images.may_use_disks(text, ROLE) is lets_in


def test_the_policy_that_is_deployed_lets_it_in() -> None:
    from tests.template.templates import TEMPLATES

    document = TEMPLATES["encryption"]["Resources"]["Key"]["Properties"]["KeyPolicy"]
    text = json.dumps(document).replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", ACCOUNT)
    # A function with nothing to resolve is its text.
    resolved = json.loads(text, object_hook=lambda found: found["Fn::Sub"] if set(found) == {"Fn::Sub"} else found)
    assert images.may_use_disks(json.dumps(resolved), ROLE)
    without = [one for one in resolved["Statement"] if one["Sid"] != "AutoScalingHandsDisksToEc2"]
    assert not images.may_use_disks(json.dumps({"Statement": without}), ROLE)


# --- Which ones go


def pair(name: str, hours: float) -> tuple[Image, Image]:
    return image(f"ami-{name}", hours, images.PUBLISHED, name), image(f"copy-{name}", hours, images.PUBLISHED, name)


def gone(here: Any, there: Any, *, keep: int = 2, used: str = "") -> tuple[set[str], set[str]]:
    sides = [images.Kept(tuple(side), frozenset({used})) for side in (here, there)]
    first, second = images.removable(sides[0], sides[1], keep, "now")
    return set(first), set(second)


PAIRS = [pair(name, hours) for name, hours in (("now", 0), ("d1", 24), ("d2", 48), ("d3", 72))]


def test_the_last_complete_pairs_stay_and_the_others_go_in_both_regions() -> None:
    here, there = zip(*PAIRS, strict=True)
    assert gone(here, there) == ({"ami-d2", "ami-d3"}, {"copy-d2", "copy-d3"})
    assert gone(here, there, keep=9) == (set(), set())


def test_what_is_in_use_stays_where_it_is_in_use() -> None:
    here, there = zip(*PAIRS, strict=True)
    assert gone(here, there, used="copy-d3") == ({"ami-d2", "ami-d3"}, {"copy-d2"})


def test_what_somebody_else_made_stays_always() -> None:
    own = image("ami-own", 900)
    foreign = replace(image("ami-odd", 900), tags={images.MARK: images.PUBLISHED})
    assert gone([*PAIRS[0][:1], own, foreign], PAIRS[0][1:], keep=1) == (set(), set())


def test_half_made_and_failed_ones_go_once_another_is_published_but_nothing_that_is_being_made() -> None:
    here = [PAIRS[0][0], image("ami-half", 3, images.UNFINISHED, "half"), image("ami-f", 3, images.FAILED, "f")]
    refused = image("copy-f", 1, images.FAILED, "now", "failed")
    there = [PAIRS[0][1], image("copy-p", 1, images.UNFINISHED, "p", "pending"), refused]
    assert gone(here, there) == ({"ami-half", "ami-f"}, {"copy-f"})


def test_a_pair_that_is_not_complete_does_not_count_and_each_region_keeps_some_it_can_start_from() -> None:
    """Nights with the other region lost leave images here alone: they push out no pair, and are not all kept."""
    alone = [image(f"ami-a{day}", day, images.PUBLISHED, f"a{day}") for day in (1, 2, 3, 4)]
    here, there = gone([*alone, PAIRS[0][0], PAIRS[3][0]], [PAIRS[0][1], PAIRS[3][1]])
    assert (here, there) == ({"ami-a2", "ami-a3", "ami-a4"}, set())


def test_the_pair_of_this_run_never_goes() -> None:
    old = pair("now", 99)
    here, there = zip(*PAIRS[1:], strict=True)
    assert not {"ami-now", "copy-now"} & {*gone([old[0], *here], [old[1], *there], keep=1)[0]}


def test_snapshots_go_with_their_image_and_no_others() -> None:
    def disk(name: str, pair: str = "", state: str = "completed", mark: str = images.UNFINISHED) -> DiskSnapshot:
        return DiskSnapshot(name, state, tags={images.MARK: mark, images.PAIR: pair} if pair else {})

    alive = image("ami-1", 1, images.PUBLISHED, "alive")
    found = (
        disk("snap-gone", "gone"),
        disk("snap-alive", "alive"),
        disk("snap-now", "now"),
        disk("snap-pending", "gone", "pending"),
        disk("snap-teams"),
        disk("snap-ami-1", "gone"),
    )
    assert images.orphans(found, (alive,), (), "now") == ("snap-gone",)
    # A copy that failed is of a pair that lives.
    refused = image("ami-2", 1, images.FAILED, "alive", "failed")
    assert images.orphans((disk("snap-ami-2", "alive"), disk("snap-alive", "alive")), (alive,), (refused,), "now") == (
        "snap-ami-2",
    )


# --- What is told


AGAIN = "make image ENVIRONMENT=dev PRIMARY_REGION=eu-west-1 DR_REGION=eu-central-1"
RUN = {"region": PRIMARY, "other": DR, "together": True, "detail": "", "pair": "p1", "image": "ami-1"}


def test_nobody_is_told_of_a_run_that_went_well() -> None:
    assert images.published("dev", RUN, {"problems": []}, AGAIN) is None


def test_a_copy_that_was_not_made_and_what_could_not_be_removed_are_told() -> None:
    alone = images.published(
        "dev", RUN | {"together": False, "detail": f"{DR} does not answer"}, {"problems": []}, AGAIN
    )
    assert alone
    assert f"NOT copied to {DR}: {DR} does not answer" in alone["message"]
    stays = images.published("dev", RUN, {"problems": ["snap-1: in use"]}, AGAIN)
    assert stays
    assert "Not removed: snap-1: in use" in stays["message"]
    told = images.failed("dev", PRIMARY, "PreconditionFailed", "the key", AGAIN)
    assert "the key" in told["message"]
    assert "FAILED" in told["subject"]
    ended = images.ended("dev", PRIMARY, "arn:one", "ABORTED", "ABORTED", AGAIN)
    for message in (alone["message"], told["message"], ended["message"]):
        assert f"\n  {AGAIN}" in message
    assert AGAIN not in stays["message"]


# --- How it is set


def test_settings_have_defaults_and_a_wrong_one_is_named() -> None:
    assert image_settings_from({}, "/dev/pilotlight/config").keep == 3
    assert image_settings_from({"image-copy-minutes": "45"}, "/x").copy_minutes == 45
    for name, value in (
        ("image-keep", "0"),
        ("image-keep", "three"),
        ("image-copy-minutes", "20"),
        ("image-copy-minutes", "2895"),
    ):
        with pytest.raises(PreconditionFailed, match=f"/x/{name} is '{value}'"):
            image_settings_from({name: value}, "/x")
