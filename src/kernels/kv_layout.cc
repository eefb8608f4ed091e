#include "kernels/kv_layout.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "kernels/dispatch.h"
#include "tensor/dtype.h"

namespace quern::kernels {
namespace {

// One group of a token as it is stored: what the values' type holds, and the scale they share (1 without scales).
struct Group {
  float scale = 1;
  float values[kKvGroup] = {};  // integers for q8 and q4
};

float ToF16Range(float v) { return std::isnan(v) ? v : std::clamp(v, -65504.0F, 65504.0F); }

uint16_t StoredF16(float v) { return F32ToF16(ToF16Range(v)); }

// The largest by magnitude, with its sign; of equals the first.
float Extreme(const float* x) {
  float extreme = 0;
  for (int i = 0; i < kKvGroup; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  return extreme;
}

Group Quantize(KvType type, const float* x) {
  const float extreme = Extreme(x);
  const float wanted = type == KvType::kQ8 ? std::fabs(extreme) / 127 : extreme / -8;
  Group group{.scale = F16ToF32(StoredF16(wanted))};
  const float inverse = group.scale != 0 ? 1 / group.scale : 0;
  const float lo = type == KvType::kQ8 ? -127 : -8;
  const float hi = type == KvType::kQ8 ? 127 : 7;
  for (int i = 0; i < kKvGroup; ++i) {
    const float q = std::nearbyint(x[i] * inverse);
    group.values[i] = q >= lo ? std::min(q, hi) : lo;  // NaN becomes lo
  }
  return group;
}

void Put16(std::byte* at, uint16_t v) { std::memcpy(at, &v, sizeof(v)); }

uint16_t Get16(const std::byte* at) {
  uint16_t v;
  std::memcpy(&v, at, sizeof(v));
  return v;
}

void PutFloat(std::byte* at, float v) { std::memcpy(at, &v, sizeof(v)); }

float GetFloat(const std::byte* at) {
  float v;
  std::memcpy(&v, at, sizeof(v));
  return v;
}

// Where the parts of one head of a page lie.
struct Place {
  KvType type;
  bool keys;
  size_t page_tokens, dim, slot;

  size_t n_groups() const { return dim / kKvGroup; }

  // Element of a type whose values take whole elements of their own.
  size_t Element(size_t d) const {
    if (type == KvType::kBF16 || type == KvType::kI16) {
      return keys ? (d / 2 * page_tokens + slot) * 2 + d % 2 : (slot / 2 * dim + d) * 2 + slot % 2;
    }
    return keys ? d * page_tokens + slot : slot * dim + d;
  }

  // Byte of a q8 value.
  size_t Byte(size_t d) const {
    constexpr size_t kByteOf[4] = {0, 2, 1, 3};
    return keys ? (d / 4 * page_tokens + slot) * 4 + kByteOf[d % 4] : slot * dim + d;
  }

  // Byte of a q4 value; the low nibble of it or the high one.
  size_t NibbleByte(size_t d, bool& high) const {
    if (!keys) {
      high = d % kKvGroup >= kKvGroup / 2;
      return slot * dim / 2 + d / kKvGroup * (kKvGroup / 2) + d % (kKvGroup / 2);
    }
    const size_t nibble = d % 8 / 2 + d % 2 * 4;
    high = nibble % 2 == 1;
    return (d / 8 * page_tokens + slot) * 4 + nibble / 2;
  }

  // Byte of the scale that all dims of a token share.
  size_t TokenScale() const { return page_tokens * dim * 2 + slot * 4; }

  // Byte of a group's scale.
  size_t Scale(size_t group) const {
    const size_t values = page_tokens * dim / (type == KvType::kQ8 ? 1 : 2);
    return values + 2 * (keys ? group * page_tokens + slot : slot * n_groups() + group);
  }
};

void StoreGroup(const Place& place, size_t first, const float* x, std::byte* head) {
  switch (place.type) {
    case KvType::kF32:
      for (size_t i = 0; i < kKvGroup; ++i) PutFloat(head + place.Element(first + i) * 4, x[i]);
      return;
    case KvType::kF16:
      for (size_t i = 0; i < kKvGroup; ++i) Put16(head + place.Element(first + i) * 2, StoredF16(x[i]));
      return;
    case KvType::kBF16:
      for (size_t i = 0; i < kKvGroup; ++i) Put16(head + place.Element(first + i) * 2, F32ToBf16(x[i]));
      return;
    case KvType::kI16:  // StoreFixed
    case KvType::kQ8:
    case KvType::kQ4:
      break;
  }
  const Group group = Quantize(place.type, x);
  Put16(head + place.Scale(first / kKvGroup), F32ToF16(group.scale));
  for (size_t i = 0; i < kKvGroup; ++i) {
    const auto q = static_cast<int>(group.values[i]);
    if (place.type == KvType::kQ8) {
      head[place.Byte(first + i)] = static_cast<std::byte>(q);
      continue;
    }
    bool high = false;
    std::byte& both = head[place.NibbleByte(first + i, high)];
    const auto nibble = static_cast<std::byte>(q + 8);
    both = high ? (both & std::byte{0x0F}) | nibble << 4 : (both & std::byte{0xF0}) | nibble;
  }
}

// All n dims of a head; the filling is zero.
void StoreFixed(const Place& place, const float* x, size_t n, std::byte* head) {
  int16_t integers[kMaxHeadDim] = {};
  PutFloat(head + place.TokenScale(), Kernels().to_fixed16(x, static_cast<int64_t>(n), integers));
  if (place.keys) {  // pairs of dims lie together
    for (size_t d = 0; d < place.dim; d += 2) std::memcpy(head + place.Element(d) * 2, integers + d, 4);
  } else {
    for (size_t d = 0; d < place.dim; ++d) Put16(head + place.Element(d) * 2, static_cast<uint16_t>(integers[d]));
  }
}

float LoadOne(const Place& place, size_t d, const std::byte* head) {
  switch (place.type) {
    case KvType::kF32:
      return GetFloat(head + place.Element(d) * 4);
    case KvType::kF16:
      return F16ToF32(Get16(head + place.Element(d) * 2));
    case KvType::kBF16:
      return Bf16ToF32(Get16(head + place.Element(d) * 2));
    case KvType::kI16:
      return GetFloat(head + place.TokenScale()) *
             static_cast<float>(static_cast<int16_t>(Get16(head + place.Element(d) * 2)));
    case KvType::kQ8:
    case KvType::kQ4:
      break;
  }
  const float scale = F16ToF32(Get16(head + place.Scale(d / kKvGroup)));
  if (place.type == KvType::kQ8) return scale * static_cast<float>(static_cast<int8_t>(head[place.Byte(d)]));
  bool high = false;
  const auto both = static_cast<int>(head[place.NibbleByte(d, high)]);
  return scale * static_cast<float>((high ? both >> 4 : both & 15) - 8);
}

Place PlaceOf(const KvLayout& layout, bool keys, int slot) {
  QUERN_DCHECK(slot >= 0 && slot < layout.page_tokens);
  return {.type = keys ? layout.types.k : layout.types.v,
          .keys = keys,
          .page_tokens = static_cast<size_t>(layout.page_tokens),
          .dim = static_cast<size_t>(layout.padded_dim()),
          .slot = static_cast<size_t>(slot)};
}

void Store(const KvLayout& layout, bool keys, std::byte* page, int slot, const float* heads) {
  QUERN_CHECK(layout.padded_dim() <= kMaxHeadDim);
  const Place place = PlaceOf(layout, keys, slot);
  const size_t head_bytes = layout.head_bytes(place.type);
  const auto n = static_cast<size_t>(layout.head_dim);
  for (size_t head = 0; head < static_cast<size_t>(layout.n_kv_heads); ++head) {
    const float* x = heads + head * n;
    if (place.type == KvType::kI16) {
      StoreFixed(place, x, n, page + head * head_bytes);
      continue;
    }
    for (size_t first = 0; first < place.dim; first += kKvGroup) {
      if (first + kKvGroup <= n) {
        StoreGroup(place, first, x + first, page + head * head_bytes);
      } else {
        float filled[kKvGroup] = {};
        std::copy(x + first, x + n, filled);
        StoreGroup(place, first, filled, page + head * head_bytes);
      }
    }
  }
}

void Load(const KvLayout& layout, bool keys, const std::byte* page, int slot, float* heads) {
  const Place place = PlaceOf(layout, keys, slot);
  const size_t head_bytes = layout.head_bytes(place.type);
  const auto n = static_cast<size_t>(layout.head_dim);
  for (size_t head = 0; head < static_cast<size_t>(layout.n_kv_heads); ++head) {
    for (size_t d = 0; d < n; ++d) heads[head * n + d] = LoadOne(place, d, page + head * head_bytes);
  }
}

}  // namespace

std::string_view KvTypeName(KvType type) {
  switch (type) {
    case KvType::kF32:
      return "f32";
    case KvType::kF16:
      return "f16";
    case KvType::kBF16:
      return "bf16";
    case KvType::kI16:
      return "i16";
    case KvType::kQ8:
      return "q8";
    case KvType::kQ4:
      return "q4";
  }
  return "unknown";
}

size_t KvBytes(KvType type, size_t dim) {
  switch (type) {
    case KvType::kF32:
      return 4 * dim;
    case KvType::kF16:
    case KvType::kBF16:
      return 2 * dim;
    case KvType::kI16:
      return 2 * dim + sizeof(float);
    case KvType::kQ8:
      return dim + dim / kKvGroup * 2;
    case KvType::kQ4:
      return dim / 2 + dim / kKvGroup * 2;
  }
  return 0;
}

size_t KvLayout::head_bytes(KvType type) const {
  return static_cast<size_t>(page_tokens) * KvBytes(type, static_cast<size_t>(padded_dim()));
}

void StoreKeys(const KvLayout& layout, std::byte* page, int slot, const float* heads) {
  Store(layout, true, page, slot, heads);
}
void StoreValues(const KvLayout& layout, std::byte* page, int slot, const float* heads) {
  Store(layout, false, page, slot, heads);
}
void LoadKeys(const KvLayout& layout, const std::byte* page, int slot, float* heads) {
  Load(layout, true, page, slot, heads);
}
void LoadValues(const KvLayout& layout, const std::byte* page, int slot, float* heads) {
  Load(layout, false, page, slot, heads);
}

}  // namespace quern::kernels
