"""The Helm chart: it lints, renders, fits Kubernetes' schemas, and keeps what it promises."""

import re
import tomllib
import unittest

import helm_python
import kubernetes_validate
import yaml

from support import DEPLOY, ROOT, seconds, settings_in_code

CHART = DEPLOY / "helm" / "sightline"
# The oldest version that Chart.yaml takes, and the newest that has schemas here.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
WITHOUT_SCHEMA = {"ServiceMonitor"}
IDENTITY = {"identity": {"allowAnonymous": True}}
IMAGE = {"image": {"repository": "registry.example.org/sightline"}}


def value_files() -> dict[str, dict]:
    files = {path.name: yaml.safe_load(path.read_text()) for path in sorted((CHART / "ci").glob("*.yaml"))}
    assert files, "no value files to render with"
    return files


def render(values: dict) -> list[dict]:
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(values, name="release", namespace="vision")
    texts = [text for name, text in rendered.items() if name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def of(manifests: list[dict], kind: str) -> list[dict]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod(manifests: list[dict]) -> dict:
    (deployment,) = of(manifests, "Deployment")
    return deployment["spec"]["template"]


def container(manifests: list[dict]) -> dict:
    (only,) = pod(manifests)["spec"]["containers"]
    return only


def environment(manifests: list[dict]) -> dict[str, str]:
    listed = container(manifests)["env"]
    names = [variable["name"] for variable in listed]
    assert len(names) == len(set(names)), f"a variable is set twice: {sorted(names)}"
    return {variable["name"]: variable["value"] for variable in listed}


def charts_settings() -> set[str]:
    """The server's variables that the chart sets, with any of the files of values."""
    names = set().union(*(environment(render(values)) for values in value_files().values()))
    found = {name for name in names if name.startswith("SIGHTLINE_")}
    assert len(found) > 20, found
    return found


def each(check):
    """Runs a check of values and what they render to with every file of values."""

    def run(self):
        for name, values in value_files().items():
            with self.subTest(values=name):
                check(self, values, render(values))

    return run


class EveryValueFile(unittest.TestCase):
    """What holds whatever the values are."""

    @each
    def test_lints(self, values, manifests):
        report = helm_python.lint(CHART, values, strict=True)
        findings = [message for message in report["messages"] if message["severity"] > 1]
        self.assertEqual((findings, report["errors"]), ([], []))

    @each
    def test_fits_the_schemas_of_kubernetes(self, values, manifests):
        for manifest in manifests:
            for version in VERSIONS if manifest["kind"] not in WITHOUT_SCHEMA else []:
                with self.subTest(kind=manifest["kind"], version=version):
                    kubernetes_validate.validate(manifest, version, strict=True)

    @each
    def test_is_in_the_releases_namespace(self, values, manifests):
        self.assertEqual({manifest["metadata"].get("namespace") for manifest in manifests}, {"vision"})

    @each
    def test_runs_with_the_least_rights(self, values, manifests):
        spec, context = pod(manifests)["spec"], container(manifests)["securityContext"]
        self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
        self.assertEqual(spec["securityContext"]["runAsUser"], 65532)
        self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertIs(context["readOnlyRootFilesystem"], True)
        self.assertIs(context["allowPrivilegeEscalation"], False)
        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
        self.assertIs(spec["automountServiceAccountToken"], False)
        self.assertIs(spec["enableServiceLinks"], False, "a service's SIGHTLINE_PORT would look like a setting")

    @each
    def test_the_image_does_not_move(self, values, manifests):
        fixed = r"^registry\.example\.org/sightline(:[0-9][\w.-]*|@sha256:[0-9a-f]{64})$"
        self.assertRegex(container(manifests)["image"], fixed)

    @each
    def test_the_grace_period_has_room_for_the_drain(self, values, manifests):
        variables = environment(manifests)
        sleep = container(manifests)["lifecycle"]["preStop"]["sleep"]["seconds"]
        pause, drain = seconds(variables["SIGHTLINE_DRAIN_PAUSE"]), seconds(variables["SIGHTLINE_DRAIN_TIMEOUT"])
        grace = pod(manifests)["spec"]["terminationGracePeriodSeconds"]
        self.assertGreater(grace, sleep + pause + drain)
        self.assertGreaterEqual(drain, seconds(variables["SIGHTLINE_REQUEST_TIMEOUT"]))
        if values.get("drain"):
            self.assertEqual(grace, sum(values["drain"].values()))

    @each
    def test_probes_reach_what_they_ask(self, values, manifests):
        ready, alive = container(manifests)["readinessProbe"], container(manifests)["livenessProbe"]
        ports = {port["name"]: port["containerPort"] for port in container(manifests)["ports"]}
        variables = environment(manifests)
        if "SIGHTLINE_TLS_CERT" in variables:
            self.assertEqual(ready["httpGet"], {"path": "/readyz", "port": "admin"}, "gRPC probes speak no TLS")
        else:
            self.assertEqual(ready["grpc"], {"port": 50051, "service": ""})
        self.assertNotIn("grpc", alive, "NOT_SERVING is no reason for a restart")
        port = alive.get("httpGet", alive.get("tcpSocket"))["port"]
        self.assertIn(port, ports)
        self.assertEqual(variables["SIGHTLINE_LISTEN"].rpartition(":")[2], str(ports["grpc"]))
        admin = variables["SIGHTLINE_ADMIN_LISTEN"]
        self.assertEqual(admin == "off", "admin" not in ports)
        if admin != "off":
            self.assertEqual(admin.rpartition(":")[2], str(ports["admin"]))

    @each
    def test_the_service_says_grpc_and_has_nothing_else(self, values, manifests):
        services = {service["metadata"]["name"]: service["spec"] for service in of(manifests, "Service")}
        (port,) = services["release-sightline"]["ports"]
        self.assertEqual((port["appProtocol"], port["targetPort"]), ("grpc", "grpc"))

    @each
    def test_selectors_find_the_pods(self, values, manifests):
        labels = pod(manifests)["metadata"]["labels"].items()
        (deployment,) = of(manifests, "Deployment")
        ports = {port["name"] for port in container(manifests)["ports"]}
        selectors = [deployment["spec"]["selector"]["matchLabels"]]
        selectors += [budget["spec"]["selector"]["matchLabels"] for budget in of(manifests, "PodDisruptionBudget")]
        selectors += [policy["spec"]["podSelector"]["matchLabels"] for policy in of(manifests, "NetworkPolicy")]
        for service in of(manifests, "Service"):
            selectors.append(service["spec"]["selector"])
            self.assertLessEqual({port["targetPort"] for port in service["spec"]["ports"]}, ports)
        for selector in selectors:
            self.assertTrue(selector and selector.items() <= labels, selector)
        for scaler in of(manifests, "HorizontalPodAutoscaler"):
            self.assertEqual(scaler["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"])
            self.assertNotIn("replicas", deployment["spec"], "the chart and the autoscaler would fight over it")
        for monitor in of(manifests, "ServiceMonitor"):
            wanted = monitor["spec"]["selector"]["matchLabels"].items()
            (found,) = [it for it in of(manifests, "Service") if wanted <= it["metadata"]["labels"].items()]
            self.assertIn(monitor["spec"]["endpoints"][0]["port"], {port["name"] for port in found["spec"]["ports"]})

    @each
    def test_has_a_disruption_budget(self, values, manifests):
        self.assertEqual(len(of(manifests, "PodDisruptionBudget")), 1)

    @each
    def test_only_monitoring_reaches_the_admin_port(self, values, manifests):
        (policy,) = of(manifests, "NetworkPolicy")
        rules = [rule for rule in policy["spec"]["ingress"] if any(port["port"] == 50052 for port in rule["ports"])]
        self.assertEqual(len(rules), int(environment(manifests)["SIGHTLINE_ADMIN_LISTEN"] != "off"))
        for rule in rules:
            self.assertEqual([sorted(peer) for peer in rule["from"]], [["namespaceSelector"]])

    @each
    def test_files_of_settings_lie_in_mounted_folders(self, values, manifests):
        mounts = {mount["mountPath"]: mount for mount in container(manifests).get("volumeMounts", [])}
        volumes = {volume["name"] for volume in pod(manifests)["spec"].get("volumes", [])}
        files = [value for value in environment(manifests).values() if value.startswith("/")]
        self.assertEqual({file.rpartition("/")[0] for file in files}, set(mounts))
        self.assertEqual({mount["name"] for mount in mounts.values()}, volumes)
        for mount in mounts.values():
            self.assertNotIn("subPath", mount, "changes of the file would not reach the pod")
            self.assertIs(mount["readOnly"], True)

    @each
    def test_memory_covers_what_may_be_in_flight(self, values, manifests):
        variables = environment(manifests)
        mebibytes = lambda name: int(re.fullmatch(r"(\d+)MiB", variables[name])[1])
        need = 4 * mebibytes("SIGHTLINE_MAX_IN_FLIGHT_BYTES") + mebibytes("SIGHTLINE_MAX_PREPARE_BYTES")
        need += mebibytes("SIGHTLINE_CACHE_BYTES")
        resources = container(manifests)["resources"]
        self.assertGreaterEqual(int(resources["limits"]["memory"].removesuffix("Mi")), need + 128)
        self.assertEqual(resources["requests"]["memory"], resources["limits"]["memory"])
        self.assertIn("cpu", resources["requests"])


class Settings(unittest.TestCase):
    def test_every_variable_is_a_setting_of_the_server(self):
        compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
        used = charts_settings().union(*(service.get("environment", {}) for service in compose["services"].values()))
        unknown = sorted(name for name in used - settings_in_code() if name.startswith("SIGHTLINE_"))
        self.assertFalse(unknown, f"the chart or the compose file sets what no flag declares: {', '.join(unknown)}")

    def test_every_variable_is_in_the_readme(self):
        readme = (ROOT / "README.md").read_text()
        absent = sorted(name for name in charts_settings() if f"| `{name}` |" not in readme)
        self.assertFalse(absent, f"the chart sets what has no row in the README's table: {', '.join(absent)}")

    def test_a_policy_is_put_in_as_it_is(self):
        values = value_files()["tokens-values.yaml"]
        manifests = render(values)
        (config,) = of(manifests, "ConfigMap")
        self.assertEqual(tomllib.loads(config["data"]["policy.toml"]), tomllib.loads(values["policy"]["toml"]))
        self.assertEqual(environment(manifests)["SIGHTLINE_POLICY"], "/etc/sightline/policy/policy.toml")

    def test_the_role_is_on_the_service_account(self):
        values = value_files()["mtls-values.yaml"]
        (account,) = of(render(values), "ServiceAccount")
        self.assertEqual(account["metadata"]["annotations"], {"eks.amazonaws.com/role-arn": values["aws"]["roleArn"]})

    def test_mutual_tls_asks_for_certificates_and_plain_tls_does_not(self):
        for name, expected in ("mtls-values.yaml", True), ("tokens-values.yaml", False):
            variables = environment(render(value_files()[name]))
            self.assertEqual("SIGHTLINE_TLS_CLIENT_CA" in variables, expected)
            self.assertIn("SIGHTLINE_TLS_KEY", variables)

    def test_the_version_is_the_servers(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
        self.assertEqual(chart["appVersion"], cargo["package"]["version"])


class Refusals(unittest.TestCase):
    """What the chart does not render, and that it says why."""

    def refuses(self, values: dict, words: str):
        with self.assertRaises(helm_python.HelmError) as caught:
            render(values)
        self.assertIn(words, str(caught.exception))

    def test_nobody_could_call(self):
        self.refuses(IMAGE, "identity.allowAnonymous=true")
        self.refuses({**IMAGE, "identity": {"tls": {"secretName": "tls", "clientCa": False}}}, "Nobody could call")

    def test_no_image(self):
        self.refuses(IDENTITY, "image.repository is required")

    def test_a_moving_tag(self):
        self.refuses({**IDENTITY, "image": {"repository": "sightline", "tag": "latest"}}, "tag")

    def test_tokens_for_anybody(self):
        self.refuses({**IMAGE, "identity": {"jwt": {"jwks": "https://issuer.example.org/keys"}}}, "issuer and audience")

    def test_no_way_to_ask_for_readiness(self):
        values = {**IMAGE, "identity": {"tls": {"secretName": "tls"}}, "admin": {"enabled": False}}
        self.refuses(values, "gRPC probes speak no TLS")

    def test_metrics_without_their_port(self):
        self.refuses({**IMAGE, **IDENTITY, "admin": {"enabled": False}, "serviceMonitor": {"enabled": True}}, "metrics are on")

    def test_two_sources_of_one_thing(self):
        self.refuses({**IMAGE, **IDENTITY, "policy": {"toml": "a", "configMap": "b"}}, "not both")

    def test_a_mistyped_value(self):
        self.refuses({**IMAGE, "identity": {"alowAnonymous": True}}, "alowAnonymous")
        self.refuses({**IMAGE, **IDENTITY, "drain": {"pauseSeconds": "5s"}}, "pauseSeconds")
        self.refuses({**IMAGE, "identity": {"trustedProxies": ["everyone"]}}, "trustedProxies")


class Values(unittest.TestCase):
    def test_every_value_has_a_comment(self):
        lines = (CHART / "values.yaml").read_text().splitlines()
        bare = []
        for before, line in zip(lines, lines[1:]):
            is_leaf = re.fullmatch(r"\s*[A-Za-z]+: .+", line) and "kubernetes.io/" not in line
            if is_leaf and not before.lstrip().startswith("#"):
                bare.append(line)
        self.assertEqual(bare, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
