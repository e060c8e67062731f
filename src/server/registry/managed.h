// Managed fields at the registry: which fields a write cannot change, versions of a kind, and the
// glue to machinery/apply.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/apply/updater.h"
#include "machinery/schema.h"
#include "machinery/value.h"
#include "server/registry/conversions.h"
#include "server/registry/registry.h"

namespace keles::registry {

// Records in `next` who changed what from `before` (null: nothing) to it. Both are of the kind in
// its stored version; `served` is the version that the client used. Nothing is done when the
// managers in `next` are complete already (WriteRequest::tracked). `asked`: what a webhook has made
// of trees in the versions of other managers; without it versions differ by their names.
void track(const KindDesc& served, const KindDesc& kind, std::string_view subresource,
           const WriteRequest& how, WallTime now, const Value* before, Document& next,
           Conversions* asked = nullptr);
// The same of an update, with whatever the kind's webhook is to be asked for; where that fails, as
// if there were none. What is pointed to outlives it.
Task<void> track_converted(Context ctx, const KindDesc* served, const KindDesc* kind,
                           std::string subresource, const WriteRequest* how, const Value* before,
                           Document* next);

// The managers of `next` as they were tracked, whatever the hooks made of the tree since.
class TrackedManagers {
 public:
  explicit TrackedManagers(const Document& next);
  void put_back(Document& next) const;

 private:
  Document list_;
  const Value* first_ = nullptr;
};

// Lays `config` over `shown`, an object of `served` (null: there is none). The result is
// normalised, has its defaults, and its managers are complete.
Result<Document> applied(const KindDesc& served, std::string_view subresource,
                         const WriteRequest& how, Loop& loop, const Value* shown,
                         const Value& config, Conversions* asked = nullptr);
// The same to an object that is there, with whatever the kind's webhook is to be asked for.
Task<Result<Document>> applied_converted(Context ctx, const KindDesc* served,
                                         std::string subresource, const WriteRequest* how,
                                         DocumentPtr shown, const Document* config);

// Where nothing but the times of managers differs, they stay what they were: a write that changes
// nothing writes nothing.
void keep_times(Document& next, const Value& before);

// The managers of a Scale from those of its object, and back (autoscaling/v1).
Value scale_managers(Arena& out, const KindDesc& kind, const Value& object);
void take_scale_managers(Document& object, const KindDesc& kind, const Value& scale);

}  // namespace keles::registry
