"""Strategy spec, moments, engines, solution."""
