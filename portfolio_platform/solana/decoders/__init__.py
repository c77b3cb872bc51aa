"""One module per family of accounts: bytes to raw values and derived figures."""
