"""What is to be done with an upload: by which route, when, and under which key its result is finished."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cloud.schedule import Schedule, check_ncrontab
from cloud.settings import UPLOADS, BadSettings, Settings
from cloud.storage.containers import BlobInfo
from cloud.uploads.receipts import make_key
from inference.defaults import default_routes
from inference.engine.registry import Registry
from inference.errors import BadManifest, BadModel, BadRoute, DropsightError, Permanent, RouteUnavailable, Transient
from inference.route_problems import problem_of
from inference.routes import Route
from inference.routes_file import RefusedRoute, Routes, read_routes

log = logging.getLogger(__name__)

APP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class UploadPlan:
    """What a claim decides by: which route, under which key, when.

    `problem`: why there is no route. Permanent is the upload's own mistake; Transient waits until it is mended.
    """

    key: str
    until: datetime | None = None
    route: Route | None = None
    problem: DropsightError | None = None
    digest: str = ""  # of the route, of which and of the version the key is made

    @property
    def blocked(self) -> str:
        """The problem where it is the installation's and may be mended: no upload is to blame, none fails of it."""
        return str(self.problem) if isinstance(self.problem, Transient) else ""


class Planner:
    """Finds the route of each upload. Safe to use from many threads."""

    def __init__(self, routes: Routes, registry: Registry) -> None:
        self.routes = routes
        self.registry = registry

    def plan(self, info: BlobInfo, sidecar: str | None, *, now: bool = False) -> UploadPlan:
        """The route of an upload and the key under which its result is finished. `now`: wait for no slot."""
        try:
            route = self._route(info, sidecar)
            digest = route.digest(self.registry)
            until = None
            if route.when and not now:
                slot = next_slot(route.when, info.modified)
                until = slot if slot > info.served_at else None
        except Transient as error:
            return UploadPlan("", problem=error)
        except DropsightError as error:
            key = make_key(UPLOADS, info.name, info.etag, f"no route: {error}")
            return UploadPlan(key, problem=error)
        return UploadPlan(make_key(UPLOADS, info.name, info.etag, digest), until, route, digest=digest)

    def _route(self, info: BlobInfo, sidecar: str | None) -> Route:
        if not sidecar:
            return self.route(info.name, info.metadata.get("dropsight_route"))
        route = self.routes.of_sidecar(sidecar, info.name)
        if any(route is ours for ours in self.routes.entries):
            return self._ready(route)
        if problem := problem_of(route, self.registry):
            raise BadRoute(str(problem))  # it has a route of its own, which its writer can mend
        return route

    def route(self, name: str, override: str | None = None) -> Route:
        """The route for a name, or the route called `override`. Raises BadRoute where there is none, RouteUnavailable
        where it cannot be used until it, or a model of it, is mended."""
        route = self.routes.match(name, override)
        if route is None:
            raise BadRoute('no route matches this name; add one with match = "**" to routes.toml')
        return self._ready(route)

    def _ready(self, route: Route) -> Route:
        if problem := problem_of(route, self.registry):
            raise RouteUnavailable(str(problem))
        return route

    def problems(self) -> list[str]:
        """Why uploads wait: a sentence per route that cannot be used. Loads the models."""
        problems = (
            entry.reason if isinstance(entry, RefusedRoute) else self._problem(entry) for entry in self.routes.entries
        )
        return [str(problem) for problem in problems if problem]

    def _problem(self, route: Route) -> DropsightError | None:
        return problem_of(route, self.registry) or self.unloadable(route)

    def cause(self, route: Route | None, error: Exception) -> Exception:
        """The error; but where a model of the route cannot be loaded whatever the file is, that is the cause."""
        if route and isinstance(error, BadModel | BadManifest):
            return self.unloadable(route) or error
        return error

    def unloadable(self, route: Route) -> RouteUnavailable | None:
        """Why a model of the route cannot be loaded, whatever the file is that it is for; or None."""
        try:
            for _, model in route.models():
                self.registry.load(model)
        except Permanent as problem:
            return RouteUnavailable(f"{route.place}: {problem}")
        return None


def packages_of(route: Route) -> list[str]:
    """The packages beyond requirements.txt without which no video of the route can be analysed."""
    return ["cv2"] if route.video and (route.video.follow or route.video.camera_motion) else []


def app_routes(settings: Settings, registry: Registry) -> Routes:
    """The routes of the app; logs which of them no name leads to. Raises as `written_routes`."""
    routes = written_routes(settings)
    for sentence in routes.unreachable():
        log.warning("%s", sentence)
    return routes if routes.entries else default_routes(registry)


def written_routes(settings: Settings) -> Routes:
    """The routes of the app's file; none where the default routes are used, which are known when models are loaded.

    Raises BadSettings: a misspelt file must not fail every upload for good.
    """
    path = APP / settings.routes_file
    if not path.is_file() and settings.routes_file == "routes.toml":
        return Routes(())
    try:
        routes = read_routes(path)
    except BadRoute as error:
        raise BadSettings(str(error)) from error
    return replace(routes, entries=tuple(_scheduled(entry) for entry in routes.entries))


def _scheduled(entry: Route | RefusedRoute) -> Route | RefusedRoute:
    """The entry, refused where its schedule is none."""
    if isinstance(entry, Route) and entry.when:
        try:
            next_slot(entry.when, datetime.now(UTC))
        except BadRoute as error:
            return RefusedRoute(entry.name, entry.match, f"{entry.place}: {error}")
    return entry


def next_slot(expression: str, after: datetime) -> datetime:
    """The first moment of an NCRONTAB (UTC) after `after`. Raises BadRoute for what is none, or never comes."""
    try:
        schedule = Schedule(cron=check_ncrontab(expression))
    except ValueError as error:
        raise BadRoute(
            f"when = {expression!r}: not an NCRONTAB ({error}); expected six fields, such as "
            "'0 0 2 * * *' for every night at 02:00 UTC"
        ) from error
    slot = next(schedule.slots(after, datetime.max.replace(tzinfo=UTC)), None)
    if slot is None:
        raise BadRoute(f"when = {expression!r}: this moment never comes; correct the schedule")
    return slot
