#include "api/batch_validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "api/dry_run.h"

namespace quern::api {

namespace {

constexpr size_t kReadBytes = 1 << 20;

// The lines of a file without their ends, one buffer at a time.
class LineReader {
 public:
  LineReader(const FileContent& content, size_t max_line_bytes) : content_(content), max_line_bytes_(max_line_bytes) {}

  struct Line {
    uint64_t offset;
    std::string_view text;  // valid until the next call
    bool too_long;          // text is then its beginning
  };

  // False at the end. Errors: those of FileContent::Read.
  Result<bool> Next(Line& line) {
    size_t searched = 0;
    size_t end = 0;
    while ((end = buffer_.find('\n', at_ + searched)) == std::string::npos) {
      searched = buffer_.size() - at_;
      if (searched > max_line_bytes_) break;
      buffer_.erase(0, at_);
      begin_ += at_;
      at_ = 0;
      QUERN_ASSIGN(const std::string more, content_.Read(begin_ + buffer_.size(), kReadBytes));
      if (more.empty()) break;
      buffer_ += more;
    }
    const bool ended = end != std::string::npos;
    std::string_view text = std::string_view(buffer_).substr(at_, ended ? end - at_ : std::string::npos);
    if (text.empty() && !ended) return false;
    line = {begin_ + at_, text, text.size() > max_line_bytes_};
    at_ += text.size() + (ended ? 1 : 0);
    if (line.text.ends_with('\r')) line.text.remove_suffix(1);
    return true;
  }

 private:
  const FileContent& content_;
  const size_t max_line_bytes_;
  std::string buffer_;
  uint64_t begin_ = 0;  // of the buffer in the file
  size_t at_ = 0;       // of the next line in the buffer
};

class Planner {
 public:
  Planner(std::string_view endpoint, const Limits& limits)
      : endpoint_(endpoint),
        limits_(limits),
        max_lines_(endpoint == kDryRunEndpoint ? std::min(kMaxDryRunLines, limits.max_batch_lines)
                                               : limits.max_batch_lines) {}

  // False: enough errors.
  bool Take(const LineReader::Line& line) {
    ++number_;
    if (line.text.find_first_not_of(" \t") == std::string_view::npos) return true;
    if (line.too_long) {
      AddError("line_too_long", fmt::format("This line is longer than {} bytes (limit max_batch_line_bytes).",
                                            limits_.max_batch_line_bytes));
      return false;  // where the next one begins is not known
    }
    if (plan_.lines.size() == max_lines_) {
      AddError("too_many_lines", fmt::format("The file has more than {} requests ({}).", max_lines_,
                                             max_lines_ == limits_.max_batch_lines ? "limit max_batch_lines"
                                                                                   : "as many as a dry run may have"));
      return false;
    }
    const auto read = ReadBatchLine(line.text, endpoint_, number_, limits_);
    if (!read) {
      errors_.push_back(read.error());
    } else {
      Check(*read);
      plan_.lines.push_back({number_, line.offset, line.text.size(), read->custom_id, 0});
    }
    return errors_.size() < kMaxBatchErrors;
  }

  std::expected<BatchPlan, std::vector<BatchError>> Finish() {
    if (plan_.lines.empty() && errors_.empty()) {
      number_ = 0;
      AddError("empty_file", "The input file holds no request.");
    }
    if (!errors_.empty()) return std::unexpected(std::move(errors_));
    return std::move(plan_);
  }

  void AddError(std::string_view code, std::string message, std::string_view param = {}) {
    errors_.push_back({std::string(code), std::move(message), std::string(param), number_});
  }

 private:
  void Check(const BatchLine& line) {
    const auto [first, is_new] = numbers_.emplace(line.custom_id, number_);
    if (!is_new) {
      AddError("duplicate_custom_id",
               fmt::format("The custom_id '{}' is that of line {} already.", line.custom_id, first->second),
               "custom_id");
    }
    if (plan_.lines.empty() && plan_.model.empty()) plan_.model = line.model;
    if (line.model != plan_.model) {
      AddError("mismatched_model",
               fmt::format("The request '{}' is for the model '{}', but those before are for '{}'.", line.custom_id,
                           line.model.substr(0, 200), plan_.model.substr(0, 200)),
               "body.model");
    }
  }

  const std::string_view endpoint_;
  const Limits& limits_;
  const size_t max_lines_;
  BatchPlan plan_;
  std::vector<BatchError> errors_;
  std::unordered_map<std::string, int64_t> numbers_;  // of custom ids
  int64_t number_ = 0;
};

}  // namespace

std::expected<BatchPlan, std::vector<BatchError>> PlanBatch(const FileContent& content, std::string_view endpoint,
                                                            const Limits& limits) {
  LineReader lines(content, limits.max_batch_line_bytes);
  Planner planner(endpoint, limits);
  if (endpoint == kDryRunEndpoint && content.n_bytes() > kMaxDryRunBytes) {
    planner.AddError("file_too_large", fmt::format("The file has {} bytes, a dry run's may have {}.", content.n_bytes(),
                                                   kMaxDryRunBytes));
    return planner.Finish();
  }
  LineReader::Line line{};
  for (;;) {
    const Result<bool> more = lines.Next(line);
    if (!more) {
      planner.AddError("file_unreadable", more.error().message());
      break;
    }
    if (!*more || !planner.Take(line)) break;
  }
  return planner.Finish();
}

}  // namespace quern::api
