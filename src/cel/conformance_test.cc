// The CEL specification's own cases, where they lie beside the checkout (../shared, or where
// KELES_SHARED says). What Kubernetes does not use is left out, by name.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include "base/file.h"
#include "cel/program.h"
#include "cel/textproto.h"
#include "cel/times.h"

namespace keles::cel {
namespace {

using Tag = Val::Tag;

// Whole files: protobuf messages and enums, and libraries that Kubernetes does not offer.
const std::set<std::string_view> kOtherFiles = {
    "bindings_ext",  // cel.bind
    "block_ext",     // cel.block
    "encoders_ext",  // base64
    "math_ext",      // math.greatest and the like
    "proto2",       "proto2_ext", "proto3", "enums", "wrappers",
    "dynamic",    // google.protobuf.Value and wrappers as messages
    "unknowns"};  // empty

// Cases, as "file/section/test" or "file/section": what they need is not in Kubernetes, or
// Kubernetes differs.
const std::set<std::string_view> kOtherCases = {
    // Version 2 of the strings, which Kubernetes has, formats numbers in English.
    "string_ext/format", "string_ext/format_errors",
    // string.reverse came with version 3.
    "string_ext/reverse",
    // The implementation that Kubernetes 1.36 has differs from the newest specification: keys of
    // maps are looked at when the expression is planned, may come twice, and may be doubles; a
    // leading dot does not pass by a comprehension's variable; what is no map has no field.
    "fields/map_fields/map_bad_key_type_or_true", "fields/map_fields/map_bad_key_type_and_false",
    "fields/qualified_identifier_resolution/map_key_float",
    "fields/qualified_identifier_resolution/map_value_repeat_key",
    "fields/qualified_identifier_resolution/map_value_repeat_key_heterogeneous",
    "namespace/namespace_shadowing/comprehension_shadowing_disambiguation",
    "namespace/namespace_shadowing/comprehension_shadowing_namespaced_disambiguation",
    "namespace/namespace_shadowing/comprehension_shadowing_namespaced_selector_disambiguation",
    "optionals/optionals/map_null_entry_no_such_key",
    "optionals/optionals/map_present_key_invalid_field",
    // Its `ip` takes no IPv4 address inside IPv6.
    "network_ext/ipv4/ipv4_equals_ipv6", "network_ext/ipv4/ipv4_not_equals_ipv6",
    // Version 2 of the strings finds nothing beyond the end.
    "string_ext/value_errors/indexof_out_of_range",
    "string_ext/value_errors/lastindexof_out_of_range",
    // Escaped names of fields are off.
    "parse/struct_field_names", "fields/quoted_map_fields", "comparisons/eq_wrapper",
    "type_deduction/wrappers", "type_deduction/legacy_nullable_types"};

std::string shared() {
  const char* set = std::getenv("KELES_SHARED");
  return set != nullptr ? set : "../shared";
}

bool needs_messages(const TextProto& test) {
  for (const std::string_view word :
       {"TestAllTypes", "google.protobuf.", "NestedTestAllTypes", "cel.expr.conformance"}) {
    const std::string& expr = test["expr"].scalar;
    const size_t at = expr.find(word);
    if (at == expr.npos) continue;
    if (word == "google.protobuf." && expr.find('{', at) == expr.npos) continue;
    return true;
  }
  const std::string& container = test["container"].scalar;
  return container.find("proto") != container.npos;
}

// A type as the specification's protobuf says it; null for a message.
TypePtr type_of(const TextProto& t) {
  if (t.has("dyn")) return dyn_type();
  if (t.has("null")) return null_type();
  const std::string& primitive = t["primitive"].scalar;
  if (primitive == "BOOL") return bool_type();
  if (primitive == "INT64") return int_type();
  if (primitive == "UINT64") return uint_type();
  if (primitive == "DOUBLE") return double_type();
  if (primitive == "STRING") return string_type();
  if (primitive == "BYTES") return bytes_type();
  if (t["well_known"].scalar == "TIMESTAMP") return timestamp_type();
  if (t["well_known"].scalar == "DURATION") return duration_type();
  if (t.has("list_type")) {
    const TypePtr element = type_of(t["list_type"]["elem_type"]);
    return element == nullptr ? nullptr : list_type(element);
  }
  if (t.has("map_type")) {
    const TypePtr key = type_of(t["map_type"]["key_type"]);
    const TypePtr value = type_of(t["map_type"]["value_type"]);
    return key == nullptr || value == nullptr ? nullptr : map_type(key, value);
  }
  if (t.has("type")) {
    const TypePtr of = type_of(t["type"]);
    return of == nullptr ? nullptr : type_of_type(of);
  }
  if (t["abstract_type"]["name"].scalar == "optional_type") {
    const TypePtr value = type_of(t["abstract_type"]["parameter_types"]);
    return value == nullptr ? nullptr : optional_type(value);
  }
  return nullptr;
}

// False for what is no value here (a message).
bool value_of(Run& run, const TextProto& t, Val& out) {
  if (t.has("null_value")) {
    out = Val::null();
  } else if (t.has("bool_value")) {
    out = Val::boolean(t["bool_value"].scalar == "true");
  } else if (t.has("int64_value")) {
    out = Val::integer(std::strtoll(t["int64_value"].scalar.c_str(), nullptr, 0));
  } else if (t.has("uint64_value")) {
    out = Val::unsigned_integer(std::strtoull(t["uint64_value"].scalar.c_str(), nullptr, 0));
  } else if (t.has("double_value")) {
    out = Val::real(std::strtod(t["double_value"].scalar.c_str(), nullptr));
  } else if (t.has("string_value")) {
    out = run.string(t["string_value"].scalar);
  } else if (t.has("bytes_value")) {
    out = Val::bytes(run.copy(t["bytes_value"].scalar));
  } else if (t.has("type_value")) {
    out = Val::type(run.copy(t["type_value"].scalar));
  } else if (t.has("list_value")) {
    out = run.make_list();
    for (const TextProto* v : t["list_value"].all("values")) {
      Val element;
      if (!value_of(run, *v, element)) return false;
      out = run.append(out, element);
    }
  } else if (t.has("map_value")) {
    out = run.make_map();
    for (const TextProto* e : t["map_value"].all("entries")) {
      Val key, value;
      if (!value_of(run, (*e)["key"], key) || !value_of(run, (*e)["value"], value)) return false;
      out = run.insert(out, key, value, true);
    }
  } else if (const TextProto& object = t["object_value"];
             object.has("type.googleapis.com/google.protobuf.Duration")) {
    const TextProto& d = object["type.googleapis.com/google.protobuf.Duration"];
    out = Val::duration(std::atoll(d["seconds"].scalar.c_str()) * 1'000'000'000 +
                        std::atoll(d["nanos"].scalar.c_str()));
  } else if (object.has("type.googleapis.com/google.protobuf.Timestamp")) {
    const TextProto& d = object["type.googleapis.com/google.protobuf.Timestamp"];
    out = Val::timestamp(
        {std::atoll(d["seconds"].scalar.c_str()), std::atoll(d["nanos"].scalar.c_str())});
  } else {
    return false;
  }
  return true;
}

// Equal in type too, and NaN to itself.
bool same(Run& run, const Val& a, const Val& b) {
  if (a.tag() != b.tag()) return false;
  if (a.is(Tag::kDouble) && a.as_double() != a.as_double()) return b.as_double() != b.as_double();
  return equal(run, a, b).is_true();
}

class Case {
 public:
  explicit Case(const TextProto& test) : test_(test), env_(test["container"].scalar) {}

  // False when it is not for us.
  bool prepare() {
    env_.set_validating(false);
    for (const TextProto* d : test_.all("type_env")) {
      const TypePtr type = type_of((*d)["ident"]["type"]);
      if (type == nullptr) return false;
      env_.add((*d)["name"].scalar, type);
    }
    for (const TextProto* b : test_.all("bindings")) {
      Val v;
      if (!value_of(run_, (*b)["value"]["value"], v)) return false;
      const std::string& name = (*b)["key"].scalar;
      if (env_.find_variable(name) == nullptr) env_.add(name, dyn_type());
      run_.bind(env_.index_of(*env_.find_variable(name)), v);
    }
    return !test_.has("unknown") && !test_.has("any_eval_errors");
  }

  void check() {
    const std::string& text = test_["expr"].scalar;
    const bool fails = test_.has("eval_error");
    const Result<Expression> e = test_["disable_check"].scalar == "true"
                                     ? Expression::parse_only(text, env_)
                                     : Expression::compile(text, env_);
    if (!e.ok()) {
      EXPECT_TRUE(fails) << e.status().message();
      return;
    }
    if (const TextProto& type = test_["typed_result"]["deduced_type"]; !type.fields.empty()) {
      if (const TypePtr want = type_of(type); want != nullptr) {
        EXPECT_EQ(e->type()->to_string(), want->to_string());
      }
    }
    if (test_["check_only"].scalar == "true") return;
    const Result<ProgramPtr> program = e->plan();
    if (!program.ok()) {
      EXPECT_TRUE(fails) << program.status().message();
      return;
    }
    const Val v = (*program)->evaluate(run_);
    if (fails || v.is_error()) {
      EXPECT_TRUE(fails && v.is_error()) << (v.is_error() ? v.text() : to_display(run_, v));
      return;
    }
    Val want = Val::boolean(true);
    const TextProto& value =
        test_.has("typed_result") ? test_["typed_result"]["result"] : test_["value"];
    if (!value.fields.empty() && !value_of(run_, value, want)) return;
    EXPECT_TRUE(same(run_, v, want))
        << "got " << to_display(run_, v) << ", want " << to_display(run_, want);
  }

 private:
  const TextProto& test_;
  Env env_;
  Run run_;
};

TEST(Conformance, Cases) {
  const std::string folder = shared() + "/oracles/cel";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  size_t run = 0;
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.insert(entry.path().string());
  }
  for (const std::string& path : files) {
    const std::string file = std::filesystem::path(path).stem().string();
    if (kOtherFiles.contains(file)) continue;
    const Result<std::string> text = read_file(path);
    ASSERT_TRUE(text.ok());
    const Result<TextProto> root = parse_textproto(*text);
    ASSERT_TRUE(root.ok()) << file << ": " << root.status().message();
    for (const TextProto* section : root->all("section")) {
      const std::string at = file + "/" + (*section)["name"].scalar;
      if (kOtherCases.contains(at)) continue;
      for (const TextProto* test : section->all("test")) {
        const std::string name = at + "/" + (*test)["name"].scalar;
        if (kOtherCases.contains(name) || needs_messages(*test)) continue;
        SCOPED_TRACE(name + ": " + (*test)["expr"].scalar);
        Case c(*test);
        if (!c.prepare()) continue;
        c.check();
        ++run;
      }
    }
  }
  RecordProperty("cases", static_cast<int>(run));
  EXPECT_GT(run, 1000U);
}

TEST(Conformance, ReadsTextFormat) {
  const Result<TextProto> t = parse_textproto(
      "# head\nname: \"a\" 'b\\n\\101'\nlist: [1, 2]\nbox { x: -1.5 } box: < [a.b/c] { y: TRUE } "
      ">");
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ((*t)["name"].scalar, "ab\nA");
  EXPECT_EQ(t->all("list").size(), 2U);
  EXPECT_EQ((*t)["box"]["x"].scalar, "-1.5");
  EXPECT_EQ((*t->all("box")[1])["a.b/c"]["y"].scalar, "TRUE");
  EXPECT_FALSE(parse_textproto("a {").ok());
  EXPECT_FALSE(parse_textproto("a: \"x").ok());
}

}  // namespace
}  // namespace keles::cel
