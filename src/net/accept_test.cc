#include "net/accept.h"

#include <gtest/gtest.h>

#include <vector>

namespace keles::net {
namespace {

std::vector<std::string> order(std::string_view accept) {
  std::vector<std::string> out;
  best_range(accept, [&](const MediaRange& r) {
    out.push_back(r.type());
    return false;
  });
  return out;
}

TEST(Accept, TheBestComesFirst) {
  using List = std::vector<std::string>;
  struct Row {
    const char* accept;
    List order;
  };
  for (const Row& row : std::vector<Row>{
           {"", {}},
           {" \t ", {}},
           {"application/json", {"application/json"}},
           {"Application/JSON", {"application/json"}},
           {"*", {"*/*"}},
           {"a/b, c/d", {"a/b", "c/d"}},
           {"a/b;q=0.1, c/d;q=0.9, e/f", {"e/f", "c/d", "a/b"}},
           {"a/b; x=1 ; q=0.5,c/d;q=0.50,e/f;q=0.6", {"e/f", "a/b", "c/d"}},
           {"*/*, application/*, application/yaml", {"application/yaml", "application/*", "*/*"}},
           {"*/*, a/b;q=0.5", {"*/*", "a/b"}},
           {"a/b;q=9, c/d;q=-3, e/f;q=x", {"a/b", "c/d", "e/f"}},
           {",, a/b ,,", {"a/b"}},
       }) {
    EXPECT_EQ(order(row.accept), row.order) << row.accept;
  }
}

TEST(Accept, TypesAndParameters) {
  const MediaRange r(" application/json;as=Table; v=v1 ;g=meta.k8s.io;flag; empty=;as=Other");
  EXPECT_EQ(r.type(), "application/json");
  EXPECT_EQ(r.parameter("as"), "Table");
  EXPECT_EQ(r.parameter("v"), "v1");
  EXPECT_EQ(r.parameter("g"), "meta.k8s.io");
  EXPECT_EQ(r.parameter("flag"), "");
  EXPECT_EQ(r.parameter("q"), "");
  EXPECT_TRUE(r.takes("application/json"));
  EXPECT_FALSE(r.takes("application/yaml"));
  EXPECT_TRUE(MediaRange("*/*").takes("application/yaml"));
  EXPECT_TRUE(MediaRange("application/*;q=0.1").takes("application/yaml"));
  EXPECT_FALSE(MediaRange("text/*").takes("application/yaml"));
  EXPECT_FALSE(MediaRange("").takes("application/yaml"));
}

TEST(Accept, TheFirstThatIsTakenEndsIt) {
  std::string seen;
  EXPECT_TRUE(best_range("a/b, c/d, e/f", [&](const MediaRange& r) {
    seen += r.type();
    return r.type() == "c/d";
  }));
  EXPECT_EQ(seen, "a/bc/d");
  EXPECT_FALSE(best_range("a/b", [](const MediaRange&) { return false; }));
  std::string long_field;
  for (int i = 0; i < 1000; ++i) long_field += "a/b,";
  EXPECT_EQ(order(long_field).size(), kMaxRanges);
}

}  // namespace
}  // namespace keles::net
