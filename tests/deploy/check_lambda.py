"""The Lambda template and the IAM policies: cfn-lint takes them, and they promise what their words say."""

import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

from support import DEPLOY, ROOT, tool

TEMPLATE = DEPLOY / "lambda" / "template.yaml"
POLICIES = DEPLOY / "iam"
# What deploy/iam was made for.
EXAMPLE = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "111122223333",
    "AWS::URLSuffix": "amazonaws.com",
    "PicturesBucket": "photos",
    "PicturesPrefix": "",
    "ResultsBucket": "photos-analyses",
    "ResultsPrefix": "results/",
    "ManifestsPrefix": "manifests/",
    "ReportsPrefix": "reports/",
    "EventSource": "queue",
    "Architecture": "arm64",
}
NOTHING = object()


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def long_form(loader: Loader, suffix: str, node: yaml.Node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        value = value.split(".") if suffix == "GetAtt" else value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", long_form)


class Stack:
    """The template's resources as CloudFormation makes them from parameters."""

    def __init__(self, **given):
        self.template = yaml.load(TEMPLATE.read_text(), Loader)
        defaults = {name: of["Default"] for name, of in self.template["Parameters"].items() if "Default" in of}
        self.values = {**defaults, **EXAMPLE, **given}
        resources = self.template["Resources"].items()
        self.resources = {name: self.resolve(of) for name, of in resources if self.holds(of.get("Condition"))}

    def holds(self, name) -> bool:
        return name is None or self.test(self.template["Conditions"][name])

    def test(self, condition) -> bool:
        [(kind, parts)] = condition.items()
        if kind == "Fn::Equals":
            left, right = map(self.resolve, parts)
            return left == right
        assert kind == "Fn::Not", kind
        return not self.test(parts[0])

    def resolve(self, part):
        if isinstance(part, list):
            return [value for value in map(self.resolve, part) if value is not NOTHING]
        if not isinstance(part, dict):
            return part
        if len(part) == 1:
            [(kind, inside)] = part.items()
            if kind == "Ref":
                return NOTHING if inside == "AWS::NoValue" else self.values.get(inside, f"<{inside}>")
            if kind == "Fn::GetAtt":
                return f"<{'.'.join(inside)}>"
            if kind == "Fn::If":
                condition, yes, no = inside
                return self.resolve(yes if self.holds(condition) else no)
            if kind == "Fn::Sub":
                text, own = inside if isinstance(inside, list) else (inside, {})
                known = {**self.values, **{name: self.resolve(value) for name, value in own.items()}}
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(known.get(found[1], f"<{found[1]}>")), text)
        resolved = {key: self.resolve(value) for key, value in part.items()}
        return {key: value for key, value in resolved.items() if value is not NOTHING}

    def properties(self, name: str) -> dict:
        return self.resources[name]["Properties"]

    def statements(self, role: str) -> dict[str, dict]:
        """Everything that a role may do, by Sid."""
        documents = [policy["PolicyDocument"] for policy in self.properties(role)["Policies"]]
        others = (of["Properties"] for of in self.resources.values() if of["Type"] == "AWS::IAM::RolePolicy")
        documents += [of["PolicyDocument"] for of in others if of["RoleName"] == f"<{role}>"]
        found = [statement for document in documents for statement in document["Statement"]]
        by_name = {statement["Sid"]: statement for statement in found}
        assert len(by_name) == len(found), "two statements of one name"
        return by_name


def lint(template: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [tool("cfn-lint", "scripts/test-tools"), *arguments, "--include-checks", "I", "--", str(template)]
    return subprocess.run(command, capture_output=True, text=True)


def faults(policies: list[dict]) -> list[list[str]]:
    """What cfn-lint says of each policy, as part of a template: a role's trust, or a managed policy."""
    resources = {}
    for number, of in enumerate(policies):
        is_trust = "Principal" in of["Statement"][0]
        kind, name = ("Role", "AssumeRolePolicyDocument") if is_trust else ("ManagedPolicy", "PolicyDocument")
        resources[f"Policy{number}"] = {"Type": f"AWS::IAM::{kind}", "Properties": {name: of}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policies.json"
        file.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}))
        done = lint(file, "--format", "json")
    found = [[] for _ in policies]
    for fault in json.loads(done.stdout):
        path = fault["Location"]["Path"]
        assert path[:1] == ["Resources"], fault
        found[int(path[1].removeprefix("Policy"))].append(fault["Message"])
    return found


def policy(name: str) -> dict:
    return json.loads((POLICIES / name).read_text())


def example_policies() -> dict[str, dict]:
    """The policies of deploy/iam and those of the pages."""
    found = {path.name: json.loads(path.read_text()) for path in sorted(POLICIES.glob("*.json"))}
    for page in [ROOT / "README.md", ROOT / "docs" / "AWS.md"]:
        blocks = re.findall(r"```json\n(\{\n  \"Version\".*?)```", page.read_text(), re.S)
        for number, block in enumerate(blocks):
            block = block.replace("YOUR_ACCOUNT", "111122223333").replace("YOUR_BUCKET", "photos")
            found[f"{page.name} {number}"] = json.loads(re.sub(r"[A-Z]+_REGION(_\d)?", "us-east-1", block))
    return found


class Lint(unittest.TestCase):
    def test_the_template(self):
        done = lint(TEMPLATE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_policy(self):
        found = example_policies()
        self.assertGreater(len(found), 4)
        for name, messages in zip(found, faults(list(found.values()))):
            with self.subTest(policy=name):
                self.assertFalse(messages)

    def test_a_wrong_policy_is_seen(self):
        right = policy("server.json")["Statement"][0]
        wrong = [
            {"Action": "s3:GetObjects"},
            {"Action": "s3"},
            {"Resource": "photos/*"},
            {"Condition": {"StringAlike": {"s3:prefix": "a"}}},
            {"Sid": "Read pictures"},
        ]
        policies = [{"Version": "2012-10-17", "Statement": [{**right, **change}]} for change in wrong]
        for change, messages in zip(wrong, faults(policies)):
            with self.subTest(change=change):
                self.assertTrue(messages, "cfn-lint says nothing")


class Leave(unittest.TestCase):
    def assertSame(self, found: dict, wanted: dict):
        def canonical(statement: dict) -> dict:
            listed = {key: [value] if isinstance(value, str) else value for key, value in statement.items()}
            condition = statement.get("Condition", {})
            listed["Condition"] = {
                operator: {key: sorted([value] if isinstance(value, str) else value) for key, value in keys.items()}
                for operator, keys in condition.items()
            }
            listed.update({key: sorted(listed[key]) for key in ("Action", "Resource") if key in listed})
            return listed

        self.assertEqual(canonical(found), canonical(wanted))

    def test_the_function_may_do_what_the_command_says_and_no_more(self):
        statements = Stack().statements("FunctionRole")
        for wanted in policy("lambda.json")["Statement"]:
            with self.subTest(sid=wanted["Sid"]):
                self.assertSame(statements.pop(wanted["Sid"]), wanted)
        # What a function needs to run at all, whatever it does.
        self.assertEqual(set(statements), {"WriteLog", "TakeMessages"})
        self.assertEqual(statements["WriteLog"]["Resource"], "<LogGroup.Arn>")
        self.assertEqual(statements["TakeMessages"]["Resource"], "<Queue.Arn>")
        managed = Stack().properties("FunctionRole").get("ManagedPolicyArns")
        self.assertIsNone(managed)

    def test_keys_and_a_prefix_are_as_in_the_command_too(self):
        key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
        stack = Stack(PicturesPrefix="uploads/", PicturesKeyArn=key, ResultsKeyArn=key, EventSource="none")
        statements = stack.statements("FunctionRole")
        for wanted in policy("lambda-keys.json")["Statement"]:
            with self.subTest(sid=wanted["Sid"]):
                self.assertSame(statements.pop(wanted["Sid"]), wanted)
        self.assertEqual(set(statements), {"WriteLog"})

    def test_the_role_of_batch_operations_is_as_in_the_command(self):
        stack = Stack()
        function = policy("batch-operations.json")["Statement"][0]["Resource"]
        statements = json.loads(json.dumps(stack.statements("BatchOperationsRole")).replace("<Function.Arn>", function))
        for wanted in policy("batch-operations.json")["Statement"]:
            self.assertSame(statements.pop(wanted["Sid"]), wanted)
        self.assertFalse(statements)
        [trust] = stack.properties("BatchOperationsRole")["AssumeRolePolicyDocument"]["Statement"]
        [wanted] = policy("batch-operations-trust.json")["Statement"]
        self.assertSame(trust, wanted)

    def test_another_model_is_the_given_policys_matter(self):
        given = "arn:aws:iam::111122223333:policy/models"
        stack = Stack(ModelPolicyArn=given)
        self.assertFalse([sid for sid in stack.statements("FunctionRole") if "Invoke" in sid])
        self.assertEqual(stack.properties("FunctionRole")["ManagedPolicyArns"], [given])

    def test_what_is_allowed_is_what_the_function_is_told(self):
        variables = Stack().properties("Function")["Environment"]["Variables"]
        self.assertEqual(variables["SIGHTLINE_RESULTS"], "s3://photos-analyses/results/")
        self.assertEqual(variables["SIGHTLINE_MODEL"], variables["SIGHTLINE_ALLOWED_MODELS"])
        made = Stack(ResultsBucket="").properties("Function")["Environment"]["Variables"]
        self.assertEqual(made["SIGHTLINE_RESULTS"], "s3://<NewResultsBucket>/results/")


class Events(unittest.TestCase):
    def test_messages_outlive_the_function_and_only_failures_come_again(self):
        stack = Stack(EventSource="queue")
        timeout = stack.properties("Function")["Timeout"]
        queue, mapping = stack.properties("Queue"), stack.properties("QueueToFunction")
        self.assertGreaterEqual(queue["VisibilityTimeout"], 6 * timeout)
        self.assertEqual(mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        self.assertEqual(queue["RedrivePolicy"]["deadLetterTargetArn"], "<Failures.Arn>")
        self.assertGreaterEqual(queue["RedrivePolicy"]["maxReceiveCount"], 5)
        self.assertEqual(stack.properties("NewPictures")["Targets"][0]["Arn"], "<Queue.Arn>")
        self.assertNotIn("EventsMayInvoke", stack.resources)

    def test_the_queue_never_outruns_the_function(self):
        stack = Stack(EventSource="queue", Concurrency=7)
        reserved = stack.properties("Function")["ReservedConcurrentExecutions"]
        self.assertEqual(reserved, stack.properties("QueueToFunction")["ScalingConfig"]["MaximumConcurrency"])

    def test_events_call_the_function_and_failures_are_kept(self):
        stack = Stack(EventSource="events")
        self.assertEqual(stack.properties("NewPictures")["Targets"][0]["Arn"], "<Function.Arn>")
        self.assertEqual(stack.properties("EventsMayInvoke")["SourceArn"], "<NewPictures.Arn>")
        on_failure = stack.properties("FailedEvents")["DestinationConfig"]["OnFailure"]["Destination"]
        self.assertEqual(on_failure, stack.statements("FunctionRole")["KeepFailures"]["Resource"])
        self.assertNotIn("Queue", stack.resources)

    def test_without_events_there_is_neither_queue_nor_rule(self):
        kinds = {of["Type"] for of in Stack(EventSource="none").resources.values()}
        self.assertFalse(kinds & {"AWS::SQS::Queue", "AWS::Events::Rule", "AWS::Lambda::EventSourceMapping"})

    def test_only_the_bucket_and_the_prefix_are_watched(self):
        pattern = Stack(PicturesPrefix="uploads/").properties("NewPictures")["EventPattern"]
        self.assertEqual(pattern["detail-type"], ["Object Created"])
        self.assertEqual(pattern["detail"], {"bucket": {"name": ["photos"]}, "object": {"key": [{"prefix": "uploads/"}]}})
        every = Stack().properties("NewPictures")["EventPattern"]["detail"]
        self.assertEqual(every, {"bucket": {"name": ["photos"]}})


class Keeping(unittest.TestCase):
    def test_results_stay_and_claims_do_not(self):
        stack = Stack(ResultsBucket="")
        self.assertEqual(stack.resources["NewResultsBucket"]["DeletionPolicy"], "Retain")
        rules = stack.properties("NewResultsBucket")["LifecycleConfiguration"]["Rules"]
        over_results = [rule for rule in rules if "results/".startswith(rule.get("Prefix", "")) and "ExpirationInDays" in rule]
        self.assertEqual([rule["Id"] for rule in over_results], ["StrayClaims"])
        # A claim is JSON of two UUIDs and a time; the least result says more.
        self.assertEqual(over_results[0]["ObjectSizeLessThan"], "160")
        self.assertNotIn("NewResultsBucket", Stack().resources)

    def test_a_queue_of_failures_has_an_alarm(self):
        for source in ("queue", "events"):
            stack = Stack(EventSource=source, AlarmTopicArn="arn:aws:sns:us-east-1:111122223333:on-call")
            alarms = [of["Properties"] for of in stack.resources.values() if of["Type"] == "AWS::CloudWatch::Alarm"]
            watched = {(alarm["MetricName"], alarm["Dimensions"][0]["Value"]) for alarm in alarms}
            self.assertIn(("ApproximateNumberOfMessagesVisible", "<Failures.QueueName>"), watched)
            self.assertIn(("Errors", "<Function>"), watched)
            for alarm in alarms:
                self.assertEqual(alarm["AlarmActions"], ["arn:aws:sns:us-east-1:111122223333:on-call"])


class Package(unittest.TestCase):
    def test_the_template_takes_what_the_script_builds(self):
        code = (TEMPLATE.parent / yaml.load(TEMPLATE.read_text(), Loader)["Resources"]["Function"]["Properties"]["Code"]).resolve()
        self.assertEqual(code, (ROOT / "target" / "lambda" / "sightline.zip").resolve())
        self.assertIn("target/lambda/sightline.zip", (ROOT / "scripts" / "build-lambda").read_text())


class Pages(unittest.TestCase):
    def test_parameters_of_the_commands_are_the_templates(self):
        known = set(yaml.load(TEMPLATE.read_text(), Loader)["Parameters"])
        text = (TEMPLATE.parent / "README.md").read_text()
        # Shells' own variables are capitals; a query compares with two signs.
        named = set(re.findall(r"\b([A-Z][a-z]\w*)=(?!=)", text))
        self.assertGreater(len(named), 3)
        self.assertFalse(named - known, "the page names parameters that the template does not have")


if __name__ == "__main__":
    unittest.main(verbosity=2)
