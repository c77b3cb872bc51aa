"""`python -m portfolio_platform.api`: serve by environment variables.

PORTFOLIO_API_DATABASE_URL, PORTFOLIO_API_JWKS and PORTFOLIO_API_ISSUER are required;
PORTFOLIO_API_HOST and PORTFOLIO_API_PORT say where; every other field of `ApiSettings` may be set
as PORTFOLIO_API_<FIELD>.
"""

from __future__ import annotations

import logging
import os
import sys

from pydantic import ValidationError

from portfolio_platform.api.serve import run
from portfolio_platform.api.settings import ApiSettings

PREFIX = "PORTFOLIO_API_"


def settings_from(environment: dict[str, str]) -> ApiSettings:
    """Settings from variables named PORTFOLIO_API_<FIELD>."""
    fields = {
        name: environment[PREFIX + name.upper()]
        for name in ApiSettings.model_fields
        if PREFIX + name.upper() in environment
    }
    return ApiSettings.model_validate(fields)


def main() -> int:
    """Serve until stopped; 2 when the environment is not sufficient."""
    logging.basicConfig(level=os.environ.get(f"{PREFIX}LOG_LEVEL", "INFO"), format="%(message)s")
    try:
        settings = settings_from(dict(os.environ))
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = PREFIX + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{name}: {problem['msg']}", file=sys.stderr)
        return 2
    run(
        settings,
        os.environ.get(f"{PREFIX}HOST", "127.0.0.1"),
        int(os.environ.get(f"{PREFIX}PORT", "8000")),
        lambda url: print(f"API at {url}, documentation at {url}/docs", flush=True),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
