#include "kubectl/go_value.h"

#include <bit>
#include <utility>

namespace keles::kubectl {

GoValue GoValue::of(const Value& v, bool boxed) {
  GoValue out;
  out.boxed = boxed;
  switch (v.kind()) {
    case Value::Kind::kNull:
      return nil();
    case Value::Kind::kBool:
      out.kind = Kind::kBool;
      out.b = v.as_bool();
      break;
    case Value::Kind::kInt:
      out.kind = Kind::kInt64;
      out.i = v.as_int();
      break;
    case Value::Kind::kDouble:
      out.kind = Kind::kFloat;
      out.d = v.as_double();
      break;
    case Value::Kind::kString:
      out.kind = Kind::kString;
      out.s = v.as_string();
      break;
    case Value::Kind::kList:
      out.kind = Kind::kList;
      out.tree = &v;
      out.count = v.size();
      // A list that was read element by element has room for a power of two.
      out.room = out.count == 0 || out.count > 512 ? out.count : std::bit_ceil(out.count);
      break;
    case Value::Kind::kMap:
      out.kind = Kind::kMap;
      out.tree = &v;
      break;
  }
  return out;
}

GoValue GoValue::of(bool b) {
  GoValue out;
  out.kind = Kind::kBool;
  out.b = b;
  return out;
}

GoValue GoValue::of(int i) { return integer(i); }

GoValue GoValue::integer(int64_t i, Kind kind) {
  GoValue out;
  out.kind = kind;
  out.i = i;
  return out;
}

GoValue GoValue::of(double d) {
  GoValue out;
  out.kind = Kind::kFloat;
  out.d = d;
  return out;
}

GoValue GoValue::text(std::string s) {
  GoValue out;
  out.kind = Kind::kString;
  out.owner = std::make_shared<const std::string>(std::move(s));
  out.s = *out.owner;
  return out;
}

GoValue GoValue::nil() {
  GoValue out;
  out.kind = Kind::kNil;
  out.boxed = true;
  return out;
}

GoValue GoValue::inner() const {
  if (!boxed) return *this;
  if (kind == Kind::kNil) return GoValue();
  GoValue out = *this;
  out.boxed = false;
  return out;
}

std::string_view GoValue::type() const {
  switch (kind) {
    case Kind::kInvalid:
      return "<nil>";
    case Kind::kNil:
      return "interface {}";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kInt64:
      return "int64";
    case Kind::kByte:
      return "uint8";
    case Kind::kFloat:
      return "float64";
    case Kind::kString:
      return "string";
    case Kind::kList:
      return "[]interface {}";
    case Kind::kMap:
      return "map[string]interface {}";
  }
  return "";
}

size_t GoValue::length() const {
  return kind == Kind::kString ? s.size()
         : kind == Kind::kList ? count
         : kind == Kind::kMap  ? tree->size()
                               : 0;
}

GoValue GoValue::element(size_t i) const {
  return first + i < tree->size() ? of(tree->at(first + i), true) : nil();
}

}  // namespace keles::kubectl
