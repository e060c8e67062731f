// The API as data: descriptors of every kind, type and field. The build compiles them from api/
// into constant tables; a custom resource builds the same descriptors at run time. Decoding,
// validation, defaulting, protobuf, patches, discovery, OpenAPI, tables and typed accessors all
// follow from them. Immutable; any thread may read.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace keles {

class Arena;
struct Document;

enum class FieldType : uint8_t {
  kString,
  kBool,
  kInt32,
  kInt64,
  kUint32,
  kUint64,
  kDouble,
  kFloat,
  kBytes,        // base64 text in the tree
  kQuantity,     // canonical text; protobuf message {string = 1}
  kTime,         // RFC 3339, seconds; protobuf Timestamp {seconds, nanos}
  kMicroTime,    // RFC 3339, microseconds
  kDuration,     // Go duration text ("1h2m0s"); protobuf int64 nanoseconds
  kIntOrString,  // int or string; protobuf {type, intVal, strVal}
  kRaw,          // any JSON; protobuf {bytes raw = 1} (RawExtension, JSON, FieldsV1, ...)
  kMessage,
  kEnum,  // CRI and etcd only: a name in the tree, a number on the wire
};
enum class Cardinality : uint8_t {
  kSingle,
  kList,
  kMap
};  // a map's keys are strings (CRI and etcd too)
enum class ListType : uint8_t { kAtomic, kSet, kMap };

struct TypeDesc;
struct ValueRules;
struct EditTarget;
class Value;

struct EnumValue {
  std::string_view name;
  int32_t number;
};
struct EnumDesc {
  std::string_view name;
  std::span<const EnumValue> values;
  // "" for a number that the enum does not know; 0 for a name that it does not know.
  std::string_view name_of(int32_t number) const;
  int32_t number_of(std::string_view name) const;
};

struct FieldDesc {
  std::string_view name;  // JSON name
  FieldType type;
  Cardinality cardinality;
  ListType list_type;
  bool list_atomic;    // x-kubernetes-list-type: atomic is said, not assumed
  bool map_atomic;     // x-kubernetes-map-type: atomic
  bool embedded;       // Protobuf: belongs to a nested message (see number)
  bool required;       // OpenAPI's required
  bool omit_empty;     // JSON leaves the zero value out
  bool pointer;        // Go pointer: explicit presence, also in protobuf
  bool wrapped;        // a list inside a message of its own: {repeated items = 1}
  bool nullable;       // null is a value of it and stays (schemas only)
  bool keeps_unknown;  // x-kubernetes-preserve-unknown-fields: what no field describes stays
  // Protobuf: the field's number inside its own message; 0 when it has none. Where Go embeds a
  // struct inline, JSON has the fields flattened and protobuf nests them: see TypeDesc::wire.
  uint16_t number;
  const TypeDesc* message;      // kMessage: the element's type
  const EnumDesc* enumeration;  // kEnum
  // What an item of the list or a value of the map is, where type and message do not say all: rules
  // of its own, a default for null, or a list or map in its turn (`message` has the form kValue
  // then, and this is its one field). Else null: it is a single `type`.
  const FieldDesc* element;
  const ValueRules* rules;        // what a value must be beyond its type (value_rules.h), or null
  const Value* default_value;     // the default, parsed (schemas only); else see default_json
  std::string_view default_json;  // "" when none
  std::span<const std::string_view> enum_values;
  std::span<const std::string_view> list_map_keys;
  std::string_view patch_strategy;  // "", "merge", "replace", "retainKeys", "merge,retainKeys"
  std::string_view patch_merge_key;
  std::string_view oneof;  // CRI and etcd: the group of which at most one is set
  std::string_view doc;    // one line for `kubectl explain`, or ""
};

// One entry of a message's protobuf layout: a field, or a nested message that JSON flattens.
struct WireEntry {
  uint16_t number;
  int16_t field;            // index into TypeDesc::fields, or -1
  uint16_t embedded_count;  // with -1: the nested message's entries, by number
  const WireEntry* embedded;
};

// How a type's value looks in JSON, where it is not an object with the type's fields.
enum class Form : uint8_t {
  kObject,
  kItems,            // a list of scalars; protobuf {repeated items = 1}
  kSchemaOrArray,    // apiextensions: a schema, or a list of schemas
  kSchemaOrBool,     // a schema, or a bool
  kSchemaOrStrings,  // a schema, or a list of strings
  kValue             // what its one field is: a list in a list, a map in a map (schemas only)
};

// Fills what a value of the type leaves open beyond constant defaults
// (src/machinery/default_hooks).
using DefaultHook = void (*)(EditTarget);

struct TypeDesc {
  std::string_view name;              // "io.k8s.api.core.v1.PodSpec"
  std::span<const FieldDesc> fields;  // in JSON output order
  std::span<const uint16_t> by_name;  // indices of `fields`, sorted by name
  std::span<const WireEntry> wire;    // by number
  Form form;
  bool proto3;        // zero scalars are not on the wire, numbers are packed (CRI, etcd)
  bool map_atomic;    // x-kubernetes-map-type: atomic
  bool has_defaults;  // it or something inside it has a default
  bool has_rules;     // it or something inside it has rules (built-in types only)
  // A type of a custom resource, compiled from its schema (structural_schema.h): members that no
  // field describes are dropped or kept as said here, values of a wrong type are found by the rules
  // and not by decoding, and JSON has its members sorted by name.
  bool from_schema;
  bool keeps_unknown;           // x-kubernetes-preserve-unknown-fields
  bool embedded_resource;       // an object with apiVersion, kind and metadata of its own
  const FieldDesc* additional;  // what members without a field are; null: they are dropped
  const ValueRules* rules;      // of a whole value of the type, or null
  DefaultHook default_hook;
  std::string_view doc;
  const FieldDesc* find(std::string_view json_name) const;
  const FieldDesc* find_number(uint16_t number) const;  // not those of embedded messages
  int index_of(std::string_view json_name) const;       // -1 when there is none
};

struct SubresourceDesc {
  std::string_view name;                  // "status", "scale", "binding", "log", ...
  std::string_view kind, group, version;  // of the body, when not the parent's
  std::span<const std::string_view> verbs;
};

struct ColumnDesc {  // a print column of `kubectl get` (meta.k8s.io Table)
  std::string_view name, type, format, description;
  int priority;
  // Dotted path, or a JSONPath without braces; "" when a cell hook computes it.
  std::string_view path;
};

struct KindDesc;
struct KindFacts;

// Who made kinds while the process runs (those of one CustomResourceDefinition, together; see
// custom_kind.h). It is counted, and goes with the last who holds one of its kinds: catalogs,
// objects, trees, requests, watches. Built-in kinds have none: they stay. Any thread.
class KindOwner {
 public:
  KindOwner() = default;
  KindOwner(const KindOwner&) = delete;
  void retain() const { holders_.fetch_add(1, std::memory_order_relaxed); }
  // False when it is just going: nobody holds it any more.
  bool retain_if_held() const {
    uint32_t n = holders_.load(std::memory_order_relaxed);
    while (n != 0) {
      if (holders_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void release() const {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  // The type of its kind, compiled from its schema when it is first asked for. Lives as it does.
  virtual const TypeDesc& type_of(const KindDesc& kind) const = 0;
  // Brings the tree of a stored record into the form in which the kind shows it. It may be of
  // another version of the kind, if those differ by their name alone.
  virtual void bind(const KindDesc& kind, Document& doc) const = 0;

 protected:
  virtual ~KindOwner() = default;

 private:
  mutable std::atomic<uint32_t> holders_{0};
};

// The type of a kind: a constant, or made when somebody looks.
class TypeRef {
 public:
  constexpr TypeRef() = default;
  constexpr TypeRef(const TypeDesc* type) : type_(type) {}  // NOLINT(implicit)
  constexpr explicit TypeRef(const KindDesc* made_by_its_owner) : kind_(made_by_its_owner) {}
  constexpr operator const TypeDesc*() const { return type_ ? type_ : made(); }  // NOLINT(implicit)
  constexpr const TypeDesc* operator->() const { return *this; }
  constexpr const TypeDesc& operator*() const { return *operator->(); }

 private:
  const TypeDesc* made() const;  // null when there is none
  const TypeDesc* type_ = nullptr;
  const KindDesc* kind_ = nullptr;
};

struct KindDesc {
  std::string_view group, version, kind, list_kind, plural, singular;
  bool namespaced;
  std::span<const std::string_view> short_names, categories, verbs;
  std::span<const SubresourceDesc> subresources;
  std::span<const ColumnDesc> columns;
  std::span<const std::string_view>
      selectable_fields;  // besides metadata.name and metadata.namespace
  TypeRef type;
  std::string_view api_version() const { return api_version_; }        // "v1", "apps/v1"
  std::string_view group_resource() const { return group_resource_; }  // "pods", "deployments.apps"
  std::string_view api_version_, group_resource_;
  bool bare;                         // its JSON carries no kind and apiVersion (WatchEvent)
  bool is_list;                      // PodList, ...: `items` of the kind without "List"
  const KindFacts* facts = nullptr;  // what the server does differently for it (kind_facts.h)
  // Of a custom kind. Its objects are stored as JSON and have no protobuf form, and whoever keeps
  // the descriptor holds its owner (KindRef, hold_kind). Null: built-in.
  const KindOwner* owner = nullptr;
  const SubresourceDesc* subresource(std::string_view name) const;
};

// A kind, held as long as this lives.
class KindRef {
 public:
  KindRef() = default;
  KindRef(const KindDesc* kind) : kind_(kind) {  // NOLINT(implicit)
    if (kind_ && kind_->owner) kind_->owner->retain();
  }
  KindRef(const KindRef& o) : KindRef(o.kind_) {}
  KindRef(KindRef&& o) noexcept : kind_(std::exchange(o.kind_, nullptr)) {}
  KindRef& operator=(KindRef o) noexcept {
    std::swap(kind_, o.kind_);
    return *this;
  }
  ~KindRef() {
    if (kind_ && kind_->owner) kind_->owner->release();
  }
  const KindDesc* get() const { return kind_; }
  const KindDesc* operator->() const { return kind_; }
  const KindDesc& operator*() const { return *kind_; }
  explicit operator bool() const { return kind_ != nullptr; }

 private:
  const KindDesc* kind_ = nullptr;
};

// The arena's trees may have views of the kind's names (keys, apiVersion, defaults): it holds the
// kind as long as it lives. Nothing to do for built-in ones.
void hold_kind(Arena& arena, const KindDesc& kind);

// Every built-in descriptor; what is served at a time is in the catalog (catalog.h). Lookups return
// nullptr when there is none. find_kind also finds lists
// ("PodList") and bodies without a resource ("Status", "DeleteOptions"); all_kinds and
// find_resource give served resources only, by group, version and plural.
const KindDesc* find_kind(std::string_view group, std::string_view version, std::string_view kind);
const KindDesc* find_kind(std::string_view api_version, std::string_view kind);
const KindDesc* find_resource(std::string_view group, std::string_view version,
                              std::string_view plural);
const TypeDesc* find_type(std::string_view name);
std::span<const KindDesc* const> all_kinds();

// The descriptor of a generated view, e.g. kind_of<api::core_v1::Pod>(). Specialised in api/*.h.
template <class T>
const KindDesc& kind_of();

}  // namespace keles
