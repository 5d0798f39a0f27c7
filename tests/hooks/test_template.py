"""Templates of a webhook: what the documented placeholders give, and what is refused while somebody looks."""

import re
from pathlib import Path

import pytest

from receiver import HOSTILE, event, source_event

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(name="render")
def render_fixture(make_receiver, make_hook):
    def render(template, *events, **options):
        receiver = make_receiver()
        hook = make_hook(url=receiver.url, template="body.json")
        (hook.folder / "body.json").write_text(template, encoding="utf-8")
        assert hook.send(*events, **options)["outcome"] == "delivered"
        assert receiver.got[0]["headers"]["Content-Type"] == "application/json"
        return receiver.json()

    return render


@pytest.fixture(name="refuse")
def refuse_fixture(make_hook):
    def refuse(template):
        hook = make_hook(url="http://127.0.0.1:1/", template="body.json")
        (hook.folder / "body.json").write_bytes(template if isinstance(template, bytes) else template.encode())
        text, taken = hook.check()
        assert not taken
        return re.sub(re.escape(str(hook.folder)) + "/", "", text)

    return refuse


def test_values(render):
    body = render('{"routing_key": "k", "n": {{count}}, "name": "{{ node.name }}", "high": {{report.non_compliant.high}},'
                  ' "low": {{previous.compliant.low}}, "region": "{{node.region}}", "group": "[{{node.group}}]", '
                  '"type": "{{event.type}}", "to": "{{event.to}}", "what": "{{summary}}", "from": "{{source.name}}",'
                  ' "h": "{{hook}}/{{rule}}/{{reminder}}", "event": {{event}}}', event(name=HOSTILE), options=("--reminder", 3))
    assert body["routing_key"] == "k" and body["n"] == 1
    assert body["name"] == HOSTILE, "placeholders in a name stay what they are"
    assert body["high"] == 2 and body["low"] is None
    assert body["region"] == "cn-north-4" and body["group"] == "[]"
    assert body["type"] == "io.patchwatch.node.non_compliant" and body["to"] == "non_compliant"
    assert body["what"].startswith("reminder 3: <!channel>") and "2 patches (2 high)" in body["what"]
    assert body["from"] == "prod" and body["h"] == "h/rule/3"
    assert body["event"] == event(name=HOSTILE)


def test_loop(render):
    template = '{"first": "{{node.key}}", "all": [{{#events}}{{comma}}\n{"id": "{{event.id}}", "of": {{count}}}{{/events}}],' \
               ' "again": [{{#events}}{{comma}}"{{node.name}}"{{/events}}], "last": "{{node.key}}"}'
    body = render(template, event(1, name="a"), event(2, name='"'), source_event("source.failing"))
    assert body["first"] == body["last"] == "ECS/i-1"
    assert [one["of"] for one in body["all"]] == [3, 3, 3]
    assert body["again"] == ["a", '"', ""]


def test_invalid_utf8_in_an_event_gives_json(render):
    assert render('["{{node.name}}"]', event(name="\ud83d".encode("utf-8", "surrogatepass").decode("utf-8", "replace")))


@pytest.mark.parametrize("template,said", [
    ('{"a": "{{node.nmae}}"}', "body.json:1: unknown placeholder {{node.nmae}}; did you mean {{node.name}}?"),
    ('{\n"a": "{{wholly.else}}"}', "body.json:2: unknown placeholder {{wholly.else}}\n"),
    ('{\n\n"a": {{node.name}}}', "body.json:3: for an event with every value this is no JSON, at: a"),
    ('{"a": {{count}},\n}', "body.json:2: for an event with every value this is no JSON, at: }"),
    ('[{{#events}}\n"{{node.key}}",\n{{/events}}]', "body.json:3: for an event with every value this is no JSON, at: ]"),
    ('[{{#events}}\n"{{node.key}}"\n{{/events}}]', "body.json:2: for three events together this is no JSON"),
    ("[{{#events}}1", "body.json:1: {{#events}} is not ended by {{/events}}"),
    ("[{{#events}}\n{{#events}}1{{/events}}]", "body.json:2: {{#events}} within {{#events}}, which began on line 1"),
    ("[1\n{{/events}}]", "body.json:2: {{/events}} without {{#events}} before it"),
    ("[{{comma}}]", "body.json:1: {{comma}} without {{#events}}"),
    ("[\n{{\n}}]", 'body.json:2: "{{" begins no placeholder'),
    ("[{{count]", 'body.json:1: "{{" begins no placeholder'),
    ("", "body.json:1: for an event with every value this is no JSON, at: its end"),
    ("[" * 70 + "]" * 70, "this is no JSON"),
    (b'["\xff"]', "body.json:1: for an event with every value this is no JSON"),
    (b"[1]\0", "body.json: it holds a NUL byte"),
    ("[" + "1," * 200_000 + "1]", "body.json: larger than 256 KiB"),
])
def test_refused(refuse, template, said):
    assert said in refuse(template)


def test_every_placeholder_is_documented_and_works(render):
    """Those of the table in docs/alerts.md, and no other, are in the program."""
    known = set(re.findall(r'^    \{"([a-z_.]+)", FIELD_', (ROOT / "lib/alert/template_fields.c").read_text(), re.M))
    for of in ("report", "previous"):
        known |= {f"{of}.{name}" for name in
                  ("id", "status", "baseline_id", "baseline_name", "rule_type", "job_id", "order_id", "report_time")}
        known |= {f"{of}.{which}.{count}" for which in ("compliant", "non_compliant") for count in
                  ("count", "critical", "high", "medium", "low", "informational", "unspecified")}
    known |= {"count", "comma"}
    body = render("[{{#events}}{{comma}}" + ",".join('"{{%s}}"' % name if name != "event" else "{{event}}" for name in
                                                    sorted(known - {"comma"})) + "{{/events}}]", event())
    assert len(body) == len(known) - 1
    docs = (ROOT / "docs/alerts.md").read_text()
    section = docs[docs.index("### Templates"):]
    section = section[:section.index("\n## ")]
    documented = set()
    for name in re.findall(r"`\{\{([a-z_.]+(?:WHICH\.COUNT)?)\}\}`", section):
        documented.add(name)
    for of in ("report", "previous"):
        if f"{of}.WHICH.COUNT" in documented:
            documented.discard(f"{of}.WHICH.COUNT")
            documented |= {f"{of}.{which}.{count}" for which in ("compliant", "non_compliant") for count in
                           ("count", "critical", "high", "medium", "low", "informational", "unspecified")}
    assert documented == known


def test_examples_are_good(make_receiver, make_hook):
    examples = sorted((ROOT / "etc/templates").glob("*.json"))
    assert examples
    for path in examples:
        receiver = make_receiver()
        hook = make_hook(url=receiver.url, template=str(path))
        hook.send(event(1, name=HOSTILE), event(2, "node.compliant"))
        assert receiver.json()
