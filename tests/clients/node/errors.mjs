// Mistakes become the package's own error types; leaving a stream is not a mistake.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { ask, clientOf, model, scripted } from "./setting.mjs";

const client = clientOf();

async function failing(promise, type, fields) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof type, `${error.constructor.name}: ${error.message}`);
    for (const [key, value] of Object.entries(fields)) assert.equal(error[key], value);
    assert.ok(error.message.length > 10);
    return;
  }
  assert.fail("no error came");
}

const chat = (more) => client.chat.completions.create({ model, messages: ask("hello"), ...more });

await failing(chat({ model: "no-such-model" }), OpenAI.NotFoundError, { status: 404, code: "model_not_found" });
await failing(chat({ temperature: -1 }), OpenAI.BadRequestError, { status: 400, param: "temperature" });
await failing(chat({ messages: [] }), OpenAI.BadRequestError, { status: 400, param: "messages" });
await failing(chat({ messages: ask("x y z ".repeat(400_000)), stream: true }), OpenAI.BadRequestError, {
  status: 400,
  code: "context_length_exceeded",
});

// Two ways to leave: the loop is broken off, the request is aborted.
const left = await chat({ messages: ask("never stop"), stream: true });
for await (const chunk of left) {
  if (chunk.choices[0].delta.content) break;
}
const abort = new AbortController();
const aborted = await client.chat.completions.create(
  { model, messages: ask("never stop"), stream: true },
  { signal: abort.signal },
);
for await (const chunk of aborted) {
  if (chunk.choices[0].delta.content) abort.abort();
}

if (scripted) {
  let got = "";
  await failing(
    (async () => {
      for await (const chunk of await chat({ messages: ask("please fail midway"), stream: true })) {
        got += chunk.choices[0].delta.content ?? "";
        assert.equal(chunk.choices[0].finish_reason, null);
      }
    })(),
    OpenAI.APIError,
    {},
  );
  assert.ok(got.length > 0);
}
console.log("errors: ok");
