"""What is to be done with an upload: by which route, when, and under which key its result is finished."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from cloud.schedule import Schedule, check_ncrontab
from cloud.settings import UPLOADS, BadSettings, Settings
from cloud.storage.containers import BlobInfo
from cloud.uploads.receipts import make_key
from inference.defaults import default_routes
from inference.engine.pinned import PinnedModels
from inference.engine.registry import Registry
from inference.errors import (
    BadManifest,
    BadModel,
    BadRoute,
    DropsightError,
    ModelReplaced,
    ModelUnavailable,
    NotReady,
    OutOfMemory,
    Permanent,
    RouteUnavailable,
)
from inference.route_problems import problem_of
from inference.routes import Route
from inference.routes_file import SIDECAR, RefusedRoute, Routes, read_routes

log = logging.getLogger(__name__)

APP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class UploadPlan:
    """What a claim decides by: which route, under which key, when.

    until: the slot it waits for; where it is blocked, when it is looked at again at the latest.
    problem: why there is no route: the upload's own mistake, or NotReady, which waits until it is mended.
    """

    key: str
    until: datetime | None = None
    route: Route | None = None
    problem: DropsightError | None = None
    digest: str = ""  # of the route, of which and of the version the key is made
    models: Registry | None = None  # those of the digest and no others

    @property
    def cause(self) -> str:
        """What of the installation has to be mended first, such as "model:yunet"; "" where it can work on it."""
        return (self.problem.cause or "route:") if isinstance(self.problem, NotReady) else ""

    @property
    def blocked(self) -> str:
        """The problem where it is the installation's and may be mended: no upload is to blame, none fails of it."""
        return str(self.problem) if isinstance(self.problem, NotReady) else ""


def load_models(plan: UploadPlan) -> None:
    """Load the models of a plan in this thread: those that run in several threads keep its priority for good, for
    whoever runs them. Raises as `Registry.load`."""
    if plan.route and plan.models:
        for _, name in plan.route.models():
            plan.models.load(name)


class Planner:
    """Finds the route of each upload. Safe to use from many threads.

    sweep_schedule: by which what waits for the installation is looked at again. inline_routes: whether sidecars may
    bring routes of their own.
    """

    def __init__(
        self,
        routes: Routes,
        registry: Registry,
        sweep_schedule: str = Settings.sweep_schedule,
        *,
        inline_routes: bool = Settings.inline_routes,
    ) -> None:
        self.routes = routes
        self.registry = registry
        self.sweep_schedule = sweep_schedule
        self.inline_routes = inline_routes

    def plan(self, info: BlobInfo, sidecar: str | None, *, now: bool = False) -> UploadPlan:
        """The route of an upload and the key under which its result is finished. `now`: wait for no slot."""
        try:
            route = self._route(info, sidecar)
            models, digest = self._pinned(route)
            until = None
            if route.when and not now:
                slot = next_slot(route.when, info.modified)
                until = slot if slot > info.served_at else None
        except Permanent as error:
            key = make_key(UPLOADS, info.name, info.etag, f"no route: {error}")
            return UploadPlan(key, problem=error)
        except Exception as error:  # noqa: BLE001 - nothing of the upload was read yet: it is the installation's trouble
            problem = error if isinstance(error, NotReady) else RouteUnavailable(f"no route can be had: {error!r}")
            return UploadPlan("", self.next_look(info.served_at), problem=problem)
        return UploadPlan(make_key(UPLOADS, info.name, info.etag, digest), until, route, digest=digest, models=models)

    def next_look(self, after: datetime) -> datetime | None:
        """When the next sweep begins; None where its schedule cannot be read."""
        try:
            return next_slot(self.sweep_schedule, after)
        except BadRoute:
            return None

    def _route(self, info: BlobInfo, sidecar: str | None) -> Route:
        if not sidecar:
            return self.route(info.name, info.metadata.get("dropsight_route"))
        try:
            route = self.routes.of_sidecar(sidecar, info.name, inline=self.inline_routes)
            if any(route is ours for ours in self.routes.entries):
                return self._ready(route)
            route = self._limited(route, info.name)
        except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            raise BadRoute(f"{info.name}{SIDECAR}: {error!r}; correct it or make it empty") from error
        problem = problem_of(route, self.registry)
        here = any(entry.name == self._lacking(route) for entry in self.registry.list())
        if problem and not isinstance(problem, ModelUnavailable) and not here:
            raise BadRoute(str(problem))  # it has a route of its own, which its writer can mend
        return self._ready(route)

    def _limited(self, own: Route, name: str) -> Route:
        """A sidecar's own route with no limit above those of the route that the name leads to, or the usual ones.

        Raises BadRoute where nothing is left, RouteUnavailable where the route of the name is refused.
        """
        from inference.video.frames import VideoLimits  # lazily: few uploads have such a sidecar
        from inference.video.options import VideoOptions

        video, route = own.video_options, self.routes.match(name)
        allowed = route.video_options if route else VideoOptions()
        limits = {item.name: getattr(allowed, item.name) for item in fields(VideoLimits)}
        lower = {key: limit for key, limit in limits.items() if limit < getattr(video, key)}
        if not lower:
            return own
        try:
            limited = own.changed(video=replace(video, **lower))
        except ValueError as error:
            raise BadRoute(f"{own.place}: video: {error}; limits of a sidecar only ever lower the app's") from error
        object.__setattr__(limited, "written", {**own.written, **lower})  # which the digest counts
        return limited

    def route(self, name: str, override: str | None = None) -> Route:
        """The route for a name, or the route called `override`. Raises BadRoute where there is none, RouteUnavailable
        where it cannot be used until it, or a model of it, is mended."""
        route = self.routes.match(name, override)
        if route is None:
            raise BadRoute('no route matches this name; add one with match = "**" to routes.toml')
        return self._ready(route)

    def _ready(self, route: Route) -> Route:
        if problem := problem_of(route, self.registry):
            model = self._lacking(route)
            raise RouteUnavailable(str(problem), f"model:{model}" if model else f"route:{route.name}")
        return route

    def _lacking(self, route: Route) -> str:
        """The first model of the route that cannot be used, or is none; "" where all can be."""
        for _, model in route.models():
            try:
                self.registry.entry(model)
            except (BadModel, ModelUnavailable):
                return model
        return ""

    def _pinned(self, route: Route) -> tuple[Registry, str]:
        """The route's models as they are now, and its digest with them. Raises RouteUnavailable where a model's files
        are not as they were a moment ago."""
        try:
            models = PinnedModels(self.registry, [name for _, name in route.models()])
            return models, route.digest(models)
        except (DropsightError, OSError) as error:
            for _, model in route.models():
                try:
                    self.registry.digest(model)
                except (DropsightError, OSError):
                    raise RouteUnavailable(f"{route.place}: {error}", f"model:{model}") from error
            raise RouteUnavailable(f"{route.place}: {error}", f"route:{route.name}") from error

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
        foreseen = isinstance(error, DropsightError) and not isinstance(error, BadModel | BadManifest | NotReady)
        if route is None or foreseen or isinstance(error, MemoryError):
            return error
        if isinstance(error, ModelReplaced):
            return error
        if isinstance(error, NotReady):
            return (
                error if error.cause else self.unloadable(route) or RouteUnavailable(str(error), f"route:{route.name}")
            )
        return self.unloadable(route) or error

    def unloadable(self, route: Route) -> RouteUnavailable | None:
        """Why a model of the route cannot be loaded, whatever the file is that it is for; or None."""
        for _, model in route.models():
            if problem := self.unusable(model):
                return RouteUnavailable(f"{route.place}: {problem}", f"model:{model}")
        return None

    def unusable(self, model: str) -> Exception | None:
        """Why this model cannot be loaded; None where it can, or where only memory is short for now."""
        try:
            self.registry.digest(model)  # loads nothing that others of its files may be on their way to
            self.registry.load(model)
        except (OutOfMemory, MemoryError):
            return None
        except (DropsightError, OSError) as problem:
            return problem
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


def routes_path(settings: Settings) -> Path:
    """The app's file of routes, which need not exist."""
    return APP / settings.routes_file


def written_routes(settings: Settings) -> Routes:
    """The routes of the app's file; none where the default routes are used, which are known when models are loaded.

    Raises BadSettings: a misspelt file must not fail every upload for good.
    """
    path = routes_path(settings)
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
