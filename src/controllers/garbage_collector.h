// Garbage collector: deletes what no longer has an owner, and carries out foreground deletion and
// orphaning (upstream: pkg/controller/garbagecollector).
//
// It watches every kind, those that come and go as well. The graph is only what points somewhere:
// owner uid -> dependents; whether an owner exists is asked of that kind's informer, and before
// anything is deleted, of the server. Kinds of extension API servers are among them while these
// are there (Options::all_kinds); an owner of a kind that nobody serves is neither alive nor gone,
// and nothing is done for its sake.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/meta_v1.h"
#include "controllers/controller.h"
#include "controllers/kind_informers.h"

namespace keles::controllers {

// One owner reference as the collector sees it.
struct OwnerState {
  enum class State : uint8_t { kSolid, kWaiting, kAbsent, kUnknown };
  std::string uid;
  State state = State::kUnknown;
};

// What becomes of an object with these owners: nothing, a delete, or fewer references.
struct CollectPlan {
  bool remove = false;
  bool foreground = false;        // a waiting owner, and dependents of its own
  std::vector<std::string> drop;  // uids of owners to forget
};
CollectPlan plan_collection(const std::vector<OwnerState>& owners, bool has_dependents);

class GarbageCollector final : public Controller {
 public:
  explicit GarbageCollector(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 protected:
  void started(Context ctx) override { informers_.start(ctx); }
  Task<void> stopped() override { return informers_.join(); }

 private:
  using Meta = api::meta_v1::ObjectMeta;
  using OwnerRef = api::meta_v1::OwnerReference;
  void changed(const ObjectPtr& before, const ObjectPtr& now);
  // `tree`: its metadata.
  void relate(const ObjectPtr& object, const DocumentPtr& tree, bool add);
  void wake_waiting_owners(const ObjectPtr& dependent, const DocumentPtr& tree);
  bool in_cache(const OwnerRef& ref, std::string_view ns) const;
  KindRef kind_of_ref(const OwnerRef& ref) const;
  InformerBase* informer_of(const KindDesc& kind) const {
    return informers_.find(kind.group_resource());
  }
  ObjectPtr find(const std::string& item) const;
  std::set<std::string> dependents_of(std::string_view uid) const;

  // `unseen`: an owner lives that our cache does not have.
  Task<Status> classify(Context ctx, ObjectPtr object, std::vector<OwnerState>* owners,
                        bool* unseen);
  Task<Status> collect(Context ctx, ObjectPtr object);
  Task<Status> orphan_dependents(Context ctx, ObjectPtr owner);
  Task<Status> finish_foreground(Context ctx, ObjectPtr owner);
  Task<Status> patch_owners(Context ctx, ObjectPtr object, Document patch);
  Task<Status> drop_owners(Context ctx, ObjectPtr object, std::vector<std::string> uids);
  Task<Status> unblock(Context ctx, ObjectPtr object);
  Task<Status> remove_finalizer(Context ctx, ObjectPtr object, std::string finalizer);

  Client& client() { return all_; }

  Client& all_;
  CatalogSource& catalog_;
  KindInformers informers_;
  std::map<std::string, std::set<std::string>> dependents_;  // owner uid -> items
};

}  // namespace keles::controllers
