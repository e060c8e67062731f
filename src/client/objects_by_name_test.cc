#include "client/objects_by_name.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "api/core_v1.h"
#include "base/random.h"

namespace keles {
namespace {

ObjectPtr object(const std::string& ns, const std::string& name, int generation) {
  Document doc;
  doc.root = Value::map();
  Value& meta = doc.root.set(doc.arena, "metadata", Value::map());
  meta.set(doc.arena, "namespace", Value::string(doc.arena.copy(ns)));
  meta.set(doc.arena, "name", Value::string(doc.arena.copy(name)));
  meta.set(doc.arena, "uid", Value::string(doc.arena.copy(std::to_string(generation))));
  return Object::from_document(kind_of<api::core_v1::ConfigMap>(), std::move(doc));
}

// Names that collide in a small table come and go in any order.
TEST(ObjectsByName, AgreesWithAnOrderedMap) {
  Random random(11);
  ObjectsByName objects;
  std::map<std::pair<std::string, std::string>, std::string> model;
  for (int step = 0; step < 20'000; ++step) {
    const bool shrinking = (step / 2'000) % 2 == 1;
    const std::string ns(1, static_cast<char>('a' + random.below(3)));
    const std::string name = "n-" + std::to_string(random.below(120));
    const auto there = objects.find(ObjectName(ns, name));
    ASSERT_EQ(there != objects.end(), model.contains({ns, name}));
    if (random.chance(shrinking ? 0.7 : 0.3)) {
      if (there != objects.end()) objects.erase(there);
      model.erase({ns, name});
      continue;
    }
    const ObjectPtr now = object(ns, name, step);
    if (there != objects.end()) {
      ObjectsByName::replace(there, now);
    } else {
      objects.insert(now);
    }
    model[{ns, name}] = now->uid();
  }
  ASSERT_EQ(objects.size(), model.size());
  auto at = objects.begin();
  for (const auto& [name, uid] : model) {
    EXPECT_EQ((*at)->namespace_(), name.first);
    EXPECT_EQ((*at)->name(), name.second);
    EXPECT_EQ((*at)->uid(), uid);
    EXPECT_EQ(objects.find(ObjectName(name.first, name.second)), at);
    ++at;
  }
  EXPECT_EQ(at, objects.end());
}

TEST(ObjectsByName, EmptyHasNothing) {
  ObjectsByName objects;
  EXPECT_EQ(objects.find(ObjectName("a", "b")), objects.end());
  objects.insert(object("a", "b", 1));
  objects.erase(objects.find(ObjectName("a", "b")));
  EXPECT_EQ(objects.find(ObjectName("a", "b")), objects.end());
  EXPECT_EQ(objects.size(), 0u);
}

}  // namespace
}  // namespace keles
