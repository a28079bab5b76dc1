"""Asking public services over HTTP: politely, with patience, and with a mirror in their place.

What every request goes through, in this order: the mirror (`mirrored`), the limiter of its
host, which all processes of the installation share, redirects, and the meaning of the
status. `Http` is what `sources.web.Web` asks for; `resources.downloads` builds on it.

Environment: `REFINEBIO_MIRROR` (a folder or URL that stands in for every public host),
`REFINEBIO_CONTACT` (an e-mail address or web page, told to every service), `NCBI_API_KEY`
(sent to E-utilities only; neither logged nor part of any message), `REFINEBIO_HOME`
(its folder `limits` holds the limiters). Not here: what answers mean, and keeping them.
"""

from __future__ import annotations

import fcntl
import io
import ipaddress
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit

import dagster as dg
from pydantic import Field

from refinebio_assets import __version__
from refinebio_assets.errors import (
    AccessionAbsent,
    SourceAnswerInvalid,
    SourceRefused,
    SourceUnavailable,
)
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import requests
    import stamina

EUTILS = "eutils.ncbi.nlm.nih.gov"
# Requests per second and host (or everything below a domain); public-sources.md, section 1.
LIMITS = {
    EUTILS: 3.0,
    "ncbi.nlm.nih.gov": 3.0,
    "ebi.ac.uk": 10.0,
    "ensembl.org": 15.0,
    "amazonaws.com": 20.0,
}
OTHER_LIMIT = 5.0
EUTILS_WITH_KEY = 10.0

WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
ABSENT = frozenset({204, 404, 410})
MOST_REDIRECTS = 5
# Longer queries go to E-utilities as a form, as its documentation asks.
LONGEST_QUERY = 2000
CHUNK = 1 << 16
_WORDS = 300
_LONGEST_NAME = 200


class TryAgain(SourceUnavailable):
    """One try failed; another may not. `retry_after`: the seconds the service asked for."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Http(dg.ConfigurableResource):
    """HTTP for the sources; implements `refinebio_assets.sources.web.Web`."""

    attempts: int = Field(default=5, ge=1, description="Tries for one question.")
    connect_timeout: float = Field(default=30, gt=0, description="Seconds to wait for a host.")
    idle_timeout: float = Field(default=120, gt=0, description="Seconds to wait for more bytes.")
    whole_timeout: float = Field(
        default=900, gt=0, description="Seconds for one whole document (`get`)."
    )
    max_bytes: int = Field(
        default=512 << 20, ge=1, description="Largest document taken into memory (`get`)."
    )
    first_wait: float = Field(
        default=1, ge=0, description="Seconds before the second try; later waits grow."
    )
    max_retry_after: float = Field(
        default=300, ge=0, description="Longest Retry-After that is waited for, in seconds."
    )
    contact: str | None = Field(
        default=None, description="Who asks; by default $REFINEBIO_CONTACT."
    )
    mirror: str | None = Field(
        default=None,
        description="Folder or URL in place of all public hosts; by default $REFINEBIO_MIRROR.",
    )
    home: str | None = Field(
        default=None, description="Folder of the installation; by default as for `storage`."
    )
    limits: dict[str, float] = Field(
        default={}, description="Requests per second for a host, where the default won't do."
    )

    def get(self, url: str, params: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer with status 200, decoded if it was sent compressed.

        Raises
        ------
        AccessionAbsent
            Status 204, 404 or 410; no such file in a mirror folder.
        SourceRefused
            Another 4xx, with the body's first words; a URL that cannot be asked.
        SourceUnavailable
            A status of `WORTH_ANOTHER_TRY`, another 5xx, a dropped connection or none,
            after `attempts` tries.
        SourceAnswerInvalid
            More than `max_bytes`, or a status that makes no sense.
        """
        url = with_query(url, params)
        file = self._file(url)
        if file is not None:
            with file.open("rb") as stream:
                return self._bounded([stream.read(self.max_bytes + 1)], url)
        for attempt in self.tries():
            with attempt, self.ask(url) as response:
                return self._bounded(_pieces(response, url, self.whole_timeout), url)
        raise AssertionError("unreachable")

    def open(self, url: str) -> AbstractContextManager[BinaryIO]:
        """A large document to be read as it arrives; raises as `get` does.

        Only the beginning is tried again: a connection that drops later raises
        SourceUnavailable from `read`.
        """
        return self._opened(url)

    @contextmanager
    def _opened(self, url: str) -> Iterator[BinaryIO]:
        file = self._file(url)
        if file is not None:
            with file.open("rb") as stream:
                yield stream
            return
        response = self._answer_of_any_try(url)
        with response, io.BufferedReader(_Body(response, url), CHUNK) as stream:
            yield stream

    def _answer_of_any_try(self, url: str) -> requests.Response:
        for attempt in self.tries():
            with attempt:
                return self._follow(url, {"Accept-Encoding": "identity"})
        raise AssertionError("unreachable")

    def tries(self) -> Iterator[stamina.Attempt]:
        """The tries of one piece of work; it says TryAgain when it wants another."""
        import stamina

        return iter(
            stamina.retry_context(
                on=_wait_before_next,
                attempts=self.attempts,
                timeout=None,
                wait_initial=self.first_wait,
                wait_max=60 * self.first_wait,
                wait_jitter=self.first_wait,
            )
        )

    @contextmanager
    def ask(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """One try: an answer with status 200 or, where a range was asked for, 206 or 416.

        Raises
        ------
        TryAgain
            Where another try may help.
        AccessionAbsent, SourceRefused, SourceUnavailable, SourceAnswerInvalid
            As `get`.
        """
        with self._follow(url, headers or {}) as response:
            yield response

    # --- one try --------------------------------------------------------------------------

    def _follow(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        for _ in range(MOST_REDIRECTS + 1):
            response = self._once(url, headers)
            if not response.is_redirect:
                return self._meant(response, url, ranged="Range" in headers)
            response.close()
            target = urljoin(url, response.headers["Location"])
            if not self._mirror() and url.startswith("https:") and not target.startswith("https:"):
                raise SourceRefused(f"{hidden(url)} leads away from https, to {hidden(target)}.")
            url = _without_key(target)
        raise SourceAnswerInvalid(f"{hidden(url)}: more than {MOST_REDIRECTS} redirects.")

    def _once(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        import requests
        from urllib3.exceptions import HTTPError

        place = mirrored(url, self._mirror())
        self._await_turn(url, is_mirrored=place != url)
        sent = {"User-Agent": self._user_agent(), **headers}
        data = None
        try:
            host = urlsplit(place).hostname
            if host == EUTILS:
                place = with_query(place, self._ncbi_identity(place))
            address, _, query = place.partition("?")
            if host == EUTILS and len(query) > LONGEST_QUERY:
                place, data = address, query
                sent["Content-Type"] = "application/x-www-form-urlencoded"
            return _session().request(
                "GET" if data is None else "POST",
                place,
                data=data,
                headers=sent,
                timeout=(self.connect_timeout, self.idle_timeout),
                stream=True,
                allow_redirects=False,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise TryAgain(f"{hidden(url)} cannot be reached: {_why(error)}.") from None
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise SourceRefused(f"{hidden(url)} cannot be asked: {_why(error)}.") from None

    def _meant(self, response: requests.Response, url: str, *, ranged: bool) -> requests.Response:
        status = response.status_code
        if status == 200 or (ranged and status in (206, 416)):
            return response
        with response:
            if status in ABSENT:
                raise AccessionAbsent(f"There is nothing at {hidden(url)} (HTTP {status}).")
            if status in WORTH_ANOTHER_TRY:
                wait = retry_after(response.headers.get("Retry-After"), self.max_retry_after)
                if wait:
                    self._hold(url, wait)
                raise TryAgain(f"{hidden(url)} is not available (HTTP {status}).", wait)
            words = _first_words(response)
            said = f"{hidden(url)} answers HTTP {status}: {words or 'without a word'}"
            if 400 <= status < 500:
                raise SourceRefused(said)
            if status >= 500:
                raise SourceUnavailable(said)
            raise SourceAnswerInvalid(said)

    def _bounded(self, pieces: Iterator[bytes] | list[bytes], url: str) -> bytes:
        body = bytearray()
        for piece in pieces:
            body += piece
            if len(body) > self.max_bytes:
                raise SourceAnswerInvalid(
                    f"{hidden(url)} gives more than {self.max_bytes} bytes.",
                    remedy="Raise `max_bytes` of the http resource if that is as it should be.",
                )
        return bytes(body)

    # --- who asks, where, and when ----------------------------------------------------------

    def _mirror(self) -> str | None:
        return self.mirror or os.environ.get("REFINEBIO_MIRROR") or None

    def _file(self, url: str) -> Path | None:
        """The file of a mirror folder that stands in for a URL; None where one has to ask."""
        place = mirrored(url, self._mirror())
        if "://" in place:
            return None
        path = Path(place)
        if not path.is_file():
            raise AccessionAbsent(f"The mirror has no file for {hidden(url)}.")
        return path

    def _contact(self) -> str:
        said = self.contact or os.environ.get("REFINEBIO_CONTACT") or ""
        return "".join(char for char in said if " " <= char <= "~").strip()

    def _user_agent(self) -> str:
        contact = self._contact() or "no contact given"
        return f"refinebio-assets/{__version__} ({contact})"

    def _ncbi_identity(self, url: str) -> dict[str, str]:
        given = {name for name, _ in parse_qsl(urlsplit(url).query)}
        contact = self._contact()
        own = {
            "tool": "refinebio_assets",
            "email": contact if "@" in contact else "",
            "api_key": _ncbi_key(),
        }
        return {name: value for name, value in own.items() if value and name not in given}

    def _limiter(self) -> Limiter:
        return Limiter(Storage(home=self.home).root / "limits")

    def _limit(self, host: str) -> tuple[str, float] | None:
        """The name of a host's limiter and its rate; None for hosts of one's own."""
        table = {**LIMITS, **({EUTILS: EUTILS_WITH_KEY} if _ncbi_key() else {}), **self.limits}
        for domain in sorted(table, key=len, reverse=True):
            if host == domain or host.endswith(f".{domain}"):
                return domain, table[domain]
        return (host, OTHER_LIMIT) if is_public(host) else None

    def _await_turn(self, url: str, *, is_mirrored: bool) -> None:
        limit = self._limit(_host(url))
        if limit and (not is_mirrored or limit[0] in self.limits):
            self._limiter().wait(*limit)

    def _hold(self, url: str, seconds: float) -> None:
        limit = self._limit(_host(url))
        if limit and mirrored(url, self._mirror()) == url:
            self._limiter().hold(limit[0], seconds)


class Limiter:
    """Spaces requests evenly; one file per host, locked, shared by threads and processes.

    A file holds the time from which the next request may go.
    """

    # A time further ahead than this was written before the clock was set back.
    FURTHEST = 3600.0

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder, self._clock, self._sleep = folder, clock, sleep

    def wait(self, name: str, per_second: float) -> None:
        """Return when a request may go to the host of that name."""
        with self._next_time(name) as (free, write):
            now = self._clock()
            turn = max(free, now)
            write(turn + 1 / per_second)
        if turn > now:
            self._sleep(turn - now)

    def hold(self, name: str, seconds: float) -> None:
        """Let nobody ask the host for some seconds: it said Retry-After."""
        with self._next_time(name) as (free, write):
            write(max(free, self._clock() + seconds))

    @contextmanager
    def _next_time(self, name: str) -> Iterator[tuple[float, Callable[[float], None]]]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / quote(name[:_LONGEST_NAME], safe="")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)

            def write(when: float) -> None:
                os.pwrite(descriptor, f"{when:24.6f}\n".encode(), 0)

            try:
                free = float(os.pread(descriptor, 64, 0))
            except ValueError:
                free = 0.0
            sensible = math.isfinite(free) and free < self._clock() + self.FURTHEST
            yield (free if sensible else 0.0), write
        finally:
            os.close(descriptor)


class _Body(io.RawIOBase):
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


# --- the mirror -----------------------------------------------------------------------------


def mirrored(url: str, mirror: str | None = None) -> str:
    """Where a URL is really read: itself, or its place in the mirror.

    `https://host/path?query` is `<mirror>/host/path?query`; the same for http and ftp. For
    a mirror URL nothing else changes. A mirror folder is laid out as
    `wget --force-directories` does it: the path is percent-decoded; a query is part of the
    file's name after a '?', as it is sent, but with '/' as %2F; a path that ends with '/'
    or is a folder means the file `index.html` in it. A name of more than 200 bytes ends in
    the SHA-256 of the query in the query's place. Hosts that are not public (localhost,
    private addresses, names without a dot) have no mirror.

    Parameters
    ----------
    mirror
        By default $REFINEBIO_MIRROR.

    Returns
    -------
    A URL, or the path of a file that may or may not exist.

    Raises
    ------
    SourceRefused
        For a URL that is none, or whose path would leave the mirror.
    """
    mirror = mirror or os.environ.get("REFINEBIO_MIRROR")
    if not mirror:
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise SourceRefused(f"{url[:200]!r} is not a URL: {error}.") from None
    if parts.scheme not in ("http", "https", "ftp") or not is_public(host):
        return url
    query = f"?{parts.query}" if parts.query else ""
    if "://" in mirror and not mirror.startswith("file://"):
        return f"{mirror.rstrip('/')}/{host}{parts.path}{query}"
    return str(_mirror_file(Path(mirror.removeprefix("file://")), host, parts.path, query))


def _mirror_file(mirror: Path, host: str, path: str, query: str) -> Path:
    segments = [unquote(segment) for segment in path.split("/") if segment]
    wrong = any(each in (".", "..") or "/" in each or "\0" in each for each in segments)
    if wrong or host in (".", "..") or "/" in host:
        raise SourceRefused(f"{path[:200]!r} at {host[:100]} names no file of the mirror.")
    file = mirror.joinpath(host, *segments)
    try:
        if not segments or path.endswith("/") or file.is_dir():
            file /= "index.html"
    except OSError as error:
        raise SourceRefused(f"{path[:200]!r} at {host}: {error.strerror}.") from None
    name = file.name + quote(query, safe="?=&+,;:@!$'()*~%[]|<>\" ")
    if len(name.encode()) > _LONGEST_NAME and query:
        import hashlib

        name = f"{file.name}?{hashlib.sha256(query[1:].encode()).hexdigest()}"
    return file.with_name(name)


def is_public(host: str) -> bool:
    """Whether a host is one of the public internet, by its name or address alone."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        private = (".localhost", ".local", ".internal", ".lan", ".test")
        return "." in host and not host.endswith(private)


# --- small things that downloads need as well ---------------------------------------------------


def with_query(url: str, params: Mapping[str, str] | None) -> str:
    """A URL with more parameters."""
    if not params:
        return url
    address, hash_sign, _ = url.partition("#")
    joint = "&" if "?" in address else "?"
    return f"{address}{joint}{urlencode(params)}" if not hash_sign else with_query(address, params)


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
        raise TryAgain(f"{hidden(url)} broke off: {_why(error)}.") from None


def hidden(text: str) -> str:
    """The text without the NCBI key."""
    key = _ncbi_key()
    for secret in {key, quote(key, safe=""), urlencode({"": key})[1:]} - {""}:
        text = text.replace(secret, "…")
    return text


def _pieces(response: requests.Response, url: str, whole: float) -> Iterator[bytes]:
    until = time.monotonic() + whole
    with broken_off(url):
        for piece in response.iter_content(CHUNK):
            yield piece
            if time.monotonic() > until:
                raise TryAgain(f"{hidden(url)} took longer than {whole:g} s.")


def _first_words(response: requests.Response) -> str:
    import requests
    from urllib3.exceptions import HTTPError

    try:
        content = next(response.iter_content(CHUNK), b"")
    except (requests.RequestException, HTTPError, OSError):
        return ""
    words = " ".join(content.decode("utf-8", "replace").split())
    return hidden(words)[:_WORDS]


def _wait_before_next(error: Exception) -> bool | float:
    """What stamina asks: whether to try again, and after how long if that is known."""
    if not isinstance(error, TryAgain):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after + random.uniform(0.01, 0.5)  # noqa: S311  # not for secrets


def _ncbi_key() -> str:
    return os.environ.get("NCBI_API_KEY", "").strip()


def _without_key(url: str) -> str:
    """A redirect's target as the service wrote it, less the key that it may have echoed."""
    address, mark, query = url.partition("?")
    kept = [pair for pair in query.split("&") if not pair.startswith("api_key=")]
    return address + mark + "&".join(kept)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _why(error: Exception) -> str:
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


class _NoKeys(logging.Filter):
    """urllib3 writes whole URLs at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "api_key=" not in record.getMessage()


_own = threading.local()


def _session() -> requests.Session:
    """The session of this thread: connections are kept, cookies are not."""
    import requests
    from requests.cookies import RequestsCookieJar

    session = getattr(_own, "session", None)
    if session is None:
        from http.cookiejar import DefaultCookiePolicy

        session = requests.Session()
        session.cookies = RequestsCookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
        logger = logging.getLogger("urllib3.connectionpool")
        if not any(isinstance(each, _NoKeys) for each in logger.filters):
            logger.addFilter(_NoKeys())
        _own.session = session
    return cast("requests.Session", session)
