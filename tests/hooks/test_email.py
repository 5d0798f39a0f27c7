"""The email hook against python3-aiosmtpd, and against servers that misbehave. What arrives is taken apart by Python's email
package."""

import base64
import email.utils
import json
import re
import time

import pytest

from mailbox import Mailbox, Script, make_certificate
from receiver import HOSTILE, event, source_event

PASSWORD = "s3cret-Passw0rd+/="


@pytest.fixture(name="open_mailbox")
def open_mailbox_fixture():
    made = []

    def open_one(kind=Mailbox, **options):
        made.append(kind(**options))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


@pytest.fixture(name="certificate", scope="session")
def certificate_fixture(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(name="make_mail")
def make_mail_fixture(make_hook):
    """A hook that mails to ops@example through a server."""
    def make(server, **keys):
        keys = {"smtp": getattr(server, "url", server), "from": "pw@example.org", "to": ["ops@example.org"], **keys}
        hook = make_hook(type="email", **keys)
        hook.secret("mail-pw", PASSWORD + "\n")
        return hook

    return make


def text_of(mail):
    return mail.get_content().replace("\r\n", "\n")


def fields_of(text):
    """The "Label  value" lines."""
    return dict(re.findall(r"^(\S.*?)  +(\S.*)$", text, re.M))


# What is sent


def test_message(open_mailbox, make_mail):
    box = open_mailbox()
    hook = make_mail(box, cc=["Boss <boss@example.org>"], helo="pw.example.org")
    before = time.time()
    assert hook.send(event()) == {"outcome": "delivered", "why": "", "retry_after_ms": 0}
    [got] = box.got
    mail = got["mail"]
    assert got["from"] == "pw@example.org" and got["to"] == ["ops@example.org", "boss@example.org"]
    assert "EHLO pw.example.org" in box.commands
    assert mail["From"] == "pw@example.org" and mail["To"] == "ops@example.org"
    assert mail["Cc"].addresses[0].display_name == "Boss" and mail["Cc"].addresses[0].addr_spec == "boss@example.org"
    assert mail["Subject"] == "[patchwatch] prod-web-1 is non-compliant: 2 patches (2 high), baseline Linux default"
    assert mail["Message-ID"] == f"<{event()['id']}.patchwatch@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated" and mail["MIME-Version"] == "1.0"
    assert mail.get_content_type() == "text/plain" and mail.get_content_charset() == "utf-8"
    assert abs(email.utils.parsedate_to_datetime(mail["Date"]).timestamp() - before) < 60
    assert not mail.defects and not any(header.defects for header in mail.values())
    text = text_of(mail)
    assert text.startswith("prod-web-1 is non-compliant: 2 patches (2 high), baseline Linux default\n\n")
    fields = fields_of(text)
    assert fields["Machine"] == "prod-web-1" and fields["Key"] == "ECS/i-1" and fields["Region"] == "cn-north-4"
    assert fields["Since"] == "2026-11-24 07:53:48 UTC" and fields["Status"] == "non_compliant, before: compliant"
    assert fields["Patches missing"] == "2 (2 high)" and fields["Baseline"] == "Linux default"
    assert fields["Source"] == "prod" and fields["Sweep"] == "97" and fields["Event"] == event()["id"]
    assert fields["Rule"] == "rule" and fields["Hook"] == "h"
    assert "Group" not in fields, "what the API did not say has no line"


def test_other_events(open_mailbox, make_mail):
    box = open_mailbox()
    hook = make_mail(box, subject_prefix="")
    hook.send(event(2, "node.compliant"), event(3, "node.missing"),
              source_event("source.failing", failure={"sweeps": 3, "since": 1795506828123, "reason": "no page",
                                                      "error_code": "APIGW.0301", "error_msg": "Incorrect"}),
              source_event("source.baseline", totals={"nodes": 9, "compliant": 7, "non_compliant": 2, "unknown": 0}),
              event(4, patches={"total": 2, "listed": [{"title": "openssl-1.1", "severity_level": "CRITICAL"},
                                                       {"title": "bash-5.0\nX: y", "severity_level": "HIGH"}]}),
              options=("--each",))
    end, missing, failing, baseline, patches = [got["mail"] for got in box.got]
    assert end["Subject"] == "prod-web-1 is compliant again"
    assert "Since" not in fields_of(text_of(end)) and fields_of(text_of(end))["Time"] == "2026-11-24 07:53:48 UTC"
    assert missing["Subject"].startswith("prod-web-1 is missing")
    fields = fields_of(text_of(failing))
    assert fields["Reason"] == "no page" and fields["Error code"] == "APIGW.0301" and fields["Sweeps in a row"] == "3"
    assert fields["Since"] == "2026-11-24 07:53:48 UTC"
    assert fields_of(text_of(baseline))["Non-compliant"] == "2"
    assert "\nMissing patches:\n  openssl-1.1  CRITICAL\n  bash-5.0\\x0AX: y  HIGH\n" in text_of(patches)


def test_ids_and_threads(open_mailbox, make_mail):
    box = open_mailbox()
    hook = make_mail(box)
    other = event(3, "node.compliant")
    for sent, options in (([event()], ()), ([event()], ()), ([event()], ("--reminder", 1)), ([event()], ("--reminder", 2)),
                          ([event(2, "node.compliant", key="ECS/i-1")], ()), ([other], ()),
                          ([event(), other], ()), ([event(), other], ()), ([event(), event(4)], ())):
        assert hook.send(*sent, options=options)["outcome"] == "delivered"
    mails = [got["mail"] for got in box.got]
    ids = [mail["Message-ID"] for mail in mails]
    assert ids[0] == ids[1] and ids[6] == ids[7] and len(set(ids)) == len(ids) - 2, "known again, and only then"
    assert all(re.fullmatch(r"<[!-;=?-~]+@example\.org>", one) for one in ids)
    threads = [mail["References"] for mail in mails]
    assert threads[0] == threads[2] == threads[4] == mails[4]["In-Reply-To"] != threads[5]
    assert threads[6] is None, "two machines are no conversation"
    assert "reminder 2: " in mails[3]["Subject"]


def test_group(open_mailbox, make_mail):
    box = open_mailbox()
    hook = make_mail(box)
    events = [event(number, name=f"web-{number:03}") for number in range(1, 121)]
    events += [event(number, "node.compliant", name="x" * 70000) for number in range(121, 131)]
    hook.send(*events)
    [got] = box.got
    mail = got["mail"]
    assert mail["Subject"] == "[patchwatch] 130 events: 120 non-compliant, 10 compliant"
    lines = text_of(mail).splitlines()
    assert lines[0] == "130 events: 120 non-compliant, 10 compliant"
    assert lines[2].split() == ["WHAT", "MACHINE", "PATCHES", "CRITICAL", "HIGH", "REGION", "BASELINE", "TIME", "SOURCE", "KEY"]
    assert [line.split()[1] for line in lines[3:53]] == [f"web-{number:03}" for number in range(1, 51)]
    assert lines[3].split()[:5] == ["non-compliant", "web-001", "2", "0", "2"]
    assert lines[54] == "and 80 more"
    assert max(len(line) for line in got["raw"].split(b"\r\n")) <= 76
    hook.send(*events[-12:])
    assert len(box.got[1]["raw"]) < 20000


@pytest.mark.parametrize("name", [
    HOSTILE, "a\r\nBcc: all@example.org", "a\n\nbody", "=?utf-8?B?aGk=?=", ".leading dot", "..", "x" * 65536, "é" * 40000,
    "\u202egnp.exe", "\u2066שלום\u2069", "日本語の名前" * 20, " blanks  within ", "\x00\x7f\x9b", "a" * 300 + " b" * 200, "-- ", "From me",
    "😀" * 70, "=3D=0A", "tab\there",
], ids=range(19))
def test_hostile_names(open_mailbox, make_mail, name):
    box = open_mailbox()
    hook = make_mail(box, subject_prefix="[à]")
    assert hook.send(event(name=name, key=f"ECS/{name[:200]}", node={"region": name}))["outcome"] == "delivered"
    [got] = box.got
    raw, mail = got["raw"], got["mail"]
    assert got["to"] == ["ops@example.org"]
    assert not mail.defects and not any(header.defects for header in mail.values())
    header, _, _ = raw.partition(b"\r\n\r\n")
    names = re.findall(rb"^([A-Za-z-]+):", header, re.M)
    assert names == [b"From" if one == "From" else one.encode() for one in mail.keys()] and len(names) == 12
    assert all(len(line) <= 998 for line in raw.split(b"\r\n")) and len(header) < 3000
    assert re.search(rb"[^\r]\n|\r[^\n]|[\x80-\xff\x00]", raw) is None, "ASCII, lines that end in CRLF"
    for value in (mail["Subject"], text_of(mail)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200f\u202a-\u202e\u2066-\u2069]", value)
    assert mail["Subject"].startswith("[à] ") and len(mail["Subject"]) < 1500
    shown = fields_of(text_of(mail))
    assert shown["Type"] == "io.patchwatch.node.non_compliant" and shown["Event"] == event()["id"]


def test_dots_arrive(open_mailbox, make_mail):
    box = open_mailbox()
    make_mail(box).send(event(name=".hidden"))
    assert text_of(box.got[0]["mail"]).startswith(".hidden is non-compliant")


def test_names_of_people(open_mailbox, make_mail):
    box = open_mailbox()
    hook = make_mail(box, **{"from": "Wächter, Pätch <pw@example.org>", "to": ['"On, Call" <a@example.org>', "日本" * 6 + " <b@example.org>"]})
    hook.send(event())
    mail = box.got[0]["mail"]
    assert mail["From"].addresses[0].display_name == "Wächter, Pätch"
    assert [one.display_name for one in mail["To"].addresses] == ["On, Call", "日本" * 6]
    assert [one.addr_spec for one in mail["To"].addresses] == ["a@example.org", "b@example.org"]
    assert box.got[0]["to"] == ["a@example.org", "b@example.org"] and not mail["To"].defects


# Encryption and login


def test_starttls(open_mailbox, make_mail, certificate):
    box = open_mailbox(tls="starttls", certificate=certificate, users={"pw": PASSWORD})
    hook = make_mail(box, starttls="yes", ca_file=str(certificate[0]), user="pw", password_file="mail-pw")
    assert hook.send(event())["outcome"] == "delivered"
    assert box.got[0]["tls"] and box.logins == [("PLAIN", "pw", PASSWORD)]
    assert PASSWORD not in hook.log


def test_starttls_is_never_left_out(open_mailbox, make_mail):
    box = open_mailbox(users={"pw": PASSWORD})
    hook = make_mail(box, starttls="yes", user="pw", password_file="mail-pw")
    outcome = hook.send(event())
    assert outcome["outcome"] == "retry" and "STARTTLS" in outcome["why"]
    assert box.got == [] and box.logins == [] and "MAIL" not in box.commands


def test_smtps(open_mailbox, make_mail, certificate):
    box = open_mailbox(tls="smtps", certificate=certificate, users={"pw": PASSWORD}, mechanisms=["LOGIN"])
    hook = make_mail(box, ca_file=str(certificate[0]), user="pw", password_file="mail-pw")
    assert hook.send(event())["outcome"] == "delivered"
    assert box.logins == [("LOGIN", "pw", PASSWORD)] and box.got[0]["to"] == ["ops@example.org"]


@pytest.mark.parametrize("tls", ["smtps", "starttls"])
def test_strangers(open_mailbox, make_mail, certificate, tmp_path, tls):
    """A certificate that nobody vouches for, another's name, another's CA."""
    other = make_certificate(tmp_path, "elsewhere", "DNS:elsewhere.example")
    for shown, trusted in ((certificate, None), (other, other), (certificate, other)):
        box = open_mailbox(tls=tls, certificate=shown, users={"pw": PASSWORD})
        keys = {"ca_file": str(trusted[0])} if trusted else {}
        keys.update({"starttls": "yes"} if tls == "starttls" else {})
        outcome = make_mail(box, user="pw", password_file="mail-pw", **keys).send(event())
        assert outcome["outcome"] == "retry" and "certificate" in outcome["why"], outcome
        assert box.got == [] and box.logins == []


def test_wrong_password(open_mailbox, make_mail):
    box = open_mailbox(users={"pw": "another"})
    hook = make_mail(box, user="pw", password_file="mail-pw")
    outcome = hook.send(event(1), event(2))
    assert outcome["outcome"] == "retry", "the events are not to blame"
    assert re.search(r"^smtp://127.0.0.1:\d+: login: 535 ", outcome["why"])
    assert len(box.logins) == 1 and box.got == []


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_server_repeats_the_password(open_mailbox, make_mail, mechanism):
    plain = base64.b64encode(b"\0pw\0" + PASSWORD.encode()).decode()
    secrets = [PASSWORD, plain, base64.b64encode(PASSWORD.encode()).decode()]
    said = " ".join(secrets)
    box = open_mailbox(Script, EHLO=f"250-me\r\n250 AUTH {mechanism}", AUTH="334 ",
                       **{plain: f"535 {said}", base64.b64encode(b"pw").decode().upper(): "334 UGFzc3dvcmQ6",
                          plain.upper(): f"535 {said}", secrets[2].upper(): f"535 {said}"})
    outcome = make_mail(box, user="pw", password_file="mail-pw")
    result = outcome.send(event())
    assert result["outcome"] == "retry" and "login: 535 ***" in result["why"], result
    for secret in secrets:
        assert secret not in result["why"] and secret not in outcome.log


def test_no_login_offered(open_mailbox, make_mail):
    """The server decides: what it takes without a login is delivered."""
    box = open_mailbox()
    assert make_mail(box, user="pw", password_file="mail-pw").send(event())["outcome"] == "delivered"
    other = open_mailbox(Script, EHLO="250-me\r\n250 AUTH CRAM-MD5 NTLM", MAIL="530 5.7.0 log in first")
    outcome = make_mail(other, user="pw", password_file="mail-pw").send(event())
    assert outcome["outcome"] == "retry" and "AUTH" not in other.commands
    assert "the server offers neither AUTH PLAIN nor AUTH LOGIN" in outcome["why"]


# Outcomes


def flood(peer):
    try:
        while True:
            peer.sendall(b"2" * 65536)
    except OSError:
        pass


@pytest.mark.parametrize("answers, outcome, words", [
    ({"DATA": "451 4.7.1 greylisted"}, "retry", "451 4.7.1 greylisted"),
    ({"DATA": "554 5.7.1 looks like spam"}, "refused", "554 5.7.1 looks like spam"),
    ({"DATA": "554-5.7.1 two\r\n554 5.7.1 lines"}, "refused", "554 5.7.1 two 5.7.1 lines"),
    ({"DATA": "554 \x1b[2Jevil" + "x" * 300}, "refused", "554 \\x1B[2Jevil"),
    ({"MAIL": "452 4.2.2 full"}, "retry", "452 4.2.2 full"),
    ({"MAIL": "550 5.1.8 not from you"}, "retry", "550 5.1.8 not from you"),
    ({"MAIL": "552 5.3.4 too long"}, "refused", "552 5.3.4 too long"),
    ({"RCPT": {"ops@example.org": "450 4.2.1 busy"}}, "retry", "450 4.2.1 busy"),
    ({"RCPT": {"ops@example.org": "550 5.1.1 nobody"}}, "retry", "550 5.1.1 nobody"),
])
def test_refusals(open_mailbox, make_mail, answers, outcome, words):
    box = open_mailbox(replies=answers)
    result = make_mail(box).send(event(1), event(2))
    assert result["outcome"] == outcome and words in result["why"], result
    assert len(result["why"]) < 700 and result["why"].isprintable()


def test_some_recipients_are_refused(open_mailbox, make_mail):
    box = open_mailbox(replies={"RCPT": {"gone@example.org": "550 5.1.1 nobody here"}})
    hook = make_mail(box, to=["gone@example.org", "ops@example.org"], cc=["boss@example.org"])
    assert hook.send(event())["outcome"] == "delivered"
    assert [got["to"] for got in box.got] == [["ops@example.org", "boss@example.org"]]
    assert "refuses the recipient gone@example.org, the others were told: 550 5.1.1 nobody here" in hook.log


def test_who_took_it_is_not_sent_it_again(open_mailbox, make_mail):
    replies = {"RCPT": {"late@example.org": "450 4.2.1 greylisted", "gone@example.org": "550 no"}}
    box = open_mailbox(replies=replies)
    hook = make_mail(box, to=["ops@example.org", "late@example.org"], cc=["gone@example.org"])

    def later(_box):
        replies["RCPT"]["late@example.org"] = "250 now"
        return "250 taken"

    replies["DATA"] = later
    first, second, third = hook.send(event(1), event(1), event(2), options=("--each",))
    assert first["outcome"] == "retry" and "not yet taken for late@example.org: 450 4.2.1 greylisted" in first["why"]
    assert second["outcome"] == third["outcome"] == "delivered"
    assert [got["to"] for got in box.got] == [["ops@example.org"], ["late@example.org"], ["ops@example.org", "late@example.org"]]
    assert box.got[0]["mail"]["Message-ID"] == box.got[1]["mail"]["Message-ID"]
    assert str(box.got[1]["mail"]["To"]) == "ops@example.org, late@example.org", "all see who was told"


def test_the_rest_refuses_for_good(open_mailbox, make_mail):
    box = open_mailbox(replies={"RCPT": {"late@example.org": "450 later"}})

    def gone(_box):
        box.replies["RCPT"]["late@example.org"] = "550 never"
        return "250 taken"

    box.replies["DATA"] = gone
    hook = make_mail(box, to=["ops@example.org", "late@example.org"])
    assert [one["outcome"] for one in hook.send(event(), event(), options=("--each",))] == ["retry", "delivered"]
    assert len(box.got) == 1 and "550 never" in hook.log


@pytest.mark.parametrize("answers, words", [
    ({"greeting": None}, "timed out after 1s, waiting for the server's greeting"),
    ({"EHLO": None}, "timed out after 1s, waiting for the answer to EHLO"),
    ({"RCPT": None}, "timed out after 1s, waiting for the answer to RCPT"),
    ({"message": None}, "timed out after 1s, waiting for the answer to the message"),
    ({"greeting": "close"}, "the connection broke, waiting for the server's greeting"),
    ({"MAIL": "close"}, "the connection broke, waiting for the answer to MAIL"),
    ({"DATA": "reset"}, "the connection broke, waiting for the answer to DATA"),
    ({"message": "close"}, "the connection broke, waiting for the answer to the message"),
    ({"greeting": "554 5.3.2 go away"}, "554 5.3.2 go away"),
    ({"greeting": "421 4.3.2 busy"}, "421 4.3.2 busy"),
    ({"DATA": "250 what?"}, 'it answers "250 what?", in place of the answer to DATA'),
    ({"RCPT": "SSH-2.0-OpenSSH"}, "what the server says is no SMTP"),
    ({"RCPT": "250-more\r\n" * 300 + "250 ok"}, "what the server says is no SMTP"),
    ({"greeting": flood}, ""),
    ({"MAIL": flood}, ""),
    ({"greeting": "SSH-2.0-OpenSSH"}, "timed out after 1s"),
])
def test_servers_that_misbehave(open_mailbox, make_mail, answers, words):
    script = open_mailbox(Script, **answers)
    hook = make_mail(script, timeout="1s")
    begin = time.monotonic()
    result = hook.send(event())
    assert result["outcome"] == "retry" and words in result["why"], result
    assert result["why"] and time.monotonic() - begin < 3


@pytest.mark.parametrize("quit_answer", [None, "close", "reset", "500 no"])
def test_quit_holds_up_nobody(open_mailbox, make_mail, quit_answer):
    """libcurl waits for the answer to QUIT without returning to the loop."""
    for answers, outcome in (({}, "delivered"), ({"RCPT": "550 no"}, "retry"), ({"message": "554 no"}, "refused")):
        script = open_mailbox(Script, **{**answers, "QUIT": quit_answer})
        begin = time.monotonic()
        assert make_mail(script).send(event())["outcome"] == outcome
        assert time.monotonic() - begin < 2, "an attempt that has its outcome waits for nothing"
        assert script.commands[-1] == "QUIT", "it is polite all the same"


def test_nobody_listens(make_mail):
    result = make_mail("smtp://127.0.0.1:1").send(event())
    assert result["outcome"] == "retry" and result["why"].startswith("smtp://127.0.0.1:1: ")


def test_stop(open_mailbox, make_mail):
    script = open_mailbox(Script, MAIL=None)
    result = make_mail(script).send(event(), options=("--stop-after", 300))
    assert result == {"outcome": "retry", "why": "stopped, because patchwatchd ends", "retry_after_ms": 0}


# The file


def test_password_file(make_mail):
    hook = make_mail("smtps://mail.example", user="pw", password_file="mail-pw")
    hook.secret("mail-pw", PASSWORD, 0o640)
    text, is_good = hook.check()
    assert not is_good and "password_file" in text and "open to others" in text
    hook.secret("mail-pw", "two\nlines")
    text, is_good = hook.check()
    assert not is_good and "lines" not in text.replace("line break", "")


def test_credentials_directory(open_mailbox, make_mail, tmp_path):
    box = open_mailbox(users={"pw": "from systemd"})
    hook = make_mail(box, user="pw", password_file="mail-pw")
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "mail-pw").write_text("from systemd")
    assert hook.send(event(), env={"CREDENTIALS_DIRECTORY": str(directory)})["outcome"] == "delivered"


def test_much_json(open_mailbox, make_mail):
    box = open_mailbox()
    big = event(1, patches={"listed": [{"title": "x" * 1000}] * 900, "total": 900})
    assert make_mail(box).send(big)["outcome"] == "delivered"
    text = text_of(box.got[0]["mail"])
    assert text.count("  x") == 51 and len(text) < 20000
