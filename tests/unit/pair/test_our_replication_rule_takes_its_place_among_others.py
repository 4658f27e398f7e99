from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from functions.pair import app

OURS = app.rule("destination", "arn:aws-cn:kms:cn-north-1:123456789012:key/1")
ROLE = "arn:aws:iam::123456789012:role/ours"
OTHERS = st.lists(
    st.fixed_dictionaries(
        {"ID": st.text(min_size=1).filter(lambda name: name != "pilotlight"), "Priority": st.integers(0, 9)}
    ),
    unique_by=(lambda rule: rule["ID"], lambda rule: rule["Priority"]),
)


def test_everything_is_replicated_both_ways_and_in_time() -> None:
    assert OURS["Filter"] == {"Prefix": ""}
    assert OURS["SourceSelectionCriteria"]["ReplicaModifications"]["Status"] == "Enabled"
    assert OURS["SourceSelectionCriteria"]["SseKmsEncryptedObjects"]["Status"] == "Enabled"
    assert OURS["Destination"]["ReplicationTime"] == {"Status": "Enabled", "Time": {"Minutes": 15}}
    assert OURS["Destination"]["Metrics"]["Status"] == "Enabled"


def test_the_bucket_is_named_in_the_keys_partition() -> None:
    assert OURS["Destination"]["Bucket"] == "arn:aws-cn:s3:::destination"


def test_an_empty_bucket_gets_our_rule_and_our_role() -> None:
    assert app.merged(None, OURS, ROLE) == {"Role": ROLE, "Rules": [{**OURS, "Priority": 1}]}


def test_our_own_rule_is_replaced_and_our_role_put_right() -> None:
    old = {"Role": "arn:aws:iam::123456789012:role/gone", "Rules": [{"ID": "pilotlight", "Priority": 7}]}
    assert app.merged(old, OURS, ROLE) == {"Role": ROLE, "Rules": [{**OURS, "Priority": 7}]}


@given(OTHERS)
def test_rules_of_others_stay_whatever_they_are(others: list[app.Json]) -> None:
    config = app.merged({"Role": "theirs", "Rules": others}, OURS, ROLE)
    assert config["Rules"][:-1] == others
    assert config["Role"] == ("theirs" if others else ROLE)
    priorities = [rule["Priority"] for rule in config["Rules"]]
    assert len(set(priorities)) == len(priorities)


@given(OTHERS)
def test_merging_twice_is_merging_once(others: list[app.Json]) -> None:
    once = app.merged({"Role": "theirs", "Rules": others}, OURS, ROLE)
    assert app.merged(once, OURS, ROLE) == once
