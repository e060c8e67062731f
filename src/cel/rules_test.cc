// x-kubernetes-validations: golden/rules.jsonl says of schemas and objects what a 1.36 server says
// of them (errors, warnings, what is left of the budget), and of schemas as a definition's.
#include "cel/rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "base/encoding.h"
#include "base/file.h"
#include "machinery/codec_json.h"

namespace keles::cel {
namespace {

using Lines = std::vector<std::string>;

Document json(std::string_view text) {
  Result<Document> d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return d.ok() ? std::move(*d) : Document();
}

Lines lines(const Value& list) {
  Lines out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

Lines lines(const FieldErrors& errors) {
  Lines out;
  for (const StatusCause& c : errors) out.push_back(c.field + ": " + c.message);
  return out;
}

// The errors of an object, on creation.
Lines errors(std::string_view schema, std::string_view object, int64_t budget = 10'000'000) {
  const Document s = json(schema), o = json(object);
  FieldErrors out;
  RuleTree::Check check{out};
  check.budget = budget;
  const auto tree = RuleTree::compile(s.root, true);
  if (tree) tree->check(check, o.root, nullptr);
  return lines(out);
}

void hold(const Value& c) {
  FieldErrors errors;
  if (const Value* definition = c.find("definition")) {
    check_rule_definitions(errors, *definition, "spec.validation.openAPIV3Schema", false);
    EXPECT_EQ(lines(errors), lines(c["errors"]));
    return;
  }
  const auto tree = RuleTree::compile(c["schema"], true);
  ASSERT_NE(tree, nullptr);
  Lines warnings;
  RuleTree::Check check{errors};
  if (c["ratchet"].as_bool()) check.warnings = &warnings;
  tree->check(check, c["object"], c.find("old"));
  EXPECT_EQ(lines(errors), lines(c["errors"]));
  EXPECT_EQ(warnings, lines(c["warnings"]));
  EXPECT_EQ(check.budget, c["budget"].as_int());
}

TEST(Rules, AreWhatAServerSaysOfThem) {
  const auto text = read_file("src/cel/golden/rules.jsonl");
  ASSERT_TRUE(text.ok());
  size_t cases = 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
    SCOPED_TRACE(std::string(line.substr(0, 2000)));
    const Document c = json(line);
    hold(c.root);
    ++cases;
  }
  EXPECT_GT(cases, 100u);
}

TEST(Rules, NoneCostsNothing) {
  const Document s = json(R"({"type":"object","properties":{"a":{"type":"integer"}}})");
  EXPECT_EQ(RuleTree::compile(s.root, true), nullptr);
}

TEST(Rules, EveryPartOfAnAllOfCounts) {
  constexpr std::string_view kSchema =
      R"({"type":"object","properties":{"a":{"type":"integer"}},"allOf":[
          {"x-kubernetes-validations":[{"rule":"self.a > 3"}]},
          {"properties":{"a":{"x-kubernetes-validations":[{"rule":"self > 4"}]}}}]})";
  EXPECT_EQ(errors(kSchema, R"({"a":1})"), (Lines{"<nil>: Invalid value: failed rule: self.a > 3",
                                                  "a: Invalid value: 1: failed rule: self > 4"}));
  EXPECT_EQ(errors(kSchema, R"({"a":5})"), Lines{});
}

TEST(Rules, WarnInTheOrderOfTheSchema) {
  const Document s = json(R"({"type":"object","properties":{
      "a":{"type":"integer","x-kubernetes-validations":[{"rule":"self > 5"}]},
      "b":{"type":"integer","x-kubernetes-validations":[{"rule":"self > 6"}]},
      "c":{"type":"integer","x-kubernetes-validations":[{"rule":"self > 7"}]}}})");
  const Document before = json(R"({"a":1,"b":1,"c":1})"), now = json(R"({"c":1,"b":2,"a":1})");
  FieldErrors errors;
  Lines warnings;
  RuleTree::Check check{errors};
  check.warnings = &warnings;
  RuleTree::compile(s.root, true)->check(check, now.root, &before.root);
  EXPECT_EQ(lines(errors), Lines{"b: Invalid value: 2: failed rule: self > 6"});
  EXPECT_EQ(warnings, (Lines{"a: Invalid value: 1: failed rule: self > 5",
                             "c: Invalid value: 1: failed rule: self > 7"}));
}

TEST(Rules, EndWithTheBudget) {
  constexpr std::string_view kSchema =
      R"({"type":"object","properties":{
          "a":{"type":"integer","x-kubernetes-validations":[{"rule":"self > 5"}]},
          "b":{"type":"integer","x-kubernetes-validations":[{"rule":"self > 6"}]}}})";
  const std::string out =
      "Invalid value: \"integer\": validation failed due to running out of cost budget, no further "
      "validation rules will be run";
  EXPECT_EQ(errors(kSchema, R"({"a":1,"b":1})", 1), Lines{"a: " + out});
  EXPECT_EQ(errors(kSchema, R"({"a":1,"b":1})", 2),
            (Lines{"a: Invalid value: 1: failed rule: self > 5", "b: " + out}));
  EXPECT_EQ(errors(kSchema, R"({"a":1,"b":1})", 4).size(), 2u);
}

// A version whose schema stays is not refused for the cost of a single rule.
TEST(Rules, OfAnUnchangedSchemaMayCostWhatTheyDid) {
  const Document s = json(R"j({"type":"object","properties":{"l":{"type":"array",
      "items":{"type":"string"},"x-kubernetes-validations":[
          {"rule":"self.all(x, self.all(y, x == y))"}]}}})j");
  FieldErrors fresh, kept;
  check_rule_definitions(fresh, s.root, "s", false);
  check_rule_definitions(kept, s.root, "s", true);
  EXPECT_EQ(fresh.size(), 3u);
  EXPECT_TRUE(std::none_of(kept.begin(), kept.end(), [](const StatusCause& c) {
    return c.message.starts_with("Forbidden: estimated rule cost exceeds");
  }));
}

TEST(Rules, AreSharedByThreads) {
  const Document s = json(R"j({"type":"object","properties":{"l":{"type":"array","items":{
      "type":"string","x-kubernetes-validations":[{"rule":"self.matches('^a+$')",
      "messageExpression":"'no: ' + self"}]}}}})j");
  const Document o = json(R"({"l":["a","aa","b"]})");
  const auto tree = RuleTree::compile(s.root, true);
  std::vector<Lines> got(4);
  std::vector<std::thread> threads;
  for (Lines& mine : got) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        FieldErrors errors;
        RuleTree::Check check{errors};
        tree->check(check, o.root, nullptr);
        mine = lines(errors);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const Lines& mine : got) EXPECT_EQ(mine, Lines{"l[2]: Invalid value: \"b\": no: b"});
}

}  // namespace
}  // namespace keles::cel
