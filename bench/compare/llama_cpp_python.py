"""Times one test in llama-cpp-python: MODEL THREADS DEPTH PROMPT GENERATE -> one line of JSON. Called by compare."""
import json
import random
import sys
import time

import llama_cpp


def main():
    model, (threads, depth, prompt, generate) = sys.argv[1], map(int, sys.argv[2:])
    n_context = depth + max(prompt, 512) + generate + 8
    llama = llama_cpp.Llama(model, n_ctx=n_context, n_threads=threads, n_threads_batch=threads, n_batch=2048,
                            n_ubatch=512, verbose=False)
    rng = random.Random(1)

    def tokens(n):
        return [rng.randrange(llama.n_vocab()) for _ in range(n)]

    llama.eval(tokens(64))  # touches weights and scratch
    llama.reset()
    if depth:
        llama.eval(tokens(depth))
    begin = time.perf_counter()
    if prompt:
        llama.eval(tokens(prompt))
    else:
        for token in tokens(generate):
            llama.eval([token])
    print(json.dumps({"tokens_per_second": (prompt or generate) / (time.perf_counter() - begin)}))


if __name__ == "__main__":
    main()
