#include "cel/val.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>
#include <vector>

#include "base/encoding.h"
#include "cel/decl_type.h"
#include "cel/numbers.h"
#include "cel/opaque.h"
#include "cel/run.h"
#include "cel/source.h"
#include "cel/times.h"
#include "machinery/go_type.h"

namespace keles::cel {

bool map_find_made(Run& run, const Val& map, const Val& key, Val& out);  // run.cc

namespace {

using Tag = Val::Tag;
using Kind = DeclType::Kind;

constexpr std::string_view kNoOverload = "no such overload";

Val wrap_json(const Value& node) {
  switch (node.kind()) {
    case Value::Kind::kNull:
      return Val::null();
    case Value::Kind::kBool:
      return Val::boolean(node.as_bool());
    case Value::Kind::kInt:
      return Val::integer(node.as_int());
    case Value::Kind::kDouble:
      return Val::real(node.as_double());
    case Value::Kind::kString:
      return Val::string(node.as_string());
    case Value::Kind::kList:
      return Val::node(Tag::kList, node, nullptr);
    case Value::Kind::kMap:
      return Val::node(Tag::kMap, node, nullptr);
  }
  return Val::null();
}

Val wrong(Run& run, std::string_view expected, const Value& node) {
  return run.error("invalid data, expected " + std::string(expected) + ", got " +
                   std::string(go_type(node)));
}

Val wrap_text(Run& run, std::string_view text, Kind kind) {
  const auto bad = [&](std::string_view what) {
    return run.error("Invalid " + std::string(what) + " " + std::string(text));
  };
  switch (kind) {
    case Kind::kDuration: {
      int64_t nanos = 0;
      return parse_schema_duration(text, nanos) ? Val::duration(nanos) : bad("duration");
    }
    case Kind::kDate:
    case Kind::kDateTime: {
      ZonedTime t;
      if (!(kind == Kind::kDate ? parse_date(text, t) : parse_schema_time(text, t))) {
        return bad(kind == Kind::kDate ? "date formatted string" : "date-time formatted string");
      }
      return Val::timestamp(t.at, t.offset);
    }
    case Kind::kBytes: {
      const Result<std::string> decoded = base64_decode(text);
      return decoded.ok() ? Val::bytes(run.copy(*decoded)) : bad("byte formatted string");
    }
    default:
      return Val::string(text);
  }
}

// --- equality of API objects' parts ----------------------------------------------------------

// Both are lists that correlate by key: order does not count.
Val equal_keyed(Run& run, const Val& a, const Val& b) {
  const DeclType& type = *a.decl();
  std::unordered_map<std::string, size_t> at;
  for (size_t i = 0; i < a.size(); ++i) {
    at[correlation_key(run, list_at(run, a, i), type)] = i;
  }
  for (size_t i = 0; i < b.size(); ++i) {
    const Val other = list_at(run, b, i);
    const auto found = at.find(correlation_key(run, other, type));
    if (found == at.end()) return Val::boolean(false);
    if (type.list_type == DeclType::ListType::kSet) continue;
    const Val eq = equal(run, list_at(run, a, found->second), other);
    if (!eq.is_true()) return eq;
  }
  return Val::boolean(true);
}

Val equal_lists(Run& run, const Val& a, const Val& b) {
  const bool declared = a.store() == Val::Store::kNode && a.decl() != nullptr;
  if (!b.is(Tag::kList)) return declared ? Val::error(kNoOverload) : Val::boolean(false);
  if (a.size() != b.size()) return Val::boolean(false);
  if (declared && a.decl()->list_type != DeclType::ListType::kAtomic) {
    return equal_keyed(run, a, b);
  }
  for (size_t i = 0; i < a.size(); ++i) {
    const Val eq = equal(run, list_at(run, a, i), list_at(run, b, i));
    if (eq.is_false() || (declared && !eq.is_true())) return eq;
  }
  return Val::boolean(true);
}

// Objects and maps of the API, under the schema of `a`.
Val equal_declared(Run& run, const Val& a, const Val& b) {
  const DeclType& type = *a.decl();
  for (const Member& m : a.value_node().members()) {
    const DeclField* field = type.kind == Kind::kObject ? type.find(m.key()) : nullptr;
    const DeclType* value_type = type.kind == Kind::kObject
                                     ? (field == nullptr ? nullptr : field->type.get())
                                     : type.element.get();
    if (value_type == nullptr) {
      // A field that the schema does not know: compared as it is.
      if (b.store() != Val::Store::kNode) return Val::error(kNoOverload);
      const Value* other = run.member(b.value_node(), m.key());
      if (other != nullptr && !m.value.equals(*other)) return Val::boolean(false);
      continue;
    }
    const bool escaped = field != nullptr && !field->escaped.empty();
    const Val key = Val::string(escaped ? std::string_view(field->escaped) : m.key());
    Val mine, other;
    const bool found = map_find(run, a, key, mine);
    if (found != map_find(run, b, key, other)) return Val::boolean(false);
    if (!found) continue;
    const Val eq = equal(run, mine, other);
    if (!eq.is_true()) return eq;
  }
  return Val::boolean(true);
}

Val equal_maps(Run& run, const Val& a, const Val& b) {
  const bool declared = a.store() == Val::Store::kNode && a.decl() != nullptr;
  if (!b.is(Tag::kMap)) return declared ? Val::error(kNoOverload) : Val::boolean(false);
  if (a.size() != b.size()) return Val::boolean(false);
  if (a.store() == Val::Store::kLazy || b.store() == Val::Store::kLazy) {
    return Val::boolean(a.store() == b.store() && a.lazy_fields() == b.lazy_fields());
  }
  if (declared) return equal_declared(run, a, b);
  for (const Val& key : map_keys(run, a)) {
    Val mine, other;
    map_find(run, a, key, mine);
    if (!map_find(run, b, key, other)) return Val::boolean(false);
    if (equal(run, mine, other).is_false()) return Val::boolean(false);
  }
  return Val::boolean(true);
}

bool is_number(const Val& v) { return v.is(Tag::kInt) || v.is(Tag::kUint) || v.is(Tag::kDouble); }

// -1, 0, 1; 2 when one of them is no number (NaN).
int order_numbers(const Val& a, const Val& b) {
  if (a.is(Tag::kDouble) && std::isnan(a.as_double())) return 2;
  if (b.is(Tag::kDouble) && std::isnan(b.as_double())) return 2;
  switch (a.tag()) {
    case Tag::kInt:
      if (b.is(Tag::kInt)) return order(a.as_int(), b.as_int());
      if (b.is(Tag::kUint)) return order_int_uint(a.as_int(), b.as_uint());
      return -order_double_int(b.as_double(), a.as_int());
    case Tag::kUint:
      if (b.is(Tag::kUint)) return order(a.as_uint(), b.as_uint());
      if (b.is(Tag::kInt)) return -order_int_uint(b.as_int(), a.as_uint());
      return -order_double_uint(b.as_double(), a.as_uint());
    default:
      if (b.is(Tag::kDouble)) return order(a.as_double(), b.as_double());
      if (b.is(Tag::kInt)) return order_double_int(a.as_double(), b.as_int());
      return order_double_uint(a.as_double(), b.as_uint());
  }
}

}  // namespace

std::string_view type_name(const Val& v) {
  switch (v.tag()) {
    case Tag::kUnset:
    case Tag::kError:
      return "error";
    case Tag::kNull:
      return "null_type";
    case Tag::kBool:
      return "bool";
    case Tag::kInt:
      return "int";
    case Tag::kUint:
      return "uint";
    case Tag::kDouble:
      return "double";
    case Tag::kString:
      return "string";
    case Tag::kBytes:
      return "bytes";
    case Tag::kTimestamp:
      return "google.protobuf.Timestamp";
    case Tag::kDuration:
      return "google.protobuf.Duration";
    case Tag::kType:
      return "type";
    case Tag::kList:
      return "list";
    case Tag::kMap:
      return "map";
    case Tag::kOptional:
      return "optional_type";
    case Tag::kOpaque:
      if (v.is_opaque(Opaque::Kind::kObject)) return v.opaque_as<ObjectValue>().type;
      return opaque_type_name(v.opaque_body()->kind);
    case Tag::kPreserved:
      return "unknown";
  }
  return "";
}

std::string to_display(Run& run, const Val& v) {
  switch (v.tag()) {
    case Tag::kNull:
      return "NULL_VALUE";
    case Tag::kBool:
      return v.as_bool() ? "true" : "false";
    case Tag::kInt:
      return std::to_string(v.as_int());
    case Tag::kUint:
      return std::to_string(v.as_uint());
    case Tag::kDouble:
      return format_shortest(v.as_double());
    case Tag::kString:
    case Tag::kType:
    case Tag::kError:
      return std::string(v.text());
    case Tag::kBytes: {
      std::string out = "[";
      for (const char c : v.text()) {
        if (out.size() > 1) out += ' ';
        out += std::to_string(static_cast<unsigned char>(c));
      }
      return out + "]";
    }
    case Tag::kTimestamp:
      return format_time({v.as_timestamp(), v.zone_offset()});
    case Tag::kDuration:
      return format_go_duration(v.as_int());
    case Tag::kList: {
      std::string out = "[";
      for (size_t i = 0; i < v.size() && !run.stopped(); ++i) {
        if (i != 0) out += ", ";
        out += to_display(run, list_at(run, v, i));
      }
      return out + "]";
    }
    case Tag::kMap: {
      std::string out = "{";
      for (const Val& key : map_keys(run, v)) {
        if (out.size() > 1) out += ", ";
        Val value;
        map_find(run, v, key, value);
        out += to_display(run, key) + ": " + to_display(run, value);
      }
      return out + "}";
    }
    case Tag::kOptional:
      return v.inner() == nullptr ? "optional.none()"
                                  : "optional(" + to_display(run, *v.inner()) + ")";
    case Tag::kOpaque:
      return opaque_text(v.opaque_body());
    default:
      return std::string(type_name(v));
  }
}

Val wrap(Run& run, const Value& node, const DeclType* type) {
  if (type == nullptr || type->kind == Kind::kAny) return wrap_json(node);
  if (node.is_null()) {
    if (type->nullable) return Val::null();
    return Val::error("invalid data, got null for schema with nullable=false");
  }
  switch (type->kind) {
    case Kind::kIntOrString:
      if (node.is_string()) return Val::string(node.as_string());
      if (node.is_int()) return Val::integer(node.as_int());
      return Val::error(
          "invalid data, expected XIntOrString value to be either a string or integer");
    case Kind::kBool:
      return node.is_bool() ? Val::boolean(node.as_bool()) : wrong(run, "bool", node);
    case Kind::kInt:
      return node.is_int() ? Val::integer(node.as_int()) : wrong(run, "int", node);
    case Kind::kDouble:
      return node.is_number() ? Val::real(node.as_double()) : wrong(run, "float", node);
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kDuration:
    case Kind::kDate:
    case Kind::kDateTime:
      if (!node.is_string()) return wrong(run, "string", node);
      return wrap_text(run, node.as_string(), type->kind);
    case Kind::kList:
      if (node.is_list()) return Val::node(Tag::kList, node, type);
      return Val::error("invalid data, expected an array for the provided schema with type=array");
    case Kind::kMap:
    case Kind::kObject:
      if (node.is_map()) return Val::node(Tag::kMap, node, type);
      return Val::error("invalid data, expected a map for the provided schema with type=object");
    case Kind::kAny:
    case Kind::kUnknown:
      break;
  }
  return Val::node(Tag::kPreserved, node, type);
}

Val list_at(Run& run, const Val& list, size_t i) {
  if (list.store() == Val::Store::kMade) return list.list_body()->data[i];
  const DeclType* type = list.decl();
  return wrap(run, list.value_node().at(i), type == nullptr ? nullptr : type->element.get());
}

bool map_find(Run& run, const Val& map, const Val& key, Val& out) {
  if (map.store() == Val::Store::kMade) return map_find_made(run, map, key, out);
  const DeclType* type = map.store() == Val::Store::kNode ? map.decl() : nullptr;
  if (!key.is(Tag::kString)) {
    if (map.store() == Val::Store::kNode && type == nullptr) return false;
    out = Val::error(kNoOverload);
    return true;
  }
  if (map.store() == Val::Store::kLazy) {
    std::string scratch;
    std::string_view name;
    return unescape_view(key.text(), scratch, name) && map.lazy_fields()->find(run, name, out);
  }
  if (type == nullptr || type->kind == Kind::kMap) {
    const Value* v = run.member(map.value_node(), key.text());
    if (v == nullptr) return false;
    out = wrap(run, *v, type == nullptr ? nullptr : type->element.get());
    return true;
  }
  std::string scratch;
  std::string_view name;
  if (!unescape_view(key.text(), scratch, name)) return false;
  const Value* v = run.member(map.value_node(), name);
  if (v == nullptr || v->is_null()) return false;
  const DeclField* field = type->find(name);
  if (field == nullptr) return false;
  out = wrap(run, *v, field->type.get());
  return true;
}

std::string correlation_key(Run& run, const Val& element, const DeclType& list) {
  std::string out;
  const auto add = [&](const Val& k) {
    out += static_cast<char>('A' + static_cast<int>(k.tag()));
    if (k.is(Tag::kString) || k.is(Tag::kBytes)) out += std::to_string(k.text().size()) + ":";
    out += to_display(run, k);
    out += ';';
  };
  if (list.list_type == DeclType::ListType::kSet) {
    add(element);
    return out;
  }
  for (const std::string& key : list.list_map_keys) {
    Val v;
    if (element.is(Tag::kMap)) map_find(run, element, Val::string(key), v);
    add(v);
  }
  return out;
}

std::span<const Val> map_keys(Run& run, const Val& map) {
  if (!run.has_room(map.size() * sizeof(Val)) || map.size() == 0) return {};
  auto* keys = static_cast<Val*>(run.arena().allocate(map.size() * sizeof(Val), alignof(Val)));
  size_t n = 0;
  switch (map.store()) {
    case Val::Store::kMade:
      for (size_t i = 0; i < map.size(); ++i) keys[n++] = map.map_body()->data[i].key;
      break;
    case Val::Store::kLazy:
      for (size_t i = 0; i < map.size(); ++i) {
        keys[n++] = Val::string(map.lazy_fields()->name_at(i));
      }
      break;
    case Val::Store::kNode: {
      const DeclType* type = map.decl();
      const bool object = type != nullptr && type->kind == Kind::kObject;
      for (const Member& m : map.value_node().members()) {
        if (!object) {
          keys[n++] = Val::string(m.key());
        } else if (const DeclField* f = type->find(m.key()); f != nullptr) {
          keys[n++] = Val::string(f->escaped.empty() ? std::string_view(f->name)
                                                     : std::string_view(f->escaped));
        }
      }
      break;
    }
  }
  return {keys, n};
}

Val equal(Run& run, const Val& a, const Val& b) {
  if (a.is_error()) return a;
  if (b.is_error()) return b;
  if (a.is(Tag::kNull) || b.is(Tag::kNull)) return Val::boolean(a.tag() == b.tag());
  if (is_number(a)) return Val::boolean(is_number(b) && order_numbers(a, b) == 0);
  switch (a.tag()) {
    case Tag::kBool:
      return Val::boolean(b.is(Tag::kBool) && a.as_bool() == b.as_bool());
    case Tag::kString:
    case Tag::kBytes:
      return Val::boolean(a.tag() == b.tag() && a.text() == b.text());
    case Tag::kType:
      return Val::boolean(b.is(Tag::kType) && a.text() == b.text());
    case Tag::kTimestamp:
      return Val::boolean(b.is(Tag::kTimestamp) && a.as_timestamp() == b.as_timestamp());
    case Tag::kDuration:
      return Val::boolean(b.is(Tag::kDuration) && a.as_int() == b.as_int());
    case Tag::kList:
      return equal_lists(run, a, b);
    case Tag::kMap:
      return equal_maps(run, a, b);
    case Tag::kOptional:
      if (!b.is(Tag::kOptional)) return Val::boolean(false);
      if (a.inner() == nullptr || b.inner() == nullptr) {
        return Val::boolean(a.inner() == b.inner());
      }
      return equal(run, *a.inner(), *b.inner());
    case Tag::kOpaque:
      return equal_opaque(run, a, b);
    case Tag::kPreserved:
      return Val::boolean(b.is(Tag::kPreserved) && a.value_node().equals(b.value_node()));
    default:
      return Val::boolean(false);
  }
}

bool comparable(const Val& v) {
  switch (v.tag()) {
    case Tag::kBool:
    case Tag::kInt:
    case Tag::kUint:
    case Tag::kDouble:
    case Tag::kString:
    case Tag::kBytes:
    case Tag::kTimestamp:
    case Tag::kDuration:
      return true;
    default:
      return false;
  }
}

Val compare(Run&, const Val& a, const Val& b) {
  if (is_number(a) && is_number(b)) {
    const int o = order_numbers(a, b);
    return o == 2 ? Val::error("NaN values cannot be ordered") : Val::integer(o);
  }
  if (a.is(Tag::kDouble) && std::isnan(a.as_double())) {
    return Val::error("NaN values cannot be ordered");
  }
  if (a.tag() != b.tag()) return Val::error(kNoOverload);
  switch (a.tag()) {
    case Tag::kBool:
      return Val::integer(order(a.as_bool(), b.as_bool()));
    case Tag::kString:
    case Tag::kBytes:
      return Val::integer(order(a.text().compare(b.text()), 0));
    case Tag::kTimestamp:
      return Val::integer(a.as_timestamp() < b.as_timestamp()    ? -1
                          : a.as_timestamp() == b.as_timestamp() ? 0
                                                                 : 1);
    case Tag::kDuration:
      return Val::integer(order(a.as_int(), b.as_int()));
    default:
      return Val::error(kNoOverload);
  }
}

int64_t size_of(const Val& v) {
  switch (v.tag()) {
    case Tag::kString:
      return static_cast<int64_t>(count_runes(v.text()));
    case Tag::kBytes:
      return static_cast<int64_t>(v.text().size());
    case Tag::kList:
    case Tag::kMap:
      return static_cast<int64_t>(v.size());
    case Tag::kOpaque:
      return opaque_size(v.opaque_body());
    default:
      return -1;
  }
}

}  // namespace keles::cel
