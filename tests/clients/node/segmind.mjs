// Segmind's routes by axios: the path is the model's name, the key goes in x-api-key, and statuses tell the mistakes.
import assert from "node:assert/strict";
import axios from "axios";
import { base, quickSort, scripted, writeFile } from "./setting.mjs";

const headers = { "x-api-key": "sk-none" };
const messages = [
  { role: "user", content: "hello" },
  { role: "assistant", content: "hello to you" },
  { role: "user", content: "hello again" },
];

for (const name of ["qwen3-coder-plus", "qwen3-coder-flash"]) {
  const url = `${base}/v1/${name}`;
  const { status, data } = await axios.post(url, { messages, max_tokens: 32, temperature: 0 }, { headers });
  assert.equal(status, 200);
  assert.equal(data.object, "chat.completion");
  assert.equal(data.model, name);
  const [choice] = data.choices;
  assert.equal(choice.message.role, "assistant");
  if (scripted) assert.equal(choice.message.content, "Hello! 你好 🙂");

  // What else the chat API takes is taken here as well.
  const body = { messages: [quickSort], tools: [writeFile], temperature: 0 };
  const called = (await axios.post(url, body, { headers })).data.choices[0];
  assert.equal(called.finish_reason, "tool_calls");
  assert.equal(called.message.tool_calls[0].function.name, "write_file");

  const stream = await axios.post(
    url,
    { messages, max_tokens: 32, temperature: 0, stream: true },
    { headers, responseType: "stream" },
  );
  let text = "";
  stream.data.setEncoding("utf8");
  for await (const piece of stream.data) text += piece;
  const frames = text.trimEnd().split("\n\n").map((frame) => frame.slice("data: ".length));
  assert.equal(frames.pop(), "[DONE]");
  const said = frames.map((frame) => JSON.parse(frame).choices[0]?.delta.content ?? "").join("");
  assert.equal(said, choice.message.content);

  await failing(axios.get(url, { headers }), 405);
  await failing(axios.post(url, { messages: "hello" }, { headers }), 400);
}
await failing(axios.post(`${base}/v1/qwen3-coder-huge`, { messages }, { headers }), 404);

async function failing(promise, status) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.response.status, status);
    const told = error.response.data.error;
    return (typeof told === "string" ? told : told.message).length > 10;
  });
}
console.log("segmind: ok");
