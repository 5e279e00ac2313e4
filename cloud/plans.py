"""What is to be done with an upload: by which route, when, and under which key its result is finished."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inference.errors import BadRoute, DropsightError, Transient
from inference.registry import Registry
from inference.routes import Route, Routes, load_routes

from .receipts import make_key
from .schedule import Schedule, check_ncrontab
from .settings import UPLOADS, BadSettings, Settings
from .storage import BlobInfo

APP = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class UploadPlan:
    """What a claim decides by: which route, under which key, when. `problem`: why there is no route."""

    key: str
    until: datetime | None = None
    route: Route | None = None
    problem: DropsightError | None = None

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
        return UploadPlan(make_key(UPLOADS, info.name, info.etag, digest), until, route)

    def _route(self, info: BlobInfo, sidecar: str | None) -> Route:
        if sidecar:
            return self.routes.of_sidecar(sidecar, info.name)
        return self.route(info.name, info.metadata.get("dropsight_route"))

    def route(self, name: str, override: str | None = None) -> Route:
        """The route for a name, or the one called `override`. Raises BadRoute where there is none."""
        route = self.routes.match(name, override)
        if route is None:
            raise BadRoute('no route matches this name; add one with match = "**" to routes.toml')
        return route


def app_routes(settings: Settings, registry: Registry) -> Routes:
    """The routes of the app. Raises BadSettings: a misspelt file must not fail every upload for good."""
    path = APP / settings.routes_file
    if not path.is_file() and settings.routes_file == "routes.toml":
        return load_routes(None, registry)
    try:
        routes = load_routes(path, registry)
        for route in routes.routes:
            if route.when:
                next_slot(route.when, datetime.now(UTC))
    except BadRoute as error:
        raise BadSettings(str(error)) from error
    return routes


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
