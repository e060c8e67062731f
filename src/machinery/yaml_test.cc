#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles {
namespace {

std::string round(std::string_view text) {
  auto d = parse_yaml(text);
  return d.ok() ? write_yaml(d->root) : d.status().message();
}

TEST(Yaml, Scalars) {
  EXPECT_EQ(round("a: yes\nb: On\nc: n\nd: 0777\ne: 0x1F\nf: 1_000\ng: ~\nh: 1.5\ni: 1e3\n"),
            "a: true\nb: true\nc: false\nd: 511\ne: 31\nf: 1000\ng: null\nh: 1.5\ni: 1000\n");
  EXPECT_EQ(round("a: 2024-01-01T00:00:00Z\nb: '1'\nc: \"yes\"\nd: 08\ne: 0b11\nf: +3\ng: 1.2.3\n"),
            "a: \"2024-01-01T00:00:00Z\"\nb: \"1\"\nc: \"yes\"\nd: 8\ne: 3\nf: 3\ng: 1.2.3\n");
  EXPECT_EQ(round("a: !!str 12\nb: !!int \"7\"\nc: 1:30\nd:\n"),
            "a: \"12\"\nb: 7\nc: \"1:30\"\nd: null\n");
  EXPECT_EQ(round("1: a\ntrue: b\n"), "\"1\": a\n\"true\": b\n");
  EXPECT_EQ(round("x: .inf"), "error converting YAML to JSON: json: unsupported value: +Inf");
}

TEST(Yaml, Structure) {
  EXPECT_EQ(round("b: [1, {c: d}]\na: {}\ne: []\n"), "a: {}\nb:\n- 1\n- c: d\ne: []\n");
  EXPECT_EQ(round("{\"a\": [1, 2, null], \"b\": \"x\\ny\\n\"}"),
            "a:\n- 1\n- 2\n- null\nb: |\n  x\n  y\n");
  EXPECT_EQ(round("base: &b {x: 1, z: 2}\nc:\n  <<: *b\n  z: 3\n"),
            "base:\n  x: 1\n  z: 2\nc:\n  x: 1\n  z: 3\n");
  EXPECT_EQ(round("k10: a\nk9: b\nK: c\n"), "K: c\nk9: b\nk10: a\n");
  EXPECT_EQ(round(""), "null\n");
}

// A comment in front makes it YAML that is no JSON: both ways must come to the same.
TEST(Yaml, JsonIsReadAsYamlWouldReadIt) {
  for (const char* text : {
           R"({"a":1,"b":[true,false,null,-7,0,-0,9223372036854775807],"c":{"d":"e f","g":{}}})",
           "{\"a\": {\n  \"b\" : [ ],\n\"c\":\"# no comment: [x], {y}\" } }\n",
           R"({"yes":"no","null":"null","1":"2","":"","~":"- x","a":" two  spaces "})",
           R"({"a":1.5,"b":1e3,"c":12345678901234567890,"d":1.0})",
           R"({"a":"tab\tquote\"\u00e9\ud83d\ude00"})",
           "{\"a\":\"\xc3\xa9\"}",
           R"({"<<":{"a":1},"b":2})",
           R"({"a":{"<<":"x"}})",
           "{\"a\":\t1}",
           R"({"a":1} )",
           R"({})",
           R"({"a":[[[[1]]],{"b":[{"c":null}]}]})",
       }) {
    auto plain = parse_yaml(text), yaml = parse_yaml(std::string("# \n") + text);
    ASSERT_EQ(plain.ok(), yaml.ok()) << text;
    if (!plain.ok()) continue;
    EXPECT_EQ(to_json(plain->root), to_json(yaml->root)) << text;
  }
  std::vector<std::string> twice;
  YamlOptions options;
  options.duplicates = &twice;
  EXPECT_TRUE(parse_yaml(R"({"a":1,"b":{"c":1,"c":2}})", options).ok());
  EXPECT_EQ(twice.size(), 1u);
  EXPECT_FALSE(parse_yaml(R"({"a":1,"a":2})").ok());
  EXPECT_TRUE(parse_yaml(R"({"a":1}})").ok());  // the first document is whole
  options.scalars_as_text = true;
  EXPECT_TRUE(parse_yaml(R"({"a":1})", options)->root["a"].is_string());
  const std::string deep = std::string(400, '[') + std::string(400, ']');
  EXPECT_TRUE(parse_yaml("{\"a\":" + deep + "}").ok());
  const std::string long_key = "{\"" + std::string(2000, 'k') + "\":1}";
  EXPECT_EQ(parse_yaml(long_key).ok(), parse_yaml("# \n" + long_key).ok());
}

TEST(Yaml, WritesTextAsKubectlDoes) {
  EXPECT_EQ(
      round("a: 'The node was low on resource: memory. Container xyz was using 123Ki, which "
            "exceeds its request of 0.'\n"),
      "a: 'The node was low on resource: memory. Container xyz was using 123Ki, which exceeds\n"
      "  its request of 0.'\n");
  EXPECT_EQ(round("a: \"x: y\"\nb: \"- z\"\nc: \"\"\nd: \"a\\tb\"\ne: \"l1 \\nl2\"\n"),
            "a: 'x: y'\nb: '- z'\nc: \"\"\nd: \"a\\tb\"\ne: \"l1 \\nl2\"\n");
}

TEST(Yaml, Documents) {
  auto all = parse_yaml_all("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n");
  ASSERT_TRUE(all.ok()) << all.status().message();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[1].root["b"].as_int(), 2);
}

TEST(Yaml, StreamsOfJson) {
  struct Case {
    const char* text;
    const char* want;  // the documents, or what the error holds
  };
  for (const Case& c : {
           Case{"{\"a\":1}{\"b\":\"}{\"}\n{\"c\":[{}]}\n", R"({"a":1}{"b":"}{"}{"c":[{}]})"},
           Case{"\n\t{\n\t\t\"a\": {\"b\": 1}\n\t}\n\t", R"({"a":{"b":1}})"},
           Case{"{\"a\":\"\\\"}\"}\n---\nb: 2\n---\n{\"c\":3}\n", R"({"a":"\"}"}{"b":2}{"c":3})"},
           Case{"{\"a\":1}\n# a word\n---\nb: 2\n", R"({"a":1}{"b":2})"},
           Case{"{a: 1, b: [x, z]}\n", R"({"a":1,"b":["x","z"]})"},
           Case{"{\"a\":1,\"a\":2}", "key \"a\" already set in map"},
           Case{"{\"a\":1}{\"b\":", "error converting YAML to JSON"},
           Case{"{\"a\":1}]", "error converting YAML to JSON"},
       }) {
    auto all = parse_yaml_all(c.text);
    std::string got;
    if (all.ok()) {
      for (const Document& d : *all) got += to_json(d.root);
      EXPECT_EQ(got, c.want) << c.text;
    } else {
      EXPECT_NE(all.status().message().find(c.want), std::string::npos)
          << c.text << ": " << all.status().message();
    }
  }
  std::string many;
  for (int i = 0; i < 10'001; ++i) many += "{}";
  EXPECT_FALSE(parse_yaml_all(many).ok());
  EXPECT_FALSE(parse_yaml_all(std::string(100'000, '{')).ok());
}

TEST(Yaml, Errors) {
  EXPECT_EQ(round("a: b\nc: d: e\n"),
            "error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this "
            "context");
  EXPECT_EQ(round("a: 1\nb: 2\na: 3\n"),
            "error converting YAML to JSON: yaml: unmarshal errors:\n  line 3: key \"a\" already "
            "set in map");
  EXPECT_EQ(round("a: *x\n"), "error converting YAML to JSON: yaml: unknown anchor 'x' referenced");
  EXPECT_EQ(round("a: &x [*x]\n"),
            "error converting YAML to JSON: yaml: anchor 'x' value contains itself");
  std::vector<std::string> duplicates;
  auto d = parse_yaml("a: 1\na: 2\n", {&duplicates});
  ASSERT_TRUE(d.ok());
  EXPECT_EQ(d->root["a"].as_int(), 2);
  EXPECT_EQ(duplicates, std::vector<std::string>{"line 2: key \"a\" already set in map"});
}

TEST(Yaml, Bounds) {
  std::string deep(2000, '[');
  EXPECT_FALSE(parse_yaml(deep).ok());
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    std::string n = std::to_string(i), p = std::to_string(i - 1);
    bomb += "a" + n + ": &a" + n + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ",*a" : "*a") + p;
    bomb += "]\n";
  }
  auto r = parse_yaml(bomb);
  ASSERT_FALSE(r.ok());
  EXPECT_NE(r.status().message().find("excessive aliasing"), std::string::npos);
}

}  // namespace
}  // namespace keles
