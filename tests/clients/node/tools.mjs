// The write_file loop: a call, its result, the answer after it; the call streamed; and the package's own tool runner.
import assert from "node:assert/strict";
import { clientOf, model, quickSort, routes, scripted, writeFile } from "./setting.mjs";

function perform(call) {
  assert.equal(call.type, "function");
  assert.equal(call.function.name, "write_file");
  const { path, content } = JSON.parse(call.function.arguments);
  assert.equal(path, "quick_sort.py");
  assert.ok(content.includes("def quick_sort"));
  if (scripted) assert.ok(content.endsWith('print("sortiert: 你好 🙂 \\"ok\\"", quick_sort([3, 1, 2]))'));
  return `Success: File '${path}' has been written.`;
}

for (const route of routes) {
  const client = clientOf(route);
  const messages = [quickSort];
  const asked = { model, tools: [writeFile], temperature: 0 };
  let answer = await client.chat.completions.create({ ...asked, messages });
  let turns = 0;
  while (answer.choices[0].message.tool_calls) {
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    assert.ok(++turns < 4, "the model calls without end");
    messages.push(answer.choices[0].message);
    for (const call of answer.choices[0].message.tool_calls) {
      messages.push({ role: "tool", tool_call_id: call.id, content: perform(call) });
    }
    answer = await client.chat.completions.create({ ...asked, messages });
  }
  assert.equal(turns, 1);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.ok(answer.choices[0].message.content.length > 0);
  if (scripted) assert.ok(answer.choices[0].message.content.startsWith("I have written `quick_sort.py`."));
}

const client = clientOf();
const asked = { model, messages: [quickSort], tools: [writeFile], temperature: 0 };

// Raw pieces: id and name come once, the arguments' fragments join to one JSON text.
let id = "";
let name = "";
let text = "";
const stream = await client.chat.completions.create({ ...asked, stream: true });
for await (const chunk of stream) {
  for (const piece of chunk.choices[0].delta.tool_calls ?? []) {
    assert.equal(piece.index, 0);
    id += piece.id ?? "";
    name += piece.function?.name ?? "";
    text += piece.function?.arguments ?? "";
  }
}
perform({ type: "function", id, function: { name, arguments: text } });

const assembled = await client.chat.completions.stream(asked).finalChatCompletion();
assert.equal(assembled.choices[0].message.tool_calls[0].function.arguments, text);

// The runner calls the function by itself and asks again, streaming.
let written = "";
const runner = client.chat.completions.runTools({
  model,
  messages: [quickSort],
  temperature: 0,
  stream: true,
  tools: [
    {
      type: "function",
      function: {
        ...writeFile.function,
        parse: JSON.parse,
        function: ({ path, content }) => {
          written = content;
          return `Success: File '${path}' has been written.`;
        },
      },
    },
  ],
});
const said = await runner.finalContent();
assert.ok(written.includes("def quick_sort"));
assert.ok(said.length > 0);
console.log("tools: ok");
