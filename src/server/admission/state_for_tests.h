// For tests of plugins: the objects that there are.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/store.h"

namespace keles::admission {

class State final : public StoreSnapshot {
 public:
  void put(std::string_view api, std::string_view kind, std::string_view yaml) {
    const KindDesc& k = *find_kind(api, kind);
    auto d = decode_body(k, to_json(parse_yaml(yaml)->root));
    EXPECT_TRUE(d.ok()) << d.status().message() << yaml;
    const std::string key = registry::object_key(k, registry::meta(d->root, "namespace"),
                                                 registry::meta(d->root, "name"));
    objects_[key] = Object::from_document(k, std::move(*d));
  }
  int64_t revision() const override { return 1; }
  ObjectPtr get(std::string_view key) const override {
    auto at = objects_.find(key);
    return at == objects_.end() ? nullptr : at->second;
  }
  void scan(std::string_view prefix, std::string_view,
            const std::function<bool(std::string_view, const ObjectPtr&)>& fn) const override {
    for (const auto& [key, o] : objects_) {
      if (key.starts_with(prefix) && !fn(key, o)) return;
    }
  }
  size_t count(std::string_view) const override { return objects_.size(); }
  std::vector<UnreadableRecord> unreadable(std::string_view) const override { return {}; }

 private:
  std::map<std::string, ObjectPtr, std::less<>> objects_;
};

}  // namespace keles::admission
