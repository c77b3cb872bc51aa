"""Write the table of environment variables into the README."""

import sys
from pathlib import Path

from portfolio_platform.settings import environment_table

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- environment: written by `make environment` -->"
END = "<!-- end of environment -->"


def rendered(text: str) -> str:
    """`text` with the table between the two marks."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {default or '–'} | {what} |" for name, default, what in environment_table()
    ]
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n" + "\n".join(rows) + f"\n{END}{after}"


if __name__ == "__main__":
    current = README.read_text()
    wanted = rendered(current)
    if "--check" in sys.argv and wanted != current:
        sys.exit("README.md is behind the settings; run `make environment`")
    README.write_text(wanted)
