"""A local Solana chain for the demo and the tests."""
