"""Collision events for the examples: Pythia 8, FastJet and a simple detector, written as NanoAOD-like ROOT files.

Shared by the examples; the package `gridloom` itself needs none of it.
"""
