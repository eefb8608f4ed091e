#include "kernels/matmul.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/os/cpu.h"
#include "kernels/aligned_buffer.h"
#include "kernels/dispatch.h"

namespace quern::kernels {
namespace {

// With few rows bytes count. Every piece begins with a wait for memory, so the first ones are large; the last ones are
// small, so that no thread waits long for another: a piece is a part of what is left, and takes some 5 us at least.
constexpr int64_t kPiecesLeftPerThread = 2;
constexpr int64_t kMinPieceBytes = 64 * 1024;
// Rows of x in a piece: prepared, they stay in a core's second cache while the piece's weights go by.
const size_t kPieceRowBytes = os::SecondCacheBytes() / 8 * 3;
constexpr int64_t kMinPieceRows = 48;

// Rows of one x in one form; jobs point at it.
struct Preparation {
  RowsIn x;
  int64_t cols;
  RowForm form;
  size_t row_bytes;  // from one row to the next
  size_t offset;     // into the scratch bytes
};

// Prepared rows that a job gathers, one behind the other, for kernels that want them so.
struct Gathering {
  size_t preparation;
  std::span<const int32_t> rows;
  size_t offset;
};

struct Piece {
  uint32_t job;
  uint32_t first_group, n_groups;
  uint32_t first_row, n_rows;  // of the job's x
};

struct PreparedJob {
  size_t preparation;
  size_t rows_at;        // offset of the rows that pointers are made of
  bool in_order;         // they lie in the job's order
  size_t first_pointer;  // into x pointers
  size_t x_stride;       // as MatMulTile has it
  int n;
  MatMulFn fn;
  int64_t rows_per_piece = 0;

  int64_t n_passes() const { return n == 0 ? 0 : (n + rows_per_piece - 1) / rows_per_piece; }
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

// About equal parts of n rows, of whole steps; 0 of none.
int64_t RowsPerPiece(size_t row_bytes, int64_t n, int64_t step) {
  if (n == 0) return 0;
  const int64_t most = std::max(kMinPieceRows, static_cast<int64_t>(kPieceRowBytes / row_bytes));
  const int64_t parts = (n + most - 1) / most;
  const int64_t steps = ((n + parts - 1) / parts + step - 1) / step;
  return std::min(n, steps * step);
}

// bytes_left: of weights to be read by all pieces from this one on.
int64_t GroupsPerPiece(const Matrix& weights, int64_t n_rows, int64_t piece_ops, int64_t bytes_left, int n_threads) {
  const int64_t bytes = std::max(kMinPieceBytes, bytes_left / (kPiecesLeftPerThread * n_threads));
  const int64_t by_bytes = bytes / static_cast<int64_t>(weights.group_bytes());
  const int64_t by_ops = piece_ops / (n_rows * weights.cols() * kGroupRows);
  return std::max<int64_t>(1, std::min(by_bytes, by_ops));
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
  std::vector<Gathering> gatherings;
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

  // Finds or adds the gathering of a job's rows; gate and up of one expert share it.
  size_t GatheringOf(const MatMulJob& job, size_t preparation, size_t* n_bytes) {
    for (size_t i = gatherings.size(); i-- > 0;) {
      const Gathering& g = gatherings[i];
      if (g.preparation == preparation && g.rows.data() == job.gather.data() && g.rows.size() == job.gather.size()) {
        return g.offset;
      }
    }
    gatherings.push_back({preparation, job.gather, *n_bytes});
    *n_bytes += job.gather.size() * preparations[preparation].row_bytes;
    return gatherings.back().offset;
  }

  // Pointers to the prepared rows that a job uses, in its order.
  void AddPointers(const MatMulJob& job, PreparedJob& prepared, const std::byte* base) {
    const Preparation& p = preparations[prepared.preparation];
    prepared.first_pointer = pointers.size();
    for (int64_t i = 0; i < prepared.n; ++i) {
      const int64_t row = prepared.in_order ? i : job.gather[static_cast<size_t>(i)];
      pointers.push_back(base + prepared.rows_at + static_cast<size_t>(row) * p.row_bytes);
    }
  }

  PreparedJob PrepareJob(const MatMulJob& job, const MatMulEntry& entry, size_t* n_bytes) {
    QUERN_CHECK(std::ranges::all_of(job.gather, [&](int32_t row) { return row >= 0 && row < job.x.n_rows; }));
    const int64_t n = job.gather.empty() ? job.x.n_rows : static_cast<int64_t>(job.gather.size());
    const size_t p = PreparationOf(job, entry.form, n_bytes);
    PreparedJob out{.preparation = p,
                    .rows_at = preparations[p].offset,
                    .in_order = job.gather.empty(),
                    .first_pointer = 0,
                    .x_stride = 0,
                    .n = static_cast<int>(n),
                    .fn = entry.fn};
    if (entry.even_rows == 0 || n < entry.even_rows) return out;
    if (!job.gather.empty()) out.rows_at = GatheringOf(job, p, n_bytes);
    out.in_order = true;
    out.x_stride = preparations[p].row_bytes;
    return out;
  }

  void Plan(std::span<const MatMulJob> all, const KernelTable& kernels, int n_threads) {
    preparations.clear();
    gatherings.clear();
    jobs.clear();
    pointers.clear();
    pieces.clear();
    size_t n_bytes = 0;
    for (const MatMulJob& job : all) {
      QUERN_CHECK(job.weights != nullptr && job.weights->rows() > 0 && job.x.data != nullptr && job.y.data != nullptr);
      const MatMulEntry& entry = kernels.MatMul(job.weights->type());
      QUERN_CHECK(entry.fn != nullptr);
      jobs.push_back(PrepareJob(job, entry, &n_bytes));
    }
    const std::byte* base = bytes.Get(n_bytes);
    int64_t bytes_left = 0;
    for (size_t j = 0; j < all.size(); ++j) {
      AddPointers(all[j], jobs[j], base);
      const Matrix& weights = *all[j].weights;
      jobs[j].rows_per_piece =
          RowsPerPiece(preparations[jobs[j].preparation].row_bytes, jobs[j].n, kernels.MatMul(weights.type()).row_step);
      bytes_left += jobs[j].n_passes() * static_cast<int64_t>(weights.packed().size());
    }
    for (size_t j = 0; j < all.size(); ++j) {
      const Matrix& weights = *all[j].weights;
      AddPieces(static_cast<uint32_t>(j), weights, kernels.MatMul(weights.type()).piece_ops, n_threads, &bytes_left);
    }
  }

  void AddPieces(uint32_t job, const Matrix& weights, int64_t piece_ops, int n_threads, int64_t* bytes_left) {
    const int64_t n = jobs[job].n;
    const int64_t rows = jobs[job].rows_per_piece;
    for (int64_t row = 0; row < n; row += rows) {
      int64_t groups = 0;
      for (int64_t group = 0; group < weights.n_groups(); group += groups) {
        groups = std::min(GroupsPerPiece(weights, rows, piece_ops, *bytes_left, n_threads), weights.n_groups() - group);
        pieces.push_back({job, static_cast<uint32_t>(group), static_cast<uint32_t>(groups), static_cast<uint32_t>(row),
                          static_cast<uint32_t>(std::min(rows, n - row))});
        *bytes_left -= groups * static_cast<int64_t>(weights.group_bytes());
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

  void GatherAll(ThreadPool& pool) {
    std::byte* base = bytes.Get(0);
    pool.ParallelFor(gatherings.size(), [&](size_t i, int) {
      const Gathering& g = gatherings[i];
      const Preparation& p = preparations[g.preparation];
      std::byte* out = base + g.offset;
      for (const int32_t row : g.rows) {
        out = std::copy_n(base + p.offset + static_cast<size_t>(row) * p.row_bytes, p.row_bytes, out);
      }
    });
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
        .x_stride = prepared.x_stride,
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
  if (!impl.gatherings.empty()) impl.GatherAll(pool);
  pool.ParallelFor(impl.pieces.size(), [&](size_t piece, int) { impl.RunPiece(jobs, impl.pieces[piece]); });
}

void MatMul(const MatMulJob& job, MatMulScratch& scratch, ThreadPool& pool) {
  MatMul(std::span<const MatMulJob>(&job, 1), scratch, pool);
}

}  // namespace quern::kernels
