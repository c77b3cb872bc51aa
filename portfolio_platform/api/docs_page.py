"""/docs without a CDN: one static page that reads /openapi.json."""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI, Request, Response

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "/docs": ("docs.html", "text/html"),
    "/docs/docs.js": ("docs.js", "text/javascript"),
    "/docs/docs.css": ("docs.css", "text/css"),
}


def add_to(application: FastAPI) -> None:
    """Serve the page and its two assets."""
    for path, (name, media_type) in _FILES.items():
        _serve(application, path, name, media_type)


def _serve(application: FastAPI, path: str, name: str, media_type: str) -> None:
    content = resources.files("portfolio_platform.api").joinpath("static", name).read_bytes()

    async def page(request: Request) -> Response:
        return Response(
            content,
            media_type=media_type,
            headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"},
        )

    application.add_api_route(path, page, methods=["GET"], include_in_schema=False)
