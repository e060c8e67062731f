// Writes with an eye on who manages what: an update records what it changed, an apply merges what
// its manager wants into what is there, and takes away what the manager no longer names and nobody
// else holds. Behaves as structured-merge-diff v6 does under the API server (KEP-555).
//
// Pure functions on trees of one version of a kind, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/apply/managed.h"
#include "machinery/apply/place.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::apply {

// The other versions of the kind that is written.
class Versions {
 public:
  virtual ~Versions() = default;
  // The type of its objects in that version ("apps/v1"); null: it is not served (any more), and who
  // managed fields in it is forgotten.
  virtual const TypeDesc* type_of(std::string_view api_version) const = 0;
  // A tree of `from` as `to` has it; both are served.
  virtual Document convert(const Value& tree, std::string_view from, std::string_view to) const = 0;
};

// What a sort of writes cannot change whatever they say, as dotted paths: {"status"}; or, where
// they can change little, what that is (then nothing else counts). Made once for all writes of the
// sort; what the paths view outlives it.
class Resets {
 public:
  explicit Resets(std::span<const std::string_view> paths, std::vector<PathPattern> only = {});
  PathSet paths() const { return paths_; }
  // The paths, and what nobody manages.
  PathSet skipped() const { return skipped_; }
  std::span<const PathPattern> only() const { return only_; }

 private:
  Arena arena_;
  PathSet paths_, skipped_;
  std::vector<PathPattern> only_;
};

struct Write {
  const KindDesc* kind = nullptr;  // in the version that the client uses
  const Versions* versions = nullptr;
  std::string_view manager;        // "": unknown
  std::string_view subresource;    // "" or "status", ...
  std::string_view now;            // RFC 3339
  const Resets* resets = nullptr;  // null: it can change everything
  bool force = false;              // apply: take fields from others
  bool text_fields = true;         // trees of the kind keep fieldsV1 as text (machinery/raw_text.h)
};

// Records in `next` (metadata.managedFields) who changed what between `live` and it. `live` null:
// the object is new. What `next` says of managers itself counts, unless it is of a subresource: an
// empty list forgets all of them, and then nothing is recorded until somebody applies.
void track_update(const Write& w, const Value* live, Document& next);

struct Applied {
  Document object;         // not normalised, without defaults; its managedFields are complete
  bool unchanged = false;  // but for managedFields, and those perhaps too
};
// Applies `config`, a client's words, to `live` (null: there is none). Fails with upstream's
// texts: Conflict with a cause for each field of others, BadRequest for another kind or version.
Result<Applied> apply_config(const Write& w, const Value* live, const Value& config);

}  // namespace keles::apply
