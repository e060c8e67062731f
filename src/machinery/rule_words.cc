#include "machinery/rule_words.h"

#include <array>
#include <cmath>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/go_number.h"

namespace keles::rule_words {
namespace {

constexpr std::string_view kInvalid = "FieldValueInvalid";

std::string_view type_name(const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kBool:
      return "boolean";
    case Value::Kind::kInt:
      return "integer";
    case Value::Kind::kDouble:
      return "number";
    case Value::Kind::kString:
      return "string";
    case Value::Kind::kList:
      return "array";
    case Value::Kind::kMap:
      return "object";
    default:
      return "null";
  }
}

uint8_t type_bit(const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kBool:
      return kBooleanType;
    case Value::Kind::kInt:
      return kIntegerType;
    case Value::Kind::kDouble:
      return kNumberType;
    case Value::Kind::kString:
      return kStringType;
    case Value::Kind::kList:
      return kArrayType;
    case Value::Kind::kMap:
      return kObjectType;
    default:
      return 0;
  }
}

std::string type_names(uint8_t types) {
  constexpr std::array<std::pair<uint8_t, std::string_view>, 6> kNames = {
      {{kBooleanType, "boolean"},
       {kIntegerType, "integer"},
       {kNumberType, "number"},
       {kStringType, "string"},
       {kArrayType, "array"},
       {kObjectType, "object"}}};
  std::string out;
  for (const auto& [bit, name] : kNames) {
    if (types & bit) out.append(out.empty() ? "" : ",").append(name);
  }
  return out;
}

std::string in_body(const TreePath& path, std::string_view what) {
  return path.text() + " in body " + std::string(what);
}

Failure invalid_failure(const TreePath& path, std::string shown_value, std::string_view what) {
  std::string text = in_body(path, what);
  std::string body = "Invalid value: " + std::move(shown_value) + ": " + text;
  return {std::move(text), std::string(kInvalid), std::move(body), path.text()};
}

Failure of_type(const TreePath& path, std::string_view wanted, std::string_view got) {
  Failure f = invalid_failure(path, quoted(got),
                              "must be of type " + std::string(wanted) + ": " + quoted(got));
  f.type = "FieldValueTypeInvalid";
  return f;
}

// What upstream's library says without a place.
Failure placeless(std::string text) {
  std::string body = "Invalid value: \"\": " + text;
  return {std::move(text), std::string(kInvalid), std::move(body), {}};
}

Failure too_many(const TreePath& path, size_t actual, int64_t most, std::string_view what) {
  std::string text =
      in_body(path, "should have at most " + std::to_string(most) + " " + std::string(what));
  std::string body = "Too many: " + std::to_string(actual) + ": must have at most " +
                     std::to_string(most) + (most == 1 ? " item" : " items");
  return {std::move(text), "FieldValueTooMany", std::move(body), path.text()};
}

Failure too_few(const TreePath& path, size_t actual, int64_t least, std::string_view what) {
  return invalid_failure(path, std::to_string(actual),
                         "should have at least " + std::to_string(least) + " " + std::string(what));
}

int64_t characters(std::string_view s) {
  int64_t n = 0;
  for (char c : s) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}

// A number without a fraction, as the JSON libraries of Go take it: within 2^53, give or take.
bool is_whole(double f) {
  constexpr double kMost = 9007199254740991.0, kEpsilon = 1e-9;
  if (std::isnan(f) || std::isinf(f) || f < -kMost || f > kMost) return false;
  const double g = std::trunc(f);
  if (f == g) return true;
  const double diff = std::fabs(f - g);
  return diff / (std::fabs(f) + std::fabs(g)) < kEpsilon;
}

bool fits_int(double d, double least, double beyond) {
  return d == std::trunc(d) && d >= least && d < beyond;
}

// Whether a number lies in the range of the schema's type; upstream asks it of bounds as well.
std::optional<Failure> out_of_range(const ValueRules& r, const Value& v, std::string_view what,
                                    const TreePath& path) {
  const bool integer = r.types == kIntegerType, number = r.types == kNumberType;
  bool ok = true;
  std::string_view format;
  if (integer) {
    const bool narrow = r.format_name == "int32";
    if (narrow || r.format_name == "int64") format = r.format_name;
    if (v.is_int()) {
      ok = !narrow || (v.as_int() >= INT32_MIN && v.as_int() <= INT32_MAX);
    } else {
      ok = narrow ? fits_int(v.as_double(), -0x1p31, 0x1p31)
                  : fits_int(v.as_double(), -0x1p63, 0x1p63);
    }
  } else if (number && r.format_name == "float") {
    format = r.format_name;
    ok = !std::isinf(static_cast<float>(v.as_double()));
  }
  if (ok) return std::nullopt;
  std::string text =
      std::string(what) + " value must be of type " + std::string(integer ? "integer" : "number") +
      (format.empty() ? " (default format)" : " with format " + std::string(format)) + " in " +
      path.text();
  return placeless(std::move(text));
}

class NumberCheck {
 public:
  NumberCheck(const ValueRules& r, const Value& v, const TreePath& path)
      : r_(r), v_(v), path_(path) {}

  std::vector<Failure> run() {
    add(out_of_range(r_, v_, "Checked", path_));
    if (r_.limits == nullptr) return std::move(out_);
    const Limits& l = *r_.limits;
    if (!std::isnan(l.multiple_of)) multiple(l.multiple_of);
    if (!std::isnan(l.minimum)) {
      bound(l.minimum, l.exclusive_minimum, "Minimum boundary", "greater than", -1);
    }
    if (!std::isnan(l.maximum)) {
      bound(l.maximum, l.exclusive_maximum, "Maximum boundary", "less than", 1);
    }
    return std::move(out_);
  }

 private:
  void add(std::optional<Failure> f) {
    if (f) out_.push_back(std::move(*f));
  }

  // Whole numbers are compared as such where the bound fits the type, else as doubles.
  bool native(double bound, std::string_view what) {
    auto failure = out_of_range(r_, Value(bound), what, path_);
    const bool ok = !failure;
    add(std::move(failure));
    return ok && v_.is_int();
  }

  void bound(double limit, bool exclusive, std::string_view what, std::string_view than, int side) {
    bool beyond;
    std::string shown_limit;
    if (native(limit, what)) {
      const int64_t l = Value(limit).as_int(), n = v_.as_int();
      beyond = side > 0 ? n > l || (exclusive && n == l) : n < l || (exclusive && n == l);
      shown_limit = std::to_string(l);
    } else {
      const double n = v_.as_double();
      beyond = side > 0 ? n > limit || (exclusive && n == limit)
                        : n < limit || (exclusive && n == limit);
      shown_limit = go_double(limit);
    }
    if (!beyond) return;
    out_.push_back(invalid_failure(
        path_, shown(v_),
        "should be " + std::string(than) + (exclusive ? " " : " or equal to ") + shown_limit));
  }

  void multiple(double factor) {
    std::string shown_factor;
    bool ok;
    if (native(factor, "MultipleOf")) {
      const int64_t f = Value(factor).as_int();
      shown_factor = std::to_string(f);
      if (f <= 0) return not_positive(shown_factor);
      ok = v_.as_int() % f == 0;
    } else {
      shown_factor = go_double(factor);
      if (factor <= 0) return not_positive(shown_factor);
      const double n = v_.as_double();
      ok = is_whole(factor < 1 ? 1 / factor * n : n / factor);
    }
    if (!ok) {
      out_.push_back(invalid_failure(path_, shown(v_), "should be a multiple of " + shown_factor));
    }
  }
  void not_positive(const std::string& factor) {
    std::string text =
        "factor MultipleOf declared for " + path_.text() + " must be positive: " + factor;
    std::string body = "Invalid value: " + factor + ": " + text;
    out_.push_back({std::move(text), std::string(kInvalid), std::move(body), path_.text()});
  }

  const ValueRules& r_;
  const Value& v_;
  const TreePath& path_;
  std::vector<Failure> out_;
};

}  // namespace

StatusCause cause_of(Failure f, std::string_view base) {
  std::string at(base);
  if (!f.path.empty()) {
    if (!at.empty() && f.path[0] != '[') at += '.';
    at += f.path;
  }
  if (at.empty()) at = "<nil>";
  return {std::move(f.type), std::move(f.body), std::move(at)};
}

std::optional<Failure> wrong_type(const ValueRules& r, const Value& v, const TreePath& path) {
  if (v.is_null()) {
    if (r.types == kAnyType || r.nullable) return std::nullopt;
    return of_type(path, type_names(r.types), "null");
  }
  const bool listed = r.types & type_bit(v);
  const bool whole = v.is_double() && (r.types & kIntegerType) && is_whole(v.as_double());
  const bool widened = v.is_int() && (r.types & kNumberType);
  const bool ok = listed || whole || widened;
  if (!r.format_name.empty()) {
    const bool text_like = v.is_string() || v.is_list();
    std::string_view own = v.is_int() ? "int64" : v.is_double() ? "float64" : "";
    if (!text_like && !ok && own != r.format_name) return of_type(path, r.format_name, own);
    if (text_like && !(r.types & (kNumberType | kIntegerType))) return std::nullopt;
  }
  if (ok) return std::nullopt;
  return of_type(path, type_names(r.types), type_name(v));
}

std::optional<Failure> wrong_text(const ValueRules& r, std::string_view s, const TreePath& path) {
  if (r.limits != nullptr) {
    const Limits& l = *r.limits;
    if (l.max_length != Limits::kNone && characters(s) > l.max_length) {
      return Failure{
          in_body(path, "should be at most " + std::to_string(l.max_length) + " chars long"),
          "FieldValueTooLong",
          "Too long: may not be more than " + std::to_string(l.max_length) +
              (l.max_length == 1 ? " byte" : " bytes"),
          path.text()};
    }
    if (l.min_length != Limits::kNone && characters(s) < l.min_length) {
      return invalid_failure(path, quoted(s),
                             "should be at least " + std::to_string(l.min_length) + " chars long");
    }
  }
  if (r.pattern == nullptr || r.pattern->matches(s)) return std::nullopt;
  return invalid_failure(path, quoted(s), "should match '" + std::string(r.pattern->text()) + "'");
}

Failure wrong_format(const ValueRules& r, std::string_view s, const TreePath& path) {
  return of_type(path, r.format_name, s);
}

std::vector<Failure> wrong_number(const ValueRules& r, const Value& v, const TreePath& path) {
  if (r.limits == nullptr && r.types != kIntegerType && r.format_name.empty()) return {};
  return NumberCheck(r, v, path).run();
}

std::vector<Failure> wrong_list(const ValueRules& r, const Value& v, const TreePath& path) {
  std::vector<Failure> out;
  if (r.limits != nullptr) {
    const Limits& l = *r.limits;
    const auto size = static_cast<int64_t>(v.size());
    if (l.min_items != Limits::kNone && size < l.min_items) {
      out.push_back(too_few(path, v.size(), l.min_items, "items"));
    }
    if (l.max_items != Limits::kNone && size > l.max_items) {
      out.push_back(too_many(path, v.size(), l.max_items, "items"));
    }
  }
  if (!r.unique_items) return out;
  for (size_t i = 0; i < v.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!v.at(i).equals(v.at(j))) continue;
      out.push_back(invalid_failure(path, "\"\"", "shouldn't contain duplicates"));
      return out;
    }
  }
  return out;
}

std::vector<Failure> wrong_size(const ValueRules& r, const Value& v, const TreePath& path) {
  std::vector<Failure> out;
  if (r.limits == nullptr) return out;
  const Limits& l = *r.limits;
  const auto size = static_cast<int64_t>(v.size());
  if (l.min_properties != Limits::kNone && size < l.min_properties) {
    out.push_back(too_few(path, v.size(), l.min_properties, "properties"));
  }
  if (l.max_properties != Limits::kNone && size > l.max_properties) {
    out.push_back(too_many(path, v.size(), l.max_properties, "properties"));
  }
  return out;
}

Failure not_in_enum(const ValueRules& r, const Value& v, const TreePath& path) {
  // The sentence has the values as Go prints them; only that it is the same for the same matters.
  std::string listed, supported;
  for (const Value& x : r.enum_values) {
    std::string text = x.is_string() ? std::string(x.as_string()) : json_text(x);
    listed += (listed.empty() ? "" : " ") + text;
    supported += (supported.empty() ? "" : ", ") + quoted(text);
  }
  std::string body = "Unsupported value: " + shown(v) + ": supported values: " + supported;
  return {in_body(path, "should be one of [" + listed + "]"), "FieldValueNotSupported",
          std::move(body), path.text()};
}

Failure forbidden_member(std::string_view name, const TreePath& object) {
  std::string text = object.text() + "." + std::string(name) + " in body is a forbidden property";
  std::string body = "Invalid value: " + quoted(name) + ": " + text;
  return {std::move(text), std::string(kInvalid), std::move(body), object.text()};
}

Failure missing(std::string_view name, const TreePath& object) {
  const TreePath at = object.child(name);
  return {in_body(at, "is required"), "FieldValueRequired", "Required value", at.text()};
}

Failure junctor(const TreePath& path, const std::string& what) {
  return placeless(quoted(path.text()) + " " + what);
}

StatusCause duplicate(const Value& v, const TreePath& path) {
  return {"FieldValueDuplicate", "Duplicate value: " + shown(v), path.text()};
}

StatusCause invalid(const Value& v, const TreePath& path, std::string_view detail) {
  std::string at = path.text();
  return {std::string(kInvalid), "Invalid value: " + shown(v) + ": " + std::string(detail),
          at.empty() ? "<nil>" : std::move(at)};
}

std::string shown(const Value& v) {
  if (v.is_string()) return quoted(v.as_string());
  if (v.is_double()) return go_double(v.as_double());
  return json_text(v);
}

std::string json_text(const Value& v) {
  std::string out;
  write_json(out, v, true);
  return out;
}

}  // namespace keles::rule_words
