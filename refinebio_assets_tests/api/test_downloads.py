"""Downloads: what is registered, for whom it is meant, and nothing beside it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.api import downloads
from refinebio_assets.api.downloads import confined
from refinebio_assets.api.errors import NotThere
from refinebio_assets.api.folder_tar import read_tar, tar_size
from refinebio_assets.resources.storage import Storage
from refinebio_assets_tests.api.test_dataset_flow import token


def compendium(client: TestClient, headers: dict[str, str]) -> dict[str, str]:
    found = client.get("/v1/compendia/?compendium_version=1", headers=headers).json()
    file: dict[str, str] = found["results"][0]["computed_file"]
    return file


def test_an_address_is_signed_for_who_has_a_token(client: TestClient) -> None:
    headers = token(client)
    file = compendium(client, headers)
    address = file["download_url"]
    assert client.get(address).status_code == 200
    head = client.head(address)
    assert head.headers["Content-Length"] == str(file["size_in_bytes"])
    part = client.get(address, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"PK\x03\x04")
    bare = address.partition("?")[0]
    assert client.get(bare, headers=headers).status_code == 200
    for wrong in (
        bare,
        f"{address}0",
        address.replace("expires=", "expires=9"),
        f"{bare}?expires=x",
    ):
        answer = client.get(wrong)
        assert (answer.status_code, answer.json()["status_code"]) == (403, 403)
    assert "download_url" not in compendium(client, {"API-KEY": "none"})


def test_an_address_expires(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    address = compendium(client, token(client))["download_url"]
    later = downloads.time.time() + downloads.GOOD_FOR
    monkeypatch.setattr(downloads.time, "time", lambda: later - 60)
    assert client.get(address).status_code == 200
    monkeypatch.setattr(downloads.time, "time", lambda: later + 60)
    assert client.get(address).status_code == 403


def test_only_what_is_registered(client: TestClient) -> None:
    headers = token(client)
    number = client.get("/v1/computed_files/?is_smashable=true").json()["results"][0]["id"]
    for address in (
        f"/downloads/compendium/{number}",
        f"/downloads/qn_target/{number}",
        "/downloads/index/1",
        "/downloads/dataset/..",
        "/downloads/dataset/%2e%2e%2f%2e%2e%2frefinebio.duckdb",
        "/downloads/nothing/1",
        "/api-scripts/%2e%2e/core.py",
        "/api-scripts/../core.py",
    ):
        assert client.get(address, headers=headers).status_code == 404, address


def test_no_path_leads_out_of_the_home(tmp_path: Path) -> None:
    storage = Storage(home=str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "home" / "link").symlink_to(tmp_path / "secret")
    assert confined(storage, "a/b") == tmp_path / "home" / "a" / "b"
    for relative in ("../secret", "/etc/passwd", "a/../../secret", "link"):
        with pytest.raises(NotThere):
            confined(storage, relative)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,120}(/[a-zé]{1,20})?", fullmatch=True),
        st.binary(max_size=2000),
        max_size=5,
    )
)
def test_a_folder_as_tar(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("tar") / "index"
    kept = {}
    for name, content in files.items():
        path = folder / name
        if not any(each.is_file() for each in path.parents) and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            kept[f"index/{name}"] = content
    content = b"".join(read_tar(folder))
    assert len(content) == tar_size(folder)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {each.name: archive.extractfile(each) for each in archive}
    assert {name: file.read() for name, file in found.items() if file} == kept
