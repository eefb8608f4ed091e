"""The openai package for Python: files, batches and stored chat completions, with programs as the batch guides have them."""
import io
import json
import time

import openai
import pytest

from client_servers import HERE, PROGRAM_S, Server, serve
from test_openai_python import ROUTES, client_of

SCRIPTED = "Hello! 你好 🙂"


@pytest.fixture(scope="module")
def keeper(tmp_path_factory):
    """A scripted server with a data directory."""
    for base in serve("--script", HERE / "script.json", "--data-dir", tmp_path_factory.mktemp("data")):
        yield Server(base, True)


def request_line(server, custom_id, text, **more):
    body = {"model": server.model, "messages": [{"role": "user", "content": text}], **more}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def wait_for(client, batch):
    deadline = time.monotonic() + PROGRAM_S
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


@pytest.mark.parametrize("route", ROUTES)
def test_a_batch_from_file_to_file(keeper, route, tmp_path):
    client = client_of(keeper, route)
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(request_line(keeper, f"r{i}", "hello") for i in range(5)))
    file = client.files.create(file=path, purpose="batch")
    assert file.object == "file" and file.filename == "requests.jsonl" and file.bytes == path.stat().st_size
    assert client.files.wait_for_processing(file.id).id == file.id
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"ds_name": "guide"}
    )
    batch = wait_for(client, batch)
    assert batch.status == "completed" and batch.error_file_id is None and batch.metadata == {"ds_name": "guide"}
    assert (batch.request_counts.total, batch.request_counts.completed) == (5, 5)
    rows = [json.loads(row) for row in client.files.content(batch.output_file_id).text.splitlines()]
    assert [row["custom_id"] for row in rows] == [f"r{i}" for i in range(5)]
    for row in rows:
        assert row["response"]["body"]["choices"][0]["message"]["content"] == SCRIPTED
    assert batch.id in {each.id for each in client.batches.list(limit=1)}, "pages follow each other"
    assert client.files.delete(file.id).deleted


@pytest.mark.parametrize("endpoint, body", [("/v1/completions", {"prompt": "x"}), ("/v1/responses", {"input": "x"})])
def test_the_other_endpoints(keeper, endpoint, body):
    client = client_of(keeper)
    row = {"custom_id": "one", "method": "POST", "url": endpoint, "body": {"model": keeper.model, **body}}
    file = client.files.create(file=("in.jsonl", io.BytesIO(json.dumps(row).encode())), purpose="batch")
    batch = wait_for(client, client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h"))
    assert batch.status == "completed"
    answer = json.loads(client.files.content(batch.output_file_id).text)["response"]["body"]
    assert SCRIPTED in json.dumps(answer, ensure_ascii=False)


def test_errors_and_cancelling(keeper):
    client = client_of(keeper)
    rows = [request_line(keeper, "a", "hello"), "{", request_line(keeper, "a", "hello")]
    file = client.files.create(file=("in.jsonl", "\n".join(rows).encode()), purpose="batch")
    asked = dict(endpoint="/v1/chat/completions", completion_window="24h")
    batch = wait_for(client, client.batches.create(input_file_id=file.id, **asked))
    assert batch.status == "failed"
    assert [(error.code, error.line) for error in batch.errors.data] == [
        ("invalid_json_line", 2), ("duplicate_custom_id", 3)
    ]
    rows = [request_line(keeper, f"r{i}", "never stop", max_tokens=5000) for i in range(3)]
    file = client.files.create(file=("in.jsonl", "\n".join(rows).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, **asked)
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    assert wait_for(client, batch).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("in.jsonl", b"{}"), purpose="fine-tune")
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")
    with pytest.raises(openai.NotFoundError):
        client.files.content("file-none")


@pytest.mark.parametrize("streamed", [False, True])
def test_stored_chat_completions(server, streamed):
    client = client_of(server)
    asked = dict(model=server.model, messages=[{"role": "user", "content": "hello"}], store=True, max_tokens=16,
                 temperature=0, metadata={"kind": f"kept {streamed}"})
    if streamed:
        completion_id = list(client.chat.completions.create(**asked, stream=True))[0].id
    else:
        completion_id = client.chat.completions.create(**asked).id
    kept = client.chat.completions.retrieve(completion_id)
    assert kept.id == completion_id and kept.choices[0].message.role == "assistant"
    assert completion_id in {each.id for each in client.chat.completions.list(metadata={"kind": f"kept {streamed}"})}
    assert [message.content for message in client.chat.completions.messages.list(completion_id)] == ["hello"]
    assert client.chat.completions.update(completion_id, metadata={"kind": "other"}).metadata == {"kind": "other"}
    assert client.chat.completions.delete(completion_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(completion_id)
