// How strongly the inputs of each matrix are used: per column the mean square of the activations that met it.
// Collected by `quern imatrix`, read by the quantisers (docs/formats/imatrix.md).
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace quern::model {

// By GGUF tensor name, so that one file serves every form of a checkpoint.
class ImportanceMatrix {
 public:
  struct Entry {
    int n_experts = 1;
    std::vector<float> mean_squares;  // [n_experts, n_cols], finite, >= 0
  };

  void Set(std::string name, Entry entry) { entries_.insert_or_assign(std::move(name), std::move(entry)); }
  const Entry* Find(std::string_view name) const {
    const auto at = entries_.find(name);
    return at == entries_.end() ? nullptr : &at->second;
  }
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }

  // Errors: those of os::OutputFile.
  Result<void> Save(const std::filesystem::path& path) const;
  // Errors: kNotFound, kCorrupt (not such a file; values that are not finite or below 0), those of GgufFile::Parse.
  static Result<ImportanceMatrix> Load(const std::filesystem::path& path);

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace quern::model
