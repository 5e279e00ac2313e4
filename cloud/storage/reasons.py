"""Why storage did not answer, in a sentence without markup, and the remedy where a proxy or TLS is to blame."""

from __future__ import annotations

from azure.core.exceptions import AzureError, HttpResponseError

# Parts of the words of requests, urllib3 and OpenSSL, and what each comes to.
_CAUSES = (
    (
        "Missing dependencies for SOCKS",
        "a SOCKS proxy is set (ALL_PROXY, HTTPS_PROXY), which the storage client cannot use: name an HTTP proxy in "
        "HTTPS_PROXY, or the account's host in NO_PROXY",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate is not trusted here, as behind a proxy that reads TLS: name the file with your company's CA "
        "in REQUESTS_CA_BUNDLE and SSL_CERT_FILE",
    ),
    (
        "Unable to connect to proxy",
        "the proxy of HTTPS_PROXY or HTTP_PROXY does not answer, or does not let it through: mend that variable, or "
        "name the account's host in NO_PROXY",
    ),
)

# What storage says of a blob that is there and that nobody can read: its name for it, what it is, and what to do.
_KEPT_BACK = {
    "BlobArchived": "it is in the archive tier, unreadable: set its tier to Hot or Cool, which takes hours; "
    "it is analysed once it is back",
    "BlobBeingRehydrated": "it is on its way back from the archive tier: it is analysed once it is there",
    "BlobUsesCustomerSpecifiedEncryption": "it is encrypted with a key of its uploader's own (customer-provided key), "
    "which this app does not have: upload it without one, or encrypt the account with a key of the key vault",
}


def kept_back(code: str) -> str:
    """Why a blob cannot be read, whoever asks, and what to do; "" where the code says nothing of that kind."""
    return _KEPT_BACK.get(code, "")


def reason_of(error: AzureError) -> str:
    """What went wrong, without a full stop."""
    text = str(error)
    for part, reason in _CAUSES:
        if part in text:
            return reason
    if isinstance(error, HttpResponseError) and is_page(error):
        return (
            f"{error.status_code} {error.reason or ''} and a page came that is not storage's: a proxy's, perhaps "
            "(HTTPS_PROXY and HTTP_PROXY name it, NO_PROXY the hosts that are reached without)"
        )
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)


def is_page(error: HttpResponseError) -> bool:
    """Whether an answer is a page for people, as proxies and gateways give them, and storage's own never is."""
    headers = getattr(error.response, "headers", None) or {}
    lower = {name.lower(): str(value) for name, value in headers.items()}
    return "x-ms-request-id" not in lower and lower.get("content-type", "").lower().startswith("text/html")
