// For tests: a store that only remembers. Auth reads snapshots.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/codec_yaml.h"
#include "server/objects/keys.h"
#include "store/store.h"

namespace keles::auth {

class Snapshot final : public StoreSnapshot {
 public:
  std::map<std::string, ObjectPtr, std::less<>> objects;
  int64_t revision() const override { return 1; }
  ObjectPtr get(std::string_view key) const override {
    auto it = objects.find(key);
    return it == objects.end() ? nullptr : it->second;
  }
  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, const ObjectPtr&)>& fn) const override {
    for (auto it = objects.lower_bound(from); it != objects.end(); ++it) {
      if (it->first.rfind(prefix, 0) != 0 || !fn(it->first, it->second)) return;
    }
  }
  size_t count(std::string_view) const override { return 0; }
  std::vector<UnreadableRecord> hidden;
  std::vector<UnreadableRecord> unreadable(std::string_view prefix) const override {
    std::vector<UnreadableRecord> out;
    for (const UnreadableRecord& r : hidden) {
      if (r.key.starts_with(prefix)) out.push_back(r);
    }
    return out;
  }
};

class Memory final : public Store {
 public:
  Snapshot data;
  void put(std::string_view yaml) {
    auto all = parse_yaml_all(yaml);
    ASSERT_TRUE(all.ok()) << all.status().to_string();
    for (Document& d : *all) put(std::move(d));
  }
  void put(Document d) {
    const KindDesc* kind = find_kind(d.root["apiVersion"].as_string(), d.root["kind"].as_string());
    ASSERT_NE(kind, nullptr);
    put(*kind, std::move(d));
  }
  void put(const KindDesc& kind, Document d) {
    ObjectPtr o = Object::from_document(kind, std::move(d));
    data.objects[registry::object_key(kind, o->namespace_(), o->name())] = o;
  }
  Task<Result<ObjectPtr>> write(Context, StoreWrite) override {
    co_return Status::unavailable("read only");
  }
  std::shared_ptr<const StoreSnapshot> snapshot() const override {
    return std::make_shared<Snapshot>(data);
  }
  Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_at_least(Context, int64_t) override {
    co_return snapshot();
  }
  Result<std::unique_ptr<StoreWatch>> watch(Loop&, std::string, int64_t, WatchPart) override {
    return Status::unavailable("no watches");
  }
  Task<Result<std::shared_ptr<const StoreSnapshot>>> newest(Context) override {
    co_return snapshot();
  }
  bool shared() const override { return false; }
  int64_t revision() const override { return 1; }
  int64_t oldest_revision() const override { return 1; }
  Status writable() const override { return Status(); }
  Task<Status> remove_unreadable(Context, std::string) override { co_return Status(); }
  Contents contents() const override { return {}; }
  void keep(std::shared_ptr<const StoreSnapshot>) override {}
  std::shared_ptr<const StoreSnapshot> kept(int64_t) const override { return nullptr; }
  void forget_kept(int64_t) override {}
  void compact(int64_t) override {}
  Task<Status> close(Context) override { co_return Status(); }
};

}  // namespace keles::auth
