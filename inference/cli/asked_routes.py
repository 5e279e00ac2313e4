"""The routes that a command line asks for, and which of them a file goes through."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from inference.cli.artifact_options import with_artifact_options
from inference.cli.filters import filtered
from inference.cli.sources import Item
from inference.defaults import load_routes
from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.plain_text import single
from inference.route_problems import problem_of
from inference.routes import Route, Step
from inference.routes_file import MAX_SIDECAR_BYTES, SIDECAR, RefusedRoute, Routes
from inference.small_file import content_of
from inference.tables import text_of


@dataclass(frozen=True)
class Asked:
    """The routes with the options of the command line on them, which a file's own route gets, too."""

    routes: Routes
    options: argparse.Namespace
    registry: Registry

    @classmethod
    def by(cls, options: argparse.Namespace, registry: Registry) -> Asked:
        """Raises BadRoute for options that cannot be meant, or do nothing for any of the routes; BadModel."""
        return cls(_with_options(routes_of(options, registry), options, registry, check=True), options, registry)

    def route_of(self, item: Item) -> Route:
        """The route that a file goes through. Raises BadRoute, RouteUnavailable; ModelUnavailable where a model of it
        is not here, even one that only videos need: the app lets such a file wait, too."""
        route = route_of(item, self.routes, self.options)
        ours = any(route is known for known in self.routes.routes)
        problem = problem_of(route, self.registry)
        if problem and not (ours and isinstance(problem, BadRoute)):  # that of ours was raised for all files
            raise problem
        if ours:
            return route
        own = Routes((route,))  # options that do nothing for it may be meant for other files
        return _with_options(own, self.options, self.registry, check=False).routes[0]


def _with_options(routes: Routes, options: argparse.Namespace, registry: Registry, *, check: bool) -> Routes:
    """What is renamed comes first: files go by the new names."""
    return with_artifact_options(filtered(routes, options, registry, check=check), options, registry, check=check)


def routes_of(options: argparse.Namespace, registry: Registry) -> Routes:
    """The routes that the options ask for. A route that cannot be used as it is written fails the files that it matches
    only, as does a model that may lie elsewhere, as in an app's container; it is said once. Raises BadRoute, also where
    no route is left; BadModel."""
    if options.model:
        if options.routes or options.route:
            raise BadRoute("--model makes a route of its own; give either --model or --routes and --route")
        for name in options.model:
            registry.entry(name)  # a name that leads nowhere is reported once, not for every file
        twice = [name for name in options.model if options.model.count(name) > 1]
        if twice:
            raise BadRoute(f"--model {twice[0]} is given {len(twice)} times; once is enough")
        return Routes((Route("command-line", tuple(Step(m) for m in options.model)),))
    default = Path("routes.toml")
    routes = load_routes(options.routes or (default if default.is_file() else None), registry)
    if options.route:
        routes = Routes((routes.named(options.route),))
    routes = Routes(tuple(_sound(entry, registry) for entry in routes.entries))
    refused = [entry for entry in routes.entries if isinstance(entry, RefusedRoute)]
    if refused and not routes.routes:
        raise BadRoute(refused[0].reason)
    for entry in refused:
        print(single(f"{entry.reason}; files that this route matches are not analysed"), file=sys.stderr)
    return routes


def _sound(entry: Route | RefusedRoute, registry: Registry) -> Route | RefusedRoute:
    """The entry, refused where what it asks of its models cannot be done."""
    problem = problem_of(entry, registry) if isinstance(entry, Route) else None
    return RefusedRoute(entry.name, entry.match, str(problem)) if isinstance(problem, BadRoute) else entry


def route_of(item: Item, routes: Routes, options: argparse.Namespace) -> Route:
    """The route of a file: the requested one, else its sidecar's, else the first that fits its name.

    Below a folder that was given, the name is that of the file in storage, or the path as given. Raises BadRoute,
    RouteUnavailable.
    """
    if options.model or options.route:
        return routes.routes[0]
    sidecar = item.path.with_name(item.path.name + SIDECAR) if item.path else None
    if sidecar and os.path.lexists(sidecar):  # one that cannot be read does not go the way of all others
        try:
            text = text_of(content_of(sidecar, MAX_SIDECAR_BYTES)).strip()
        except OSError as error:
            raise BadRoute(f"{sidecar}: cannot be read ({error.strerror}); check it, or remove it") from error
        except UnicodeDecodeError as error:
            raise BadRoute(f"{sidecar}: not UTF-8 text ({error}); correct it or make it empty") from error
        if text:
            # Who runs the command may also write its routes.
            return routes.of_sidecar(text, item.shown, inline=True)
    names = (item.name, item.path.as_posix() if item.path else item.shown)
    if route := routes.first(*names):
        return route
    raise BadRoute(f'{item.shown}: no route matches this name; add a route with match = "**"')
