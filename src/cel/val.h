// Val: what an expression computes with. 24 bytes, copied freely, owning nothing: texts, lists and
// maps lie in the arena of the Run that made them, in the program (constants), or in the API object
// that is looked at, which is wrapped and never copied.
//
// Lifetime: as long as the Run, the program and the objects bound to it. Threads: as its Run.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "machinery/instant.h"
#include "machinery/value.h"

namespace keles::cel {

class Run;
class Val;
struct DeclType;
struct ListBody;
struct MapBody;

// A map whose fields are made when they are asked for: `variables` of an admission policy, a
// request's attributes. The owner outlives the Run and keeps what it made.
class LazyFields {
 public:
  virtual ~LazyFields() = default;
  // False when there is no such field. A field that failed is an error value.
  virtual bool find(Run& run, std::string_view name, Val& out) const = 0;
  virtual size_t size() const = 0;
  virtual std::string_view name_at(size_t i) const = 0;
};

// A library's own value. Lies in a Run's arena (no destructor runs) or is constant.
struct Opaque {
  enum class Kind : uint8_t {
    kIp,
    kCidr,
    kQuantity,
    kUrl,
    kSemver,
    kFormat,
    kAuthorizer,
    kPathCheck,
    kGroupCheck,
    kResourceCheck,
    kDecision,
    kObject,  // made by an expression: Object{...}, JSONPatch{...}
  };
  explicit Opaque(Kind k) : kind(k) {}
  Kind kind;
};

class Val {
 public:
  enum class Tag : uint8_t {
    kUnset,  // a variable that has no value
    kError,
    kNull,
    kBool,
    kInt,
    kUint,
    kDouble,
    kString,
    kBytes,
    kTimestamp,
    kDuration,
    kType,
    kList,
    kMap,
    kOptional,
    kOpaque,
    kPreserved,  // data of no declared type: can only be compared
  };
  // Where a list or a map is.
  enum class Store : uint8_t { kNode, kMade, kLazy };

  Val() : Val(Tag::kUnset) {}
  static Val null() { return Val(Tag::kNull); }
  static Val boolean(bool b) {
    Val v(Tag::kBool);
    v.u_.b = b;
    return v;
  }
  static Val integer(int64_t i) {
    Val v(Tag::kInt);
    v.u_.i = i;
    return v;
  }
  static Val unsigned_integer(uint64_t u) {
    Val v(Tag::kUint);
    v.u_.u = u;
    return v;
  }
  static Val real(double d) {
    Val v(Tag::kDouble);
    v.u_.d = d;
    return v;
  }
  // The text is not copied.
  static Val string(std::string_view s) { return text_of(Tag::kString, s); }
  static Val bytes(std::string_view s) { return text_of(Tag::kBytes, s); }
  static Val error(std::string_view message) { return text_of(Tag::kError, message); }
  static Val type(std::string_view name) { return text_of(Tag::kType, name); }
  static Val duration(int64_t nanos) {
    Val v(Tag::kDuration);
    v.u_.i = nanos;
    return v;
  }
  // `offset`: the zone in which it is printed, seconds east of UTC.
  static Val timestamp(Instant t, int64_t offset = 0) {
    Val v(Tag::kTimestamp);
    v.u_.i = t.seconds;
    v.size_ = static_cast<uint32_t>(t.nanos);
    v.aux_.offset = offset;
    return v;
  }
  static Val list(const ListBody* body, size_t size) {
    Val v(Tag::kList, Store::kMade, size);
    v.u_.list = body;
    return v;
  }
  static Val map(const MapBody* body, size_t size) {
    Val v(Tag::kMap, Store::kMade, size);
    v.u_.map = body;
    return v;
  }
  static Val lazy(const LazyFields* fields) {
    Val v(Tag::kMap, Store::kLazy, fields->size());
    v.u_.lazy = fields;
    return v;
  }
  // A list or map of an API object; `type` null: data without a schema.
  static Val node(Tag tag, const Value& node, const DeclType* type) {
    Val v(tag, Store::kNode, node.size());
    v.u_.node = &node;
    v.aux_.type = type;
    return v;
  }
  static Val optional(const Val* value) {  // null: none
    Val v(Tag::kOptional);
    v.u_.val = value;
    return v;
  }
  static Val opaque(const Opaque* o) {
    Val v(Tag::kOpaque);
    v.u_.opaque = o;
    return v;
  }

  Tag tag() const { return tag_; }
  bool is(Tag t) const { return tag_ == t; }
  bool is_error() const { return tag_ == Tag::kError; }
  bool is_true() const { return tag_ == Tag::kBool && u_.b; }
  bool is_false() const { return tag_ == Tag::kBool && !u_.b; }
  bool is_opaque(Opaque::Kind k) const { return tag_ == Tag::kOpaque && u_.opaque->kind == k; }

  // Each for its own tag only.
  bool as_bool() const { return u_.b; }
  int64_t as_int() const { return u_.i; }  // of a duration, nanoseconds
  uint64_t as_uint() const { return u_.u; }
  double as_double() const { return u_.d; }
  std::string_view text() const { return {u_.s, size_}; }  // string, bytes, error, type
  Instant as_timestamp() const { return {u_.i, size_}; }
  int64_t zone_offset() const { return aux_.offset; }
  Store store() const { return store_; }
  size_t size() const { return size_; }  // of a list or map
  const ListBody* list_body() const { return u_.list; }
  const MapBody* map_body() const { return u_.map; }
  const LazyFields* lazy_fields() const { return u_.lazy; }
  const Value& value_node() const { return *u_.node; }
  const DeclType* decl() const { return aux_.type; }
  const Val* inner() const { return u_.val; }
  template <class T>
  const T& opaque_as() const {
    return *static_cast<const T*>(u_.opaque);
  }
  const Opaque* opaque_body() const { return u_.opaque; }

 private:
  explicit Val(Tag t, Store s = Store::kMade, size_t size = 0)
      : tag_(t), store_(s), size_(static_cast<uint32_t>(size)) {
    u_.i = 0;
    aux_.offset = 0;
  }
  static Val text_of(Tag tag, std::string_view s) {
    Val v(tag, Store::kMade, s.size());
    v.u_.s = s.data();
    return v;
  }
  Tag tag_;
  Store store_;
  uint32_t size_;
  union {
    bool b;
    int64_t i;
    uint64_t u;
    double d;
    const char* s;
    const ListBody* list;
    const MapBody* map;
    const LazyFields* lazy;
    const Value* node;
    const Val* val;
    const Opaque* opaque;
  } u_;
  union {
    const DeclType* type;
    int64_t offset;
  } aux_;
};
static_assert(sizeof(Val) == 24);

// The elements of a list that was made. A Val says how many of them are its own: appending to the
// list that reaches the end writes behind it and leaves every older Val as it was.
struct ListBody {
  Val* data;
  mutable uint32_t used;
  uint32_t capacity;
};
struct MapEntry {
  Val key, value;
};
struct MapBody {
  MapEntry* data;
  mutable uint32_t used;
  uint32_t capacity;
  uint32_t* index;  // null while small: slots hold an entry's number + 1, or 0
  uint32_t index_mask;
};

// --- What every value can ----------------------------------------------------------------------

// "int", "list", "google.protobuf.Timestamp", "kubernetes.Quantity".
std::string_view type_name(const Val& v);
// As messages show it: a string as it is, a list as [1, 2].
std::string to_display(Run& run, const Val& v);

// A piece of an API object as CEL sees it under its declared type (null: as JSON has it).
Val wrap(Run& run, const Value& node, const DeclType* type);

// Elements; `i` must be below the size.
Val list_at(Run& run, const Val& list, size_t i);
// True and the value, or an error in `out`; false when there is no such key.
bool map_find(Run& run, const Val& map, const Val& key, Val& out);
// The keys of a map in a fixed order; fields of an object that CEL cannot name are left out.
std::span<const Val> map_keys(Run& run, const Val& map);

// What tells an element of a set, or of a list of maps, from the others, as one text.
std::string correlation_key(Run& run, const Val& element, const DeclType& list);

// A bool, or an error. Numbers are equal across their types; values of other types never are.
Val equal(Run& run, const Val& a, const Val& b);
// -1, 0, 1, or an error where there is no order.
Val compare(Run& run, const Val& a, const Val& b);
bool comparable(const Val& v);

// `size(v)`; -1 of what has none.
int64_t size_of(const Val& v);

}  // namespace keles::cel
