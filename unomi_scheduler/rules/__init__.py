"""
The rules: pure functions of values and `now`. They never read a clock, draw a random number, log, wait or store.
"""
