"""Who asks the public services, and the NCBI key: sent to E-utilities, hidden elsewhere.

Environment: `NCBI_API_KEY`. Not here: the requests (`resources.http`).
"""

from __future__ import annotations

import logging
import os
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from refinebio_assets import __version__

EUTILS = "eutils.ncbi.nlm.nih.gov"


def ncbi_key() -> str:
    """The key of whoever runs this; empty where none is set."""
    return os.environ.get("NCBI_API_KEY", "").strip()


def user_agent(contact: str) -> str:
    """What every service is told."""
    return f"refinebio-assets/{__version__} ({contact or 'no contact given'})"


def ncbi_identity(url: str, contact: str) -> dict[str, str]:
    """The parameters with which E-utilities ask to be told who asks, less those of the URL."""
    given = {name for name, _ in parse_qsl(urlsplit(url).query)}
    own = {
        "tool": "refinebio_assets",
        "email": contact if "@" in contact else "",
        "api_key": ncbi_key(),
    }
    return {name: value for name, value in own.items() if value and name not in given}


def hidden(text: str) -> str:
    """The text without the NCBI key."""
    key = ncbi_key()
    for secret in {key, quote(key, safe=""), urlencode({"": key})[1:]} - {""}:
        text = text.replace(secret, "…")
    return text


def without_key(url: str) -> str:
    """A redirect's target as the service wrote it, less the key that it may have echoed."""
    address, mark, query = url.partition("?")
    kept = [pair for pair in query.split("&") if not pair.startswith("api_key=")]
    return address + mark + "&".join(kept)


class NoKeys(logging.Filter):
    """urllib3 writes whole URLs at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "api_key=" not in record.getMessage()
