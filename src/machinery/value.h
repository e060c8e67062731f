// Value: a compact tree of JSON-like data in an Arena; the one in-memory form of every API object.
//
// 16 bytes a node. Maps keep their members in insertion order and find by linear scan (API maps are
// small). Strings are views into the arena, or into memory that outlives it (literals,
// descriptors). Lifetime: a Value lives as long as its Document; moving a Document leaves its
// Values where they are. Threads: a Document that nobody changes may be read from any thread.
// Scalars that JSON writes as strings (Quantity, Time, bytes as base64) are strings here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/status.h"

namespace keles {

class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(Arena&& o) noexcept;
  Arena& operator=(Arena&& o) noexcept;
  Arena(const Arena&) = delete;
  void* allocate(size_t bytes, size_t align = 8);
  // A copy of `s` that lives as long as the arena.
  std::string_view copy(std::string_view s);
  size_t bytes_reserved() const { return reserved_; }
  // Keeps `owner` alive as long as the arena: for views into memory made elsewhere.
  void adopt(std::shared_ptr<const void> owner);
  // Whether it has adopted that one.
  bool holds(const void* owner) const;

 private:
  struct Block {
    Block* next;
    size_t size;
  };
  struct Adopted;
  void release();
  Block* head_ = nullptr;
  char* at_ = nullptr;
  char* end_ = nullptr;
  size_t reserved_ = 0;
  Adopted* adopted_ = nullptr;
};

struct Member;

class Value {
 public:
  enum class Kind : uint8_t { kNull, kBool, kInt, kDouble, kString, kList, kMap };

  Value() = default;
  Value(bool b) : kind_(Kind::kBool) { u_.b = b; }      // NOLINT(implicit)
  Value(int64_t i) : kind_(Kind::kInt) { u_.i = i; }    // NOLINT(implicit)
  Value(int i) : Value(static_cast<int64_t>(i)) {}      // NOLINT(implicit)
  Value(double d) : kind_(Kind::kDouble) { u_.d = d; }  // NOLINT(implicit)
  // Not copied: the text must outlive the document (see Arena::copy).
  static Value string(std::string_view s);
  static Value list() { return Value(Kind::kList); }
  static Value map() { return Value(Kind::kMap); }

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_bool() const { return kind_ == Kind::kBool; }
  bool is_int() const { return kind_ == Kind::kInt; }
  bool is_double() const { return kind_ == Kind::kDouble; }
  bool is_number() const { return is_int() || is_double(); }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_list() const { return kind_ == Kind::kList; }
  bool is_map() const { return kind_ == Kind::kMap; }

  // The value, or the type's zero when it is something else.
  bool as_bool() const { return is_bool() && u_.b; }
  // A double without its fraction; beyond int64, the end that is nearer.
  int64_t as_int() const { return is_int() ? u_.i : is_double() ? whole(u_.d) : 0; }
  double as_double() const { return is_double() ? u_.d : is_int() ? static_cast<double>(u_.i) : 0; }
  std::string_view as_string() const {
    return is_string() ? std::string_view(u_.s, size_) : std::string_view();
  }

  // Elements of a list, members of a map; empty for anything else.
  std::span<const Value> items() const;
  std::span<Value> items();
  std::span<const Member> members() const;
  std::span<Member> members();
  size_t size() const { return is_list() || is_map() ? size_ : 0; }
  bool empty() const { return size() == 0; }

  // Null (a shared constant) when absent, so that look-ups chain:
  // v["metadata"]["name"].as_string().
  const Value& operator[](std::string_view key) const;
  const Value& at(size_t i) const;
  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);

  // Changes. The key and strings in `v` are not copied (see Arena::copy). A value of another kind
  // becomes an empty map / list first.
  Value& set(Arena& a, std::string_view key, Value v);  // replaces or appends
  Value& get_or_add(Arena& a, std::string_view key);    // appends null
  bool erase(std::string_view key);                     // keeps the order of the rest
  Value& append(Arena& a, Value v);
  // Appends without looking for `key`, which must be new: for decoders that know it is.
  Member& append_member(Arena& a, std::string_view key, Value v);
  // Room for n elements at once; the value must be a list / a map.
  void reserve_items(Arena& a, size_t n) { reserve_exactly(a, n, sizeof(Value)); }
  void reserve_members(Arena& a, size_t n);
  void erase_at(size_t i);
  void truncate(size_t n);
  void clear() { size_ = is_list() || is_map() ? 0 : size_; }

  // Structural equality; maps compare without regard to order; 1 and 1.0 are equal.
  bool equals(const Value& o) const;
  static const Value& null();

 private:
  explicit Value(Kind k) : kind_(k) { u_.p = nullptr; }
  static int64_t whole(double d) {
    if (!(d >= -0x1p63)) return d < 0 ? INT64_MIN : 0;  // 0 of what is no number
    return d < 0x1p63 ? static_cast<int64_t>(d) : INT64_MAX;
  }
  Kind kind_ = Kind::kNull;
  uint32_t size_ = 0;  // bytes of a string, elements of a list, members of a map
  union {
    bool b;
    int64_t i;
    double d;
    const char* s;
    void* p;  // Value[] or Member[], its capacity in the 8 bytes before
  } u_{.i = 0};
  void reserve(Arena& a, size_t n, size_t element);
  void reserve_exactly(Arena& a, size_t n, size_t element);
};
static_assert(sizeof(Value) == 16);

struct Member {
  const char* key_data;
  uint64_t key_size;
  Value value;
  std::string_view key() const { return {key_data, key_size}; }
};

// A deep copy of `v` into `a`, strings included.
Value deep_copy(Arena& a, const Value& v);

// A tree and the arena that holds it.
struct Document {
  Arena arena;
  Value root;
  Document() = default;
  Document(Document&& o) noexcept : arena(std::move(o.arena)), root(o.root) { o.root = Value(); }
  Document& operator=(Document&& o) noexcept {
    arena = std::move(o.arena);
    root = std::exchange(o.root, Value());
    return *this;
  }
  Document clone() const;
};
using DocumentPtr = std::shared_ptr<const Document>;

// --- Typed views -------------------------------------------------------------------------------
//
// From the description the build generates, per group/version, a header "api/GROUP_VERSION.h"
// (api/core_v1.h, api/apps_v1.h, api/meta_v1.h, ...) in namespace keles::api::core_v1 etc.
// Each type T has a read view `T` and a write view `TEdit`:
//
//   class Container : public View {
//     bool has_name() const;  std::string_view name() const;          // string-like: "" when
//     absent bool has_tty() const;   bool tty() const;                        // bool / int64_t /
//     double: zero when absent Probe liveness_probe() const;                                    //
//     message: a view, false in bool context when absent List<EnvVar> env() const;
//     List<std::string_view> args() const;   // range-for, size(), [i] Map<std::string_view> ... //
//     range-for over {key, value}, find(key) -> optional, get(key)
//   };
//   class ContainerEdit : public Container {
//     void set_name(std::string_view);  void set_tty(bool);            // strings are copied into
//     the arena void clear_name(); ProbeEdit edit_liveness_probe(); // made when absent
//     ListEdit<EnvVarEdit> edit_env();                                 // add() -> EnvVarEdit,
//     size, [i], erase_at, clear MapEdit edit_labels(); // set(key, value), erase(key) void
//     set_affinity(const Affinity&);                              // deep copy
//   };
//
// snake_case of the JSON name; C++ keywords get a trailing underscore (namespace_, default_,
// operator_). IntOrString and raw JSON fields are returned as `const Value&` and set with
// set_x(const Value&).
class View {
 public:
  View() : v_(&Value::null()) {}
  explicit View(const Value& v) : v_(&v) {}
  const Value& value() const { return *v_; }
  explicit operator bool() const { return !v_->is_null(); }

 protected:
  const Value* v_;
};

// A scalar or message element read as T.
template <class T>
T read_as(const Value& v) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return v.as_string();
  } else if constexpr (std::is_same_v<T, bool>) {
    return v.as_bool();
  } else if constexpr (std::is_same_v<T, double>) {
    return v.as_double();
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(v.as_int());
  } else {
    return T(v);
  }
}

template <class T>
class List : public View {
 public:
  using View::View;
  size_t size() const { return v_->items().size(); }
  bool empty() const { return size() == 0; }
  T operator[](size_t i) const { return read_as<T>(v_->at(i)); }
  struct Iterator {
    const Value* at;
    T operator*() const { return read_as<T>(*at); }
    Iterator& operator++() {
      ++at;
      return *this;
    }
    bool operator==(const Iterator&) const = default;
  };
  Iterator begin() const { return {v_->items().data()}; }
  Iterator end() const { return {v_->items().data() + v_->items().size()}; }
};

template <class T>
class Map : public View {
 public:
  using View::View;
  struct Entry {
    std::string_view key;
    T value;
  };
  size_t size() const { return v_->members().size(); }
  bool empty() const { return size() == 0; }
  bool contains(std::string_view key) const { return v_->find(key) != nullptr; }
  T get(std::string_view key) const { return read_as<T>((*v_)[key]); }
  struct Iterator {
    const Member* at;
    Entry operator*() const { return {at->key(), read_as<T>(at->value)}; }
    Iterator& operator++() {
      ++at;
      return *this;
    }
    bool operator==(const Iterator&) const = default;
  };
  Iterator begin() const { return {v_->members().data()}; }
  Iterator end() const { return {v_->members().data() + v_->members().size()}; }
};

// Where an edit writes: a node and the arena that owns it.
struct EditTarget {
  Value* value = nullptr;
  Arena* arena = nullptr;
};

inline Value to_value(Arena& a, std::string_view s) { return Value::string(a.copy(s)); }
inline Value to_value(Arena&, bool b) { return Value(b); }
inline Value to_value(Arena&, int64_t i) { return Value(i); }
inline Value to_value(Arena&, double d) { return Value(d); }
inline Value to_value(Arena& a, const Value& v) { return deep_copy(a, v); }

// E is a generated TEdit (constructible from EditTarget), or a scalar.
template <class E>
class ListEdit {
 public:
  explicit ListEdit(EditTarget t) : t_(t) {
    if (!t_.value->is_list()) *t_.value = Value::list();
  }
  size_t size() const { return t_.value->items().size(); }
  bool empty() const { return size() == 0; }
  E operator[](size_t i) const {
    if constexpr (std::is_constructible_v<E, EditTarget>) {
      return E(EditTarget{&t_.value->items()[i], t_.arena});
    } else {
      return read_as<E>(t_.value->items()[i]);
    }
  }
  // A new empty message at the end. The view stays valid until the next add().
  E add() const requires std::is_constructible_v<E, EditTarget> {
    return E(EditTarget{&t_.value->append(*t_.arena, Value::map()), t_.arena});
  }
  void add(const View& v) const { t_.value->append(*t_.arena, deep_copy(*t_.arena, v.value())); }
  void add(std::string_view s) const { t_.value->append(*t_.arena, to_value(*t_.arena, s)); }
  void add(int64_t i) const { t_.value->append(*t_.arena, Value(i)); }
  void erase_at(size_t i) const { t_.value->erase_at(i); }
  void clear() const { t_.value->clear(); }

 private:
  EditTarget t_;
};

class MapEdit {
 public:
  explicit MapEdit(EditTarget t) : t_(t) {
    if (!t_.value->is_map()) *t_.value = Value::map();
  }
  template <class V>
  void set(std::string_view key, const V& v) const {
    Value copy;
    if constexpr (std::is_base_of_v<View, V>) {
      copy = deep_copy(*t_.arena, static_cast<const View&>(v).value());
    } else if constexpr (std::is_convertible_v<V, std::string_view>) {
      copy = to_value(*t_.arena, std::string_view(v));
    } else if constexpr (std::is_integral_v<V> && !std::is_same_v<V, bool>) {
      copy = Value(static_cast<int64_t>(v));
    } else {
      copy = to_value(*t_.arena, v);
    }
    if (Value* old = t_.value->find(key)) {
      *old = copy;
    } else {
      t_.value->set(*t_.arena, t_.arena->copy(key), copy);
    }
  }
  bool erase(std::string_view key) const { return t_.value->erase(key); }
  bool contains(std::string_view key) const { return t_.value->find(key) != nullptr; }
  std::string_view get(std::string_view key) const { return (*t_.value)[key].as_string(); }
  size_t size() const { return t_.value->members().size(); }
  void clear() const { t_.value->clear(); }

 private:
  EditTarget t_;
};

// An immutable object read as T: keeps the tree alive.
template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(DocumentPtr doc) : doc_(std::move(doc)), view_(doc_ ? T(doc_->root) : T()) {}
  const T* operator->() const { return &view_; }
  const T& operator*() const { return view_; }
  explicit operator bool() const { return doc_ != nullptr; }
  const DocumentPtr& document() const { return doc_; }

 private:
  DocumentPtr doc_;
  T view_;
};

// A new or copied object under construction. E is the write view: Draft<PodEdit> d; d->set_...
template <class E>
class Draft {
 public:
  Draft() : doc_(std::make_unique<Document>()), edit_(target()) {}
  explicit Draft(const View& from) : doc_(copy_of(from)), edit_(target()) {}
  explicit Draft(Document doc)
      : doc_(std::make_unique<Document>(std::move(doc))), edit_(target()) {}
  const E* operator->() const { return &edit_; }
  E* operator->() { return &edit_; }
  const E& operator*() const { return edit_; }
  E& operator*() { return edit_; }
  const Value& value() const { return doc_->root; }
  Document& document() { return *doc_; }
  // Gives the tree away; the draft is then empty.
  Document take() { return std::move(*doc_); }

 private:
  static std::unique_ptr<Document> copy_of(const View& from) {
    auto doc = std::make_unique<Document>();
    doc->root = deep_copy(doc->arena, from.value());
    return doc;
  }
  EditTarget target() { return {&doc_->root, &doc_->arena}; }
  std::unique_ptr<Document> doc_;
  E edit_;
};

}  // namespace keles
