"""The examples for Istio, Linkerd and Envoy. Envoy's is run, in front of a gRPC server."""

import json
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from urllib.request import urlopen

import grpc
import yaml

from support import DEPLOY, SERVICE, documents, methods, seconds, tool
from upstream import Upstream, call

CALLER = "spiffe://example.org/ns/shop/sa/web"
# The server's default --request-timeout, which meshes must leave room for.
REQUEST_TIMEOUT = 120


def of(manifests: list[dict], kind: str) -> list[dict]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


class Istio(unittest.TestCase):
    manifests = documents(DEPLOY / "istio" / "sightline.yaml")

    def test_streams_are_unlimited_and_calls_have_more_time_than_the_server_takes(self):
        (service,) = of(self.manifests, "VirtualService")
        streams, calls = service["spec"]["http"]
        self.assertIn({"uri": {"exact": f"/{SERVICE}/AnalyzeMany"}}, streams["match"])
        self.assertEqual((streams["timeout"], streams["retries"]), ("0s", {"attempts": 0}))
        self.assertNotIn("match", calls)
        self.assertGreater(seconds(calls["timeout"]), REQUEST_TIMEOUT)
        self.assertEqual(calls["retries"]["retryOn"], "unavailable")

    def test_connections_are_mutual_tls(self):
        (peers,) = of(self.manifests, "PeerAuthentication")
        self.assertEqual(peers["spec"]["mtls"]["mode"], "STRICT")
        self.assertNotIn(50051, peers["spec"]["portLevelMtls"])
        (rule,) = of(self.manifests, "DestinationRule")
        policy = rule["spec"]["trafficPolicy"]
        self.assertEqual(policy["tls"]["mode"], "ISTIO_MUTUAL")
        self.assertEqual(policy["loadBalancer"]["simple"], "LEAST_REQUEST")
        self.assertLess(policy["outlierDetection"]["maxEjectionPercent"], 100)


class Linkerd(unittest.TestCase):
    manifests = documents(DEPLOY / "linkerd" / "sightline.yaml")

    def test_every_method_has_one_route_with_what_suits_it(self):
        found = {}
        for route in of(self.manifests, "GRPCRoute"):
            notes = route["metadata"].get("annotations", {})
            for rule in route["spec"]["rules"]:
                for match in rule["matches"]:
                    if match["method"]["service"] == SERVICE:
                        self.assertNotIn(match["method"]["method"], found)
                        found[match["method"]["method"]] = notes
        self.assertEqual(sorted(found), sorted(methods()))
        for method, is_stream in methods().items():
            if is_stream:
                self.assertEqual(found[method], {})
            else:
                self.assertEqual(found[method]["retry.linkerd.io/grpc"], "unavailable")
                self.assertGreater(seconds(found[method]["timeout.linkerd.io/request"]), REQUEST_TIMEOUT)


def openssl(*arguments: str, cwd: Path):
    subprocess.run([tool("openssl", "apt-get install openssl"), *arguments], cwd=cwd, check=True, capture_output=True)


def certificates(folder: Path):
    """An authority (ca.crt), a server's certificate (tls.crt) and a caller's (caller.crt), with their keys."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.crt", cwd=folder)
    for name, alternative in ("tls", "DNS:localhost"), ("caller", f"URI:{CALLER}"):
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=folder)
        (folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt", cwd=folder)


def until(what: str, check, longest: float = 30):
    """Asks again until it is so: other processes tell no events."""
    end = time.monotonic() + longest
    while not (answer := check()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {longest} s in vain for {what}")
        time.sleep(0.05)
    return answer


class Envoy(unittest.TestCase):
    """The example as it stands, but for its addresses and folders."""

    @classmethod
    def setUpClass(cls):
        envoy = tool("envoy", "scripts/test-tools installs it")
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        (folder / "tls").mkdir()
        certificates(folder / "tls")
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.stop)
        for name in "envoy.yaml", "secret-server.yaml", "secret-callers.yaml":
            text = (DEPLOY / "envoy" / name).read_text()
            assert "/etc/envoy/" in text
            (folder / name).write_text(text.replace("/etc/envoy/", f"{folder}/"))
        config = yaml.safe_load((folder / "envoy.yaml").read_text())
        cls.cluster = config["static_resources"]["clusters"][0]
        for address in config["admin"]["address"], config["static_resources"]["listeners"][0]["address"]:
            address["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
        (endpoint,) = cls.cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": cls.upstream.port}
        (folder / "envoy.yaml").write_text(yaml.safe_dump(config))
        run = [envoy, "-c", str(folder / "envoy.yaml"), "--disable-hot-restart", "--log-level", "warning"]
        cls.validation = subprocess.run([*run, "--mode", "validate"], capture_output=True, text=True)
        log = open(folder / "log", "w+")
        cls.addClassCleanup(log.close)
        cls.process = subprocess.Popen([*run, "--admin-address-path", str(folder / "admin")], stdout=log, stderr=log)
        cls.addClassCleanup(cls.process.wait)
        cls.addClassCleanup(cls.process.terminate)

        def address():
            if cls.process.poll() is not None:
                raise AssertionError(f"Envoy ended: {(folder / 'log').read_text()}")
            return (folder / "admin").exists() and (folder / "admin").read_text()

        cls.admin = f"http://{until('Envoy', address)}"
        listening = lambda: json.load(urlopen(f"{cls.admin}/listeners?format=json")).get("listener_statuses")
        (listener,) = until("the listener", listening)
        cls.target = f"localhost:{listener['local_address']['socket_address']['port_value']}"
        cls.folder = folder / "tls"
        until("health", lambda: cls.stat("cluster.sightline.membership_healthy") == 1)

    @classmethod
    def stat(cls, name: str) -> int | None:
        lines = urlopen(f"{cls.admin}/stats?filter=^{name}$").read().decode().split()
        return int(lines[1]) if lines else None

    def channel(self, with_certificate: bool = True) -> grpc.Channel:
        read = lambda name: (self.folder / name).read_bytes()
        pair = {"private_key": read("caller.key"), "certificate_chain": read("caller.crt")} if with_certificate else {}
        credentials = grpc.ssl_channel_credentials(read("ca.crt"), **pair)
        # No repeats of the client's own, so that the proxy's are seen.
        channel = grpc.secure_channel(self.target, credentials, [("grpc.enable_retries", 0)])
        self.addCleanup(channel.close)
        return channel

    def setUp(self):
        self.upstream.calls()

    def test_the_file_is_valid(self):
        self.assertEqual(self.validation.returncode, 0, self.validation.stderr)

    def test_the_callers_name_is_that_of_its_certificate_whatever_it_claims(self):
        forged = {"x-forwarded-client-cert": "URI=spiffe://example.org/ns/admin/sa/root"}
        for method in methods():
            self.assertEqual(call(self.channel(), method, forged), grpc.StatusCode.OK)
            ((_, metadata),) = self.upstream.calls()
            self.assertIn(f"URI={CALLER}", metadata["x-forwarded-client-cert"])
            self.assertNotIn("root", metadata["x-forwarded-client-cert"])

    def test_nobody_comes_without_a_certificate(self):
        self.assertEqual(call(self.channel(with_certificate=False), "GetCapabilities", {}), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(self.upstream.calls(), [])

    def test_repeats_only_what_is_unavailable_and_no_streams(self):
        for method, answer, times in [
            ("AnalyzeImage", "UNAVAILABLE", 3),
            ("AnalyzeImage", "RESOURCE_EXHAUSTED", 1),
            ("AnalyzeImage", "INTERNAL", 1),
            ("AnalyzeImage", "CANCELLED", 1),
            ("AnalyzeMany", "UNAVAILABLE", 1),
        ]:
            with self.subTest(method=method, answer=answer):
                self.assertEqual(call(self.channel(), method, {"answer": answer}), grpc.StatusCode[answer])
                self.assertEqual(len(self.upstream.calls()), times)

    def test_calls_have_more_time_than_the_server_takes_and_streams_have_all_of_it(self):
        dump = json.load(urlopen(f"{self.admin}/config_dump?resource=static_route_configs"))
        (host,) = dump["configs"][0]["route_config"]["virtual_hosts"]
        where = lambda match: match.get("path", match.get("prefix"))
        times = {where(route["match"]): route["route"]["timeout"] for route in host["routes"]}
        self.assertEqual(times[f"/{SERVICE}/AnalyzeMany"], "0s")
        self.assertGreater(seconds(times[f"/{SERVICE}/"]), REQUEST_TIMEOUT)
        self.assertEqual(next(iter(times)), f"/{SERVICE}/AnalyzeMany", "the first route that fits is taken")

    def test_a_pod_that_drains_gets_no_calls(self):
        self.upstream.serving(False)
        self.addCleanup(until, "health", lambda: self.stat("cluster.sightline.membership_healthy") == 1)
        self.addCleanup(self.upstream.serving, True)
        until("NOT_SERVING to be seen", lambda: self.stat("cluster.sightline.membership_healthy") == 0)
        self.assertEqual(call(self.channel(), "GetCapabilities", {}), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(self.upstream.calls(), [])

    def test_a_drain_is_seen_within_the_charts_pause(self):
        (check,) = self.cluster["health_checks"]
        values = yaml.safe_load((DEPLOY / "helm/sightline/values.yaml").read_text())
        self.assertLess(seconds(check["interval"]) * check["unhealthy_threshold"], values["drain"]["pauseSeconds"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
