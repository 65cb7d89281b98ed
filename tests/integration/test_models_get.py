"""`models get`: fetched from a server on real sockets, with the licence first, and only what is whole is kept."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from tests.integration.badserver import cut, good, serving, status, whole
from tests.integration.conftest import as_json
from waterz_spool.errors import InputError, TryAgainError, UsageError
from waterz_spool.restore.weights import WeightFile
from waterz_spool.tools.weights import Offer, get, offers

DATA = b"PK" + os.urandom(3_000_000)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WATERZ_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def offer(server, data=DATA):
    file = WeightFile("net.pt", "a network", "yours", "https://example.org/net.pt", hashlib.sha256(data).hexdigest())
    return Offer(file, server.url("/net.pt"))


def fetched(server, data=DATA, tries=2):
    return get(offer(server, data), tell=lambda done, total: None, tries=tries)


def test_a_whole_file_arrives_and_nothing_else(folder):
    with serving(good(DATA)) as server:
        path = fetched(server)
    assert path == folder / "net.pt" and path.read_bytes() == DATA
    assert {each.name for each in folder.rglob("*")} == {".parts", "net.pt", "net.pt.lock"}


def test_a_broken_download_goes_on_where_it_stopped(folder):
    with serving(cut(DATA, 2_000_000, ETag='"one"'), good(DATA)) as server:
        assert fetched(server, tries=3).read_bytes() == DATA
        assert server.asked[1][1]["Range"].startswith("bytes=") and server.asked[1][1]["Range"] != "bytes=0-"


def test_given_up_the_part_is_kept_for_the_same_command(folder):
    with serving(cut(DATA, 2_000_000, ETag='"one"'), status(503)) as server:
        with pytest.raises(TryAgainError):
            fetched(server)
        assert not (folder / "net.pt").exists()
        server.answers[:] = [good(DATA)]
        assert fetched(server).read_bytes() == DATA
        assert int(server.asked[-1][1]["Range"].removeprefix("bytes=").rstrip("-")) >= 2_000_000


@pytest.mark.parametrize(
    "sent", [b"PK another file", b"<html>sign in</html>", DATA[:-1]], ids=["other", "page", "short"]
)
def test_what_is_not_the_published_file_is_refused_and_not_kept(folder, sent):
    with serving(whole(sent)) as server, pytest.raises(InputError, match=r"sha256|web page"):
        fetched(server)
    assert not [each for each in folder.rglob("*") if each.is_file() and each.name not in (".mark", "net.pt.lock")]


def test_a_refusal_names_the_address(folder):
    with serving(status(404)) as server, pytest.raises(InputError, match="404"):
        fetched(server)


def test_two_at_a_time_give_one_whole_file(folder):
    with serving(good(DATA)) as server:
        failed = []

        def attempt():
            try:
                fetched(server)
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=attempt) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert not failed
    assert (folder / "net.pt").read_bytes() == DATA


def test_only_engines_with_weights_can_be_got(folder):
    assert [each.file.name for each in offers("lama")] == ["big-lama.pt"]
    assert len(offers("propainter", base_url="http://mirror/x/")) == 3
    assert offers("propainter", base_url="http://mirror/x/")[0].url == "http://mirror/x/raft-things.pth"
    for name in ("membrane", "nothing"):
        with pytest.raises(UsageError, match="needs weights"):
            offers(name)


def test_the_licence_comes_first_and_nothing_is_asked_of_the_network(cli, folder, tmp_path):
    with serving(good(DATA)) as server:
        (tmp_path / "c.yaml").write_text(f"restore: {{weights_url: '{server.url('/files')}'}}\n")
        done = cli(
            "--config", "c.yaml", "models", "get", "propainter", check=False, extra={"WATERZ_MODELS": str(folder)}
        )
        assert done.returncode == 2 and not server.asked
    assert "non-commercial" in done.stderr and "--accept-licence" in done.stderr
    assert not folder.exists()


@pytest.mark.neural
def test_accepted_files_are_fetched_and_checked(cli, folder, tmp_path):
    """Whole files arrive; that they are no network is said with exit code 6."""
    with serving(good(DATA)) as server:
        (tmp_path / "c.yaml").write_text(f"restore: {{weights_url: '{server.url('/files')}'}}\n")
        command = ("--config", "c.yaml", "--json", "models", "get", "propainter", "--accept-licence")
        done = cli(*command, check=False, extra={"WATERZ_MODELS": str(folder)})
        paths = [path for path, _ in server.asked]
    assert done.returncode == 6 and "not usable" in done.stderr
    assert paths == [
        f"/files/{name}" for name in ("raft-things.pth", "recurrent_flow_completion.pth", "ProPainter.pth")
    ]
    assert len(as_json(done)["fetched"]) == 3
    assert "--engine" not in done.stdout


def test_verify_is_silent_about_engines_that_nobody_wants(cli, folder):
    assert "no weight files" in cli("models", "verify", extra={"WATERZ_MODELS": str(folder)}).stdout
    asked = cli("models", "verify", "lama", check=False, extra={"WATERZ_MODELS": str(folder)})
    assert asked.returncode == 6 and "missing" in asked.stdout
