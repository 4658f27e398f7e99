"""Launch templates: the same ClientToken makes the same version, and an image may be named by a parameter."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from ministack.services import ec2, ssm

from lab.emulator import here
from lab.emulator.compute.wire import AwsError, Params, Reply, flag, many, one

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BY_PARAMETER = "resolve:ssm:"


class Chosen(NamedTuple):
    """A version of a launch template, found."""

    template_id: str
    name: str
    version: int
    data: dict[str, Any]


class Templates:
    """What MiniStack's launch templates lack."""

    def __init__(self) -> None:
        # What was made with a token: the version's number, by region, template and token.
        self._made: dict[tuple[str, str, str], int] = {}

    def handlers(self) -> dict[str, Callable[[Params], Reply]]:
        """Return what answers which action of EC2."""
        return {
            "CreateLaunchTemplateVersion": self.CreateLaunchTemplateVersion,
            "DescribeLaunchTemplateVersions": self.DescribeLaunchTemplateVersions,
        }

    def choose(self, template_id: str, name: str, version: str) -> Chosen:
        """Return a version of a launch template.

        Parameters
        ----------
        template_id, name
            One of the two.
        version
            A number, ``$Latest``, ``$Default``, or empty for the default.

        Returns
        -------
        Chosen
            With data of its own: changing it changes no template.

        Raises
        ------
        AwsError
            When there is no such template or version.
        """
        template = _template(template_id, name)
        found = _version(template, version)
        return Chosen(
            template["LaunchTemplateId"],
            template["LaunchTemplateName"],
            found["VersionNumber"],
            copy.deepcopy(found["LaunchTemplateData"]),
        )

    # Actions

    def CreateLaunchTemplateVersion(self, params: Params) -> Reply:
        """Add a version, or answer again with the one that the same token made."""
        template = _template(one(params, "LaunchTemplateId"), one(params, "LaunchTemplateName"))
        token = one(params, "ClientToken")
        key = (here(), template["LaunchTemplateId"], token)
        if token and key in self._made:
            made = _version(template, str(self._made[key]))
            return ec2._xml(  # type: ignore[no-any-return]
                200,
                "CreateLaunchTemplateVersionResponse",
                f"<launchTemplateVersion>{ec2._lt_version_inner_xml(made)}</launchTemplateVersion>",
            )
        given = dict(params)
        if source := one(params, "SourceVersion"):
            # By number: MiniStack knows neither `$Latest` nor that a version that is not there is an error.
            given["SourceVersion"] = str(_version(template, source)["VersionNumber"])
        reply: Reply = ec2._create_launch_template_version(given)
        if token and reply[0] == 200:
            self._made[key] = template["LatestVersionNumber"]
        return reply

    def DescribeLaunchTemplateVersions(self, params: Params) -> Reply:
        """List versions; those asked for must exist, and parameters are resolved on request."""
        asked = many(params, "LaunchTemplateVersion")
        if not one(params, "LaunchTemplateId") and not one(params, "LaunchTemplateName"):
            return _versions_reply(_of_every_template(asked))
        template = _template(one(params, "LaunchTemplateId"), one(params, "LaunchTemplateName"))
        numbers = {_version(template, version)["VersionNumber"] for version in asked}
        low, high = one(params, "MinVersion"), one(params, "MaxVersion")
        found = [
            version
            for version in sorted(template["Versions"], key=lambda each: -int(each["VersionNumber"]))
            if (not asked or version["VersionNumber"] in numbers)
            and (not low or version["VersionNumber"] >= int(low))
            and (not high or version["VersionNumber"] <= int(high))
        ]
        if flag(params, "ResolveAlias"):
            found = [_resolved(version) for version in found]
        return _versions_reply(found)


def _of_every_template(asked: list[str]) -> list[dict[str, Any]]:
    """Return the latest and the default version of every template, as they are asked for without naming one."""
    if not asked or set(asked) - {"$Latest", "$Default"}:
        raise AwsError(
            "MissingParameter",
            "Either a launch template or, of all of them, the versions $Latest and $Default must be named",
        )
    return [
        found
        for template in ec2._launch_templates.values()
        for found in {
            version["VersionNumber"]: version for version in (_version(template, each) for each in asked)
        }.values()
    ]


def _versions_reply(found: list[dict[str, Any]]) -> Reply:
    items = "".join(ec2._lt_version_xml(version) for version in found)
    reply: Reply = ec2._xml(
        200,
        "DescribeLaunchTemplateVersionsResponse",
        f"<launchTemplateVersionSet>{items}</launchTemplateVersionSet>",
    )
    return reply


def resolve_image(image_id: str) -> str:
    """Return the image that ``resolve:ssm:<name>`` names now; any other id as it is.

    Parameters
    ----------
    image_id
        An image id, or the name of a parameter that holds one.

    Returns
    -------
    str
        An image id, of an image that may not exist.

    Raises
    ------
    AwsError
        When there is no such parameter.
    """
    if not image_id.startswith(_BY_PARAMETER):
        return image_id
    name = image_id.removeprefix(_BY_PARAMETER)
    _, parameter = ssm._lookup_parameter(name)
    if parameter is None:
        raise AwsError("InvalidParameterValue", f"The parameter {name}, which names the image, does not exist")
    return str(parameter["Value"])


def merged(template: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return launch data with what a request gives in place of what the template says."""
    return {**template, **given}


def _resolved(version: dict[str, Any]) -> dict[str, Any]:
    data = version["LaunchTemplateData"]
    if not data.get("ImageId"):
        return version
    return {**version, "LaunchTemplateData": {**data, "ImageId": resolve_image(data["ImageId"])}}


def _template(template_id: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = None
    if template_id:
        found = ec2._launch_templates.get(template_id)
        code, what = "InvalidLaunchTemplateId.NotFound", f"template ID {template_id}"
    else:
        found = next((each for each in ec2._launch_templates.values() if each["LaunchTemplateName"] == name), None)
        code, what = "InvalidLaunchTemplateName.NotFoundException", f"template name {name}"
    if found is None:
        raise AwsError(code, f"The specified launch template, with {what}, does not exist.")
    return found


def _version(template: dict[str, Any], version: str) -> dict[str, Any]:
    if version in ("", "$Default"):
        number = template["DefaultVersionNumber"]
    elif version == "$Latest":
        number = template["LatestVersionNumber"]
    else:
        number = int(version) if version.isdigit() else -1
    for found in template["Versions"]:
        if int(found["VersionNumber"]) == int(number):
            return dict(found)
    raise AwsError(
        "InvalidLaunchTemplateId.VersionNotFound",
        f"Could not find the specified version {version} for the launch template with ID"
        f" {template['LaunchTemplateId']}.",
    )
