"""One answer of a service: its connection, its bytes as they come, and why they do not.

What breaks on the way becomes TryAgain; no message holds the NCBI key or a whole URL's
parameters. Not here: whether there is another try, and what a status means
(`resources.http`, `resources.downloads`).
"""

from __future__ import annotations

import io
import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from refinebio_assets.errors import SourceUnavailable
from refinebio_assets.resources.identity import NoKeys, hidden

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 16
_WORDS = 300


class TryAgain(SourceUnavailable):
    """One try failed; another may not. `retry_after`: the seconds the service asked for."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Body(io.RawIOBase):
    """An answer's bytes as they arrive; a file sent as .gz stays one."""

    def __init__(self, response: requests.Response, url: str) -> None:
        super().__init__()
        self._response, self._url = response, url
        self._decode = wants_decoding(response, url)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with broken_off(self._url):
            piece = self._response.raw.read(len(buffer), decode_content=self._decode)
        buffer[: len(piece)] = piece
        return len(piece)


def wants_decoding(response: requests.Response, url: str) -> bool:
    """Whether the transport compressed a file that is not itself a .gz file."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    compressed = urlsplit(url).path.lower().endswith((".gz", ".tgz", ".bgz"))
    return encoding not in ("", "identity") and not compressed


@contextmanager
def broken_off(url: str) -> Iterator[None]:
    """Turn what urllib3 and requests raise in the middle of an answer into TryAgain."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (requests.RequestException, HTTPError, OSError) as error:
        raise TryAgain(f"{hidden(url)} broke off: {why(error)}.") from None


def retry_after(header: str | None, longest: float) -> float | None:
    """The seconds of a Retry-After header (a number, perhaps fractional, or a date), at most
    `longest`; None where it says nothing that can be understood."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return None
        aware = when if when.tzinfo else when.replace(tzinfo=UTC)
        seconds = (aware - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), longest) if math.isfinite(seconds) else None


def pieces(response: requests.Response, url: str, whole: float) -> Iterator[bytes]:
    """The body as it arrives, for at most `whole` seconds; then TryAgain."""
    until = time.monotonic() + whole
    with broken_off(url):
        for piece in response.iter_content(CHUNK):
            yield piece
            if time.monotonic() > until:
                raise TryAgain(f"{hidden(url)} took longer than {whole:g} s.")


def first_words(response: requests.Response) -> str:
    """The beginning of a refusal's body on one line; empty where it has none."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        content = next(response.iter_content(CHUNK), b"")
    except (requests.RequestException, HTTPError, OSError):
        return ""
    words = " ".join(content.decode("utf-8", "replace").split())
    return hidden(words)[:_WORDS]


def why(error: Exception) -> str:
    """The innermost reason: requests' own texts hold the whole URL, with its parameters."""
    inner: object = error
    while True:
        causes = (getattr(inner, "reason", None), *getattr(inner, "args", ()))
        deeper = next((each for each in causes if isinstance(each, Exception)), None)
        if deeper is None:
            break
        inner = deeper
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    said = str(inner).rpartition(": ")[2] if "url" in str(inner) else str(inner)
    return hidden(f"{type(inner).__name__} {said}"[:_WORDS].strip().rstrip("."))


_own = threading.local()


def session() -> requests.Session:
    """The session of this thread: connections are kept, cookies are not."""
    import requests
    from requests.cookies import RequestsCookieJar

    mine = getattr(_own, "session", None)
    if mine is None:
        from http.cookiejar import DefaultCookiePolicy

        mine = requests.Session()
        mine.cookies = RequestsCookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
        logger = logging.getLogger("urllib3.connectionpool")
        if not any(isinstance(each, NoKeys) for each in logger.filters):
            logger.addFilter(NoKeys())
        _own.session = mine
    return cast("requests.Session", mine)
