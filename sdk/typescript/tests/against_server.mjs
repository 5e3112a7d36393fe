// The built package against a running server with the small models of the client tests.
// Usage: node against_server.mjs HOST:PORT FOLDER, where FOLDER holds the built package.

import assert from "node:assert/strict";
import http from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [address, folder] = process.argv.slice(2);
const { Client, ModelyardError } = await import(pathToFileURL(path.resolve(folder, "index.js")).href);

const A = Int32Array.from({ length: 32 }, (_, at) => at);
const B = new Int32Array(32).fill(1);
const int32 = (data) => ({ datatype: "INT32", shape: [2, 16], data });

async function refused(kind, promise) {
  try {
    await promise;
  } catch (error) {
    assert(error instanceof ModelyardError, String(error));
    assert.equal(error.kind, kind, error.message);
    return error;
  }
  throw new assert.AssertionError({ message: `${kind}: it was answered` });
}

async function checkSum(client) {
  const options = { id: "7", priority: 1, timeoutMs: 5000 };
  const result = await client.infer("simple", { INPUT0: int32(A), INPUT1: int32(B) }, options);
  assert.deepEqual([result.model, result.version, result.id], ["simple", "1", "7"]);
  assert.deepEqual(result.outputs.OUTPUT0.data, A.map((value) => value + 1));
  assert.deepEqual(result.outputs.OUTPUT1.data, A.map((value) => value - 1));
  const inputs = { INPUT0: int32(A), INPUT1: int32(B) };
  const one = await client.infer("simple", inputs, { outputs: ["OUTPUT1"], version: 1 });
  assert.deepEqual(Object.keys(one.outputs), ["OUTPUT1"]);
}

async function checkTypes(client) {
  for (const [model, datatype, data] of [
    ["identity_fp32", "FP32", Float32Array.of(1.5, -2e-8)],
    ["identity_fp16", "FP16", Uint16Array.of(0x3800, 0x7bff)],
    ["identity_int64", "INT64", BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
    ["identity_bool", "BOOL", Uint8Array.of(1, 0)],
    ["identity_bytes", "BYTES", [new Uint8Array(0), new TextEncoder().encode("hüllo")]],
  ]) {
    const { outputs } = await client.infer(model, { INPUT0: { datatype, shape: [1, 2], data } });
    assert.deepEqual(outputs.OUTPUT0, { datatype, shape: [1, 2], data }, model);
  }
  const texts = { datatype: "BYTES", shape: [1, 1], data: ["ü"] };
  const { outputs } = await client.infer("identity_bytes", { INPUT0: texts });
  assert.equal(new TextDecoder().decode(outputs.OUTPUT0.data[0]), "ü");
}

async function checkRefusals(client) {
  const unknown = await refused("not_found", client.metadata("nobody"));
  assert.equal(unknown.status, 404);
  assert(unknown.requestId, "the request's id");
  await refused("invalid_argument", client.infer("simple", { INPUT0: int32(A) }));
  const wrong = { datatype: "FP32", shape: [2, 16], data: A };
  await assert.rejects(client.infer("simple", { INPUT0: wrong }), /FP32 is carried by Float32Array/);
  await refused("unreachable", new Client("http://127.0.0.1:1", { firstDelayMs: 1 }).models());
}

const SERIES = Float32Array.of(-0.5, -0.3, -0.1, 0.1, 0.3, 0.5);

function piece(start, end) {
  return { input: { datatype: "FP32", shape: [1, end - start, 1], data: SERIES.slice(start, end) } };
}

function assertSame(result, whole) {
  result.outputs.output.data.forEach((value, at) => {
    assert(Math.abs(value - whole.outputs.output.data[at]) <= 1e-6);
  });
}

async function liveSequences() {
  const page = await (await fetch(`http://${address}/metrics`)).text();
  return Number(page.match(/^modelyard_sequences_live (\d+)$/m)[1]);
}

async function checkSequences(client) {
  const whole = await client.infer("pulse", piece(0, 6));
  const last = await client.withSequence("pulse", async (pulse) => {
    await pulse.step(piece(0, 2));
    // What is refused leaves it as it was.
    await refused("invalid_argument", pulse.step({ other: piece(0, 1).input }));
    await assert.rejects(pulse.step({ input: { datatype: "FP32", shape: [1, 1, 1], data: [1] } }), TypeError);
    return pulse.step(piece(2, 6));
  });
  assertSame(last, whole);
  assert.equal(await liveSequences(), 0, "it ends with its use");
  const failed = client.withSequence("pulse", async (pulse) => {
    await pulse.step(piece(0, 1));
    throw new RangeError("stop");
  });
  await assert.rejects(failed, RangeError);
  assert.equal(await liveSequences(), 0, "it ends where its use fails, too");
  const own = client.sequence("pulse", { id: "own", version: "live" });
  await own.step(piece(0, 5));
  assert.equal(await liveSequences(), 1);
  assertSame(await own.step(piece(5, 6), { end: true }), whole);
  await own.end();
  assert((await refused("sequence_over", own.step(piece(0, 1)))).hint);
  await refused("unsupported", client.sequence("simple").step({ INPUT0: int32(A), INPUT1: int32(B) }));
  await refused("not_found", client.infer("pulse", piece(0, 1), { sequence: { id: 9 } }));
}

// Answers the first request by the first reply, and so on, and hangs up where there is none.
async function listen(...replies) {
  const seen = { requests: 0 };
  const server = http.createServer((request, answer) => {
    seen.requests += 1;
    const reply = replies[seen.requests - 1];
    if (reply === undefined) return request.socket.destroy();
    answer.writeHead(reply[0], { connection: "close" });
    answer.end(reply[1]);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const client = new Client(`http://127.0.0.1:${server.address().port}`, { firstDelayMs: 1 });
  const close = () => new Promise((closed) => server.close(closed).closeAllConnections());
  return { client, seen, close };
}

const ANSWER = [200, '{"model_name": "m", "model_version": "1", "outputs": []}'];
const OWN = '{"error": "full", "kind": "resource_exhausted", "request_id": "7"}';
const THEIRS = '{"error": "busy", "request_id": "7"}';
const LOST = '{"error": "lost", "kind": "failed_precondition", "request_id": "7", "sequence_lost": true}';

async function checkLostSequences() {
  const step = piece(0, 1);
  // Full for a moment, and the server says so itself.
  const full = await listen(ANSWER, [429, OWN], ANSWER);
  const one = full.client.sequence("m");
  await one.step(step);
  await one.step(step);
  assert.equal(full.seen.requests, 3, "it is sent again");
  await full.close();
  // Whoever else refuses it may have passed it on; and so may a connection that broke.
  for (const doubtful of [[503, "<html>"], [429, '{"error": "full"}'], [502, ""], [503, THEIRS], undefined]) {
    const proxy = await listen(ANSWER, ...(doubtful === undefined ? [] : [doubtful]));
    const lost = proxy.client.sequence("m");
    await lost.step(step);
    const error = await refused(doubtful === undefined ? "unreachable" : "bad_answer", lost.step(step));
    assert(!error.changedNothing);
    assert.match((await refused("sequence_lost", lost.step(step))).message, /begin another/);
    assert.equal(proxy.seen.requests, 2, "a step that may have been taken is not sent again");
    await proxy.close();
  }
  // The server itself says that it is lost.
  const without = await listen(ANSWER, [409, LOST], ANSWER);
  const two = without.client.sequence("m");
  await two.step(step);
  assert(!(await refused("failed_precondition", two.step(step))).changedNothing);
  await refused("sequence_lost", two.step(step));
  assert.equal(without.seen.requests, 2);
  await without.close();
  // What asks for no sequence's step may run twice.
  const busy = await listen([503, "<html>"], ANSWER);
  assert.equal((await busy.client.infer("m", step)).version, "1");
  await busy.close();
  // What never left lets it go on.
  const gone = await listen(ANSWER);
  const left = gone.client.sequence("m");
  await left.step(step);
  await gone.close();
  for (let time = 0; time < 2; time += 1) {
    assert((await refused("unreachable", left.step(step))).changedNothing);
  }
}

// Is full for the first two requests.
async function checkRetries() {
  let seen = 0;
  const busy = http.createServer((_, answer) => {
    seen += 1;
    const full = JSON.stringify({ error: "full", kind: "resource_exhausted" });
    answer.writeHead(seen > 2 ? 200 : 429, { "retry-after": "0" });
    answer.end(seen > 2 ? '{"models": ["m"]}' : full);
  });
  await new Promise((listening) => busy.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${busy.address().port}/`;
  assert.deepEqual(await new Client(url).models(), ["m"]);
  seen = 0;
  await refused("resource_exhausted", new Client(url, { attempts: 2 }).models());
  assert.equal(seen, 2);
  busy.closeAllConnections();
  busy.close();
}

const client = new Client(`http://${address}`);
assert(await client.ready());
assert(await client.ready("simple", 1));
assert(!(await client.ready("nobody")));
assert((await client.models()).includes("simple"));
const metadata = await client.metadata("simple");
assert.deepEqual(metadata.inputs[0], { name: "INPUT0", datatype: "INT32", shape: [-1, 16] });
await checkSum(client);
await checkTypes(client);
await checkRefusals(client);
await checkRetries();
await checkSequences(client);
await checkLostSequences();
console.log("typescript: all well");
