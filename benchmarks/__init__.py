"""What the forwarder costs, measured on the machine at hand: ``python -m benchmarks`` prints it.

Each figure is of the real ``forwarder run``, a process of its own that is pinned to one core, beside a simulated
Persona on another core. Timings of different runs are never compared: a ratio holds within one run.
"""
