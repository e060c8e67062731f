#include "node/volumes/object_cache.h"

#include "api/core_v1.h"
#include "base/encoding.h"
#include "base/sync.h"
#include "net/pki.h"
#include "node/pods/containers.h"

namespace keles::node {

using api::core_v1::ConfigMap;
using api::core_v1::Container;
using api::core_v1::Pod;
using api::core_v1::Secret;

ObjectCache::ObjectCache(Context ctx, Client& client,
                         std::function<void(const std::string&)> on_change)
    : ctx_(ctx), client_(client), on_change_(std::move(on_change)), retiring_(ctx.loop()) {}

Task<void> ObjectCache::retire(ObjectCache*, std::shared_ptr<Entry> entry) {
  entry->ctx.cancel();
  co_await entry->factory.join();
}

Task<void> ObjectCache::join() {
  for (auto& [key, entry] : entries_) retiring_.spawn(retire(this, entry));
  entries_.clear();
  co_await retiring_.join();
}

std::shared_ptr<ObjectCache::Entry> ObjectCache::open(const Key& key) {
  auto entry = std::make_shared<Entry>(ctx_.child(), client_);
  const KindDesc* kind = key.secret ? &kind_of<Secret>() : &kind_of<ConfigMap>();
  entry->informer = entry->factory.informer(kind, key.ns, "", "metadata.name=" + key.name);
  std::weak_ptr<Entry> weak = entry;
  auto tell = [this, weak] {
    auto e = weak.lock();
    if (!e || !e->informer->synced()) return;
    std::set<std::string> users = e->users;
    for (const std::string& uid : users) on_change_(uid);
  };
  entry->informer->add_handler({[tell](const ObjectPtr&) { tell(); },
                                [tell](const ObjectPtr&, const ObjectPtr&) { tell(); },
                                [tell](const ObjectPtr&) { tell(); }});
  entry->factory.start(entry->ctx);
  return entry;
}

void ObjectCache::use(const std::string& uid, std::set<Key> keys) {
  std::set<Key> before = used_by_[uid];
  for (const Key& key : keys) {
    auto& entry = entries_[key];
    if (!entry) entry = open(key);
    entry->users.insert(uid);
  }
  for (const Key& key : before) {
    if (keys.contains(key)) continue;
    auto it = entries_.find(key);
    if (it == entries_.end()) continue;
    it->second->users.erase(uid);
    if (!it->second->users.empty()) continue;
    retiring_.spawn(retire(this, it->second));
    entries_.erase(it);
  }
  if (keys.empty()) {
    used_by_.erase(uid);
  } else {
    used_by_[uid] = std::move(keys);
  }
}

Task<Result<std::optional<ObjectCache::Data>>> ObjectCache::get(Context ctx, Key key) {
  auto it = entries_.find(key);
  if (it == entries_.end()) co_return std::optional<Data>();
  std::shared_ptr<Entry> entry = it->second;
  Status s = co_await entry->informer->wait_synced(ctx.with_timeout(60s));
  if (!s.ok())
    co_return Status(Reason::kTimeout, std::string("failed to sync ") +
                                           (key.secret ? "secret" : "configmap") +
                                           " cache: timed out waiting for the condition");
  ObjectPtr object = entry->informer->get(key.ns, key.name);
  if (!object) co_return std::optional<Data>();
  Data data;
  if (key.secret) {
    Ref<Secret> secret = read<Secret>(object);
    for (auto e : secret->data()) {
      auto bytes = base64_decode(e.value);
      if (bytes.ok()) data[std::string(e.key)] = *bytes;
    }
  } else {
    Ref<ConfigMap> map = read<ConfigMap>(object);
    for (auto e : map->data()) data[std::string(e.key)] = std::string(e.value);
    for (auto e : map->binary_data()) {
      auto bytes = base64_decode(e.value);
      if (bytes.ok()) data[std::string(e.key)] = *bytes;
    }
  }
  co_return std::optional<Data>(std::move(data));
}

std::set<ObjectCache::Key> referenced_objects(const Pod& pod) {
  std::set<ObjectCache::Key> out;
  std::string ns(pod.metadata().namespace_());
  auto add = [&](bool secret, std::string_view name) {
    if (!name.empty()) out.emplace(secret, ns, std::string(name));
  };
  for (auto v : pod.spec().volumes()) {
    add(false, v.config_map().name());
    add(true, v.secret().secret_name());
    for (auto source : v.projected().sources()) {
      add(false, source.config_map().name());
      add(true, source.secret().name());
    }
  }
  auto from_container = [&](const Container& c) {
    for (auto e : c.env_from()) {
      add(false, e.config_map_ref().name());
      add(true, e.secret_ref().name());
    }
    for (auto e : c.env()) {
      add(false, e.value_from().config_map_key_ref().name());
      add(true, e.value_from().secret_key_ref().name());
    }
  };
  for_each_container(pod, [&](const Container& c, Role) { from_container(c); });
  for (auto s : pod.spec().image_pull_secrets()) add(true, s.name());
  return out;
}

}  // namespace keles::node
