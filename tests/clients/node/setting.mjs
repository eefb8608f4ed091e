// What every program here begins with: a client for the server that the environment names, and what to ask it.
import OpenAI from "openai";

export const base = process.env.QUERN_TEST_BASE ?? "http://127.0.0.1:8080";
export const model = process.env.QUERN_TEST_MODEL ?? "qwen3-coder-next";
// The answers are those of tests/clients/script.json, so they are known word for word.
export const scripted = Boolean(process.env.QUERN_TEST_SCRIPTED);

export const routes = ["/v1", "/compatible-mode/v1", "/openai/v1"];

export function clientOf(route = "/v1", more = {}) {
  return new OpenAI({ baseURL: base + route, apiKey: "sk-none", timeout: 300_000, maxRetries: 0, ...more });
}

export function ask(text) {
  return [
    { role: "system", content: "You are a helpful assistant." },
    { role: "user", content: text },
  ];
}

export const writeFile = {
  type: "function",
  function: {
    name: "write_file",
    description: "Writes content to a file. Creates the file if it does not exist.",
    parameters: {
      type: "object",
      properties: {
        path: { type: "string", description: "Where the file is" },
        content: { type: "string", description: "What is written to it" },
      },
      required: ["path", "content"],
    },
  },
};

export const quickSort = { role: "user", content: "Write a Python quick sort script and name it quick_sort.py" };
