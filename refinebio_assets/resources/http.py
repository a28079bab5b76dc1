"""Asking public services over HTTP: politely, with patience, and with a mirror in their place.

What every request goes through, in this order: the mirror (`resources.mirror`), the limiter
of its host, which all processes of the installation share (`resources.limits`), redirects,
and the meaning of the status. `Http` is what `sources.web.Web` asks for;
`resources.downloads` builds on it.

Environment: `REFINEBIO_MIRROR` (a folder or URL that stands in for every public host),
`REFINEBIO_CONTACT` (an e-mail address or web page, told to every service), `NCBI_API_KEY`
(sent to E-utilities only; neither logged nor part of any message), `REFINEBIO_HOME`
(its folder `limits` holds the limiters). Not here: what answers mean, and keeping them
(`resources.documents`).
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlencode, urljoin, urlsplit

import dagster as dg
from pydantic import Field

from refinebio_assets.errors import (
    AccessionAbsent,
    SourceAnswerInvalid,
    SourceRefused,
    SourceUnavailable,
)
from refinebio_assets.resources.answers import (
    CHUNK,
    Body,
    TryAgain,
    first_words,
    pieces,
    retry_after,
    session,
    why,
)
from refinebio_assets.resources.identity import (
    EUTILS,
    hidden,
    ncbi_identity,
    user_agent,
    without_key,
)
from refinebio_assets.resources.limits import Limiter, limit_of
from refinebio_assets.resources.mirror import mirrored
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import requests
    import stamina

WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
ABSENT = frozenset({204, 404, 410})
MOST_REDIRECTS = 5
# Longer queries go to E-utilities as a form, as its documentation asks.
LONGEST_QUERY = 2000
# An answer without a document to be kept.
LOOK_YOURSELF = "Open the address in a browser; the service may have moved."


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
                return self._bounded(pieces(response, url, self.whole_timeout), url)
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
        with response, io.BufferedReader(Body(response, url), CHUNK) as stream:
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
            url = without_key(target)
        raise SourceAnswerInvalid(
            f"{hidden(url)}: more than {MOST_REDIRECTS} redirects.", remedy=LOOK_YOURSELF
        )

    def _once(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        import requests
        from urllib3.exceptions import HTTPError

        place = mirrored(url, self._mirror())
        self._await_turn(url, is_mirrored=place != url)
        sent = {"User-Agent": user_agent(self._contact()), **headers}
        data = None
        try:
            host = urlsplit(place).hostname
            if host == EUTILS:
                place = with_query(place, ncbi_identity(place, self._contact()))
            address, _, query = place.partition("?")
            if host == EUTILS and len(query) > LONGEST_QUERY:
                place, data = address, query
                sent["Content-Type"] = "application/x-www-form-urlencoded"
            return session().request(
                "GET" if data is None else "POST",
                place,
                data=data,
                headers=sent,
                timeout=(self.connect_timeout, self.idle_timeout),
                stream=True,
                allow_redirects=False,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise TryAgain(f"{hidden(url)} cannot be reached: {why(error)}.") from None
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise SourceRefused(f"{hidden(url)} cannot be asked: {why(error)}.") from None

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
            words = first_words(response)
            said = f"{hidden(url)} answers HTTP {status}: {words or 'without a word'}"
            if 400 <= status < 500:
                raise SourceRefused(said)
            if status >= 500:
                raise SourceUnavailable(said)
            raise SourceAnswerInvalid(said, remedy=LOOK_YOURSELF)

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

    def _limiter(self) -> Limiter:
        return Limiter(Storage(home=self.home).root / "limits")

    def _await_turn(self, url: str, *, is_mirrored: bool) -> None:
        limit = limit_of(_host(url), self.limits)
        if limit and (not is_mirrored or limit[0] in self.limits):
            self._limiter().wait(*limit)

    def _hold(self, url: str, seconds: float) -> None:
        limit = limit_of(_host(url), self.limits)
        if limit and mirrored(url, self._mirror()) == url:
            self._limiter().hold(limit[0], seconds)


def with_query(url: str, params: Mapping[str, str] | None) -> str:
    """A URL with more parameters."""
    if not params:
        return url
    address, hash_sign, _ = url.partition("#")
    joint = "&" if "?" in address else "?"
    return f"{address}{joint}{urlencode(params)}" if not hash_sign else with_query(address, params)


def _wait_before_next(error: Exception) -> bool | float:
    """What stamina asks: whether to try again, and after how long if that is known."""
    if not isinstance(error, TryAgain):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after + random.uniform(0.01, 0.5)  # noqa: S311  # not for secrets


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
