#include "server/http/shared_event.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "machinery/schema.h"

namespace keles::server {
namespace {

using Type = registry::WatchItem::Type;

const KindDesc& maps() { return *find_kind("", "v1", "ConfigMap"); }

ObjectPtr map_named(const std::string& name, size_t bytes = 10) {
  auto d = parse_json(R"({"metadata":{"name":")" + name + R"(","namespace":"a","uid":"u",)" +
                      R"("resourceVersion":"7"},"data":{"k":")" + std::string(bytes, 'x') + "\"}}");
  return Object::from_document(maps(), std::move(*d));
}

registry::WatchItem item_of(Type type, ObjectPtr object) {
  registry::WatchItem out;
  out.type = type;
  out.object = std::move(object);
  out.revision = 7;
  return out;
}

Rendering form(Format format, Shape shape = Shape::kWhole) {
  Rendering r;
  r.accepted.format = format;
  r.accepted.shape = shape;
  return r;
}

std::string text_of(const Parts& parts) {
  std::string out;
  for (const Part& p : parts) out += *p;
  return out;
}

Parts said(const registry::WatchItem& item, const Rendering& r) {
  Parts out;
  const size_t size = append_event(maps(), item, r, false, &out);
  EXPECT_EQ(text_of(out).size(), size);
  EXPECT_EQ(text_of(out), text_of(render_event(maps(), item, r, false)));
  return out;
}

TEST(SharedEvent, IsPutIntoWordsOnceForEachForm) {
  const ObjectPtr object = map_named("m");
  for (Type type : {Type::kAdded, Type::kModified, Type::kDeleted}) {
    const auto item = item_of(type, object);
    std::vector<Parts> held;
    for (Shape shape : {Shape::kWhole, Shape::kPartial}) {
      for (Format format : {Format::kJson, Format::kProtobuf}) {
        held.push_back(said(item, form(format, shape)));
        Parts again = said(item, form(format, shape));
        ASSERT_EQ(again.size(), 1u);
        EXPECT_EQ(again[0], held.back()[0]);
      }
    }
    // The version of the metadata's form is said in it.
    Rendering beta = form(Format::kJson, Shape::kPartial);
    beta.accepted.beta = true;
    said(item, beta);
  }
}

TEST(SharedEvent, IsOfOneObjectAndOneChange) {
  for (int i = 0; i < 2000; ++i) {  // addresses come again
    const ObjectPtr object = map_named("m" + std::to_string(i % 700));
    said(item_of(i % 2 ? Type::kAdded : Type::kModified, object), form(Format::kJson));
    said(item_of(Type::kDeleted, object), form(i % 3 ? Format::kJson : Format::kProtobuf));
  }
}

TEST(SharedEvent, WhatNobodyIsSentIsLetGo) {
  const auto item = item_of(Type::kAdded, map_named("m"));
  std::weak_ptr<const std::string> text;
  {
    Parts parts = said(item, form(Format::kJson));
    text = parts[0];
    EXPECT_FALSE(text.expired());
  }
  EXPECT_TRUE(text.expired());
  said(item, form(Format::kJson));
}

TEST(SharedEvent, LargeOnesAreNotCopied) {
  const auto item = item_of(Type::kAdded, map_named("m", 100'000));
  Parts parts = said(item, form(Format::kJson));
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[1], item.object->json());
}

TEST(SharedEvent, TablesAndBookmarksAreMadeForEach) {
  Rendering table = form(Format::kJson, Shape::kTable);
  const auto item = item_of(Type::kAdded, map_named("m"));
  Parts first = said(item, table), second = said(item, table);
  EXPECT_NE(first[0], second[0]);
  registry::WatchItem bookmark = item_of(Type::kBookmark, nullptr);
  said(bookmark, form(Format::kJson));
  said(bookmark, form(Format::kProtobuf));
}

}  // namespace
}  // namespace keles::server
