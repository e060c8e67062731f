// For tests that need objects which validation would not let through (a pod on loopback): straight
// into the store.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "machinery/codec_json.h"
#include "server/http/served_api.h"
#include "server/objects/keys.h"

namespace keles::server {

struct RawObjects : ServedApi {
  using ServedApi::ServedApi;

  // Stores the object anew, or in the place of what is there.
  void raw(const std::string& json) {
    auto doc = parse_json(json);
    ASSERT_TRUE(doc.ok()) << json;
    const KindDesc* kind =
        find_kind(doc->root["apiVersion"].as_string(), doc->root["kind"].as_string());
    ASSERT_NE(kind, nullptr) << json;
    ObjectPtr object = Object::from_document(*kind, std::move(*doc));
    StoreWrite w;
    w.key = registry::object_key(*kind, object->namespace_(), object->name());
    w.kind = kind;
    w.stored = object->stored();
    if (ObjectPtr now = store->snapshot()->get(w.key)) {
      w.condition = StoreWrite::If::kRevision;
      w.revision = now->revision();
    }
    auto written = run(store->write(ctx, std::move(w)));
    ASSERT_TRUE(written.ok()) << written.status().to_string();
  }
};

}  // namespace keles::server
