from __future__ import annotations

from lab.emulator.rds import parameters


def test_a_replica_is_read_only_and_a_source_is_not_unless_the_group_says_so() -> None:
    assert parameters.options({}, replica=True)["read_only"] == "1"
    assert parameters.options({}, replica=False)["read_only"] == "0"
    assert parameters.options({"read_only": "1"}, replica=False)["read_only"] == "1"
    assert parameters.options({"read_only": "{TrueIfReplica}"}, replica=True)["read_only"] == "1"


def test_mysqls_names_and_values_become_mariadbs() -> None:
    options = parameters.options(
        {"replica_parallel_workers": "4", "time_zone": "UTC", "collation_server": "utf8mb4_0900_ai_ci"}, replica=False
    )
    assert options["slave_parallel_threads"] == "4"
    assert options["time_zone"] == "+00:00"
    assert options["collation_server"] == "utf8mb4_unicode_ci"


def test_what_mariadb_lacks_is_left_out() -> None:
    options = parameters.options(
        {"gtid-mode": "ON", "max_connections": "{DBInstanceClassMemory/12582880}", "innodb_no_such": "1"}, replica=False
    )
    assert set(options) == {"read_only"}
    assert parameters.ignored({"gtid-mode": "ON", "innodb_no_such": "1"}) == ["innodb_no_such"]


def test_a_static_parameter_is_known_as_one() -> None:
    assert parameters.is_static("gtid-mode")
    assert not parameters.is_static("require_secure_transport")
    assert not parameters.is_static("innodb_no_such")
