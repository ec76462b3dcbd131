"""Measures, intervals, the embedding cache, result files and figures."""
