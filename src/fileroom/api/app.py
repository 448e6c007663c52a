"""The ASGI application: one walk from a request to its answer.

Host and path, then who calls, then whether they may, then the body, then one hop into a thread.
This is the only asynchronous code; everything below it is synchronous.
"""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from starlette.middleware.cors import CORSMiddleware

from fileroom.api.auditing import Asked, Auditor
from fileroom.api.authorizing import resource_of
from fileroom.api.calls import Answer, Call, answer_of
from fileroom.api.errors import (
    error_answer,
    internal_error_answer,
    log_error,
    status_answer,
    unknown_path_answer,
)
from fileroom.api.headers import GUARDS, READ_HEADERS, SHOWN_HEADERS
from fileroom.api.public import PUBLIC
from fileroom.api.rates import Shares
from fileroom.api.reach import SAFE_VERBS, Reach
from fileroom.api.requests import (
    BODY_BYTES_MAX,
    BodyTooLarge,
    BodyTooSlow,
    ClientGone,
    bind_query,
    body_pieces,
    headers_of,
    logged_resource,
    parse_query,
    read_body,
    resource_name,
)
from fileroom.api.routes import ROUTES
from fileroom.api.routing import RouteTable, split_path
from fileroom.api.static import StaticFiles, open_static_files
from fileroom.api.storage.sessions import UploadSessions, expire_uploads
from fileroom.api.streaming import Channel, send_pieces
from fileroom.api.token import exchange as exchange_token
from fileroom.api.wire import decode_message
from fileroom.auth.authorize import Principal
from fileroom.auth.service_accounts import TOKEN_PATH
from fileroom.closing import close_pieces
from fileroom.errors import Code, FileroomError, Unauthenticated
from fileroom.telemetry import request_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from fileroom.api.calls import Intake
    from fileroom.api.public import PublicHandler
    from fileroom.api.requests import Query
    from fileroom.api.routing import Route
    from fileroom.deployment import Deployment
    from fileroom.names import ResourceName

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

REQUESTS_MAX: Final = 512


def create_app(
    deployment: Deployment,
    routes: tuple[Route, ...] = ROUTES,
    files: Mapping[str, tuple[str, bytes]] | None = None,
) -> ASGIApp:
    """Give the application that serves a deployment, and ``files`` of the console beside it."""
    access = deployment.access
    app: ASGIApp = _Application(
        deployment,
        RouteTable(routes),
        open_static_files(
            files or {},
            deployment.settings.ohif,
            providers=() if access.oidc is None else access.oidc.names,
            takes_keys=access.service_accounts is not None,
        ),
    )
    if deployment.settings.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=deployment.settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=READ_HEADERS,
            expose_headers=SHOWN_HEADERS,
            max_age=3600,
        )
    return app


@dataclass(slots=True, kw_only=True)
class _Exchange:
    """One request on its way, and what the access log says of it."""

    scope: Scope
    receive: Receive
    headers: Mapping[str, str]
    pretty: bool = True
    method_id: str = ""
    api_version: str = ""
    resource: str = ""
    principal: str = ""
    caller: str = ""
    asked: Asked | None = None
    sent_bytes: int = 0


class _Application:
    def __init__(self, deployment: Deployment, table: RouteTable, files: StaticFiles) -> None:
        settings = deployment.settings
        self._deployment = deployment
        self._table = table
        self._files = files
        self._access = deployment.access
        self._reach = Reach(settings)
        self._shares = Shares(settings.requests_per_second)
        self._limiter = CapacityLimiter(settings.request_threads)
        self._strangers = CapacityLimiter(max(1, settings.request_threads // 4))
        self._sessions = UploadSessions(began_at=deployment.facilities.booted_at)
        self._auditor = Auditor(deployment.audit, self._in_thread)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Follow the lifespan protocol; who runs the server opens and closes the deployment."""
        kind = ""
        async with anyio.create_task_group() as group:
            group.start_soon(expire_uploads, self._sessions, self._in_thread)
            while kind != "lifespan.shutdown":
                kind = (await receive())["type"]
                if kind == "lifespan.shutdown":
                    await self._in_thread(self._sessions.close)
                await send({"type": f"{kind}.complete"})
            group.cancel_scope.cancel()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        identifier = uuid.uuid4().hex
        request_id.set(identifier)
        exchange = _Exchange(scope=scope, receive=receive, headers=headers_of(scope))
        self._running += 1
        try:
            answer = await self._answer(exchange)
            answer = await self._auditor.answered(exchange, answer)
            answer = replace(answer, headers={"X-Request-Id": identifier, **answer.headers})
            status = await self._send(answer, exchange, send)
        except ClientGone:
            await self._auditor.left(exchange)
            status = 499
        finally:
            self._running -= 1
            self._shares.end(exchange.principal)
        logger.info(
            "request",
            extra={
                "method": exchange.method_id,
                "verb": scope["method"],
                "apiVersion": exchange.api_version,
                "resource": exchange.resource,
                "principal": exchange.principal,
                "status": status,
                "bytes": exchange.sent_bytes,
                "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            },
        )

    async def _answer(self, exchange: _Exchange) -> Answer:
        """Give the answer of whatever the request asks, errors included."""
        try:
            return await self._dispatch(exchange)
        except FileroomError as error:
            log_error(error)
            return error_answer(error)
        except BodyTooLarge:
            return status_answer(
                413,
                Code.INVALID_ARGUMENT.name,
                f"Request payload size exceeds the limit: {BODY_BYTES_MAX} bytes.",
                headers={"Connection": "close"},
            )
        except BodyTooSlow:
            return status_answer(
                408,
                Code.DEADLINE_EXCEEDED.name,
                "The request's body stalled.",
                headers={"Connection": "close"},
            )
        except ClientGone:
            raise
        except Exception:
            logger.exception("a request met a fault of ours")
            return internal_error_answer()

    async def _dispatch(self, exchange: _Exchange) -> Answer:
        scope = exchange.scope
        if (public := PUBLIC.get(scope["path"])) is not None:
            return await self._public(exchange, public)
        refusal = self._reach.refuse(scope, exchange.headers)
        if refusal is not None:
            return refusal
        if self._running > REQUESTS_MAX:
            return status_answer(
                503,
                Code.UNAVAILABLE.name,
                "The server is at its limit of requests; try again soon.",
                headers={"Retry-After": "1"},
            )
        if scope["method"] in SAFE_VERBS and self._files.may_have(scope["path"]):
            file = await self._in_thread(partial(self._files.find, scope["path"], exchange.headers))
            if file is not None:
                exchange.method_id = "console"
                return file
        exchange.caller = self._reach.caller(scope, exchange.headers)
        if scope["path"] == TOKEN_PATH and scope["method"] == "POST":
            return await self._token(exchange)
        version, *segments = split_path(scope.get("raw_path") or scope["path"].encode())
        match = self._table.find(version, segments)
        if match is None:
            return unknown_path_answer(scope["path"])
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = match.routes.get(verb)
        if route is None:
            allowed = ", ".join(sorted(match.routes))
            return status_answer(
                405,
                Code.UNIMPLEMENTED.name,
                f"The path does not know {scope['method']}; it knows {allowed}.",
                headers={"Allow": allowed},
            )
        exchange.method_id, exchange.api_version = route.method_id, version
        exchange.asked = Asked(route=route, version=version, path=match.path)
        query = parse_query(scope["query_string"])
        exchange.pretty = query.pretty
        principal = await self._identified(exchange, query)
        self._shares.begin(principal.name, exchange.caller)
        exchange.principal = principal.name
        return await self._call(exchange, route, dict(match.path), query, principal)

    async def _call(
        self,
        exchange: _Exchange,
        route: Route,
        path: dict[str, str],
        query: Query,
        principal: Principal,
    ) -> Answer:
        name = resource_name(path)
        exchange.resource = logged_resource(path, name)
        if not (principal.holds_all or route.per_item):
            await self._in_thread(partial(self._require, principal, route, path, name))
        self._auditor.admit(route)
        parameters = bind_query(query, route.query)
        body, request = b"", None
        if route.request is not None or route.has_document:
            body = await read_body(exchange.receive, exchange.headers)
        if route.request is not None:
            request = decode_message(body, route.request)
        call = Call(
            deployment=self._deployment,
            principal=principal,
            method_id=route.method_id,
            permission=route.permission,
            api_version=exchange.api_version,
            name=name,
            path=path,
            query=parameters,
            headers=exchange.headers,
            body=body,
            request=request,
            alt=query.everywhere.get("alt", ""),
            upload_type=query.everywhere.get("uploadType", ""),
            sessions=self._sessions,
        )
        if route.upload is None:
            return await self._in_thread(partial(answer_of, route.handler, call))
        async with self._uploaded(exchange, route.upload, call) as upload:
            call = replace(call, upload=upload)
            return await self._in_thread(partial(answer_of, route.handler, call))

    async def _identified(self, exchange: _Exchange, query: Query) -> Principal:
        """Tell who calls; what takes a thread to tell keeps none waiting who are told already."""
        authenticator = self._access.authenticator
        try:
            authorization = exchange.headers.get("authorization")
            presented = authenticator.present(authorization, query.access_token)
            if isinstance(presented, Principal):
                return presented
            recognized = partial(authenticator.recognize, presented)
            return await self._in_thread(recognized, self._strangers)
        except Unauthenticated:
            self._shares.fail(exchange.caller)
            raise

    async def _token(self, exchange: _Exchange) -> Answer:
        """Give a token for what proves who somebody is; who guesses is slowed down."""
        exchange.method_id = TOKEN_PATH
        body = await read_body(exchange.receive, exchange.headers)
        public_url = self._deployment.settings.public_url
        exchanged = partial(exchange_token, self._access, public_url, body)
        answer, principal = await self._in_thread(exchanged, self._strangers)
        if not principal:
            self._shares.fail(exchange.caller)
        self._auditor.signed_in(exchange, principal)
        return answer

    def _require(
        self, principal: Principal, route: Route, path: dict[str, str], name: ResourceName | None
    ) -> None:
        resource = resource_of(path, name, self._deployment.buckets)
        self._access.authorizer.require(principal, route.permission, resource)

    @asynccontextmanager
    async def _uploaded(
        self, exchange: _Exchange, begin: Callable[[Call], Intake], call: Call
    ) -> AsyncIterator[Intake]:
        """Give a body of any size once all of it was taken, and let go of it in the end.

        A thread is held for as long as a piece takes to be written, not for as long as the client
        takes to send the next one.
        """
        upload = await self._in_thread(partial(begin, call))
        try:
            async for piece in body_pieces(exchange.receive, exchange.headers):
                await self._in_thread(partial(upload.write, piece))
            await self._in_thread(upload.finish)
            yield upload
        finally:
            with anyio.CancelScope(shield=True):
                await self._in_thread(upload.close)

    async def _public(self, exchange: _Exchange, handler: PublicHandler) -> Answer:
        exchange.method_id = exchange.scope["path"]
        if exchange.scope["method"] not in SAFE_VERBS:
            allowed = {"Allow": "GET"}
            return status_answer(405, Code.UNIMPLEMENTED.name, "GET only.", headers=allowed)
        query = parse_query(exchange.scope["query_string"])
        exchange.pretty = query.pretty
        if exchange.method_id == "/healthz":  # whatever else waits
            return handler(self._deployment, query)
        return await anyio.to_thread.run_sync(handler, self._deployment, query)

    async def _in_thread(self, work: Callable[[], _T], lane: CapacityLimiter | None = None) -> _T:
        """Run synchronous work: the one bridge, with limiters of its own."""
        return await anyio.to_thread.run_sync(work, limiter=lane or self._limiter)

    async def _send(self, answer: Answer, exchange: _Exchange, send: Send) -> int:
        """Send an answer and give the status that the access log shows."""
        headers = {**GUARDS, **answer.headers}
        if answer.media_type is not None:
            headers["Content-Type"] = answer.media_type
        body = answer.body
        if isinstance(body, bytes):
            if answer.pretty and exchange.pretty:
                body = msgspec.json.format(body, indent=2) + b"\n"
            if answer.status not in {204, 304}:
                headers.setdefault("Content-Length", str(len(body)))
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        start = {"type": "http.response.start", "status": answer.status, "headers": raw}
        await send(start)
        if exchange.scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            if not isinstance(body, bytes | tuple):
                await self._in_thread(partial(close_pieces, body))
            return answer.status
        if isinstance(body, bytes | tuple):
            *before, last = body if isinstance(body, tuple) else (body,)
            exchange.sent_bytes = sum(map(len, before)) + len(last)
            for piece in before:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": last})
            return answer.status
        channel = Channel(exchange.receive, send, exchange.method_id)
        whole = await send_pieces(body, channel, self._in_thread)
        exchange.sent_bytes = channel.sent_bytes
        return answer.status if whole else 499
