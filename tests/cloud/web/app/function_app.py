"""The functions of the app that have to do with rights, sessions and media, without those that analyse anything."""

from __future__ import annotations

import json

import azure.functions as func

from cloud.web import router

router.BODIES |= {
    "session": ("cloud.web.session", "sign_in"),
    "media": ("cloud.web.media", "media"),
    "static": ("cloud.web.static", "static"),
}
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
ANONYMOUS = func.AuthLevel.ANONYMOUS


def _of_right(right: str, req: func.HttpRequest) -> func.HttpResponse:
    if req.route_params["path"] != "rights":
        return func.HttpResponse(status_code=404)
    return func.HttpResponse(json.dumps({"right": right}), mimetype="application/json")


@app.route("v1/{*path}", methods=["GET", "HEAD"])
def read(req: func.HttpRequest) -> func.HttpResponse:
    return _of_right("read", req)


@app.route("v1/{*path}", methods=["PUT", "POST"])
def contribute(req: func.HttpRequest) -> func.HttpResponse:
    return _of_right("contribute", req)


@app.route("v1/{*path}", methods=["DELETE"])
def operate(req: func.HttpRequest) -> func.HttpResponse:
    return _of_right("operate", req)


@app.route("operate/{*path}", methods=["POST"])
def operate_actions(req: func.HttpRequest) -> func.HttpResponse:
    return _of_right("operate_actions", req)


@app.route("session", methods=["POST"], auth_level=ANONYMOUS)
def session(req: func.HttpRequest) -> func.HttpResponse:
    return router.answer("session", req)


@app.route("media/{*path}", methods=["GET", "HEAD"], auth_level=ANONYMOUS)
def media(req: func.HttpRequest) -> func.HttpResponse:
    return router.answer("media", req)


@app.route("static/{*path}", methods=["GET", "HEAD"], auth_level=ANONYMOUS)
def static(req: func.HttpRequest) -> func.HttpResponse:
    return router.answer("static", req)


@app.route("gallery/{*path}", methods=["GET", "POST"], auth_level=ANONYMOUS)
def gallery(req: func.HttpRequest) -> func.HttpResponse:
    """Who asks; a POST is a change, which only pages of this app make."""
    from cloud.web.session import check_origin, session_of
    from inference.errors import Permanent

    try:
        if req.method == "POST":
            check_origin(req)
    except Permanent as error:
        return func.HttpResponse(str(error), status_code=403)
    found = session_of(req)
    said = {"rights": sorted(found.rights), "signed_in": found.signed_in, "asks_key": found.asks_key}
    return func.HttpResponse(json.dumps(said), mimetype="application/json")
