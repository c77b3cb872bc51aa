"""Engines: each one module with ``covers(problem)`` and ``solve(problem)``, imported on use."""
