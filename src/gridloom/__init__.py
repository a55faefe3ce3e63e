"""Deep-learning models from ROOT ntuples, on a laptop or on the grid, from one analysis file."""

__version__ = "0.1.0"
