"""Our signatures beside those of the vendor's own SDK (npm, @huaweicloud/huaweicloud-sdk-core).

    SIGN_CLI=build/dev/bin/sign-cli pytest tests/vendor/test_signer.py

The SDK is installed from the npm registry; see npm.py for when the tests are skipped.

Quirks of the SDK 3.1.211 that the requests here go around, since the gateway takes both ways:
- It signs every header that it is given, `host` always, so we sign `host` in these tests too. X-Sdk-Date
  is signed as given, but re-formatted for the string to sign: only the basic format agrees with itself.
- It does not decode the path of `endpoint` before it encodes it, so one that is percent-encoded already
  would be encoded twice. Paths here need no encoding.
- It takes the query from `queryParams`, not from the URL, and sorts names by UTF-16 units; we sort by
  bytes. The two orders differ only between U+E000..U+FFFF and above U+FFFF, in names, which are
  ASCII here.
- A body is signed as JSON.stringify() writes it.
- Headers are sorted by localeCompare(), which takes "-" for less than a letter; so do bytes.
"""
import json
import os
import pathlib
import subprocess
import urllib.parse

import pytest

import npm

HERE = pathlib.Path(__file__).resolve().parent
SIGN_CLI = os.environ.get("SIGN_CLI", str(HERE.parent.parent / "build/dev/bin/sign-cli"))
DATE = "20260102T150405Z"


def request(query=None, path="/v1/patch/instance/compliant", host="coc.myhuaweicloud.com", headers=None,
            method="GET", data=None, access_key="AKEXAMPLE0000000000", secret_key="sk/+=~ example"):
    return {"method": method, "endpoint": f"https://{host}{path}", "host": host, "query": query or {},
            "headers": headers or {}, "data": data, "access_key": access_key, "secret_key": secret_key,
            "date": DATE}


FILTERS = {"limit": "100", "offset": "1", "sort_dir": "desc", "sort_key": "report_time"}
REQUESTS = [
    request(),
    request({"limit": "1"}),
    request(FILTERS),
    *[request({**FILTERS, "name": value}) for value in (
        "", " ", "web server", " leading", "trailing ", "a+b", "a%20b", "100%", "a&b=c", "a/b?c#d", "x:y",
        "*", "(prod)", "it's!", "~tilde-._", "quote\"d", "back\\slash", "tab\there", "semi;colon,", "<>[]{}|^`",
        "中文", "größe", "emoji 🚀", "e\u0301", "\u007f")],
    request({**FILTERS, "ip": "2001:db8::1"}),
    request({**FILTERS, "ip": "192.0.2.1", "eip": "", "region": "cn-north-4", "report_scene": "ECS"}),
    request({"b": ["2", "10", "1"], "a": "x"}),
    request({"a-b": "1", "a": "2", "aa": "3", "A": "4", "a_b": "5", "a.b": "6"}),
    request({"name 1": "v", "中": "v"}),
    request(FILTERS, path="/"),
    request(FILTERS, path="/prefix/v1/patch/"),
    request(FILTERS, path="/a//b/../c.d-e_f~g"),
    request(FILTERS, host="coc.example.com:8443"),
    request(FILTERS, host="[2001:db8::1]:8443"),
    request(FILTERS, headers={"X-Domain-Id": "d1", "X-Project-Id": "p1"}),
    request(FILTERS, headers={"X-Security-Token": "gQpjbi1ub3J0aC00" * 40}),
    request(FILTERS, secret_key=""),
    request(FILTERS, secret_key="k" * 200),
    request(method="POST", data={"a": ["ä", 1]}),
]


def wire_url(r):
    """The URL as it goes on the wire."""
    pairs = [(name, value) for name, values in r["query"].items()
             for value in (values if isinstance(values, list) else [values])]
    query = "&".join(f"{urllib.parse.quote(n, safe='~')}={urllib.parse.quote(v, safe='~')}" for n, v in pairs)
    return r["endpoint"] + ("?" + query if query else "")


def ours(r):
    lines = "".join(f"{name}: {value}\n" for name, value in {"host": r["host"], **r["headers"]}.items())
    body = [] if r["data"] is None else [json.dumps(r["data"], ensure_ascii=False, separators=(",", ":"))]
    done = subprocess.run([SIGN_CLI, r["method"], wire_url(r), r["access_key"], r["secret_key"], DATE, *body],
                          input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture(scope="session")
def theirs(tmp_path_factory):
    """What the SDK makes of all REQUESTS."""
    folder = npm.install("package.json", "@huaweicloud/huaweicloud-sdk-core", tmp_path_factory)
    return json.loads(npm.node(folder, "sign.mjs", json.dumps(REQUESTS)))


def test_there_are_enough():
    assert len(REQUESTS) >= 40


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_same_signature(theirs, number):
    assert ours(REQUESTS[number]) == theirs[number]
