"""Calls to the workspace's REST APIs over azure-core, and the service's answers as our errors.

Reading is retried by azure-core. A submission is sent exactly once: azure-core's retry policy repeats a
POST on 500, 503, 504 and on any Retry-After, which may start a second run.

What cannot be read is not absent: only a 404 with the service's own JSON error says that something is not there.
Proxies and gateways answer with pages of their own, under any status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from azure.core import PipelineClient
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest, HttpResponse

from cloud.azureml.workspace import ExistsAlready, NotAccepted, OutcomeUnknown, ServiceRefused, Workspace
from inference.errors import ServiceBusy

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_SIGN_IN = "Remedy: turn on the app's managed identity (in the cloud) or sign in with `az login` (on your machine)"

# A function has minutes: what asks for more patience is looked at again by the next tick.
_PATIENCE_S = 20.0


class Patience(RetryPolicy[Any, Any]):
    """azure-core's retries of reading, but never asleep for as long as a Retry-After may ask."""

    def is_retry(self, settings: Any, response: Any) -> bool:
        """Called by azure-core: whether the request is sent again."""
        asked = self.get_retry_after(response) or 0.0
        return bool(super().is_retry(settings, response)) and asked <= _PATIENCE_S


def patience() -> Patience:
    """Three retries: seconds, or up to a minute where the service asks for it."""
    return Patience(retry_total=3, retry_backoff_factor=0.3, retry_backoff_max=10)


class Caller:
    """Speaks JSON with a workspace, with the token that the API wants."""

    def __init__(self, workspace: Workspace, credential: TokenCredential) -> None:
        self._workspace = workspace
        self._credential = credential
        # A token must never travel in clear text, except to this machine.
        self._https = not workspace.management.startswith("http://127.0.0.1:")
        self._clients: dict[tuple[str, bool], PipelineClient[HttpRequest, HttpResponse]] = {}

    def get(self, url: str, audience: str, what: str, params: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """The JSON object that is answered, or None for 404. Raises ServiceBusy or ServiceRefused."""
        answer = self._get(url, audience, what, params)
        if answer is None or isinstance(answer, dict):
            return answer
        raise ServiceBusy(f"{self._where(what)} answered {str(answer)[:200]!r} in place of a JSON object")

    def page(
        self, url: str, audience: str, what: str, params: Mapping[str, str] | None = None
    ) -> tuple[list[dict[str, Any]], str] | None:
        """The objects of a page of a list, and the address of the next page; None for 404. As `get` otherwise."""
        answer = self._get(url, audience, what, params)
        if answer is None:
            return None
        page = answer if isinstance(answer, dict) else {"value": answer}
        items = page.get("value")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ServiceBusy(f"{self._where(what)} answered {str(answer)[:200]!r} in place of a list of JSON objects")
        return items, str(page.get("nextLink") or "")

    def rows(
        self, url: str, audience: str, what: str, params: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The objects of all pages of a list, read page by page; none for 404."""
        page = self.page(url, audience, what, params)
        return self.following(page, audience, what) if page else iter(())

    def following(self, page: tuple[list[dict[str, Any]], str], audience: str, what: str) -> Iterator[dict[str, Any]]:
        """The objects of a page, and of all pages after it."""
        items, address = page
        yield from items
        while address:
            further = self.page(address, audience, what)
            if further is None:
                raise ServiceBusy(f"{self._where(what)} answered 404 for a further page of the list")
            items, address = further
            yield from items

    def _get(self, url: str, audience: str, what: str, params: Mapping[str, str] | None) -> Any:
        try:
            response = self._send(HttpRequest("GET", url, params=params), audience, retry=True)
        except (ServiceRequestError, ServiceResponseError) as error:
            raise ServiceBusy(f"{self._where(what)} did not answer: {error}") from error
        if response.status_code == 404 and _is_the_services(response):
            return None
        if response.status_code >= 400:
            raise self.refusal(response, what, sent=False)
        answer = _json(response)
        if answer is None:
            raise ServiceBusy(f"{self._where(what)} answered {response.status_code} without JSON")
        return answer

    def post_once(self, url: str, audience: str, what: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        """Submit, at most once. Raises NotAccepted, OutcomeUnknown or ServiceRefused."""
        request = HttpRequest("POST", url, json=body, headers=headers)
        try:
            response = self._send(request, audience, retry=False)
        except ServiceRequestError as error:  # azure-core: no request was sent
            raise NotAccepted(
                f"{self._where(what)} cannot be reached: {error}. Remedy: check AZUREML_REGION and the network"
            ) from error
        except ServiceResponseError as error:
            raise OutcomeUnknown(f"{self._where(what)} broke off before it answered: {error}") from error
        if response.status_code >= 400:
            raise self.refusal(response, what, sent=True)
        answer = _json(response)
        if answer is None:
            raise OutcomeUnknown(f"{self._where(what)} answered {response.status_code} without JSON")
        return answer

    def refusal(self, response: Any, what: str, *, sent: bool) -> Exception:
        """The error that an answer means which is not the one that was asked for, with its remedy.

        `sent` says that the request starts something: then a 5xx leaves its outcome open, and so does an answer that is
        not the service's own. The repeat of a request whose answer was lost is refused as existing already: with 409,
        or for a job with 400, JobPropertyImmutable, "A job with this name already exists". That is known from what
        other users have reported in public, not from the service itself.
        """
        status = response.status_code
        said = _service_message(response)
        where = f"{self._where(what)} answered {status}: {said}"
        if status == 429:
            return NotAccepted(f"{where}. It is sent again later.", _retry_after(response))
        if status < 400 or status == 408 or status >= 500 or not _is_the_services(response):
            return OutcomeUnknown(where) if sent else ServiceBusy(where)
        if status == 409 or (status == 400 and _says_that_it_exists(response)):
            return ExistsAlready(f"{where}. Remedy: a run or resource of that name exists already.")
        remedy = {
            401: "the token was not accepted: check that the app's identity belongs to the workspace's tenant",
            403: "the app's identity lacks a role: give it AzureML Data Scientist on the workspace",
            404: "check the id, that the pipeline or endpoint is not disabled or deleted, and AZUREML_REGION "
            f"(now {self._workspace.region!r})",
        }.get(status, "check the entry's inputs and parameters against what the pipeline declares")
        return ServiceRefused(f"{where}. Remedy: {remedy}.")

    def _send(self, request: HttpRequest, audience: str, *, retry: bool) -> HttpResponse:
        try:
            response = self._client(audience, retry).send_request(request, enforce_https=self._https)
            if response.status_code == 401:
                # ServiceRefused before anything was started: once more, with a token fetched anew.
                self._clients.pop((audience, retry), None)  # another thread may have done so
                response = self._client(audience, retry).send_request(request, enforce_https=self._https)
        except ClientAuthenticationError as error:
            raise NotAccepted(f"no token for {self._where('')}: {error.message}. {_SIGN_IN}") from error
        return response

    def _client(self, audience: str, retry: bool) -> PipelineClient[HttpRequest, HttpResponse]:
        if (audience, retry) not in self._clients:
            policies: list[Any] = [HeadersPolicy(), UserAgentPolicy("dropsight")]
            if retry:
                policies.append(patience())
            policies.append(BearerTokenCredentialPolicy(self._credential, audience))
            self._clients[audience, retry] = PipelineClient(
                self._workspace.management, policies=policies, connection_timeout=10, read_timeout=60
            )
        return self._clients[audience, retry]

    def _where(self, what: str) -> str:
        return f"workspace {self._workspace.name!r} ({self._workspace.region}){', ' + what if what else ''}"


def from_sdk(error: Exception, caller: Caller, what: str, *, sent: bool) -> Exception:
    """An exception of azure-ai-ml as ours: what it wraps decides."""
    if isinstance(error, HttpResponseError) and error.response is not None:
        if isinstance(error, ClientAuthenticationError) and error.status_code is None:
            return NotAccepted(f"{what}: {error.message}. {_SIGN_IN}")
        return caller.refusal(error.response, what, sent=sent)
    if isinstance(error, ClientAuthenticationError):
        return NotAccepted(f"{what}: no token: {error.message}. {_SIGN_IN}")
    if isinstance(error, ServiceRequestError):
        return NotAccepted(f"{what}: {error.message}")
    if isinstance(error, ServiceResponseError):
        return OutcomeUnknown(f"{what}: {error.message}")
    return ServiceRefused(f"{what}: {type(error).__name__}: {error}")


def _text(response: Any) -> str:
    """The body as text; empty where it is none in the charset that is named."""
    try:
        return str(response.text())
    except (ValueError, LookupError):
        return ""


def _json(response: Any) -> Any:
    """The body as JSON; None where it is something else."""
    try:
        return json.loads(_text(response))
    except (ValueError, RecursionError):
        return None


def _error_of(response: Any) -> Mapping[str, Any]:
    """The service's own error, `{"error": {"code", "message"}}` in every API of the workspace; empty for another's."""
    answer = _json(response)
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) and (error.get("code") or error.get("message")) else {}


def _is_the_services(response: Any) -> bool:
    """Whether the service itself refused: not where a page answers, nor where a 404 has no error of the service.

    A 404 without a body is no proof either: a gateway that knows no way to the service answers so. If it was the
    service after all, a slot waits for a person's word; the other way round a run would be started twice.
    """
    if _error_of(response):
        return True
    is_page = "html" in str(response.headers.get("Content-Type", "")) or _text(response).lstrip().startswith("<")
    return not is_page and response.status_code != 404


def _says_that_it_exists(response: Any) -> bool:
    text = json.dumps(_error_of(response)).lower()  # the code stands in an inner error
    return "jobpropertyimmutable" in text or "already exists" in text


def _service_message(response: Any) -> str:
    error = _error_of(response)
    if said := str(error.get("message") or error.get("code") or ""):
        return said[:600]
    if _json(response) is not None:
        return _text(response)[:600]
    return f"{response.reason or 'no explanation'}, in no words of the service: a proxy or a gateway, perhaps"


def _retry_after(response: Any) -> float:
    word = str(response.headers.get("Retry-After", ""))
    return float(word) if word.replace(".", "", 1).isdecimal() else 60.0
