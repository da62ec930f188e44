"""The compose file: what it names is there, nothing moves, and only this machine reaches it."""

import json
import re
import subprocess
import unittest

import yaml

from support import DEPLOY, ROOT, tool

FOLDER = DEPLOY / "compose"
SERVICES = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]


class Compose(unittest.TestCase):
    def test_images_of_others_do_not_move(self):
        for name, service in SERVICES.items():
            if "build" not in service:
                self.assertRegex(service["image"], r":\d+\.\d+", name)

    def test_what_is_mounted_and_built_is_there(self):
        for service in SERVICES.values():
            sources = [volume.split(":")[0] for volume in service.get("volumes", [])]
            for source in filter(lambda it: it.startswith("."), sources):
                self.assertTrue((FOLDER / source).exists(), source)
            if "build" in service:
                self.assertTrue((FOLDER / service["build"]["context"] / "Dockerfile").exists())

    def test_build_arguments_and_features_exist(self):
        dockerfile, cargo = (ROOT / "Dockerfile").read_text(), (ROOT / "Cargo.toml").read_text()
        for service in SERVICES.values():
            for argument, value in service.get("build", {}).get("args", {}).items():
                self.assertRegex(dockerfile, rf"(?m)^ARG {argument}\b")
                self.assertRegex(cargo, rf"(?m)^{value} = \[")

    def test_ports_are_this_machines_alone(self):
        ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
        self.assertTrue(ports)
        for port in ports:
            self.assertRegex(port, r"^127\.0\.0\.1:")

    def test_a_service_waits_for_what_is_checked(self):
        for service in SERVICES.values():
            for other, how in service.get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    self.assertIn("healthcheck", SERVICES[other])

    def test_everybody_has_the_s3_servers_key(self):
        (identity,) = json.loads((FOLDER / "s3.json").read_text())["identities"]
        (key,) = identity["credentials"]
        for name in "samples", "sightline":
            variables = SERVICES[name]["environment"]
            self.assertEqual(variables["AWS_ACCESS_KEY_ID"], key["accessKey"])
            self.assertEqual(variables["AWS_SECRET_ACCESS_KEY"], key["secretKey"])

    def test_it_stops_no_sooner_than_the_server_drains(self):
        default = re.search(r'SIGHTLINE_DRAIN_TIMEOUT", default_value = "(\d+)s"', (ROOT / "src/config/mod.rs").read_text())
        for name in "sightline", "sightline-embedded":
            self.assertGreater(int(SERVICES[name]["stop_grace_period"].removesuffix("s")), int(default[1]))

    def test_the_script_is_a_script(self):
        subprocess.run([tool("sh", "any shell"), "-n", str(FOLDER / "samples.sh")], check=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
