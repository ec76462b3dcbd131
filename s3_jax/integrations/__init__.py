"""Bridges to other people's frameworks; none of them has to be installed."""
