"""The package against a running server with the small models of the client tests. Plain Python, so that it
needs nothing but the package. Usage: against_server.py HOST:PORT"""

import asyncio
import http.server
import pathlib
import sys
import threading

import httpx
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "src"))

import modelyard  # noqa: E402

URL = f"http://{sys.argv[1]}"
A = np.arange(32, dtype=np.int32).reshape(2, 16)
B = np.ones((2, 16), dtype=np.int32)


def check_sum(result):
    assert (result["OUTPUT0"] == A + B).all() and (result["OUTPUT1"] == A - B).all()
    assert (result.model, result.version) == ("simple", "1")


def refused(kind, call):
    try:
        call()
    except modelyard.ModelyardError as error:
        assert error.kind == kind, repr(error)
        return error
    raise AssertionError(f"{kind}: it was answered")


def check_types(client):
    for model, values in (
        ("identity_fp32", np.array([[1.5, -2e-8]], ">f4")),
        ("identity_fp16", np.array([[0.5, 65504]], np.float16)),
        ("identity_int64", np.array([[-(2**63), 2**63 - 1]])),
        ("identity_bool", np.array([[True, False]])),
        ("identity_bytes", np.array([[b"", "h\u00fcllo".encode()]], np.object_)),
    ):
        back = client.infer(model, {"INPUT0": values})["OUTPUT0"]
        assert back.shape == values.shape and (back == values).all(), (model, back)
    texts = client.infer("identity_bytes", {"INPUT0": np.array([["a", "\u00fc"]])})["OUTPUT0"]
    assert texts.tolist() == [[b"a", "\u00fc".encode()]]


SERIES = np.linspace(-0.5, 0.5, 6, dtype=np.float32).reshape(1, 6, 1)


def piece(start, end):
    return {"input": SERIES[:, start:end]}


def same(result, whole):
    return np.allclose(result["output"], whole["output"], atol=1e-6)


def live_sequences():
    return int(httpx.get(f"{URL}/metrics").text.split("\nmodelyard_sequences_live ")[1].split()[0])


def check_sequences(client):
    whole = client.infer("pulse", {"input": SERIES})
    with client.sequence("pulse", version="live") as one, client.sequence("pulse", sequence_id="two") as two:
        for at in range(6):
            last = one.step(piece(at, at + 1), end=at == 5)
            if at == 2:
                two.step(piece(0, 3))
                # What is refused leaves it as it was.
                refused("invalid_argument", lambda: two.step({"other": SERIES}))
                try:
                    two.step({"input": [object()]})
                    raise AssertionError("it was sent")
                except TypeError:
                    pass
        assert same(last, whole) and same(two.step(piece(3, 6)), whole)
        assert live_sequences() == 1, "the first has ended"
        assert refused("sequence_over", lambda: one.step(piece(0, 1))).hint
    assert live_sequences() == 0, "leaving ends it"
    with client.sequence("pulse"):
        pass
    try:
        with client.sequence("pulse") as broken:
            broken.step(piece(0, 1))
            raise KeyError
    except KeyError:
        assert live_sequences() == 0, "an exception ends it, too"
    place = modelyard.SequencePlace(7, start=True, end=True)
    assert same(client.infer("pulse", {"input": SERIES}, sequence=place), whole)
    gone = client.infer("pulse", piece(0, 1), sequence=modelyard.SequencePlace(8, start=True))
    assert gone.version == "1" and not client.infer("pulse", {}, sequence=modelyard.SequencePlace(8, end=True))
    gone = modelyard.SequencePlace(8)
    assert "no live sequence 8" in refused("not_found", lambda: client.infer("pulse", piece(0, 1), sequence=gone)).message
    refused("not_found", lambda: client.infer("pulse", {}, sequence=modelyard.SequencePlace(8, end=True)))
    with client.sequence("beat") as beat, client.sequence("pulse") as pulse:
        for at in range(6):
            # The graph's second step gives back what the first one remembered and gave.
            by_hand = client.infer("identity_fp32", {"INPUT0": pulse.step(piece(at, at + 1))["output"]})
            assert np.array_equal(beat.step(piece(at, at + 1))["beat"], by_hand["OUTPUT0"])
        assert live_sequences() == 2
    assert live_sequences() == 0
    refused("unsupported", lambda: client.sequence("identity_fp32").step({"INPUT0": SERIES[:, :, 0]}))


ANSWER = (200, '{"model_name": "m", "model_version": "1", "outputs": []}')
OWN = '{"error": "full", "kind": "resource_exhausted", "request_id": "7"}'
THEIRS = '{"error": "busy", "request_id": "7"}'
LOST = '{"error": "lost", "kind": "failed_precondition", "request_id": "7", "sequence_lost": true}'


class Listener(http.server.HTTPServer):
    """Answers the first request by the first reply, and so on, and hangs up where there is none."""

    def __init__(self, *replies):
        super().__init__(("127.0.0.1", 0), Reply)
        self.replies = replies
        self.seen = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)


class Reply(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.seen += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.seen > len(self.server.replies):
            self.close_connection = True
            return
        status, body = self.server.replies[self.server.seen - 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def check_lost_sequences():
    step = {"x": A}
    retries = modelyard.Retries(first_delay_s=0.001)
    # Full for a moment, and the server says so itself.
    with Listener(ANSWER, (429, OWN), ANSWER) as full, modelyard.Client(full.url, retries=retries) as client:
        lost = client.sequence("m")
        lost.step(step), lost.step(step)
        assert full.seen == 3, "it is sent again"
    # Whoever else refuses it may have passed it on; and so may a connection that broke.
    for doubtful in ((503, "<html>"), (429, '{"error": "full"}'), (502, ""), (503, THEIRS), None):
        replies = (ANSWER,) if doubtful is None else (ANSWER, doubtful)
        with Listener(*replies) as proxy, modelyard.Client(proxy.url, retries=retries) as client:
            lost = client.sequence("m")
            lost.step(step)
            kind = "unreachable" if doubtful is None else "bad_answer"
            assert not refused(kind, lambda: lost.step(step)).changed_nothing
            assert "begin another" in str(refused("sequence_lost", lambda: lost.step(step)))
            assert proxy.seen == 2, "a step that may have been taken is not sent again"
    # The server itself says that it is lost.
    with Listener(ANSWER, (409, LOST), ANSWER) as gone, modelyard.Client(gone.url, retries=retries) as client:
        lost = client.sequence("m")
        lost.step(step)
        assert not refused("failed_precondition", lambda: lost.step(step)).changed_nothing
        refused("sequence_lost", lambda: lost.step(step))
        assert gone.seen == 2
    # What asks for no sequence's step may run twice.
    with Listener((503, "<html>"), ANSWER) as proxy, modelyard.Client(proxy.url, retries=retries) as client:
        assert client.infer("m", step).version == "1"
    # What never left lets it go on.
    with Listener(ANSWER) as gone, modelyard.Client(gone.url, retries=retries) as client:
        lost = client.sequence("m")
        lost.step(step)
        gone.shutdown(), gone.server_close()
        for _ in range(2):
            assert refused("unreachable", lambda: lost.step(step)).changed_nothing


class Busy(http.server.BaseHTTPRequestHandler):
    """Is full for the first two requests."""

    seen = 0

    def do_GET(self):
        Busy.seen += 1
        body = b'{"models": ["m"]}' if Busy.seen > 2 else b'{"error": "full", "kind": "resource_exhausted"}'
        self.send_response(200 if Busy.seen > 2 else 429)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def check_retries():
    with http.server.HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with modelyard.Client(url) as client:
            assert client.models() == ["m"] and Busy.seen == 3
        Busy.seen = 0
        with modelyard.Client(url, retries=modelyard.Retries(attempts=1)) as client:
            assert refused("resource_exhausted", client.models).status == 429
        server.shutdown()
    with modelyard.Client(url, retries=modelyard.Retries(first_delay_s=0.001)) as client:
        refused("unreachable", client.models)
        assert not client.ready()


async def check_async():
    async with modelyard.AsyncClient(URL) as client:
        assert await client.ready() and "simple" in await client.models()
        assert (await client.metadata("simple")).inputs[0].shape == (-1, 16)
        both = {"INPUT0": A, "INPUT1": B}
        for result in await asyncio.gather(*(client.infer("simple", both) for _ in range(8))):
            check_sum(result)
        whole = await client.infer("pulse", {"input": SERIES})
        async with client.sequence("pulse") as pulse:
            await pulse.step(piece(0, 4))
            assert same(await pulse.step(piece(4, 6)), whole)
        try:
            await pulse.step(piece(0, 1))
            raise AssertionError("it is over")
        except modelyard.ModelyardError as error:
            assert error.kind == "sequence_over"
        answers = await client.predict("identity_fp32", [[1.0, 2.0]])
        assert answers == [[1.0, 2.0]], answers


def main():
    with modelyard.Client(URL) as client:
        assert client.ready() and client.ready("simple") and not client.ready("nobody")
        assert client.metadata("simple", 1).outputs[0].datatype == "INT32"
        check_sum(client.infer("simple", {"INPUT0": A, "INPUT1": B}, request_id="7", timeout_s=20, priority=1))
        one = client.infer("simple", {"INPUT0": A, "INPUT1": B}, outputs=["OUTPUT1"], version="live")
        assert list(one) == ["OUTPUT1"]
        assert client.predict("identity_fp32", [[1.0, 2.0], [3.0, 4.0]]) == [[1.0, 2.0], [3.0, 4.0]]
        check_types(client)
        check_sequences(client)
        error = refused("not_found", lambda: client.infer("nobody", {"x": A}))
        assert error.status == 404 and error.request_id, vars(error)
        assert "INPUT1" in str(refused("invalid_argument", lambda: client.infer("simple", {"INPUT0": A})))
    asyncio.run(check_async())
    check_retries()
    check_lost_sequences()
    print("modelyard: all well")


main()
