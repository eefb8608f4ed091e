-- The request that wrk repeats: a small chat answer of eight tokens.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"model":"load","max_tokens":8,"messages":[{"role":"system","content":"You write code."},{"role":"user","content":"hello"}]}'
