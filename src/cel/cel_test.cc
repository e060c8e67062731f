// The language and Kubernetes' libraries, expression by expression: golden/expressions.jsonl says
// of each what a 1.36 server says of it (compile error, type, estimated cost, cost, value or
// error). `x` is the object below.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/encoding.h"
#include "base/file.h"
#include "cel/decl_type.h"
#include "cel/numbers.h"
#include "cel/opaque.h"
#include "cel/program.h"
#include "cel/times.h"
#include "machinery/codec_json.h"
#include "machinery/text_formats.h"

namespace keles::cel {
namespace {

using Tag = Val::Tag;

constexpr std::string_view kObject = R"({"a":1,"b":["u","v"],"c":{"d":1.5}})";

Document json(std::string_view text) {
  Result<Document> d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return d.ok() ? std::move(*d) : Document();
}

// A value as CEL would write it.
std::string written(Run& run, const Val& v) {
  switch (v.tag()) {
    case Tag::kString:
      return quoted(v.text());
    case Tag::kUint:
      return std::to_string(v.as_uint()) + "u";
    case Tag::kNull:
      return "null";
    case Tag::kDouble: {
      if (std::isnan(v.as_double())) return "double(\"NaN\")";
      if (std::isinf(v.as_double())) {
        return v.as_double() < 0 ? "double(\"-Infinity\")" : "double(\"Infinity\")";
      }
      const std::string s = format_plain(v.as_double());
      return s.find('.') == s.npos ? s + ".0" : s;
    }
    case Tag::kBytes: {
      std::string out = "b\"";
      for (const char c : v.text()) {
        char octal[8];
        std::snprintf(octal, sizeof octal, "\\%03o", static_cast<unsigned char>(c));
        out += octal;
      }
      return out + "\"";
    }
    case Tag::kDuration:
      return "duration(\"" + format_seconds(v.as_int()) + "\")";
    case Tag::kTimestamp:
      return "timestamp(\"" + format_time({v.as_timestamp(), 0}) + "\")";
    case Tag::kList: {
      std::string out = "[";
      for (size_t i = 0; i < v.size(); ++i) {
        out += (i == 0 ? "" : ", ") + written(run, list_at(run, v, i));
      }
      return out + "]";
    }
    case Tag::kMap: {
      std::vector<std::string> entries;
      for (const Val& key : map_keys(run, v)) {
        Val value;
        map_find(run, v, key, value);
        entries.push_back(written(run, key) + ": " + written(run, value));
      }
      std::sort(entries.begin(), entries.end());
      std::string out = "{";
      for (size_t i = 0; i < entries.size(); ++i) out += (i == 0 ? "" : ", ") + entries[i];
      return out + "}";
    }
    case Tag::kOptional:
      return v.inner() == nullptr ? "optional.none()"
                                  : "optional.of(" + written(run, *v.inner()) + ")";
    default:
      return to_display(run, v);
  }
}

void expect_as(const Value& want, std::string_view field, const std::string& got) {
  EXPECT_EQ(std::string(want[field].as_string()), got) << field;
}

void check_expression(const Value& want, const Value& object) {
  Env env;
  env.add("x", dyn_type());
  const Result<Expression> e = Expression::compile(want["expr"].as_string(), env);
  expect_as(want, "compile", e.ok() ? "" : e.status().message());
  if (!e.ok()) return;
  expect_as(want, "type", e->type()->to_string());
  expect_as(want, "min", std::to_string(e->estimate().min));
  expect_as(want, "max", std::to_string(e->estimate().max));
  const Result<ProgramPtr> program = e->plan();
  expect_as(want, "plan", program.ok() ? "" : program.status().message());
  if (!program.ok()) return;
  cel::Run run;
  run.bind(0, wrap(run, object, nullptr));
  const Val v = (*program)->evaluate(run);
  expect_as(want, "cost", std::to_string(run.cost()));
  expect_as(want, "error", v.is_error() ? std::string(v.text()) : "");
  if (!v.is_error()) expect_as(want, "value", written(run, v));
}

TEST(Cel, Expressions) {
  const Result<std::string> golden = read_file("src/cel/golden/expressions.jsonl");
  ASSERT_TRUE(golden.ok());
  const Document object = json(kObject);
  size_t count = 0;
  for (size_t at = 0; at < golden->size();) {
    const size_t end = golden->find('\n', at);
    const Document want = json(golden->substr(at, end - at));
    SCOPED_TRACE(std::string(want.root["expr"].as_string()));
    check_expression(want.root, object.root);
    at = end + 1;
    ++count;
  }
  EXPECT_GT(count, 350U);
}

// --- data under a schema -------------------------------------------------------------------------

constexpr std::string_view kSchema = R"({"type":"object","properties":{
  "minReplicas":{"type":"integer"},"replicas":{"type":"integer"},
  "name":{"type":"string","maxLength":10},
  "dash-ed":{"type":"string"},"namespace":{"type":"string"},"a.b":{"type":"string"},
  "port":{"x-kubernetes-int-or-string":true},
  "when":{"type":"string","format":"date-time"},"day":{"type":"string","format":"date"},
  "for":{"type":"string","format":"duration"},"raw":{"type":"string","format":"byte"},
  "ratio":{"type":"number"},"on":{"type":"boolean"},
  "gone":{"type":"string","nullable":true},
  "set":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
  "set2":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
  "pairs":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],
    "items":{"type":"object","properties":{"k":{"type":"string"},"v":{"type":"integer"}}}},
  "labels":{"type":"object","additionalProperties":{"type":"string"}},
  "free":{"x-kubernetes-preserve-unknown-fields":true}}})";
constexpr std::string_view kData = R"({"minReplicas":1,"replicas":3,"name":"x","dash-ed":"d",
  "namespace":"n","a.b":"ab","port":"http","when":"2020-01-02T03:04:05Z","day":"2020-01-02",
  "for":"90s","raw":"aGk=","ratio":2,"on":true,"gone":null,"set":["a","b"],"set2":["b","a"],
  "pairs":[{"k":"x","v":1},{"k":"y","v":2}],
  "labels":{"l":"1","dash-ed":"2"},"metadata":{"name":"me"},"kind":"K","free":{"z":1}})";

struct OnObject {
  const char* expression;
  const char* want;  // the value, or the error; of a compile error a part
};

TEST(Cel, ReadsObjectsUnderTheirSchema) {
  const Document schema = json(kSchema), data = json(kData);
  const DeclPtr decl = decl_type(schema.root, true);
  ASSERT_NE(decl, nullptr);
  Env env;
  env.add_object("self", decl, "selfType");
  for (const OnObject& c : std::initializer_list<OnObject>{
           {"self.minReplicas <= self.replicas", "true"},
           {"self.dash__dash__ed", "\"d\""},
           {"self.namespace", "\"n\""},
           {"self.__namespace__", "\"n\""},
           {"self.a__dot__b", "\"ab\""},
           {"type(self.port) == string && self.port == 'http'", "true"},
           {"type(self.port) == int", "false"},
           {"self.port + 1", "no such overload"},
           {"self.when.getFullYear()", "2020"},
           {"self.day < self.when", "true"},
           {"self.__for__ == duration('1m30s')", "true"},
           {"self.raw == b'hi'", "true"},
           {"self.ratio", "2.0"},
           {"self.on", "true"},
           {"has(self.gone)", "false"},
           {"self.gone", "no such key: gone"},
           {"has(self.metadata) && self.metadata.name == 'me'", "true"},
           {"self.set == self.set2", "true"},
           {"self.set + ['c', 'a'] == ['a', 'b', 'c']", "true"},
           {"self.pairs == [self.pairs[1], self.pairs[0]]", "true"},
           {"(self.pairs + [self.pairs[0]]).size()", "2"},
           {"self.pairs.exists(p, p.k == 'y' && p.v == 2)", "true"},
           {"self.labels['dash-ed']", "\"2\""},
           {"self.labels.all(k, k.size() > 0)", "true"},
           {"self.labels.z", "no such key: z"},
           {"self.?labels.?z.orValue('none')", "\"none\""},
           {"self.unknown", "undefined field 'unknown'"},
           {"self.free", "undefined field 'free'"},
           {"self.name == 1", "found no matching overload for '_==_' applied to '(string, int)'"},
           {"self.pairs[0] == 1", "applied to '(selfType.pairs.@idx, int)'"},
           {"self == self", "true"}}) {
    SCOPED_TRACE(c.expression);
    const Result<Expression> e = Expression::compile(c.expression, env);
    if (!e.ok()) {
      EXPECT_NE(e.status().message().find(c.want), std::string::npos) << e.status().message();
      continue;
    }
    const Result<ProgramPtr> program = e->plan();
    ASSERT_TRUE(program.ok()) << program.status().message();
    cel::Run run;
    run.bind(0, wrap(run, data.root, decl.get()));
    const Val v = (*program)->evaluate(run);
    EXPECT_EQ(v.is_error() ? std::string(v.text()) : written(run, v), c.want);
  }
}

// What a format means in a schema it means in an expression.
TEST(Cel, FormatsAreThoseOfSchemas) {
  struct Case {
    const char *format, *text;
    bool valid;
  };
  const Env env;
  for (const Case& c : {Case{"uuid", "123e4567-e89b-12d3-a456-426614174000", true},
                        {"uuid", "123e4567e89b12d3a456426614174000", true},
                        {"uuid", "123e4567--e89b-12d3-a456-426614174000", false},
                        {"byte", "aGVsbG8=", true},
                        {"byte", "aGVsbG8", false},
                        {"byte", "", false},
                        {"date", "2024-02-29", true},
                        {"date", "2023-02-29", false},
                        {"datetime", "2024-02-29T23:59:59Z", true},
                        {"datetime", "2024-02-29t23:59:59.5+01:00", true},
                        {"datetime", "2024-02-29T24:00:00Z", false},
                        {"datetime", "2024-02-29T23:59:59", false},
                        {"uri", "http://a/b", true},
                        {"uri", "a b", false}}) {
    const std::string text =
        "format." + std::string(c.format) + "().validate('" + c.text + "').hasValue()";
    SCOPED_TRACE(text);
    const Result<Expression> e = Expression::compile(text, env);
    ASSERT_TRUE(e.ok()) << e.status().message();
    const Result<ProgramPtr> program = e->plan();
    ASSERT_TRUE(program.ok()) << program.status().message();
    cel::Run run;
    EXPECT_EQ(written(run, (*program)->evaluate(run)), c.valid ? "false" : "true");
    EXPECT_EQ(find_text_format(c.format)->valid(c.text), c.valid);
  }
}

TEST(Cel, ReadingAndComparingMakesNothing) {
  const Document schema = json(kSchema), data = json(kData);
  const DeclPtr decl = decl_type(schema.root, true);
  Env env;
  env.add_object("self", decl, "selfType");
  for (const char* text :
       {"self.minReplicas <= self.replicas", "self.name == 'x' && has(self.labels.l)",
        "self.pairs.all(p, p.v > 0)", "self.set.exists(s, s in ['b', 'c'])"}) {
    const Result<Expression> e = Expression::compile(text, env);
    ASSERT_TRUE(e.ok()) << e.status().message();
    const Result<ProgramPtr> program = e->plan();
    cel::Run run;
    run.bind(0, wrap(run, data.root, decl.get()));
    EXPECT_TRUE((*program)->evaluate(run).is_true()) << text;
    EXPECT_EQ(run.arena().bytes_reserved(), 0U) << text;
  }
}

TEST(Cel, OneProgramServesManyThreads) {
  Env env;
  env.add("n", int_type());
  const Result<Expression> e = Expression::compile(
      "[1, 2, 3].map(i, i * n).filter(i, i > 2) + [n] == [4, 6, n] ? 'two' : 'other'", env);
  ASSERT_TRUE(e.ok()) << e.status().message();
  const Result<ProgramPtr> program = e->plan();
  ASSERT_TRUE(program.ok());
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        cel::Run run;
        const int64_t n = (i + t) % 3 + 1;
        run.bind(0, Val::integer(n));
        const Val v = (*program)->evaluate(run);
        if (v.text() != (n == 2 ? "two" : "other")) ++wrong;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0);
}

// --- limits --------------------------------------------------------------------------------------

Val evaluated(Run& run, std::string_view text) {
  const Env env;
  const Result<Expression> e = Expression::compile(text, env);
  EXPECT_TRUE(e.ok()) << e.status().message();
  const Result<ProgramPtr> program = e->plan();
  EXPECT_TRUE(program.ok());
  // What an error says may lie in the program.
  const Val v = (*program)->evaluate(run);
  return v.is_error() ? run.error(v.text()) : Val::boolean(v.is_true());
}

TEST(Cel, CostEndsAnEvaluation) {
  cel::Run run(Limits{.cost = 1000});
  EXPECT_EQ(evaluated(run, "lists.range(100).all(i, lists.range(100).all(j, i + j >= 0))").text(),
            "operation cancelled: actual cost limit exceeded");
  // Neither `||` nor a comprehension takes it for an error among others.
  cel::Run other(Limits{.cost = 1000});
  EXPECT_EQ(evaluated(other, "lists.range(9000).size() == 1 || true").text(),
            "operation cancelled: actual cost limit exceeded");
}

TEST(Cel, WhatCannotBePaidIsNotMade) {
  for (const char* text : {"lists.range(100000000).size() > 0",
                           "sets.contains(lists.range(100000), lists.range(100000))",
                           "lists.range(100000).distinct().size() > 0"}) {
    cel::Run run;
    EXPECT_EQ(evaluated(run, text).text(), "operation cancelled: actual cost limit exceeded")
        << text;
    EXPECT_LT(run.arena().bytes_reserved(), size_t{64} << 20) << text;
  }
}

TEST(Cel, MemoryEndsAnEvaluation) {
  cel::Run run(Limits{.cost = UINT64_MAX});
  // Each step is cheap and the text doubles.
  std::string text = "'aaaaaaaaaaaaaaaa'";
  for (int i = 0; i < 6; ++i) text += ".replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')";
  EXPECT_EQ(evaluated(run, text + ".size() > 0").text(),
            "operation cancelled: too much memory is used");
}

TEST(Cel, CancellationEndsAnEvaluation) {
  const std::atomic<bool> cancelled = true;
  cel::Run run(Limits{.cancelled = &cancelled});
  EXPECT_EQ(evaluated(run, "lists.range(1000).all(i, i >= 0)").text(), "operation interrupted");
}

// --- authorizer, lazy fields
// -----------------------------------------------------------------------

class FakeAuthorizer final : public Authorizer {
 public:
  AuthorizationAnswer authorize(const AuthorizationUser& user,
                                const AuthorizationQuery& q) const override {
    const std::string asked = user.name + " " + std::string(q.verb) + " " + std::string(q.path) +
                              std::string(q.group) + "/" + std::string(q.resource) + "/" +
                              std::string(q.subresource) + "/" + std::string(q.namespace_) + "/" +
                              std::string(q.name) + "?" + std::string(q.label_selector);
    return {q.verb == "get", asked, q.verb == "fail" ? "broken" : ""};
  }
};

TEST(Cel, AuthorizerIsAsked) {
  const FakeAuthorizer authorizer;
  const AuthorizationUser user{"amy", "", {}, nullptr};
  Env env;
  const size_t i = env.add("authorizer", struct_type("kubernetes.authorization.Authorizer"));
  for (const OnObject& c : std::initializer_list<OnObject>{
           {"authorizer.path('/healthz').check('get').allowed()", "true"},
           {"authorizer.path('/healthz').check('put').reason()", "\"amy put /healthz////?\""},
           {"authorizer.path(' ').check('get').allowed()", "path must not be empty"},
           {"authorizer.group('apps').resource('deployments').subresource('scale').namespace('ns')"
            ".name('d').labelSelector('a=b').check('put').reason()",
            "\"amy put apps/deployments/scale/ns/d?a=b\""},
           {"authorizer.group('').resource('').check('get')", "resource must not be empty"},
           {"authorizer.serviceAccount('ns', "
            "'sa').group('').resource('pods').check('get').reason()",
            "\"system:serviceaccount:ns:sa get /pods///?\""},
           {"authorizer.serviceAccount('NS', 'sa')", "Invalid service account namespace"},
           {"authorizer.path('/x').check('fail').error()", "\"broken\""},
           {"authorizer.path('/x').check('fail').errored()", "true"}}) {
    SCOPED_TRACE(c.expression);
    const Result<Expression> e = Expression::compile(c.expression, env);
    ASSERT_TRUE(e.ok()) << e.status().message();
    const Result<ProgramPtr> program = e->plan();
    cel::Run run;
    run.bind(i, Val::opaque(run.make<AuthorizerValue>(&authorizer, &user)));
    const Val v = (*program)->evaluate(run);
    EXPECT_EQ(v.is_error() ? std::string(v.text()) : written(run, v), c.want);
  }
}

class Counted final : public LazyFields {
 public:
  bool find(Run&, std::string_view name, Val& out) const override {
    if (name != "answer") return false;
    if (made_.is(Tag::kUnset)) {
      ++asked;
      made_ = Val::integer(42);
    }
    out = made_;
    return true;
  }
  size_t size() const override { return 1; }
  std::string_view name_at(size_t) const override { return "answer"; }
  mutable int asked = 0;

 private:
  mutable Val made_;
};

TEST(Cel, LazyFieldsAreMadeWhenTheyAreRead) {
  const Counted fields;
  Env env;
  env.add("variables", map_type(string_type(), dyn_type()));
  const auto run_it = [&](const char* text) {
    const Result<Expression> e = Expression::compile(text, env);
    EXPECT_TRUE(e.ok());
    const Result<ProgramPtr> program = e->plan();
    cel::Run run;
    run.bind(0, Val::lazy(&fields));
    return (*program)->evaluate(run).is_true();
  };
  EXPECT_TRUE(run_it("true || variables.answer == 1"));
  EXPECT_EQ(fields.asked, 0);
  EXPECT_TRUE(run_it("variables.answer == 42 && variables.answer > 1 && !has(variables.other)"));
  EXPECT_EQ(fields.asked, 1);
}

TEST(Cel, NamesOfFieldsAreEscaped) {
  for (const auto& [name, escaped] :
       std::initializer_list<std::pair<const char*, const char*>>{{"a", "a"},
                                                                  {"a-b", "a__dash__b"},
                                                                  {"a.b/c", "a__dot__b__slash__c"},
                                                                  {"a__b", "a__underscores__b"},
                                                                  {"namespace", "__namespace__"},
                                                                  {"in", "__in__"}}) {
    std::string out;
    EXPECT_TRUE(escape_name(name, out));
    EXPECT_EQ(out, escaped);
    EXPECT_TRUE(unescape_name(escaped, out));
    EXPECT_EQ(out, name);
  }
  std::string out;
  for (const char* bad : {"", "1a", "a b", "\xc3\xa9", "a$"}) EXPECT_FALSE(escape_name(bad, out));
  EXPECT_FALSE(unescape_name("a__nothing__b", out));
}

}  // namespace
}  // namespace keles::cel
