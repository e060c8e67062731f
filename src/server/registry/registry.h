// Registry: the one generic implementation of every verb for every kind, from descriptors and
// strategies. It keeps no state besides the store (and recent list snapshots, which are immutable),
// so that any loop may call it at any time.
//
// Order of a write, as upstream's: defaults, mutating admission, the strategy's preparation,
// validation, validating admission, the store. Trees handed in are whole objects of `kind`, decoded
// and with constant defaults or not (defaulting is idempotent and done here).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/decode.h"
#include "machinery/object.h"
#include "machinery/patch.h"
#include "server/admission/admission.h"
#include "server/auth/caller.h"
#include "server/registry/components.h"
#include "server/registry/computed.h"
#include "server/registry/selection.h"
#include "server/registry/strategy.h"
#include "store/store.h"

namespace keles::server {
class Turn;
}

namespace keles::registry {

class ServiceAllocator;
class Horizon;

struct ListQuery {
  std::string label_selector, field_selector;
  std::string resource_version, resource_version_match, continue_;
  int64_t limit = 0;
  bool in_stretches = false;           // stretches will do as well, where there are any
  bool sends_initial_events = false;   // which no list does: an error
  const server::Turn* turn = nullptr;  // long searches stop for others; null: they do not
};

struct ListPage {
  std::vector<ObjectPtr> items;
  std::vector<ObjectStretch> stretches;  // or these, when they were asked for
  int64_t revision = 0;
  std::string continue_;
  std::optional<int64_t> remaining;
};

struct WatchQuery {
  std::string label_selector, field_selector;
  std::string resource_version, resource_version_match, continue_;
  bool bookmarks = false;
  std::optional<bool> send_initial_events;
  std::string name;  // a watch of one object by path
};

struct WatchItem {
  enum class Type : uint8_t { kAdded, kModified, kDeleted, kBookmark, kError };
  Type type = Type::kBookmark;
  ObjectPtr object;  // null for bookmarks and errors
  int64_t revision = 0;
  bool initial_events_end = false;  // of a bookmark
  Status error;
};

class WatchStream {
 public:
  virtual ~WatchStream() = default;
  // At least one item. After an item of type kError the stream is over. Fails only with ctx's
  // status.
  virtual Task<Result<std::vector<WatchItem>>> next(Context ctx, size_t limit) = 0;
};

struct WriteRequest {
  std::string user;  // name of who asks, for admission
  std::vector<std::string> groups;
  std::string uid;
  std::map<std::string, std::vector<std::string>> extra;
  bool dry_run = false;
  const KindDesc* served = nullptr;  // the version asked for (the registry sets it)
  // Under whose name managed fields are kept ("": unknown); those in the body are complete already.
  std::string field_manager;
  bool tracked = false;
  // Policies and webhooks have been asked (about the Scale that makes this update).
  bool judged = false;
  bool force = false;  // an apply takes fields from others
  // How unknown fields in a patch's outcome are taken (other bodies have been checked already), and
  // what was found wrong with the text of the patch itself: they are told of together.
  FieldValidation validation = FieldValidation::kIgnore;
  std::vector<std::string> patch_problems;
  std::vector<std::string>* warnings = nullptr;        // filled with Warning texts
  admission::AuditAnnotations* annotations = nullptr;  // likewise, where somebody audits
  // A last word on what is to be stored (`before` null: created); null: none.
  std::function<Status(const KindDesc& kind, std::string_view ns, const Value& now,
                       const Value* before)>
      guard;
  // Whether who asks may do something else as well, for admission; null: not known.
  std::function<bool(const Access&)> may;
  // Whether they may create the object that an apply finds missing; null: they may.
  std::function<Status()> may_create;
};

struct DeleteRequest {
  std::optional<int64_t> grace_period_seconds;
  std::optional<bool> orphan_dependents;  // the deprecated form
  std::string propagation_policy;         // "", "Orphan", "Background", "Foreground"
  std::string uid, resource_version;      // preconditions
  std::vector<std::string> dry_run;       // as the options have it: "All"
  // Removes what cannot be read (KEP-3926); the caller holds the verb for it.
  bool ignore_store_read_error = false;
};

// What a DeleteOptions says, wherever it comes: the body of a delete, or inside an Eviction.
DeleteRequest read_delete_options(const Value& options);
// What is wrong with a list of dry runs, of which there is one: "All".
std::optional<StatusCause> check_dry_run(const std::vector<std::string>& values);
// Conflict when the object is not the one that the preconditions name.
Status check_preconditions(const Object& object, const DeleteRequest& request);
// Upstream's ValidateDeleteOptions; `collection`: of a deletion of many.
Status check_delete_options(const DeleteRequest& request, bool collection = false);

struct Deleted {
  ObjectPtr object;   // as it was last
  bool gone = false;  // it has left the store (else: marked for deletion)
};

class Registry {
 public:
  Registry(Store* store, std::string service_cidr, std::string node_port_range);
  ~Registry();

  // Before the first request.
  void set_admission(admission::Config config) { admission_ = std::move(config); }
  // Who makes the objects of a computed kind; before the first request. ComponentStatuses have a
  // source from the beginning.
  void set_source(const KindDesc& kind, std::shared_ptr<ComputedSource> source) {
    sources_[&kind] = std::move(source);
  }
  void set_components(std::vector<Component> components);
  // Whether the kind is served: a computed one without a source is not. Any thread.
  bool serves(const KindDesc& kind) const;

  Store& store() { return *store_; }
  ServiceAllocator& services() { return *services_; }
  // Lets go of the states of the past whose time is up: to be called now and then, as perhaps
  // nobody lists again.
  void forget_past(WallTime now);

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                              std::string resource_version = {});
  Task<Result<ListPage>> list(Context ctx, const KindDesc* kind, std::string ns, ListQuery query);
  Task<Result<std::unique_ptr<WatchStream>>> watch(Context ctx, const KindDesc* kind,
                                                   std::string ns, WatchQuery query);

  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns, Document body,
                                 WriteRequest how);
  // `subresource`: "" or "status", "ephemeralcontainers", "resize", "approval", "finalize".
  // `created` (may be null) is set when the update created the object.
  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, std::string subresource, Document body,
                                 WriteRequest how, bool* created = nullptr);
  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                std::string subresource, PatchType type, Document patch,
                                WriteRequest how);
  // Server-side apply: `config` is the client's words, an object of `kind` in part. `created` as
  // above.
  Task<Result<ObjectPtr>> apply(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                std::string subresource, Document config, WriteRequest how,
                                bool* created = nullptr);
  Task<Result<Deleted>> remove(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                               DeleteRequest request, WriteRequest how);
  Task<Result<ListPage>> remove_collection(Context ctx, const KindDesc* kind, std::string ns,
                                           ListQuery query, DeleteRequest request,
                                           WriteRequest how);

  // Admission of what makes no object of its kind: `sent` to a subresource (a binding, an eviction,
  // the request for a token), or the options (PodExecOptions, ...) of a connection to a pod,
  // service or node. Both outlive the task.
  struct Call {
    const KindDesc* kind;  // of the resource
    std::string ns, name, subresource;
    const KindDesc* sent_kind;
  };
  Task<Status> admit_create(Context ctx, const Call* call, Document* sent, const WriteRequest* how);
  Task<Status> admit_connect(Context ctx, const Call* call, Document* options,
                             const WriteRequest* how);

  // --- other subresources ---
  // autoscaling/v1 Scale of a kind that has one.
  Task<Result<ObjectPtr>> get_scale(Context ctx, const KindDesc* kind, std::string ns,
                                    std::string name);
  Task<Result<ObjectPtr>> update_scale(Context ctx, const KindDesc* kind, std::string ns,
                                       std::string name, Document scale, WriteRequest how);
  Task<Result<ObjectPtr>> patch_scale(Context ctx, const KindDesc* kind, std::string ns,
                                      std::string name, PatchType type, Document patch,
                                      WriteRequest how);
  Task<Result<ObjectPtr>> apply_scale(Context ctx, const KindDesc* kind, std::string ns,
                                      std::string name, Document config, WriteRequest how);
  // `binding` is a v1 Binding: assigns the pod to its target node.
  Task<Status> bind_pod(Context ctx, std::string ns, std::string pod, Document binding,
                        WriteRequest how);
  // `eviction` is a policy/v1 Eviction.
  Task<Status> evict_pod(Context ctx, std::string ns, std::string pod, Document eviction,
                         WriteRequest how);

 private:
  enum class Outcome : uint8_t { kStore, kDelete, kNothing };
  // Fills `next`, the tree to store in the storage version; called again after a conflict.
  using Change = std::function<Result<Outcome>(const ObjectPtr& current, Document& next)>;
  // What admission and the rules of the kind make of it. Null: the server's own changes, which
  // nobody judges.
  using Judge = std::function<Task<Result<Outcome>>(ObjectPtr current, Document* next)>;
  Task<Result<std::vector<ObjectPtr>>> computed(Context ctx, const KindDesc* kind, std::string ns,
                                                std::string name);
  struct ListStart {
    std::shared_ptr<const StoreSnapshot> snapshot;
    std::string from;  // the first key
  };
  Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_at(Context ctx, std::string prefix,
                                                                 int64_t revision);
  Task<Result<ListStart>> list_start(Context ctx, const KindDesc* stored, std::string prefix,
                                     ListQuery query);
  Task<Result<ListPage>> list_converted(Context ctx, const KindDesc* kind, std::string prefix,
                                        ListStart start, Selection selection, int64_t limit);
  // `kind` is a storage kind, or a custom one; the object is given as that kind.
  Task<Result<Deleted>> modify(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                               Change change, bool dry_run, Judge judge = nullptr);
  Task<Result<ObjectPtr>> create_once(Context ctx, const KindDesc* kind, std::string ns,
                                      Document body, const WriteRequest* how);
  // `served`: the version that the client used.
  Task<Result<Outcome>> prepare_update(Context ctx, const KindDesc* served, const KindDesc* kind,
                                       std::string subresource, ObjectPtr current, Document* next,
                                       const WriteRequest* how);
  Task<Result<ObjectPtr>> apply_once(Context ctx, const KindDesc* kind, std::string ns,
                                     std::string name, std::string subresource,
                                     const Document* config, const WriteRequest* how,
                                     bool* created);
  Task<Result<ObjectPtr>> change_scale(Context ctx, const KindDesc* kind, std::string ns,
                                       std::string name, Change change, const WriteRequest* how);
  Task<Result<Outcome>> judge_scale(Context ctx, const KindDesc* kind, ObjectPtr current,
                                    Document* scale, const WriteRequest* how);
  static Outcome mark_for_deletion(const KindDesc& kind, const Value& old, Document& next,
                                   WallTime now, const DeleteRequest& request);
  Task<Result<Outcome>> prepare_delete(Context ctx, const KindDesc* served, const KindDesc* kind,
                                       ObjectPtr current, Document* next,
                                       const DeleteRequest* request, const WriteRequest* how);
  admission::Attributes attributes(admission::Operation op, const KindDesc& kind,
                                   std::string_view ns, std::string_view name,
                                   std::string_view subresource, Loop& loop,
                                   const StoreSnapshot& state, const WriteRequest& how) const;
  Task<void> after_delete(Context ctx, ObjectPtr gone);
  Task<Status> spend_disruption(Context ctx, ObjectPtr budget, std::string pod, bool dry_run);
  Task<Status> disrupt_pod(Context ctx, std::string ns, std::string pod, DeleteRequest request,
                           WriteRequest how);

  Store* store_;
  admission::Config admission_;
  std::unique_ptr<ServiceAllocator> services_;
  std::unique_ptr<Horizon> horizon_;
  std::map<const KindDesc*, std::shared_ptr<ComputedSource>> sources_;
};

}  // namespace keles::registry
