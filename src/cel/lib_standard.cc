// The standard library: sizes, texts, conversions between types.
#include <charconv>
#include <cstdlib>
#include <string>

#include "base/loop.h"
#include "base/parse_bool.h"
#include "cel/libraries.h"
#include "cel/numbers.h"
#include "cel/opaque.h"
#include "cel/pattern.h"
#include "cel/run.h"
#include "cel/source.h"
#include "cel/text.h"
#include "cel/times.h"
#include "machinery/time.h"

namespace keles::cel {
namespace {

using Args = std::span<const Val>;
using Tag = Val::Tag;

Val size(Run&, Args a) { return Val::integer(size_of(a[0])); }

Val both_texts(Args a, bool (*test)(std::string_view, std::string_view)) {
  if (!a[0].is(Tag::kString) || !a[1].is(Tag::kString)) return no_such_overload();
  return Val::boolean(test(a[0].text(), a[1].text()));
}
Val contains(Run&, Args a) {
  return both_texts(
      a, [](std::string_view s, std::string_view part) { return find_text(s, part, 0) != s.npos; });
}
Val starts_with(Run&, Args a) {
  return both_texts(a, [](std::string_view s, std::string_view p) { return s.starts_with(p); });
}
Val ends_with(Run&, Args a) {
  return both_texts(a, [](std::string_view s, std::string_view p) { return s.ends_with(p); });
}
Val matches(Run& run, Args a) {
  if (!a[0].is(Tag::kString) || !a[1].is(Tag::kString)) return no_such_overload();
  const auto pattern = Pattern::compile(a[1].text());
  if (!pattern.ok()) return run.error(pattern.status().message());
  return Val::boolean((*pattern)->matches(a[0].text()));
}

// --- conversions -----------------------------------------------------------------------------

Val identity(Run&, Args a) { return a[0]; }

Val cannot(Run& run, const Val& from, std::string_view to) {
  return run.error("type conversion error from '" + std::string(type_name(from)) + "' to '" +
                   std::string(to) + "'");
}

template <class T>
bool read_number(std::string_view s, T& out) {
  if (s.starts_with('+') && std::is_signed_v<T>) s.remove_prefix(1);
  if (s.empty() || (s[0] == '-' && !std::is_signed_v<T>)) return false;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
  return error == std::errc() && end == s.data() + s.size();
}

// As Go's ParseFloat: also hexadecimal, "inf", "NaN", and underscores nowhere.
bool read_double(std::string_view text, double& out) {
  if (text.empty() || text[0] == ' ' || text.size() > 4096) return false;
  const std::string s(text);
  char* end = nullptr;
  out = std::strtod(s.c_str(), &end);
  if (end != s.c_str() + s.size()) return false;
  if (s.find('(') != s.npos) return false;  // nan(...) is C's
  const bool says_inf = s.find_first_of("nN") != s.npos;
  return says_inf || !std::isinf(out);
}

Val to_bool(Run& run, Args a) {
  if (auto b = parse_bool(a[0].text())) return Val::boolean(*b);
  return cannot(run, a[0], "bool");
}

Val to_bytes(Run&, Args a) { return Val::bytes(a[0].text()); }

Val to_double(Run& run, Args a) {
  switch (a[0].tag()) {
    case Tag::kInt:
      return Val::real(static_cast<double>(a[0].as_int()));
    case Tag::kUint:
      return Val::real(static_cast<double>(a[0].as_uint()));
    default:
      break;
  }
  double d = 0;
  return read_double(a[0].text(), d) ? Val::real(d) : cannot(run, a[0], "double");
}

Val to_int_value(Run& run, Args a) {
  int64_t i = 0;
  switch (a[0].tag()) {
    case Tag::kDouble:
      return to_int(a[0].as_double(), i) ? Val::integer(i) : Val::error("integer overflow");
    case Tag::kUint:
      return a[0].as_uint() <= static_cast<uint64_t>(INT64_MAX)
                 ? Val::integer(static_cast<int64_t>(a[0].as_uint()))
                 : Val::error("integer overflow");
    case Tag::kDuration:
      return Val::integer(a[0].as_int());
    case Tag::kTimestamp:
      return Val::integer(a[0].as_timestamp().seconds);
    default:
      return read_number(a[0].text(), i) ? Val::integer(i) : cannot(run, a[0], "int");
  }
}

Val to_uint_value(Run& run, Args a) {
  uint64_t u = 0;
  switch (a[0].tag()) {
    case Tag::kDouble:
      return to_uint(a[0].as_double(), u) ? Val::unsigned_integer(u)
                                          : Val::error("unsigned integer overflow");
    case Tag::kInt:
      return a[0].as_int() >= 0 ? Val::unsigned_integer(static_cast<uint64_t>(a[0].as_int()))
                                : Val::error("unsigned integer overflow");
    default:
      return read_number(a[0].text(), u) ? Val::unsigned_integer(u) : cannot(run, a[0], "uint");
  }
}

Val to_string_value(Run& run, Args a) {
  switch (a[0].tag()) {
    case Tag::kBytes:
      if (valid_utf8(a[0].text())) return Val::string(a[0].text());
      return Val::error("invalid UTF-8 in bytes, cannot convert to string");
    case Tag::kDuration:
      return run.string(format_seconds(a[0].as_int()));
    default:
      return run.string(to_display(run, a[0]));
  }
}

Val to_duration(Run& run, Args a) {
  if (a[0].is(Tag::kInt)) return cannot(run, a[0], "google.protobuf.Duration");
  const Result<Duration> d = parse_duration(a[0].text());
  return d.ok() ? Val::duration(d->count()) : cannot(run, a[0], "google.protobuf.Duration");
}

Val to_timestamp(Run& run, Args a) {
  ZonedTime t;
  if (a[0].is(Tag::kInt)) {
    t.at.seconds = a[0].as_int();
  } else if (!parse_rfc3339(a[0].text(), t)) {
    return cannot(run, a[0], "google.protobuf.Timestamp");
  }
  if (t.at.seconds < kFirstMoment || t.at.seconds > kLastMoment) {
    return Val::error("timestamp overflow");
  }
  return Val::timestamp(t.at, t.offset);
}

Val type_of_value(Run&, Args a) { return Val::type(type_name(a[0])); }

}  // namespace

void add_standard_functions(Library& lib) {
  const TypePtr list = list_type(param_type("A"));
  const TypePtr map = map_type(param_type("A"), param_type("B"));
  const TypePtr &text = string_type(), &bytes = bytes_type();
  const auto size_of_type = [&](std::string_view id, std::string_view member, const TypePtr& t) {
    lib.global("size", id, {t}, int_type(), size);
    lib.member("size", member, {t}, int_type(), size);
  };
  size_of_type("size_bytes", "bytes_size", bytes);
  size_of_type("size_list", "list_size", list);
  size_of_type("size_map", "map_size", map);
  size_of_type("size_string", "string_size", text);
  lib.member("contains", "contains_string", {text, text}, bool_type(), contains);
  lib.member("endsWith", "ends_with_string", {text, text}, bool_type(), ends_with);
  lib.member("startsWith", "starts_with_string", {text, text}, bool_type(), starts_with);
  for (const std::string_view name : {"contains", "endsWith", "startsWith"}) {
    lib.function(name).unguarded = true;
  }
  lib.global("matches", "matches", {text, text}, bool_type(), matches);
  lib.member("matches", "matches_string", {text, text}, bool_type(), matches);
}

void add_conversions(Library& lib) {
  const TypePtr a = param_type("A");
  const TypePtr &text = string_type(), &integer = int_type(), &uint = uint_type(),
                &real = double_type(), &bytes = bytes_type(), &time = timestamp_type(),
                &span = duration_type(), &boolean = bool_type();
  const auto convert = [&](std::string_view name, std::string_view id, const TypePtr& from,
                           const TypePtr& to, Function f) { lib.global(name, id, {from}, to, f); };
  lib.global("type", "type", {a}, type_of_type(a), type_of_value);
  lib.global("dyn", "to_dyn", {a}, dyn_type(), identity);
  convert("bool", "bool_to_bool", boolean, boolean, identity);
  convert("bool", "string_to_bool", text, boolean, to_bool);
  convert("bytes", "bytes_to_bytes", bytes, bytes, identity);
  convert("bytes", "string_to_bytes", text, bytes, to_bytes);
  convert("double", "double_to_double", real, real, identity);
  convert("double", "int64_to_double", integer, real, to_double);
  convert("double", "string_to_double", text, real, to_double);
  convert("double", "uint64_to_double", uint, real, to_double);
  convert("duration", "duration_to_duration", span, span, identity);
  convert("duration", "int64_to_duration", integer, span, to_duration);
  convert("duration", "string_to_duration", text, span, to_duration);
  convert("int", "int64_to_int64", integer, integer, identity);
  convert("int", "double_to_int64", real, integer, to_int_value);
  convert("int", "duration_to_int64", span, integer, to_int_value);
  convert("int", "string_to_int64", text, integer, to_int_value);
  convert("int", "timestamp_to_int64", time, integer, to_int_value);
  convert("int", "uint64_to_int64", uint, integer, to_int_value);
  convert("string", "string_to_string", text, text, identity);
  convert("string", "bool_to_string", boolean, text, to_string_value);
  convert("string", "bytes_to_string", bytes, text, to_string_value);
  convert("string", "double_to_string", real, text, to_string_value);
  convert("string", "duration_to_string", span, text, to_string_value);
  convert("string", "int64_to_string", integer, text, to_string_value);
  convert("string", "timestamp_to_string", time, text, to_string_value);
  convert("string", "uint64_to_string", uint, text, to_string_value);
  convert("timestamp", "timestamp_to_timestamp", time, time, identity);
  convert("timestamp", "int64_to_timestamp", integer, time, to_timestamp);
  convert("timestamp", "string_to_timestamp", text, time, to_timestamp);
  convert("uint", "uint64_to_uint64", uint, uint, identity);
  convert("uint", "double_to_uint64", real, uint, to_uint_value);
  convert("uint", "int64_to_uint64", integer, uint, to_uint_value);
  convert("uint", "string_to_uint64", text, uint, to_uint_value);
}

}  // namespace keles::cel
