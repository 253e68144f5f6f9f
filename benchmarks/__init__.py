"""
Benchmarks: ratios within one run, since machines are noisy. `python -m benchmarks` says what there is.
"""
