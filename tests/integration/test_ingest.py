"""Videos by URL, against servers that stall, lie, change their mind and send people elsewhere."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.integration.badserver import ETAG, cut, endless, good, part_of_another, redirect, serving, status, whole
from tests.integration.conftest import as_json
from tests.media import make
from waterz_spool import config
from waterz_spool.api import Spool as Door
from waterz_spool.errors import InputError, TryAgainError, UsageError
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.url import FetchRules, fetch, is_url, name_of
from waterz_spool.intake.web import Url, shown

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make.video(tmp_path_factory.mktemp("made") / "clip.mp4", frames=12).read_bytes()


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return make.video(tmp_path_factory.mktemp("made") / "other.mp4", frames=30).read_bytes()


def get(server, folder, *, path="/clip.mp4", user="", waits=None, **rules):
    rules = FetchRules(**{"max_bytes": 1 << 30, "stall_s": 20.0, "tries": 3, "wait_s": 0.5, **rules})
    noted = [] if waits is None else waits
    return fetch(server.url(path, user=user), folder, rules, sleep=noted.append)


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def known_by(path):
    """What makes it the same file and so the same job."""
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def ranges(server):
    return [(headers.get("Range"), headers.get("If-Range")) for _, headers in server.asked]


def test_a_video_arrives_with_its_name_and_nothing_personal_is_sent(data, tmp_path):
    with serving(good(data)) as server:
        path = get(server, tmp_path, path="/films/My%20clip.mp4?token=1")
        assert path.read_bytes() == data and path.name == "My-clip.mp4"
        ((asked, headers),) = server.asked
        assert asked == "/films/My%20clip.mp4?token=1"
        assert {name.lower() for name in headers} == {"host", "user-agent", "accept", "accept-encoding", "connection"}


def test_fetched_again_an_unchanged_file_stays_as_it_is(data, other, tmp_path):
    with serving(good(data), good(data), good(other, '"two"')) as server:
        first = get(server, tmp_path)
        facts = known_by(first)
        assert known_by(get(server, tmp_path)) == facts
        assert get(server, tmp_path).read_bytes() == other
        assert files(tmp_path) == [".mark", "clip.mp4"]


def test_without_a_version_the_same_bytes_are_the_same_file(data, tmp_path):
    with serving(whole(data)) as server:
        facts = known_by(get(server, tmp_path))
        assert known_by(get(server, tmp_path)) == facts
        assert files(tmp_path) == [".mark", "clip.mp4"]


@pytest.mark.parametrize("stall", [False, True], ids=["cut off", "stalled"])
@pytest.mark.parametrize("version", [{"ETag": ETAG}, {"Last_Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}], ids=str)
def test_what_came_before_the_connection_failed_is_not_asked_for_again(data, tmp_path, stall, version):
    (mark,) = version.values()
    then = good(data, "", **version) if "Last_Modified" in version else good(data)
    waits = []
    with serving(cut(data, 5000, stall=stall, **version), _ranged(then, mark, data)) as server:
        path = get(server, tmp_path, stall_s=1.0 if stall else 20.0, waits=waits)
        assert path.read_bytes() == data
        assert ranges(server) == [(None, None), ("bytes=5000-", mark)]
        assert waits == [0.5]
    if "Last_Modified" in version:
        assert path.stat().st_mtime == 1445412480


def _ranged(answer, mark, data):
    """For dates: `good` compares ETags only."""
    if mark == ETAG:
        return answer

    def dated(handler):
        start = handler.asked_from()
        assert handler.headers["If-Range"] == mark
        handler.head(206, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}", Last_Modified=mark)
        handler.wfile.write(data[start:])

    return dated


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}], ids=["no version", "weak version"])
def test_without_a_strong_version_a_download_starts_over(data, tmp_path, headers):
    with serving(cut(data, 5000, **headers), whole(data, **headers)) as server:
        assert get(server, tmp_path).read_bytes() == data
        assert ranges(server) == [(None, None)] * 2
        assert files(tmp_path) == [".mark", "clip.mp4"]


def test_a_server_that_ignores_ranges_sends_everything_again(data, tmp_path):
    with serving(cut(data, 5000, ETag=ETAG), whole(data, ETag=ETAG)) as server:
        assert get(server, tmp_path).read_bytes() == data


@pytest.mark.parametrize("honest", [True, False], ids=["If-Range kept", "If-Range ignored"])
def test_a_file_that_changed_between_attempts_is_read_from_its_start(data, other, tmp_path, honest):
    then = [good(other, '"two"')] if honest else [part_of_another(other, '"two"'), good(other, '"two"')]
    with serving(cut(data, 5000, ETag=ETAG), *then) as server:
        assert get(server, tmp_path).read_bytes() == other
        assert files(tmp_path) == [".mark", "clip.mp4"]


def test_a_part_that_turns_out_to_be_everything_is_finished_without_reading_it_again(data, tmp_path):
    """Killed after the last byte and before the file got its name: the range lies beyond the end."""
    with serving(cut(data + b"x", len(data), ETag=ETAG), good(data)) as server:
        assert get(server, tmp_path).read_bytes() == data
        assert [asked for asked, _ in ranges(server)] == [None, f"bytes={len(data)}-", None]


@pytest.mark.parametrize(
    "place", ["file:///etc/hostname", "ftp://127.0.0.1/clip.mp4", "data:video/mp4,x", "http://[a/c.mp4"]
)
def test_a_redirect_leads_to_http_or_nowhere(tmp_path, place):
    with serving(redirect(place)) as server:
        with pytest.raises(InputError, match="neither http nor https"):
            get(server, tmp_path)
        assert len(server.asked) == 1 and files(tmp_path) == []


def test_a_redirect_may_lead_to_a_redirect_but_not_to_a_later_file_url(tmp_path):
    with serving(redirect("/second"), redirect("file:///etc/hostname")) as server:
        with pytest.raises(InputError, match="neither http nor https"):
            get(server, tmp_path)
        assert [path for path, _ in server.asked] == ["/clip.mp4", "/second"]


def test_redirects_are_followed_but_not_for_ever(data, tmp_path):
    with serving(redirect("/a?b=1", 301), redirect("c.mp4", 307), good(data)) as server:
        assert get(server, tmp_path).read_bytes() == data
        assert [path for path, _ in server.asked] == ["/clip.mp4", "/a?b=1", "/c.mp4"]
    with serving(redirect("/clip.mp4")) as server:
        with pytest.raises(InputError, match="in a circle"):
            get(server, tmp_path / "circle")
        assert len(server.asked) < 12


def test_a_password_is_for_its_own_host_only(data, tmp_path):
    with serving(good(data)) as far, serving(redirect("/here"), redirect(far.url(user="x:y@"))) as near:
        assert get(near, tmp_path, user="me:p%40ss@").read_bytes() == data
        sent = [headers.get("Authorization") for _, headers in near.asked + far.asked]
        assert sent == ["Basic bWU6cEBzcw=="] * 2 + [None]
        assert not any(b"ss" in path.read_bytes() for path in tmp_path.rglob(".mark"))


def test_a_server_that_announces_more_than_it_has_is_given_up_and_its_part_kept(data, tmp_path):
    waits = []
    with serving(whole(data, length=len(data) + 100, ETag=ETAG)) as server:
        with pytest.raises(TryAgainError, match=f"{len(data)} of {len(data) + 100} bytes") as caught:
            get(server, tmp_path, waits=waits)
        assert (len(server.asked), waits, caught.value.exit_code) == (3, [0.5, 1.0], 75)
        assert len(files(tmp_path)) == 2 and not (tmp_path / "clip.mp4").exists()


def test_a_server_that_announces_less_than_it_has_is_found_out_by_the_content(data, tmp_path):
    with serving(whole(data, length=len(data) - 500, ETag=ETAG)) as server:
        with pytest.raises(InputError, match="cannot be used"):
            get(server, tmp_path)
        assert files(tmp_path) == [".mark"]


@pytest.mark.parametrize("page", [b"<html>watch this</html>", b""], ids=["page", "nothing"])
def test_what_is_no_video_is_refused_and_not_kept(tmp_path, page):
    with serving(whole(page, kind="text/html", ETag=ETAG)) as server:
        with pytest.raises(InputError, match="cannot be used"):
            get(server, tmp_path)
        assert files(tmp_path) == [".mark"]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refusal_is_final(data, tmp_path, code):
    with serving(status(code), good(data)) as server:
        with pytest.raises(InputError, match=f"answers {code}"):
            get(server, tmp_path)
        assert len(server.asked) == 1
        assert get(server, tmp_path).read_bytes() == data, "but not remembered"


def test_a_busy_server_is_asked_again_when_it_says(data, tmp_path):
    waits = []
    busy = [status(503), status(429, Retry_After=7), status(502, Retry_After=9999)]
    with serving(*busy, good(data)) as server:
        assert get(server, tmp_path, waits=waits, tries=4).read_bytes() == data
        assert waits == [0.5, 7, 60]


def test_nobody_there_is_tried_again_and_given_up(tmp_path):
    with serving(status(200)) as server:
        pass
    waits = []
    with pytest.raises(TryAgainError, match="after 0 bytes"):
        get(server, tmp_path, waits=waits)
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize("answer", [endless, whole(b"x", length=1 << 40, ETag=ETAG)], ids=["endless", "announced"])
def test_what_is_larger_than_the_limit_is_refused_and_not_kept(tmp_path, answer):
    with serving(answer) as server:
        with pytest.raises(InputError, match="larger than the limit") as caught:
            get(server, tmp_path, max_bytes=3 << 20)
        assert "ingest.max_gib" in caught.value.todo
        assert len(server.asked) == 1
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100


def test_two_downloads_of_one_url_at_a_time_give_the_same_bytes(data, tmp_path):
    with serving(cut(data, 3000, stall=True, ETag=ETAG), good(data)) as server:
        results = []
        slow = threading.Thread(target=lambda: results.append(get(server, tmp_path)))
        slow.start()
        until(lambda: any(path.stat().st_size == 3000 for path in tmp_path.rglob(".part.*")))
        assert get(server, tmp_path).read_bytes() == data
        server.released.set()
        slow.join()
        assert results[0].read_bytes() == data


def until(true, *, deadline_s=30.0):
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_only_trusted_servers_are_believed(data, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except FileNotFoundError:
        if os.environ.get("WATERZ_REQUIRE_ALL") == "1":
            raise
        pytest.skip("no openssl here")
    with serving(good(data), certificate=(str(certificate), str(key))) as server:
        with pytest.raises(InputError, match="cannot prove who it is"):
            get(server, tmp_path / "a")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert get(server, tmp_path / "a").read_bytes() == data


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.b/x/y.mp4?z=1#t", "y.mp4"),
        ("https://a.b/", "video"),
        ("https://a.b/..%2f..%2fetc%2fpasswd", "passwd"),
        ("https://a.b/%2e%2e", "video"),
        ("https://a.b/.part.mp4", "part.mp4"),
        ("https://a.b/%00%1b[31m.mkv", "31m.mkv"),
        ("https://a.b/" + "\N{SNOWMAN}x" * 200 + ".mp4", None),
    ],
)
def test_names_from_urls_are_plain_file_names(url, name):
    found = name_of(url)
    assert found == name or (name is None and found.endswith(".mp4") and len(found.encode()) <= 150)


@pytest.mark.parametrize("url", ["ftp://a.b/c.mp4", "file:///etc/passwd", "https://", "http://a.b:x/c", "http://[a/c"])
def test_only_web_addresses_are_urls_that_are_fetched(url, tmp_path):
    assert is_url(url)
    with pytest.raises(UsageError, match="only http and https"):
        fetch(url, tmp_path, FetchRules(max_bytes=1))
    assert not is_url("clip.mp4") and not is_url("/a/b:c//d.mp4")


def test_messages_hold_no_secrets():
    assert shown("https://me:secret@a.b/c.mp4?token=secret") == "https://a.b/c.mp4"
    assert "secret" not in Url.of("https://me:secret@a.b/c.mp4").text


def test_nothing_that_works_on_jobs_can_fetch():
    """Only the door, the commands that fetch and the fetching modules themselves name them."""
    users = set()
    for path in (ROOT / "waterz_spool").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            names = [module, *(alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name"))]
            if any(re.search(r"urllib\.request|http\.client|intake\.(web|url)", name) for name in names):
                users.add(str(path.relative_to(ROOT / "waterz_spool")))
    commands = {"api/spool.py", "cli/start.py", "cli/models.py", "launch/here.py", "tools/weights.py"}
    assert users == {*commands, "intake/url.py", "intake/web.py"}


BOX = ("--box", "18,8,24,16", "--engine", "membrane")


def test_killed_while_fetching_the_same_submit_goes_on_and_only_then_there_is_a_job(data, cli, tmp_path):
    with serving(cut(data, 5000, stall=True, ETag=ETAG), good(data)) as server:
        command = ("--spool", "spool", "submit", server.url(), *BOX)
        process = cli(*command, background=True)
        until(lambda: any(path.stat().st_size == 5000 for path in tmp_path.rglob(".part.*")))
        process.kill()
        process.communicate()
        assert list((tmp_path / "spool" / "jobs").iterdir()) == []
        job = cli(*command).stdout.strip()
        assert ranges(server)[1] == ("bytes=5000-", ETAG)
        assert cli(*command).stdout.strip() == job, "the same again is the same job"
        source = tmp_path / "spool" / "jobs" / job / "source" / "clip.mp4"
        assert source.read_bytes() == data
        stored = "".join(path.read_text("latin-1") for path in (tmp_path / "spool").rglob("*.json"))
        assert "127.0.0.1" not in stored
        cli("--spool", "spool", "worker", "--drain")
        assert (tmp_path / "clip.clean.mp4").exists()
        assert cli(*command).stdout.strip() == job, "and its result is there"
    old = time.time() - 40 * 3600
    for folder in (tmp_path / "spool" / "fetched").iterdir():
        assert "download" not in cli("--spool", "spool", "clean", "--older-than", "0s").stdout
        os.utime(folder, (old, old))
    cli("--spool", "spool", "clean", "--older-than", "0s", "--yes")
    assert list((tmp_path / "spool" / "fetched").iterdir()) == []


def test_run_takes_a_url_and_leaves_nothing_but_the_result(data, cli, tmp_path):
    with serving(good(data)) as server:
        cli("run", server.url(), *BOX)
        assert (tmp_path / "clip.clean.mp4").exists()
        assert files(tmp_path / "state" / "waterz-spool" / "fetched") == []
        done = cli("run", server.url(), *BOX, check=False)
        assert (done.returncode, "exists already" in done.stderr) == (2, True)
        assert len(server.asked) == 1, "said before anything is fetched"


def test_progress_goes_to_stderr(data, cli):
    with serving(good(data)) as server:
        done = cli("--json", "--spool", "spool", "submit", server.url(), *BOX)
        assert as_json(done)["jobs"][0]["name"] == "clip.mp4"
        assert re.search(r"clip\.mp4  fetching 100%  1/1 MiB", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("answer", "path", "code", "words"),
    [
        (status(404), "/clip.mp4", 4, "answers 404"),
        (redirect("file:///etc/hostname"), "/clip.mp4", 4, "neither http nor https"),
        (whole(b"<html>"), "/clip.mp4", 4, "cannot be used"),
        (whole(b"x", length=1 << 50), "/clip.mp4", 4, "limit of 100 GiB"),
    ],
    ids=["404", "file", "page", "large"],
)
def test_what_cannot_be_fetched_is_said_in_three_lines(cli, tmp_path, answer, path, code, words):
    with serving(answer) as server:
        done = cli("--spool", "spool", "submit", server.url(path), *BOX, check=False)
    assert done.returncode == code and words in done.stderr, done.stderr
    assert len(done.stderr.partition("error: ")[2].strip().splitlines()) == 3
    assert list((tmp_path / "spool" / "jobs").iterdir()) == []


def test_an_output_that_no_result_can_have_is_told_before_the_download(cli):
    with serving(status(404)) as server:
        done = cli("--spool", "spool", "submit", server.url("/clip.avi"), *BOX, "-o", "out.avi", check=False)
    assert done.returncode == 2 and "cannot be written as .avi" in done.stderr, done.stderr


def test_the_python_door_takes_a_url_too(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serving(good(data)) as server:
        job = Door(tmp_path / "spool").submit(server.url(), boxes=[(18, 8, 24, 16)])
    spool = open_or_create(tmp_path / "spool", config.load())
    assert spool.job(job.id).name == "clip.mp4"
