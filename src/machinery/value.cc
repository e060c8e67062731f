#include "machinery/value.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <vector>

namespace keles {

namespace {
constexpr size_t kFirstBlockBytes = 1024;
constexpr size_t kMaxBlockBytes = 256 * 1024;
// A list's or map's capacity stands in the 8 bytes before its elements.
constexpr size_t kHeaderBytes = 8;

uint64_t capacity_of(const void* elements) {
  uint64_t n = 0;
  if (elements != nullptr) {
    std::memcpy(&n, static_cast<const char*>(elements) - kHeaderBytes, sizeof(n));
  }
  return n;
}
}  // namespace

struct Arena::Adopted {
  std::vector<std::shared_ptr<const void>> owners;
};

void Arena::release() {
  for (Block* b = head_; b != nullptr;) {
    Block* next = b->next;
    std::free(b);
    b = next;
  }
  delete adopted_;
  head_ = nullptr;
  at_ = end_ = nullptr;
  reserved_ = 0;
  adopted_ = nullptr;
}

Arena::~Arena() { release(); }

Arena::Arena(Arena&& o) noexcept
    : head_(std::exchange(o.head_, nullptr)),
      at_(std::exchange(o.at_, nullptr)),
      end_(std::exchange(o.end_, nullptr)),
      reserved_(std::exchange(o.reserved_, 0)),
      adopted_(std::exchange(o.adopted_, nullptr)) {}

Arena& Arena::operator=(Arena&& o) noexcept {
  if (this != &o) {
    release();
    head_ = std::exchange(o.head_, nullptr);
    at_ = std::exchange(o.at_, nullptr);
    end_ = std::exchange(o.end_, nullptr);
    reserved_ = std::exchange(o.reserved_, 0);
    adopted_ = std::exchange(o.adopted_, nullptr);
  }
  return *this;
}

void* Arena::allocate(size_t bytes, size_t align) {
  auto p = (reinterpret_cast<uintptr_t>(at_) + align - 1) & ~(uintptr_t{align} - 1);
  if (at_ != nullptr && p + bytes <= reinterpret_cast<uintptr_t>(end_)) {
    at_ = reinterpret_cast<char*>(p + bytes);
    return reinterpret_cast<void*>(p);
  }
  // Blocks double, so that a small object costs one small block and a large one few.
  size_t block = std::clamp(reserved_, kFirstBlockBytes, kMaxBlockBytes);
  const bool own_block = bytes + align + sizeof(Block) > block;
  if (own_block) block = bytes + align + sizeof(Block);
  auto* b = static_cast<Block*>(std::malloc(block));
  if (b == nullptr) throw std::bad_alloc();
  b->size = block;
  reserved_ += block;
  char* begin = reinterpret_cast<char*>(b) + sizeof(Block);
  p = (reinterpret_cast<uintptr_t>(begin) + align - 1) & ~(uintptr_t{align} - 1);
  if (own_block && head_ != nullptr) {
    // Behind the current block, whose rest stays in use.
    b->next = head_->next;
    head_->next = b;
    return reinterpret_cast<void*>(p);
  }
  b->next = head_;
  head_ = b;
  at_ = reinterpret_cast<char*>(p + bytes);
  end_ = reinterpret_cast<char*>(b) + block;
  return reinterpret_cast<void*>(p);
}

std::string_view Arena::copy(std::string_view s) {
  if (s.empty()) return {"", 0};
  auto* p = static_cast<char*>(allocate(s.size(), 1));
  std::memcpy(p, s.data(), s.size());
  return {p, s.size()};
}

void Arena::adopt(std::shared_ptr<const void> owner) {
  if (adopted_ == nullptr) adopted_ = std::make_unique<Adopted>().release();
  adopted_->owners.push_back(std::move(owner));
}

Value Value::string(std::string_view s) {
  Value v(Kind::kString);
  v.u_.s = s.data() == nullptr ? "" : s.data();
  v.size_ = static_cast<uint32_t>(s.size());
  return v;
}

std::span<const Value> Value::items() const {
  if (!is_list()) return {};
  return {static_cast<const Value*>(u_.p), size_};
}
std::span<Value> Value::items() {
  if (!is_list()) return {};
  return {static_cast<Value*>(u_.p), size_};
}
std::span<const Member> Value::members() const {
  if (!is_map()) return {};
  return {static_cast<const Member*>(u_.p), size_};
}
std::span<Member> Value::members() {
  if (!is_map()) return {};
  return {static_cast<Member*>(u_.p), size_};
}

const Value& Value::null() {
  static constinit const Value kNullValue;
  return kNullValue;
}

const Value* Value::find(std::string_view key) const {
  for (const Member& m : members()) {
    if (m.key() == key) return &m.value;
  }
  return nullptr;
}
Value* Value::find(std::string_view key) {
  return const_cast<Value*>(static_cast<const Value*>(this)->find(key));
}
const Value& Value::operator[](std::string_view key) const {
  const Value* v = find(key);
  return v != nullptr ? *v : null();
}
const Value& Value::at(size_t i) const {
  auto list = items();
  return i < list.size() ? list[i] : null();
}

void Value::reserve(Arena& a, size_t n, size_t element) {
  const uint64_t have = capacity_of(u_.p);
  if (n <= have) return;
  const uint64_t want = std::max<uint64_t>(n, have == 0 ? 4 : have * 2);
  auto* raw = static_cast<char*>(a.allocate(kHeaderBytes + want * element));
  std::memcpy(raw, &want, sizeof(want));
  if (size_ > 0) std::memcpy(raw + kHeaderBytes, u_.p, size_ * element);
  u_.p = raw + kHeaderBytes;
}

void Value::reserve_exactly(Arena& a, size_t n, size_t element) {
  if (n <= capacity_of(u_.p)) return;
  auto* raw = static_cast<char*>(a.allocate(kHeaderBytes + n * element));
  const uint64_t want = n;
  std::memcpy(raw, &want, sizeof(want));
  if (size_ > 0) std::memcpy(raw + kHeaderBytes, u_.p, size_ * element);
  u_.p = raw + kHeaderBytes;
}

void Value::reserve_members(Arena& a, size_t n) { reserve_exactly(a, n, sizeof(Member)); }

Value& Value::get_or_add(Arena& a, std::string_view key) {
  if (!is_map()) *this = map();
  if (Value* old = find(key)) return *old;
  reserve(a, size_ + 1, sizeof(Member));
  return (*::new (static_cast<Member*>(u_.p) + size_++)
              Member{key.data() == nullptr ? "" : key.data(), key.size(), Value()})
      .value;
}

Value& Value::set(Arena& a, std::string_view key, Value v) {
  Value& slot = get_or_add(a, key);
  slot = v;
  return slot;
}

bool Value::erase(std::string_view key) {
  auto all = members();
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].key() != key) continue;
    std::copy(all.begin() + i + 1, all.end(), all.begin() + i);
    --size_;
    return true;
  }
  return false;
}

Value& Value::append(Arena& a, Value v) {
  if (!is_list()) *this = list();
  reserve(a, size_ + 1, sizeof(Value));
  return *::new (static_cast<Value*>(u_.p) + size_++) Value(v);
}

Member& Value::append_member(Arena& a, std::string_view key, Value v) {
  if (!is_map()) *this = map();
  reserve(a, size_ + 1, sizeof(Member));
  return *::new (static_cast<Member*>(u_.p) + size_++)
      Member{key.data() == nullptr ? "" : key.data(), key.size(), v};
}

void Value::erase_at(size_t i) {
  if (is_map()) {
    auto all = members();
    if (i >= all.size()) return;
    std::copy(all.begin() + i + 1, all.end(), all.begin() + i);
  } else {
    auto all = items();
    if (i >= all.size()) return;
    std::copy(all.begin() + i + 1, all.end(), all.begin() + i);
  }
  --size_;
}

void Value::truncate(size_t n) {
  if ((is_list() || is_map()) && n < size_) size_ = static_cast<uint32_t>(n);
}

bool Value::equals(const Value& o) const {
  if (is_number() && o.is_number()) {
    if (is_int() && o.is_int()) return u_.i == o.u_.i;
    return as_double() == o.as_double();
  }
  if (kind_ != o.kind_) return false;
  switch (kind_) {
    case Kind::kBool:
      return u_.b == o.u_.b;
    case Kind::kString:
      return as_string() == o.as_string();
    case Kind::kList: {
      auto x = items();
      auto y = o.items();
      return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                        [](const Value& a, const Value& b) { return a.equals(b); });
    }
    case Kind::kMap: {
      auto x = members();
      auto y = o.members();
      if (x.size() != y.size()) return false;
      for (size_t i = 0; i < x.size(); ++i) {
        // Most maps that are compared have the same order.
        const Value* other = x[i].key() == y[i].key() ? &y[i].value : o.find(x[i].key());
        if (other == nullptr || !x[i].value.equals(*other)) return false;
      }
      return true;
    }
    default:
      return true;
  }
}

Value deep_copy(Arena& a, const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kString:
      return Value::string(a.copy(v.as_string()));
    case Value::Kind::kList: {
      Value out = Value::list();
      out.reserve_items(a, v.size());
      for (const Value& item : v.items()) out.append(a, deep_copy(a, item));
      return out;
    }
    case Value::Kind::kMap: {
      Value out = Value::map();
      out.reserve_members(a, v.size());
      for (const Member& m : v.members()) {
        out.append_member(a, a.copy(m.key()), deep_copy(a, m.value));
      }
      return out;
    }
    default:
      return v;
  }
}

Document Document::clone() const {
  Document out;
  out.root = deep_copy(out.arena, root);
  return out;
}

}  // namespace keles
