// Client: the only way in which components (controllers, scheduler, kubelet, proxy, DNS) touch the
// cluster. In one process it is a function call that shares immutable objects; across processes it
// is HTTPS. Same code, same semantics, same Status errors.
//
// A Client belongs to one Loop; every call is made and resumes on it. Every call takes a Context
// and ends by its deadline. A write whose reply was lost reports Reason::kOutcomeUnknown.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/catalog.h"
#include "machinery/object.h"
#include "machinery/patch.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// The constructors make these structs no aggregates: GCC 12 destroys an aggregate's members twice
// when it is made inside an awaited expression (default arguments included).
struct ListOptions {
  ListOptions() = default;
  std::string label_selector, field_selector;
  std::string resource_version, resource_version_match;
  std::string continue_;
  int64_t limit = 0;
};

struct WatchOptions {
  WatchOptions() = default;
  std::string label_selector, field_selector;
  std::string resource_version;  // events after this one; "" or "0": start with the current state
  bool allow_bookmarks = true;
  int64_t timeout_seconds = 0;  // 0: the server's choice
};

struct ListResult {
  std::vector<ObjectPtr> items;
  std::string resource_version, continue_;
};

struct WatchEvent {
  enum class Type : uint8_t { kAdded, kModified, kDeleted, kBookmark };
  Type type;
  ObjectPtr object;  // deleted: the last state; bookmark: only its revision counts
  int64_t revision = 0;
};

class Watch {
 public:
  virtual ~Watch() = default;  // ends the watch
  // The next event. kCancelled when the server ended the watch in good order (watch again from the
  // last revision); kExpired / kGone when the revision is too old (list again).
  virtual Task<Result<WatchEvent>> next(Context ctx) = 0;
};

struct WriteOptions {
  WriteOptions() = default;
  std::string subresource;  // "", "status", "scale", "binding", "eviction", "token", "finalize"
  std::string field_manager;
  bool dry_run = false;
  bool force = false;  // apply only
};

struct DeleteOptions {
  DeleteOptions() = default;
  std::optional<int64_t> grace_period_seconds;
  std::string propagation_policy;     // "", "Orphan", "Background", "Foreground"
  std::string uid, resource_version;  // preconditions
};

class Client {
 public:
  virtual ~Client() = default;
  virtual Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                                      std::string name) = 0;
  virtual Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                        ListOptions options) = 0;
  virtual Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind,
                                                     std::string ns, WatchOptions options) = 0;
  // `body` is the whole object (apiVersion and kind may be left out). With a subresource, `name` is
  // the parent's and the answer is the subresource's (pods/binding answers a Status: empty
  // ObjectPtr).
  virtual Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                         std::string name, Document body, WriteOptions options) = 0;
  virtual Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                         std::string name, Document body, WriteOptions options) = 0;
  virtual Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns,
                                        std::string name, PatchType type, Document body,
                                        WriteOptions options) = 0;
  // The object as it was when it was deleted or marked for deletion.
  virtual Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                         std::string name, DeleteOptions options) = 0;
  virtual Loop& loop() = 0;
  // What the server serves, for who goes through all kinds or follows references. Calls with a kind
  // hold it meanwhile.
  virtual CatalogSource& kinds() {
    static CatalogSource built_in;
    return built_in;
  }

  // --- typed forms ---
  template <class T>
  Task<Result<Ref<T>>> get(Context ctx, std::string ns, std::string name) {
    auto r = co_await get(ctx, &kind_of<T>(), std::move(ns), std::move(name));
    if (!r.ok()) co_return r.status();
    co_return read<T>(*r);
  }
  template <class T>
  Task<Result<std::vector<Ref<T>>>> list(Context ctx, std::string ns, ListOptions options = {}) {
    auto r = co_await list(ctx, &kind_of<T>(), std::move(ns), std::move(options));
    if (!r.ok()) co_return r.status();
    std::vector<Ref<T>> out;
    for (const ObjectPtr& o : r->items) out.push_back(read<T>(o));
    co_return std::move(out);
  }
  // Namespace and name are taken from the body's metadata.
  template <class T>
  Task<Result<Ref<T>>> create(Context ctx, Document body, WriteOptions options = {}) {
    std::string ns(body.root["metadata"]["namespace"].as_string());
    auto r =
        co_await create(ctx, &kind_of<T>(), std::move(ns), "", std::move(body), std::move(options));
    if (!r.ok()) co_return r.status();
    co_return read<T>(*r);
  }
  template <class T>
  Task<Result<Ref<T>>> update(Context ctx, Document body, WriteOptions options = {}) {
    std::string ns(body.root["metadata"]["namespace"].as_string()),
        name(body.root["metadata"]["name"].as_string());
    auto r = co_await update(ctx, &kind_of<T>(), std::move(ns), std::move(name), std::move(body),
                             std::move(options));
    if (!r.ok()) co_return r.status();
    co_return read<T>(*r);
  }
  template <class T>
  Task<Result<Ref<T>>> update_status(Context ctx, Document body) {
    WriteOptions o;
    o.subresource = "status";
    return update<T>(ctx, std::move(body), std::move(o));
  }
  template <class T>
  Task<Status> remove(Context ctx, std::string ns, std::string name, DeleteOptions options = {}) {
    auto r =
        co_await remove(ctx, &kind_of<T>(), std::move(ns), std::move(name), std::move(options));
    co_return r.status();
  }
};

}  // namespace keles
