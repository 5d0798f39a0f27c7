"""The webhook hook against receivers that behave and misbehave: what it sends, and what it makes of the answers."""

import base64
import json
import re
import socket
import subprocess
import threading
import time

import pytest

from receiver import HOSTILE, Receiver, event, line, source_event, verify

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(100, 124))).decode()


# What is sent


def test_one_event_is_a_cloudevent(make_receiver, make_hook):
    receiver = make_receiver()
    sent = event(name=HOSTILE)
    assert make_hook(url=receiver.url + "/in?x=1").send(sent)["outcome"] == "delivered"
    assert len(receiver.got) == 1
    assert receiver.got[0]["path"] == "/in?x=1"
    assert receiver.got[0]["headers"]["Content-Type"] == "application/cloudevents+json"
    assert receiver.got[0]["body"].decode() == line(sent)
    assert not [name for name in receiver.got[0]["headers"] if name.lower().startswith("webhook")]


def test_several_are_a_batch(make_receiver, make_hook):
    receiver = make_receiver()
    sent = [event(1), event(2, name=HOSTILE), source_event("source.failing")]
    make_hook(url=receiver.url).send(*sent)
    assert receiver.got[0]["headers"]["Content-Type"] == "application/cloudevents-batch+json"
    assert receiver.json() == sent


def test_headers_and_token(make_receiver, make_hook):
    receiver = make_receiver()
    hook = make_hook(url=receiver.url, headers={"X-Team": "infra, ops"}, token_file="token")
    hook.secret("token", "tok/en+1==\n")
    hook.send(event())
    assert receiver.got[0]["headers"]["X-Team"] == "infra, ops"
    assert receiver.got[0]["headers"]["Authorization"] == "Bearer tok/en+1=="
    assert "tok/en" not in hook.log


def test_signature(make_receiver, make_hook):
    receiver = make_receiver((500, {}, b""), (200, {}, b""))
    hook = make_hook(url=receiver.url, secret_file="keys")
    hook.secret("keys", f"{SECRET}\n\n  \n{OTHER.removeprefix('whsec_')}\r\n")
    assert hook.send(event())["outcome"] == "retry"
    assert hook.send(event())["outcome"] == "delivered"
    first, second = [verify(got, SECRET) for got in receiver.got]
    assert first == second, "the id is the same in every attempt"
    assert verify(receiver.got[0], OTHER) == first
    assert len(receiver.got[0]["headers"]["webhook-signature"].split(" ")) == 2
    with pytest.raises(AssertionError):
        verify({**receiver.got[0], "body": receiver.got[0]["body"] + b" "}, SECRET)
    hook.send(event(), options=("--reminder", 2))
    hook.send(event(1), event(2))
    hook.send(event(2), event(1))
    hook.send(event(1), event(2))
    ids = [verify(got, SECRET) for got in receiver.got]
    assert ids[3] == ids[5]
    assert len(set(ids)) == 4 and not [one for one in ids if "." in one]
    assert SECRET[6:] not in hook.log


def test_timestamp_is_that_of_the_attempt(make_receiver, make_hook):
    receiver = make_receiver()
    hook = make_hook(url=receiver.url, secret_file="keys")
    hook.secret("keys", SECRET)
    hook.send(event(), options=("--at", 1614265330123))
    assert receiver.got[0]["headers"]["webhook-timestamp"] == "1614265330"
    verify(receiver.got[0], SECRET, now=1614265330)


def test_slack(make_receiver, make_hook):
    receiver = make_receiver()
    hook = make_hook(url=receiver.url, format="slack")
    hook.send(event(name=HOSTILE))
    body = receiver.json()
    assert list(body) == ["text"]
    text = body["text"]
    assert "\n" not in text and "\x1b" not in text and "\u202e" not in text and "\x00" not in text
    assert "<" not in text and ">" not in text
    assert "&lt;!channel&gt; @here 'x' *b* _i_ &amp; " in text
    code = re.search(r"`[^`]*`", text).group(0)
    assert "@here" in code and "*b*" in code, "a name is code, where nothing of it means anything"
    assert "is non-compliant: 2 patches (2 high), baseline `Linux default` (source `prod`, region `cn-north-4`)" in text
    hook.send(event(1), event(2, "node.compliant"), source_event("source.failing", failure={"sweeps": 3, "reason": "a<b"}))
    lines = receiver.json()["text"].split("\n")
    assert lines[0].startswith(":warning: ")
    assert lines[1].startswith(":white_check_mark: `prod-web-1` is compliant again")
    assert lines[2] == ":warning: source `prod` fails, 3 sweeps in a row: `a&lt;b`"


def test_slack_is_bounded(make_receiver, make_hook):
    receiver = make_receiver()
    hook = make_hook(url=receiver.url, format="slack")
    hook.send(*[event(number, name="&" * 65536) for number in range(500)])
    text = receiver.json()["text"]
    assert len(text) < 4000
    shown = text.count("is non-compliant")
    assert shown > 1 and text.endswith(f"… and {500 - shown} more")
    hook.send(event(name="€" * 65536))
    assert len(receiver.json()["text"]) < 400


def test_every_type_has_words(make_receiver, make_hook):
    receiver = make_receiver()
    hook = make_hook(url=receiver.url, format="slack")
    kinds = {
        "node.non_compliant": "is non-compliant", "node.compliant": "is compliant again",
        "node.discovered": "is new and non-compliant", "node.missing": "is missing", "node.returned": "is back and non-compliant",
        "node.worsened": "before: not known", "node.improved": "fewer or lesser patches", "node.flapping": "flaps",
        "node.settled": "has settled and is non-compliant", "node.future": ": node.future"}
    hook.send(*[event(number, kind) for number, kind in enumerate(kinds)])
    for said, text in zip(receiver.json()["text"].split("\n"), kinds.values()):
        assert text in said
    hook.send(source_event("source.baseline", totals={"nodes": 12, "non_compliant": 3}), source_event("source.recovered"),
              source_event("fleet.shift"), source_event("source.other"))
    said = receiver.json()["text"]
    for text in ("12 machines, 3 of them", "read completely again", "changed at once", ": source.other"):
        assert text in said


# What the answers mean


@pytest.mark.parametrize("status,outcome", [
    (200, "delivered"), (202, "delivered"), (204, "delivered"), (299, "delivered"), (301, "retry"), (304, "retry"),
    (307, "retry"), (400, "refused"), (401, "refused"), (403, "refused"), (404, "refused"), (413, "refused"), (408, "retry"),
    (425, "retry"), (429, "retry"), (410, "gone"), (500, "retry"), (501, "retry"), (503, "retry"), (599, "retry")])
def test_status(make_receiver, make_hook, status, outcome):
    receiver = make_receiver((status, {"Location": "http://127.0.0.1:1/elsewhere?secret"}, b"" if status in (204, 304) else b"why"))
    result = make_hook(url=receiver.url).send(event())
    assert result["outcome"] == outcome
    assert len(receiver.got) == 1, "dispatch tries again, not the hook"
    if outcome == "delivered":
        assert result["why"] == ""
    else:
        assert result["why"].startswith(f"HTTP {status}")
        assert "secret" not in result["why"]
    assert result["retry_after_ms"] == 0


def test_retry_after(make_receiver, make_hook):
    receiver = make_receiver((429, {"Retry-After": "7"}, b""), (503, {"Retry-After": "99999999"}, b""),
                             (503, {"Retry-After": "soon"}, b""), (400, {"Retry-After": "7"}, b""))
    waits = [one["retry_after_ms"] for one in make_hook(url=receiver.url).send(*map(event, range(4)), options=("--each",))]
    assert waits == [7000, 86400000, 0, 0]


def test_excerpt_is_bounded_and_printable(make_receiver, make_hook):
    receiver = make_receiver((400, {}, b"  no\r\n\r\n  such\tfield \x1b[31m\xff " + b"x" * 100000))
    why = make_hook(url=receiver.url).send(event())["why"]
    assert why.startswith("HTTP 400: no such field \\x1B[31m\\xFF xxx")
    assert len(why) < 300


def test_huge_bodies(make_receiver, make_hook):
    def endless(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(4096):
            handler.wfile.write(b"y" * 65536)

    receiver = make_receiver((500, {}, b"z" * 20_000_000), (200, {}, b"z" * 20_000_000), endless)
    outcomes = make_hook(url=receiver.url, timeout="20s").send(*map(event, range(3)), options=("--each",))
    assert [one["outcome"] for one in outcomes] == ["retry", "delivered", "delivered"]
    assert len(receiver.got) == 3


def test_slow_receiver_times_out(make_receiver, make_hook):
    receiver = make_receiver(lambda handler: time.sleep(5))
    start = time.monotonic()
    result = make_hook(url=receiver.url, timeout="500ms").send(event())
    assert time.monotonic() - start < 4
    assert result["outcome"] == "retry" and "timed out after 500ms" in result["why"]


def test_receiver_that_closes(make_receiver, make_hook):
    receiver = make_receiver("close", (200, {}, b""))
    outcomes = make_hook(url=receiver.url).send(event(1), event(2), options=("--each",))
    assert [one["outcome"] for one in outcomes] == ["retry", "delivered"]
    assert len(receiver.got) == 2, "nothing is sent twice behind our back"


def test_nobody_there(make_hook):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = make_hook(url=f"http://127.0.0.1:{port}/x").send(event())
    assert result["outcome"] == "retry" and "connect" in result["why"].lower()


def test_no_http_at_all(make_hook):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    result = make_hook(url=f"http://127.0.0.1:{listener.getsockname()[1]}").send(event())
    listener.close()
    assert result["outcome"] == "retry" and result["why"]


def test_stop_while_it_runs(make_receiver, make_hook):
    receiver = make_receiver(lambda handler: time.sleep(5))
    start = time.monotonic()
    result = make_hook(url=receiver.url).send(event(), options=("--stop-after", 300))
    assert time.monotonic() - start < 4
    assert result == {"outcome": "retry", "why": "stopped, because patchwatchd ends", "retry_after_ms": 0}


@pytest.fixture(name="certificate", scope="module")
def certificate_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_tls(make_hook, certificate):
    receiver = Receiver(tls=certificate)
    unknown = make_hook(url=receiver.url).send(event())
    assert unknown["outcome"] == "retry" and "certificate" in unknown["why"]
    assert not receiver.got, "nothing is told to a stranger"
    assert make_hook(url=receiver.url, ca_file=certificate[0]).send(event())["outcome"] == "delivered"
    receiver.close()


# Configuration


def test_secret_url_is_never_shown(make_receiver, make_hook):
    receiver = make_receiver((404, {}, b'{"error": "no_such_hook", "path": "\\/services\\/T0\\/B0\\/s3cr3t-token"}'),
                             (200, {}, b""))
    hook = make_hook(url_file="url")
    hook.secret("url", f"{receiver.url}/services/T0/B0/s3cr3t-token?key=s3cr3t-query\n")
    result = hook.send(event())
    assert receiver.got[0]["path"] == "/services/T0/B0/s3cr3t-token?key=s3cr3t-query"
    assert result["outcome"] == "refused" and "no_such_hook" in result["why"]
    assert "s3cr3t" not in result["why"] and "s3cr3t" not in hook.log
    assert "hook h: waiting -> throttled" in hook.log, "the debug log was looked at"


def test_secret_files_that_others_may_read(make_receiver, make_hook):
    receiver = make_receiver()
    for key in ("url_file", "secret_file", "token_file"):
        keys = {key: "s"} if key == "url_file" else {"url": receiver.url, key: "s"}
        hook = make_hook(**keys)
        hook.secret("s", "whsec_hunter2" if key != "url_file" else receiver.url, mode=0o640)
        text, taken = hook.check()
        assert not taken and re.search(rf":3: {key}: .* is open to others \(mode 0640\)", text)
        assert "hunter2" not in text


def test_credentials_directory(make_receiver, make_hook, tmp_path):
    receiver = make_receiver()
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "url").write_text(receiver.url + "/from-systemd", encoding="ascii")
    (directory / "url").chmod(0o440)
    hook = make_hook(url_file="url")
    hook.secret("url", receiver.url + "/beside")
    hook.send(event(), env={"CREDENTIALS_DIRECTORY": str(directory)})
    hook.send(event())
    assert [got["path"] for got in receiver.got] == ["/from-systemd", "/beside"]


@pytest.mark.parametrize("text,problem", [
    ("whsec_hunter2", "line 1 is no key"), ("\nwhsec_" + base64.b64encode(b"hunter2" * 3).decode(), "line 2 is no key"),
    ("\n", "empty|holds no key"), (f"{SECRET}\n" * 9, "more than 8 keys"), (SECRET[:-1], "line 1 is no key"),
    ("whsec_" + base64.b64encode(b"h" * 65).decode(), "line 1 is no key")])
def test_bad_keys(make_hook, text, problem):
    hook = make_hook(url="https://a.example/", secret_file="keys")
    hook.secret("keys", text)
    said, taken = hook.check()
    assert not taken and re.search(":3: secret_file: .*(" + problem + ")", said)
    said = said.replace(str(hook.folder), "")
    assert text.strip() == "" or text.strip()[8:] not in said


def test_bad_secret_urls_are_not_shown(make_hook):
    for url in ("ftp://hunter2.example", "https://host/hunter2#x", "https://host/hunter2?a b", "https:///hunter2",
                "https://user:hunter2@", "hunter2"):
        hook = make_hook(url_file="url")
        hook.secret("url", url)
        text, taken = hook.check()
        assert not taken and ":3: the URL in url_file: " in text
        assert "hunter2" not in text


def test_user_and_password_in_a_url_file(make_receiver, make_hook):
    receiver = make_receiver((400, {}, b"hunter2 is wrong"))
    hook = make_hook(url_file="url")
    hook.secret("url", receiver.url.replace("://", "://user:hunter2@") + "/p")
    why = hook.send(event())["why"]
    assert receiver.got[0]["headers"]["Authorization"] == "Basic " + base64.b64encode(b"user:hunter2").decode()
    assert "hunter2" not in hook.log and "hunter2" not in why


def test_what_goes_in_the_clear(make_hook):
    hook = make_hook(url="http://host.example/", token_file="t")
    hook.secret("t", "token")
    text, taken = hook.check()
    assert not taken and "would send its token in the clear" in text
    # Loading alone is looked at here: the name is not to be looked up.
    done = make_hook(url="http://host.example/").run(text="")
    assert b"hook 'h' sends over http://" in done.stderr and done.returncode == 70
    hook = make_hook(url="http://host.example/", secret_file="keys")
    hook.secret("keys", SECRET)
    assert b"http://" not in hook.run(text="").stderr
    assert b"sends over" not in make_hook(url="http://127.0.0.1:1/").run(text="").stderr
    assert b"sends over" in make_hook(url="http://127.0.0.1:1/", proxy="proxy.example:80").run(text="").stderr


def test_too_much_for_one_request_is_split(make_receiver, make_hook):
    receiver = make_receiver()
    hook = make_hook(url=receiver.url)
    big = [event(number, name="n" * 300_000) for number in range(60)]
    result = hook.send(*big)
    assert result["outcome"] == "refused" and "longer than" in result["why"]
    assert not receiver.got
    assert hook.send(big[0])["outcome"] == "delivered"
    assert json.loads(receiver.got[0]["body"]) == big[0]


def test_event_that_is_too_long_to_read_is_told(make_receiver, make_hook):
    receiver = make_receiver()
    hook = make_hook(url=receiver.url)
    hook.send(event(name="n" * 900_000, node={"group": "g" * 60_000}))
    assert len(receiver.got[0]["body"]) > 900_000
