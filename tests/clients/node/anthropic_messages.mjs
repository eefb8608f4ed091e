// Anthropic's package: messages whole and streamed on every prefix, the tool loop, counting, models, errors.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { base, model, quickSort, scripted, writeFile } from "./setting.mjs";

const clientOf = (prefix = "") =>
  new Anthropic({ baseURL: base + prefix, apiKey: "sk-none", timeout: 300_000, maxRetries: 0 });
const asked = { model, max_tokens: 32, temperature: 0, messages: [{ role: "user", content: "hello" }] };

for (const prefix of ["", "/anthropic", "/apps/anthropic"]) {
  const client = clientOf(prefix);
  const whole = await client.messages.create(asked);
  assert.equal(whole.model, model);
  assert.ok(whole._request_id.startsWith("req_"));
  assert.equal(whole.content.length, 1);
  if (scripted) assert.equal(whole.content[0].text, "Hello! 你好 🙂");

  let text = "";
  const helper = client.messages.stream(asked).on("text", (piece) => (text += piece));
  const final = await helper.finalMessage();
  assert.equal(text, whole.content[0].text);
  assert.deepEqual(final.content, whole.content);
  assert.equal(final.stop_reason, whole.stop_reason);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);

  const ids = [];
  for await (const entry of client.models.list()) ids.push(entry.id);
  assert.ok(ids.includes(model));
}

const client = clientOf();
const kinds = [];
for await (const event of await client.messages.create({ ...asked, stream: true })) kinds.push(event.type);
assert.equal(kinds[0], "message_start");
assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);

const { name, description, parameters } = writeFile.function;
const tools = [{ name, description, input_schema: parameters }];
for (const streamed of [false, true]) {
  const messages = [quickSort];
  const ask = () => {
    const body = { ...asked, max_tokens: 2000, messages, tools };
    return streamed ? client.messages.stream(body).finalMessage() : client.messages.create(body);
  };
  const first = await ask();
  assert.equal(first.stop_reason, "tool_use");
  const calls = first.content.filter((block) => block.type === "tool_use");
  assert.equal(calls.length, 1);
  assert.equal(calls[0].input.path, "quick_sort.py");
  assert.ok(calls[0].input.content.includes("def quick_sort"));
  const content = `Success: File '${calls[0].input.path}' has been written.`;
  messages.push({ role: "assistant", content: first.content });
  messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: calls[0].id, content }] });
  const second = await ask();
  assert.equal(second.stop_reason, "end_turn");
  if (scripted) assert.ok(second.content[0].text.startsWith("I have written `quick_sort.py`."));
}

const count = await client.messages.countTokens({ model, messages: asked.messages, tools });
const { usage } = await client.messages.create({ ...asked, tools });
assert.equal(count.input_tokens, usage.input_tokens + usage.cache_read_input_tokens);

async function failing(promise, type, words) {
  await assert.rejects(promise, (error) => error instanceof type && words.test(error.message));
}
await failing(client.messages.create({ ...asked, model: "none" }), Anthropic.NotFoundError, /not_found_error/);
await failing(
  client.messages.create({ ...asked, messages: [{ role: "user", content: "x y z ".repeat(400_000) }], stream: true }),
  Anthropic.BadRequestError,
  /prompt is too long: \d+ tokens > \d+ maximum/,
);

// Leaving a stream is not a mistake.
const left = await client.messages.create({
  ...asked,
  max_tokens: 2000,
  messages: [{ role: "user", content: "never stop" }],
  stream: true,
});
for await (const event of left) {
  if (event.type === "content_block_delta") break;
}
console.log("anthropic_messages: ok");
