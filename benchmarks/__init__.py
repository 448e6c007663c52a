"""The figures Fileroom publishes, each with the peer beside it.

``python -m benchmarks`` measures all of them. Absolute figures move from machine to machine and
from run to run; what counts is the ratio of two sides that took turns in one run.
"""
