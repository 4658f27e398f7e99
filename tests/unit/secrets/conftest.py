from __future__ import annotations

from tests.unit.core.conftest import aws, environment, state_table

__all__ = ["aws", "environment", "state_table"]
