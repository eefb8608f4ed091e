// Chat, whole and streamed, on every prefix the server mounts; several choices; log-probabilities.
import assert from "node:assert/strict";
import { ask, clientOf, model, routes, scripted } from "./setting.mjs";

const asked = { model, messages: ask("hello"), temperature: 0, max_tokens: 32 };

for (const route of routes) {
  const client = clientOf(route);
  const whole = await client.chat.completions.create(asked);
  assert.equal(whole.object, "chat.completion");
  assert.equal(whole.model, model);
  const [choice] = whole.choices;
  assert.equal(choice.message.role, "assistant");
  assert.equal(choice.message.tool_calls, undefined);
  if (scripted) assert.equal(choice.message.content, "Hello! 你好 🙂");

  const chunks = [];
  const stream = await client.chat.completions.create({
    ...asked,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) chunks.push(chunk);
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.deepEqual(last.usage, whole.usage);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.equal(chunks.filter((chunk) => chunk.choices[0].delta.role).length, 1);
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), choice.message.content);
  assert.equal(chunks.at(-1).choices[0].finish_reason, choice.finish_reason);
  assert.equal(new Set([...chunks, last].map((chunk) => chunk.id)).size, 1);
}

const client = clientOf();

// The stream helper puts the pieces together again.
const helper = client.chat.completions.stream(asked);
let seen = "";
helper.on("content", (piece) => (seen += piece));
const final = await helper.finalChatCompletion();
assert.equal(final.choices[0].message.content, seen);

const several = await client.chat.completions.create({ ...asked, n: 2, seed: 7, temperature: 1 });
assert.deepEqual(several.choices.map((choice) => choice.index), [0, 1]);

const scored = await client.chat.completions.create({ ...asked, max_tokens: 4, logprobs: true, top_logprobs: 2 });
for (const entry of scored.choices[0].logprobs.content) {
  assert.ok(entry.logprob <= 0);
  assert.equal(entry.top_logprobs.length, 2);
}

const ids = (await client.models.list()).data.map((entry) => entry.id);
assert.ok(ids.includes(model));
assert.equal((await client.models.retrieve("qwen/qwen3-coder-next")).id, "qwen/qwen3-coder-next");
console.log("chat: ok");
