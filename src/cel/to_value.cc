#include "cel/to_value.h"

#include <cmath>

#include "base/encoding.h"
#include "cel/opaque.h"
#include "cel/times.h"

namespace keles::cel {
namespace {

using Tag = Val::Tag;

class Copier {
 public:
  Copier(Run& run, Arena& arena, size_t most) : run_(run), arena_(arena), left_(most) {}

  Result<Value> copy(const Val& v) {
    TRY(spend(sizeof(Value)));
    switch (v.tag()) {
      case Tag::kNull:
        return Value();
      case Tag::kBool:
        return Value(v.as_bool());
      case Tag::kInt:
        return Value(v.as_int());
      case Tag::kUint:
        if (v.as_uint() > static_cast<uint64_t>(INT64_MAX)) {
          return Value(static_cast<double>(v.as_uint()));
        }
        return Value(static_cast<int64_t>(v.as_uint()));
      case Tag::kDouble:
        return number(v.as_double());
      case Tag::kString:
        return text(v.text());
      case Tag::kBytes:
        return text(base64_encode(v.text()));
      case Tag::kTimestamp:
        return text(format_time({v.as_timestamp(), 0}));
      case Tag::kDuration:
        return text(format_seconds(v.as_int()));
      case Tag::kList:
        return list(v);
      case Tag::kMap:
        return map(v);
      case Tag::kOpaque:
        if (v.is_opaque(Opaque::Kind::kObject)) return object(v.opaque_as<ObjectValue>());
        break;
      default:
        break;
    }
    return Status(Reason::kInvalid,
                  "type conversion error from '" + std::string(type_name(v)) + "' to JSON");
  }

 private:
  Status spend(size_t bytes) {
    if (bytes > left_) return Status(Reason::kInvalid, "the value is too large");
    left_ -= bytes;
    return {};
  }
  static Result<Value> number(double d) {
    if (!std::isfinite(d)) {
      return Status(Reason::kInvalid, "a number that is not finite cannot be written as JSON");
    }
    constexpr double kWhole = 0x1p53;
    if (std::trunc(d) == d && std::fabs(d) <= kWhole) return Value(static_cast<int64_t>(d));
    return Value(d);
  }
  Result<Value> text(std::string_view s) {
    TRY(spend(s.size()));
    return Value::string(arena_.copy(s));
  }
  Result<Value> list(const Val& v) {
    Value out = Value::list();
    for (size_t i = 0; i < v.size(); ++i) {
      TRY_ASSIGN(item, copy(list_at(run_, v, i)));
      out.append(arena_, item);
    }
    return out;
  }
  Result<Value> map(const Val& v) {
    Value out = Value::map();
    for (const Val& key : map_keys(run_, v)) {
      if (!key.is(Tag::kString)) {
        return Status(Reason::kInvalid, "map key " + to_display(run_, key) + " is of type " +
                                            std::string(type_name(key)) + ", not string");
      }
      Val member;
      map_find(run_, v, key, member);
      TRY(put(out, key.text(), member));
    }
    return out;
  }
  Result<Value> object(const ObjectValue& o) {
    Value out = Value::map();
    for (const ObjectValue::Field& f : o.fields) {
      if (Status s = put(out, f.name, f.value); !s.ok()) {
        return s.with_prefix("fail to convert field " + quoted(f.name));
      }
    }
    return out;
  }
  Status put(Value& out, std::string_view key, const Val& v) {
    TRY(spend(key.size()));
    TRY_ASSIGN(member, copy(v));
    out.set(arena_, arena_.copy(key), member);
    return {};
  }

  Run& run_;
  Arena& arena_;
  size_t left_;
};

class Places {
 public:
  explicit Places(Run& run) : run_(run) {}

  void look(const Val& v, const std::string& place) {
    if (++seen_ > kMost) return;
    if (v.is(Tag::kList) && v.store() == Val::Store::kMade) {
      for (size_t i = 0; i < v.size(); ++i) look(list_at(run_, v, i), place);
    } else if (v.is(Tag::kMap) && v.store() == Val::Store::kMade) {
      for (const Val& key : map_keys(run_, v)) {
        Val member;
        map_find(run_, v, key, member);
        look(member, place);
      }
    } else if (v.is_opaque(Opaque::Kind::kObject)) {
      const auto& o = v.opaque_as<ObjectValue>();
      if (o.type != place) {
        faults.push_back("unexpected type name " + quoted(o.type) + ", expected " + quoted(place) +
                         ", which matches field name path from root Object type");
      }
      for (const ObjectValue::Field& f : o.fields) look(f.value, place + "." + std::string(f.name));
    }
  }
  std::vector<std::string> faults;

 private:
  static constexpr size_t kMost = 100'000;  // beyond it, to_value() will not have it either
  Run& run_;
  size_t seen_ = 0;
};

}  // namespace

Result<Value> to_value(Run& run, Arena& arena, const Val& v, size_t most) {
  return Copier(run, arena, most).copy(v);
}

std::vector<std::string> misplaced_objects(Run& run, const Val& v) {
  Places places(run);
  if (v.is_opaque(Opaque::Kind::kObject)) {
    places.look(v, std::string(v.opaque_as<ObjectValue>().type));
  }
  return std::move(places.faults);
}

}  // namespace keles::cel
