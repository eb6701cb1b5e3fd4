"""Real Ironic and real Keystone on this machine, for the tests and the demo.

Everything here runs on the standard library alone: it is what sets up the
virtual environments that the rest needs.
"""
