"""The application's configuration, as its instance was given it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class MissingSettingError(Exception):
    """A variable that the application cannot do without is not set."""


@dataclass(frozen=True)
class Settings:
    """What ``/etc/pilotlight/environment`` says, and where this instance listens."""

    region: str
    instance_id: str
    host: str
    port: int
    secret_id: str
    endpoint_parameter: str
    port_parameter: str
    database: str
    bucket: str
    verify_path: str
    database_ca: str | None
    sick_mark: str | None
    deep_sick_mark: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables.

        Parameters
        ----------
        env
            Usually ``os.environ``.

        Returns
        -------
        Settings
            Complete.

        Raises
        ------
        MissingSettingError
            When a variable is missing; the message names it.
        """

        def need(name: str) -> str:
            if not (value := env.get(name)):
                raise MissingSettingError(f"the environment variable {name} is not set")
            return value

        return cls(
            region=need("AWS_REGION"),
            instance_id=env.get("INSTANCE_ID", "local"),
            host=env.get("INSTANCE_HOST", "127.0.0.1"),
            port=int(env.get("INSTANCE_PORT") or need("APP_PORT")),
            secret_id=need("DATABASE_SECRET_ID"),
            endpoint_parameter=need("DATABASE_ENDPOINT_PARAMETER"),
            port_parameter=need("DATABASE_PORT_PARAMETER"),
            database=need("DATABASE_NAME"),
            bucket=need("BUCKET"),
            verify_path=env.get("VERIFY_PATH", "/pilotlight/verify"),
            database_ca=env.get("DATABASE_CA"),
            sick_mark=env.get("INSTANCE_SICK_MARK"),
            deep_sick_mark=env.get("INSTANCE_DEEP_SICK_MARK"),
        )
