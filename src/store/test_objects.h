// For tests and benchmarks of the store: small ConfigMaps in their stored form, made by hand so
// that the store is tested without the codecs; and running a task to its end on either loop.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/sim_loop.h"
#include "base/task.h"
#include "store/record_format.h"
#include "store/store.h"

namespace keles::store_test {

inline void field(std::string& out, int number, std::string_view body) {
  append_varint(out, static_cast<uint64_t>(number) << 3 | 2);
  append_varint(out, body.size());
  out += body;
}

inline Bytes config_map(std::string_view ns, std::string_view name, std::string_view value) {
  std::string meta, entry, map, type_meta, unknown;
  field(meta, 1, name);
  field(meta, 3, ns);
  field(meta, 5, "uid-" + std::string(name));
  field(entry, 1, "value");
  field(entry, 2, value);
  field(map, 1, meta);
  field(map, 2, entry);
  field(type_meta, 1, "v1");
  field(type_meta, 2, "ConfigMap");
  field(unknown, 1, type_meta);
  field(unknown, 2, map);
  return std::make_shared<const std::string>(std::string("k8s\0", 4) + unknown);
}

inline std::string config_map_key(std::string_view ns, std::string_view name) {
  return "/registry/configmaps/" + std::string(ns) + "/" + std::string(name);
}

inline StoreWrite create(std::string_view ns, std::string_view name, std::string_view value) {
  StoreWrite w;
  w.key = config_map_key(ns, name);
  w.kind = find_kind("v1", "ConfigMap");
  w.stored = config_map(ns, name, value);
  return w;
}

inline StoreWrite update(std::string_view ns, std::string_view name, std::string_view value,
                         int64_t revision) {
  StoreWrite w = create(ns, name, value);
  w.condition = StoreWrite::If::kRevision;
  w.revision = revision;
  return w;
}

inline StoreWrite remove(std::string_view ns, std::string_view name, int64_t revision) {
  StoreWrite w = update(ns, name, "", revision);
  w.stored = nullptr;
  return w;
}

inline std::string value_of(const Object& o) {
  return std::string(o.tree()->root["data"]["value"].as_string());
}
inline std::string value_of(const ObjectPtr& o) { return value_of(*o); }

template <class T>
Task<void> store_result(Task<T> t, std::optional<T>* out, std::function<void()> then) {
  T result = co_await std::move(t);
  out->emplace(std::move(result));
  if (then) then();
}

// Runs `t` on a real loop of this thread.
template <class T>
T run_to_end(RealLoop& loop, Task<T> t) {
  std::optional<T> out;
  spawn(loop, store_result(std::move(t), &out, [&loop] { loop.stop(); }));
  loop.run();
  return std::move(*out);
}

// Runs `t` in virtual time.
template <class T>
T run_to_end(SimLoop& loop, Task<T> t) {
  std::optional<T> out;
  spawn(loop, store_result<T>(std::move(t), &out, nullptr));
  if (!loop.run_until([&out] { return out.has_value(); }, 1h)) std::abort();
  return std::move(*out);
}

}  // namespace keles::store_test
