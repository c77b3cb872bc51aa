"""Talking to the chain and reading its bytes."""
