// Files and batches through the service: what callers see, and that it survives restarts.
#include <gtest/gtest.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "api/test_sink.h"

namespace quern::api {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::string_view kScript = R"({"rules":[{"match":"hang","fault":{"kind":"hang"}},
  {"match":"fault","fault":{"kind":"error","code":"internal","message":"broken"}},{"text":"hi"}]})";

std::string Line(const std::string& id, const std::string& content, const std::string& more = "",
                 const std::string& model = "demo") {
  return R"({"custom_id":")" + id + R"(","method":"POST","url":"/v1/chat/completions","body":{"model":")" + model +
         R"(","messages":[{"role":"user","content":")" + content + "\"}]" + more + "}}\n";
}

class Batches : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("quern_batches_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    Start();
  }
  void TearDown() override {
    served_.reset();
    std::filesystem::remove_all(folder_);
  }

  // As after the end of a process, with new limits.
  void Start(Limits limits = {}) {
    served_.reset();
    ServiceOptions options;
    options.limits = limits;
    options.storage = OpenStorage(folder_, limits).value();
    served_ = std::make_unique<ScriptedService>(kScript, std::move(options));
    served_->service->StartBatches();
  }

  std::shared_ptr<TestSink> Upload(const std::string& content, const std::string& key = "",
                                   const std::string& purpose = "batch") const {
    const std::string form = "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n" + purpose +
                             "\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n" +
                             content + "\r\n--B--\r\n";
    auto sink = served_->Begin("/v1/files", form, "POST",
                               {{"content-type", "multipart/form-data; boundary=B"}, {"x-api-key", key}});
    sink->Run();
    return sink;
  }
  std::string UploadedId(const std::string& content) const { return Text(Upload(content)->Json(), "id"); }
  json::value Create(const std::string& file, const std::string& more = "") const {
    return served_
        ->Post("/v1/batches", R"({"input_file_id":")" + file +
                                  R"(","endpoint":"/v1/chat/completions","completion_window":"24h")" + more + "}")
        ->Json();
  }
  json::value Get(const std::string& id) const { return served_->Get("/v1/batches/" + id)->Json(); }
  json::value WaitFor(const std::string& id, const std::set<std::string>& statuses) const {
    for (int i = 0; i < 6000; ++i) {
      json::value batch = Get(id);
      if (statuses.contains(Text(batch, "status"))) return batch;
      std::this_thread::sleep_for(milliseconds(10));
    }
    ADD_FAILURE() << "still " << json::serialize(Get(id));
    return nullptr;
  }
  json::value WaitOver(const std::string& id) const {
    return WaitFor(id, {"completed", "failed", "expired", "cancelled"});
  }
  std::vector<json::value> Lines(const json::value& batch, const char* which) const {
    std::vector<json::value> lines;
    if (!batch.at(which).is_string()) return lines;
    const std::string text = served_->Get("/v1/files/" + Text(batch, which) + "/content")->body;
    size_t at = 0;
    for (size_t end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      lines.push_back(json::parse(text.substr(at, end - at)));
    }
    EXPECT_EQ(at, text.size());
    return lines;
  }
  static std::string Text(const json::value& object, const char* name) {
    return object.is_object() && object.as_object().contains(name) && object.at(name).is_string()
               ? std::string(object.at(name).as_string())
               : "";
  }

  std::filesystem::path folder_;
  std::unique_ptr<ScriptedService> served_;
};

TEST_F(Batches, FilesComeBackAsTheyWere) {
  const std::string content("one\r\ntwo\0\xFF\n--C\r\n", 17);
  const json::value file = Upload(content)->Json();
  EXPECT_EQ(file.at("object"), "file");
  EXPECT_EQ(file.at("bytes"), 17);
  EXPECT_EQ(file.at("filename"), "in.jsonl");
  EXPECT_EQ(file.at("status"), "uploaded");
  const std::string path = "/v1/files/" + Text(file, "id");
  json::value kept = file;
  kept.at("status") = "processed";
  EXPECT_EQ(served_->Get(path)->Json(), kept);
  Start();
  EXPECT_EQ(served_->Get(path)->Json(), kept) << "after a restart";
  EXPECT_EQ(served_->Get(path + "/content")->body, content);
  EXPECT_EQ(served_->Get(path, "GET", {{"x-api-key", "other"}})->status, 404);
  EXPECT_EQ(served_->Get(path + "/content", "GET", {{"x-api-key", "other"}})->status, 404);
  EXPECT_EQ(served_->Get(path, "DELETE", {{"x-api-key", "other"}})->status, 404);
  EXPECT_EQ(served_->Get("/v1/files")->Json().at("data").as_array().size(), 1);
  EXPECT_EQ(served_->Get(path, "DELETE")->Json().at("deleted"), true);
  EXPECT_EQ(served_->Get(path)->status, 404);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "files"));
}

TEST_F(Batches, ADryRunAnswersWithoutAModel) {
  const auto line = [](int i, const std::string& more, const std::string& model = "batch-test-model") {
    return R"({"custom_id":"r)" + std::to_string(i) +
           R"(","method":"POST","url":"/v1/chat/ds-test","body":{"model":")" + model +
           R"(","messages":[{"role":"user","content":"x"}])" + more + "}}\n";
  };
  const auto run = [&](const std::string& input) {
    const std::string file = UploadedId(input);
    return WaitOver(Text(served_
                             ->Post("/v1/batches", R"({"input_file_id":")" + file +
                                                       R"(","endpoint":"/v1/chat/ds-test","completion_window":"24h"})")
                             ->Json(),
                         "id"));
  };
  std::string hundred;
  for (int i = 0; i < 100; ++i) hundred += line(i, "");
  const json::value batch = run(hundred);
  EXPECT_EQ(batch.at("status"), "completed");
  EXPECT_EQ(batch.at("request_counts").at("completed"), 100);
  for (const json::value& out : Lines(batch, "output_file_id")) {
    const json::value& body = out.at("response").at("body");
    EXPECT_EQ(body.at("object"), "chat.completion");
    EXPECT_EQ(body.at("model"), "batch-test-model");
    EXPECT_EQ(body.at("choices").at(0).at("finish_reason"), "stop");
    EXPECT_EQ(body.at("usage").at("total_tokens"), 0);
  }
  EXPECT_EQ(run(hundred + line(100, "")).at("errors").at("data").at(0).at("code"), "too_many_lines");
  const std::string large(600'000, ' ');
  EXPECT_EQ(run(line(0, large) + line(1, large)).at("errors").at("data").at(0).at("code"), "file_too_large");
  EXPECT_EQ(run(line(0, "", "demo")).at("request_counts").at("failed"), 1) << "no other model runs dry";
  EXPECT_EQ(served_->Post("/v1/chat/completions", R"({"model":"batch-test-model","messages":[]})")->status, 404);
  EXPECT_EQ(served_->Post("/v1/chat/ds-test", R"({"model":"batch-test-model","messages":[]})")->status, 400);
  EXPECT_EQ(served_
                ->Post("/v1/chat/ds-test",
                       R"({"model":"batch-test-model","stream":true,"messages":[{"role":"user","content":"x"}]})")
                ->status,
            400);
}

// Of the data directory one cannot tell whose things they are, nor try keys on it as on a list of known hashes.
TEST_F(Batches, KeysLeaveNoTraceThatCouldBeLookedUp) {
  const std::string key = "sk-a-key-of-somebody";
  const std::string path = "/v1/files/" + Text(Upload("{}\n", key)->Json(), "id");
  ASSERT_EQ(served_->Get(path, "GET", {{"x-api-key", key}})->status, 200);
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), reinterpret_cast<unsigned char*>(&digest[0]));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(bytes.find(key), std::string::npos) << entry.path();
    EXPECT_EQ(bytes.find(digest), std::string::npos) << entry.path();
  }
  Start();
  EXPECT_EQ(served_->Get(path, "GET", {{"x-api-key", key}})->status, 200) << "the salt is kept too";
}

TEST_F(Batches, UploadsHaveLimits) {
  Limits limits;
  limits.max_file_bytes = 1000;
  limits.max_files = 3;
  limits.max_files_bytes = 1500;
  Start(limits);
  EXPECT_EQ(Upload(std::string(1001, 'x'))->status, 413);
  EXPECT_EQ(Upload("x", "", "fine-tune")->status, 400);
  EXPECT_EQ(Upload(std::string(1000, 'x'))->status, 200);
  const auto quota = Upload(std::string(600, 'x'));
  EXPECT_EQ(quota->status, 403);
  EXPECT_NE(quota->body.find("max_files_bytes"), std::string::npos);
  EXPECT_EQ(Upload(std::string(600, 'x'), "other key")->status, 200);
  EXPECT_EQ(Upload("x")->status, 200);
  EXPECT_EQ(Upload("x")->status, 200);
  EXPECT_NE(Upload("x")->body.find("max_files"), std::string::npos);
  std::filesystem::path folder = folder_ / "files";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 4) << "nothing else is left behind";
}

TEST_F(Batches, EveryLineIsAnsweredInItsPlace) {
  std::string input;
  for (int i = 0; i < 40; ++i) input += Line("r" + std::to_string(i), i % 4 == 3 ? "fault" : "hello");
  input += "\n" + Line("bad", "hello", R"(,"temperature":"hot")") + Line("stream", "hello", R"(,"stream":true)");
  const json::value created = Create(UploadedId(input), R"(,"metadata":{"ds_name":"nightly"})");
  EXPECT_EQ(created.at("object"), "batch");
  EXPECT_EQ(created.at("status"), "validating");
  const json::value batch = WaitOver(Text(created, "id"));
  EXPECT_EQ(batch.at("status"), "completed");
  EXPECT_EQ(batch.at("request_counts").at("total"), 42);
  EXPECT_EQ(batch.at("request_counts").at("completed"), 30);
  EXPECT_EQ(batch.at("request_counts").at("failed"), 12);
  EXPECT_EQ(batch.at("model"), "demo");
  EXPECT_EQ(batch.at("metadata").at("ds_name"), "nightly");
  const auto output = Lines(batch, "output_file_id");
  ASSERT_EQ(output.size(), 30);
  EXPECT_EQ(output[3].at("custom_id"), "r4") << "in the order of the input";
  EXPECT_EQ(output[3].at("response").at("status_code"), 200);
  EXPECT_EQ(output[3].at("response").at("body").at("choices").at(0).at("message").at("content"), "hi");
  EXPECT_TRUE(output[3].at("error").is_null());
  const auto errors = Lines(batch, "error_file_id");
  ASSERT_EQ(errors.size(), 12);
  EXPECT_EQ(errors[0].at("custom_id"), "r3");
  EXPECT_EQ(errors[0].at("response").at("status_code"), 500);
  EXPECT_EQ(errors[10].at("custom_id"), "bad");
  EXPECT_EQ(errors[10].at("response").at("body").at("error").at("param"), "temperature");
  EXPECT_EQ(errors[11].at("error").at("code"), "unsupported");
  const json::value file = served_->Get("/v1/files/" + Text(batch, "output_file_id"))->Json();
  EXPECT_EQ(file.at("purpose"), "batch_output");
}

TEST_F(Batches, WhatCannotBeTakenIsListedByLine) {
  Limits limits;
  limits.max_batch_lines = 6;
  limits.max_batch_line_bytes = 2000;
  Start(limits);
  const auto codes = [&](const std::string& input) {
    const json::value batch = WaitOver(Text(Create(UploadedId(input)), "id"));
    std::string text = Text(batch, "status") + ":";
    if (batch.at("errors").is_object()) {
      for (const json::value& error : batch.at("errors").at("data").as_array()) {
        text += " " + Text(error, "code") + "@" + json::serialize(error.at("line"));
      }
    }
    return text;
  };
  EXPECT_EQ(codes(Line("a", "x") + "{\n" + Line("b", "x") + Line("a", "x")),
            "failed: invalid_json_line@2 duplicate_custom_id@4");
  EXPECT_EQ(codes(Line("a", "x") + Line("b", "x", "", "qwen3-coder-next")), "failed: mismatched_model@2");
  EXPECT_EQ(codes(""), "failed: empty_file@null");
  EXPECT_EQ(codes("\n\r\n"), "failed: empty_file@null");
  EXPECT_EQ(codes(Line("a", std::string(3000, 'x'))), "failed: line_too_long@1");
  EXPECT_EQ(codes(Line("", "x")), "failed: invalid_custom_id@1");
  EXPECT_EQ(codes(R"({"custom_id":"a","method":"GET","url":"/v1/chat/completions","body":{"model":"demo"}})"),
            "failed: invalid_method@1");
  EXPECT_EQ(codes(R"({"custom_id":"a","method":"POST","url":"/v1/completions","body":{"model":"demo"}})"),
            "failed: mismatched_endpoint@1");
  EXPECT_EQ(codes(R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions"})"),
            "failed: missing_required_parameter@1");
  std::string many;
  for (int i = 0; i < 7; ++i) many += Line(std::to_string(i), "x");
  EXPECT_EQ(codes(many), "failed: too_many_lines@7");
}

TEST_F(Batches, ACancelledBatchKeepsWhatWasDone) {
  const json::value created = Create(UploadedId(Line("a", "hello") + Line("b", "hang") + Line("c", "hang")));
  const std::string id = Text(created, "id");
  while (Get(id).at("request_counts").at("completed") != 1) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(served_->Get("/v1/files/" + Text(created, "input_file_id"), "DELETE")->status, 400) << "it is in use";
  const json::value cancelling = served_->Post("/v1/batches/" + id + "/cancel", "")->Json();
  EXPECT_TRUE(Text(cancelling, "status") == "cancelling" || Text(cancelling, "status") == "cancelled");
  const json::value batch = WaitOver(id);
  EXPECT_EQ(batch.at("status"), "cancelled");
  EXPECT_EQ(Lines(batch, "output_file_id").size(), 1);
  const auto errors = Lines(batch, "error_file_id");
  ASSERT_EQ(errors.size(), 2);
  EXPECT_EQ(errors[0].at("error").at("code"), "batch_cancelled");
  EXPECT_TRUE(errors[0].at("response").is_null());
  EXPECT_EQ(served_->Post("/v1/batches/" + id + "/cancel", "")->Json(), batch) << "once is enough";
  EXPECT_EQ(served_->Get("/v1/files/" + Text(created, "input_file_id"), "DELETE")->status, 200);
}

TEST_F(Batches, InteractiveRequestsGoFirst) {
  const json::value created = Create(UploadedId(Line("a", "hang") + Line("b", "hang")));
  WaitFor(Text(created, "id"), {"in_progress"});
  const auto sink =
      served_->Post("/v1/chat/completions", R"({"model":"demo","messages":[{"role":"user","content":"hello"}]})");
  EXPECT_EQ(sink->status, 200);
}

// Restarted at any moment, a batch ends as it would have, each line once and in its place.
TEST_F(Batches, RestartsLoseNothing) {
  std::string input;
  for (int i = 0; i < 60; ++i) input += Line("r" + std::to_string(i), i % 7 == 0 ? "fault" : "hello");
  const std::string id = Text(Create(UploadedId(input)), "id");
  for (int round = 0; round < 12; ++round) {
    std::this_thread::sleep_for(milliseconds(round * 3));
    Start();
  }
  const json::value batch = WaitOver(id);
  EXPECT_EQ(batch.at("status"), "completed");
  EXPECT_EQ(batch.at("request_counts").at("completed"), 51);
  EXPECT_EQ(batch.at("request_counts").at("failed"), 9);
  std::set<std::string> ids;
  for (const char* which : {"output_file_id", "error_file_id"}) {
    for (const json::value& line : Lines(batch, which)) EXPECT_TRUE(ids.insert(Text(line, "custom_id")).second);
  }
  EXPECT_EQ(ids.size(), 60);
}

TEST_F(Batches, ListsByStatusNameAndTime) {
  const std::string file = UploadedId(Line("a", "hello"));
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(Text(Create(file, R"(,"metadata":{"ds_name":"run )" + std::to_string(i) + "\"}"), "id"));
    WaitOver(ids.back());
  }
  const auto list = [&](const std::string& query) {
    auto sink = std::make_shared<TestSink>();
    served_->service->Handle({"GET", "/compatible-mode/v1/batches", query, {}, "", nullptr}, sink);
    sink->Run();
    std::string text;
    if (sink->status != 200) return std::to_string(sink->status);
    const json::value page = sink->Json();
    for (const json::value& batch : page.at("data").as_array()) {
      text += std::to_string(std::find(ids.begin(), ids.end(), Text(batch, "id")) - ids.begin());
    }
    return text + (page.at("has_more").as_bool() ? "+" : "");
  };
  EXPECT_EQ(list(""), "43210");
  EXPECT_EQ(list("limit=2"), "43+");
  EXPECT_EQ(list("limit=2&after=" + ids[3]), "21+");
  EXPECT_EQ(list("ds_name=run%202"), "2");
  EXPECT_EQ(list("status=completed,failed&limit=1"), "4+");
  EXPECT_EQ(list("status=expired"), "");
  EXPECT_EQ(list("input_file_ids=none"), "");
  EXPECT_EQ(list("create_after=20200101000000"), "43210");
  EXPECT_EQ(list("create_before=20200101000000"), "");
  for (const char* bad : {"limit=0", "limit=x", "after=none", "create_after=2020", "create_after=20201301000000"}) {
    EXPECT_EQ(list(bad), "400") << bad;
  }
}

TEST_F(Batches, SaysWhatIsWrongWithARequest) {
  const std::string file = UploadedId(Line("a", "hello"));
  const auto status = [&](const std::string& body) { return served_->Post("/v1/batches", body)->status; };
  EXPECT_EQ(status("{}"), 400);
  EXPECT_EQ(status(R"({"input_file_id":"none","endpoint":"/v1/chat/completions","completion_window":"24h"})"), 400);
  const std::string begin = R"({"input_file_id":")" + file + R"(","endpoint":)";
  EXPECT_EQ(status(begin + R"("/v1/embeddings","completion_window":"24h"})"), 400);
  for (const char* window : {"23h", "337h", "0d", "15d", "24", "h", "24hh", "-24h", " 24h"}) {
    EXPECT_EQ(status(begin + R"("/v1/chat/completions","completion_window":")" + window + "\"}"), 400) << window;
  }
  EXPECT_EQ(status(begin + R"("/v1/chat/completions","completion_window":"14d","metadata":{"a":1}})"), 400);
  EXPECT_EQ(status(begin + R"("/v1/chat/completions","completion_window":"14d","metadata":{"a":"1"}})"), 200);
  EXPECT_EQ(served_->Get("/v1/batches/none")->status, 404);
  EXPECT_EQ(served_->Post("/v1/batches/none/cancel", "")->status, 404);
}

TEST_F(Batches, WithoutADataDirectoryThereAreNone) {
  const ScriptedService served(kScript);
  served.service->StartBatches();
  for (const char* path : {"/v1/files", "/v1/batches", "/v1/files/x", "/v1/files/x/content"}) {
    const auto sink = served.Get(path);
    EXPECT_EQ(sink->status, 403) << path;
    EXPECT_NE(sink->body.find("--data-dir"), std::string::npos);
  }
  EXPECT_EQ(served.Post("/v1/batches", "{}")->status, 403);
  EXPECT_EQ(served.Post("/v1/files", "{}")->status, 403);
}

// The window is at least a day, so the store is driven by itself, with a clock of the test's own.
TEST(BatchStore, AnExpiredBatchEndsWithWhatItHas) {
  const auto folder = std::filesystem::temp_directory_path() / ("quern_expired_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::chrono::system_clock::time_point now{std::chrono::hours(1000)};
  const auto clock = [&] { return now; };
  const auto database = store::Database::Open("").value();
  const FileLimits limits{1000, 10, 10'000, std::chrono::hours(48)};
  const auto files = FileStore::Create(database, folder, limits, clock).value();
  auto content = files->Begin("me").value();
  content->Write(Line("a", "x") + Line("b", "x")).value();
  const FileInfo input = files->Add("me", std::move(content), {.filename = "in", .purpose = "batch"}).value();
  const auto batches = BatchStore::Create(database, files, std::chrono::hours(10), clock).value();
  Batch batch;
  batch.owner = "me";
  batch.endpoint = "/v1/chat/completions";
  batch.input_file_id = input.id;
  batch = batches->Add(batch, std::chrono::hours(24), 1).value();
  EXPECT_EQ(batches->Add(batch, std::chrono::hours(24), 1).error().code(), Code::kExhausted);
  batches->BeginProgress(batch.seq, "demo", {{1, 0, 10, "a", 0}, {2, 11, 10, "b", 0}}).value();
  batches->SetResult(batch.seq, 1, true, "done").value();
  batches->SetResult(batch.seq, 1, false, "again").value();
  now += std::chrono::hours(49);
  files->DropExpired().value();
  EXPECT_TRUE(files->Open("me", input.id).value() != nullptr) << "it is in use";
  batches->BeginFinalizing(batch.seq, "expired", [](const BatchLinePlace& line) { return "late " + line.custom_id; })
      .value();
  batches->Finalize(batches->Open().value().at(0)).value();
  const Batch over = batches->Get("me", batch.id).value().value();
  EXPECT_EQ(over.status, "expired");
  EXPECT_EQ(over.n_completed, 1);
  EXPECT_EQ(over.n_failed, 1);
  EXPECT_EQ(files->Open("me", over.output_file_id).value()->Read(0, 100).value(), "done\n");
  EXPECT_EQ(files->Open("me", over.error_file_id).value()->Read(0, 100).value(), "late b\n");
  EXPECT_TRUE(batches->Open().value().empty());
  now += std::chrono::hours(10);
  batches->DropExpired().value();
  EXPECT_FALSE(batches->Get("me", batch.id).value());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace quern::api
