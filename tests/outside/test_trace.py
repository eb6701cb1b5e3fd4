"""W3C Trace Context, and `[trace]`: spans of requests, as a collector gets them."""

import re

import pytest
from admin import SECTION, Admin
from exchange import Answer
from fleet import fleet, fleet_config, until
from metrics import read
from scripted import hang
from sites import Site
from standin import Standin, node
from test_reload import reload

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "congo=t61rcWkgMzE"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
HERE = "/v1/nodes/here"
SERVER, CLIENT = 2, 3


class Collector(Site):
    """Takes spans by OTLP over HTTP, in JSON."""

    def __init__(self, status=200):
        self.status = status
        super().__init__()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request):
        return Answer.of_json(self.status, {})

    def spans(self, trace=None):
        """Those of one trace, of the form that the protocol wants."""
        found = []
        for request in self.requests:
            assert (request.method, request.path) == ("POST", "/v1/traces")
            assert request.header("Content-Type") == "application/json"
            for resource in request.json()["resourceSpans"]:
                assert attributes(resource["resource"])["service.name"] == "ironic-proxy"
                for scope in resource["scopeSpans"]:
                    assert scope["scope"]["name"] == "ironic-proxy"
                    for span in scope["spans"]:
                        check(span)
                        found.append(span)
        return [span for span in found if trace in (None, span["traceId"])]

    def wait(self, trace, count=1):
        """Until the request's own span and `count` below it are there; returns it and them."""
        found = until(lambda: len(self.spans(trace)) >= count + 1 and self.spans(trace), what=f"{count + 1} spans")
        own = [span for span in found if span["kind"] == SERVER]
        below = [span for span in found if span["kind"] == CLIENT]
        assert (len(own), len(below)) == (1, count), found
        return own[0], below


def attributes(holder):
    return {item["key"]: next(iter(item["value"].values())) for item in holder["attributes"]}


def check(span):
    """opentelemetry-proto, trace.proto, in its JSON encoding: hexadecimal ids, 64-bit numbers as texts, enums as numbers."""
    known = {"traceId", "spanId", "parentSpanId", "traceState", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "status"}
    assert set(span) <= known, span
    assert re.fullmatch(r"[0-9a-f]{32}", span["traceId"]) and set(span["traceId"]) != {"0"}
    assert re.fullmatch(r"[0-9a-f]{16}", span["spanId"]) and set(span["spanId"]) != {"0"}
    assert re.fullmatch(r"[0-9a-f]{16}", span.get("parentSpanId", "0" * 16))
    assert span["name"] and span["kind"] in (SERVER, CLIENT)
    assert re.fullmatch(r"[0-9]{16,20}", span["startTimeUnixNano"]) and int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert set(span["status"]) <= {"code", "message"} and span["status"].get("code", 0) in (0, 1, 2)
    keys = [item["key"] for item in span["attributes"]]
    assert len(keys) == len(set(keys))
    for item in span["attributes"]:
        ((kind, value),) = item["value"].items()
        assert kind in ("stringValue", "intValue") and isinstance(value, str), item


@pytest.fixture(scope="module")
def traced():
    with Collector() as collector:
        sections = {"trace": {"otlp_endpoint": collector.endpoint}, "admin": SECTION}
        with fleet(Standin([node("here")]), Standin(), sections=sections) as hub:
            hub.collector = collector
            yield hub


@pytest.fixture
def hub(traced):
    traced.heal()
    return traced


def told(hub):
    """(traceparent, tracestate) of each request that a location got."""
    requests = [request for site in hub.all() for request in site.requests]
    assert requests
    return [(request.header("traceparent"), request.header("tracestate")) for request in requests]


def inside(span, outer):
    return int(outer["startTimeUnixNano"]) - 2e6 <= int(span["startTimeUnixNano"]) and int(span["endTimeUnixNano"]) <= int(outer["endTimeUnixNano"]) + 2e6


def test_a_trace_that_the_client_began_goes_on(hub):
    hub.get(HERE)
    hub.forget_requests()
    reply = hub.get(HERE + "?fields=uuid", headers=SAMPLED)
    assert reply.status == 200
    own, (below,) = hub.collector.wait(TRACE)
    assert (own["parentSpanId"], own["name"], own["status"]) == (PARENT, "GET /v1/nodes/{node}", {})
    assert own["traceState"] == below["traceState"] == SAMPLED["tracestate"]
    assert attributes(own).pop("openstack.request_id").startswith("req-")
    assert {key: value for key, value in attributes(own).items() if key != "openstack.request_id"} == {
        "http.request.method": "GET",
        "http.route": "/v1/nodes/{node}",
        "http.response.status_code": "200",
        "url.path": HERE,
        "client.address": "127.0.0.1",
    }
    assert (below["parentSpanId"], below["name"], below["status"]) == (own["spanId"], "GET loc1", {})
    assert attributes(below)["ironic_proxy.location"] == "loc1" and attributes(below)["http.response.status_code"] == "200"
    assert "?" not in attributes(below)["url.path"]
    assert inside(below, own)
    # The location goes on below the question's span.
    assert told(hub) == [(f"00-{TRACE}-{below['spanId']}-01", SAMPLED["tracestate"])]


def begun(hub, path, **options):
    """Asks, and returns the trace that locations were told of."""
    hub.forget_requests()
    reply = hub.get(path, **options)
    traces = {parent.split("-")[1] for parent, _ in told(hub)}
    assert len(traces) == 1, traces
    return reply, traces.pop()


def test_a_list_is_a_span_with_one_below_it_for_each_question(hub):
    reply, trace = begun(hub, "/v1/nodes")
    assert reply.status == 200
    own, below = hub.collector.wait(trace, 2)
    assert "parentSpanId" not in own and "traceState" not in own
    assert {attributes(span)["ironic_proxy.location"] for span in below} == {"loc1", "loc2"}
    assert {parent for parent, _ in told(hub)} == {f"00-{trace}-{span['spanId']}-01" for span in below}


def test_what_fails_is_an_error():
    """Afterwards the location is asked whether it is well again, which is nobody's trace: so in a gateway of its own."""
    with Collector() as collector:
        sections = {"trace": {"otlp_endpoint": collector.endpoint}}
        with fleet(2, every={"timeout": 1}, sections=sections) as hub:
            hub.loc2.fault(hang(), path="/v1/nodes")
            assert hub.get("/v1/nodes", headers=SAMPLED).status == 503
            own, below = collector.wait(TRACE, 2)
            assert own["status"] == {"code": 2} and attributes(own)["http.response.status_code"] == "503"
            failed = next(span for span in below if attributes(span)["ironic_proxy.location"] == "loc2")
            assert failed["status"] == {"code": 2} and attributes(failed)["error.type"] == "timeout"
            assert int(failed["endTimeUnixNano"]) - int(failed["startTimeUnixNano"]) >= 0.9e9


def test_vendor_passthru_is_traced_too(hub):
    trace = "0af7651916cd43dd8448eb211c80319c"
    hub.forget_requests()
    hub.get(f"{HERE}/vendor_passthru?method=x", headers={"traceparent": f"00-{trace}-{PARENT}-01"})
    found = until(lambda: [span for span in hub.collector.spans(trace) if span["kind"] == SERVER] and hub.collector.spans(trace))
    passed = next(span for span in found if "vendor_passthru" in attributes(span)["url.path"] and span["kind"] == CLIENT)
    parents = {request.header("traceparent") for request in hub.loc1.requests if "vendor_passthru" in request.path}
    assert parents == {f"00-{trace}-{passed['spanId']}-01"}


def test_what_the_client_does_not_sample_is_passed_on_and_not_recorded(hub):
    trace = "1" * 32
    hub.forget_requests()
    hub.get(HERE, headers={"traceparent": f"00-{trace}-{PARENT}-00"})
    for parent, _ in told(hub):
        assert parent.split("-")[1::2] == [trace, "00"] and parent.split("-")[2] != PARENT
    _, later = begun(hub, HERE)
    hub.collector.wait(later)
    assert hub.collector.spans(trace) == []


def test_what_is_no_parent_begins_a_trace(hub):
    for value in (f"00-{TRACE}-{'0' * 16}-01", "nonsense", f"00-{TRACE.upper()}-{PARENT}-01"):
        hub.forget_requests()
        hub.get(HERE, headers={"traceparent": value, "tracestate": "a=1"})
        for parent, state in told(hub):
            assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent) and TRACE not in parent and state is None


def test_off_a_trace_is_passed_on_as_it_is():
    with fleet(Standin([node("here")])) as hub:
        for headers in (SAMPLED, NOT_SAMPLED):
            hub.forget_requests()
            hub.get(HERE, headers=headers)
            hub.get(f"{HERE}/vendor_passthru?method=x", headers=headers)
            assert set(told(hub)) == {(headers["traceparent"], headers.get("tracestate"))}
        for headers in ({}, {"traceparent": "nonsense", "tracestate": "a=1"}, {"tracestate": "a=1"}):
            hub.forget_requests()
            hub.get(HERE, headers=headers)
            assert set(told(hub)) == {(None, None)}


def test_a_collector_that_is_away_costs_spans_and_no_request():
    """First it is not there, then it refuses, then it takes what waited; what it calls wrong is dropped."""
    with Collector(status=503) as collector:
        sections = {"trace": {"otlp_endpoint": collector.endpoint}, "admin": SECTION}
        with fleet(Standin([node("here")]), sections=sections) as hub:
            _, trace = begun(hub, HERE)
            assert hub.logged(r"WARNING .*Spans cannot be exported to .*503")
            collector.status = 200
            until(lambda: read(Admin(hub.gateway))("ironic_proxy_spans_total", result="exported"))
            assert {span["kind"] for span in collector.spans(trace)} == {SERVER, CLIENT}
            assert hub.logged(r"Spans are exported again")
            assert read(Admin(hub.gateway))("ironic_proxy_spans_total", result="dropped") == 0
            collector.status = 400
            assert hub.get(HERE).status == 200
            until(lambda: read(Admin(hub.gateway))("ironic_proxy_spans_total", result="dropped"))


def test_a_reload_turns_it_on_and_off():
    with Collector() as collector, fleet(Standin([node("here")]), sections={"admin": SECTION}) as hub:
        on = fleet_config([hub.loc1.endpoint], sections={"admin": SECTION, "trace": {"otlp_endpoint": f"{collector.endpoint}/", "sample_ratio": "1"}})
        off = hub.gateway.config_path.read_text()
        reload(hub, on)
        _, trace = begun(hub, "/v1/nodes")
        collector.wait(trace)
        reload(hub, on.replace("sample_ratio = 1", "sample_ratio = 0"))
        hub.forget_requests()
        hub.get(HERE)
        assert {parent[-3:] for parent, _ in told(hub)} == {"-00"}
        reload(hub, off)
        hub.forget_requests()
        hub.get(HERE)
        assert set(told(hub)) == {(None, None)}


class Fed(Collector):
    """Before it takes a batch there is more to send."""

    hub = None

    def answer(self, request):
        if self.hub is not None:
            for _ in range(3):
                self.hub.get(HERE)
        return super().answer(request)


def test_a_reload_holds_while_there_is_always_more_to_send():
    with Fed() as first, Collector() as second:
        sections = {"trace": {"otlp_endpoint": first.endpoint}, "admin": SECTION}
        with fleet(Standin([node("here")]), sections=sections) as hub:
            first.hub = hub
            try:
                assert hub.get(HERE).status == 200
                until(lambda: len(first.requests) > 2, what="a box that is never empty")
                reload(hub, hub.gateway.config_path.read_text().replace(first.endpoint, second.endpoint))
                until(second.spans, what="spans at the new collector")
            finally:
                first.hub = None
