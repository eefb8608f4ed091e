// Text completions, filling in the middle, and partial mode, in the forms that programs use.
import assert from "node:assert/strict";
import { ask, clientOf, model, routes, scripted } from "./setting.mjs";

async function textOf(client, asked) {
  const whole = await client.completions.create({ model, temperature: 0, max_tokens: 64, ...asked });
  assert.equal(whole.object, "text_completion");
  let streamed = "";
  let finish = null;
  const stream = await client.completions.create({ model, temperature: 0, max_tokens: 64, ...asked, stream: true });
  for await (const chunk of stream) {
    streamed += chunk.choices[0].text;
    finish = chunk.choices[0].finish_reason ?? finish;
  }
  assert.equal(streamed, whole.choices[0].text);
  assert.equal(finish, whole.choices[0].finish_reason);
  return streamed;
}

const prefix =
  "def quicksort(arr):\n    if len(arr) <= 1:\n        return arr\n    pivot = arr[len(arr) // 2]\n    ";
const suffix =
  "\n    middle = [x for x in arr if x == pivot]\n    right = [x for x in arr if x > pivot]\n" +
  "    return quicksort(left) + middle + quicksort(right)";

for (const route of routes) {
  const client = clientOf(route);
  const plain = await textOf(client, { prompt: "def generate_prime_number" });
  assert.ok(plain.length > 0);
  if (scripted) assert.ok(plain.startsWith("(n):\n    return [i for i"));

  const inPrompt = await textOf(client, { prompt: `<|fim_prefix|>${prefix}<|fim_suffix|>${suffix}<|fim_middle|>` });
  assert.equal(inPrompt, await textOf(client, { prompt: prefix, suffix }));
  if (scripted) assert.equal(inPrompt, "left = [x for x in arr if x < pivot]");

  const prefixOnly = await textOf(client, { prompt: "<|fim_prefix|>def quick_sort(arr):<|fim_suffix|>" });
  if (scripted) assert.equal(prefixOnly, "\n    return sorted(arr)\n");
}

// Partial mode does the same through chat: the assistant's turn is begun for it.
for (const route of routes) {
  const begun = "def generate_prime_number";
  const { choices } = await clientOf(route).chat.completions.create({
    model,
    messages: [...ask("Python code that generates prime numbers, please."), { role: "assistant", content: begun, partial: true }],
    temperature: 0,
    max_tokens: 48,
  });
  assert.ok(choices[0].message.content.length > 0 && !choices[0].message.content.startsWith(begun));
  if (scripted) assert.ok(choices[0].message.content.startsWith("(n):\n"));
}

const client = clientOf();
const code = "const a = 1;\n";
const scored = await client.completions.create({
  model,
  prompt: code,
  echo: true,
  logprobs: 1,
  max_tokens: 0,
  return_token_ids: true,
});
assert.equal(scored.choices[0].text, code);
assert.equal(scored.choices[0].logprobs.tokens.join(""), code);
assert.equal(scored.choices[0].prompt_token_ids.length, scored.usage.prompt_tokens);
console.log("completions: ok");
