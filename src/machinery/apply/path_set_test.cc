#include "machinery/apply/path_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machinery/apply/managed.h"

namespace keles::apply {
namespace {

using ::testing::ElementsAre;

PathSet parse(Arena& a, std::string_view text) {
  auto s = parse_fields_v1(a, text);
  EXPECT_TRUE(s.has_value()) << text;
  return s ? s->set : nullptr;
}

TEST(FieldsV1, ReadsWhatItWrites) {
  for (std::string_view text : {
           R"({})",
           R"({"f:spec":{}})",
           R"({"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{}}})",
           R"({"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{}}}})",
           R"({"f:finalizers":{"v:\"a\"":{},"v:\"b\"":{}},"f:l":{"i:2":{},"i:10":{}}})",
           R"({"f:data":{"f:a\nb":{},"f:a\"b":{},"f:a<b":{},"f:a\\b":{}}})",
           R"({"f:s":{"v:1.5":{},"v:\"\\u003c\"":{},"v:true":{}}})",
       }) {
    Arena a;
    EXPECT_EQ(to_fields_v1(parse(a, text)), text);
  }
}

TEST(FieldsV1, HasOneFormForEverySpelling) {
  struct Row {
    std::string_view in, out;
  };
  for (const Row& r : {
           Row{R"( { "f:b" : { } , "f:a" : {} } )", R"({"f:a":{},"f:b":{}})"},
           Row{R"({"f:a":{".":{}}})", R"({"f:a":{}})"},
           Row{R"({"f:a":null})", R"({"f:a":{}})"},
           Row{R"({"f:a":{"x:new":{"y":[1,"z",{"q":null}]}}})", R"({"f:a":{}})"},
           Row{R"({"x:new":{},"f:a":{}})", R"({"f:a":{}})"},
           Row{R"({"f:a":{"f:x":{}},"f:a":{}})", R"({"f:a":{".":{},"f:x":{}}})"},
           // Keys come sorted, numbers in one form, whatever the client wrote.
           Row{R"({"k:{ \"protocol\":\"TCP\", \"port\":80.0 }":{}})",
               R"({"k:{\"port\":80,\"protocol\":\"TCP\"}":{}})"},
           // Numbers sort by size, and texts of which one begins the other the shorter first.
           Row{R"({"v:10":{},"v:9":{},"v:-1":{},"v:\"ab\"":{},"v:\"a\"":{},"v:true":{}})",
               R"({"v:-1":{},"v:9":{},"v:10":{},"v:\"a\"":{},"v:\"ab\"":{},"v:true":{}})"},
           Row{R"({"k:{\"p\":8080}":{},"k:{\"p\":443}":{},"k:{\"p\":443,\"q\":\"a\"}":{}})",
               R"({"k:{\"p\":443}":{},"k:{\"p\":443,\"q\":\"a\"}":{},"k:{\"p\":8080}":{}})"},
           Row{R"({"i:0":{},"v:1":{},"k:{\"a\":1}":{},"f:a":{}})",
               R"({"f:a":{},"k:{\"a\":1}":{},"v:1":{},"i:0":{}})"},
       }) {
    Arena a;
    EXPECT_EQ(to_fields_v1(parse(a, r.in)), r.out) << r.in;
  }
}

TEST(FieldsV1, RefusesWhatItIsNot) {
  for (std::string_view text :
       {"", "1", "[]", "\"f:a\"", "{", "{\"f:a\"}", "{\"f:a\":1}", "{\"f:a\":[]}", "{\"a\":{}}",
        "{\"fa\":{}}", "{\"k:{\":{}}", "{\"k:1\":{}}", "{\"v:\":{}}", "{\"i:x\":{}}",
        "{\"f:a\":{}}x", "{\"f:\\u12\":{}}", "{\"f:a\":{},}"}) {
    Arena a;
    EXPECT_FALSE(parse_fields_v1(a, text).has_value()) << text;
  }
  std::string deep;
  for (int i = 0; i < kMaxPathDepth + 10; ++i) deep += "{\"f:a\":";
  Arena a;
  EXPECT_FALSE(parse_fields_v1(a, deep).has_value());
}

TEST(PathSet, Operations) {
  struct Row {
    std::string_view a, b, both, common, rest, deep;
  };
  for (const Row& r : {
           Row{R"({"f:x":{},"f:y":{}})", R"({"f:y":{},"f:z":{}})",
               R"({"f:x":{},"f:y":{},"f:z":{}})", R"({"f:y":{}})", R"({"f:x":{}})",
               R"({"f:x":{}})"},
           // What lies below a member of the other stays, unless one takes away deeply.
           Row{R"({"f:x":{"f:a":{}}})", R"({"f:x":{}})", R"({"f:x":{".":{},"f:a":{}}})", R"({})",
               R"({"f:x":{"f:a":{}}})", R"({})"},
           Row{R"({"f:x":{".":{},"f:a":{}}})", R"({"f:x":{"f:a":{}}})",
               R"({"f:x":{".":{},"f:a":{}}})", R"({"f:x":{"f:a":{}}})", R"({"f:x":{}})",
               R"({"f:x":{}})"},
           Row{R"({})", R"({"f:x":{}})", R"({"f:x":{}})", R"({})", R"({})", R"({})"},
           Row{R"({"f:x":{}})", R"({})", R"({"f:x":{}})", R"({})", R"({"f:x":{}})",
               R"({"f:x":{}})"},
           Row{R"({"f:l":{"k:{\"n\":\"a\"}":{".":{},"f:n":{},"f:v":{}}}})",
               R"({"f:l":{"k:{\"n\":\"a\"}":{"f:v":{}},"k:{\"n\":\"b\"}":{}}})",
               R"({"f:l":{"k:{\"n\":\"a\"}":{".":{},"f:n":{},"f:v":{}},"k:{\"n\":\"b\"}":{}}})",
               R"({"f:l":{"k:{\"n\":\"a\"}":{"f:v":{}}}})",
               R"({"f:l":{"k:{\"n\":\"a\"}":{".":{},"f:n":{}}}})",
               R"({"f:l":{"k:{\"n\":\"a\"}":{".":{},"f:n":{}}}})"},
       }) {
    Arena arena;
    PathSet a = parse(arena, r.a), b = parse(arena, r.b);
    EXPECT_EQ(to_fields_v1(unite(arena, a, b)), r.both);
    EXPECT_EQ(to_fields_v1(unite(arena, b, a)), r.both);
    EXPECT_EQ(to_fields_v1(intersect(arena, a, b)), r.common);
    EXPECT_EQ(to_fields_v1(intersect(arena, b, a)), r.common);
    EXPECT_EQ(to_fields_v1(subtract(arena, a, b)), r.rest);
    EXPECT_EQ(to_fields_v1(subtract_deep(arena, a, b)), r.deep);
    EXPECT_EQ(subtract(arena, a, nullptr), a);
  }
}

TEST(PathSet, AnOperationThatChangesNothingGivesItsInput) {
  Arena arena;
  PathSet a = parse(arena, R"({"f:m":{"f:l":{".":{},"f:a":{}}},"f:s":{"f:r":{}}})");
  PathSet part = parse(arena, R"({"f:m":{"f:l":{"f:a":{}}}})");
  PathSet other = parse(arena, R"({"f:s":{"f:q":{}}})");
  EXPECT_EQ(unite(arena, a, part), a);
  EXPECT_EQ(subtract(arena, a, other), a);
  EXPECT_EQ(intersect(arena, a, a), a);
}

TEST(PathSet, KeepsWhatPatternsName) {
  Arena arena;
  PathSet s = parse(
      arena, R"({"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:containers":)"
             R"({"k:{\"name\":\"a\"}":{"f:image":{},"f:resources":{"f:limits":{"f:cpu":{}}}},)"
             R"("k:{\"name\":\"b\"}":{"f:image":{}}}}})");
  const PathPattern p{"spec", "containers", "*", "resources"};
  EXPECT_EQ(to_fields_v1(keep_matching(arena, s, {&p, 1})),
            R"({"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":)"
            R"({"f:resources":{"f:limits":{"f:cpu":{}}}}}}})");
}

TEST(PathSet, ListsPathsAsErrorsShowThem) {
  Arena arena;
  PathSet s = parse(
      arena, R"({"f:metadata":{"f:finalizers":{".":{},"v:\"x\"":{}}},"f:spec":{"f:ports":)"
             R"({"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{}}},"f:l":{"i:3":{}}}})");
  EXPECT_THAT(list_paths(s), ElementsAre(".metadata.finalizers", ".metadata.finalizers[=\"x\"]",
                                         ".spec.l[3]", ".spec.ports[port=80,protocol=\"TCP\"]",
                                         ".spec.ports[port=80,protocol=\"TCP\"].name"));
}

TEST(FieldManagerName, IsPrintableAndShort) {
  EXPECT_TRUE(check_field_manager("", "f").empty());
  EXPECT_TRUE(check_field_manager(std::string(128, 'a'), "f").empty());
  EXPECT_TRUE(check_field_manager("kubectl edit \xC3\xA9 \xE4\xB8\xAD", "f").empty());
  auto bad = check_field_manager(std::string(129, 'a'), "f");
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_EQ(bad[0].message, "Too long: may not be more than 128 bytes");
  bad = check_field_manager("a\nb\t", "f");
  ASSERT_EQ(bad.size(), 2u);
  EXPECT_EQ(bad[0].message,
            "Invalid value: \"a\\nb\\t\": invalid character U+000A (at position 1)");
  EXPECT_EQ(bad[1].message,
            "Invalid value: \"a\\nb\\t\": invalid character U+0009 (at position 3)");
}

TEST(FieldManagerName, ComesFromTheUserAgent) {
  EXPECT_EQ(manager_of_agent("kubectl/v1.35.0 (linux/amd64) kubernetes/abc"), "kubectl");
  EXPECT_EQ(manager_of_agent("Go-http-client/2.0"), "Go-http-client");
  EXPECT_EQ(manager_of_agent(""), "");
  EXPECT_EQ(manager_of_agent("a\x01"
                             "b/1"),
            "ab");
  EXPECT_EQ(manager_of_agent(std::string(200, 'x')).size(), 128u);
}

}  // namespace
}  // namespace keles::apply
