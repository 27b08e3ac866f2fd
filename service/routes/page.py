"""The page: what a browser gets at / and /docs, and the files that both are drawn with."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC: Final = "/static"

_WEB: Final = Path(__file__).parents[1] / "web"
_UNBUILT: Final = _WEB / "unbuilt.html"
_HEADERS: Final = {
    # Pictures come from wherever the catalogue says they are, or are fetched with a key and held by the page (blob:);
    # all else, and all that runs, comes from here.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob: https: http:; style-src 'self'; "
    "script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class BuiltFiles(StaticFiles):
    """The files of a built page, compressed where the browser takes that: the build has put FILE.gz beside FILE.

    Args:
        directory: what the build has made.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, or that the browser's copy is still good.

        Raises:
            HTTPException: there is no such file within the directory, or the method is not GET or HEAD.
        """
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        response = None
        if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            response = await self._compressed(path, scope)
        if response is None:
            response = await super().get_response(path, scope)
        # Names under assets/ carry a hash of what is in them.
        lasting = path.startswith("assets/")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if lasting else "no-cache"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers.update(_HEADERS)
        return response

    async def _compressed(self, path: str, scope: Scope) -> Response | None:
        try:
            response = await super().get_response(f"{path}.gz", scope)
        except HTTPException:
            return None
        if response.status_code != 304:
            response.headers["Content-Encoding"] = "gzip"
        return response


def add_page(app: FastAPI, dist: Path = _WEB / "dist") -> None:
    """Have an application answer browsers.

    Args:
        app: gets `/`, `/docs` and what is under `/static`.
        dist: what `npm run build` has made. Where it has not, `/` and `/docs` say how to build it.
    """
    files = BuiltFiles(directory=dist, check_dir=False) if (dist / "index.html").is_file() else None

    async def answer(name: str, request: Request) -> Response:
        if files is None:
            return FileResponse(_UNBUILT, headers={**_HEADERS, "Cache-Control": "no-cache"})
        return await files.get_response(name, request.scope)

    async def page(request: Request) -> Response:
        return await answer("index.html", request)

    async def docs(request: Request) -> Response:
        return await answer("docs/index.html", request)

    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/docs", docs, methods=["GET", "HEAD"], include_in_schema=False)
    if files is not None:
        app.mount(STATIC, files)
