// The reviews of the API: cases/reviews.yaml. A case is a body of a kind; `causes` are all that it
// is refused for, in order ("field: message"), `refused` the message of an answer that is no 422.
// The facts are upstream's.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/schema.h"
#include "server/auth/auth.h"

namespace keles::auth {
namespace {

constexpr const char* kTable = "src/server/auth/cases/reviews.yaml";

Document table() {
  std::ifstream in(kTable);
  std::stringstream text;
  text << in.rdbuf();
  Result<Document> doc = parse_yaml(text.str());
  EXPECT_TRUE(doc.ok()) << doc.status().message();
  return doc.ok() ? std::move(*doc) : Document();
}

const KindDesc* kind_named(std::string_view text) {
  const size_t space = text.find(' ');
  return space == text.npos ? nullptr : find_kind(text.substr(0, space), text.substr(space + 1));
}

// "", or what was said instead of what the case expects.
std::string answer(const KindDesc& kind, const Value& c) {
  Document body;
  body.root = deep_copy(body.arena, c["body"]);
  body.root.set(body.arena, "apiVersion", Value::string(kind.api_version()));
  body.root.set(body.arena, "kind", Value::string(kind.kind));
  if (Status s = decode_object(kind, body, FieldValidation::kStrict); !s.ok()) return s.message();
  const Status s = Auth::check_review(kind, "dev", body.root);
  std::string causes, expected;
  for (const StatusCause& cause : s.details().causes) {
    causes += "\n  " + cause.field + ": " + cause.message;
  }
  for (const Value& line : c["causes"].items()) expected += "\n  " + std::string(line.as_string());
  const std::string refused = s.ok() || s.is(Reason::kInvalid) ? "" : s.message();
  if (causes == expected && refused == c["refused"].as_string()) return "";
  return "said:" + causes + "\n  " + refused + "\nexpected:" + expected + "\n  " +
         std::string(c["refused"].as_string());
}

TEST(ReviewCases, WhatIsRefusedAndInWhichWords) {
  const Document cases = table();
  ASSERT_GE(cases.root["cases"].size(), 100u);
  std::set<std::string_view> names;
  for (const Value& c : cases.root["cases"].items()) {
    const std::string_view name = c["name"].as_string();
    EXPECT_TRUE(names.insert(name).second) << "twice: " << name;
    const KindDesc* kind = kind_named(c["kind"].as_string());
    ASSERT_NE(kind, nullptr) << name;
    ASSERT_TRUE(Auth::is_review(*kind)) << name;
    EXPECT_EQ(answer(*kind, c), "") << name;
  }
}

}  // namespace
}  // namespace keles::auth
