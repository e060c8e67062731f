// The configmaps and secrets that this node's pods use: each one watched while some pod needs it,
// so that a change reaches volumes at once and nothing is read that no pod refers to.
//
// One loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "api/core_v1.h"
#include "base/sync.h"
#include "client/client.h"
#include "client/informer.h"

namespace keles::node {

class ObjectCache {
 public:
  struct Key {
    Key(bool secret, std::string ns, std::string name)
        : secret(secret), ns(std::move(ns)), name(std::move(name)) {}
    bool secret = false;
    std::string ns, name;
    auto operator<=>(const Key&) const = default;
  };
  using Data = std::map<std::string, std::string>;

  // `ctx` ends all watches. `on_change` is told the uid of each pod that uses what changed.
  ObjectCache(Context ctx, Client& client, std::function<void(const std::string& uid)> on_change);
  // Waits until every watch has stopped; `ctx` must have ended.
  Task<void> join();

  // From now on pod `uid` uses exactly `keys`; none to let go.
  void use(const std::string& uid, std::set<Key> keys);
  // The object's data, decoded; nullopt when it does not exist. kTimeout when the API cannot be
  // asked. use() comes first.
  Task<Result<std::optional<Data>>> get(Context ctx, Key key);

 private:
  struct Entry {
    Context ctx;
    InformerFactory factory;
    std::shared_ptr<InformerBase> informer;
    std::set<std::string> users;
    Entry(Context c, Client& client) : ctx(std::move(c)), factory(client) {}
  };
  static Task<void> retire(ObjectCache* self, std::shared_ptr<Entry> entry);
  std::shared_ptr<Entry> open(const Key& key);

  Context ctx_;
  Client& client_;
  std::function<void(const std::string&)> on_change_;
  std::map<Key, std::shared_ptr<Entry>> entries_;
  std::map<std::string, std::set<Key>> used_by_;
  TaskGroup retiring_;
};

// Every configmap and secret that the pod's volumes and environments name.
std::set<ObjectCache::Key> referenced_objects(const api::core_v1::Pod& pod);

}  // namespace keles::node
