from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pilotlight.aws import parameter_store
from pilotlight.decide.parameters import MARK
from pilotlight.errors import FatalError
from tests.unit.core.conftest import DR, PRIMARY

if TYPE_CHECKING:
    from tests.unit.parameters.regions import Regions

DEEP = "/dev/" + "/".join(["a" * 60] * 13) + "/" + "b" * 150


@pytest.fixture(params=["event", "reconciliation"])
def carry(request: pytest.FixtureRequest, two: Regions) -> Any:
    """The two ways on which a parameter gets to the other side."""

    def carried(*names: str, region: str = PRIMARY) -> None:
        if request.param == "event":
            assert two.send(*names, region=region)["batchItemFailures"] == []
        else:
            assert two.reconcile(region)["failures"] == []

    return carried


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"Type": "StringList", "Value": "a,b,c"},
        {"Description": "what it is", "AllowedPattern": "^v.*$"},
        {"Tier": "Advanced", "Value": "x" * 8192},
        {"Type": "SecureString"},
        {"Type": "SecureString", "KeyId": "alias/dev-team"},
    ],
    ids=lambda more: "-".join(more) or "plain",
)
def test_a_parameter_crosses_as_it_is(two: Regions, carry: Any, more: dict[str, Any]) -> None:
    two.ssm().put_parameter(
        **{"Name": "/dev/app/x", "Type": "String", "Value": "v1", "Tags": [{"Key": "team", "Value": "a b"}]} | more
    )
    carry("/dev/app/x")
    source, copy = two.get("/dev/app/x", PRIMARY), two.get("/dev/app/x")
    for key in ("Value", "Type", "Tier"):
        assert copy[key] == source[key]
    for key in ("Description", "AllowedPattern"):
        assert (copy[key] or "") == (source[key] or "")
    assert copy["Tags"] == {"team": "a b", MARK: PRIMARY}


def test_a_secret_is_under_the_other_regions_key(two: Regions, carry: Any) -> None:
    two.put("/dev/app/ours", "v", Type="SecureString", KeyId=f"arn:aws:kms:{PRIMARY}:1:key/team")
    two.put("/dev/app/aws", "v", Type="SecureString")
    carry("/dev/app/ours", "/dev/app/aws")
    assert two.get("/dev/app/ours")["KeyId"] == "alias/dev-pilotlight"
    assert two.get("/dev/app/aws")["KeyId"] == "alias/aws/ssm"


def test_a_copy_keeps_the_key_it_has(two: Regions, carry: Any) -> None:
    two.put("/dev/app/x", "v1", DR, Type="SecureString", KeyId="alias/dev-chosen")
    two.put("/dev/app/x", "v2", Type="SecureString")
    carry("/dev/app/x")
    assert (two.value("/dev/app/x"), two.get("/dev/app/x")["KeyId"]) == ("v2", "alias/dev-chosen")


def test_names_up_to_the_limits_cross(two: Regions, carry: Any) -> None:
    assert len(DEEP) > 940
    assert DEEP.count("/") == 15
    two.put(DEEP, "v")
    carry(DEEP)
    assert two.value(DEEP) == "v"


def test_what_is_taken_away_is_taken_away(two: Regions, carry: Any) -> None:
    two.put("/dev/app/x", "v1", Description="old", AllowedPattern="^v")
    two.ssm().add_tags_to_resource(
        ResourceType="Parameter", ResourceId="/dev/app/x", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    )
    carry("/dev/app/x")
    two.ssm().remove_tags_from_resource(ResourceType="Parameter", ResourceId="/dev/app/x", TagKeys=["a"])
    two.put("/dev/app/x", "n", Description="", AllowedPattern="")
    carry("/dev/app/x")
    copy = two.get("/dev/app/x")
    assert (copy["Value"], copy["Description"], copy["AllowedPattern"]) == ("n", None, None)
    assert copy["Tags"] == {"b": "2", MARK: PRIMARY}


def test_another_type_takes_the_place_of_a_copy(two: Regions, carry: Any) -> None:
    two.put("/dev/app/x", "v")
    carry("/dev/app/x")
    two.ssm().delete_parameter(Name="/dev/app/x")
    two.put("/dev/app/x", "v", Type="SecureString")
    carry("/dev/app/x")
    assert (two.get("/dev/app/x")["Type"], two.value("/dev/app/x")) == ("SecureString", "v")


@pytest.mark.parametrize("back", [True, False])
def test_a_copy_whose_successor_is_refused_is_put_back(
    two: Regions, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    two.put("/dev/app/x", "v", Description="d")
    two.reconcile()
    before = two.get("/dev/app/x")
    two.ssm().delete_parameter(Name="/dev/app/x")
    two.put("/dev/app/x", "v", Type="SecureString")
    real = parameter_store.create

    def create(parameter: Any, client: Any) -> bool:
        if parameter.type == "SecureString" or not back:
            raise FatalError(f"creating {parameter.name}: InvalidKeyId")
        return real(parameter, client)

    monkeypatch.setattr(parameter_store, "create", create)
    (failure,) = two.reconcile()["failures"]
    assert "InvalidKeyId" in failure["reason"]
    assert ("NOT back" in failure["reason"]) is not back
    assert two.get("/dev/app/x") == (before if back else None)


def test_a_name_that_still_counts_as_taken_is_made_again_later(two: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    two.put("/dev/app/x", "v")
    two.reconcile()
    two.ssm().delete_parameter(Name="/dev/app/x")
    two.put("/dev/app/x", "v", Type="SecureString")
    with monkeypatch.context() as soon:
        soon.setattr(parameter_store, "create", lambda *_: False)
        assert two.send("/dev/app/x")["batchItemFailures"]
    assert two.send("/dev/app/x")["batchItemFailures"] == []
    assert two.get("/dev/app/x")["Type"] == "SecureString"


def test_labels_stand_for_the_same_values(two: Regions, carry: Any) -> None:
    two.put("/dev/app/x", "v1")
    two.put("/dev/app/x", "v2")
    two.put("/dev/app/x", "v3")
    two.ssm().label_parameter_version(Name="/dev/app/x", ParameterVersion=1, Labels=["stable"])
    two.ssm().label_parameter_version(Name="/dev/app/x", ParameterVersion=3, Labels=["next", "test"])
    carry("/dev/app/x")
    assert two.get("/dev/app/x")["Labels"] == {"stable": "v1", "next": "v3", "test": "v3"}
    assert two.value("/dev/app/x") == "v3"
    two.ssm().label_parameter_version(Name="/dev/app/x", ParameterVersion=2, Labels=["stable"])
    two.ssm().unlabel_parameter_version(Name="/dev/app/x", ParameterVersion=3, Labels=["test"])
    carry("/dev/app/x")
    assert two.get("/dev/app/x")["Labels"] == {"stable": "v2", "next": "v3"}
    assert two.value("/dev/app/x") == "v3"


def test_an_old_value_stands_as_the_present_one_between_two_writings_alone(two: Regions, carry: Any) -> None:
    two.put("/dev/app/x", "old")
    two.put("/dev/app/x", "new")
    carry("/dev/app/x")
    two.ssm().label_parameter_version(Name="/dev/app/x", ParameterVersion=1, Labels=["stable"])
    seen: list[tuple[str, str | None]] = []

    def after(model: Any, **_: Any) -> None:
        if model.name in ("PutParameter", "LabelParameterVersion"):
            seen.append((model.name, two.value("/dev/app/x")))

    two.ssm(DR).meta.events.register("after-call", after)
    carry("/dev/app/x")
    assert seen == [("PutParameter", "old"), ("PutParameter", "new"), ("LabelParameterVersion", "new")]


def test_the_present_value_is_put_back_when_an_old_one_is_refused(
    two: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("v1", "v2", "v3"):
        two.put("/dev/app/x", value)
    two.reconcile()
    for number, label in ((1, "a"), (2, "b")):
        two.ssm().label_parameter_version(Name="/dev/app/x", ParameterVersion=number, Labels=[label])
    real, refused = parameter_store.overwrite, []

    def overwrite(parameter: Any, client: Any, **more: Any) -> int:
        if parameter.value == "v2":
            refused.append(parameter.value)
            raise FatalError("writing /dev/app/x: ValidationException")
        return real(parameter, client, **more)

    monkeypatch.setattr(parameter_store, "overwrite", overwrite)
    assert two.reconcile()["failed"] == 1
    assert refused
    assert two.value("/dev/app/x") == "v3"


def test_nothing_old_is_written_where_the_present_one_could_then_be_refused(two: Regions) -> None:
    """A hundred versions are kept, and one that has a label is not dropped for a new one."""
    two.put("/dev/app/x", "old")
    two.put("/dev/app/x", "v")
    two.reconcile()
    for number in range(97):
        two.put("/dev/app/x", str(number))
        two.reconcile(labels=False)
    two.put("/dev/app/x", "present")
    two.reconcile(labels=False)
    # The copy's oldest version is v.
    two.ssm().label_parameter_version(Name="/dev/app/x", ParameterVersion=2, Labels=["oldest"])
    two.ssm().label_parameter_version(Name="/dev/app/x", ParameterVersion=1, Labels=["stable"])

    def copy() -> tuple[str, int, dict[str, str]]:
        versions = parameter_store.versions("/dev/app/x", two.ssm(DR))
        return versions[-1].value, versions[-1].version, {name: one.value for one in versions for name in one.labels}

    (failure,) = two.reconcile()["failures"]
    assert "stable stands for an older value" in failure["reason"]
    assert copy() == ("present", 99, {"oldest": "v"})
    # Without that label there is room.
    two.ssm().unlabel_parameter_version(Name="/dev/app/x", ParameterVersion=2, Labels=["oldest"])
    assert two.reconcile()["failed"] == 0
    assert copy() == ("present", 101, {"stable": "old"})


def test_a_deleted_one_is_deleted(two: Regions, carry: Any) -> None:
    two.put("/dev/app/x", "v")
    carry("/dev/app/x")
    two.ssm().delete_parameter(Name="/dev/app/x")
    carry("/dev/app/x")
    assert two.value("/dev/app/x") is None


def test_what_this_sync_has_not_made_is_never_deleted(two: Regions, carry: Any) -> None:
    two.put("/dev/app/alone", "v", DR)
    two.put("/dev/app/both", "v")
    two.put("/dev/app/both", "v", DR)
    carry("/dev/app/alone", "/dev/app/both")
    two.ssm().delete_parameter(Name="/dev/app/both")
    carry("/dev/app/alone", "/dev/app/both")
    assert (two.value("/dev/app/alone"), two.value("/dev/app/both")) == ("v", "v")


def test_what_belongs_to_a_region_stays_there(two: Regions, carry: Any) -> None:
    two.configure(
        sync_exclude="/dev/local,/dev/app/endpoint",
        sync_rewrite='{"/dev/app/bucket": {"eu-central-1": "dr-bucket"}, "/dev/app/own": {"eu-west-1": "mine"}}',
    )
    names = (
        "/dev/local/x",
        "/dev/app/endpoint",
        "/dev/app/own",
        "/prod/app/x",
        "/devil/x",
        "/dev/pilotlight/x",
        "loose",
    )
    for name in names:
        two.put(name, "v")
    two.put("/dev/app/image", "ami-12345678", DataType="aws:ec2:image")
    two.put("/dev/app/bucket", "primary-bucket")
    carry(*names, "/dev/app/image", "/dev/app/bucket")
    assert {name: two.value(name) for name in (*names, "/dev/app/image")} == dict.fromkeys((*names, "/dev/app/image"))
    assert two.value("/dev/app/bucket") == "dr-bucket"
    two.put("/dev/app/bucket", "another")
    carry("/dev/app/bucket")
    assert two.get("/dev/app/bucket")["Version"] == 1


def test_everything_may_be_named(two: Regions, carry: Any) -> None:
    """Names without a slash too. What is never carried stays what it is."""
    two.configure(sync_paths="/")
    two.put("loose", "v")
    two.put("/prod/x", "v")
    # Nor what another environment's orchestrator says of this region.
    own = ("/dev/pilotlight/image-id", "/prod/pilotlight/active-region", "/prod/pilotlight/config/cool-down-seconds")
    for name in own:
        two.put(name, "v")
    carry("loose", "/prod/x", *own)
    assert (two.value("loose"), two.value("/prod/x")) == ("v", "v")
    assert [two.value(name) for name in own] == [None, None, None]


def test_more_paths_cross_where_they_are_named(two: Regions, carry: Any) -> None:
    two.configure(sync_paths="/team")
    two.put("/team/x", "v")
    two.put("/teams/x", "v")
    carry("/team/x", "/teams/x")
    assert (two.value("/team/x"), two.value("/teams/x")) == ("v", None)
