"""Every public URL has one place in a mirror, and none is outside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import SourceRefused
from refinebio_assets.resources.mirror import is_public, mirrored


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.org/b/c.txt", "a.org/b/c.txt"),
        ("ftp://a.org:21/b%20c", "a.org/b c"),
        ("http://A.org", "a.org/index.html"),
        ("https://a.org/b/", "a.org/b/index.html"),
        ("https://a.org/b?x=1&y=p/q", "a.org/b?x=1&y=p%2Fq"),
        ("https://a.org/folder", "a.org/folder/index.html"),
    ],
)
def test_files_of_a_mirror_folder(tmp_path: Path, url: str, path: str) -> None:
    (tmp_path / "a.org" / "folder").mkdir(parents=True)
    assert mirrored(url, str(tmp_path)) == str(tmp_path / path)
    assert mirrored(url, f"file://{tmp_path}") == str(tmp_path / path)


@pytest.mark.parametrize("path", ["../../x", "%2e%2e/x", "a%2Fb", "%00", "b/./c"])
def test_nothing_outside_a_mirror_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceRefused):
        mirrored(f"https://a.org/{path}", str(tmp_path))


def test_long_queries_in_a_mirror_folder(tmp_path: Path) -> None:
    one, other = (mirrored(f"https://a.org/x?q={'a' * 300}{n}", str(tmp_path)) for n in "12")
    assert one != other
    assert len(Path(one).name) < 100


@given(st.text(), st.text())
def test_any_url_has_a_place_or_is_refused(path: str, query: str) -> None:
    try:
        place = mirrored(f"https://a.org/{path}?{query}", "/mirror")
    except SourceRefused:
        return
    assert Path(place).is_relative_to("/mirror/a.org")
    assert ".." not in Path(place).parts


def test_only_public_hosts_have_a_mirror() -> None:
    assert is_public("ftp.ebi.ac.uk")
    assert is_public("8.8.8.8")
    for host in ("localhost", "127.0.0.1", "10.0.0.1", "::1", "nas", "nas.local"):
        assert not is_public(host)
    assert mirrored("http://localhost/x", "/mirror") == "http://localhost/x"
    assert mirrored("s3://bucket.org/x", "/mirror") == "s3://bucket.org/x"
