#!/usr/bin/env python3
"""Runs the tests of this directory against a built program.

    tests/cluster/run.py [BINARY] [unittest's options and names of tests, as test_start.Flags]

BINARY defaults to the release build's. Real processes on free ports of loopback, in temporary
directories; about a minute.
"""
import os
import sys
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    if len(sys.argv) > 1 and os.path.isfile(sys.argv[1]):
        harness.binary = sys.argv.pop(1)
    harness.binary = os.path.abspath(harness.binary)
    if not os.access(harness.binary, os.X_OK):
        sys.exit(f'{harness.binary} is no program: build it first, or name another')
    if len(sys.argv) > 1:
        unittest.main(module=None, verbosity=2)
    tests = unittest.defaultTestLoader.discover(HERE, pattern='test_*.py')
    result = unittest.TextTestRunner(verbosity=2).run(tests)
    for test, why in result.skipped:
        print(f'SKIPPED {test}: {why}', file=sys.stderr)
    sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)


if __name__ == '__main__':
    main()
