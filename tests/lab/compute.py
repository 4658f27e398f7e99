"""What the compute tests share: an application behind a load balancer, made through the API of a running lab."""

from __future__ import annotations

import base64
import http.client
import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

USER_DATA = """#!/bin/bash
cat > /etc/pilotlight/environment <<'END'
ENVIRONMENT=dev
AWS_REGION={region}
APP_PORT=8080
DATABASE_SECRET_ID=dev/application
DATABASE_ENDPOINT_PARAMETER=/dev/pilotlight/database-endpoint
DATABASE_PORT_PARAMETER=/dev/pilotlight/database-port
DATABASE_NAME=app
BUCKET=dev-app
END
"""


def control(lab: RunningLab, name: str, **order: Any) -> Any:
    """Call a control of the group ``compute`` and return its answer."""
    return lab.control("compute", name, **order)


def base_image(lab: RunningLab, region: str) -> str:
    """Return the image that a region has from the start."""
    found = lab.client("ec2", region).describe_images(
        Owners=["self"], Filters=[{"Name": "name", "Values": ["lab-base"]}]
    )["Images"]
    return str(found[0]["ImageId"])


class Stage:
    """Names, a launch template and a group with a load balancer, in one region of a lab."""

    def __init__(self, lab: RunningLab, region: str) -> None:
        self.lab = lab
        self.region = region
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.ec2 = lab.client("ec2", region)
        self.groups = lab.client("autoscaling", region)
        self.balancers = lab.client("elbv2", region)
        self.port = lab.port + 10
        self.template = self.make_template()
        self.target_group = ""
        self._balancer = ""

    def make_template(self) -> str:
        user_data = base64.b64encode(USER_DATA.format(region=self.region).encode()).decode()
        data = {"ImageId": base_image(self.lab, self.region), "InstanceType": "t3.micro", "UserData": user_data}
        made = self.ec2.create_launch_template(LaunchTemplateName=self.name, LaunchTemplateData=data)
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def make_load_balancer(self) -> None:
        self._balancer = self.balancers.create_load_balancer(Name=self.name)["LoadBalancers"][0]["LoadBalancerArn"]
        self.target_group = self.balancers.create_target_group(
            Name=self.name,
            Protocol="HTTP",
            Port=8080,
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=10,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.balancers.create_listener(
            LoadBalancerArn=self._balancer,
            Protocol="HTTP",
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group}],
        )

    def make_group(self, **sizes: int) -> None:
        self.groups.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            LaunchTemplate={"LaunchTemplateId": self.template, "Version": "1"},
            AvailabilityZones=[f"{self.region}{letter}" for letter in "abc"],
            HealthCheckType="ELB",
            # A process takes its real time to start, and a second is fifty of these.
            HealthCheckGracePeriod=600,
            **({"TargetGroupARNs": [self.target_group]} if self.target_group else {}),
            **sizes,
        )

    def update(self, **change: Any) -> None:
        self.groups.update_auto_scaling_group(AutoScalingGroupName=self.name, **change)

    def group(self) -> dict[str, Any]:
        answer = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        found: dict[str, Any] = answer["AutoScalingGroups"][0]
        return found

    def in_service(self) -> set[str]:
        return {each["InstanceId"] for each in self.group()["Instances"] if each["LifecycleState"] == "InService"}

    def healthy(self) -> set[str]:
        answer = self.balancers.describe_target_health(TargetGroupArn=self.target_group)
        return {
            each["Target"]["Id"]
            for each in answer["TargetHealthDescriptions"]
            if each["TargetHealth"]["State"] == "healthy"
        }

    def activities(self) -> list[dict[str, Any]]:
        answer = self.groups.describe_scaling_activities(AutoScalingGroupName=self.name)
        return list(answer["Activities"])

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return what the lab says of the group's instances, by id."""
        ours = {each["InstanceId"] for each in self.group()["Instances"]}
        return {each["id"]: each for each in control(self.lab, "status")["instances"] if each["id"] in ours}

    def ask(self, path: str = "/health") -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body.startswith(b"{") else {}
        finally:
            connection.close()

    def close(self) -> None:
        for fault, repaired in (("sick-instances", {"sick": False}), ("launch-failures", {"code": None})):
            control(self.lab, fault, region=self.region, **repaired)
        if self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]:
            self.groups.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)
        if self._balancer:
            for listener in self.balancers.describe_listeners(LoadBalancerArn=self._balancer)["Listeners"]:
                self.balancers.delete_listener(ListenerArn=listener["ListenerArn"])
            self.balancers.delete_load_balancer(LoadBalancerArn=self._balancer)
            self.balancers.delete_target_group(TargetGroupArn=self.target_group)
        self.ec2.delete_launch_template(LaunchTemplateId=self.template)
