"""Running the platform's own commands against a home of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Home:
    """A PORTFOLIO_HOME and the commands run in it, with nothing else in the environment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {k: v for k, v in os.environ.items() if k in INHERITED}
        self.environment |= {
            "PORTFOLIO_HOME": str(path),
            "PORTFOLIO_UI_PORT": "0",
            "PORTFOLIO_API_PORT": "0",
            "OMP_NUM_THREADS": "1",
        }

    def run(
        self, *command: str, check: bool = True, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the virtual environment from the repository root."""
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{command} exited with {done.returncode}\n{done.stdout[-2000:]}\n"
                f"{done.stderr[-4000:]}"
            )
        return done

    def platform(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``portfolio-platform``."""
        return self.run("portfolio-platform", *arguments, **options)

    def services(self) -> dict[str, Any]:
        """What the running services recorded."""
        return json.loads((self.path / "services.json").read_text())
