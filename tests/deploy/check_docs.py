"""docs/OPERATIONS.md and deploy/README.md: what they point at is there."""

import re
import unittest

from support import DEPLOY, ROOT, anchors, settings_in_code

PAGES = [ROOT / "docs" / "OPERATIONS.md", DEPLOY / "README.md"]


class Docs(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
                file, _, anchor = target.partition("#")
                if file.startswith("http"):
                    continue
                linked = (page.parent / file).resolve() if file else page
                with self.subTest(page=page.name, target=target):
                    self.assertTrue(linked.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(linked))

    def test_flags_are_flags_of_the_server(self):
        flags = {flag for page in PAGES for flag in re.findall(r"`--([a-z][a-z-]+)`", page.read_text())}
        self.assertGreater(len(flags), 20)
        named = {f"SIGHTLINE_{flag.upper().replace('-', '_')}" for flag in flags}
        unknown = sorted(named - settings_in_code())
        self.assertFalse(unknown, f"the pages name flags that the server does not have: {', '.join(unknown)}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
