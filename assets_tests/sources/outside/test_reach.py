"""A description reaches the folders, variables and addresses of sources, and nothing else of this machine."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.files import find_files
from clinical_assets.sources.outside.reach import check_database, check_host, check_request, check_variable


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Addresses of made-up hosts, in place of a name server."""
    known = {"data.example": "93.184.216.34", "ward.example": "10.1.2.3", "here.example": "127.0.0.1"}

    def look_up(host: str, *_: Any, **__: Any) -> list[Any]:
        family = socket.AF_INET6 if ":" in known.get(host, host) else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 0, "", (known.get(host, host), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "../outside.csv", "linked.csv", "folder/../../outside.csv", "lin*.csv"]
)
def test_a_path_that_leads_out_of_the_folders_is_refused(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "catalogue"
    (inside / "folder").mkdir(parents=True)
    (tmp_path / "outside.csv").write_text("id\n1\n")
    (inside / "linked.csv").symlink_to(tmp_path / "outside.csv")
    with pytest.raises(SourceError, match="leads out of the folders"):
        find_files(path, [inside])


def test_a_path_outside_is_refused_in_the_same_words_whether_or_not_a_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "there.csv").touch()
    (tmp_path / "catalogue").mkdir()
    said = []
    for name in ("there.csv", "missing.csv"):
        with pytest.raises(SourceError) as caught:
            find_files(f"../{name}", [tmp_path / "catalogue"])
        said.append(caught.value.message.replace(name, "X"))
    assert said[0] == said[1]


def test_folders_of_the_operator_may_be_named_or_linked_to(tmp_path: Path) -> None:
    inside, exports = tmp_path / "catalogue", tmp_path / "exports"
    for folder in (inside, exports):
        folder.mkdir()
    (exports / "x.csv").touch()
    (inside / "linked.csv").symlink_to(exports / "x.csv")
    assert find_files(str(exports / "x.csv"), [inside], also=[exports])[0].path == exports / "x.csv"
    assert find_files("linked.csv", [inside], also=[exports])[0].name == "linked.csv"


def test_state_below_the_data_folder_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "records.sqlite").touch()
    with pytest.raises(SourceError, match="leads out"):
        find_files("records/records.sqlite", [tmp_path], never=[tmp_path / "records"])


def test_only_variables_for_sources_are_read(settings: Settings) -> None:
    check_variable("CLINICAL_ASSETS_SOURCE_WARD", settings)
    for name in ("CLINICAL_ASSETS_RECORDS_URI", "CLINICAL_ASSETS_KEY", "HOME", "WARD_DATABASE"):
        with pytest.raises(SourceError, match=f"may not read the environment variable {name}"):
            check_variable(name, settings)
    check_variable("WARD_DATABASE", replace(settings, source_variables=("WARD_DATABASE",)))


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("postgresql+psycopg://reader:x@db.example/records", "postgresql://owner:y@DB.example/records"),
        ("sqlite:///{data}/records/records.sqlite", None),
        ("sqlite:///{data}/../data/warehouse.sqlite", None),
        ("sqlite:///{keys}/keys.sqlite", None),
    ],
)
def test_the_databases_of_this_installation_are_no_source(settings: Settings, address: str, own: str | None) -> None:
    url = make_url(address.format(data=settings.data, keys=settings.keys))
    with pytest.raises(SourceError, match="own"):
        check_database(url, "CLINICAL_ASSETS_SOURCE_X", replace(settings, records_uri=own))


def test_another_database_on_the_same_server_is_a_source(settings: Settings, names: dict[str, str]) -> None:
    records = replace(settings, records_uri="postgresql://owner:y@ward.example/records")
    check_database(make_url("postgresql://reader:x@ward.example/clinic"), "CLINICAL_ASSETS_SOURCE_X", records)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "::ffff:169.254.169.254", "fd00:ec2::254"]
)
def test_addresses_that_no_source_has_are_refused(host: str) -> None:
    with pytest.raises(SourceError, match="link-local, multicast or metadata") as caught:
        check_host(host, "The address")
    assert host not in caught.value.message


def test_a_name_that_stands_for_a_link_local_address_is_refused(names: dict[str, str]) -> None:
    names["innocent.example"] = "169.254.169.254"
    with pytest.raises(SourceError, match="link-local"):
        check_request("https://innocent.example/x.csv")


def test_redirects_from_outside_into_the_network_or_to_plain_http_are_refused(names: dict[str, str]) -> None:
    start = "https://data.example/x.csv"
    check_request("https://data.example/y.csv", before=start)
    check_request("http://ward.example/y.csv", before="http://ward.example/x.csv")
    for target in ("https://ward.example/y.csv", "https://here.example/y.csv"):
        with pytest.raises(SourceError, match="own network"):
            check_request(target, before=start)
    with pytest.raises(SourceError, match="gives up encryption"):
        check_request("http://data.example/y.csv", before=start)
    with pytest.raises(SourceError, match="no http or https"):
        check_request("file:///etc/shadow", before=start)
