#include "model/gguf_quantize.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/dequantize.h"
#include "kernels/quantize.h"
#include "model/f8_scales.h"

namespace quern::model {
namespace {

// f32 values in flight; enough rows that all threads have work.
constexpr size_t kChunkBytes = size_t{16} << 20;

bool IsBlockType(DType type) { return Info(type).block_elements > 1; }

// One tensor of the output.
struct Target {
  const ExportTensor* from;
  DType dtype;
  const float* importance = nullptr;  // [experts, n_cols] or null
  int64_t importance_rows = 0;        // rows that share one expert's columns
};

Result<void> CheckPaths(const Checkpoint& checkpoint, const std::filesystem::path& path) {
  for (const auto& file : checkpoint.files()) {
    std::error_code ignored;
    if (!std::filesystem::equivalent(file, path, ignored)) continue;
    return Error(Code::kInvalidArgument, fmt::format("{} is a file of the checkpoint itself; give another name to the "
                                                     "output",
                                                     path.string()));
  }
  return {};
}

Result<void> CheckRoom(const std::filesystem::path& path, uint64_t n_bytes) {
  std::error_code error;
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const auto space = std::filesystem::space(folder, error);
  if (error || space.available >= n_bytes) return {};
  return Error(Code::kExhausted, fmt::format("{}: the file will have {} bytes, the disk has {} left", path.string(),
                                             n_bytes, space.available));
}

// Writes one tensor after the other, in chunks of rows.
class QuantizeJob {
 public:
  QuantizeJob(const Checkpoint& checkpoint, const QuantizeOptions& options, ThreadPool& pool)
      : checkpoint_(checkpoint), options_(options), pool_(pool), total_(checkpoint.n_bytes()) {}

  Result<QuantizeReport> Run(const std::filesystem::path& path) {
    QUERN_TRY(CheckPaths(checkpoint_, path));
    QUERN_ASSIGN(ExportPlan plan, PlanExport(checkpoint_));
    report_.left_out = std::move(plan.left_out);
    QUERN_ASSIGN(const std::vector<Target> targets, Targets(plan));
    std::vector<GgufTensorInfo> infos;
    for (const Target& target : targets) {
      infos.push_back({.name = target.from->name, .dtype = target.dtype, .shape = target.from->shape});
      Count(infos.back());
    }
    QUERN_TRY(CheckRoom(path, report_.n_bytes));
    QUERN_ASSIGN(auto writer, GgufWriter::Create(path, Metadata(), std::move(infos)));
    for (const Target& target : targets) {
      for (const StoredRows& piece : target.from->rows) QUERN_TRY(WritePiece(target, piece, *writer));
      n_rows_of_target_ = 0;
    }
    QUERN_TRY(writer->Finish());
    return std::move(report_);
  }

 private:
  GgufMetadata Metadata() const {
    GgufMetadata metadata =
        checkpoint_.gguf() != nullptr ? MetadataOf(*checkpoint_.gguf()) : MetadataOf(checkpoint_, options_.vocabulary);
    metadata.Set("general.file_type", GgufFileType(options_.recipe));
    metadata.Set("general.quantization_version", uint32_t{2});  // of the block layouts
    return metadata;
  }

  void Count(const GgufTensorInfo& info) {
    report_.bytes_by_type[info.dtype] += info.n_bytes();
    report_.n_bytes += info.n_bytes();
    int64_t n = 1;
    for (const int64_t dim : info.shape) n *= dim;
    report_.n_parameters += n;
  }

  Result<std::vector<Target>> Targets(const ExportPlan& plan) {
    const ModelConfig& c = checkpoint_.config();
    std::vector<Target> targets;
    for (const ExportTensor& tensor : plan.tensors) {
      const DType dtype = TypeFor(options_.recipe, tensor.name, static_cast<int>(tensor.shape.size()), tensor.n_cols(),
                                  c.n_layers, c.tied_embeddings);
      Target target{.from = &tensor, .dtype = dtype};
      QUERN_TRY(FindImportance(target));
      for (const StoredRows& piece : tensor.rows) {
        QUERN_TRY(FindScales(*piece.tensor));
        const DType from = piece.tensor->dtype;
        if (IsBlockType(from) && IsBlockType(dtype) && from != dtype) report_.requantized = true;
      }
      targets.push_back(target);
    }
    return targets;
  }

  // Keeps the scales of an f8_e4m3 tensor; refuses a type that nothing reads.
  Result<void> FindScales(const StoredTensor& tensor) {
    QUERN_ASSIGN(const StoredTensor* const scales, FindF8Scales(checkpoint_, tensor));
    if (scales != nullptr) {
      std::vector<float>& values = f8_scales_[&tensor];
      values.resize(static_cast<size_t>(scales->n_elements()));
      kernels::DequantizeRow(scales->dtype, scales->bytes.data(), scales->n_elements(), values.data());
    } else if (!kernels::CanDequantize(tensor.dtype)) {
      return Error(Code::kUnsupported,
                   fmt::format("{}: type {} cannot be quantised", checkpoint_.Where(tensor), Info(tensor.dtype).name));
    }
    return {};
  }

  // Row `row` of a stored tensor as f32.
  void ReadRow(const StoredTensor& tensor, int64_t row, const std::byte* bytes, std::span<float> out) const {
    const auto n = static_cast<int64_t>(out.size());
    if (tensor.dtype != DType::kF8E4M3) return kernels::DequantizeRow(tensor.dtype, bytes, n, out.data());
    const std::vector<float>& scales = f8_scales_.at(&tensor);
    const int64_t stride = (n + kF8BlockSide - 1) / kF8BlockSide;
    kernels::DequantizeF8Row(bytes, scales.data() + row / kF8BlockSide * stride, n, out.data());
  }

  Result<void> FindImportance(Target& target) {
    if (options_.importance == nullptr || !IsBlockType(target.dtype)) return {};
    const ExportTensor& tensor = *target.from;
    const auto* entry = options_.importance->Find(tensor.name);
    if (entry == nullptr) {
      report_.no_importance.push_back(tensor.name);
      return {};
    }
    const int64_t n_experts = tensor.shape.size() == 3 ? tensor.shape[0] : 1;
    if (entry->n_experts != n_experts ||
        static_cast<int64_t>(entry->mean_squares.size()) != n_experts * tensor.n_cols()) {
      return Error(Code::kInvalidArgument,
                   fmt::format("the importance matrix is of another model: \"{}\" has {} experts and {} values there, "
                               "{} experts of {} columns here",
                               tensor.name, entry->n_experts, entry->mean_squares.size(), n_experts, tensor.n_cols()));
    }
    target.importance = entry->mean_squares.data();
    target.importance_rows = tensor.n_rows() / n_experts;
    return {};
  }

  Result<void> WritePiece(const Target& target, const StoredRows& piece, GgufWriter& writer) {
    const int64_t n_cols = target.from->n_cols();
    const auto chunk_rows = std::max<int64_t>(1, static_cast<int64_t>(kChunkBytes / sizeof(float)) / n_cols);
    for (int64_t at = 0; at < piece.n; at += chunk_rows) {
      const int64_t n = std::min(chunk_rows, piece.n - at);
      const StoredRows chunk{piece.tensor, piece.first + at, n};
      const auto bytes = BytesOf(chunk, n_cols);
      if (piece.tensor->dtype == target.dtype && target.from->change == ValueChange::kNone) {
        QUERN_TRY(writer.Append(bytes));
      } else {
        QUERN_TRY(Convert(target, chunk, bytes));
        QUERN_TRY(writer.Append(packed_));
      }
      n_rows_of_target_ += n;
      checkpoint_.Release(bytes);
      done_ += bytes.size();
      if (options_.progress) options_.progress(done_, total_);
    }
    return {};
  }

  static std::span<const std::byte> BytesOf(const StoredRows& rows, int64_t n_cols) {
    const size_t row_bytes = RowBytes(rows.tensor->dtype, n_cols);
    return rows.tensor->bytes.subspan(static_cast<size_t>(rows.first) * row_bytes,
                                      static_cast<size_t>(rows.n) * row_bytes);
  }

  // The chunk in the target's type, into packed_.
  Result<void> Convert(const Target& target, const StoredRows& chunk, std::span<const std::byte> bytes) {
    const auto n_cols = static_cast<size_t>(target.from->n_cols());
    const size_t in_bytes = bytes.size() / static_cast<size_t>(chunk.n);
    const size_t out_bytes = RowBytes(target.dtype, static_cast<int64_t>(n_cols));
    values_.resize(static_cast<size_t>(chunk.n) * n_cols);
    packed_.resize(static_cast<size_t>(chunk.n) * out_bytes);
    std::atomic<int64_t> bad_row = chunk.n;  // the first one
    pool_.ParallelFor(static_cast<size_t>(chunk.n), [&](size_t row, int) {
      float* x = values_.data() + row * n_cols;
      ReadRow(*chunk.tensor, chunk.first + static_cast<int64_t>(row), bytes.data() + row * in_bytes, {x, n_cols});
      Change(target.from->change, {x, n_cols});
      if (FirstBad(target.dtype, {x, n_cols}) < n_cols) {
        int64_t seen = bad_row;
        while (static_cast<int64_t>(row) < seen && !bad_row.compare_exchange_weak(seen, static_cast<int64_t>(row))) {
        }
        return;
      }
      const int64_t target_row = n_rows_of_target_ + static_cast<int64_t>(row);
      const float* importance =
          target.importance == nullptr
              ? nullptr
              : target.importance + static_cast<size_t>(target_row / target.importance_rows) * n_cols;
      kernels::QuantizeRow(target.dtype, x, static_cast<int64_t>(n_cols), importance, packed_.data() + row * out_bytes);
    });
    if (bad_row == chunk.n) return {};
    return BadValue(target, chunk, {values_.data() + static_cast<size_t>(bad_row) * n_cols, n_cols}, bad_row);
  }

  static void Change(ValueChange change, std::span<float> x) {
    if (change == ValueChange::kNone) return;
    for (float& v : x) v = change == ValueChange::kPlusOne ? v + 1.0F : -std::exp(v);
  }

  static size_t FirstBad(DType type, std::span<const float> x) {
    const float largest = kernels::LargestQuantizable(type);
    size_t i = 0;
    while (i < x.size() && std::fabs(x[i]) <= largest) ++i;
    return i;
  }

  std::unexpected<Status> BadValue(const Target& target, const StoredRows& chunk, std::span<const float> x,
                                   int64_t row) const {
    const size_t column = FirstBad(target.dtype, x);
    const std::string where = fmt::format("{}: row {}, column {} is {}", checkpoint_.Where(*chunk.tensor),
                                          chunk.first + row, column, x[column]);
    if (!std::isfinite(x[column])) return Error(Code::kCorrupt, where + ": the checkpoint is damaged");
    return Error(Code::kUnsupported,
                 fmt::format("{}: too large for {}; write the file as bf16 or f32", where, Info(target.dtype).name));
  }

  const Checkpoint& checkpoint_;
  const QuantizeOptions& options_;
  ThreadPool& pool_;
  const uint64_t total_;
  uint64_t done_ = 0;
  int64_t n_rows_of_target_ = 0;  // written so far
  std::map<const StoredTensor*, std::vector<float>> f8_scales_;
  std::vector<float> values_;
  std::vector<std::byte> packed_;
  QuantizeReport report_;
};

}  // namespace

Result<QuantizeReport> WriteQuantized(const Checkpoint& checkpoint, const std::filesystem::path& path,
                                      const QuantizeOptions& options, ThreadPool& pool) {
  return QuantizeJob(checkpoint, options, pool).Run(path);
}

}  // namespace quern::model
