"""Whether DR's copies of the secrets are good: of the source's version, under a key of DR's, and able to log in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.model import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotlight.model import Json, Login, SecretFacts


def problem(secret: str, here: SecretFacts | None, source: SecretFacts | None, login: Login, region: str) -> str:
    """Say what is wrong with a copy, or nothing.

    Parameters
    ----------
    here
        The copy as DR describes it; None where there is none.
    source
        The secret in its home region; None where that does not answer, or where this is no copy: then nothing is
        compared.
    login
        What became of logging in with it, in DR.
    region
        DR.
    """
    if here is None:
        return f"{secret} is not in {region}"
    if here.key and f":kms:{region}:" not in here.key and here.key.startswith("arn:"):
        return f"{secret} is under the key {here.key}, which is not of {region}"
    if source is not None and source.version != here.version:
        status = source.copies.get(region, "no copy is made")
        return f"{secret} is version {here.version} in {region} and {source.version} at home ({status})"
    if not login.logged_in:
        return f"{secret} does not log in: {login.detail or 'no reason given'}"
    if login.version and login.version != here.version:
        return f"{secret} was read as version {login.version}, and is {here.version}"
    return ""


def judged(
    found: Mapping[str, tuple[SecretFacts | None, SecretFacts | None, Login]], region: str, now: str, unanswered: str
) -> Json:
    """Say how the secrets are, for the note and for people.

    Parameters
    ----------
    found
        Secret to the copy, its source and its login.
    unanswered
        Why the sources were not asked, or did not answer; empty where they did.
    """
    problems = [text for secret, facts in found.items() if (text := problem(secret, *facts, region))]
    compared = unanswered or "the same versions as at home"
    good = f"each logs in to {region}'s database; {compared}"
    return {
        "at": now,
        "good": not problems,
        "told": "; ".join(problems) or good,
        "secrets": {
            secret: {"copy": as_json(here) if here else None, "source": as_json(source) if source else None}
            for secret, (here, source, _) in found.items()
        },
    }
