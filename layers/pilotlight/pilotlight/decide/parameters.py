"""Which of the team's parameters cross to the other region, and what makes its copies equal.

Invariant: a region carries only while both regions' records name it, and writes only into the other one. There is one
record in each region, so this cannot hold for both regions at once: what one carries, the other never carries back.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from pilotlight.decide.request import WITH_FORCE
from pilotlight.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotlight.model import Crossing, Json, Listing, Parameter, ParameterVersion

# On a copy: the region that it came from. Only what carries it is ever deleted.
MARK = "pilotlight:synced"
_AWS_KEY = "alias/aws/ssm"
_IMAGE = "aws:ec2:image"
# Of any environment: two may share an account, and a path. The functions' roles are denied the same.
_ORCHESTRATORS = re.compile(r"/.+/pilotlight(/.*)?")
_TIERS = ("Standard", "Intelligent-Tiering", "Advanced")

BRING_SECONDS: Final = 240
"""For how long one call of a planned switch carries; what is left is carried by the next one."""
BRING_BUDGET: Final = 900
"""For how long a planned switch brings parameters over, in seconds, before it is refused."""
_TOLD = 10
_LONGEST_TOLD = 2_000
# Parameter Store keeps so many of each. A new one drops the oldest, and is refused where that has a label.
_MOST_VERSIONS = 100

type Do = Literal["nothing", "create", "update", "replace", "delete", "tag"]


@dataclass(frozen=True, slots=True)
class Change:
    """What makes a copy equal: what to do, what to write, and in which words to tell it."""

    name: str
    do: Do = "nothing"
    parameter: Parameter | None = None
    differs: tuple[str, ...] = ()
    tags_on: Mapping[str, str] = field(default_factory=dict)
    tags_off: tuple[str, ...] = ()
    policies_off: bool = False
    seen_version: int = 0


@dataclass(frozen=True, slots=True)
class Labels:
    """What gives a copy's versions the names that the source's have.

    ``again`` holds what the copy has no version of: written anew in this order, each with its labels, and after them
    the present value once more.
    """

    off: tuple[tuple[int, tuple[str, ...]], ...] = ()
    on: tuple[tuple[int, tuple[str, ...]], ...] = ()
    again: tuple[ParameterVersion, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.off or self.on or self.again)


@dataclass(frozen=True, slots=True)
class Difference:
    """All that two sides differ in; and how many parameters were compared, stay where they are, or are kept."""

    changes: tuple[Change, ...]
    compared: int
    left: int
    kept: int


def standing_by(
    region: str, other: str, own_record: str, others_record: str | None, *, just_turned: bool = False
) -> str:
    """Say why a region carries nothing now; nothing if it is the one that carries.

    Parameters
    ----------
    region, other
        The region that asks, and the one that it would write into.
    own_record, others_record
        Who is active by the record in each of them; None where there is none yet.
    just_turned
        Whether this region's record was just written, so that the other's may be about to follow.

    Raises
    ------
    PreconditionFailed
        The two records disagree, and not just now. It passes when the other region's is put right.
    """
    if own_record != region:
        return f"{own_record} is recorded as active"
    if others_record is None:
        return f"{other} is not deployed yet"
    if others_record != region and just_turned:
        return f"{other} still records {others_record}: when its record follows, it wakes this region"
    if others_record != region:
        raise PreconditionFailed(
            f"{region} records itself as active, and {other} records {others_record}: nothing was carried, or an old "
            f"side could overwrite a new one. Close {other} as it is described for a region that comes back (that "
            "rewrites its record); the next reconciliation carries everything"
        )
    return ""


def require_over(answer: Json, source: str, waited: int, command: str, *, insists: bool) -> str:
    """Insist that what a planned switch leaves has nothing more that the other region lacks.

    Once the other region is active, it writes over what never crossed: the active side wins.

    Parameters
    ----------
    answer
        What a comparison in the source said.
    source
        The region that is left.
    waited
        Seconds since the first call of this switch.
    command
        What carries everything, for the message.
    insists
        Somebody starts all the same, and leaves behind what does not cross.

    Returns
    -------
    str
        What stays behind, where somebody insists; nothing where all is over, or is still being carried.

    Raises
    ------
    PreconditionFailed
        Something did not cross; nothing was closed.
    """
    why = ""
    if answer["outcome"] != "reconciled":
        why = f"{source} carries no parameters now ({answer.get('detail') or answer['outcome']})"
    elif answer["failed"]:
        names = [str(one["name"]) for one in answer["failures"]]
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        why = f"parameters of {source} were not carried: {', '.join(names[:_TOLD])}{more}"
    elif not answer["done"] and waited >= BRING_BUDGET:
        why = f"the parameters of {source} are not over after {waited} s"
    if why and not insists:
        raise PreconditionFailed(
            f"{why}. What only {source} has would be written over after the switch. Nothing was changed. `{command}` "
            f"says why; when it carries everything, start again. Or {WITH_FORCE}: it stays behind."
        )
    return why


def left_behind(before: str, now: str) -> str:
    """Put together what several calls of a planned switch left behind, as long as a message may be."""
    told = "; ".join(part for part in (before, now) if part)
    return told if len(told) <= _LONGEST_TOLD else f"{told[:_LONGEST_TOLD]} …"


def roots(crossing: Crossing) -> tuple[str, ...]:
    """List the paths in which parameters cross, each once."""
    return tuple(sorted({path.rstrip("/") or "/" for path in crossing.paths}))


def under(name: str, path: str) -> bool:
    """Tell whether a name is a path or lies below it."""
    return path == "/" or name == path or name.startswith(f"{path.rstrip('/')}/")


def crosses(name: str, crossing: Crossing, target: str, data_type: str = "text") -> bool:
    """Decide whether a parameter crosses into the target region."""
    if under(name, "/aws") or _ORCHESTRATORS.fullmatch(name) or data_type == _IMAGE:
        return False
    if any(under(name, path) for path in crossing.exclude):
        return False
    # What is rewritten for some regions and not for this one belongs to the regions.
    if name in crossing.rewrite and target not in crossing.rewrite[name]:
        return False
    return any(under(name, path) and name != path for path in crossing.paths)


def copy_of(source: Parameter, crossing: Crossing, region: str, target: str) -> Parameter:
    """Say what the copy of a parameter should be in the target region: rewritten, under a key of there, and marked."""
    value = crossing.rewrite.get(source.name, {}).get(target, source.value)
    tags = {key: text for key, text in source.tags.items() if _carried(key)} | {MARK: region}
    key = ""
    if source.type == "SecureString":
        key = source.key if source.key.endswith(_AWS_KEY) else f"alias/{crossing.environment}-pilotlight"
    return dataclasses.replace(source, value=value, tags=tags, key=key)


def kept(copy: Parameter) -> Parameter:
    """Say what a copy is made of that is put back as it was: AWS's own tags are not ours to give."""
    return dataclasses.replace(copy, tags={key: text for key, text in copy.tags.items() if not key.startswith("aws:")})


def _carried(tag: str) -> bool:
    return tag != MARK and not tag.startswith("aws:")


def change(name: str, source: Parameter | None, wanted: Parameter | None, copy: Parameter | None) -> Change:
    """Decide what makes one copy equal.

    Parameters
    ----------
    source
        The parameter in the active region; None where there is none.
    wanted
        What `copy_of` says of it.
    copy
        What the other region has now.

    Raises
    ------
    PreconditionFailed
        The copy is of another type, which no API can change, and is not ours to replace.
    """
    if source is None or wanted is None:
        if copy is None or MARK not in copy.tags:
            return Change(name)
        return Change(name, "delete", differs=("deleted",), seen_version=copy.version)
    if copy is None:
        return Change(name, "create", wanted, ("missing",))
    if copy.type != wanted.type:
        if MARK not in copy.tags:
            raise PreconditionFailed(
                f"{name} is a {wanted.type} in the active region and in the other a {copy.type} that this sync has not "
                "made: nothing was changed. Delete the other one by hand; the next reconciliation makes it anew"
            )
        return Change(name, "replace", wanted, ("type",), seen_version=copy.version)
    differs = _contents(wanted, copy)
    wrong = {key: text for key, text in wanted.tags.items() if key != MARK and copy.tags.get(key) != text}
    off = tuple(sorted(key for key in copy.tags if _carried(key) and key not in wanted.tags))
    # Ours from now on: what is written here, and what this sync once carried in the other direction.
    mark = {MARK: wanted.tags[MARK]} if MARK not in copy.tags and (differs or MARK in source.tags) else {}
    if not differs and not wrong and not off and not mark:
        return Change(name)
    return Change(
        name,
        "update" if differs else "tag",
        # A copy keeps its key: the team may have chosen it.
        dataclasses.replace(wanted, key=copy.key or wanted.key, tier=_higher(wanted.tier, copy.tier)),
        (*differs, *(("tags",) if wrong or off else ()), *(("mark",) if mark else ())),
        tags_on=wrong | mark,
        tags_off=off,
        policies_off=bool(copy.policies) and not wanted.policies,
        seen_version=copy.version,
    )


def _contents(wanted: Parameter, copy: Parameter) -> tuple[str, ...]:
    return tuple(
        word
        for word, differs in (
            ("value", wanted.value != copy.value),
            # An advanced parameter cannot become a standard one again.
            ("tier", _higher(wanted.tier, copy.tier) != copy.tier),
            ("description", wanted.description != copy.description),
            ("data type", wanted.data_type != copy.data_type),
            ("allowed pattern", wanted.allowed_pattern != copy.allowed_pattern),
            ("policies", _policies(wanted) != _policies(copy)),
        )
        if differs
    )


def _higher(one: str, other: str) -> str:
    ranked = [tier for tier in (one, other) if tier in _TIERS]
    return max(ranked, key=_TIERS.index, default=one)


def _policies(parameter: Parameter) -> list[str]:
    """Bring policies into one form: the order and the blanks of their texts mean nothing."""
    return sorted(json.dumps(json.loads(text), sort_keys=True) for text in parameter.policies)


def known(name: str, *sides: Listing) -> bool:
    """Tell whether listings of both sides say if there is a parameter of this name, and what is in it."""
    return all(any(under(name, path) for path in side.paths) and name not in side.unread for side in sides)


def differences(
    sources: Listing,
    copies: Listing,
    crossing: Crossing,
    region: str,
    target: str,
) -> tuple[Difference, dict[str, str]]:
    """Compare two sides.

    What is not known of one side is never taken for missing there: nothing is decided on it.

    Returns
    -------
    tuple
        What differs, in the order of names; and, by name, why something can be changed by nobody but a person.
    """
    changes: list[Change] = []
    refused = _unlisted(sources, region) | _unlisted(copies, target)
    left = kept = compared = 0
    for name in sorted({*sources.parameters, *copies.parameters, *sources.unread, *copies.unread}):
        source, copy = sources.parameters.get(name), copies.parameters.get(name)
        if not crosses_both(name, source, copy, crossing, target):
            left += 1
            continue
        if not known(name, sources, copies):
            if reason := _unread(name, sources, region, crossing) or _unread(name, copies, target, crossing):
                compared += 1
                refused[name] = reason
            continue
        compared += 1
        wanted = copy_of(source, crossing, region, target) if source else None
        try:
            found = change(name, source, wanted, copy)
        except PreconditionFailed as error:
            refused[name] = str(error)
            continue
        if found.do != "nothing":
            changes.append(found)
        elif source is None:
            kept += 1
    return Difference(tuple(changes), compared, left, kept), refused


def _unlisted(side: Listing, region: str) -> dict[str, str]:
    return {
        path: (
            f"the path could not be listed in {region} ({reason}), so nothing under it was carried or deleted. The "
            "function may read the paths that it was deployed with: deploy both regions with this one in SyncPaths, or "
            "take it out of the parameter sync-paths"
        )
        for path, reason in side.refused.items()
    }


def _unread(name: str, side: Listing, region: str, crossing: Crossing) -> str:
    if name not in side.unread:
        return ""
    return (
        f"it could not be decrypted in {region} ({side.unread[name]}), so it was neither carried nor deleted. Enable "
        "its key, or cancel that key's deletion; a key of your own needs an alias "
        f"alias/{crossing.environment}-… there. Or write the parameter anew under a key that is good, or name it in "
        "SyncExclude"
    )


def crosses_both(name: str, source: Parameter | None, copy: Parameter | None, crossing: Crossing, target: str) -> bool:
    """Decide whether a parameter crosses, by what either side says of it."""
    kinds = [side.data_type for side in (source, copy) if side] or ["text"]
    return all(crosses(name, crossing, target, kind) for kind in kinds)


def labels(
    source: tuple[ParameterVersion, ...], copy: tuple[ParameterVersion, ...], rewritten: str | None = None
) -> Labels:
    """Decide what names the copy's versions as the source's are named.

    Versions have other numbers on each side, so a label is compared by what it stands for: type and value.

    Parameters
    ----------
    source, copy
        All versions of each side, oldest first. The last ones are equal already.
    rewritten
        What the copy's value is instead of the source's. Then only labels of the present version have a meaning there.

    Raises
    ------
    PreconditionFailed
        A label stands for a value that nobody can read any more.
    """
    named = source if rewritten is None else tuple(dataclasses.replace(v, value=rewritten) for v in source[-1:])
    if lost := [label for version in named if not version.readable for label in version.labels]:
        raise PreconditionFailed(
            f"labels were not carried: {', '.join(sorted(lost))} stands for an older version whose key is disabled, "
            "gone or not ours to use. Its value is up to date in the other region. Mend the key, or take that label off"
        )
    wanted = {label: version for version in named for label in version.labels}
    have = {label: version for version in copy for label in version.labels}
    off: dict[int, list[str]] = {}
    for label, version in have.items():
        if label not in wanted:
            off.setdefault(version.version, []).append(label)
    on: dict[int, list[str]] = {}
    again: dict[int, list[str]] = {}
    for label, version in wanted.items():
        if label in have and _same(have[label], version):
            continue
        fitting = next((found for found in reversed(copy) if _same(found, version)), None)
        if fitting:
            on.setdefault(fitting.version, []).append(label)
        else:
            again.setdefault(version.version, []).append(label)
    return Labels(
        off=tuple((number, tuple(sorted(names))) for number, names in sorted(off.items())),
        on=tuple((number, tuple(sorted(names))) for number, names in sorted(on.items())),
        again=tuple(
            dataclasses.replace(version, labels=tuple(sorted(again[version.version])))
            for version in named
            if version.version in again
        ),
    )


def require_room(plan: Labels, copy: tuple[ParameterVersion, ...]) -> None:
    """Insist that old values can be written anew, and the present one after them: else an old one would stay current.

    Parameters
    ----------
    plan
        What `labels` said, its other part carried out.
    copy
        All versions of the copy, oldest first.

    Raises
    ------
    PreconditionFailed
        One of these writings could be refused; nothing was written.
    """
    dropped = max(0, len(copy) + len(plan.again) + 1 - _MOST_VERSIONS)
    off = dict(plan.off)
    named = {version.version for version in copy if set(version.labels) - set(off.get(version.version, ()))}
    named |= {number for number, _ in plan.on}
    if any(version.version in named for version in copy[:dropped]):
        left = sorted(label for version in plan.again for label in version.labels)
        raise PreconditionFailed(
            f"labels were not carried: {', '.join(left)} stands for an older value that the copy never had, and among "
            f"the oldest of its {len(copy)} versions are labelled ones, which AWS drops for no new one. Its value is "
            "up to date in the other region. In the active region move the labels of old versions to newer ones, or "
            "take them off"
        )


def _same(one: ParameterVersion, other: ParameterVersion) -> bool:
    return one.readable and other.readable and (one.type, one.value) == (other.type, other.value)
