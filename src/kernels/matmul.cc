#include "kernels/matmul.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "kernels/aligned_buffer.h"
#include "kernels/dispatch.h"

namespace quern::kernels {
namespace {

// With few rows bytes count: a piece of about this many bytes of weights takes some 10 us from memory, so that handing
// it out costs nothing.
constexpr size_t kPieceBytes = 128 * 1024;
// With many rows arithmetic counts: no piece holds more multiply-adds than this, some 100 us.
constexpr int64_t kPieceOps = int64_t{1} << 24;
// Rows of x in a piece: prepared, they stay in a core's second cache while the piece's weights go by.
constexpr size_t kPieceRowBytes = 384 * 1024;
constexpr int64_t kMinPieceRows = 48;
constexpr int64_t kPieceRowsStep = 24;  // kernels take 8 or 12 rows at a time; what is left over costs as much again

// Rows of one x in one form; jobs point at it.
struct Preparation {
  RowsIn x;
  int64_t cols;
  RowForm form;
  size_t row_bytes;  // from one row to the next
  size_t offset;     // into the scratch bytes
};

struct Piece {
  uint32_t job;
  uint32_t first_group, n_groups;
  uint32_t first_row, n_rows;  // of the job's x
};

struct PreparedJob {
  size_t preparation;
  size_t first_pointer;  // into x pointers
  int n;
  MatMulFn fn;
};

// Rows a multiple of 4096 bytes apart, which many shapes ask for, would all want the same few places of a core's first
// cache; an odd number of lines apart they spread over all of it.
size_t RowDistance(RowForm form, int64_t cols) {
  const size_t n_lines = FormRowBytes(form, cols) / 64;
  return 64 * (n_lines | 1U);
}

bool SameRows(const Preparation& p, const RowsIn& x, int64_t cols, RowForm form) {
  return p.x.data == x.data && p.x.n_rows == x.n_rows && p.x.stride == x.stride && p.cols == cols && p.form == form;
}

// About equal parts of n rows.
int64_t RowsPerPiece(size_t row_bytes, int64_t n) {
  const int64_t most = std::max(kMinPieceRows, static_cast<int64_t>(kPieceRowBytes / row_bytes));
  const int64_t parts = (n + most - 1) / most;
  const int64_t steps = ((n + parts - 1) / parts + kPieceRowsStep - 1) / kPieceRowsStep;
  return std::min(n, steps * kPieceRowsStep);
}

int64_t GroupsPerPiece(const Matrix& weights, int64_t n_rows, int n_threads) {
  const auto by_bytes = static_cast<int64_t>(kPieceBytes / weights.group_bytes());
  const int64_t by_ops = kPieceOps / (n_rows * weights.cols() * kGroupRows);
  // A matrix too small for that still gives every thread a few pieces, so that none waits long for the last.
  const int64_t by_threads = weights.n_groups() / (4 * int64_t{n_threads});
  return std::max<int64_t>(1, std::min({by_bytes, by_ops, by_threads}));
}

void PrepareRow(const KernelTable& kernels, const Preparation& p, int64_t row, std::byte* base) {
  const float* x = p.x.data + row * p.x.stride;
  std::byte* out = base + p.offset + static_cast<size_t>(row) * p.row_bytes;
  switch (p.form) {
    case RowForm::kF32:
      std::copy_n(x, p.cols, reinterpret_cast<float*>(out));
      return;
    case RowForm::kBF16:
      return kernels.to_bf16(x, p.cols, reinterpret_cast<uint16_t*>(out));
    case RowForm::kX8:
      return kernels.to_x8(x, p.cols, reinterpret_cast<GroupX8*>(out));
    case RowForm::kX8K:
      return kernels.to_x8k(x, p.cols, reinterpret_cast<GroupX8K*>(out));
  }
}

}  // namespace

struct MatMulScratch::Impl {
  MatMulObserver observer;
  AlignedBuffer bytes;
  std::vector<Preparation> preparations;
  std::vector<PreparedJob> jobs;
  std::vector<const void*> pointers;
  std::vector<Piece> pieces;

  // Finds or adds the preparation of a job's x.
  size_t PreparationOf(const MatMulJob& job, RowForm form, size_t* n_bytes) {
    const int64_t cols = job.weights->cols();
    for (size_t i = preparations.size(); i-- > 0;) {
      if (SameRows(preparations[i], job.x, cols, form)) return i;
    }
    const size_t row_bytes = RowDistance(form, cols);
    preparations.push_back({job.x, cols, form, row_bytes, *n_bytes});
    *n_bytes += static_cast<size_t>(job.x.n_rows) * row_bytes;
    return preparations.size() - 1;
  }

  // Pointers to the prepared rows that a job uses, in its order.
  void AddPointers(const MatMulJob& job, const Preparation& p, const std::byte* base) {
    const int64_t n = job.gather.empty() ? job.x.n_rows : static_cast<int64_t>(job.gather.size());
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = job.gather.empty() ? i : job.gather[static_cast<size_t>(i)];
      QUERN_CHECK(row >= 0 && row < job.x.n_rows);
      pointers.push_back(base + p.offset + static_cast<size_t>(row) * p.row_bytes);
    }
  }

  void Plan(std::span<const MatMulJob> all, const KernelTable& kernels, int n_threads) {
    preparations.clear();
    jobs.clear();
    pointers.clear();
    pieces.clear();
    size_t n_bytes = 0;
    for (const MatMulJob& job : all) {
      QUERN_CHECK(job.weights != nullptr && job.weights->rows() > 0 && job.x.data != nullptr && job.y.data != nullptr);
      const MatMulEntry& entry = kernels.MatMul(job.weights->type());
      QUERN_CHECK(entry.fn != nullptr);
      const int64_t n = job.gather.empty() ? job.x.n_rows : static_cast<int64_t>(job.gather.size());
      jobs.push_back({PreparationOf(job, entry.form, &n_bytes), 0, static_cast<int>(n), entry.fn});
    }
    const std::byte* base = bytes.Get(n_bytes);
    for (size_t j = 0; j < all.size(); ++j) {
      jobs[j].first_pointer = pointers.size();
      AddPointers(all[j], preparations[jobs[j].preparation], base);
      if (jobs[j].n > 0) AddPieces(static_cast<uint32_t>(j), *all[j].weights, jobs[j].n, n_threads);
    }
  }

  void AddPieces(uint32_t job, const Matrix& weights, int64_t n, int n_threads) {
    const int64_t rows = RowsPerPiece(preparations[jobs[job].preparation].row_bytes, n);
    const int64_t groups = GroupsPerPiece(weights, rows, n_threads);
    for (int64_t row = 0; row < n; row += rows) {
      for (int64_t group = 0; group < weights.n_groups(); group += groups) {
        pieces.push_back({job, static_cast<uint32_t>(group),
                          static_cast<uint32_t>(std::min(groups, weights.n_groups() - group)),
                          static_cast<uint32_t>(row), static_cast<uint32_t>(std::min(rows, n - row))});
      }
    }
  }

  void PrepareAll(const KernelTable& kernels, ThreadPool& pool) {
    std::byte* base = bytes.Get(0);
    for (const Preparation& p : preparations) {
      // A row takes a microsecond or two: not worth waking anybody for a few of them.
      if (p.x.n_rows < 4) {
        for (int64_t row = 0; row < p.x.n_rows; ++row) PrepareRow(kernels, p, row, base);
      } else {
        pool.ParallelFor(static_cast<size_t>(p.x.n_rows),
                         [&](size_t row, int) { PrepareRow(kernels, p, static_cast<int64_t>(row), base); });
      }
    }
  }

  void RunPiece(std::span<const MatMulJob> all, const Piece& piece) const {
    const MatMulJob& job = all[piece.job];
    const PreparedJob& prepared = jobs[piece.job];
    const Matrix& weights = *job.weights;
    const int64_t first = int64_t{piece.first_group} * kGroupRows;
    const MatMulTile tile{
        .w = weights.group(piece.first_group),
        .group_bytes = weights.group_bytes(),
        .cols = weights.cols(),
        .n_out = static_cast<int>(std::min(int64_t{piece.n_groups} * kGroupRows, weights.rows() - first)),
        .x = pointers.data() + prepared.first_pointer + piece.first_row,
        .n = static_cast<int>(piece.n_rows),
        .y = job.y.data + piece.first_row * job.y.stride + first,
        .y_stride = job.y.stride,
        .bias = job.bias == nullptr ? nullptr : job.bias + first,
    };
    prepared.fn(tile);
  }
};

MatMulScratch::MatMulScratch() : impl_(std::make_unique<Impl>()) {}
MatMulScratch::~MatMulScratch() = default;
MatMulScratch::MatMulScratch(MatMulScratch&&) noexcept = default;
MatMulScratch& MatMulScratch::operator=(MatMulScratch&&) noexcept = default;
void MatMulScratch::SetObserver(MatMulObserver observer) { impl_->observer = std::move(observer); }

void MatMul(std::span<const MatMulJob> jobs, MatMulScratch& scratch, ThreadPool& pool) {
  MatMulScratch::Impl& impl = scratch.impl();
  if (impl.observer) std::ranges::for_each(jobs, impl.observer);
  const KernelTable& kernels = Kernels();
  impl.Plan(jobs, kernels, pool.n_threads());
  impl.PrepareAll(kernels, pool);
  pool.ParallelFor(impl.pieces.size(), [&](size_t piece, int) { impl.RunPiece(jobs, impl.pieces[piece]); });
}

void MatMul(const MatMulJob& job, MatMulScratch& scratch, ThreadPool& pool) {
  MatMul(std::span<const MatMulJob>(&job, 1), scratch, pool);
}

}  // namespace quern::kernels
