#include "store/memory_map.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace keles {
namespace {

RecordPtr record(const std::string& key, int64_t revision) {
  return std::make_shared<Record>(
      Record{std::make_shared<const std::string>(key), nullptr, revision, 1});
}

using Model = std::map<std::string, int64_t>;

void expect_same(const MemoryMap& map, const Model& model, const std::string& prefix) {
  auto it = model.lower_bound(prefix);
  size_t n = 0;
  map.scan(prefix, "", [&](const RecordPtr& r) {
    EXPECT_NE(it, model.end());
    EXPECT_EQ(*r->key, it->first);
    EXPECT_EQ(r->create_revision, it->second);
    ++it, ++n;
    return true;
  });
  EXPECT_TRUE(it == model.end() || !it->first.starts_with(prefix));
  EXPECT_EQ(map.count(prefix), n);
  size_t in_stretches = 0;
  for (const ObjectStretch& s : map.stretches(prefix)) {
    EXPECT_LT(s.from, s.to);
    EXPECT_LE(s.to, s.run->size());
    in_stretches += s.size();
  }
  EXPECT_EQ(in_stretches, n);
}

TEST(MemoryMap, AgreesWithAnOrderedMapUnderRandomChanges) {
  Random random(7);
  MemoryMap map;
  Model model;
  std::vector<std::pair<MemoryMap, Model>> versions;
  for (int round = 0; round < 400; ++round) {
    MemoryMap::Edit edit(map);
    bool shrinking = (round / 50) % 2 == 1;
    for (int i = 0; i < 60; ++i) {
      std::string key =
          "/k/" + std::to_string(random.below(8)) + "/" + std::to_string(random.below(700));
      if (random.chance(shrinking ? 0.8 : 0.2)) {
        EXPECT_EQ(edit.erase(key), model.erase(key) == 1);
      } else {
        edit.put(record(key, round));
        model[key] = round;
      }
    }
    map = edit.finish();
    ASSERT_EQ(map.size(), model.size());
    expect_same(map, model, "/k/" + std::to_string(random.below(9)) + "/");
    if (round % 40 == 0) versions.emplace_back(map, model);
  }
  expect_same(map, model, "");
  for (auto& [version, then] : versions) expect_same(version, then, "");  // none has moved
  MemoryMap::Edit edit(map);
  for (auto& [key, revision] : model) EXPECT_TRUE(edit.erase(key));
  EXPECT_EQ(edit.finish().size(), 0u);
}

// Keys that end early, that hold zero bytes, that differ late or at once.
TEST(MemoryMap, KeysOfOddShapes) {
  Random random(11);
  MemoryMap map;
  Model model;
  auto odd_key = [&random] {
    static constexpr std::string_view kBytes(
        "\0\x01"
        "a\xff",
        4);
    static const std::string kBegins[] = {"", "/registry/", "/registry/configmaps/bench/cm-", "~"};
    std::string key = kBegins[random.below(4)];
    for (uint64_t n = random.below(12); n > 0; --n) key += kBytes[random.below(4)];
    return key;
  };
  for (int round = 0; round < 200; ++round) {
    MemoryMap::Edit edit(map);
    for (int i = 0; i < 50; ++i) {
      std::string key = odd_key();
      if (random.chance((round / 40) % 2 == 1 ? 0.8 : 0.2)) {
        EXPECT_EQ(edit.erase(key), model.erase(key) == 1);
      } else {
        edit.put(record(key, round));
        model[key] = round;
      }
    }
    map = edit.finish();
    ASSERT_EQ(map.size(), model.size());
    expect_same(map, model, "");
    for (int i = 0; i < 50; ++i) {
      std::string key = odd_key();
      RecordPtr found = map.find(key);
      auto known = model.find(key);
      ASSERT_EQ(found != nullptr, known != model.end());
      if (found) {
        EXPECT_EQ(found->create_revision, known->second);
      }
      expect_same(map, model, key);
    }
  }
}

TEST(MemoryMap, ScanStartsAndStopsWhereItIsTold) {
  MemoryMap::Edit edit{MemoryMap()};
  for (int i = 100; i < 300; ++i) edit.put(record("/a/" + std::to_string(i), i));
  edit.put(record("/b/1", 1));
  MemoryMap map = edit.finish();
  std::vector<std::string> seen;
  map.scan("/a/", "/a/250x", [&](const RecordPtr& r) {
    seen.push_back(*r->key);
    return seen.size() < 3;
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"/a/251", "/a/252", "/a/253"}));
  seen.clear();
  map.scan("/a/", "/a/299", [&](const RecordPtr& r) {
    seen.push_back(*r->key);
    return true;
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"/a/299"}));
  EXPECT_EQ(map.count("/a/"), 200u);
  EXPECT_EQ(map.count("/a/1"), 100u);
  EXPECT_EQ(map.count("/c"), 0u);
  EXPECT_EQ(map.count(""), 201u);
  EXPECT_EQ(map.find("/a/123")->create_revision, 123);
  EXPECT_EQ(map.find("/a/12"), nullptr);
}

TEST(MemoryMap, PrefixEnd) {
  EXPECT_EQ(prefix_end("/a/"), "/a0");
  EXPECT_EQ(prefix_end("a\xff\xff"), "b");
  EXPECT_EQ(prefix_end("\xff"), "");
  EXPECT_EQ(prefix_end(""), "");
}

}  // namespace
}  // namespace keles
