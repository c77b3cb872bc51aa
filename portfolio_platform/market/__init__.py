"""Bars, their cleaning, and the metrics computed from them."""
