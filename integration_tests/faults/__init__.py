"""
Faults for tests: a network that loses, delays and cuts.
"""
