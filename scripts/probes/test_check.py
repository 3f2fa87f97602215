"""Tests of the probes' rules: `python -m unittest discover scripts/probes`."""

import re
import unittest

import check


class Faults(unittest.TestCase):
    def test_what_is_right_has_none(self):
        self.assertEqual(check.faults("zwei & Brüder", "Ich habe zwei Brüder."), [])
        self.assertEqual(check.faults("nicht|kein", "Er hat kein Geld!"), [])

    def test_each_rule_is_named(self):
        self.assertEqual(check.faults("zwei & Brüder", "Ich habe drei Brüder."), ["lacks zwei"])
        self.assertEqual(check.faults("x", "x x x x"), ["casing", "punctuation", "loop"])
        self.assertEqual(check.faults("nie", ""), ["lacks nie", "casing", "punctuation"])
        self.assertEqual(check.faults("\\?", "7 Tage?"), [])

    def test_there_are_two_hundred_different_probes(self):
        probes = check.read(check.PROBES)
        self.assertEqual(len({probe["english"] for probe in probes}), 200)
        for probe in probes:
            self.assertTrue(all(re.compile(part) for part in probe["needed"].split(" & ")))
            self.assertTrue(check.faults(probe["needed"], ""))


if __name__ == "__main__":
    unittest.main()
