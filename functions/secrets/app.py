"""Looks whether DR's own copies of the secrets are good, so that nobody finds out on the day that they are not."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from pilotlight.aws import clients, database, faults, functions, metrics, notes, secret
from pilotlight.decide import secrets as decide
from pilotlight.errors import PilotLightError
from pilotlight.model import Login, Measure
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from pilotlight.model import Json, SecretFacts


def watch(call: Call) -> Json:
    """Compare DR's copies with their sources, and log in with them; note and count the answer."""
    environment = call.environment
    names, region = environment.names, environment.region
    here = {name: _here(name) for name in (names.secret, names.application_secret)}
    sources, unanswered = _sources(here)
    logins = _logins(call)
    found = {name: (here[name], sources.get(name), logins.get(name, Login())) for name in here}
    noted = decide.judged(found, region, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), unanswered)
    notes.write(environment.state_table, "secrets", noted)
    metrics.put(environment.name, [Measure("SecretsGood", float(noted["good"]), "Count")])
    return noted


def _here(name: str) -> SecretFacts | None:
    try:
        return secret.facts(name, clients.near("secretsmanager"))
    except ClientError as error:
        if faults.code(error) != "ResourceNotFoundException":
            raise
        return None


def _sources(here: dict[str, SecretFacts | None]) -> tuple[dict[str, SecretFacts], str]:
    """Ask the home region, which may be lost: then nothing is compared, and the copies may be good all the same."""
    found: dict[str, SecretFacts] = {}
    home = next((facts.home for facts in here.values() if facts and facts.home), "")
    if not home:
        return found, "no copies any more, so there is nothing to compare"
    try:
        for name, facts in here.items():
            if facts and facts.home:
                found[name] = secret.facts(name, clients.far("secretsmanager", facts.home))
    except (ClientError, BotoCoreError) as error:
        if not faults.is_silence(error):
            raise
        return {}, f"not compared, since {home} does not answer"
    return found, ""


def _logins(call: Call) -> dict[str, Login]:
    names = call.environment.names
    seen = database.describe(names.database, clients.near("rds"))
    if seen is None or not seen.host:
        reason = Login(detail=f"there is no database {names.database} to log in to")
        return dict.fromkeys((names.secret, names.application_secret), reason)
    order = {"action": "login", "database": {"host": seen.host, "port": seen.port}}
    try:
        answer = functions.ask(names.sql, order, clients.listening("lambda", call.environment.region))
    except (PilotLightError, ClientError, BotoCoreError) as error:
        reason = Login(detail=str(faults.sorted_into_family(error)))
        return dict.fromkeys((names.secret, names.application_secret), reason)
    return {name: Login(**told) for name, told in answer["logins"].items()}


handler = serve("secrets", {"watch": watch})
