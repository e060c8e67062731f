#include "machinery/value.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <new>
#include <vector>

#include "machinery/value_steps.h"

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
  return n & ~(uint64_t{1} << 63);  // of a map, whether its table is stale
}

// A map of many members is found into by a table of positions (plus one; 0: free) that stands
// before its header: API maps are small, but whoever sends one of 100,000 keys shall not have
// 100,000 comparisons for each. It is made with the memory, grows with it, and is marked stale by
// what moves members; then searches go through all of them until a member is added.
constexpr uint64_t kIndexedFrom = 64;
constexpr uint64_t kStale = uint64_t{1} << 63;

uint64_t rotate(uint64_t x, int by) { return std::rotl(x, by); }

// SipHash-1-3, keyed once a process: keys are the sender's choice, so that which of them meet in
// the table must not be. What is found does not depend on it.
uint64_t hash_key(std::string_view key) {
  static const std::array<uint64_t, 2> secret = [] {
    std::array<uint64_t, 2> k = {0x6b656c6573, 0x76616c7565};
    if (getrandom(k.data(), sizeof k, 0) < 0) k[0] ^= reinterpret_cast<uintptr_t>(&k);
    return k;
  }();
  uint64_t a = secret[0] ^ 0x736f6d6570736575, b = secret[1] ^ 0x646f72616e646f6d;
  uint64_t c = secret[0] ^ 0x6c7967656e657261, d = secret[1] ^ 0x7465646279746573;
  auto round = [&] {
    a += b, b = rotate(b, 13) ^ a, a = rotate(a, 32);
    c += d, d = rotate(d, 16) ^ c;
    a += d, d = rotate(d, 21) ^ a;
    c += b, b = rotate(b, 17) ^ c, c = rotate(c, 32);
  };
  auto mix = [&](uint64_t word) {
    d ^= word;
    round();
    a ^= word;
  };
  size_t i = 0;
  for (; i + 8 <= key.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, key.data() + i, 8);
    mix(word);
  }
  uint64_t last = uint64_t{key.size()} << 56;
  for (int shift = 0; i < key.size(); ++i, shift += 8) {
    last |= uint64_t{static_cast<unsigned char>(key[i])} << shift;
  }
  mix(last);
  c ^= 0xff;
  round(), round(), round();
  return a ^ b ^ c ^ d;
}

uint64_t slots_for(uint64_t capacity) {
  return capacity < kIndexedFrom ? 0 : std::bit_ceil(capacity * 2);
}

char* header_of(void* elements) { return static_cast<char*>(elements) - kHeaderBytes; }

// The table of a map's members; empty when it has none, or none to rely on.
std::span<uint32_t> table_of(void* members) {
  if (members == nullptr) return {};
  uint64_t header = 0;
  std::memcpy(&header, header_of(members), sizeof header);
  const uint64_t slots = header & kStale ? 0 : slots_for(header);
  return {reinterpret_cast<uint32_t*>(header_of(members) - slots * sizeof(uint32_t)), slots};
}

void put_position(std::span<uint32_t> table, const Member* members, uint32_t at) {
  uint64_t slot = hash_key(members[at].key()) & (table.size() - 1);
  while (table[slot] != 0) slot = (slot + 1) & (table.size() - 1);
  table[slot] = at + 1;
}

void fill_table(std::span<uint32_t> table, const Member* members, uint32_t size) {
  std::fill(table.begin(), table.end(), 0);
  for (uint32_t i = 0; i < size; ++i) put_position(table, members, i);
}

void mark_stale(void* members, bool stale) {
  if (members == nullptr) return;
  uint64_t header = 0;
  std::memcpy(&header, header_of(members), sizeof header);
  if (slots_for(header & ~kStale) == 0) return;
  header = (header & ~kStale) | (stale ? kStale : 0);
  std::memcpy(header_of(members), &header, sizeof header);
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

bool Arena::holds(const void* owner) const {
  if (adopted_ == nullptr) return false;
  return std::any_of(adopted_->owners.begin(), adopted_->owners.end(),
                     [owner](const auto& o) { return o.get() == owner; });
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

namespace {

thread_local uint64_t steps = 0;

// Keys are short: mostly two words, which may overlap, say whether they are the same.
template <class Word>
const Value* find_in_order(std::span<const Member> all, std::string_view key) {
  const size_t n = key.size(), last = n - sizeof(Word);
  auto word = [](const char* at) {
    Word w;
    std::memcpy(&w, at, sizeof w);
    return w;
  };
  const Word head = word(key.data()), tail = word(key.data() + last);
  for (const Member& m : all) {
    if (m.key_size != n || word(m.key_data) != head || word(m.key_data + last) != tail) continue;
    if (n <= 2 * sizeof(Word) || std::memcmp(m.key_data, key.data(), n) == 0) return &m.value;
  }
  return nullptr;
}

const Value* find_in_table(std::span<const uint32_t> table, std::span<const Member> all,
                           std::string_view key) {
  uint64_t slot = hash_key(key) & (table.size() - 1);
  for (; table[slot] != 0; slot = (slot + 1) & (table.size() - 1)) {
    ++steps;
    const uint32_t at = table[slot] - 1;
    if (at < all.size() && all[at].key() == key) return &all[at].value;
  }
  return nullptr;
}

}  // namespace

uint64_t large_map_steps() { return steps; }

const Value* Value::find(std::string_view key) const {
  if (is_map() && size_ >= kIndexedFrom) {
    std::span<uint32_t> table = table_of(u_.p);
    if (!table.empty()) return find_in_table(table, members(), key);
    steps += size_;
  }
  if (key.size() >= 8) return find_in_order<uint64_t>(members(), key);
  if (key.size() >= 4) return find_in_order<uint32_t>(members(), key);
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
  if (n > have) reserve_exactly(a, std::max<uint64_t>(n, have == 0 ? 4 : have * 2), element);
}

void Value::reserve_exactly(Arena& a, size_t n, size_t element) {
  if (n <= capacity_of(u_.p)) return;
  const uint64_t want = n, table = element == sizeof(Member) ? slots_for(n) * sizeof(uint32_t) : 0;
  auto* raw = static_cast<char*>(a.allocate(table + kHeaderBytes + n * element)) + table;
  std::memcpy(raw, &want, sizeof(want));
  if (size_ > 0) std::memcpy(raw + kHeaderBytes, u_.p, size_ * element);
  u_.p = raw + kHeaderBytes;
  if (table > 0) fill_table(table_of(u_.p), static_cast<const Member*>(u_.p), size_);
}

void Value::reserve_members(Arena& a, size_t n) { reserve_exactly(a, n, sizeof(Member)); }

Value& Value::get_or_add(Arena& a, std::string_view key) {
  if (!is_map()) *this = map();
  if (Value* old = find(key)) return *old;
  return append_member(a, key, Value()).value;
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
    mark_stale(u_.p, true);
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
  auto* all = static_cast<Member*>(u_.p);
  Member& added =
      *::new (all + size_++) Member{key.data() == nullptr ? "" : key.data(), key.size(), v};
  std::span<uint32_t> table = table_of(u_.p);
  if (size_ == kIndexedFrom || (table.empty() && size_ > kIndexedFrom)) {
    // The first that a search would go by it for; or what has moved has come to rest.
    mark_stale(u_.p, false);
    fill_table(table_of(u_.p), all, size_);
  } else if (!table.empty() && size_ > kIndexedFrom) {
    put_position(table, all, size_ - 1);
  }
  return added;
}

void Value::erase_at(size_t i) {
  if (is_map()) {
    auto all = members();
    if (i >= all.size()) return;
    std::copy(all.begin() + i + 1, all.end(), all.begin() + i);
    mark_stale(u_.p, true);
  } else {
    auto all = items();
    if (i >= all.size()) return;
    std::copy(all.begin() + i + 1, all.end(), all.begin() + i);
  }
  --size_;
}

void Value::truncate(size_t n) {
  if ((!is_list() && !is_map()) || n >= size_) return;
  size_ = static_cast<uint32_t>(n);
  if (is_map()) mark_stale(u_.p, true);
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
