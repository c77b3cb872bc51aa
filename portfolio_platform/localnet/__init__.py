"""A local Solana chain for the demo and the tests: LiteSVM behind JSON-RPC, WebSocket and UDF."""
