"""The routes that a command line asks for, and which of them a file goes through."""

from __future__ import annotations

import argparse
from pathlib import Path

from inference.cli.sources import Item
from inference.defaults import load_routes
from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.route_problems import problems_of
from inference.routes import Route, Step
from inference.routes_file import SIDECAR, Routes
from inference.tables import text_of


def routes_of(options: argparse.Namespace, registry: Registry) -> Routes:
    """The routes that the options ask for, with all their models usable. Raises BadRoute, BadModel."""
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
    routes = load_routes(options.routes or (default if default.is_file() else None), registry).sound()
    routes = Routes((routes.named(options.route),)) if options.route else routes
    for problem in problems_of(routes, registry):
        if isinstance(problem, BadRoute):
            raise problem
    return routes


def route_of(item: Item, routes: Routes, options: argparse.Namespace) -> Route:
    """The route of a file: the requested one, else its sidecar's, else the first that fits its name.

    Below a folder that was given, the name is that of the file in storage, or the path as given. Raises BadRoute.
    """
    if options.model or options.route:
        return routes.routes[0]
    sidecar = item.path.with_name(item.path.name + SIDECAR) if item.path else None
    if sidecar and sidecar.is_file():
        try:
            text = text_of(sidecar).strip()
        except UnicodeDecodeError as error:
            raise BadRoute(f"{sidecar}: not UTF-8 text ({error}); correct it or make it empty") from error
        if text:
            return routes.of_sidecar(text, item.shown)
    names = (item.name, item.path.as_posix() if item.path else item.shown)
    fitting = [route for name in names if (route := routes.match(name))]
    if not fitting:
        raise BadRoute(f'{item.shown}: no route matches this name; add a route with match = "**"')
    return min(fitting, key=routes.routes.index)
