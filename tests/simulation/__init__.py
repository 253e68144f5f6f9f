"""
A deterministic simulation of the real core: virtual time, a store that fails in every way, nodes that pause and die.

One seed drives everything. The rules, the core, the lease and the document codec are the product's own; the simulator
only moves time, carries messages and checks the invariants.
"""
