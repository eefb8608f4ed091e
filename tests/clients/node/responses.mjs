// The Responses API: whole and streamed, the tool loop with and without kept responses, input items, errors.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { clientOf, model, quickSort, routes, scripted, writeFile } from "./setting.mjs";

const asked = { model, input: "hello", temperature: 0, max_output_tokens: 32 };

for (const route of routes) {
  const client = clientOf(route);
  const whole = await client.responses.create(asked);
  assert.equal(whole.model, model);
  assert.ok(whole.output_text.length > 0);
  if (scripted) assert.equal(whole.output_text, "Hello! 你好 🙂");
  let text = "";
  let last;
  let n = 0;
  for await (const event of await client.responses.create({ ...asked, stream: true })) {
    assert.equal(event.sequence_number, n++);
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assert.equal(text, whole.output_text);
  assert.equal(last.response.status, whole.status);
  assert.deepEqual(last.response.usage, whole.usage);
}

const client = clientOf();
const tools = [{ type: "function", strict: false, ...writeFile.function }];
for (const stateful of [false, true]) {
  const body = { model, tools, temperature: 0, store: stateful };
  const first = await client.responses.create({ ...body, input: [quickSort] });
  const calls = first.output.filter((item) => item.type === "function_call");
  assert.equal(calls.length, 1);
  assert.equal(JSON.parse(calls[0].arguments).path, "quick_sort.py");
  const result = {
    type: "function_call_output",
    call_id: calls[0].call_id,
    output: "Success: File 'quick_sort.py' has been written.",
  };
  const second = await client.responses.create(
    stateful
      ? { ...body, input: [result], previous_response_id: first.id }
      : { ...body, input: [quickSort, ...first.output, result] },
  );
  assert.deepEqual(second.output.map((item) => item.type), ["message"]);
  if (scripted) assert.ok(second.output_text.startsWith("I have written `quick_sort.py`."));
}

const kept = await client.responses.create(asked);
assert.equal((await client.responses.retrieve(kept.id)).output_text, kept.output_text);
const items = [];
for await (const item of client.responses.inputItems.list(kept.id)) items.push(item);
assert.deepEqual(items.map((item) => item.content[0].text), ["hello"]);
await client.responses.delete(kept.id);
await assert.rejects(client.responses.retrieve(kept.id), OpenAI.NotFoundError);
await assert.rejects(client.responses.create({ ...asked, model: "none" }), OpenAI.NotFoundError);
console.log("responses: ok");
