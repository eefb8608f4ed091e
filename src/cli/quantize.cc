#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/gguf_vocabulary.h"
#include "cli/inspect_report.h"
#include "cli/load_model.h"
#include "cli/progress.h"
#include "model/gguf_quantize.h"

namespace quern::cli {
namespace {

namespace fs = std::filesystem;

void PrintReport(const model::QuantizeReport& report, const fs::path& out) {
  fmt::print("{}: {}, {:.2f} bits per weight\n", out.string(), SizeText(report.n_bytes),
             8.0 * static_cast<double>(report.n_bytes) / static_cast<double>(report.n_parameters));
  for (const auto& [type, bytes] : report.bytes_by_type) {
    fmt::print("  {:<5} {:>12}\n", Info(type).name, SizeText(bytes));
  }
  if (!report.left_out.empty()) {
    fmt::print(stderr, "quern: left out {} tensor{} that a GGUF file has no place for, the first is {}\n",
               report.left_out.size(), report.left_out.size() == 1 ? "" : "s", report.left_out.front());
  }
  if (!report.no_importance.empty()) {
    fmt::print(stderr, "quern: the importance matrix says nothing about {} tensor{}, the first is {}\n",
               report.no_importance.size(), report.no_importance.size() == 1 ? "" : "s", report.no_importance.front());
  }
  if (report.requantized) {
    fmt::print(stderr, "quern: the source was quantised already; its loss is in the new file too\n");
  }
}

}  // namespace

Result<int> RunQuantize(const Invocation& invocation) {
  Settings source = invocation.settings;
  source.model = invocation.positional;
  QUERN_ASSIGN(const auto path, ModelPath(source));
  const fs::path out = invocation.second;
  QUERN_ASSIGN(const std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));

  model::ImportanceMatrix importance;
  if (!invocation.imatrix.empty()) {
    QUERN_ASSIGN(importance, model::ImportanceMatrix::Load(invocation.imatrix));
  }
  std::optional<model::GgufVocabularyKeys> vocabulary;
  if (checkpoint->gguf() == nullptr) {
    QUERN_ASSIGN(vocabulary, ReadVocabularyKeys(*checkpoint));
    if (!vocabulary) {
      fmt::print(stderr, "quern: {} has no tokenizer.json; the file will have weights only\n", path.string());
    }
  }
  const int threads = invocation.settings.threads;
  ThreadPool pool(threads > 0 ? threads : ThreadPool::AvailableThreads());
  ProgressBar bar(fmt::format("writing {}", out.filename().string()));
  QUERN_ASSIGN(const model::QuantizeReport report,
               model::WriteQuantized(*checkpoint, out,
                                     {.recipe = invocation.recipe,
                                      .importance = invocation.imatrix.empty() ? nullptr : &importance,
                                      .vocabulary = vocabulary ? &*vocabulary : nullptr,
                                      .progress = [&](uint64_t done, uint64_t total) { bar.Show(done, total); }},
                                     pool));
  PrintReport(report, out);
  return kExitDone;
}

}  // namespace quern::cli
