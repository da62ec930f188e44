"""Rules, alerts and the dashboard: promtool takes them, and they name metrics that there are."""

import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

from support import DEPLOY, ROOT, anchors, missing, tool

RULES = DEPLOY / "prometheus" / "rules.yaml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "sightline.json").read_text())
WORDS = re.compile(r'"[^"]*"|[a-zA-Z_:][a-zA-Z0-9_:]*')


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict]:
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[dict]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """Every expression of the dashboard, as Prometheus gets it."""
    texts = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [text.replace("$__rate_interval", "5m").replace("$job", "sightline") for text in texts]


def names(expression: str) -> set[str]:
    """The series that an expression reads: words of metrics or recorded ones, not those in strings."""
    words = {word for word in WORDS.findall(expression) if not word.startswith('"')}
    return {word for word in words if word.startswith(("sightline_", "process_")) or ":" in word.strip(":")}


def promtool(*arguments: str) -> subprocess.CompletedProcess:
    command = [tool("promtool", "apt-get install prometheus"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=RULES.parent)


class Promtool(unittest.TestCase):
    def passes(self, *arguments: str):
        done = promtool(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_rules_are_valid(self):
        self.passes("check", "rules", "--lint=all", "--lint-fatal", RULES.name)

    def test_the_alerts_do_what_they_say(self):
        self.passes("test", "rules", "rules_test.yaml")

    def test_the_dashboards_queries_are_valid(self):
        recorded = [{"record": f"dashboard:query:{number}", "expr": query} for number, query in enumerate(queries())]
        self.assertGreater(len(recorded), 20)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "dashboard.yaml"
            file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
            self.passes("check", "rules", str(file))


class Alerts(unittest.TestCase):
    def test_every_alert_waits_and_says_what_to_do(self):
        for rule in alerts():
            with self.subTest(alert=rule["alert"]):
                self.assertIn("for", rule)
                self.assertIn(rule["labels"]["severity"], {"critical", "warning", "info"})
                self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"})

    def test_every_alert_has_its_tests(self):
        tests = yaml.safe_load((RULES.parent / "rules_test.yaml").read_text())["tests"]
        cases = [case for test in tests for case in test.get("alert_rule_test", [])]
        for rule in alerts():
            with self.subTest(alert=rule["alert"]):
                outcomes = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == rule["alert"]}
                self.assertEqual(outcomes, {True, False}, "a test where it fires, and one where it does not")

    def test_every_alert_has_its_place_in_the_runbook(self):
        headings = anchors(ROOT / "docs/OPERATIONS.md")
        for rule in alerts():
            file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
            self.assertEqual(file, "docs/OPERATIONS.md")
            self.assertIn(anchor, headings)


class Metrics(unittest.TestCase):
    def test_rules_and_dashboard_read_only_metrics_that_there_are(self):
        catalogue = ROOT / "docs" / "METRICS.md"
        if not catalogue.exists():
            missing("docs/METRICS.md is missing: no list of metrics to compare with")
        known = set(re.findall(r"`((?:sightline|process)_[a-z0-9_]+)", catalogue.read_text()))
        known |= {f"{name}_{part}" for name in known if name.endswith("_seconds") for part in ("bucket", "sum", "count")}
        known |= {rule["record"] for rule in rules() if "record" in rule}
        read = set().union(*(names(text) for text in [rule["expr"] for rule in rules()] + queries()))
        self.assertGreater(len(read), 25)
        unknown = sorted(read - known)
        self.assertFalse(unknown, f"rules or dashboard read what docs/METRICS.md does not have: {', '.join(unknown)}")


class Dashboard(unittest.TestCase):
    def test_every_panel_asks_the_chosen_data_source(self):
        variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
        self.assertEqual(variables["datasource"]["type"], "datasource")
        for panel in panels():
            for asked in [panel, *panel["targets"]]:
                self.assertEqual(asked["datasource"]["uid"], "${datasource}")
            self.assertTrue(panel["title"] and panel["description"])

    def test_panels_have_places_of_their_own(self):
        taken = {}
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            for x in range(place["x"], place["x"] + place["w"]):
                self.assertLess(x, 24)
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, f"{panel['title']} lies on {taken.get((x, y))}")
                    taken[x, y] = panel["title"]
        self.assertEqual(len({panel["id"] for panel in DASHBOARD["panels"]}), len(DASHBOARD["panels"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
