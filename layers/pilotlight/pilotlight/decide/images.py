"""Which image a region starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pilotlight.model import Image


def newest_complete(images: Iterable[Image]) -> Image | None:
    """Choose the newest image that is wholly there.

    A copy that was merely accepted is ``pending``, and one whose key was refused later is ``failed``: neither starts.
    """
    complete = [image for image in images if image.state == "available" and image.snapshots_complete]
    return max(complete, key=lambda image: (image.created, image.identifier), default=None)


def require(image: Image | None, environment: str, source: str, target: str) -> Image:
    """Insist on an image.

    Raises
    ------
    PreconditionFailed
        There is none; the message says how to get one.
    """
    if image is None:
        raise PreconditionFailed(
            f"no complete image of ours is in {target} (own AMIs, state 'available', tagged "
            f"pilotlight:environment={environment}): nothing was changed. Copy one from {source} with `make image`, "
            f"or tag an AMI that starts the application (aws ec2 create-tags --region {target} --resources ami-… "
            f"--tags Key=pilotlight:environment,Value={environment}), then start the failover again."
        )
    return image
