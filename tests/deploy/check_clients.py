"""The published gRPC service config: its words, and what a real client does with it."""

import json
import unittest

import grpc

from support import DEPLOY, SERVICE, methods
from upstream import Upstream, call

TEXT = (DEPLOY / "service-config.json").read_text()
CONFIG = json.loads(TEXT)


class Words(unittest.TestCase):
    def test_names_the_contracts_methods_and_no_others(self):
        names = [name for entry in CONFIG["methodConfig"] for name in entry["name"]]
        self.assertEqual({name["service"] for name in names}, {SERVICE})
        self.assertEqual(sorted(name["method"] for name in names), sorted(methods()))
        self.assertEqual(CONFIG["healthCheckConfig"], {"serviceName": SERVICE})

    def test_streams_have_no_time_limit_and_no_repeats(self):
        for entry in CONFIG["methodConfig"]:
            is_stream = any(methods()[name["method"]] for name in entry["name"])
            self.assertEqual("timeout" in entry, not is_stream)
            self.assertEqual("retryPolicy" in entry, not is_stream)

    def test_repeats_only_what_is_unavailable(self):
        for entry in CONFIG["methodConfig"]:
            if "retryPolicy" in entry:
                self.assertEqual(entry["retryPolicy"]["retryableStatusCodes"], ["UNAVAILABLE"])


class RealClient(unittest.TestCase):
    def setUp(self):
        self.upstream = Upstream()
        self.addCleanup(self.upstream.stop)

    def test_repeats(self):
        for method, answer, times in [
            ("AnalyzeImage", "UNAVAILABLE", 3),
            ("GetCapabilities", "UNAVAILABLE", 3),
            ("AnalyzeImage", "RESOURCE_EXHAUSTED", 1),
            ("AnalyzeImage", "INTERNAL", 1),
            ("AnalyzeMany", "UNAVAILABLE", 1),
        ]:
            with self.subTest(method=method, answer=answer):
                # A channel of its own each, so that the throttling of repeats starts anew.
                target, options = f"dns:///127.0.0.1:{self.upstream.port}", [("grpc.service_config", TEXT)]
                with grpc.insecure_channel(target, options) as channel:
                    self.assertEqual(call(channel, method, {"answer": answer}), grpc.StatusCode[answer])
                self.assertEqual(len(self.upstream.calls()), times)

    def test_a_server_that_drains_gets_no_calls(self):
        self.upstream.serving(False)
        target = f"dns:///127.0.0.1:{self.upstream.port}"
        with grpc.insecure_channel(target, [("grpc.service_config", TEXT)]) as channel:
            self.assertEqual(call(channel, "GetCapabilities", {}), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(self.upstream.calls(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
